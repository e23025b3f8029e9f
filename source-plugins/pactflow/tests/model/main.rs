//! The source against a small model of the server, without HTTP: whatever its habits, page sizes and late events are,
//! and wherever the reader is interrupted, every event is delivered once and coverage claims nothing unread.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may

mod chains;
mod conduct;

use headwater_contracts::{
    Coverage, Echo, Identity, Next, OwnRequest, OwnRequests, PageEnd, ReadError, Rejection, Request, Scan, Source,
    SourceConfig, SourceOptions, StreamView, Timestamp,
};
use headwater_source_pactflow::PactflowConfig;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The model's present when the first run begins.
const BEGIN: i64 = 1_700_000_000_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_timestamp_millis(ms).unwrap()
}

#[derive(Debug, Clone, Copy)]
enum UnknownCursor {
    Status(u16),
    Empty,
    Restart,
}

#[derive(Debug, Clone)]
struct Habits {
    inclusive: bool,
    page_size: usize,
    takes_page_size: bool,
    /// How long after a read its own record becomes visible, in milliseconds.
    echo_delay: i64,
    unknown: UnknownCursor,
    /// Whether every page, also the last, has a `next` link.
    always_next: bool,
}

#[derive(Debug, Clone)]
struct Stored {
    id: String,
    time: i64,
    visible: i64,
    echo: Option<(String, String)>,
}

struct Server {
    habits: Habits,
    now: i64,
    stored: Vec<Stored>,
    reads: usize,
    /// Milliseconds that an answer takes.
    delay: i64,
}

enum Answer {
    Page { elements: Vec<Vec<u8>>, envelope: Vec<u8> },
    Refused(u16),
}

impl Server {
    fn answer(&mut self, request: &Request, agent: &str) -> Answer {
        self.now += self.delay;
        self.reads += 1;
        let raw = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&request.query).finish();
        let (id, visible) = (format!("own-{}", self.reads), self.now + self.habits.echo_delay);
        self.stored.push(Stored { id, time: self.now, visible, echo: Some((agent.to_owned(), raw)) });
        let query: HashMap<_, _> = request.query.iter().cloned().collect();
        if query.contains_key("pageSize") && !self.habits.takes_page_size {
            return Answer::Refused(400);
        }
        let mut log: Vec<&Stored> =
            self.stored.iter().filter(|e| e.visible <= self.now && e.time > self.now - 90 * DAY).collect();
        log.sort_by_key(|e| (e.time, e.id.clone()));
        let mut begin = 0;
        if let Some(from) = query.get("from") {
            match (log.iter().position(|e| &e.id == from), self.habits.unknown) {
                (Some(found), _) => begin = found + usize::from(!self.habits.inclusive),
                (None, UnknownCursor::Status(status)) => return Answer::Refused(status),
                (None, UnknownCursor::Empty) => begin = log.len(),
                (None, UnknownCursor::Restart) => {}
            }
        } else if let Some(since) = query.get("since") {
            let since = since.parse::<Timestamp>().unwrap().timestamp_millis();
            begin = log.partition_point(|e| e.time < since);
        }
        let end = (begin + self.habits.page_size).min(log.len());
        let mut links = json!({ "self": { "href": "http://elsewhere.example/audit" } });
        let more = end < log.len() || self.habits.always_next;
        let next =
            if self.habits.inclusive { log.get(end).or(log.last()) } else { end.checked_sub(1).map(|i| &log[i]) };
        if let (true, Some(next)) = (more, next) {
            links["next"] = json!({ "href": format!("http://elsewhere.example/x/audit?size=2&from={}", next.id) });
        }
        let zone = chrono::FixedOffset::east_opt(11 * 3600).unwrap();
        let element = |e: &&Stored| {
            let (agent, raw) = e.echo.clone().unwrap_or(("Mozilla/5.0".into(), String::new()));
            let path = if e.echo.is_some() { "/audit" } else { "/pacticipants" };
            let time = at(e.time).with_timezone(&zone).to_rfc3339_opts(chrono::SecondsFormat::Millis, false);
            json!({ "uuid": e.id, "timestamp": time, "user_email": null,
                    "payload": { "path": path, "method": "GET", "queryString": raw, "userAgent": agent } })
            .to_string()
            .into_bytes()
        };
        let elements = log[begin..end].iter().map(element).collect();
        Answer::Page { elements, envelope: json!({ "events": [], "_links": links }).to_string().into_bytes() }
    }
}

/// The runtime's part, reduced: a ledger that is a set, own requests, state and coverage.
struct Reader {
    source: Box<dyn Source>,
    start: i64,
    state: Option<Value>,
    coverage: Coverage,
    seen: HashSet<Identity>,
    delivered: BTreeMap<String, u32>,
    own: BTreeMap<String, bool>,
    sent: OwnRequests,
    requests: usize,
    overlap: i64,
}

impl Reader {
    fn new(own: Value, start: i64) -> Self {
        Self::with(own, &SourceOptions::default(), start)
    }

    fn with(own: Value, options: &SourceOptions, start: i64) -> Self {
        let mut yaml = json!({ "endpoint": "https://acme.pactflow.io", "token": "t" });
        yaml.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let config: PactflowConfig = serde_json::from_value(yaml).unwrap();
        let source = config.build(options).unwrap().source;
        Self {
            source,
            start,
            state: None,
            coverage: Coverage::default(),
            seen: HashSet::new(),
            delivered: BTreeMap::new(),
            own: BTreeMap::new(),
            sent: OwnRequests::default(),
            requests: 0,
            overlap: 10 * MINUTE,
        }
    }

    /// Plans and scans until nothing is due; `crash` interrupts the scan after a committed page.
    fn catch_up(&mut self, server: &mut Server, mut crash: impl FnMut() -> bool) {
        for _ in 0..200 {
            let plan = self.source.plan(&StreamView {
                first: false,
                stream: "acme.pactflow.io",
                now: at(server.now),
                start: at(self.start),
                coverage: &self.coverage,
                state: self.state.as_ref(),
                calls: &[],
            });
            if plan.scans.is_empty() {
                assert!(plan.wake.is_some_and(|wake| wake > at(server.now)));
                return;
            }
            for mut scan in plan.scans {
                self.scan(scan.as_mut(), server, &mut crash);
            }
        }
        panic!("the plan never comes to an end");
    }

    fn scan(&mut self, scan: &mut dyn Scan, server: &mut Server, crash: &mut impl FnMut() -> bool) {
        let mut began = None;
        for _ in 0..3000 {
            let request = scan.request();
            assert_eq!(request.path, "/audit");
            self.requests += 1;
            let id = self.requests.to_string();
            let user_agent = format!("headwater/0.1.0 (poller m; req {id})");
            self.sent.insert(OwnRequest {
                id,
                user_agent: user_agent.clone(),
                method: "GET".into(),
                path: request.path.clone(),
                query: request.query.clone(),
                sent: at(server.now),
            });
            let next = match server.answer(&request, &user_agent) {
                Answer::Refused(status) => {
                    let body = br#"{"errors":["no"]}"#.to_vec();
                    scan.rejected(&Rejection { status, retry_after: None, content_type: String::new(), body }).unwrap()
                }
                Answer::Page { elements, envelope } => {
                    for raw in &elements {
                        let record = scan.record(raw, &self.sent).unwrap();
                        if record.wanted && self.seen.insert(record.identity) {
                            *self.delivered.entry(record.id.clone()).or_default() += 1;
                            let ours = matches!(&record.echo, Echo::Own(id) if self.sent.consume(id).is_some());
                            self.own.insert(record.id, ours);
                        }
                    }
                    // `Date` has whole seconds.
                    let server_time = at(server.now / 1000 * 1000);
                    began.get_or_insert(server_time);
                    scan.page(&PageEnd { envelope: &envelope, records: elements.len() as u64, server_time }).unwrap()
                }
            };
            if let Some(state) = scan.state() {
                self.state = Some(state);
            }
            match next {
                Next::Complete => {
                    self.coverage.add(scan.span(), 0);
                    self.assert_claims(server, began.unwrap());
                    return;
                }
                Next::More | Next::Restart(_) => {}
                Next::Split(_) => panic!("this source never splits"),
            }
            if crash() {
                return;
            }
        }
        panic!("the scan never comes to an end");
    }

    /// Coverage is the truth about everything that did not appear later than the overlap allows for.
    fn assert_claims(&self, server: &Server, began: Timestamp) {
        for event in &server.stored {
            let on_time = event.visible - event.time <= self.overlap && event.visible < began.timestamp_millis();
            // What had appeared by the scan before, or lies within its overlap, is what a claim speaks for.
            let old = event.time < began.timestamp_millis() - self.overlap;
            if on_time && old && event.time >= self.start && self.coverage.contains(at(event.time)) {
                assert!(self.delivered.contains_key(&event.id), "claimed but not read: {event:?}");
            }
        }
    }

    fn assert_complete(&self, server: &Server) {
        for event in server.stored.iter().filter(|e| e.echo.is_none()) {
            let expected = u32::from(event.time >= self.start);
            assert_eq!(self.delivered.get(&event.id).copied().unwrap_or(0), expected, "{event:?}");
            assert_ne!(self.own.get(&event.id), Some(&true), "a person's event taken for ours");
        }
    }
}

fn habits() -> impl Strategy<Value = Habits> {
    let unknown = prop_oneof![
        Just(UnknownCursor::Status(400)),
        Just(UnknownCursor::Status(404)),
        Just(UnknownCursor::Empty),
        Just(UnknownCursor::Restart)
    ];
    (any::<bool>(), 5usize..12, any::<bool>(), prop_oneof![Just(0), Just(1), Just(20_000)], unknown, any::<bool>())
        .prop_map(|(inclusive, page_size, takes_page_size, echo_delay, unknown, always_next)| Habits {
            inclusive,
            page_size,
            takes_page_size,
            echo_delay,
            unknown,
            always_next,
        })
}

/// Time relative to the first run, and how late it appears: less than the re-scan's span less its interval.
fn event() -> impl Strategy<Value = (i64, i64)> {
    let late = prop_oneof![4 => Just(0), 2 => 1..9 * MINUTE, 1 => 10 * MINUTE..23 * HOUR];
    (-20 * DAY..2 * DAY, late)
}

fn stored(events: &[(i64, i64)]) -> Vec<Stored> {
    let one = |(n, (time, late)): (usize, &(i64, i64))| Stored {
        id: format!("e{n}"),
        // Whole minutes, so that equal times occur.
        time: BEGIN + time / MINUTE * MINUTE,
        visible: BEGIN + time / MINUTE * MINUTE + late,
        echo: None,
    };
    events.iter().enumerate().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_event_is_delivered_once_whatever_the_server_does(
        habits in habits(),
        events in prop::collection::vec(event(), 0..60),
        pauses in prop::collection::vec(prop_oneof![3 => 5 * MINUTE..20 * MINUTE, 1 => HOUR..9 * HOUR], 1..25),
        crashes in prop::collection::vec(prop::bool::weighted(0.1), 1..50),
        use_since in any::<bool>(),
        start in prop_oneof![Just(-7 * DAY), Just(-30 * DAY), Just(0)],
    ) {
        let mut server = Server { habits, now: BEGIN, stored: stored(&events), reads: 0, delay: 150 };
        let mut reader = Reader::new(json!({ "use_since": use_since }), BEGIN + start);
        let mut crashes = crashes.into_iter();
        for pause in pauses {
            reader.catch_up(&mut server, || crashes.next().unwrap_or(false));
            server.now += pause;
        }
        // Until everything has appeared and been looked for once more.
        server.now = server.now.max(BEGIN + 2 * DAY);
        reader.catch_up(&mut server, || false);
        for _ in 0..2 {
            server.now += 24 * HOUR;
            reader.catch_up(&mut server, || false);
        }
        reader.assert_complete(&server);
        // Everything since the start is covered, but for the last poll's surroundings. Where even the last page leads on,
        // its last event is as far as a claim can go.
        let end = reader.coverage.end().map_or(at(reader.start), at);
        let until = if server.habits.always_next { end } else { at(server.now - HOUR) };
        let open = reader.coverage.gaps(headwater_contracts::Span::new(at(reader.start), until));
        prop_assert!(open.is_empty(), "{open:?}");
    }
}

fn quiet(unknown: UnknownCursor) -> Habits {
    Habits { inclusive: true, page_size: 10, takes_page_size: true, echo_delay: 0, unknown, always_next: false }
}

fn view_of(reader: &Reader) -> StreamView<'_> {
    StreamView {
        first: false,
        stream: "acme.pactflow.io",
        now: at(BEGIN),
        start: at(reader.start),
        coverage: &reader.coverage,
        state: None,
        calls: &[],
    }
}

fn fed(scan: &mut dyn Scan, records: &[(&str, i64)], next: Option<&str>, now: i64) -> Result<Next, ReadError> {
    let _ = scan.request();
    for (uuid, time) in records {
        let raw = json!({ "uuid": uuid, "timestamp": at(*time).to_rfc3339() }).to_string();
        scan.record(raw.as_bytes(), &OwnRequests::default()).unwrap();
    }
    let links = next.map_or(json!({}), |from| json!({ "next": { "href": format!("/audit?from={from}") } }));
    let envelope = json!({ "events": [], "_links": links }).to_string();
    let end = PageEnd { envelope: envelope.as_bytes(), records: records.len() as u64, server_time: at(now) };
    scan.page(&end)
}

fn new_scan(reader: &Reader, state: Option<&Value>) -> Box<dyn Scan> {
    reader.source.plan(&StreamView { state, ..view_of(reader) }).scans.remove(0)
}
