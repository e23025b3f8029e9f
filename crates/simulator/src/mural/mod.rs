//! Mural: `GET /enterprise/v1/audit-log`, newest first, published by a daily extraction 24 to 48 hours late, pages by
//! a token that is bound to a frozen result, and a daily quota per customer.

mod chain;
mod events;
mod query;
mod quota;

use crate::api::{Api, Call, Facts, Reply};
use crate::dice::Dice;
use crate::faults::{ErrorBody, RetryAfter};
use crate::log::{Entry, Kind, Log, Reading, Who};
use crate::scenario::Scenario;
use crate::time::{DAY, HOUR, days};
use chain::Chains;
use events::Events;
use query::Query;
use quota::Quota;
use serde::{Deserialize, Serialize};

/// How the last page of a chain says that it is the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalToken {
    /// Without `nextToken`.
    #[default]
    Absent,
    /// `"nextToken":null`
    Null,
    /// `"nextToken":""`
    EmptyString,
    /// Not at all: its token leads to a page without entries, which has that same token.
    ThenEmpty,
}

/// What becomes of a window of more than 30 days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WideWindow {
    /// 400.
    #[default]
    Error,
    /// Its oldest 30 days are answered.
    ClampOld,
    /// Its newest 30 days are answered.
    ClampNew,
}

/// How dates are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dates {
    /// `2024-03-05T10:11:12.345Z`
    #[default]
    Iso,
    /// `2024-03-05 10:11:12.345`, UTC.
    Legacy,
}

/// How the simulated Mural behaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MuralOptions {
    /// Hour of the day (UTC) of the extraction. Entries older than 24 hours become visible then.
    pub extraction_hour: u8,
    /// Of 1000 entries, those extracted no earlier than 60 hours after the fact.
    pub straggler_60h_per_mille: u16,
    /// Of 1000 entries, those extracted no earlier than 5 days after the fact.
    pub straggler_5d_per_mille: u16,
    /// Of 1000 entries, those extracted again one to three days later, with another `snapshotDate`.
    pub reextracted_per_mille: u16,
    /// Highest `maxResults`, and the default: 50 000, or 1000 for older tenants.
    pub max_results: u32,
    /// How a chain ends.
    pub final_token: FinalToken,
    /// The first this many chains never end: the token of their last page leads to that page again.
    pub repeating_chains: u32,
    /// Of 1000 pages in mid-chain, those that come only after one or two empty pages, each with a token of its own.
    pub empty_pages_per_mille: u16,
    /// How long a token works, in seconds.
    pub token_ttl_s: u32,
    /// Status for an expired or unknown token.
    pub expired_token_status: u16,
    /// What becomes of a window of more than 30 days.
    pub wide_window: WideWindow,
    /// Entries older than this many days are gone.
    pub retention_days: u32,
    /// Calls per rolling 24 hours; `None` is without limit.
    pub quota: Option<u32>,
    /// Calls per day that another integration makes.
    pub other_calls_per_day: u32,
    /// What a refusal by quota says about coming again; `None` says the truth in seconds.
    pub quota_retry_after: Option<RetryAfter>,
    /// Shape of a refusal by quota.
    pub quota_body: ErrorBody,
    /// Shape of all other errors that are not faults.
    pub error_body: ErrorBody,
    /// How dates are written.
    pub dates: Dates,
    /// Characters added to each title, for pages of a size.
    pub title_padding: u16,
    /// Whether readings by API key are recorded as `ACCESS_AUDIT_LOG`.
    pub records_readings: bool,
}

impl Default for MuralOptions {
    fn default() -> Self {
        Self {
            extraction_hour: 6,
            straggler_60h_per_mille: 0,
            straggler_5d_per_mille: 0,
            reextracted_per_mille: 0,
            max_results: 50_000,
            final_token: FinalToken::default(),
            repeating_chains: 0,
            empty_pages_per_mille: 0,
            token_ttl_s: 3600,
            expired_token_status: 400,
            wide_window: WideWindow::default(),
            retention_days: 30,
            quota: Some(1500),
            other_calls_per_day: 0,
            quota_retry_after: None,
            quota_body: ErrorBody::CodeMessage,
            error_body: ErrorBody::CodeMessage,
            dates: Dates::default(),
            title_padding: 0,
            records_readings: true,
        }
    }
}

const PATH: &str = "/enterprise/v1/audit-log";
const KEY: &str = "sim-mural-key-0123456789abcdef";
const UNPRIVILEGED: &str = "sim-mural-key-without-the-scope";

/// The simulated company.
pub(crate) struct Mural {
    options: MuralOptions,
    facts: Facts,
    events: Events,
    chains: Chains,
    quota: Quota,
}

impl Mural {
    pub(crate) fn new(scenario: &Scenario, start: i64) -> Self {
        let options = scenario.mural.clone();
        let events = Events::new(&options);
        let facts = Facts {
            credential: KEY.to_owned(),
            unprivileged_credential: UNPRIVILEGED.to_owned(),
            context_path: String::new(),
            audit_path: PATH.to_owned(),
            samples: events.samples(),
            retention: days(options.retention_days),
        };
        Self {
            facts,
            events,
            chains: Chains::new(scenario.seed),
            quota: Quota::new(options.quota, options.other_calls_per_day, start),
            options,
        }
    }

    fn error(&self, status: u16, message: &str, call: &Call) -> Reply {
        Reply::error(status, self.options.error_body, message, call)
    }

    /// The extraction that publishes what happened at `time`, at least `delay` later.
    fn extraction(&self, time: i64, delay: i64) -> i64 {
        let hour = i64::from(self.options.extraction_hour % 24) * HOUR;
        let earliest = time + delay - hour;
        earliest.div_euclid(DAY) * DAY + if earliest.rem_euclid(DAY) > 0 { DAY } else { 0 } + hour
    }

    /// Refuses a call that is over the quota.
    fn over_quota(&self, wait: i64, call: &Call) -> Reply {
        let truth = RetryAfter::Seconds(u32::try_from((wait + 999) / 1000).unwrap_or(u32::MAX));
        Reply::error(429, self.options.quota_body, "the daily number of calls is exhausted", call)
            .retry_after(self.options.quota_retry_after.unwrap_or(truth), call.now)
    }

    fn answer(&mut self, log: &Log, call: &Call) -> Result<Reply, Reply> {
        let bad = |problem: String| self.error(400, &problem, call);
        let max_results = Query::max_results(call, self.options.max_results).map_err(bad)?;
        if let Some(token) = call.parameter("nextToken") {
            let page = self.chains.resume(token, max_results, call.now, &self.options);
            return page.ok_or_else(|| {
                self.error(self.options.expired_token_status, "nextToken is unknown or has expired", call)
            });
        }
        let query = Query::read(call, self.options.wide_window).map_err(bad)?;
        let oldest = call.now - days(self.options.retention_days);
        let found = query.select(log, &self.events, call.now, oldest);
        Ok(self.chains.begin(found, max_results, call.now, &self.options))
    }
}

impl Api for Mural {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn id(&self, key: u128) -> String {
        events::id(key)
    }

    fn key(&self, id: &str) -> Option<u128> {
        events::key(id)
    }

    fn visible_at(&self, time: i64, dice: &mut Dice) -> i64 {
        let (five_days, sixty_hours) =
            (dice.chance(self.options.straggler_5d_per_mille), dice.chance(self.options.straggler_60h_per_mille));
        let delay = match (five_days, sixty_hours) {
            (true, _) => 5 * DAY,
            (false, true) => 60 * HOUR,
            _ => DAY,
        };
        self.extraction(time, delay)
    }

    fn render(&self, entry: &Entry, as_of: i64, out: &mut Vec<u8>) {
        self.events.render(entry, as_of, out);
    }

    fn versions(&self, entry: &Entry) -> Vec<i64> {
        std::iter::once(entry.visible_at).chain(self.events.reextracted_at(entry)).collect()
    }

    fn audit(&mut self, log: &mut Log, call: &Call) -> Reply {
        // The scheme's name is compared as it is written: `Bearer` and `ApiKey` are strangers here.
        match call.authorization.strip_prefix("apikey ") {
            Some(KEY) => {}
            Some(UNPRIVILEGED) => return self.error(403, "the key lacks the audit log scope", call),
            _ => return self.error(401, "the API key is missing, invalid or revoked", call),
        }
        if let Err(wait) = self.quota.spend(call.now) {
            return self.over_quota(wait, call);
        }
        let reply = self.answer(log, call).unwrap_or_else(|refusal| refusal);
        if self.options.records_readings && reply.status == 200 {
            let reading = Reading {
                who: Who::Us,
                path: call.path.clone(),
                query: call.query.clone(),
                user_agent: call.user_agent.clone(),
            };
            let kind = Kind::of_reader(&call.user_agent);
            log.record(reading, kind, call.now, |dice| self.visible_at(call.now, dice));
        }
        reply
    }

    fn refused(&mut self, _: &mut Log, _: &Call) {}

    fn other(&mut self, _: &mut Log, call: &Call) -> Reply {
        self.error(404, "no such endpoint", call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entry_is_published_between_one_and_two_days_later(time in 0i64..2_000_000_000_000, extraction_hour in 0u8..24) {
            let options = MuralOptions { extraction_hour, ..MuralOptions::default() };
            let scenario = Scenario { mural: options, ..Scenario::default() };
            let delay = Mural::new(&scenario, 0).visible_at(time, &mut Dice::new(&[1])) - time;
            prop_assert!((DAY..2 * DAY).contains(&delay), "{}", delay);
        }
    }
}
