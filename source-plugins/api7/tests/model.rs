//! The plugin against a model of the API in memory: whatever the pages, the bounds, the unit and the order among equal times,
//! each row is read, and exactly once is wanted by a window.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use chrono::TimeDelta;
use headwater_contracts::{
    Coverage, Next, OwnRequest, OwnRequests, PageEnd, Period, Rejection, Request, Scan, Secret, Source, SourceConfig,
    SourceOptions, StreamView, Timestamp,
};
use headwater_source_api7::{Api7Config, Filter, TimestampUnit};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NOW: i64 = 1_718_000_000;

/// A table and the manners of its server.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each manner is found alone or with any other")]
struct Server {
    /// Times in its unit; the id is the position.
    rows: Vec<i64>,
    max_page: usize,
    start_inclusive: bool,
    end_inclusive: bool,
    null_list: bool,
    sorts: bool,
    /// Its `total` counts the entries of the page only.
    counts_page: bool,
    /// Its `total` is never more than this.
    cap: usize,
    asked: u64,
    requests: u32,
    /// Each question becomes a row, at this time.
    records_at: Option<i64>,
    /// The `http_request` of such rows.
    reads: BTreeMap<usize, Value>,
    sent: OwnRequests,
}

impl Server {
    /// The elements of a page, and the page without them.
    fn answer(&mut self, request: &Request) -> (Vec<String>, Vec<u8>) {
        self.requests += 1;
        self.asked = self.asked.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = |name: &str| {
            request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.parse::<i64>().unwrap())
        };
        let (start, end) = (number("start_at"), number("end_at"));
        let shuffle = |id: usize| {
            (id as u64 + 1).wrapping_mul(self.asked | 1).rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        let mut found: Vec<(i64, u64, usize)> = self
            .rows
            .iter()
            .enumerate()
            .filter(|(_, time)| start.is_none_or(|start| **time > start || (self.start_inclusive && **time == start)))
            .filter(|(_, time)| end.is_none_or(|end| **time < end || (self.end_inclusive && **time == end)))
            .map(|(id, time)| (if self.sorts || start.is_none() { *time } else { 0 }, shuffle(id), id))
            .collect();
        found.sort_unstable();
        let size = usize::try_from(number("page_size").unwrap()).unwrap().min(self.max_page);
        let skip = (usize::try_from(number("page").unwrap()).unwrap() - 1) * size;
        let page: Vec<String> = found
            .iter()
            .skip(skip)
            .take(size)
            .map(|(_, _, id)| {
                let operator = json!({ "username": user(*id) });
                let mut row = json!({ "id": id.to_string(), "event_time": self.rows[*id], "operator": operator });
                self.reads.get(id).into_iter().for_each(|read| row["http_request"] = read.clone());
                row.to_string()
            })
            .collect();
        if let Some(now) = self.records_at {
            self.record(request, now);
        }
        let list = if page.is_empty() && self.null_list { Value::Null } else { json!([]) };
        let total = if self.counts_page { page.len() } else { found.len().min(self.cap) };
        (page, json!({ "total": total, "list": list }).to_string().into_bytes())
    }

    /// The row of a question.
    fn record(&mut self, request: &Request, now: i64) {
        let query: Vec<String> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let user_agent = format!("headwater/1 (poller a; req {})", self.requests);
        let uri = format!("{}?{}", request.path, query.join("&"));
        self.reads.insert(self.rows.len(), json!({ "method": "GET", "uri": uri, "user_agent": user_agent }));
        self.rows.push(now);
        self.sent.insert(OwnRequest {
            id: self.requests.to_string(),
            user_agent,
            method: "GET".into(),
            path: request.path.clone(),
            query: request.query.clone(),
            sent: at(now),
        });
    }
}

/// Who made a row.
fn user(id: usize) -> &'static str {
    if id.is_multiple_of(3) { "Ops" } else { "Dev" }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(seconds, 0).unwrap()
}

fn source(unit: TimestampUnit) -> Box<dyn Source> {
    source_with(unit, &SourceOptions::default())
}

fn source_with(unit: TimestampUnit, options: &SourceOptions) -> Box<dyn Source> {
    source_of(unit, json!({}), options)
}

fn source_of(unit: TimestampUnit, filter: Value, options: &SourceOptions) -> Box<dyn Source> {
    let yaml = json!({ "endpoint": "https://api7.example:7443", "token": "t", "filter": filter });
    let mut config: Api7Config = serde_json::from_value(yaml).unwrap();
    config.timestamp_unit = unit;
    config.token = Secret::new("t");
    config.build(options).unwrap().source
}

/// A stream's committed ledger.
#[derive(Default)]
struct Book {
    state: Option<Value>,
    coverage: Coverage,
    wanted: Vec<String>,
    notes: Vec<String>,
}

/// Plans and scans until there is nothing to do, and returns when there will be.
fn read(source: &dyn Source, server: &mut Server, book: &mut Book, now: i64, first: bool) -> i64 {
    let mut first = first;
    loop {
        let plan = source.plan(&StreamView {
            stream: "api7.example:7443",
            now: at(now),
            start: Timestamp::UNIX_EPOCH,
            first,
            coverage: &book.coverage,
            state: book.state.as_ref(),
            calls: &[],
        });
        book.notes.extend(plan.notes);
        if plan.scans.is_empty() {
            let wake = plan.wake.unwrap();
            assert!(wake > at(now), "it would be asked again at once");
            return wake.timestamp();
        }
        let mut stack: Vec<Box<dyn Scan>> = plan.scans.into_iter().rev().collect();
        while let Some(mut scan) = stack.pop() {
            loop {
                assert!(server.requests < 20_000, "no end: {}", scan.describe());
                let request = scan.request();
                let (page, envelope) = server.answer(&request);
                for raw in &page {
                    let record = scan.record(raw.as_bytes(), &server.sent).unwrap();
                    if record.wanted {
                        book.wanted.push(record.id);
                    }
                }
                let end = PageEnd { envelope: &envelope, records: page.len() as u64, server_time: at(now) };
                match scan.page(&end).unwrap() {
                    Next::More => {}
                    Next::Complete => {
                        book.state = scan.state().or(book.state.take());
                        book.coverage.add(scan.span(), 0);
                        first = false;
                        break;
                    }
                    Next::Restart(why) => panic!("{why}"),
                    Next::Split(pieces) => {
                        stack.extend(pieces.into_iter().rev());
                        break;
                    }
                }
            }
        }
    }
}

fn server() -> impl Strategy<Value = Server> {
    let cluster = (0i64..3 * 86_400, 1usize..40);
    let row = prop::collection::vec(cluster, 0..8);
    (row, 10usize..60, any::<[bool; 4]>(), any::<u64>(), prop::bool::weighted(0.8)).prop_map(
        |(clusters, max_page, [start_inclusive, end_inclusive, null_list, millis], asked, sorts)| {
            let unit = if millis { 1000 } else { 1 };
            let rows = clusters
                .iter()
                .flat_map(|(age, count)| (0..*count).map(move |n| NOW - 61 - age - i64::from(n % 7 == 6)))
                .map(|seconds| seconds * unit + if millis { 7 } else { 0 })
                .collect();
            Server { rows, max_page, start_inclusive, end_inclusive, null_list, sorts, asked, ..few(&[]) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_row_is_read_whatever_the_manners_of_the_server(mut server in server()) {
        let source = source(TimestampUnit::Auto);
        let mut book = Book::default();
        read(source.as_ref(), &mut server, &mut book, NOW, true);
        let wanted: BTreeSet<&String> = book.wanted.iter().collect();
        prop_assert_eq!(wanted.len(), server.rows.len());
        for time in &server.rows {
            let millis = if *time > 100_000_000_000 { *time } else { time * 1000 };
            prop_assert!(book.coverage.contains(Timestamp::from_timestamp_millis(millis).unwrap()));
        }
        prop_assert!(!book.coverage.contains(at(NOW - 59)), "what has not settled is not claimed");
        // Late rows: within the overlap at the next poll, hours late at the next re-scan.
        let unit = if server.rows.first().is_some_and(|time| *time > 100_000_000_000) { 1000 } else { 1 };
        if !server.rows.is_empty() {
            server.rows.extend([(NOW - 300) * unit, (NOW - 40_000) * unit]);
            let (soon, late) = ((server.rows.len() - 2).to_string(), (server.rows.len() - 1).to_string());
            book.wanted.clear();
            read(source.as_ref(), &mut server, &mut book, NOW + 310, false);
            prop_assert!(book.wanted.contains(&soon) && !book.wanted.contains(&late));
            read(source.as_ref(), &mut server, &mut book, NOW + 90_000, false);
            prop_assert!(book.wanted.contains(&late));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_user_asked_for_by_name_costs_no_row_and_no_proof(mut server in server()) {
        let by = |name: &str| source_of(TimestampUnit::Auto, json!({ "operator": name }), &SourceOptions::default());
        let of = |name: &str| (0..server.rows.len()).filter(|id| user(*id) == name).map(|id| id.to_string()).collect();
        let (ops, dev): (BTreeSet<String>, BTreeSet<String>) = (of("Ops"), of("Dev"));
        let mut book = Book::default();
        read(by("ops").as_ref(), &mut server, &mut book, NOW, true);
        prop_assert_eq!(book.wanted.drain(..).collect::<BTreeSet<_>>(), ops);
        prop_assert!(server.rows.is_empty() || book.coverage.contains(at(NOW - 3600)));
        // Another name: what was passed over for the first is read for it, from the beginning.
        read(by("Dev").as_ref(), &mut server, &mut book, NOW, true);
        prop_assert_eq!(book.wanted.drain(..).collect::<BTreeSet<_>>(), dev);
    }
}

fn few(rows: &[i64]) -> Server {
    let rows = rows.to_vec();
    Server {
        rows,
        max_page: 50,
        start_inclusive: true,
        end_inclusive: true,
        null_list: true,
        sorts: true,
        counts_page: false,
        cap: usize::MAX,
        asked: 1,
        requests: 0,
        records_at: None,
        reads: BTreeMap::new(),
        sent: OwnRequests::default(),
    }
}

#[test]
fn a_log_that_records_each_question_is_not_outgrown() {
    // Each record is within the overlap of sixty polls, and a page holds ten.
    let options = SourceOptions { poll_interval: Some(Period::seconds(10)), ..SourceOptions::default() };
    let source = source_with(TimestampUnit::Auto, &options);
    let (mut server, mut book) = (few(&[NOW - 500]), Book::default());
    server.max_page = 10;
    let mut per_hour = Vec::new();
    let mut now = NOW;
    for hour in 1..=4 {
        let before = server.requests;
        while now < NOW + hour * 3600 {
            server.records_at = Some(now);
            now = read(source.as_ref(), &mut server, &mut book, now, now == NOW);
        }
        per_hour.push(server.requests - before);
    }
    assert!(per_hour[3] <= per_hour[1] && per_hour[3] < 120, "{per_hour:?}");
    assert!(book.notes.iter().any(|note| note.contains("outgrow")), "{:?}", book.notes);
    let wanted: BTreeSet<&String> = book.wanted.iter().collect();
    let settled = server.rows.iter().filter(|time| **time < now - 600).count();
    assert!(wanted.len() >= settled);
}

#[test]
fn an_empty_log_is_asked_again_before_anything_is_claimed() {
    let (source, mut server, mut book) = (source(TimestampUnit::Auto), few(&[]), Book::default());
    read(source.as_ref(), &mut server, &mut book, NOW, true);
    assert!(book.coverage.ranges().is_empty() && server.requests == 1);
    // The first entries are in milliseconds, and from before.
    server.rows.push((NOW - 100) * 1000);
    read(source.as_ref(), &mut server, &mut book, NOW + 300, false);
    assert_eq!(book.wanted, ["0"]);
}

#[test]
fn a_clock_that_goes_back_is_said_and_nothing_is_missed() {
    let (source, mut server, mut book) = (source(TimestampUnit::Auto), few(&[NOW - 500]), Book::default());
    read(source.as_ref(), &mut server, &mut book, NOW, true);
    assert!(book.notes.is_empty());
    server.rows.push(NOW - 1900);
    read(source.as_ref(), &mut server, &mut book, NOW - 1700, false);
    assert!(book.notes.iter().any(|note| note.contains("clock has gone back")), "{:?}", book.notes);
    assert!(book.wanted.contains(&"1".to_owned()));
    server.rows.push(NOW + 100);
    read(source.as_ref(), &mut server, &mut book, NOW + 200, false);
    assert!(book.wanted.contains(&"2".to_owned()));
}

#[test]
fn a_plan_by_a_clock_ahead_of_the_servers_claims_nothing_and_makes_way_for_one_by_the_servers() {
    let (source, mut server, mut book) = (source(TimestampUnit::Auto), few(&[NOW - 500]), Book::default());
    read(source.as_ref(), &mut server, &mut book, NOW - 300, true);
    // A new process knows its own clock alone, until the first answer shows the server's.
    let view = |book: &Book, now| {
        source.plan(&StreamView {
            stream: "api7.example:7443",
            now: at(now),
            start: Timestamp::UNIX_EPOCH,
            first: true,
            coverage: &book.coverage,
            state: book.state.as_ref(),
            calls: &[],
        })
    };
    let mut scan = view(&book, NOW + 1800).scans.into_iter().next().unwrap();
    let (page, envelope) = server.answer(&scan.request());
    for raw in &page {
        scan.record(raw.as_bytes(), &OwnRequests::default()).unwrap();
    }
    let end = PageEnd { envelope: &envelope, records: page.len() as u64, server_time: at(NOW) };
    assert!(matches!(scan.page(&end), Ok(Next::Complete)));
    assert!(scan.span().is_empty());
    book.state = scan.state();
    let asked = server.requests;
    read(source.as_ref(), &mut server, &mut book, NOW, false);
    assert_eq!(server.requests - asked, 1, "at once, and once");
    assert!(book.coverage.contains(at(NOW - 61)) && !book.coverage.contains(at(NOW - 59)));
}

#[test]
fn a_server_that_ignores_the_bounds_or_has_no_total_is_not_believed() {
    let source = source(TimestampUnit::S);
    let mut server = few(&[NOW - 500]);
    let mut book = Book::default();
    read(source.as_ref(), &mut server, &mut book, NOW, true);
    let plan = source.plan(&StreamView {
        stream: "api7.example:7443",
        now: at(NOW + 300),
        start: Timestamp::UNIX_EPOCH,
        first: false,
        coverage: &book.coverage,
        state: book.state.as_ref(),
        calls: &[],
    });
    let mut scan = plan.scans.into_iter().next().unwrap();
    let end = |envelope| PageEnd { envelope, records: 1, server_time: at(NOW + 300) };
    let old = |scan: &mut Box<dyn Scan>, count: u64| {
        scan.request();
        let delivered = (0..count).filter(|n| {
            let raw = json!({ "id": format!("x{n}"), "event_time": NOW - 9_000 }).to_string();
            let record = scan.record(raw.as_bytes(), &OwnRequests::default()).unwrap();
            record.wanted && record.time.is_none()
        });
        let end = PageEnd { envelope: br#"{"total":5,"list":[]}"#, records: count, server_time: at(NOW + 300) };
        (delivered.count() as u64 == count, scan.page(&end))
    };
    let (wanted, Err(error)) = old(&mut scan, 5) else { panic!("believed") };
    assert!(!wanted && error.to_string().contains("`timestamp_unit`"), "{error}");
    // One is an odd record, and no reason not to read the others.
    assert!(matches!(old(&mut scan, 1), (false, Ok(Next::More))));
    assert!(old(&mut scan, 1).0, "delivered, without a time");
    assert_eq!(scan.remarks().len(), 1);
    for page in [&br#"{"list":[]}"#[..], br#"{"total":-1,"list":[]}"#, br#"{"total":1}"#, b"<html>"] {
        scan.request();
        assert!(scan.page(&end(page)).is_err());
    }
    assert!(scan.span().is_empty() && scan.state().is_none());
    let refusal = |status, body: &str| Rejection {
        status,
        retry_after: None,
        content_type: String::new(),
        body: body.as_bytes().to_vec(),
    };
    let said = |scan: &mut Box<dyn Scan>, status, body| match scan.rejected(&refusal(status, body)) {
        Err(error) => format!("{} {error}", error.class()),
        Ok(_) => panic!("accepted"),
    };
    assert!(said(&mut scan, 403, r#"{"error_msg":"no"}"#).contains("iam:GetAudit"));
    assert!(said(&mut scan, 401, r#"{"message":"gone"}"#).starts_with("denied"));
    assert!(said(&mut scan, 502, "<html>").starts_with("transient"));
}

#[test]
fn an_event_type_that_the_control_plane_does_not_know_is_said() {
    let filter = json!({ "event_type": "Ad Service" });
    let source = source_of(TimestampUnit::Auto, filter, &SourceOptions::default());
    let view = |state: Option<&Value>| {
        source.plan(&StreamView {
            stream: "api7.example:7443",
            now: at(NOW),
            start: Timestamp::UNIX_EPOCH,
            first: false,
            coverage: &Coverage::default(),
            state,
            calls: &[],
        })
    };
    let mut probe = view(None).scans.remove(0);
    let (page, envelope) = few(&[NOW - 100]).answer(&probe.request());
    probe.record(page[0].as_bytes(), &OwnRequests::default()).unwrap();
    let _ = probe.page(&PageEnd { envelope: &envelope, records: 1, server_time: at(NOW) }).unwrap();
    for (known, said) in [("Add Service", true), ("Ad Service", false)] {
        let mut types = view(probe.state().as_ref()).scans.remove(0);
        assert_eq!(types.request().path, "/api/audit_logs/event_types");
        for key in ["Login", known] {
            let listed = json!({ "key": key, "name": key }).to_string();
            assert!(!types.record(listed.as_bytes(), &OwnRequests::default()).unwrap().wanted);
        }
        let end = PageEnd { envelope: br#"{"total":2,"list":[]}"#, records: 2, server_time: at(NOW) };
        let _ = types.page(&end).unwrap();
        let notes = view(types.state().as_ref()).notes;
        assert_eq!(notes.iter().any(|note| note.contains("no event type `Ad Service`")), said, "{notes:?}");
    }
}

#[test]
fn what_expired_unread_is_a_gap() {
    let (source, mut server, mut book) = (source(TimestampUnit::Auto), few(&[NOW - 500]), Book::default());
    read(source.as_ref(), &mut server, &mut book, NOW, true);
    let later = NOW + 100 * 86_400;
    server.rows = vec![later - 50 * 86_400];
    let view = |book: &Book, state: &Value| {
        source.plan(&StreamView {
            stream: "api7.example:7443",
            now: at(later),
            start: Timestamp::UNIX_EPOCH,
            first: false,
            coverage: &book.coverage,
            state: Some(state),
            calls: &[],
        })
    };
    // First the oldest entry is looked at, then what it tells is acted on.
    let state = book.state.clone().unwrap();
    let mut probe = view(&book, &state).scans.into_iter().next().unwrap();
    let (page, envelope) = server.answer(&probe.request());
    probe.record(page[0].as_bytes(), &OwnRequests::default()).unwrap();
    let _ = probe.page(&PageEnd { envelope: &envelope, records: 1, server_time: at(later) }).unwrap();
    let plan = view(&book, &probe.state().unwrap());
    assert_eq!(plan.gaps.len(), 1);
    assert_eq!(plan.gaps[0].span.to, (at(later) - TimeDelta::days(60)).timestamp_millis());
    assert!(plan.gaps[0].reason.contains("retention_hint_days"));
    let none = Filter { event_type: None, operator: None, operator_id: None, resource_id: None };
    assert_eq!(Filter::default(), none);
}

#[test]
fn a_full_page_is_not_the_last_whatever_its_total_says() {
    let spread: Vec<i64> = (0..250).map(|n| NOW - 7200 + n).collect();
    let crowd: Vec<i64> = (0..250).map(|n| NOW - 7200 + n / 240).collect();
    for (rows, name) in [(spread, "spread"), (crowd, "crowd")] {
        for (counts_page, cap) in [(true, usize::MAX), (false, 100), (false, 101), (false, 249)] {
            for sorts in [true, false] {
                let mut server = Server { max_page: 1000, sorts, counts_page, cap, ..few(&rows) };
                let mut book = Book::default();
                read(source(TimestampUnit::Auto).as_ref(), &mut server, &mut book, NOW, true);
                let wanted: BTreeSet<&String> = book.wanted.iter().collect();
                assert_eq!(wanted.len(), rows.len(), "{name}, {counts_page} {cap} {sorts}");
            }
        }
    }
}

#[test]
fn a_window_of_exactly_one_page_costs_one_more_request() {
    let read_all = |count: i64| {
        let rows: Vec<i64> = (0..count).map(|n| NOW - 7200 + n).collect();
        let mut server = Server { max_page: 1000, ..few(&rows) };
        let mut book = Book::default();
        read(source(TimestampUnit::Auto).as_ref(), &mut server, &mut book, NOW, true);
        assert_eq!(book.wanted.iter().collect::<BTreeSet<_>>().len(), rows.len());
        server.requests
    };
    let short = read_all(99);
    let full = read_all(100);
    assert!(full > short, "{short} {full}");
    // The window is read twice: for new events, and for what appeared late.
    assert!(full <= short + 2, "{short} {full}");
}
