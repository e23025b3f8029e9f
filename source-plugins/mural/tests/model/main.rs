//! The source against a small model of the server, without HTTP: whatever its bounds, pages, ends of chains and delays
//! are, every event is delivered once, and coverage claims nothing unread.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may

use chrono::TimeDelta;
use headwater_contracts::{
    Coverage, Identity, Next, OwnRequests, PageEnd, ReadError, Rejection, Request, Scan, Source, SourceConfig,
    SourceOptions, Span, StreamView, Timestamp,
};
use headwater_source_mural::MuralConfig;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// The model's present when the first run begins.
const BEGIN: i64 = 1_700_000_000_000;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_timestamp_millis(ms).unwrap()
}

#[derive(Debug, Clone, Copy)]
enum EndOfChain {
    NoToken,
    NullToken,
    EmptyToken,
    EmptyPage,
}

#[derive(Debug, Clone)]
struct Habits {
    bounds_inclusive: bool,
    largest_page: u32,
    served: usize,
    end: EndOfChain,
    legacy_dates: bool,
    /// Empty pages before each page in mid-chain.
    empty_pages: usize,
    /// Every so many-th call in mid-chain finds its token expired; 0 for never.
    expires: usize,
}

#[derive(Debug, Clone)]
struct Stored {
    id: String,
    action: String,
    time: i64,
    visible: i64,
}

struct Server {
    habits: Habits,
    now: i64,
    stored: Vec<Stored>,
    frozen: HashMap<String, Vec<Stored>>,
    /// Empty pages still to come before what a token leads to.
    empties: HashMap<String, usize>,
    calls: Vec<Timestamp>,
    continued: usize,
}

fn parse(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().timestamp_millis()
}

impl Server {
    fn new(habits: Habits, stored: Vec<Stored>) -> Self {
        Self {
            habits,
            now: BEGIN,
            stored,
            frozen: HashMap::new(),
            empties: HashMap::new(),
            calls: vec![],
            continued: 0,
        }
    }

    /// Elements and envelope, or a status.
    fn answer(&mut self, request: &Request) -> Result<(Vec<Vec<u8>>, Vec<u8>), u16> {
        self.calls.push(at(self.now));
        self.now += 20_000;
        let query: HashMap<_, _> = request.query.iter().cloned().collect();
        let size: u32 = query["maxResults"].parse().unwrap();
        if size > self.habits.largest_page {
            return Err(400);
        }
        let mut rows = if let Some(token) = query.get("nextToken") {
            self.continued += 1;
            if self.habits.expires > 0 && self.continued.is_multiple_of(self.habits.expires) {
                return Err(410);
            }
            if let Some(empties) = self.empties.get(token).copied().filter(|left| *left > 0) {
                let (rest, next) = (self.frozen[token].clone(), format!("token-{}", self.calls.len()));
                self.frozen.insert(next.clone(), rest);
                self.empties.insert(next.clone(), empties - 1);
                return Ok((vec![], json!({ "data": [], "nextToken": next }).to_string().into_bytes()));
            }
            self.frozen[token].clone()
        } else {
            let (since, until) = (parse(&query["filter[date][since]"]), parse(&query["filter[date][until]"]));
            assert!(since < until && until <= self.now && until - since < 30 * DAY, "{since} {until} {}", self.now);
            let inclusive = self.habits.bounds_inclusive;
            let inside = |t: i64| (since < t && t < until) || (inclusive && (t == since || t == until));
            let actions: Option<Vec<&str>> = query.get("filter[action]").map(|names| names.split(',').collect());
            assert!(actions.as_ref().is_none_or(|names| names.len() <= 10));
            let wanted = |e: &&Stored| actions.as_ref().is_none_or(|names| names.contains(&e.action.as_str()));
            let mut rows: Vec<_> = self
                .stored
                .iter()
                .filter(|e| e.visible <= self.now && inside(e.time))
                .filter(wanted)
                .cloned()
                .collect();
            rows.sort_by_key(|e| (std::cmp::Reverse(e.time), e.id.clone()));
            rows
        };
        let rest = rows.split_off(rows.len().min(self.habits.served));
        let mut envelope = json!({ "data": [] });
        let token = format!("token-{}", self.calls.len());
        if rest.is_empty() {
            match self.habits.end {
                EndOfChain::NoToken => {}
                EndOfChain::NullToken => envelope["nextToken"] = Value::Null,
                EndOfChain::EmptyToken => envelope["nextToken"] = json!(""),
                EndOfChain::EmptyPage if rows.is_empty() => {
                    // Another token than the one that led here, and then the same for ever.
                    envelope["nextToken"] = json!("the end");
                    self.frozen.insert("the end".to_owned(), vec![]);
                }
                EndOfChain::EmptyPage => {
                    envelope["nextToken"] = json!(token);
                    self.frozen.insert(token, vec![]);
                }
            }
        } else {
            envelope["nextToken"] = json!(token);
            self.empties.insert(token.clone(), self.habits.empty_pages);
            self.frozen.insert(token, rest);
        }
        let pattern = if self.habits.legacy_dates { "%Y-%m-%d %H:%M:%S%.3f" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" };
        let element = |e: &Stored| {
            json!({ "id": e.id, "action": e.action, "date": at(e.time).format(pattern).to_string(), "snapshotDate": self.now })
                .to_string()
                .into_bytes()
        };
        Ok((rows.iter().map(element).collect(), envelope.to_string().into_bytes()))
    }
}

/// The runtime's part, reduced: a ledger that is a set, state and coverage.
struct Reader {
    source: Box<dyn Source>,
    start: i64,
    /// Actions that the filter names, all if empty.
    actions: Vec<String>,
    state: Option<Value>,
    coverage: Coverage,
    seen: HashSet<Identity>,
    delivered: BTreeMap<String, u32>,
}

impl Reader {
    fn new(own: Value, options: &SourceOptions, start: i64) -> Self {
        let mut yaml = json!({ "api_key": "k" });
        yaml.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let config: MuralConfig = serde_json::from_value(yaml).unwrap();
        Self {
            source: config.build(options).unwrap().source,
            start,
            actions: own
                .pointer("/filter/actions")
                .map(|names| serde_json::from_value(names.clone()).unwrap())
                .unwrap_or_default(),
            state: None,
            coverage: Coverage::default(),
            seen: HashSet::new(),
            delivered: BTreeMap::new(),
        }
    }

    fn plan(&self, server: &Server) -> headwater_contracts::Plan {
        self.source.plan(&StreamView {
            first: false,
            stream: "api.mural.co",
            now: at(server.now),
            start: at(self.start),
            coverage: &self.coverage,
            state: self.state.as_ref(),
            calls: &server.calls,
        })
    }

    fn catch_up(&mut self, server: &mut Server, mut crash: impl FnMut() -> bool) {
        for _ in 0..600 {
            let plan = self.plan(server);
            if plan.scans.is_empty() {
                assert!(plan.wake.is_some_and(|wake| wake > at(server.now)), "{:?}", plan.wake);
                return;
            }
            let mut queue: VecDeque<_> = plan.scans.into();
            'scans: while let Some(mut scan) = queue.pop_front() {
                for _ in 0..500 {
                    match self.page(scan.as_mut(), server) {
                        Next::Complete => break,
                        Next::Split(pieces) => {
                            for piece in pieces.into_iter().rev() {
                                queue.push_front(piece);
                            }
                            break;
                        }
                        Next::More | Next::Restart(_) => {}
                    }
                    if crash() {
                        break 'scans;
                    }
                }
            }
        }
        panic!("the plan never comes to an end");
    }

    fn page(&mut self, scan: &mut dyn Scan, server: &mut Server) -> Next {
        let request = scan.request();
        let (elements, envelope) = match server.answer(&request) {
            Ok(page) => page,
            Err(status) => {
                let refused = Rejection { status, retry_after: None, content_type: String::new(), body: vec![] };
                return scan.rejected(&refused).unwrap_or(Next::More);
            }
        };
        for raw in &elements {
            let record = scan.record(raw, &OwnRequests::default()).unwrap();
            if record.wanted && self.seen.insert(record.identity) {
                *self.delivered.entry(record.id).or_default() += 1;
            }
        }
        let end = PageEnd { envelope: &envelope, records: elements.len() as u64, server_time: at(server.now) };
        let next = scan.page(&end).unwrap();
        if let Some(state) = scan.state() {
            self.state = Some(state);
        }
        if let Next::Complete = next {
            self.coverage.add(scan.span(), 0);
            // What had appeared when the sweep began and lies in a claimed range has been delivered.
            for event in server.stored.iter().filter(|e| e.time >= self.start && e.visible - e.time < 72 * HOUR) {
                let asked = self.actions.is_empty() || self.actions.contains(&event.action);
                let claimed = asked && self.coverage.contains(at(event.time));
                assert!(!claimed || self.delivered.contains_key(&event.id), "claimed but not read: {event:?}");
            }
        }
        next
    }
}

fn habits() -> impl Strategy<Value = Habits> {
    let end = prop_oneof![
        Just(EndOfChain::NoToken),
        Just(EndOfChain::NullToken),
        Just(EndOfChain::EmptyToken),
        Just(EndOfChain::EmptyPage)
    ];
    (
        any::<bool>(),
        prop_oneof![Just(1000), Just(50_000)],
        1usize..6,
        end,
        any::<bool>(),
        // Enough for the records of one instant, which cannot be read in pieces, and for what ends a chain.
        prop_oneof![Just(0usize), 8usize..16],
        0usize..3,
    )
        .prop_map(|(bounds_inclusive, largest_page, served, end, legacy_dates, expires, empty_pages)| Habits {
            bounds_inclusive,
            largest_page,
            served,
            end,
            legacy_dates,
            // Both together would let no chain of equal times come to its end.
            empty_pages: if expires == 0 { empty_pages } else { 0 },
            expires,
        })
}

fn event() -> impl Strategy<Value = (i64, i64)> {
    let late = prop_oneof![5 => DAY..2 * DAY, 1 => 2 * DAY..3 * DAY, 1 => 3 * DAY..6 * DAY];
    // Borders of partitions and equal times occur.
    let time = prop_oneof![2 => -20 * DAY..2 * DAY, 1 => (-80i64..8).prop_map(|n| n * 6 * HOUR - BEGIN % (6 * HOUR))];
    (time, late)
}

fn stored(events: &[(i64, i64)]) -> Vec<Stored> {
    let one = |(n, (time, late)): (usize, &(i64, i64))| Stored {
        id: format!("node-{n}"),
        action: format!("ACTION_{}", n % 13),
        time: BEGIN + time,
        visible: BEGIN + time + late,
    };
    events.iter().enumerate().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_event_is_delivered_once_whatever_the_server_does(
        habits in habits(),
        events in prop::collection::vec(event(), 0..80),
        pauses in prop::collection::vec(HOUR..14 * HOUR, 10..20),
        crashes in prop::collection::vec(prop::bool::weighted(0.05), 1..80),
        settled in any::<bool>(),
        start in prop_oneof![Just(-7 * DAY), Just(-DAY + 1234), Just(0)],
    ) {
        let mut server = Server::new(habits, stored(&events));
        let mode = if settled { "settled" } else { "early" };
        let mut reader = Reader::new(json!({ "mode": mode }), &SourceOptions::default(), BEGIN + start);
        let (mut crashes, mut pauses) = (crashes.into_iter(), pauses.into_iter().cycle());
        while server.now < BEGIN + 12 * DAY {
            reader.catch_up(&mut server, || crashes.next().unwrap_or(false));
            server.now += pauses.next().unwrap();
        }
        reader.catch_up(&mut server, || false);
        for event in &server.stored {
            let expected = u32::from(event.time >= reader.start);
            prop_assert_eq!(reader.delivered.get(&event.id).copied().unwrap_or(0), expected, "{:?}", event);
        }
        let settled_by_now = at(server.now - 3 * DAY - 7 * HOUR);
        let open = reader.coverage.gaps(Span::new(at(reader.start), settled_by_now));
        prop_assert!(open.is_empty(), "{open:?}");
        prop_assert!(reader.coverage.end() <= Some(server.now - 3 * DAY), "nothing is claimed before it has settled");
    }
}

fn plain() -> Habits {
    Habits {
        bounds_inclusive: true,
        largest_page: 50_000,
        served: 100,
        end: EndOfChain::NoToken,
        legacy_dates: false,
        empty_pages: 0,
        expires: 0,
    }
}

#[test]
fn more_than_ten_actions_take_a_chain_each_ten() {
    let events: Vec<_> = (0..26).map(|n| (-20 * DAY + n * HOUR, DAY)).collect();
    let mut server = Server::new(plain(), stored(&events));
    let actions: Vec<String> = (0..12).map(|n| format!("ACTION_{n}")).collect();
    let own = json!({ "filter": { "actions": actions }, "mode": "settled" });
    let mut reader = Reader::new(own, &SourceOptions::default(), BEGIN - 21 * DAY);
    reader.catch_up(&mut server, || false);
    assert_eq!(reader.delivered.len(), 24, "all but the two of `ACTION_12`");
}

#[test]
fn a_day_of_early_reading_stays_far_below_the_budget() {
    let mut server = Server::new(plain(), vec![]);
    let mut reader = Reader::new(json!({}), &SourceOptions::default(), BEGIN - 8 * DAY);
    reader.catch_up(&mut server, || false);
    let before = server.calls.len();
    for _ in 0..24 {
        server.now += HOUR;
        reader.catch_up(&mut server, || false);
    }
    assert!(server.calls.len() - before < 300, "{} calls a day", server.calls.len() - before);
}

fn first_scan(reader: &Reader, server: &Server) -> Box<dyn Scan> {
    reader.plan(server).scans.remove(0)
}

fn end(envelope: &'static str, records: u64) -> PageEnd<'static> {
    PageEnd { envelope: envelope.as_bytes(), records, server_time: at(BEGIN) }
}

fn reader() -> (Reader, Server) {
    let own = json!({ "mode": "settled" });
    (Reader::new(own, &SourceOptions::default(), BEGIN - 10 * DAY), Server::new(plain(), vec![]))
}

#[test]
fn an_ignored_window_is_an_error_and_marks_nothing() {
    let (reader, server) = reader();
    let mut scan = first_scan(&reader, &server);
    let _ = scan.request();
    for id in ["a", "b", "c", "d"] {
        let raw = json!({ "id": id, "date": at(BEGIN - DAY).to_rfc3339() }).to_string();
        assert!(!scan.record(raw.as_bytes(), &OwnRequests::default()).unwrap().wanted);
    }
    let error = scan.page(&end(r#"{"data":[]}"#, 4)).err().unwrap();
    assert!(matches!(&error, ReadError::Malformed(text) if text.contains("window")), "{error}");
    assert_eq!(scan.state(), None);
    assert!(scan.span().is_empty());
}

#[test]
fn a_repeated_token_restarts_and_then_splits_down_to_a_quarter_of_an_hour() {
    let (reader, server) = reader();
    let mut scans = vec![first_scan(&reader, &server)];
    let mut errors = 0;
    let mut splits = 0;
    while let Some(mut scan) = scans.pop() {
        for _ in 0..20 {
            let _ = scan.request();
            match scan.page(&end(r#"{"data":[],"nextToken":"same"}"#, 1)) {
                Ok(Next::Split(pieces)) => {
                    splits += 1;
                    scans.extend(pieces);
                    break;
                }
                Ok(Next::Complete) => panic!("a circle is not the end"),
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.class(), "malformed");
                    errors += 1;
                    break;
                }
            }
        }
    }
    // The first range is 1 h 46 min 40 s long.
    assert_eq!((splits, errors), (3, 4));
}

#[test]
fn a_partition_read_in_pieces_is_swept_only_when_every_piece_is() {
    let (reader, server) = reader();
    let split = |scan: &mut Box<dyn Scan>| loop {
        let _ = scan.request();
        if let Next::Split(pieces) = scan.page(&end(r#"{"data":[],"nextToken":"same"}"#, 1)).unwrap() {
            return pieces;
        }
    };
    let mut pieces = split(&mut first_scan(&reader, &server));
    let marked = |scan: &dyn Scan| scan.state().unwrap()["partitions"].as_object().unwrap().len();
    let mut last = pieces.pop().unwrap();
    let mut first = pieces.pop().unwrap();
    let (mut low, mut count) = (first.span().from, 0);
    let mut inner = split(&mut first);
    inner.push(last);
    for piece in &mut inner {
        let _ = piece.request();
        assert!(matches!(piece.page(&end(r#"{"data":[]}"#, 0)), Ok(Next::Complete)));
        assert_eq!(piece.span().from, low, "pieces follow each other without a hole");
        low = piece.span().to;
        count += 1;
        assert_eq!(marked(piece.as_ref()), usize::from(count == 3));
    }

    let mut pieces = split(&mut first_scan(&reader, &server));
    last = pieces.pop().unwrap();
    let _ = last.request();
    assert!(matches!(last.page(&end(r#"{"data":[]}"#, 0)), Ok(Next::Complete)));
    assert_eq!(marked(last.as_ref()), 0, "the first half is missing");
}

#[test]
fn refusals_in_mid_chain_are_told_apart() {
    let (reader, server) = reader();
    let mut scan = first_scan(&reader, &server);
    let refused =
        |status| Rejection { status, retry_after: None, content_type: String::new(), body: b"<html>".to_vec() };
    let _ = scan.request();
    assert!(matches!(scan.page(&end(r#"{"data":[],"nextToken":"t"}"#, 1)), Ok(Next::More)));
    let has_token = |scan: &mut Box<dyn Scan>| scan.request().query.iter().any(|(name, _)| name == "nextToken");
    for (status, class) in [(429, "throttled"), (500, "transient")] {
        assert!(has_token(&mut scan));
        assert_eq!(scan.rejected(&refused(status)).err().unwrap().class(), class);
    }
    for status in [401, 403] {
        assert!(has_token(&mut scan));
        assert_eq!(scan.rejected(&refused(status)).err().unwrap().class(), "denied");
        assert!(!has_token(&mut scan), "a dead token is not held for ever");
        assert!(matches!(scan.page(&end(r#"{"data":[],"nextToken":"u"}"#, 1)), Ok(Next::More)));
    }
    assert!(has_token(&mut scan));
    assert_eq!(scan.page(&end("{}", 0)).err().unwrap().class(), "malformed");
    assert!(!has_token(&mut scan), "from the start again after a page that is none");
    assert!(matches!(scan.page(&end(r#"{"data":[],"nextToken":"v"}"#, 1)), Ok(Next::More)));
    assert!(matches!(scan.rejected(&refused(404)), Ok(Next::Restart(_))));
    assert!(!has_token(&mut scan), "from the start again");
}

#[test]
fn empty_pages_that_lead_on_without_end_prove_nothing() {
    let server = Server::new(plain(), vec![]);
    let reader = Reader::new(json!({ "mode": "settled" }), &SourceOptions::default(), BEGIN - 10 * DAY);
    let mut scan = reader.plan(&server).scans.into_iter().next().unwrap();
    let mut page = |token: &str| {
        let _ = scan.request();
        let envelope = json!({ "data": [], "nextToken": token }).to_string();
        let end = PageEnd { envelope: envelope.as_bytes(), records: 0, server_time: at(BEGIN) };
        (scan.page(&end), scan.span().is_empty())
    };
    for n in 0..9 {
        assert!(matches!(page(&format!("token-{n}")), (Ok(Next::More), true)), "{n}");
    }
    let (given_up, nothing_claimed) = page("token-9");
    assert!(given_up.is_err_and(|error| error.class() == "malformed") && nothing_claimed);
    // The token that it was asked with is the end.
    assert!(matches!(page("a"), (Ok(Next::More), true)));
    assert!(matches!(page("a"), (Ok(Next::Complete), false)));
}

#[test]
fn a_refused_page_size_is_replaced_and_remembered() {
    let mut server = Server::new(Habits { largest_page: 1000, ..plain() }, vec![]);
    let mut reader = Reader::new(json!({ "mode": "settled" }), &SourceOptions::default(), BEGIN - 10 * DAY);
    reader.catch_up(&mut server, || false);
    let partitions = reader.state.as_ref().unwrap()["partitions"].as_object().unwrap().len();
    assert!(partitions > 20);
    let refused = 1;
    assert_eq!(server.calls.len(), refused + 5, "1, 2, 4, 8 and 14 of them at once");
}

#[test]
fn real_records_pass_with_their_ids() {
    let (reader, server) = reader();
    let mut scan = first_scan(&reader, &server);
    let mut count = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pages")).unwrap() {
        let raw = std::fs::read(file.unwrap().path()).unwrap();
        let record = scan.record(&raw, &OwnRequests::default()).unwrap();
        // All of them lie outside of this window.
        assert!(record.id.starts_with("node-") && !record.wanted && record.time.is_none());
        count += 1;
    }
    assert_eq!(count, 8);
    assert!(scan.record(b"17", &OwnRequests::default()).is_err());
    assert!(reader.source.horizon(at(BEGIN)) < at(BEGIN) - TimeDelta::days(30));
}

#[test]
fn a_changed_filter_is_applied_to_everything_within_reach() {
    let events: Vec<_> = (0..26).map(|n| (-20 * DAY + n * HOUR, DAY)).collect();
    let mut server = Server::new(plain(), stored(&events));
    let with = |actions: &[&str]| {
        let own = json!({ "filter": { "actions": actions }, "mode": "settled" });
        Reader::new(own, &SourceOptions::default(), BEGIN - 21 * DAY)
    };
    let mut first = with(&["ACTION_1", "ACTION_2"]);
    first.catch_up(&mut server, || false);
    assert_eq!(first.delivered.len(), 4);
    let (state, coverage, calls) = (first.state, first.coverage, server.calls.len());
    let mut same = with(&["ACTION_2", "ACTION_1"]);
    (same.state, same.coverage) = (state.clone(), coverage.clone());
    same.catch_up(&mut server, || false);
    assert!(server.calls.len() < calls + 10, "the same names in another order are the same filter");
    let mut other = with(&["ACTION_3"]);
    // The old claims stand: they speak of the old filter.
    (other.state, other.coverage) = (state, coverage);
    other.actions = vec!["none".into()];
    other.catch_up(&mut server, || false);
    assert_eq!(other.delivered.len(), 2);
    let calls = server.calls.len();
    other.catch_up(&mut server, || false);
    assert_eq!(server.calls.len(), calls, "once");
}

#[test]
fn a_window_that_aged_beyond_the_look_back_is_not_claimed() {
    let reader = Reader::new(json!({ "mode": "settled" }), &SourceOptions::default(), BEGIN - 40 * DAY);
    let server = Server::new(plain(), vec![]);
    let since =
        |scan: &mut Box<dyn Scan>| parse(&scan.request().query.iter().find(|(n, _)| n.contains("since")).unwrap().1);
    let answered = |minutes: i64| PageEnd { server_time: at(BEGIN + minutes * 60_000), ..end(r#"{"data":[]}"#, 0) };

    let mut scan = first_scan(&reader, &server);
    assert!(since(&mut scan) >= BEGIN - 30 * DAY + 2 * HOUR - 1000);
    assert!(matches!(scan.page(&answered(55)), Ok(Next::Complete)), "an hour of retries is allowed for");

    let mut scan = first_scan(&reader, &server);
    let first = since(&mut scan);
    assert!(matches!(scan.page(&answered(90)), Ok(Next::Restart(_))));
    let second = since(&mut scan);
    assert!(second > first && second >= BEGIN + 90 * 60_000 - (29 * 24 + 23) * HOUR);
    assert!(matches!(scan.page(&answered(91)), Ok(Next::Complete)));
    assert!(scan.span().from > second, "what may have been clamped is not covered");
    assert_eq!(scan.state().unwrap()["partitions"].as_object().unwrap().len(), 1, "what is left of it is done");

    let mut scan = first_scan(&reader, &server);
    let _ = scan.request();
    assert_eq!(scan.page(&answered(24 * 60)).err().unwrap().class(), "malformed");
    assert_eq!(scan.state(), None);
}

#[test]
fn a_sweep_in_pieces_that_is_dropped_goes_on_where_it_was() {
    let (mut reader, server) = reader();
    let split = |scan: &mut Box<dyn Scan>| loop {
        let _ = scan.request();
        if let Next::Split(pieces) = scan.page(&end(r#"{"data":[],"nextToken":"same"}"#, 1)).unwrap() {
            return pieces;
        }
    };
    let mut whole = first_scan(&reader, &server);
    let begin = whole.span().from;
    let mut pieces = split(&mut whole);
    let _ = pieces[0].request();
    assert!(matches!(pieces[0].page(&end(r#"{"data":[]}"#, 0)), Ok(Next::Complete)));
    reader.state = pieces[0].state();
    let read_to = pieces[0].span().to;
    assert!(read_to > begin);
    drop(pieces);

    let mut rest = first_scan(&reader, &server);
    assert_eq!(rest.span().from, read_to);
    // Dropped with nothing done, it is planned the same.
    let mut again = split(&mut rest);
    drop(again.remove(0));
    let mut rest = first_scan(&reader, &server);
    assert_eq!(rest.span().from, read_to);
    let _ = rest.request();
    assert!(matches!(rest.page(&end(r#"{"data":[]}"#, 0)), Ok(Next::Complete)));
    reader.state = rest.state();
    assert_eq!(reader.state.as_ref().unwrap()["partial"], Value::Null);
    assert_eq!(first_scan(&reader, &server).span().from, rest.span().to, "the next partition");
}

#[test]
fn a_sweep_dropped_at_any_page_is_made_up_for() {
    let events: Vec<_> = (0..60).map(|n| (-9 * DAY + n * HOUR, DAY)).collect();
    for every in 2..6 {
        // Three pages to a partition: a chain is dropped now in its middle, now at its end.
        let mut server = Server::new(Habits { served: 3, ..plain() }, stored(&events));
        let own = json!({ "mode": "settled" });
        let mut reader = Reader::new(own, &SourceOptions::default(), BEGIN - 10 * DAY);
        let mut pages = 0;
        reader.catch_up(&mut server, || {
            pages += 1;
            pages % (every + 1) == 0
        });
        assert!(reader.delivered.len() == 60 && reader.delivered.values().all(|times| *times == 1), "{every}");
    }
}
