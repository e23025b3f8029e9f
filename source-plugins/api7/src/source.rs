//! What to read now: the plan of a stream.

use crate::{
    config::Filter,
    echo::Recognizer,
    import::Exported,
    probe::{EventTypes, Probe},
    record::Entry,
    state::State,
    unit::Unit,
    vocabulary::vocabulary,
    window::{DOUBT, Duty, Job, Window},
};
use chrono::TimeDelta;
use headwater_contracts::{
    Cadence, Gap, Identity, Import, Plan, Request, Source, Span, StreamView, Timestamp, Vocabulary,
};
use headwater_source_kit::{Pace, Rescans};
use serde_json::Value;
use std::sync::Arc;

/// Longest window. A log of years is read in so many steps, each of which is progress that a crash does not undo.
const STEP: TimeDelta = TimeDelta::days(1);

/// How often the oldest entry is looked at, and the list of event types.
const PROBE_EVERY: TimeDelta = TimeDelta::hours(24);

/// The longest retention that is a vendor's default: so far back is read if the server has it.
const LONGEST_DEFAULT: TimeDelta = TimeDelta::days(180);

/// The options that planning and reading need.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) stream: String,
    pub(crate) cadence: Cadence,
    pub(crate) filter: Filter,
    /// `None`: as the log's oldest entry tells.
    pub(crate) unit: Option<Unit>,
    pub(crate) retention: TimeDelta,
    pub(crate) max_event_bytes: usize,
    pub(crate) fetch_event_types: bool,
    pub(crate) recognizer: Recognizer,
}

impl Settings {
    /// How far back anything is read; identities are kept a little longer.
    fn reach(&self) -> TimeDelta {
        self.retention.max(LONGEST_DEFAULT)
    }

    /// What the server filters by.
    fn parameters(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Filter { event_type, operator: _, operator_id, resource_id } = &self.filter;
        [("event_type", event_type), ("operator_id", operator_id), ("resource_id", resource_id)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// `request`, for the events that are wanted.
    pub(crate) fn filtered(&self, request: Request) -> Request {
        self.parameters().fold(request, |request, (name, value)| request.query(name, value))
    }

    /// Whether `entry` is of the user who is asked for by name.
    pub(crate) fn is_by_operator(&self, entry: &Entry<'_>) -> bool {
        self.filter.operator.as_ref().is_none_or(|name| entry.is_by(name))
    }

    /// Digest of the filter; `None` if there is none.
    fn digest(&self) -> Option<String> {
        let by_name = self.filter.operator.as_deref().map(|name| ("operator", name));
        let parts: Vec<&[u8]> =
            self.parameters().chain(by_name).flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]).collect();
        (!parts.is_empty()).then(|| Identity::of(&parts).to_string())
    }
}

/// The audit log of one control plane.
pub(crate) struct Api7 {
    settings: Arc<Settings>,
}

impl Api7 {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// What must be known before windows can be read, if it is not.
    fn question(&self, state: &State, view: &StreamView<'_>) -> Option<Box<dyn headwater_contracts::Scan>> {
        let stale = |at: Timestamp| (view.now - at).abs() >= PROBE_EVERY;
        let settings = &self.settings;
        let ask = match state.probe {
            None => true,
            Some(probe) if self.unit(state).is_none() => {
                view.first || probe.at > view.now || probe.at + settings.cadence.poll_interval.0 <= view.now
            }
            Some(probe) => stale(probe.at),
        };
        if ask {
            return Some(Box::new(Probe::new(Arc::clone(settings), state.clone(), view.now)));
        }
        let wanted = settings.filter.event_type.clone().filter(|_| settings.fetch_event_types)?;
        state
            .types
            .as_ref()
            .is_none_or(|types| stale(types.at))
            .then(|| Box::new(EventTypes::new(Arc::clone(settings), state.clone(), wanted, view.now)) as _)
    }

    fn unit(&self, state: &State) -> Option<Unit> {
        self.settings.unit.or(state.probe?.unit)
    }

    /// Where a log that was never read begins: not further back than there is anything.
    fn origin(&self, state: &State, view: &StreamView<'_>) -> Timestamp {
        let rescans = self.settings.cadence.rescan.iter().map(|rescan| rescan.span.0);
        let recent = view.now - rescans.fold(self.settings.cadence.overlap.0, TimeDelta::max);
        let oldest = state.probe.and_then(|probe| probe.oldest).map_or(recent, |oldest| oldest.min(recent));
        view.start.max(oldest).max(view.now - self.settings.reach())
    }

    /// What expired before it was read, and where to go on.
    fn expired(&self, state: &State, watermark: Timestamp, now: Timestamp) -> Option<(Gap, Timestamp)> {
        let horizon = now - self.settings.retention;
        // What the server still has tells more than a hint: it keeps what lies after its oldest entry.
        let oldest = state.probe.and_then(|probe| probe.oldest).unwrap_or(now);
        let from = oldest.min(horizon);
        (watermark < from).then(|| {
            let reason = format!(
                "nothing of it is left on the server, this stream was last read up to `{watermark}`, and the control plane is taken to keep events for {} days (`retention_hint_days`); restore what expired from a backup of its database, and keep the source running",
                self.settings.retention.num_days()
            );
            (Gap { span: Span::new(watermark, from), reason }, from)
        })
    }

    fn window(
        &self,
        unit: Unit,
        low: Timestamp,
        high: Timestamp,
        planned: Timestamp,
        duty: Duty,
        state: State,
    ) -> Window {
        let job = Job { low: unit.floor(low), high, planned, unit, duty };
        Window::new(Arc::clone(&self.settings), job, state)
    }
}

impl Source for Api7 {
    fn shortens(&self) -> bool {
        true
    }

    fn streams(&self) -> Vec<String> {
        vec![self.settings.stream.clone()]
    }

    fn vocabulary(&self) -> Vocabulary {
        vocabulary(&self.settings.filter)
    }

    /// One scan at a time, the most important one: each commits the whole state of the stream, so the next is planned
    /// from what this one leaves.
    fn plan(&self, view: &StreamView<'_>) -> Plan {
        let cadence = &self.settings.cadence;
        let now = view.now;
        let mut state = State::read(view.state);
        let mut plan = Plan::default();
        let pace = Pace::new(cadence, cadence.overlap.0, state.page_records);
        let next_poll = now + pace.interval;
        plan.notes.extend(pace.note.clone());
        let filter = self.settings.digest();
        if state.filter != filter {
            // Other events are asked for now: nothing has been read for them.
            state = State { filter, watermark: None, read_to: None, types: None, rescans: Rescans::default(), ..state };
        }
        if let Some(question) = self.question(&state, view) {
            plan.scans.push(question);
            return plan;
        }
        let Some(unit) = self.unit(&state) else {
            // The log is empty: there is nothing to read, and no way to ask for it yet.
            let asked = state.probe.map_or(now, |probe| probe.at);
            plan.wake = Some((asked + cadence.poll_interval.0).min(next_poll));
            return plan;
        };
        if let Some(unknown) = state.types.as_ref().and_then(|types| types.unknown.as_ref()) {
            plan.notes.push(format!(
                "`filter.event_type`: the control plane knows no event type `{unknown}`, so probably nothing will be read; `GET /api/audit_logs/event_types` lists the keys"
            ));
        }
        if state.heavy {
            plan.notes.push(
                "the control plane records our own reads with their answers, and these records have grown large: reading by small pages; have audit reads left out of its audit log if it can, or raise `poll_interval` and shorten `overlap`".to_owned(),
            );
        }

        let target = unit.floor(now - cadence.settle.0);
        let first_run = state.watermark.is_none();
        if first_run {
            // The first windows read everything there is; what appears later is for the re-scans, counted from now.
            cadence.rescan.iter().for_each(|rescan| state.rescan_done(rescan, now));
        }
        let mut watermark = state.watermark.unwrap_or_else(|| self.origin(&state, view));
        if let Some((gap, from)) = (!first_run).then(|| self.expired(&state, watermark, now)).flatten() {
            plan.gaps.push(gap);
            watermark = from;
            state.watermark = Some(from);
            state.read_to = Some(from);
        }
        let mut low = watermark;
        if !first_run {
            if target + TimeDelta::seconds(2) + cadence.settle.0 < watermark {
                plan.notes.push(format!(
                    "the server's clock has gone back: it shows a time before `{watermark}`, up to which the log has been read; reading on from what it shows now, and events are found by their ids, but have the clock checked"
                ));
            }
            // After a step back of the clock new events lie before the watermark: go on from what the clock shows.
            low = low.min(state.read_to.unwrap_or(watermark)).min(target) - pace.back.unwrap_or_default();
        }
        // Nothing before `start` is wanted; nothing before `reach` is kept apart from what was delivered.
        let low = low.max(view.start).max(now - self.settings.reach());
        let due = match state.polled {
            // From the end of the last window: however long reading takes, `--once` comes to an end.
            Some(polled) if !state.behind && !view.first && polled <= now + DOUBT => polled + pace.interval,
            _ => now,
        };
        let mut wake = due.max(now);
        if due <= now {
            // A step beyond the watermark, so that there is progress whatever the overlap.
            let step = STEP * i32::try_from(state.days.max(1)).unwrap_or(1);
            let high = target.min(unit.floor(low.max(watermark.min(target)) + step));
            if unit.floor(low) < high {
                plan.scans.push(Box::new(self.window(unit, low, high, now, Duty::Tail { target }, state)));
                return plan;
            }
            wake = next_poll;
        }
        for rescan in &cadence.rescan {
            let done = state.rescanned(rescan);
            let due = done.filter(|done| *done <= now + DOUBT).map_or(now, |done| done + pace.every(rescan));
            if due > now {
                wake = wake.min(due);
                continue;
            }
            let low = state.rescans.begin(rescan, now).max(view.start).max(now - self.settings.reach());
            let high = target.min(watermark);
            if unit.floor(low) < high {
                let duty = Duty::Rescan(*rescan);
                plan.scans.push(Box::new(self.window(unit, low, high, now, duty, state)));
                return plan;
            }
        }
        plan.wake = Some(wake.max(now + TimeDelta::seconds(1)));
        plan
    }

    fn import(&self, _stream: &str, state: Option<&Value>) -> Option<Box<dyn Import>> {
        Some(Box::new(Exported { settings: Arc::clone(&self.settings), owner: State::read(state).owner }))
    }

    fn requests_per_day(&self) -> u64 {
        // The oldest entry, once.
        self.settings.cadence.requests_per_day() + 1
    }

    fn retention(&self) -> TimeDelta {
        self.settings.retention
    }

    fn look_back(&self) -> TimeDelta {
        self.settings.reach()
    }

    fn latest(&self, state: &Value) -> Option<Timestamp> {
        State::read(Some(state)).latest()
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        now - self.settings.reach() - TimeDelta::days(2)
    }

    fn echo_window(&self) -> TimeDelta {
        let spans = self.settings.cadence.rescan.iter().map(|rescan| rescan.span.0);
        spans.fold(self.settings.cadence.overlap.0, TimeDelta::max) + TimeDelta::days(3)
    }
}
