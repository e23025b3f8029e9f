//! When to read, and from where: the plan of a stream.

use crate::{
    RETENTION,
    config::OnCursorLost,
    echo::Recognizer,
    scan::{AuditScan, Job, Position},
    state::State,
};
use chrono::TimeDelta;
use headwater_contracts::{Cadence, Gap, Plan, Rescan, Source, Span, StreamView, Timestamp};
use std::sync::Arc;

/// The options that scans need.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) cadence: Cadence,
    pub(crate) use_since: bool,
    pub(crate) on_cursor_lost: OnCursorLost,
    pub(crate) recognizer: Recognizer,
}

impl Settings {
    /// How far before the last poll the next one begins: late events within this are found at once, and coverage
    /// that `settle` held back is claimed then.
    pub(crate) fn back(&self) -> TimeDelta {
        self.cadence.overlap.0.max(self.cadence.settle.0)
    }
}

/// The audit log of one PactFlow account.
pub(crate) struct Pactflow {
    stream: String,
    settings: Arc<Settings>,
}

impl Pactflow {
    pub(crate) fn new(stream: String, settings: Settings) -> Self {
        Self { stream, settings: Arc::new(settings) }
    }

    /// One scan that does everything that is due: it begins where the furthest-reaching of them must.
    fn scan(&self, view: &StreamView<'_>, state: State, rescans: Vec<Rescan>) -> AuditScan {
        let settings = &self.settings;
        // What is older is gone: its events cannot be a starting point, and no claim is made on it.
        let floor = view.now - RETENTION;
        let first = view.start.max(floor);
        let cutoff = rescans
            .iter()
            .map(|rescan| state.rescan_begin(rescan, view.now))
            .fold(state.cutoff(settings.back()), |cutoff, begin| cutoff.map(|cutoff| cutoff.min(begin)));
        let mut known = state
            .milestones
            .iter()
            .rev()
            .filter(|known| known.time > floor && cutoff.is_some_and(|cutoff| known.time <= cutoff));
        let anchor = known.next().cloned();
        let before = known.next().cloned();
        // Without a known event to start from, `since` spares reading what no duty of this scan needs.
        let origin = cutoff.filter(|_| settings.use_since).map_or(first, |cutoff| cutoff.max(first));
        let since = anchor.as_ref().map_or(origin, |anchor| anchor.time - settings.cadence.overlap.0);
        let from = anchor.as_ref().map_or(origin, |anchor| anchor.time);
        // Everything before a milestone has been read, so the new range joins on to the last one.
        let open = state.open.as_ref().map(|open| open.from);
        let from = [open, state.covered].into_iter().flatten().fold(from, Ord::min).max(first);
        let ladder = [
            anchor.map(Position::At),
            before.map(Position::At),
            // A second earlier: whether `since` includes the instant itself is told both ways.
            settings.use_since.then_some(Position::Since(since - TimeDelta::seconds(1))),
            Some(Position::Oldest),
        ];
        AuditScan::new(
            Arc::clone(settings),
            Job {
                stream: self.stream.clone(),
                planned: view.now,
                start: view.start,
                from,
                ladder: ladder.into_iter().flatten().collect(),
                rescans,
            },
            state,
        )
    }
}

impl Source for Pactflow {
    fn streams(&self) -> Vec<String> {
        vec![self.stream.clone()]
    }

    fn plan(&self, view: &StreamView<'_>) -> Plan {
        let state = State::read(view.state);
        let cadence = &self.settings.cadence;
        let mut plan = Plan::default();
        let tail_due = match (&state.open, state.polled) {
            (None, Some(polled)) if !view.first => polled + cadence.poll_interval.0,
            _ => view.now,
        };
        let (mut wake, mut rescans) = (tail_due, Vec::new());
        for rescan in &cadence.rescan {
            match state.rescan_due(rescan) {
                Some(due) if due <= view.now => rescans.push(*rescan),
                Some(due) => wake = wake.min(due),
                None => {}
            }
        }
        if tail_due > view.now && rescans.is_empty() {
            plan.wake = Some(wake);
            return plan;
        }
        plan.gaps.extend(state.read_to().and_then(|read_to| gap(read_to, view.now)));
        plan.scans.push(Box::new(self.scan(view, state, rescans)));
        plan
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        // Two days more than the provider promises to keep: a replay from its oldest event stays exact.
        now - RETENTION - TimeDelta::days(2)
    }
}

/// What expired before it was read.
fn gap(read_to: Timestamp, now: Timestamp) -> Option<Gap> {
    let span = Span::new(read_to, now - RETENTION);
    (!span.is_empty()).then(|| Gap {
        span,
        reason: format!(
            "PactFlow keeps events for {} days and this stream was last read up to `{read_to}`; ask the vendor for a copy of what expired, and keep the source running",
            RETENTION.num_days()
        ),
    })
}
