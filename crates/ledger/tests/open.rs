//! Opening what is there, and what should not be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use headwater_contracts::Timestamp;
use headwater_ledger::{Commit, Commits, FileLedger, Ledger, LedgerError, StreamKey};
use redb::{Database, TableDefinition};
use std::fs;
use std::path::Path;

fn reason(dir: &Path) -> String {
    match FileLedger::open(dir).unwrap_err() {
        LedgerError::Io { path, doing: "open", reason } if path.starts_with(dir) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(FileLedger::open(dir.path()).unwrap());
    let db = Database::open(dir.path().join("ledger.redb")).unwrap();
    let write = db.begin_write().unwrap();
    write.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 2).unwrap();
    write.commit().unwrap();
    drop(db);
    let reason = reason(dir.path());
    assert!(reason.contains("format 2") && reason.contains("format 1"), "{reason}");
}

#[test]
fn a_file_that_is_no_ledger_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.redb");
    // Too short for a mark; a text; zeros that hide something; the mark and nothing sensible behind it.
    let mut hidden = vec![0; 8192];
    hidden[5000] = 1;
    for content in [b"x".to_vec(), b"not a ledger at all".to_vec(), hidden, b"redb\x1a\x0a\xa9\x0d\x0aXXXX".to_vec()] {
        fs::write(&file, &content).unwrap();
        reason(dir.path());
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[test]
fn a_directory_that_cannot_be_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let reason = reason(&dir.path().join("file").join("state"));
    assert!(!reason.is_empty());
}

#[cfg(unix)]
#[test]
fn only_its_user_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("deep").join("state");
    let ledger = FileLedger::open(&state).unwrap();
    assert!(ledger.streams().unwrap().is_empty());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join("ledger.redb"))), (0o700, 0o600));
}

#[test]
fn a_file_that_is_moved_away_or_replaced_in_use_takes_no_commit() {
    let outer = tempfile::tempdir().unwrap();
    let (dir, elsewhere) = (outer.path().join("state"), outer.path().join("elsewhere"));
    let ledger = FileLedger::open(&dir).unwrap();
    let stream = StreamKey { source: "s".into(), stream: "t".into() };
    ledger.load(&stream, Timestamp::UNIX_EPOCH).unwrap();
    let commit = || ledger.commit(&stream, &Commit::default());
    commit().unwrap();
    fs::rename(&dir, &elsewhere).unwrap();
    let said = commit().unwrap_err().to_string();
    assert!(said.contains("was moved, removed or replaced while this run had it open"), "{said}");
    fs::create_dir(&dir).unwrap();
    fs::copy(elsewhere.join("ledger.redb"), dir.join("ledger.redb")).unwrap();
    assert_eq!(commit().unwrap_err().to_string(), said, "a copy is another file");
    fs::remove_dir_all(&dir).unwrap();
    fs::rename(&elsewhere, &dir).unwrap();
    commit().unwrap();
}
