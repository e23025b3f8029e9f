//! Where a chain of pages begins, and where it leads.

use super::{BEGIN, DAY, HOUR, MINUTE, Reader, Server, UnknownCursor, at, fed, new_scan, quiet, stored, view_of};
use headwater_contracts::{Identity, Next, ReadError, Rejection, StreamView};
use serde_json::json;

#[test]
fn an_expired_cursor_is_replayed_and_the_hole_reported() {
    for unknown in
        [UnknownCursor::Status(400), UnknownCursor::Status(404), UnknownCursor::Empty, UnknownCursor::Restart]
    {
        let events: Vec<_> = (-100..100).map(|n| (n * DAY, 0)).collect();
        let mut server = Server { habits: quiet(unknown), now: BEGIN, stored: stored(&events), reads: 0, delay: 150 };
        let mut reader = Reader::new(json!({}), BEGIN - 2 * DAY);
        reader.catch_up(&mut server, || false);
        server.now = BEGIN + 95 * DAY + HOUR;
        let view = StreamView {
            first: false,
            stream: "acme.pactflow.io",
            now: at(server.now),
            start: at(reader.start),
            coverage: &reader.coverage,
            state: reader.state.as_ref(),
            calls: &[],
        };
        let gaps = reader.source.plan(&view).gaps;
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0].span.to, server.now - 90 * DAY);
        reader.catch_up(&mut server, || false);
        for event in server.stored.iter().filter(|e| e.echo.is_none() && e.time <= server.now) {
            let lost = event.time < BEGIN - 2 * DAY || (event.time > BEGIN && event.time < server.now - 90 * DAY);
            assert_eq!(reader.delivered.contains_key(&event.id), !lost, "{unknown:?} {event:?}");
        }
        assert!(!reader.coverage.contains(at(BEGIN + 3 * DAY)), "the hole is not claimed");
        let view = StreamView { now: at(server.now), state: reader.state.as_ref(), ..view_of(&reader) };
        assert!(reader.source.plan(&view).gaps.is_empty(), "reported once");
    }
}

#[test]
fn a_lost_cursor_within_retention_is_replayed_or_refused_as_configured() {
    for status in [400, 404] {
        let events: Vec<_> = (-50..50).map(|n| (n * HOUR, 0)).collect();
        let habits = quiet(UnknownCursor::Status(status));
        let mut server = Server { habits, now: BEGIN, stored: stored(&events), reads: 0, delay: 150 };
        let mut reader = Reader::new(json!({}), BEGIN - DAY);
        reader.catch_up(&mut server, || false);
        // The server forgets the ids it gave, as after a restore.
        for event in &mut server.stored {
            if event.echo.is_none() && event.time < BEGIN {
                event.id = format!("{}-gone", event.id);
                reader.seen.insert(Identity::of(&[b"pactflow", event.id.as_bytes()]));
                reader.delivered.insert(event.id.clone(), 1);
            } else if event.echo.is_some() {
                event.id = format!("{}-gone", event.id);
            }
        }
        server.now += 3 * HOUR;
        let mut failing = Reader::new(json!({ "on_cursor_lost": "fail" }), BEGIN - DAY);
        failing.state = reader.state.clone();
        let mut plan = failing.source.plan(&StreamView {
            now: at(server.now),
            state: failing.state.as_ref(),
            ..view_of(&failing)
        });
        let scan = &mut plan.scans[0];
        let refused = |status| Rejection { status, retry_after: None, content_type: String::new(), body: vec![] };
        let _ = scan.request();
        assert_eq!(scan.rejected(&refused(404)).err().unwrap().class(), "malformed");

        reader.catch_up(&mut server, || false);
        let new = server.stored.iter().filter(|e| e.echo.is_none() && e.time > BEGIN && e.time < server.now);
        assert!(new.clone().count() >= 2);
        assert!(new.into_iter().all(|e| reader.delivered.get(&e.id) == Some(&1)));
    }
}

#[test]
fn an_event_from_the_future_or_one_from_the_present_does_not_end_a_scan() {
    let reader = Reader::new(json!({}), BEGIN - DAY);
    let mut scan = new_scan(&reader, None);
    assert!(matches!(fed(scan.as_mut(), &[("a", BEGIN + DAY)], Some("b"), BEGIN), Ok(Next::More)));
    // One that bears the present may lie anywhere; three in a row do not.
    assert!(matches!(fed(scan.as_mut(), &[("b", BEGIN + MINUTE)], Some("c"), BEGIN + MINUTE), Ok(Next::More)));
    let backlog = [("c0", BEGIN - HOUR), ("c", BEGIN - HOUR)];
    assert!(matches!(fed(scan.as_mut(), &backlog, Some("d"), BEGIN + MINUTE), Ok(Next::More)));
    // Nor does a page of them that is full.
    let ids: Vec<String> = (0..100).map(|n| format!("d{n}")).collect();
    let full: Vec<_> = ids.iter().map(|id| (id.as_str(), BEGIN + MINUTE)).collect();
    assert!(matches!(fed(scan.as_mut(), &full, Some("d100"), BEGIN + MINUTE), Ok(Next::More)));
    let present = [("d", BEGIN + MINUTE), ("e", BEGIN + MINUTE), ("f", BEGIN + MINUTE)];
    assert!(matches!(fed(scan.as_mut(), &present, Some("g"), BEGIN + MINUTE), Ok(Next::Complete)));
    assert_eq!(scan.span().to, BEGIN);
}

#[test]
fn a_full_page_without_a_link_is_asked_beyond() {
    let reader = Reader::new(json!({}), BEGIN - DAY);
    let mut scan = new_scan(&reader, None);
    let ids: Vec<String> = (0..100).map(|n| format!("e{n}")).collect();
    let page: Vec<_> = ids.iter().zip(BEGIN - HOUR..).map(|(id, time)| (id.as_str(), time)).collect();
    assert!(matches!(fed(scan.as_mut(), &page, None, BEGIN), Ok(Next::More)));
    assert!(scan.request().query.contains(&("from".into(), "e99".into())));
    assert!(matches!(fed(scan.as_mut(), &page[99..], None, BEGIN), Ok(Next::Complete)));
    assert_eq!(scan.span().to, BEGIN);
}

#[test]
fn a_log_that_leads_in_a_circle_is_told_and_never_claimed() {
    let reader = Reader::new(json!({}), BEGIN - DAY);
    let page = [("a", BEGIN - 2 * HOUR), ("b", BEGIN - HOUR)];
    let mut scan = new_scan(&reader, None);
    assert!(matches!(fed(scan.as_mut(), &page, Some("c"), BEGIN), Ok(Next::More)));
    assert!(matches!(fed(scan.as_mut(), &page, Some("c"), BEGIN), Ok(Next::Complete)));
    assert_eq!(scan.span().to, BEGIN - HOUR, "only what was seen");
    let state = scan.state().unwrap();
    let plan = reader.source.plan(&StreamView { state: Some(&state), ..view_of(&reader) });
    assert!(plan.notes.iter().any(|note| note.contains("circle")), "{:?}", plan.notes);

    let later = StreamView { now: at(BEGIN + HOUR), state: Some(&state), ..view_of(&reader) };
    let mut scan = reader.source.plan(&later).scans.remove(0);
    assert!(matches!(fed(scan.as_mut(), &page, Some("c"), BEGIN + HOUR), Ok(Next::More)));
    let error = fed(scan.as_mut(), &page, Some("c"), BEGIN + HOUR).err().unwrap();
    assert!(matches!(&error, ReadError::Malformed(text) if text.contains("circle")), "{error}");
    assert!(scan.span().is_empty());
}

#[test]
fn empty_pages_lead_on_and_without_end_they_prove_nothing() {
    let reader = Reader::new(json!({}), BEGIN - DAY);
    let mut scan = new_scan(&reader, None);
    for round in 0..2 {
        let event = format!("e{round}");
        assert!(matches!(fed(scan.as_mut(), &[(&event, BEGIN - HOUR + round)], Some("first"), BEGIN), Ok(Next::More)));
        for n in 1..10 {
            let next = format!("{round}-{n}");
            assert!(matches!(fed(scan.as_mut(), &[], Some(&next), BEGIN), Ok(Next::More)), "{next}");
        }
        assert!(fed(scan.as_mut(), &[], Some("on"), BEGIN).is_err_and(|error| error.class() == "malformed"));
    }
    assert!(scan.span().is_empty());
}
