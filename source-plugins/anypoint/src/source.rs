//! What to read now: the plan of a stream.

use crate::{
    echo::Recognizer,
    import::Exported,
    state::{State, Sweep},
    vocabulary::vocabulary,
    window::{Job, Purpose, Window},
};
use chrono::TimeDelta;
use headwater_contracts::{
    Asked, Cadence, Gap, Identity, Import, Plan, Source, Span, StreamView, Timestamp, Vocabulary,
};
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A window, unless it catches up with a time in which little happened.
pub(crate) const LONGEST: TimeDelta = TimeDelta::hours(24);

/// So many windows behind, the newest events are read first.
const BACKLOG: i32 = 2;

/// Identities are kept this much longer than any scan can need them.
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// The options that planning and reading need.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) organizations: Vec<String>,
    pub(crate) cadence: Cadence,
    /// Members of each query's body.
    pub(crate) filter: Map<String, Value>,
    /// The names among them that the platform lists.
    pub(crate) asked: Vec<Asked>,
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
            state.ahead = None;
            state.days = 0;
        }
        state.filter = filter;
        if state.read_to.is_none() {
            // If the state is lost, coverage still says how far things were. The newest events may be covered before others.
            let unread = view.coverage.gaps(Span::new(begin, view.now));
            let covered = unread.first().map_or(view.now, |gap| whole_millisecond_of(gap.from).unwrap_or(begin));
            state.read_to = Some(covered);
            // Reading from there finds everything, so that no re-scan is due before its interval has passed.
            let all = &self.settings.cadence.rescan;
            state.rescans.complete(all, all, view.now);
        }
        if let Some(read_to) = state.read_to
            && read_to < oldest
        {
            // What expires while the newest events come first was never begun with.
            plan.gaps.extend(state.read_at.and_then(|_| self.gap(read_to, oldest)));
            state.read_to = Some(oldest);
        }
        state
    }

    /// What to read next to go on from `from`. Where that takes more than a window or two, the newest events are read first, and again
    /// at each poll, so that nobody waits for them; windows of what is old are longer where there is little in them.
    fn forward(&self, state: &State, from: Timestamp, view: &StreamView<'_>) -> (Timestamp, Timestamp, Purpose) {
        let now = whole_millisecond(view.now);
        let end = now + self.settings.ahead;
        if state.ahead.is_none() && end - from <= LONGEST * BACKLOG {
            return (from, end.min(from + LONGEST), Purpose::Forward);
        }
        let newest = |from: Timestamp| (from, end.min(from + LONGEST).max(from), Purpose::Newest);
        let Some(ahead) = state.ahead else { return newest(now - LONGEST) };
        if view.first || (ahead.came_on && ahead.at + self.settings.cadence.poll_interval.0 <= now) {
            return newest(ahead.to.min(ahead.at - self.settings.cadence.overlap.0).max(ahead.from).min(now));
        }
        let days = i32::try_from(state.days.max(1)).unwrap_or(1);
        (from, (from + LONGEST * days).min(ahead.from.max(from)), Purpose::Forward)
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
    whole_millisecond_of(time.timestamp_millis()).unwrap_or(time)
}

fn whole_millisecond_of(ms: i64) -> Option<Timestamp> {
    Timestamp::from_timestamp_millis(ms)
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
                let (from, to, purpose) = self.forward(&state, from, view);
                job(from, to, purpose)
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

    fn vocabulary(&self) -> Vocabulary {
        vocabulary(&self.settings.organizations, &self.settings.asked)
    }

    fn leaves_echoes(&self) -> bool {
        false
    }

    fn echo_window(&self) -> TimeDelta {
        let longest = self.settings.cadence.rescan.iter().map(|rescan| rescan.span.0).max();
        longest.unwrap_or_default().max(self.settings.cadence.overlap.0) + TimeDelta::days(1)
    }
}

#[cfg(test)]
mod tests {
    use crate::AnypointConfig;
    use chrono::TimeDelta;
    use headwater_contracts::{Coverage, Plan, SourceConfig, SourceOptions, Span, StreamView, Timestamp};
    use serde_json::{Value, json};

    fn now() -> Timestamp {
        "2024-05-20T12:00:00Z".parse().unwrap()
    }

    fn plan(state: Option<&Value>, first: bool, coverage: &Coverage) -> Plan {
        let yaml = json!({ "organization_ids": ["a-1"], "auth": { "client_id": "me", "client_secret": "s3cr3t" } });
        let config: AnypointConfig = serde_json::from_value(yaml).unwrap();
        config.build(&SourceOptions::default()).unwrap().source.plan(&StreamView {
            first,
            stream: "a-1",
            now: now(),
            start: now() - TimeDelta::days(300),
            coverage,
            state,
            calls: &[],
        })
    }

    fn describes(state: &Value, first: bool, expected: &str) {
        let said = plan(Some(state), first, &Coverage::default()).scans[0].describe();
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn the_newest_events_are_read_before_a_long_history_and_then_take_turns_with_it() {
        let first = plan(None, true, &Coverage::default());
        assert!(first.scans[0].describe().contains("recent events, `2024-05-19T12:00:00.000Z`"));
        let ahead = |minutes: i64, came_on: bool| {
            let to = now() - TimeDelta::minutes(minutes);
            let ahead = json!({ "from": "2024-05-19T12:00:00Z", "to": to, "at": to, "came_on": came_on });
            json!({ "read_to": "2024-01-01T00:00:00Z", "ahead": ahead, "days": 8 })
        };
        let history = "catching up, `2024-01-01T00:00:00.000Z` to `2024-01-09T00:00:00.000Z`";
        describes(&ahead(0, false), false, history);
        describes(&ahead(0, true), false, history);
        describes(&ahead(10, false), false, history);
        describes(&ahead(10, true), false, "recent events, `2024-05-20T11:35:00.000Z`");
        describes(&ahead(10, false), true, "recent events, `2024-05-20T11:35:00.000Z`");
        // Where the history meets what was read ahead, it ends.
        let mut last = ahead(0, true);
        last["read_to"] = json!("2024-05-18T00:00:00Z");
        describes(&last, false, "catching up, `2024-05-18T00:00:00.000Z` to `2024-05-19T12:00:00.000Z`");
    }

    #[test]
    fn what_expires_before_the_history_is_begun_with_is_no_gap_and_later_is() {
        let mut state = json!({ "read_to": "2023-05-01T00:00:00Z" });
        assert_eq!(plan(Some(&state), true, &Coverage::default()).gaps, []);
        state["read_at"] = json!("2023-05-02T00:00:00Z");
        assert_eq!(plan(Some(&state), true, &Coverage::default()).gaps.len(), 1);
    }

    #[test]
    fn without_a_state_reading_goes_on_at_the_first_hole() {
        let mut coverage = Coverage::default();
        coverage.add(Span::new(now() - TimeDelta::days(300), "2024-02-01T00:00:00Z".parse().unwrap()), 0);
        coverage.add(Span::new(now() - TimeDelta::days(1), now()), 0);
        let again = plan(None, true, &coverage);
        let mut state = again.scans[0].state().unwrap();
        assert_eq!(state["read_to"], "2024-02-01T00:00:00Z");
        state["ahead"] = json!({ "from": now() - TimeDelta::days(1), "to": now(), "at": now(), "came_on": false });
        describes(&state, false, "catching up, `2024-02-01T00:00:00.000Z`");
    }
}
