//! What the disk, a copy or a person has changed is found when the ledger is opened, and said; what is not found changes no answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{at, filed, request, stream};
use headwater_contracts::Span;
use headwater_ledger::{Commit, Commits, FileLedger, Filed, Kept, Ledger, LedgerError, StreamRecord};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::fs;
use std::path::Path;

/// All that a ledger says.
type Said = Vec<(StreamRecord, Vec<Filed>)>;

fn said(ledger: &FileLedger) -> Result<Said, LedgerError> {
    let mut all = Vec::new();
    for (key, record, _) in ledger.all()? {
        let mut identities = Vec::new();
        ledger.identities(&key, &mut |filed| identities.push(filed))?;
        all.push((record, identities));
    }
    Ok(all)
}

/// A ledger of two streams with some thousand identities, closed; and what it says.
fn closed(dir: &Path) -> Said {
    let ledger = FileLedger::open(dir).unwrap();
    for (name, first) in [("a", 0u64), ("b", 50_000)] {
        ledger.load(&stream(name), at(1)).unwrap();
        for batch in 0..8u64 {
            ledger.record_request(&stream(name), &request(&format!("{name}{batch}"), 1_000)).unwrap();
            let from = first + batch * 250;
            let settled = (from..from + 250).map(|n| filed(i64::try_from(n).unwrap() * 1000 + 1, n)).collect();
            let covered = Some(Span::new(at(1), at(i64::try_from(from + 250).unwrap() * 1000)));
            let state = Some(serde_json::json!({ "read_to": batch, "cursor": "x".repeat(200) }));
            let commit = Commit { settled, covered, state, ..Commit::default() };
            ledger.commit(&stream(name), &commit).unwrap();
        }
    }
    said(&ledger).unwrap()
}

/// Opens and asks everything; the answer must be the truth or an error that says what to do.
fn truth_or_error(dir: &Path, truth: &Said, what: &str) -> bool {
    match FileLedger::open(dir).and_then(|ledger| said(&ledger)) {
        Ok(answer) => {
            assert!(answer == *truth, "{what}: another answer");
            true
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("backup") || text.contains("version"), "{what}: {text}");
            false
        }
    }
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let truth = closed(dir.path());
    let file = dir.path().join("ledger.redb");
    let good = fs::read(&file).unwrap();
    let used: Vec<usize> =
        (0..good.len()).step_by(4096).filter(|at| good[*at..*at + 4096].iter().any(|byte| *byte != 0)).collect();
    let mut random = StdRng::seed_from_u64(7);
    // Every bit of the header's first line and its two slots, and some hundred anywhere.
    let header = (0..320).map(|at| (at, 1 << random.random_range(0..8u8))).collect::<Vec<_>>();
    let anywhere = (0..400).map(|_| {
        let page = used[random.random_range(0..used.len())];
        (page + random.random_range(0..4096), 1 << random.random_range(0..8u8))
    });
    let mut found = 0;
    for (at, bit) in header.into_iter().chain(anywhere) {
        let mut bytes = good.clone();
        bytes[at] ^= bit;
        fs::write(&file, &bytes).unwrap();
        found += u32::from(!truth_or_error(dir.path(), &truth, &format!("byte {at}, bit {bit}")));
    }
    assert!(found > 100, "only {found} were found");
}

#[test]
fn a_file_that_is_refused_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let truth = closed(dir.path());
    let file = dir.path().join("ledger.redb");
    let good = fs::read(&file).unwrap();
    // Pages that are not in use may hold the same bytes: flip each.
    let key = filed(1_000_001, 1000).identity.0;
    let mut refused = 0;
    for at in (0..good.len() - 16).filter(|at| good[*at..*at + 16] == key) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&file, &bytes).unwrap();
        if !truth_or_error(dir.path(), &truth, "an identity") {
            refused += 1;
            assert_eq!(fs::read(&file).unwrap(), bytes);
        }
    }
    assert_eq!(refused, 1);
}

#[test]
fn a_copy_that_was_cut_short_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let truth = closed(dir.path());
    let file = dir.path().join("ledger.redb");
    let good = fs::read(&file).unwrap();
    let mut random = StdRng::seed_from_u64(11);
    let lengths =
        [0, 1, 5, 8, 9, 10, 64, 319, 320, 4095, 4096, 4097, 8192, good.len() / 2, good.len() - 4096, good.len() - 1];
    for length in lengths.into_iter().chain((0..30).map(|_| random.random_range(0..good.len()))) {
        fs::write(&file, &good[..length]).unwrap();
        assert!(!truth_or_error(dir.path(), &truth, &format!("{length} of {} bytes", good.len())));
    }
    // What file systems leave of a file whose content never reached the disk.
    for length in [1, 4096, good.len()] {
        fs::write(&file, vec![0; length]).unwrap();
        assert!(!truth_or_error(dir.path(), &truth, &format!("{length} zeros")));
    }
}

#[test]
fn a_copy_of_a_ledger_in_use_that_was_cut_short_is_refused_or_says_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let truth = closed(dir.path());
    let ledger = FileLedger::open(dir.path()).unwrap();
    let state = Some(serde_json::json!("later"));
    ledger.commit(&stream("a"), &Commit { state, ..Commit::default() }).unwrap();
    let after = said(&ledger).unwrap();
    let bytes = fs::read(dir.path().join("ledger.redb")).unwrap();
    drop(ledger);
    let mut random = StdRng::seed_from_u64(13);
    for length in (0..40).map(|_| random.random_range(1..=bytes.len() / 4096) * 4096) {
        fs::write(dir.path().join("ledger.redb"), &bytes[..length]).unwrap();
        match FileLedger::open(dir.path()).and_then(|ledger| said(&ledger)) {
            Ok(answer) => assert!(answer == after || answer == truth, "{length} bytes: another answer"),
            Err(error) => assert!(error.to_string().contains("backup"), "{error}"),
        }
    }
}

#[test]
fn an_empty_or_missing_ledger_is_a_first_run_only_where_nothing_shows_an_earlier_one() {
    let refused = |dir: &Path| {
        let error = FileLedger::open(dir).unwrap_err().to_string();
        assert!(error.contains("missing or empty") && error.contains("backup"), "{error}");
        error
    };
    for trace in ["ledger.begun", "requests.journal", "dead-letter"] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        closed(dir);
        fs::create_dir(dir.join("dead-letter")).unwrap();
        fs::write(dir.join("dead-letter").join("dead-letter.ndjson"), "{}\n").unwrap();
        for other in ["ledger.begun", "requests.journal"] {
            if other != trace {
                fs::remove_file(dir.join(other)).unwrap();
            }
        }
        if trace != "dead-letter" {
            fs::remove_dir_all(dir.join("dead-letter")).unwrap();
        }
        fs::write(dir.join("ledger.redb"), "").unwrap();
        assert!(refused(dir).contains(&format!("`{trace}`")));
        fs::remove_file(dir.join("ledger.redb")).unwrap();
        refused(dir);
        // Not once only.
        refused(dir);
    }
    // A first run that was stopped before it had made the ledger is still a first run.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ledger.redb"), "").unwrap();
    fs::write(dir.path().join("requests.journal"), "").unwrap();
    fs::create_dir(dir.path().join("dead-letter")).unwrap();
    assert!(FileLedger::open(dir.path()).unwrap().streams().unwrap().is_empty());
}

#[test]
fn a_ledger_of_an_earlier_version_opens_and_is_marked() {
    let dir = tempfile::tempdir().unwrap();
    let truth = closed(dir.path());
    fs::remove_file(dir.path().join("ledger.begun")).unwrap();
    assert!(truth_or_error(dir.path(), &truth, "no mark"));
    assert!(dir.path().join("ledger.begun").exists());
}

#[test]
fn links_are_not_followed() {
    for name in ["ledger.redb", "requests.journal"] {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious\n").unwrap();
        let state = dir.path().join("state");
        fs::create_dir(&state).unwrap();
        std::os::unix::fs::symlink(&victim, state.join(name)).unwrap();
        let error = FileLedger::open(&state).unwrap_err().to_string();
        assert!(error.contains("symbolic link") && error.contains(name), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
    }
}
