//! The plan of a run that answers one question: all of its range in one chain, which the API takes up to 30 days at once.

use crate::{
    schedule::Duty,
    source::Settings,
    state::State,
    sweep::{Job, Sweep},
    window::{partition_of, whole_second},
};
use chrono::TimeDelta;
use headwater_contracts::{Lookup, Plan, Span, StreamView, Timestamp};
use std::sync::Arc;

/// Largest `maxResults` that the API documents ("Audit Log examples").
const LARGEST: usize = 50_000;

/// `maxResults` of a question: no more than what is asked for, and as much as the API gives.
pub(crate) fn page_size(lookup: &Lookup) -> u32 {
    let size = lookup.newest.map_or(LARGEST, |newest| newest.clamp(1, LARGEST));
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Events appear a day late, so that nothing is missed where the end of a range moves on by less while it is read.
const RECENT: i64 = 60_000;

/// A sweep of what of the range has not been read, within what Mural answers for.
pub(crate) fn plan(lookup: &Lookup, settings: &Arc<Settings>, view: &StreamView<'_>) -> Plan {
    let oldest = whole_second(view.now - settings.reach());
    // No window reaches into the server's future.
    let newest = whole_second(lookup.at.min(view.now)) - TimeDelta::seconds(2);
    let mut range = Span::new(oldest, newest);
    range = Span { from: range.from.max(lookup.range.from), to: range.to.min(lookup.range.to) };
    let mut plan = Plan::default();
    let begun = !view.coverage.ranges().is_empty();
    let left = view
        .coverage
        .gaps(range)
        .into_iter()
        .rev()
        .find(|gap| !begun || gap.to < range.to || gap.to - gap.from > RECENT);
    let newest = lookup.newest.filter(|_| settings.chains().len() == 1);
    if let Some((low, high)) = left.and_then(|gap| Some((at(gap.from)?, at(gap.to)?))) {
        let job =
            Job { partition: partition_of(low), low, high, planned: view.now, duty: Duty::Lookup, held: None, newest };
        plan.scans.push(Box::new(Sweep::new(Arc::clone(settings), job, State::read(view.state))));
    }
    plan
}

fn at(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_timestamp_millis(milliseconds)
}
