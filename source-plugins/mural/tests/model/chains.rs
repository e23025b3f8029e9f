//! Chains of tokens that break, and sweeps in pieces.

use super::{BEGIN, DAY, HOUR, Habits, Reader, Server, at, end, first_scan, plain, reader, stored};
use headwater_contracts::{Next, PageEnd, Rejection, Scan, SourceOptions};
use serde_json::{Value, json};

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

/// Sizes of pages, events that share a time, and the distance from one time to the next.
fn crowds() -> impl Iterator<Item = (u32, i64, i64)> {
    [
        (100, 1, 1000),
        (100, 1, 37),
        (100, 250, 1000),
        (100, 50, 5),
        (7, 3, 1500),
        (3, 10, 400),
        (1, 1, 1),
        (1, 5, 60_000),
    ]
    .into_iter()
}

#[test]
fn behind_a_full_page_without_a_token_is_looked_by_time() {
    for bounds_inclusive in [true, false] {
        for (size, together, apart) in crowds() {
            let events: Vec<_> = (0..250).map(|n| (-5 * DAY + n / together * apart, DAY)).collect();
            let habits = Habits { served: 50_000, loses_tokens: true, bounds_inclusive, ..plain() };
            let mut server = Server::new(habits, stored(&events));
            let options = SourceOptions { page_size: Some(size), ..SourceOptions::default() };
            let mut reader = Reader::new(json!({ "mode": "settled" }), &options, BEGIN - 6 * DAY);
            reader.catch_up(&mut server, || false);
            assert_eq!(reader.delivered.len(), 250, "{size} {together} {apart}");
            assert!(reader.remarks.iter().any(|text| text.contains("without a `nextToken`")), "{:?}", reader.remarks);
            assert_eq!(reader.state.as_ref().unwrap().get("page_size_refused").and_then(Value::as_u64), None);
        }
    }
}

#[test]
fn where_neither_order_nor_larger_pages_lead_behind_a_full_page_halves_do() {
    for (count, every) in [(400, 3), (400, 5), (250, 4), (100, 3)] {
        let events: Vec<_> = (0..count).map(|n| (-5 * DAY + n * 40_000, DAY)).collect();
        let mut stored = stored(&events);
        stored.iter_mut().step_by(every).for_each(|event| event.shown += 5_000_000);
        // It gives no more than a hundred, whatever it is asked for.
        let mut server = Server::new(Habits { served: 100, loses_tokens: true, ..plain() }, stored);
        let options = SourceOptions { page_size: Some(100), ..SourceOptions::default() };
        let mut reader = Reader::new(json!({ "mode": "settled" }), &options, BEGIN - 6 * DAY);
        reader.catch_up(&mut server, || false);
        assert_eq!(i64::try_from(reader.delivered.len()).unwrap(), count, "every {every}");
    }
}

#[test]
fn a_full_page_at_the_end_costs_one_more_request_and_no_word() {
    let calls = |count: i64| {
        let events: Vec<_> = (0..count).map(|n| (-5 * DAY + n * 10_000, DAY)).collect();
        let mut server = Server::new(Habits { served: 50_000, ..plain() }, stored(&events));
        let options = SourceOptions { page_size: Some(100), ..SourceOptions::default() };
        let mut reader = Reader::new(json!({ "mode": "settled" }), &options, BEGIN - 6 * DAY);
        reader.catch_up(&mut server, || false);
        assert_eq!(i64::try_from(reader.delivered.len()).unwrap(), count);
        assert!(reader.remarks.is_empty(), "{:?}", reader.remarks);
        server.calls.len()
    };
    assert_eq!(calls(200), calls(199) + 1);
}

#[test]
fn more_of_one_time_than_the_largest_page_holds_is_told_where_tokens_are_lost() {
    let options = SourceOptions { page_size: Some(50_000), ..SourceOptions::default() };
    let reader = Reader::new(json!({ "mode": "settled" }), &options, BEGIN - 10 * DAY);
    let server = Server::new(plain(), vec![]);
    let mut scan = first_scan(&reader, &server);
    let raw = json!({ "id": "a", "date": at(BEGIN - 10 * DAY + HOUR).to_rfc3339() }).to_string();
    let page = |scan: &mut Box<dyn Scan>| {
        let _ = scan.request();
        scan.record(raw.as_bytes(), &headwater_contracts::OwnRequests::default()).unwrap();
        scan.page(&end(r#"{"data":[],"nextToken":null}"#, 50_000))
    };
    assert!(matches!(page(&mut scan), Ok(Next::More)));
    let error = page(&mut scan).err().unwrap();
    assert!(error.to_string().contains("have one time"), "{error}");
    assert!(scan.span().is_empty());

    // A larger page is refused.
    let options = SourceOptions { page_size: Some(1000), ..SourceOptions::default() };
    let reader = Reader::new(json!({ "mode": "settled" }), &options, BEGIN - 10 * DAY);
    let mut scan = first_scan(&reader, &server);
    for _ in 0..2 {
        let _ = scan.request();
        scan.record(raw.as_bytes(), &headwater_contracts::OwnRequests::default()).unwrap();
        assert!(matches!(scan.page(&end(r#"{"data":[]}"#, 1000)), Ok(Next::More)));
    }
    assert!(scan.request().query.contains(&("maxResults".into(), "2000".into())));
    let refused = Rejection { status: 400, retry_after: None, content_type: String::new(), body: b"{}".to_vec() };
    let error = scan.rejected(&refused).err().unwrap();
    assert!(error.to_string().contains("without a `nextToken`"), "{error}");
    assert!(scan.request().query.contains(&("maxResults".into(), "1000".into())), "from the beginning");
}

#[test]
fn one_record_with_an_earlier_date_does_not_lead_past_what_is_between() {
    let options = SourceOptions { page_size: Some(100), ..SourceOptions::default() };
    let reader = Reader::new(json!({ "mode": "settled" }), &options, BEGIN - 10 * DAY);
    let server = Server::new(plain(), vec![]);
    for odd in [0, 50, 95, 99] {
        let mut scan = first_scan(&reader, &server);
        let newest = at(scan.span().from + HOUR);
        let _ = scan.request();
        for n in 0..100 {
            let seconds = if n == odd { n + 1800 } else { n };
            let date = newest - chrono::TimeDelta::seconds(seconds);
            let raw = json!({ "id": format!("e{n}"), "date": date.to_rfc3339() }).to_string();
            scan.record(raw.as_bytes(), &headwater_contracts::OwnRequests::default()).unwrap();
        }
        assert!(matches!(scan.page(&end(r#"{"data":[]}"#, 100)), Ok(Next::More)));
        let request = scan.request();
        let (_, until) = request.query.iter().find(|(name, _)| name == "filter[date][until]").unwrap();
        let until: headwater_contracts::Timestamp = until.parse().unwrap();
        let (first, last) = (newest - chrono::TimeDelta::seconds(99), newest - chrono::TimeDelta::seconds(80));
        assert!(first <= until && until <= last, "{odd}: {until}");
    }
}
