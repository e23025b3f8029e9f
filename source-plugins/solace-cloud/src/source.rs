//! What to read now: the plan of a stream.

use crate::{
    check::{Check, shortfall},
    config::Filter,
    echo::Recognizer,
    import::Exported,
    scan::{AuditScan, Job, SMALL_PAGE},
    state::State,
    vocabulary::vocabulary,
};
use chrono::TimeDelta;
use headwater_contracts::{Cadence, Gap, Import, Period, Plan, Source, Span, StreamView, Timestamp, Vocabulary};
use serde_json::Value;
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

    fn vocabulary(&self) -> Vocabulary {
        vocabulary(&self.settings.filter)
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
    fn import(&self, _stream: &str, _state: Option<&Value>) -> Option<Box<dyn Import>> {
        Some(Box::new(Exported { settings: Arc::clone(&self.settings) }))
    }

    fn requests_per_day(&self) -> u64 {
        self.settings.cadence.requests_per_day()
    }

    fn shares_endpoint(&self) -> bool {
        true
    }

    fn retention(&self) -> TimeDelta {
        self.settings.retention
    }

    fn look_back(&self) -> TimeDelta {
        self.settings.retention
    }

    fn latest(&self, state: &Value) -> Option<Timestamp> {
        State::read(Some(state)).latest()
    }

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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use headwater_contracts::{Coverage, Rescan};
    use serde_json::{Value, json};

    /// The default settings.
    pub(crate) fn settings(expect_org_wide: bool) -> Settings {
        Settings {
            cadence: Cadence {
                poll_interval: Period::minutes(1),
                overlap: Period::hours(24),
                settle: Period::minutes(5),
                rescan: vec![Rescan { every: Period::hours(24), span: Period::days(7) }],
                page_size: Some(100),
            },
            filter: Filter::default(),
            retention: TimeDelta::days(180),
            expect_org_wide,
            recognizer: None,
        }
    }

    fn now() -> Timestamp {
        "2024-05-20T12:00:00Z".parse().unwrap()
    }

    fn plan(first: bool, state: &Value, ago: TimeDelta) -> Plan {
        SolaceCloud::new("api.solace.cloud".into(), settings(false)).plan(&StreamView {
            first,
            stream: "api.solace.cloud",
            now: now(),
            start: now() - ago,
            coverage: &Coverage::default(),
            state: Some(state),
            calls: &[],
        })
    }

    /// `startTime` of the first request.
    fn bound(plan: &mut Plan) -> String {
        let request = plan.scans[0].request();
        assert!(request.query.iter().all(|(name, _)| name != "endTime"));
        request.query.iter().find(|(name, _)| name == "startTime").unwrap().1.clone()
    }

    fn polled(more: Value) -> Value {
        let mut state = json!({
            "low": "2024-05-20T11:50:00Z", "wide_low": "2024-05-20T11:00:00Z", "wide_ended": "2024-05-20T11:10:00Z",
            "polled": "2024-05-20T11:55:00Z", "ended": "2024-05-20T11:55:01Z", "covered": "2024-05-20T11:50:00Z",
            "rescans": [{ "every_ms": 86_400_000, "span_ms": 604_800_000, "at": "2024-05-20T03:00:00Z" }],
        });
        state.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        state
    }

    #[test]
    fn one_event_before_the_bound_is_delivered_without_a_time_and_many_are_refused() {
        let read = |scan: &mut Box<dyn headwater_contracts::Scan>, strays: u64| {
            scan.request();
            let delivered = (0..strays).filter(|n| {
                let raw = format!(r#"{{"id":"{n}","startTime":"1970-01-01T00:00:00Z"}}"#);
                let record = scan.record(raw.as_bytes(), &headwater_contracts::OwnRequests::default()).unwrap();
                record.wanted && record.time.is_none()
            });
            let end = headwater_contracts::PageEnd { envelope: br#"{"data":[]}"#, records: strays, server_time: now() };
            (delivered.count() as u64 == strays, scan.page(&end))
        };
        let mut plan = plan(false, &polled(json!({})), TimeDelta::days(7));
        let scan = plan.scans.last_mut().unwrap();
        assert!(matches!(read(scan, 4), (false, Err(_))));
        assert!(matches!(read(scan, 1), (false, Ok(headwater_contracts::Next::More))));
        assert!(matches!(read(scan, 1), (true, Ok(_))));
        assert!(scan.remarks()[0].contains("1970-01-01"));
    }

    #[test]
    fn a_run_begins_with_a_check_and_the_first_scan_a_day_before_the_start() {
        assert_eq!(
            plan(true, &json!({}), TimeDelta::days(7)).scans[0].describe(),
            "token and region of `api.solace.cloud`"
        );
        let mut first = plan(false, &json!({}), TimeDelta::days(7));
        assert_eq!(bound(&mut first), "2024-05-12T11:59:59.999Z");
        // What may expire at any moment is not begun with.
        let mut earliest = plan(false, &json!({}), TimeDelta::days(4000));
        assert_eq!(bound(&mut earliest), "2023-11-22T11:59:59.999Z");
    }

    #[test]
    fn each_poll_looks_back_a_day_from_the_last_that_did_and_an_hour_if_that_is_much() {
        assert_eq!(bound(&mut plan(false, &polled(json!({})), TimeDelta::days(7))), "2024-05-19T10:59:59.999Z");
        let many = json!({ "wide_requests": 6 });
        assert_eq!(bound(&mut plan(false, &polled(many), TimeDelta::days(7))), "2024-05-20T10:49:59.999Z");
        let many_but_long_ago = json!({ "wide_requests": 6, "wide_ended": "2024-05-20T10:59:00Z" });
        assert_eq!(bound(&mut plan(false, &polled(many_but_long_ago), TimeDelta::days(7))), "2024-05-19T10:59:59.999Z");
    }

    #[test]
    fn an_interrupted_scan_goes_on_and_a_rescan_reaches_back_a_week() {
        let open = json!({ "open": { "began": "2024-05-20T11:56:00Z", "reached": "2024-05-20T11:30:00Z" } });
        assert_eq!(bound(&mut plan(false, &polled(open), TimeDelta::days(30))), "2024-05-19T11:29:59.999Z");
        let due =
            json!({ "rescans": [{ "every_ms": 86_400_000, "span_ms": 604_800_000, "at": "2024-05-19T11:00:00Z" }] });
        assert_eq!(bound(&mut plan(false, &polled(due), TimeDelta::days(30))), "2024-05-13T10:59:59.999Z");
    }

    #[test]
    fn a_poll_waits_for_its_time_unless_somebody_has_just_started_headwater() {
        let ended = json!({ "ended": "2024-05-20T11:59:30Z" });
        let waiting = plan(false, &polled(ended.clone()), TimeDelta::days(7));
        assert_eq!((waiting.scans.len(), waiting.wake), (0, Some(now() + TimeDelta::seconds(30))));
        let mut checked = polled(ended);
        checked["checked"] = json!(true);
        assert_eq!(plan(false, &checked, TimeDelta::days(7)).scans.len(), 1);
    }

    #[test]
    fn what_expired_unread_is_a_gap_and_another_filter_begins_anew() {
        let away = plan(false, &polled(json!({ "polled": "2023-10-01T00:00:00Z" })), TimeDelta::days(300));
        let expired = now() - TimeDelta::days(180);
        assert_eq!(away.gaps[0].span.to, expired.timestamp_millis());
        let filtered = polled(json!({ "filter": "another" }));
        assert_eq!(bound(&mut plan(false, &filtered, TimeDelta::days(7))), "2024-05-12T11:59:59.999Z");
    }
}
