//! Random histories, on each store and on a plain model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{at, filed, request, stream};
use headwater_contracts::{Coverage, OwnRequest, Span, Tally, Timestamp};
use headwater_ledger::{Commit, FileLedger, Filed, Ledger, MemoryLedger};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

const STREAMS: [&str; 3] = ["a", "b", "ä/β \u{0}"];
const EVENTS: u64 = 40;

#[derive(Debug, Clone)]
enum Step {
    Load { stream: usize, start: i64 },
    Request { stream: usize, id: u8, sent: i64 },
    Commit { stream: usize, commit: Box<Commit> },
    Reopen,
}

/// Times repeat, are 0 and lie before 1970.
fn event(number: u64) -> Filed {
    filed([0, -70, 30, 30, 1 << 40][usize::try_from(number % 5).unwrap()] + i64::try_from(number / 10).unwrap(), number)
}

fn commit() -> impl Strategy<Value = Commit> {
    (
        prop::collection::vec(0..EVENTS, 0..12),
        prop::collection::vec(0u8..6, 0..3),
        prop::option::of(any::<i32>()),
        (prop::option::of((-100i64..100, 0i64..50)), prop::option::weighted(0.1, -20i64..50)),
        prop::option::weighted(0.2, -80i64..60),
        prop::option::weighted(0.3, 0i64..50),
        (0u64..9, 0u64..9, prop::option::of(0u64..3)),
    )
        .prop_map(
            |(
                settled,
                consumed,
                state,
                (covered, start),
                forget_before,
                forget_requests_before,
                (delivered, late, dropped),
            )| {
                // Nothing else is committed with it.
                if let (Some(anew), true) = (forget_before, settled.is_empty()) {
                    return Commit { anew: Some(at(anew)), ..Commit::default() };
                }
                Commit {
                    anew: None,
                    settled: settled.into_iter().map(event).collect(),
                    consumed: consumed.iter().map(|id| format!("q{id}")).collect(),
                    state: state.map(|state| json!({ "at": state, "text": "ü" })),
                    covered: covered.map(|(from, length)| Span { from, to: from + length }),
                    start: start.map(at),
                    forget_before: forget_before.map(at),
                    forget_requests_before: forget_requests_before.map(at),
                    tally: Tally {
                        delivered,
                        late,
                        dropped: dropped.map(|rule| (format!("rule {rule}"), 1)).into_iter().collect(),
                        ..Tally::default()
                    },
                }
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS.len();
    prop_oneof![
        1 => (stream.clone(), 0i64..50).prop_map(|(stream, start)| Step::Load { stream, start }),
        3 => (stream.clone(), 0u8..6, 0i64..50).prop_map(|(stream, id, sent)| Step::Request { stream, id, sent }),
        6 => (stream, commit()).prop_map(|(stream, commit)| Step::Commit { stream, commit: Box::new(commit) }),
        1 => Just(Step::Reopen),
    ]
}

/// What a stream should hold, in the plainest form.
struct Model {
    start: Timestamp,
    settled: HashSet<Filed>,
    requests: HashMap<String, OwnRequest>,
    calls: HashSet<(Timestamp, String)>,
    state: Option<Value>,
    coverage: Coverage,
    forgotten: Timestamp,
    tally: Tally,
}

impl Model {
    fn new(start: i64) -> Self {
        let (settled, requests, calls) = (HashSet::new(), HashMap::new(), HashSet::new());
        let (coverage, tally) = (Coverage::default(), Tally::default());
        Self { start: at(start), settled, requests, calls, state: None, coverage, forgotten: at(0), tally }
    }

    fn commit(&mut self, commit: &Commit) {
        if let Some(start) = commit.anew {
            let cut = self
                .coverage
                .ranges()
                .iter()
                .find(|c| c.span.from < start.timestamp_millis() && c.span.to > start.timestamp_millis());
            let off = cut.map(|cut| start.timestamp_millis()..cut.span.to);
            let gone = |filed: &&Filed| filed.time != 0 && off.as_ref().is_some_and(|off| off.contains(&filed.time));
            let gone = self.settled.iter().filter(gone).count() as u64;
            self.coverage.cut(start, gone);
            (self.start, self.state) = (start, None);
        }
        for filed in &commit.settled {
            if self.settled.insert(*filed) && filed.time != 0 {
                self.coverage.count(filed.time);
            }
        }
        if let Some(span) = commit.covered {
            let inside = |filed: &&Filed| filed.time != 0 && (span.from..span.to).contains(&filed.time);
            let new = |filed: &&Filed| !self.coverage.contains(at(filed.time));
            let events = self.settled.iter().filter(inside).filter(new).count() as u64;
            self.coverage.add(span, events);
        }
        self.start = commit.start.map_or(self.start, |start| start.min(self.start));
        self.requests.retain(|id, _| !commit.consumed.contains(id));
        if let Some(before) = commit.forget_before {
            self.forgotten = self.forgotten.max(before);
            self.settled.retain(|filed| filed.time == 0 || at(filed.time) >= before);
        }
        if let Some(before) = commit.forget_requests_before {
            self.requests.retain(|_, request| request.sent >= before);
            self.calls.retain(|(sent, _)| *sent >= before);
        }
        if commit.state.is_some() {
            self.state.clone_from(&commit.state);
        }
        self.tally.add(&commit.tally);
    }
}

fn agrees(ledger: &dyn Ledger, model: &HashMap<usize, Model>) {
    let streams = ledger.streams().unwrap();
    assert_eq!(streams.len(), model.len());
    for (number, expected) in model {
        let name = stream(STREAMS[*number]);
        let (_, record, identities) = streams.iter().find(|(key, ..)| *key == name).unwrap();
        assert_eq!(record, &ledger.load(&name, at(77)).unwrap());
        assert_eq!((record.start, &record.state, &record.tally), (expected.start, &expected.state, &expected.tally));
        assert_eq!((&record.coverage, record.forgotten), (&expected.coverage, Some(expected.forgotten)));
        let mut requests: Vec<_> = expected.requests.values().cloned().collect();
        requests.sort_by_key(|request| (request.sent, request.id.clone()));
        assert_eq!(record.own_requests, requests);
        let mut calls: Vec<_> = expected.calls.iter().map(|(sent, _)| *sent).collect();
        calls.sort();
        assert_eq!(record.calls, calls);
        assert_eq!(*identities, expected.settled.len() as u64);
        let all: Vec<Filed> = (0..EVENTS).map(event).collect();
        let known: Vec<bool> = all.iter().map(|filed| expected.settled.contains(filed)).collect();
        assert_eq!(ledger.known(&name, &all).unwrap(), known);
    }
}

fn follows_the_model<L: Ledger>(steps: &[Step], mut ledger: L, reopen: impl Fn(L) -> L) {
    let mut model: HashMap<usize, Model> = HashMap::new();
    for step in steps {
        match step {
            Step::Load { stream: number, start } => {
                ledger.load(&stream(STREAMS[*number]), at(*start)).unwrap();
                model.entry(*number).or_insert_with(|| Model::new(*start));
            }
            Step::Request { stream: number, id, sent } => {
                let request = request(&format!("q{id}"), *sent);
                let written = ledger.record_request(&stream(STREAMS[*number]), &request);
                assert_eq!(written.is_ok(), model.contains_key(number));
                if let Some(model) = model.get_mut(number) {
                    model.calls.insert((request.sent, request.id.clone()));
                    let replaced = model.requests.insert(request.id.clone(), request.clone());
                    if let Some(before) = replaced.filter(|before| before.sent != request.sent) {
                        model.calls.remove(&(before.sent, before.id));
                    }
                }
            }
            Step::Commit { stream: number, commit } => {
                let written = ledger.commit(&stream(STREAMS[*number]), commit);
                assert_eq!(written.is_ok(), model.contains_key(number));
                if let Some(model) = model.get_mut(number) {
                    model.commit(commit);
                }
            }
            Step::Reopen => ledger = reopen(ledger),
        }
        agrees(&ledger, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_file_follows_the_model(steps in prop::collection::vec(step(), 1..25)) {
        let dir = tempfile::tempdir().unwrap();
        follows_the_model(&steps, FileLedger::open(dir.path()).unwrap(), |ledger| {
            drop(ledger);
            FileLedger::open(dir.path()).unwrap()
        });
    }

    #[test]
    fn memory_follows_the_model(steps in prop::collection::vec(step(), 1..25)) {
        follows_the_model(&steps, MemoryLedger::new(), |ledger| ledger);
    }
}
