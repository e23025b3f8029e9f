//! What to read now: the plan of a stream.

use crate::{
    echo::Recognizer,
    import::Exported,
    state::{State, Sweep},
    window::{Job, Purpose, Window},
};
use chrono::TimeDelta;
use headwater_contracts::{Cadence, Gap, Identity, Import, Plan, Source, Span, StreamView, Timestamp};
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Longest window: what a longer one would be answered with is not documented.
const LONGEST: TimeDelta = TimeDelta::hours(24);

/// Identities are kept this much longer than any scan can need them.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// The options that planning and reading need.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) organizations: Vec<String>,
    pub(crate) cadence: Cadence,
    /// Members of each query's body.
    pub(crate) filter: Map<String, Value>,
    pub(crate) retention: TimeDelta,
    pub(crate) ahead: TimeDelta,
    pub(crate) versioned_objects: bool,
    pub(crate) include_internal: bool,
    pub(crate) recognizer: Recognizer,
}

impl Settings {
    /// Digest of what is asked for; `None` for everything.
    fn filter(&self) -> Option<String> {
        let filter = (!self.filter.is_empty() || self.include_internal)
            .then(|| format!("{} {}", Value::Object(self.filter.clone()), self.include_internal));
        filter.map(|filter| Identity::of(&[filter.as_bytes()]).to_string())
    }
}

/// The audit logs of some organizations.
pub(crate) struct Anypoint {
    settings: Arc<Settings>,
    /// By stream, from where on the identities are needed that the last plan may meet again. A memo of plans, because the
    /// runtime asks for the horizon without a view; the plans themselves depend on nothing but their view.
    needed: Mutex<HashMap<String, Timestamp>>,
}

impl Anypoint {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), needed: Mutex::default() }
    }

    fn gap(&self, read_to: Timestamp, oldest: Timestamp) -> Option<Gap> {
        let span = Span::new(read_to, oldest);
        (!span.is_empty()).then(|| Gap {
            span,
            reason: format!(
                "the organization keeps its audit log for {} (`retention`), and this stream was last read up to `{read_to}`; ask the vendor for a copy of what expired, and keep the source running",
                headwater_contracts::Period(self.settings.retention),
            ),
        })
    }

    /// The state that this view shows, ready to go on from, and remarks on it.
    fn state(&self, view: &StreamView<'_>, oldest: Timestamp, plan: &mut Plan) -> State {
        let mut state = State::read(view.state);
        let begin = view.start.max(oldest);
        let filter = self.settings.filter();
        if let Some(read_to) = state.read_to
            && state.filter != filter
        {
            // Further back than the ledger knows what was delivered, old events would be delivered again.
            let back = state.kept.unwrap_or(begin).max(begin);
            plan.notes.push(format!(
                "the filter has changed: reading again from `{back}`; events before it that the old filter left out are not read"
            ));
            state.read_to = Some(read_to.min(back));
            state.caught_up = None;
            state.sweep = None;
        }
        state.filter = filter;
        if state.read_to.is_none() {
            // If the state is lost, coverage still says how far things were.
            let covered = view.coverage.end().and_then(Timestamp::from_timestamp_millis);
            state.read_to = Some(covered.unwrap_or(begin));
            // Reading from there finds everything, so that no re-scan is due before its interval has passed.
            let all = &self.settings.cadence.rescan;
            state.rescans.complete(all, all, view.now);
        }
        if let Some(read_to) = state.read_to
            && read_to < oldest
        {
            plan.gaps.extend(self.gap(read_to, oldest));
            state.read_to = Some(oldest);
        }
        state
    }

    /// The re-scan that is due, the one that reaches furthest back; or when the next one will be.
    fn rescan(
        &self,
        state: &State,
        now: Timestamp,
        floor: Timestamp,
        read_to: Timestamp,
    ) -> Result<Sweep, Option<Timestamp>> {
        let mut due: Option<Sweep> = None;
        let mut next: Option<Timestamp> = None;
        for rescan in &self.settings.cadence.rescan {
            let last = state.rescans.last(rescan);
            let at = last.map_or(now, |last| last + rescan.every.0);
            if at > now {
                next = next.into_iter().chain([at]).min();
                continue;
            }
            let from = state.rescans.begin(rescan, now).max(floor).min(read_to);
            if due.is_none_or(|due| from < due.from) {
                due = Some(Sweep { began: now, from, to: read_to, reached: from });
            }
        }
        due.ok_or(next)
    }
}

fn whole_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::from_timestamp_millis(time.timestamp_millis()).unwrap_or(time)
}

impl Source for Anypoint {
    fn streams(&self) -> Vec<String> {
        self.settings.organizations.clone()
    }

    /// One window at a time: each commits the whole state of the stream, so the next is planned from what it leaves.
    fn plan(&self, view: &StreamView<'_>) -> Plan {
        let cadence = &self.settings.cadence;
        let now = whole_millisecond(view.now);
        let oldest = whole_millisecond(now - self.settings.retention);
        let floor = whole_millisecond(view.start).max(oldest);
        let mut plan = Plan::default();
        let mut state = self.state(view, oldest, &mut plan);
        let read_to = state.read_to.unwrap_or(floor);
        // What happened before `read_to` and appeared after it had been read.
        let from =
            state.read_at.map_or(read_to, |read_at| read_to.min(read_at - cadence.overlap.0)).max(floor).min(now);

        let needed = cadence
            .rescan
            .iter()
            .map(|rescan| state.rescans.begin(rescan, now))
            .chain(state.sweep.map(|sweep| sweep.reached))
            .fold(from, Ord::min)
            - MARGIN;
        self.needed.lock().unwrap_or_else(PoisonError::into_inner).insert(view.stream.to_owned(), needed);
        state.kept = state.kept.max(Some(needed));
        let kept = state.kept.unwrap_or(needed);

        let tail_at = state.caught_up.map(|caught_up| caught_up + cadence.poll_interval.0).filter(|_| !view.first);
        let job = |from, to, purpose| Job { organization: view.stream.to_owned(), from, to, planned: now, purpose };
        let job = match tail_at.filter(|at| *at > now) {
            None => {
                let end = now + self.settings.ahead;
                let to = if end - from > LONGEST { (from + LONGEST).min(end) } else { end };
                job(from, to, Purpose::Forward)
            }
            Some(tail_at) => {
                let sweep = match state.sweep {
                    Some(sweep) => Ok(sweep),
                    None => self.rescan(&state, now, floor.max(kept), read_to),
                };
                match sweep {
                    Ok(sweep) => {
                        let reached = sweep.reached.max(oldest).min(sweep.to);
                        job(reached, (reached + LONGEST).min(sweep.to), Purpose::Again(sweep))
                    }
                    Err(next) => {
                        plan.wake = next.into_iter().chain([tail_at]).min();
                        return plan;
                    }
                }
            }
        };
        plan.scans.push(Box::new(Window::new(Arc::clone(&self.settings), job, state)));
        plan
    }

    fn import(&self, stream: &str, _state: Option<&Value>) -> Option<Box<dyn Import>> {
        Some(Box::new(Exported::new(Arc::clone(&self.settings), stream.to_owned())))
    }

    fn requests_per_day(&self) -> u64 {
        self.settings.cadence.requests_per_day()
    }

    fn retention(&self) -> TimeDelta {
        self.settings.retention
    }

    fn look_back(&self) -> TimeDelta {
        let longest = self.settings.cadence.rescan.iter().map(|rescan| rescan.span.0).max();
        longest.unwrap_or_default().max(self.settings.cadence.overlap.0)
    }

    fn latest(&self, state: &Value) -> Option<Timestamp> {
        State::read(Some(state)).latest()
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        let needed = self.needed.lock().unwrap_or_else(PoisonError::into_inner);
        needed.values().min().copied().unwrap_or(now - self.settings.retention - TimeDelta::days(2))
    }

    fn leaves_echoes(&self) -> bool {
        false
    }

    fn echo_window(&self) -> TimeDelta {
        let longest = self.settings.cadence.rescan.iter().map(|rescan| rescan.span.0).max();
        longest.unwrap_or_default().max(self.settings.cadence.overlap.0) + TimeDelta::days(1)
    }
}
