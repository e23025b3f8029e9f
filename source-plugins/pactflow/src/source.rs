//! When to read, and from where: the plan of a stream.

use crate::{
    RETENTION,
    config::OnCursorLost,
    echo::Recognizer,
    import::Exported,
    scan::{AuditScan, Job, Position},
    state::State,
};
use chrono::TimeDelta;
use headwater_contracts::{Cadence, Gap, Import, Plan, Rescan, Source, Span, StreamView, Timestamp};
use headwater_source_kit::Pace;
use serde_json::Value;
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
    /// The `pageSize` to ask for, unless the server refused it.
    pub(crate) fn page_size(&self, state: &State) -> Option<u32> {
        self.cadence.page_size.filter(|size| state.page_size_refused != Some(*size))
    }

    /// The cadence that the size of pages allows. How far before the last poll the next one begins: late events within
    /// that are found at once, and coverage that `settle` held back is claimed then.
    fn pace(&self, state: &State) -> Pace {
        let back = self.cadence.overlap.0.max(self.cadence.settle.0);
        let records = state.page_records.or(self.page_size(state).map(u64::from));
        Pace::new(&self.cadence, back, records)
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
    fn scan(&self, view: &StreamView<'_>, state: State, rescans: Vec<Rescan>, pace: Pace) -> AuditScan {
        let settings = &self.settings;
        // What is older is gone: its events cannot be a starting point, and no claim is made on it.
        let floor = view.now - RETENTION;
        let first = view.start.max(floor);
        let cutoff = rescans
            .iter()
            .map(|rescan| state.rescans.begin(rescan, view.now))
            .fold(state.cutoff(pace.back), |cutoff, begin| cutoff.map(|cutoff| cutoff.min(begin)));
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
                wanted_from: state.forgotten(view.now).map_or(view.start, |forgotten| forgotten.max(view.start)),
                from,
                ladder: ladder.into_iter().flatten().collect(),
                rescans,
                overlaps: pace.back.is_some(),
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
        let pace = self.settings.pace(&state);
        plan.notes.extend(pace.note.clone());
        if state.circled {
            plan.notes.push(
                "the log led in a circle before its present was reached: coverage is claimed up to the last event read; tell the vendor"
                    .to_owned(),
            );
        }
        // From the end of the last scan: however long scans take, each run comes to an end of what is due.
        let tail_due = match (&state.open, state.ended.max(state.polled)) {
            (None, Some(last)) if !view.first => last + pace.interval,
            _ => view.now,
        };
        let (mut wake, mut rescans) = (tail_due, Vec::new());
        for rescan in &cadence.rescan {
            match state.rescan_due(rescan, pace.every(rescan)) {
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
        plan.scans.push(Box::new(self.scan(view, state, rescans, pace)));
        plan
    }

    fn import(&self, _stream: &str, _state: Option<&Value>) -> Option<Box<dyn Import>> {
        Some(Box::new(Exported { settings: Arc::clone(&self.settings) }))
    }

    fn requests_per_day(&self) -> u64 {
        self.settings.cadence.requests_per_day()
    }

    fn retention(&self) -> TimeDelta {
        RETENTION
    }

    fn look_back(&self) -> TimeDelta {
        RETENTION
    }

    fn latest(&self, state: &Value) -> Option<Timestamp> {
        State::read(Some(state)).latest()
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        horizon(now)
    }
}

/// Two days more than the provider promises to keep: a replay from its oldest event stays exact. What a server keeps
/// longer than that is not wanted again.
pub(crate) fn horizon(now: Timestamp) -> Timestamp {
    now - RETENTION - TimeDelta::days(2)
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
