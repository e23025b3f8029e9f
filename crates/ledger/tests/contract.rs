//! What every ledger promises, asked of each store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{at, filed, request, stream};
use headwater_contracts::{Covered, Span, Tally};
use headwater_ledger::{Commit, Commits, FileLedger, Ledger, LedgerError, MemoryLedger};
use serde_json::json;

/// Runs `check` on an empty ledger of each kind.
fn each(check: impl Fn(&dyn Ledger)) {
    check(&MemoryLedger::new());
    let dir = tempfile::tempdir().unwrap();
    check(&FileLedger::open(dir.path()).unwrap());
}

fn forget(before: i64) -> Commit {
    Commit { forget_before: Some(at(before)), ..Commit::default() }
}

#[test]
fn a_stream_keeps_the_start_of_its_first_load_to_the_millisecond() {
    each(|ledger| {
        let first = ledger.load(&stream("a"), at(1_000) + chrono::TimeDelta::nanoseconds(7)).unwrap();
        assert_eq!(first.start, at(1_000));
        assert_eq!(ledger.load(&stream("a"), at(9_000)).unwrap(), first);
        assert!(first.coverage.ranges().is_empty() && first.state.is_none() && first.calls.is_empty());
    });
}

#[test]
fn what_is_settled_is_known_in_its_stream_and_nowhere_else() {
    each(|ledger| {
        let settled = vec![filed(5, 1), filed(-5, 2), filed(i64::MAX, 3), filed(i64::MIN, 4)];
        for name in ["a", "b"] {
            ledger.load(&stream(name), at(0)).unwrap();
        }
        ledger.commit(&stream("a"), &Commit { settled: settled.clone(), ..Commit::default() }).unwrap();
        let mut asked = settled.clone();
        asked.push(filed(5, 9));
        asked.insert(0, filed(6, 1));
        assert_eq!(ledger.known(&stream("a"), &asked).unwrap(), [false, true, true, true, true, false]);
        assert_eq!(ledger.known(&stream("b"), &asked).unwrap(), [false; 6]);
        assert_eq!(ledger.known(&stream("never loaded"), &asked).unwrap(), [false; 6]);
    });
}

#[test]
fn a_commit_adds_up_and_an_absent_state_leaves_the_old_one() {
    each(|ledger| {
        ledger.load(&stream("a"), at(0)).unwrap();
        let mut tally = Tally { read: 3, delivered: 1, suppressed: 1, ..Tally::default() };
        tally.dropped.insert("rule".into(), 1);
        let span = |from, to| Span { from, to };
        ledger
            .commit(
                &stream("a"),
                &Commit {
                    state: Some(json!({"page": 1})),
                    settled: vec![filed(3, 1), filed(12, 2)],
                    covered: Some(span(0, 10)),
                    tally: tally.clone(),
                    ..Commit::default()
                },
            )
            .unwrap();
        ledger.commit(&stream("a"), &Commit { covered: Some(span(10, 20)), tally, ..Commit::default() }).unwrap();
        let record = ledger.load(&stream("a"), at(0)).unwrap();
        assert_eq!(record.state, Some(json!({"page": 1})));
        assert_eq!(record.coverage.ranges(), [Covered { span: span(0, 20), events: 2 }]);
        assert_eq!((record.tally.read, record.tally.dropped["rule"]), (6, 2));
        assert!(record.tally.balances());
    });
}

#[test]
fn a_covered_range_counts_its_events_whichever_scan_settled_them() {
    each(|ledger| {
        ledger.load(&stream("a"), at(0)).unwrap();
        let span = |from, to| Span { from, to };
        let commit = |commit: Commit| ledger.commit(&stream("a"), &commit).unwrap();
        let events = || {
            let ranges = ledger.load(&stream("a"), at(0)).unwrap().coverage;
            ranges.ranges().iter().map(|range| range.events).collect::<Vec<_>>()
        };
        // A scan settles some, one of them beyond what will be covered, one without a time, and dies.
        commit(Commit { settled: vec![filed(1, 1), filed(9, 2), filed(10, 3), filed(0, 4)], ..Commit::default() });
        // The next one settles the rest, one again, and is complete.
        commit(Commit { settled: vec![filed(5, 5), filed(9, 2)], ..Commit::default() });
        commit(Commit { covered: Some(span(0, 10)), ..Commit::default() });
        assert_eq!(events(), [3]);
        // Covered again, nothing is counted again; what appears late is.
        commit(Commit { settled: vec![filed(2, 6)], covered: Some(span(0, 10)), ..Commit::default() });
        assert_eq!(events(), [4]);
        // What was read ahead counts where it lies, also if it is forgotten by then.
        let forget_before = Some(at(10));
        commit(Commit { covered: Some(span(5, 20)), forget_before, ..Commit::default() });
        assert_eq!(events(), [5]);
    });
}

#[test]
fn own_requests_wait_for_their_echo_and_calls_stay_until_forgotten() {
    each(|ledger| {
        ledger.load(&stream("a"), at(0)).unwrap();
        for (id, sent) in [("late", 30), ("early", 10), ("middle", 20), ("middle", 20)] {
            ledger.record_request(&stream("a"), &request(id, sent)).unwrap();
        }
        let consumed = vec!["middle".into(), "unheard of".into()];
        ledger.commit(&stream("a"), &Commit { consumed, ..Commit::default() }).unwrap();
        let record = ledger.load(&stream("a"), at(0)).unwrap();
        assert_eq!(record.own_requests, [request("early", 10), request("late", 30)]);
        assert_eq!(record.calls, [at(10), at(20), at(30)]);

        let forget = Commit { forget_requests_before: Some(at(20)), ..Commit::default() };
        ledger.commit(&stream("a"), &forget).unwrap();
        let record = ledger.load(&stream("a"), at(0)).unwrap();
        assert_eq!((record.own_requests, record.calls), (vec![request("late", 30)], vec![at(20), at(30)]));
    });
}

#[test]
fn a_request_sent_again_outlives_its_first_call() {
    each(|ledger| {
        ledger.load(&stream("a"), at(0)).unwrap();
        ledger.record_request(&stream("a"), &request("q", 10)).unwrap();
        ledger.record_request(&stream("a"), &request("q", 30)).unwrap();
        let forget = Commit { forget_requests_before: Some(at(20)), ..Commit::default() };
        ledger.commit(&stream("a"), &forget).unwrap();
        let record = ledger.load(&stream("a"), at(0)).unwrap();
        assert_eq!((record.own_requests, record.calls), (vec![request("q", 30)], vec![at(30)]));
    });
}

#[test]
fn forgetting_takes_the_outlived_and_leaves_the_timeless() {
    each(|ledger| {
        ledger.load(&stream("a"), at(0)).unwrap();
        ledger.load(&stream("b"), at(0)).unwrap();
        let settled = vec![filed(-1, 1), filed(0, 2), filed(1, 3), filed(99, 4), filed(100, 5)];
        for name in ["a", "b"] {
            ledger.commit(&stream(name), &Commit { settled: settled.clone(), ..Commit::default() }).unwrap();
        }
        ledger.commit(&stream("a"), &forget(100)).unwrap();
        assert_eq!(ledger.known(&stream("a"), &settled).unwrap(), [false, true, false, false, true]);
        assert_eq!(ledger.known(&stream("b"), &settled).unwrap(), [true; 5]);
        let counts: Vec<u64> = ledger.streams().unwrap().iter().map(|(_, _, identities)| *identities).collect();
        assert_eq!(counts, [2, 5]);
    });
}

#[test]
fn writing_to_a_stream_that_was_never_loaded_is_refused() {
    each(|ledger| {
        for error in [
            ledger.commit(&stream("a"), &Commit::default()).unwrap_err(),
            ledger.record_request(&stream("a"), &request("q", 1)).unwrap_err(),
        ] {
            assert!(matches!(error, LedgerError::Io { doing: "write", .. }));
            assert!(error.to_string().contains("no stream `a` of `audit`"), "{error}");
        }
        assert!(ledger.streams().unwrap().is_empty());
    });
}

#[test]
fn a_commit_forgets_a_bounded_number_and_the_backlog_is_gone_after_some() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(dir.path()).unwrap();
    ledger.load(&stream("a"), at(0)).unwrap();
    let settled = (0..6_000).map(|number| filed(1 + i64::try_from(number).unwrap(), number)).collect();
    ledger.commit(&stream("a"), &Commit { settled, ..Commit::default() }).unwrap();
    let mut left = Vec::new();
    for number in 0..4 {
        let settled = (0..100).map(|event| filed(100_000, 10_000 + number * 100 + event)).collect();
        ledger.commit(&stream("a"), &Commit { settled, ..forget(50_000) }).unwrap();
        left.push(ledger.streams().unwrap()[0].2);
    }
    // 100 in, 1000 + 4 * 100 out.
    assert_eq!(left, [4_700, 3_400, 2_100, 800]);
    ledger.commit(&stream("a"), &forget(50_000)).unwrap();
    assert_eq!(ledger.streams().unwrap()[0].2, 400);
}

#[test]
fn a_stream_that_begins_anew_forgets_its_claims_and_nothing_else() {
    each(|ledger| {
        ledger.load(&stream("a"), headwater_ledger::UNTOLD).unwrap();
        let span = |from, to| Span { from, to };
        let settled = vec![filed(10, 1), filed(60, 2), filed(70, 3)];
        let step = Commit {
            settled: settled.clone(),
            state: Some(json!({"far": 1})),
            covered: Some(span(0, 100)),
            tally: Tally { read: 3, delivered: 3, ..Tally::default() },
            ..Commit::default()
        };
        ledger.commit(&stream("a"), &step).unwrap();
        ledger.record_request(&stream("a"), &request("q", 80)).unwrap();
        ledger.commit(&stream("a"), &Commit { anew: Some(at(50)), ..Commit::default() }).unwrap();
        let record = ledger.load(&stream("a"), at(7)).unwrap();
        assert_eq!((record.start, record.state, record.tally.read), (at(50), None, 3));
        assert_eq!(record.coverage.ranges(), &[Covered { span: span(0, 50), events: 1 }]);
        assert_eq!((record.own_requests.len(), record.calls.len()), (1, 1));
        assert_eq!(ledger.known(&stream("a"), &settled).unwrap(), [true; 3]);
        ledger.commit(&stream("a"), &Commit { covered: Some(span(50, 100)), ..Commit::default() }).unwrap();
        assert_eq!(ledger.load(&stream("a"), at(7)).unwrap().coverage.ranges()[0].events, 3);
    });
}
