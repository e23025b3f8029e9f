//! What to sweep now: the plan of a stream.

use crate::{
    config::{ACTIONS_PER_CHAIN, CallBudget, DateFormat, Mode},
    echo::Recognizer,
    import::Exported,
    lookup,
    schedule::{self, Due, Duty},
    state::{State, Swept},
    sweep::{Job, Sweep},
    vocabulary::vocabulary,
    window::{PARTITION, partition_of, whole_second},
};
use chrono::TimeDelta;
use headwater_contracts::{
    Cadence, ConfigError, Gap, Identity, Import, Lookup, Plan, Source, Span, StreamView, Timestamp, Vocabulary,
};
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// See [`Settings::reach`].
const MARGIN: TimeDelta = TimeDelta::hours(1);

/// How long Mural answers for, and so, as far as is known, how long it keeps events.
const RETENTION: TimeDelta = TimeDelta::days(30);

/// The options that planning and sweeping need.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) stream: String,
    pub(crate) cadence: Cadence,
    pub(crate) actions: Vec<String>,
    pub(crate) budget: CallBudget,
    pub(crate) max_lookback: TimeDelta,
    pub(crate) mode: Mode,
    pub(crate) date_format: DateFormat,
    pub(crate) recognizer: Option<Recognizer>,
}

impl Settings {
    /// How far back a sweep that is planned now may begin. An hour less than the look-back, so that the window is still
    /// within it after an hour of retries.
    pub(crate) fn reach(&self) -> TimeDelta {
        self.max_lookback - MARGIN - self.cadence.overlap.0
    }

    /// Digest of the filter, whatever the order of its names; `None` if there is none.
    pub(crate) fn filter(&self) -> Option<String> {
        let names: BTreeSet<&[u8]> = self.actions.iter().map(String::as_bytes).collect();
        let names: Vec<&[u8]> = names.into_iter().collect();
        (!names.is_empty()).then(|| Identity::of(&names).to_string())
    }

    /// `filter[action]` of each token chain of a sweep; one `None` reads everything.
    pub(crate) fn chains(&self) -> Vec<Option<String>> {
        if self.actions.is_empty() {
            return vec![None];
        }
        self.actions.chunks(ACTIONS_PER_CHAIN).map(|names| Some(names.join(","))).collect()
    }
}

/// What may expire while a first run reads the newest events.
const SLIVER: TimeDelta = TimeDelta::hours(1);

/// The audit log of one Mural company.
pub(crate) struct Mural {
    settings: Arc<Settings>,
    /// The question that this run answers, if it does not follow the log.
    lookup: Option<Lookup>,
}

impl Mural {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings), lookup: None }
    }

    /// When a sweep of this duty may begin: now (`None`), or when enough calls have left the budget's period.
    fn held_back(&self, duty: Duty, calls: &[Timestamp], now: Timestamp) -> Option<Timestamp> {
        let budget = &self.settings.budget;
        let all = usize::try_from(budget.calls).unwrap_or(usize::MAX);
        // Early sweeps leave a tenth to the sweeps for stragglers, which find what nothing else would.
        let ceiling = match duty {
            Duty::Closing | Duty::Lookup => return None,
            Duty::Straggler => all,
            Duty::Early => all - all / 10,
        };
        let recent = &calls[calls.partition_point(|call| *call <= now - budget.per.0)..];
        let over = (recent.len() + self.settings.chains().len()).checked_sub(ceiling + 1)?;
        recent.get(over).or(recent.last()).map(|call| *call + budget.per.0)
    }

    /// Where a sweep of a partition begins: a closing one that was broken off goes on where its last complete piece ended.
    fn low(state: &State, start: Timestamp, duty: Duty) -> Timestamp {
        let partial = state.partial.filter(|partial| duty == Duty::Closing && partial.partition == start);
        partial.map_or(start, |partial| partial.to.max(start))
    }

    /// What was never read after it had settled, and can no longer be.
    fn gaps(&self, origin: Timestamp, oldest: Timestamp, view: &StreamView<'_>) -> Vec<Gap> {
        let lost = view.coverage.gaps(Span::new(origin, oldest));
        lost.into_iter()
            .map(|span| Gap {
                span,
                reason: format!(
                    "Mural answers for the last {} only (`max_lookback`), and this range had not been read after it settled (`settle`: {}): events of it that appeared late are missing; keep the source running, and ask the vendor for a copy",
                    headwater_contracts::Period(self.settings.max_lookback),
                    self.settings.cadence.settle,
                ),
            })
            .collect()
    }
}

impl Source for Mural {
    fn streams(&self) -> Vec<String> {
        vec![self.settings.stream.clone()]
    }

    fn vocabulary(&self) -> Vocabulary {
        vocabulary(&self.settings.actions)
    }

    /// While the call budget holds sweeps back, `wake` is when enough calls have left its period, or a poll from now if
    /// that is sooner; the plan's notes and the description of its sweep say so.
    ///
    /// One sweep at a time, the most important one: each commits the whole state of the stream, so the next is planned
    /// from what this one leaves.
    fn plan(&self, view: &StreamView<'_>) -> Plan {
        if let Some(lookup) = &self.lookup {
            return lookup::plan(lookup, &self.settings, view);
        }
        let mut state = State::read(view.state);
        let oldest = whole_second(view.now - self.settings.reach());
        let begin = view.start.max(oldest);
        // A first run from the far end of the log begins with the newest events: what expires meanwhile was never promised.
        let expired = |origin: Timestamp| (TimeDelta::zero()..SLIVER).contains(&(oldest - origin));
        let sliver = |origin: &Timestamp| view.coverage.ranges().is_empty() && expired(*origin);
        let origin = state.origin.filter(|origin| !sliver(origin)).unwrap_or(begin);
        let mut plan = Plan { gaps: self.gaps(origin, oldest, view), ..Plan::default() };
        state.origin = Some(origin.max(oldest));
        let filter = self.settings.filter();
        if state.filter != filter {
            // Other events are asked for now: nothing within reach has been swept for them.
            state.partitions.clear();
            state.partial = None;
            state.origin = Some(begin);
            state.filter = filter;
        }
        state.partitions.retain(|start, _| *start + PARTITION > oldest);

        // The last two seconds are left to the next sweep: no window reaches into the server's future.
        let newest = whole_second(view.now) - TimeDelta::seconds(2);
        let mut ready: Vec<(u8, Duty, Timestamp)> = Vec::new();
        let mut wake: Option<Timestamp> = None;
        let (mut early_held, mut stragglers_held) = (false, false);
        let mut start = partition_of(begin);
        while start.max(begin) < newest {
            // What a backfill has covered lies before everything that this stream had to read by itself.
            let backfilled = || {
                let whole = Span::new(start.max(begin), start + PARTITION);
                let at = start + PARTITION + self.settings.cadence.settle.0;
                (start < origin && view.coverage.gaps(whole).is_empty()).then_some(Swept { at, closed: true })
            };
            let swept = state.partitions.get(&start).copied().or_else(backfilled);
            let at = match schedule::due(start, swept, view.now, &self.settings) {
                Due::Now(duty) => match self.held_back(duty, view.calls, view.now) {
                    None => {
                        ready.push((schedule::rank(duty, start, view.now), duty, start));
                        None
                    }
                    until => {
                        early_held |= duty == Duty::Early;
                        stragglers_held |= duty == Duty::Straggler;
                        until
                    }
                },
                Due::At(time) => Some(time),
                Due::Never => None,
            };
            wake = wake.into_iter().chain(at).min();
            start += PARTITION;
        }
        let held = match (early_held, stragglers_held) {
            (false, false) => None,
            (true, false) => Some("early sweeps are held back"),
            (false, true) => Some("sweeps for stragglers are held back"),
            (true, true) => Some("early sweeps and sweeps for stragglers are held back"),
        };
        if let Some(what) = held {
            plan.notes.push(format!(
                "{what} because of `call_budget` ({} calls per {}); raise it if other integrations leave room, or set `mode: settled`",
                self.settings.budget.calls, self.settings.budget.per,
            ));
        }
        // `start` has nothing to read yet: it is looked at again with everything else, one poll from now at the latest.
        let next_poll = view.now + self.settings.cadence.poll_interval.0;
        match ready.iter().min_by_key(|(rank, _, start)| (*rank, *start)).copied() {
            Some((_, duty, start)) => {
                // Settled partitions side by side are read at once, as many as there is little in.
                let stride = if duty == Duty::Closing { state.stride.max(1) } else { 1 };
                let settled =
                    |at: &Timestamp| ready.iter().any(|(_, duty, start)| *duty == Duty::Closing && start == at);
                let ends = (1..=stride).map(|number| start + PARTITION * i32::try_from(number).unwrap_or(1));
                let end = ends.take_while(|end| settled(&(*end - PARTITION))).last().unwrap_or(start + PARTITION);
                let job = Job {
                    partition: start,
                    low: Self::low(&state, start, duty).max(begin),
                    high: end.min(newest),
                    planned: view.now,
                    duty,
                    held,
                    newest: None,
                };
                plan.scans.push(Box::new(Sweep::new(Arc::clone(&self.settings), job, state)));
            }
            None => plan.wake = Some(wake.map_or(next_poll, |wake| wake.min(next_poll))),
        }
        plan
    }

    fn look_up(&mut self, lookup: Lookup) -> bool {
        if let Some(settings) = Arc::get_mut(&mut self.settings) {
            settings.cadence.page_size = Some(lookup::page_size(&lookup));
        }
        self.lookup = Some(lookup);
        // One chain after the other reads the same time again.
        self.settings.chains().len() == 1
    }

    fn import(&self, _stream: &str, _state: Option<&Value>) -> Option<Box<dyn Import>> {
        Some(Box::new(Exported { settings: Arc::clone(&self.settings) }))
    }

    fn requests_per_day(&self) -> u64 {
        let (chains, budget) = (self.settings.chains().len() as u64, &self.settings.budget);
        // What is over the budget is done later, or not at all.
        (schedule::sweeps_per_day(&self.settings) * chains).min(u64::from(budget.calls) * budget.per.times_a_day())
    }

    fn shares_endpoint(&self) -> bool {
        true
    }

    fn remarks(&self) -> Vec<ConfigError> {
        let wanted = schedule::sweeps_per_day(&self.settings) * self.settings.chains().len() as u64;
        let budget = &self.settings.budget;
        let allowed = u64::from(budget.calls) * budget.per.times_a_day();
        if wanted <= allowed {
            return Vec::new();
        }
        let problem = format!(
            "the settings ask for {wanted} calls a day at least, and it allows {allowed}: early sweeps wait, and events come late; \
             write a longer `poll_interval`, fewer `filter.actions`, or more calls if the company has them to spare"
        );
        vec![ConfigError::new("call_budget", problem)]
    }

    fn retention(&self) -> TimeDelta {
        RETENTION
    }

    fn look_back(&self) -> TimeDelta {
        self.settings.max_lookback
    }

    fn latest(&self, state: &Value) -> Option<Timestamp> {
        State::read(Some(state)).latest()
    }

    fn horizon(&self, now: Timestamp) -> Timestamp {
        now - self.settings.max_lookback - PARTITION - TimeDelta::days(1)
    }

    fn budget_window(&self) -> TimeDelta {
        self.settings.budget.per.0
    }

    fn echo_window(&self) -> TimeDelta {
        if self.settings.recognizer.is_none() {
            return TimeDelta::zero();
        }
        let cadence = &self.settings.cadence;
        let longest = cadence.rescan.iter().map(|rescan| rescan.span).fold(cadence.settle, Ord::max);
        longest.0.min(self.settings.max_lookback) + TimeDelta::days(1)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use headwater_contracts::Coverage;
    use serde_json::{Value, json};

    /// Settings as the defaults make them, with these options of the source's own.
    pub(crate) fn settings(own: Value) -> Settings {
        let text = |key: &str| own.get(key).cloned();
        Settings {
            stream: "api.mural.co".into(),
            cadence: Cadence {
                poll_interval: headwater_contracts::Period::hours(1),
                overlap: headwater_contracts::Period::seconds(1),
                settle: headwater_contracts::Period::hours(72),
                rescan: vec![headwater_contracts::Rescan {
                    every: headwater_contracts::Period::hours(24),
                    span: headwater_contracts::Period::days(7),
                }],
                page_size: Some(5000),
            },
            actions: text("actions").map(|v| serde_json::from_value(v).unwrap()).unwrap_or_default(),
            budget: text("budget").map(|v| serde_json::from_value(v).unwrap()).unwrap_or_default(),
            max_lookback: TimeDelta::hours(29 * 24 + 23),
            mode: text("mode").map(|v| serde_json::from_value(v).unwrap()).unwrap_or_default(),
            date_format: DateFormat::Iso,
            recognizer: None,
        }
    }

    fn now() -> Timestamp {
        "2024-05-20T13:37:00Z".parse().unwrap()
    }

    fn plan(own: Value, state: Option<&Value>, calls: &[Timestamp], coverage: &Coverage, ago: TimeDelta) -> Plan {
        Mural::new(settings(own)).plan(&StreamView {
            first: false,
            stream: "api.mural.co",
            now: now(),
            start: now() - ago,
            coverage,
            state,
            calls,
        })
    }

    #[test]
    fn one_event_outside_the_window_is_delivered_without_a_time_and_many_are_refused() {
        let read = |scan: &mut Box<dyn headwater_contracts::Scan>, strays: u64| {
            scan.request();
            let delivered = (0..strays).filter(|n| {
                let raw = format!(r#"{{"id":"{n}","date":"1970-01-01T00:00:00.000Z"}}"#);
                let record = scan.record(raw.as_bytes(), &headwater_contracts::OwnRequests::default()).unwrap();
                record.wanted && record.time.is_none()
            });
            let end = headwater_contracts::PageEnd { envelope: br#"{"data":[]}"#, records: strays, server_time: now() };
            (delivered.count() as u64 == strays, scan.page(&end))
        };
        let mut plan = plan(json!({}), None, &[], &Coverage::default(), TimeDelta::days(7));
        let scan = &mut plan.scans[0];
        assert!(matches!(read(scan, 4), (false, Err(_))));
        assert!(matches!(read(scan, 1), (false, Ok(headwater_contracts::Next::More))));
        assert!(matches!(read(scan, 1), (true, Ok(headwater_contracts::Next::Complete))));
        assert!(scan.remarks()[0].contains("1970-01-01"));
    }

    #[test]
    fn the_last_day_comes_first_and_then_the_oldest_settled_partitions_and_more_of_them_at_once() {
        let first = plan(json!({}), None, &[], &Coverage::default(), TimeDelta::days(7));
        assert!(
            first.scans[0].describe().contains("early sweep, `2024-05-19T12:00:00Z`"),
            "{}",
            first.scans[0].describe()
        );
        let mut state = json!({ "stride": 4, "partitions": {} });
        for hours in [12, 18, 24, 30, 36] {
            let start: Timestamp = "2024-05-19T00:00:00Z".parse().unwrap();
            state["partitions"][json!(start + TimeDelta::hours(hours)).as_str().unwrap()] =
                json!({ "at": now(), "closed": false });
        }
        let then = plan(json!({}), Some(&state), &[], &Coverage::default(), TimeDelta::days(7));
        let range = "closing sweep, `2024-05-13T13:37:00Z` to `2024-05-14T12:00:00Z`";
        assert!(then.scans[0].describe().contains(range), "{}", then.scans[0].describe());
        // What a backfill has covered is not read again.
        let mut covered = Coverage::default();
        covered.add(Span::new("2024-05-13T13:37:00Z".parse().unwrap(), "2024-05-14T18:00:00Z".parse().unwrap()), 0);
        state["origin"] = json!("2024-05-14T18:00:00Z");
        let then = plan(json!({}), Some(&state), &[], &covered, TimeDelta::days(7));
        assert!(
            then.scans[0].describe().contains("closing sweep, `2024-05-14T18:00:00Z`"),
            "{}",
            then.scans[0].describe()
        );
        let recent = plan(json!({}), None, &[], &Coverage::default(), TimeDelta::hours(1));
        assert!(recent.scans[0].describe().contains("2024-05-20T12:37:00Z"), "{}", recent.scans[0].describe());
        assert!(recent.gaps.is_empty());
    }

    #[test]
    fn a_spent_budget_holds_back_early_sweeps_until_it_recovers_but_never_a_closing_one() {
        let calls: Vec<_> = (0..100).map(|n| now() - TimeDelta::minutes(600 - n)).collect();
        let own = json!({ "budget": { "calls": 100, "per": "24h" } });
        let early = plan(own.clone(), None, &calls, &Coverage::default(), TimeDelta::hours(1));
        assert!(early.scans.is_empty());
        assert!(early.notes.len() == 1 && early.notes[0].contains("early sweeps are held back"), "{:?}", early.notes);
        assert_eq!(early.wake, Some(now() + TimeDelta::hours(1)), "not later than a poll");
        let closing = plan(own, None, &calls, &Coverage::default(), TimeDelta::days(5));
        assert_eq!(closing.scans.len(), 1);
        assert!(closing.scans[0].describe().contains("held back by `call_budget`"), "{}", closing.scans[0].describe());
        let own = json!({ "budget": { "calls": 200, "per": "24h" } });
        assert_eq!(plan(own, None, &calls, &Coverage::default(), TimeDelta::hours(1)).scans.len(), 1);
    }

    #[test]
    fn what_left_the_look_back_before_it_settled_is_a_gap() {
        let origin = now() - TimeDelta::days(40);
        let state = json!({ "origin": origin });
        let mut coverage = Coverage::default();
        let closed = Span::new(origin, origin + TimeDelta::days(3));
        coverage.add(closed, 0);
        let found = plan(json!({}), Some(&state), &[], &coverage, TimeDelta::days(40));
        let oldest = now() - TimeDelta::hours(29 * 24 + 22) + TimeDelta::seconds(1);
        assert_eq!(found.gaps.len(), 1);
        assert_eq!(found.gaps[0].span, Span { from: closed.to, to: oldest.timestamp_millis() });
    }
}
