//! What the source does of its own accord: refusals, records, small pages, what it wants.

use super::{BEGIN, DAY, HOUR, Habits, MINUTE, Reader, Server, UnknownCursor, at, quiet, stored, view_of};
use chrono::TimeDelta;
use headwater_contracts::{Echo, OwnRequests, Period, Rejection, SourceOptions, StreamView};
use serde_json::{Value, json};

#[test]
fn own_queries_are_recognised_and_do_not_feed_the_reader() {
    let mut server = Server { habits: quiet(UnknownCursor::Empty), now: BEGIN, stored: vec![], reads: 0, delay: 150 };
    let mut reader = Reader::new(json!({}), BEGIN - DAY);
    for _ in 0..100 {
        reader.catch_up(&mut server, || false);
        server.now += 5 * MINUTE;
    }
    assert!(server.reads <= 110, "{} reads for 100 polls", server.reads);
    assert!(reader.own.values().all(|ours| *ours));
}

#[test]
fn denials_say_what_to_do_and_move_nothing() {
    let reader = Reader::new(json!({}), BEGIN);
    let mut plan = reader.source.plan(&view_of(&reader));
    let scan = &mut plan.scans[0];
    let request = scan.request();
    assert!(request.accept.contains("application/problem+json"));
    for status in [401, 403] {
        let rejection =
            Rejection { status, retry_after: None, content_type: "text/html".into(), body: b"<html>".to_vec() };
        let error = scan.rejected(&rejection).err().unwrap();
        assert_eq!(error.class(), "denied");
        assert!(error.to_string().contains("Administrator"), "{error}");
    }
    assert_eq!(scan.state(), None);
    assert!(scan.span().is_empty());
}

#[test]
fn real_records_pass_with_their_ids_and_times() {
    let reader = Reader::new(json!({}), 0);
    let plan = || reader.source.plan(&view_of(&reader));
    let mut count = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pages")).unwrap() {
        let raw = std::fs::read(file.unwrap().path()).unwrap();
        // Each by itself: they are of different years.
        let record = plan().scans[0].record(&raw, &OwnRequests::default()).unwrap();
        assert_eq!(record.id.len(), 22);
        assert!(record.time.is_some() && record.wanted);
        assert_eq!(record.echo, Echo::Foreign);
        count += 1;
    }
    assert_eq!(count, 8);
    assert!(plan().scans[0].record(b"[]", &OwnRequests::default()).is_err());
    assert_eq!(TimeDelta::days(92), at(BEGIN) - reader.source.horizon(at(BEGIN)));
}

#[test]
fn small_pages_do_not_make_reading_outgrow_itself() {
    for page_size in [2, 3, 5] {
        // The server knows no `pageSize`, and gives what it likes.
        let habits = Habits { page_size, takes_page_size: false, ..quiet(UnknownCursor::Empty) };
        let events: Vec<_> = (-50..250).map(|n| (n * HOUR, 0)).collect();
        let mut server = Server { habits, now: BEGIN, stored: stored(&events), reads: 0, delay: 150 };
        let mut reader = Reader::new(json!({}), BEGIN - 2 * DAY);
        let mut days = Vec::new();
        for day in 1..10 {
            let before = server.reads;
            while server.now < BEGIN + day * DAY {
                reader.catch_up(&mut server, || false);
                server.now += 5 * MINUTE;
            }
            days.push(server.reads - before);
        }
        assert!(days.iter().all(|reads| *reads < 1500), "pages of {page_size}: {days:?} reads a day");
        server.now += HOUR;
        reader.catch_up(&mut server, || false);
        assert!(
            server
                .stored
                .iter()
                .filter(|e| e.echo.is_none() && e.time >= reader.start)
                .all(|e| { e.time > server.now - HOUR || reader.delivered.get(&e.id) == Some(&1) })
        );
    }
}

#[test]
fn a_run_catches_up_although_scans_take_longer_than_the_interval() {
    let events: Vec<_> = (-300..0).map(|n| (n * MINUTE, 0)).collect();
    let options = SourceOptions { poll_interval: Some(Period::seconds(5)), ..SourceOptions::default() };
    let mut server =
        Server { habits: quiet(UnknownCursor::Empty), now: BEGIN, stored: stored(&events), reads: 0, delay: 3000 };
    let mut reader = Reader::with(json!({}), &options, BEGIN - DAY);
    reader.catch_up(&mut server, || false);
    assert!(server.reads <= 40, "{} reads", server.reads);
    // Started again, it looks at once, and once.
    let state = reader.state.clone();
    let view = StreamView { now: at(server.now), first: true, state: state.as_ref(), ..view_of(&reader) };
    assert_eq!(reader.source.plan(&view).scans.len(), 1);
    let view = StreamView { first: false, ..view };
    let plan = reader.source.plan(&view);
    assert!(plan.scans.is_empty() && plan.wake >= Some(at(server.now) + TimeDelta::seconds(4)));
}

#[test]
fn small_pages_and_their_consequences_are_told() {
    let reader = Reader::new(json!({}), BEGIN - DAY);
    let plan = |state: Value| reader.source.plan(&StreamView { state: Some(&state), ..view_of(&reader) });
    let polled = at(BEGIN - HOUR);
    let state = |records: u64| {
        json!({ "polled": polled, "ended": polled, "covered": polled, "page_records": records,
                "milestones": [{ "uuid": "m1", "time": polled - TimeDelta::hours(1) }, { "uuid": "m2", "time": polled }],
                "rescans": [{ "every_ms": DAY, "span_ms": 2 * DAY, "at": polled }] })
    };
    let from = |plan: &mut headwater_contracts::Plan| plan.scans[0].request().query[0].1.clone();
    let mut large = plan(state(100));
    assert_eq!((from(&mut large).as_str(), large.notes.len()), ("m1", 0));
    let mut small = plan(state(3));
    assert_eq!(from(&mut small), "m1");
    assert!(small.notes[0].contains("apart"), "{:?}", small.notes);
    let mut tiny = plan(state(2));
    assert_eq!(from(&mut tiny), "m2", "at the last event read");
    assert!(tiny.notes[0].contains("without `overlap`"), "{:?}", tiny.notes);
    assert!(tiny.scans[0].describe().contains("without overlap"));
}

#[test]
fn what_may_have_been_delivered_and_forgotten_is_not_wanted_again() {
    let reader = Reader::new(json!({}), BEGIN - 400 * DAY);
    let wanted = |state: Option<Value>, now: i64, time: i64| {
        let view = StreamView { now: at(now), state: state.as_ref(), ..view_of(&reader) };
        let mut plan = reader.source.plan(&view);
        let raw = json!({ "uuid": "u", "timestamp": at(time).to_rfc3339() }).to_string();
        plan.scans[0].record(raw.as_bytes(), &OwnRequests::default()).unwrap().wanted
    };
    let polled = || Some(json!({ "polled": at(BEGIN - DAY), "covered": at(BEGIN - DAY) }));
    assert!(wanted(None, BEGIN, BEGIN - 93 * DAY), "never polled: nothing was delivered");
    assert!(!wanted(polled(), BEGIN, BEGIN - 93 * DAY));
    assert!(wanted(polled(), BEGIN, BEGIN - 91 * DAY));
    // After a long stop, a server that keeps events longer still has what was never read.
    assert!(!wanted(polled(), BEGIN + 200 * DAY, BEGIN - 2 * DAY));
    assert!(wanted(polled(), BEGIN + 200 * DAY, BEGIN + DAY));
}
