//! Real processes: killed while they commit, and refused while another has the ledger open.
//!
//! The parent starts this test binary again, with the directory in an environment variable, to run one of the
//! `child_*` tests; without that variable these do nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{at, filed, stream};
use headwater_contracts::{Span, Tally};
use headwater_ledger::{Commit, Commits, FileLedger, Ledger, LedgerError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const DIR: &str = "HEADWATER_TEST_LEDGER_DIR";
/// How often to kill; more for a long run.
const ROUNDS: &str = "HEADWATER_TEST_KILL_ROUNDS";
/// Events per commit.
const EVENTS: u64 = 20;

fn spawn(test: &str, dir: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// Numbers the child has printed, each after `mark`.
fn next(output: &mut BufReader<ChildStdout>, mark: &str) -> Option<u64> {
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        // A line cut off by the kill is not an acknowledgement.
        if let Some((_, number)) = line.strip_suffix('\n').and_then(|line| line.split_once(mark)) {
            return Some(number.parse().unwrap());
        }
        line.clear();
    }
    None
}

fn settled(commit: u64) -> Vec<headwater_ledger::Filed> {
    (commit * EVENTS..(commit + 1) * EVENTS)
        .map(|number| filed(1_000 + i64::try_from(number).unwrap(), number))
        .collect()
}

/// Commits 0, 1, 2 … from where the ledger stands, and says so after each, until killed.
#[test]
fn child_commits_until_killed() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let ledger = FileLedger::open(&dir).unwrap();
    let state = ledger.load(&stream("a"), at(0)).unwrap().state;
    let first = state.map_or(0, |state| state["next"].as_u64().unwrap());
    for number in first.. {
        let settled = settled(number);
        let span = Span { from: settled[0].time, to: settled[0].time + i64::try_from(EVENTS).unwrap() };
        let commit = Commit {
            settled,
            state: Some(json!({ "next": number + 1 })),
            covered: Some(span),
            tally: Tally { read: EVENTS, delivered: EVENTS, ..Tally::default() },
            ..Commit::default()
        };
        ledger.record_request(&stream("a"), &common::request(&format!("q{number}"), 5)).unwrap();
        ledger.commit(&stream("a"), &commit).unwrap();
        println!("acknowledged {number}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn kill_9_keeps_every_acknowledged_commit() {
    let rounds = std::env::var(ROUNDS).map_or(24, |rounds| rounds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(rounds);
    let mut acknowledged = 0;
    for round in 0..rounds {
        let (mut child, mut output) = spawn("child_commits_until_killed", dir.path());
        // Random both in commits and, by spinning, within one.
        for _ in 0..random.random_range(1..12) {
            acknowledged = next(&mut output, "acknowledged ").expect("the child commits") + 1;
        }
        for _ in 0..random.random_range(0..400_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(number) = next(&mut output, "acknowledged ") {
            acknowledged = number + 1;
        }

        let ledger = FileLedger::open(dir.path()).unwrap();
        let streams = ledger.streams().unwrap();
        let (_, record, identities) = &streams[0];
        let commits = record.state.as_ref().unwrap()["next"].as_u64().unwrap();
        assert!(commits == acknowledged || commits == acknowledged + 1, "round {round}: {commits} {acknowledged}");
        assert_eq!(*identities, commits * EVENTS, "round {round}");
        assert_eq!((record.tally.delivered, record.tally.balances()), (commits * EVENTS, true), "round {round}");
        assert_eq!(record.coverage.ranges()[0].events, commits * EVENTS, "round {round}");
        let requests = record.own_requests.len() as u64;
        assert!(requests == commits || requests == commits + 1, "round {round}: {requests} requests");
        for number in 0..=commits {
            let known = ledger.known(&stream("a"), &settled(number)).unwrap();
            assert_eq!(known, vec![number < commits; known.len()], "round {round}, commit {number}");
        }
    }
}

/// Opens the ledger, says so, and holds it until its input ends.
#[test]
fn child_holds() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let _ledger = FileLedger::open(&dir).unwrap();
    println!("holding 1");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn refused(dir: &Path) {
    let error = FileLedger::open(dir).unwrap_err();
    let expected = dir.join("ledger.redb");
    assert!(matches!(&error, LedgerError::InUse { path } if *path == expected), "{error}");
    assert!(error.to_string().contains(&expected.display().to_string()));
}

#[test]
fn a_second_process_is_refused_until_the_first_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut output) = spawn("child_holds", dir.path());
    assert_eq!(next(&mut output, "holding "), Some(1));
    refused(dir.path());
    refused(dir.path());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    FileLedger::open(dir.path()).unwrap();
}

#[test]
fn a_second_ledger_in_the_same_process_is_refused_too() {
    let dir = tempfile::tempdir().unwrap();
    let first = FileLedger::open(dir.path()).unwrap();
    refused(dir.path());
    drop(first);
    FileLedger::open(dir.path()).unwrap();
}
