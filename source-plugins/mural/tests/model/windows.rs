//! What is asked for, and what the answer claims.

use super::{BEGIN, DAY, HOUR, Habits, Reader, Server, at, end, first_scan, parse, plain, reader, stored};
use chrono::TimeDelta;
use headwater_contracts::{Next, OwnRequests, PageEnd, ReadError, Scan, SourceOptions};
use serde_json::json;

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
