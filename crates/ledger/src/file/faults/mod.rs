//! What the file ledger promises when the machine does not keep its own promises.
//!
//! One script of steps runs against a simulated disk that fails at every single operation in turn. What the ledger
//! then holds is compared with what a [`MemoryLedger`] held after the steps that had been acknowledged.

mod crash;
mod decay;
mod disk;
mod full;

use super::FileLedger;
use super::store::Store;
use crate::{Commit, Filed, Ledger, LedgerError, MemoryLedger, StreamKey, StreamRecord};
use chrono::TimeDelta;
use disk::Disk;
use headwater_contracts::{Identity, OwnRequest, Span, Tally, Timestamp};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

fn open(disk: &Arc<Disk>) -> Result<FileLedger, LedgerError> {
    let store = Store::on(disk.clone(), PathBuf::from("simulated"))?;
    FileLedger::on(store, Arc::new(disk.other()))
}

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(second)
}

fn stream(name: &str) -> StreamKey {
    StreamKey { source: "audit".into(), stream: name.into() }
}

fn filed(number: u64) -> Filed {
    let time = 1_000_000 + i64::try_from(number).unwrap() * 10;
    Filed { time, identity: Identity::of(&[&number.to_be_bytes()]) }
}

/// One call that changes the ledger.
enum Step {
    Load(&'static str),
    Request(&'static str, OwnRequest),
    Commit(&'static str, Box<Commit>),
}

impl Step {
    fn run(&self, ledger: &impl Ledger) -> Result<(), LedgerError> {
        match self {
            Self::Load(name) => ledger.load(&stream(name), at(1)).map(|_| ()),
            Self::Request(name, request) => ledger.record_request(&stream(name), request),
            Self::Commit(name, commit) => ledger.commit(&stream(name), commit),
        }
    }
}

/// Settles the events `from..to`, as read between two seconds of the same numbers.
fn settles(name: &'static str, from: u64, to: u64) -> Step {
    let count = to - from;
    let (start, end) = (filed(from).time, filed(to).time);
    Step::Commit(
        name,
        Box::new(Commit {
            settled: (from..to).map(filed).collect(),
            consumed: vec![format!("q{from}")],
            state: Some(json!({ "next": to })),
            covered: Some(Span { from: start, to: end }),
            tally: Tally { read: count + 1, delivered: count, suppressed: 1, ..Tally::default() },
            ..Commit::default()
        }),
    )
}

/// Forgets the events below `before`, and requests older than that second.
fn forgets(name: &'static str, before: u64) -> Step {
    let instant = Timestamp::from_timestamp_millis(filed(before).time).unwrap();
    let (forget_before, forget_requests_before) = (Some(instant), Some(at(i64::try_from(before).unwrap())));
    Step::Commit(name, Box::new(Commit { forget_before, forget_requests_before, ..Commit::default() }))
}

fn asks(name: &'static str, number: u64) -> Step {
    Step::Request(
        name,
        OwnRequest {
            id: format!("q{number}"),
            user_agent: format!("headwater/{number}"),
            method: "GET".into(),
            path: "/events".into(),
            query: vec![("from".into(), number.to_string())],
            sent: at(i64::try_from(number).unwrap()),
        },
    )
}

/// Small and large commits of two streams, requests, matched and not, and forgetting.
fn script() -> Vec<Step> {
    vec![
        Step::Load("a"),
        asks("a", 0),
        settles("a", 0, 10),
        Step::Load("b"),
        settles("b", 5, 8),
        asks("a", 10),
        asks("a", 11),
        settles("a", 10, 700),
        forgets("a", 300),
        asks("b", 8),
        asks("a", 700),
        asks("b", 9),
        settles("b", 8, 400),
        settles("a", 700, 720),
        forgets("b", 20),
        settles("a", 720, 1100),
    ]
}

/// Everything that can be asked.
type Snapshot = (Vec<(StreamKey, StreamRecord, u64)>, Vec<bool>);

fn snapshot(ledger: &impl Ledger) -> Result<Snapshot, LedgerError> {
    let all: Vec<Filed> = (0..1110).map(filed).collect();
    let mut known = ledger.known(&stream("a"), &all)?;
    known.extend(ledger.known(&stream("b"), &all)?);
    Ok((ledger.streams()?, known))
}

/// What there is after no step, one step, two steps …
fn expected(script: &[Step]) -> Vec<Snapshot> {
    let ledger = MemoryLedger::new();
    let mut states = vec![snapshot(&ledger).unwrap()];
    for step in script {
        step.run(&ledger).unwrap();
        states.push(snapshot(&ledger).unwrap());
    }
    assert!(states.last().unwrap().0.iter().all(|(_, record, _)| record.tally.balances()));
    states
}

/// The number of operations that the whole script costs a disk without faults.
fn operations(script: &[Step]) -> usize {
    let disk = Arc::new(Disk::default());
    let ledger = open(&disk).unwrap();
    for step in script {
        step.run(&ledger).unwrap();
    }
    drop(ledger);
    disk.operations()
}
