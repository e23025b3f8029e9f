//! What to read now: the plan of a stream.

use crate::{
    check::{Check, shortfall},
    config::Filter,
    echo::Recognizer,
    scan::{AuditScan, Job, SMALL_PAGE},
    state::State,
};
use chrono::TimeDelta;
use headwater_contracts::{Cadence, Gap, Period, Plan, Source, Span, StreamView, Timestamp};
use std::sync::Arc;

/// A scan of more requests than this is not done at every poll.
const FEW_REQUESTS: u32 = 5;
/// How often it is done then, and how far back the scans in between look.
const WIDE_EVERY: TimeDelta = TimeDelta::hours(1);
const NARROW: TimeDelta = TimeDelta::hours(1);
/// Reading begins so much after what may expire at any moment.
const MARGIN: TimeDelta = TimeDelta::days(1);

/// The options that scans need.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) cadence: Cadence,
    pub(crate) filter: Filter,
    pub(crate) retention: TimeDelta,
    pub(crate) expect_org_wide: bool,
    pub(crate) recognizer: Option<Recognizer>,
}

impl Settings {
    pub(crate) fn page_size(&self) -> u32 {
        self.cadence.page_size.unwrap_or(SMALL_PAGE)
    }
}

/// The audit log of one Solace Cloud account.
pub(crate) struct SolaceCloud {
    stream: String,
    settings: Arc<Settings>,
}

impl SolaceCloud {
    pub(crate) fn new(stream: String, settings: Settings) -> Self {
        Self { stream, settings: Arc::new(settings) }
    }

    /// The committed state, if it was read with the same filter; else nothing has been read for this one.
    fn state(&self, view: &StreamView<'_>) -> State {
        let state = State::read(view.state);
        let filter = self.settings.filter.digest();
        if state.filter == filter {
            return state;
        }
        State {
            filter,
            page_size_refused: state.page_size_refused,
            checked: state.checked,
            rights: state.rights,
            ..State::default()
        }
    }

    /// One scan that does everything that is due: it begins where the furthest-reaching of them must.
    fn scan(&self, view: &StreamView<'_>, state: State) -> AuditScan {
        let cadence = &self.settings.cadence;
        let floor = view.now - self.settings.retention + MARGIN;
        let first = view.start.max(floor);
        let rescans: Vec<_> = match state.polled {
            None => Vec::new(),
            Some(polled) => {
                let due = |rescan: &&_| Self::rescan_due(&state, polled, rescan) <= view.now;
                cadence.rescan.iter().filter(due).copied().collect()
            }
        };
        let many = state.wide_requests > FEW_REQUESTS;
        let lately = state.wide_ended.is_some_and(|ended| view.now < ended + WIDE_EVERY);
        let wide = !(many && lately && rescans.is_empty());
        let overlap = cadence.overlap.0;
        let bound = if wide {
            // What an interrupted scan has read need not be read again, but for what appears late.
            let reached = state.open.map(|open| open.reached);
            let low = state.wide_low.max(reached).unwrap_or(first);
            rescans.iter().map(|rescan| state.rescans.begin(rescan, view.now)).fold(low - overlap, Ord::min)
        } else {
            state.low.unwrap_or(first) - overlap.min(NARROW)
        };
        // At least a millisecond, because the bound is exclusive. Before `first` only long actions are looked for.
        let bound = bound.max(first - overlap).min(view.now) - TimeDelta::milliseconds(1);
        let job = Job {
            stream: self.stream.clone(),
            bound,
            wanted_from: view.start.max(self.horizon(view.now)),
            from: state.covered.map_or(first, |covered| covered.max(first)),
            planned: view.now,
            wide,
            rescans,
        };
        AuditScan::new(Arc::clone(&self.settings), job, state)
    }

    fn rescan_due(state: &State, polled: Timestamp, rescan: &headwater_contracts::Rescan) -> Timestamp {
        state.rescans.last(rescan).map_or(polled, |done| done + rescan.every.0)
    }

    /// What expired before it was read.
    fn gap(&self, read_to: Timestamp, now: Timestamp) -> Option<Gap> {
        let span = Span::new(read_to, now - self.settings.retention);
        (!span.is_empty()).then(|| Gap {
            span,
            reason: format!(
                "Solace Cloud keeps records for six months (`retention`: {}) and this stream was last read up to `{read_to}`; ask the vendor for a copy of what expired, and keep the source running",
                Period(self.settings.retention),
            ),
        })
    }
}

impl Source for SolaceCloud {
    fn streams(&self) -> Vec<String> {
        vec![self.stream.clone()]
    }

    /// One scan at a time: each commits the whole state of the stream, so the next is planned from what this one leaves.
    fn plan(&self, view: &StreamView<'_>) -> Plan {
        let state = self.state(view);
        let mut plan = Plan::default();
        plan.notes.extend(shortfall(&state));
        if view.first {
            plan.scans.push(Box::new(Check::new(Arc::clone(&self.settings), self.stream.clone(), state, view.now)));
            return plan;
        }
        let cadence = &self.settings.cadence;
        let tail_due = match (&state.open, state.ended) {
            // From the end of the last scan: however long scans take, each run comes to an end of what is due.
            (None, Some(last)) if !state.checked => last + cadence.poll_interval.0,
            _ => view.now,
        };
        let rescans = cadence.rescan.iter().filter_map(|rescan| Some(Self::rescan_due(&state, state.polled?, rescan)));
        let due = rescans.fold(tail_due, Ord::min);
        if due > view.now {
            plan.wake = Some(due);
            return plan;
        }
        plan.gaps.extend(state.read_to().and_then(|read_to| self.gap(read_to, view.now)));
        plan.scans.push(Box::new(self.scan(view, state)));
        plan
    }

    /// Two days more than the provider promises to keep, so that reading again from its oldest event stays exact.
    fn horizon(&self, now: Timestamp) -> Timestamp {
        now - self.settings.retention - TimeDelta::days(2)
    }

    fn echo_window(&self) -> TimeDelta {
        if self.settings.recognizer.is_none() {
            return TimeDelta::zero();
        }
        let cadence = &self.settings.cadence;
        cadence.rescan.iter().map(|rescan| rescan.span).fold(cadence.overlap, Ord::max).0 + TimeDelta::days(1)
    }
}
