//! What a client may ask of the audit log. Unknown parameters are ignored without a word.

use super::WideWindow;
use super::events::Events;
use crate::api::Call;
use crate::log::Log;
use crate::time::{days, parse};

/// The window and the actions asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// First millisecond wanted.
    since: i64,
    /// Last millisecond wanted.
    until: i64,
    actions: Vec<String>,
}

impl Query {
    /// `maxResults`, the only parameter that also counts beside a token.
    pub(super) fn max_results(call: &Call, limit: u32) -> Result<usize, String> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        match call.parameter("maxResults") {
            None => Ok(limit),
            Some(text) => match text.parse() {
                Ok(n) if (1..=limit).contains(&n) => Ok(n),
                _ => Err(format!("maxResults must be between 1 and {limit}")),
            },
        }
    }

    /// Reads the filters; the error is for the body of a 400.
    pub(super) fn read(call: &Call, wide: WideWindow) -> Result<Self, String> {
        let bound = |name: &str| match call.parameter(name) {
            None => Ok(None),
            Some(text) => parse(text).map(Some).ok_or_else(|| format!("{name} is not a date")),
        };
        let until = bound("filter[date][until]")?.unwrap_or(call.now);
        let since = bound("filter[date][since]")?.unwrap_or(until - days(7));
        if since > until {
            return Err("filter[date][since] is after filter[date][until]".to_owned());
        }
        let (since, until) = match wide {
            _ if until - since <= days(30) => (since, until),
            WideWindow::Error => return Err("the window must not exceed 30 days".to_owned()),
            WideWindow::ClampOld => (since, since + days(30)),
            WideWindow::ClampNew => (until - days(30), until),
        };
        let actions: Vec<String> = call
            .parameter("filter[action]")
            .map(|list| list.split(',').map(|action| action.trim().to_owned()).collect())
            .unwrap_or_default();
        if actions.len() > 10 {
            return Err("filter[action] takes at most 10 actions".to_owned());
        }
        Ok(Self { since, until, actions })
    }

    /// Indices of the entries asked for that are visible at `now` and not older than `oldest`, newest first.
    pub(super) fn select(&self, log: &Log, events: &Events, now: i64, oldest: i64) -> Vec<usize> {
        let from = log.position_of_time(self.since.max(oldest + 1));
        let to = log.position_of_time(self.until.saturating_add(1));
        let range = log.order().get(from..to).unwrap_or_default();
        let wanted = |index: &usize| {
            log.get(*index).is_some_and(|entry| {
                entry.visible_at <= now
                    && (self.actions.is_empty() || self.actions.iter().any(|a| a == events.action(entry)))
            })
        };
        range.iter().rev().map(|&(_, index)| index).filter(wanted).collect()
    }
}
