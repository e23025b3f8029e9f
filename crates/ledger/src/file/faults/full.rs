//! A full disk, and a disk that fails once, at every operation.

use super::disk::{Disk, Fault};
use super::{expected, open, operations, script, snapshot};
use crate::{FileLedger, LedgerError};
use std::sync::Arc;

/// Opens the ledger, repairing the disk if that takes it.
fn opened(disk: &Arc<Disk>, accept: fn(&LedgerError) -> bool) -> FileLedger {
    open(disk).unwrap_or_else(|error| {
        assert!(accept(&error), "{error}");
        disk.repair();
        open(disk).unwrap()
    })
}

#[test]
fn a_full_disk_loses_nothing_and_everything_works_once_there_is_space() {
    let script = script();
    let states = expected(&script);
    let full = |error: &LedgerError| matches!(error, LedgerError::Full { .. });
    let mut refused = 0;
    for at in 0..operations(&script) {
        let disk = Arc::new(Disk::failing(Fault::Full(at)));
        let ledger = opened(&disk, full);
        for (done, step) in script.iter().enumerate() {
            let Err(error) = step.run(&ledger) else { continue };
            assert!(full(&error), "full at operation {at}, step {done}: {error}");
            refused += 1;
            // Trying again on a disk that is still full: a clear answer again, and no damage.
            if let Err(error) = step.run(&ledger) {
                assert!(full(&error), "full at operation {at}, step {done}, again: {error}");
                disk.repair();
                // Not applied, or applied whole: a disk can fill up behind the sync that made a step durable.
                let found = snapshot(&ledger).unwrap();
                let whole = found == states[done] || found == states[done + 1];
                assert!(whole, "full at operation {at}: step {done} left half a trace");
                step.run(&ledger).unwrap();
            }
            disk.repair();
            assert!(snapshot(&ledger).unwrap() == states[done + 1], "full at operation {at}, after step {done}");
        }
        assert!(snapshot(&ledger).unwrap() == states[script.len()], "full at operation {at}, at the end");
    }
    assert!(refused > script.len(), "the disk was full only {refused} times");
}

#[test]
fn a_step_that_met_an_error_is_applied_once_when_it_is_repeated() {
    let script = script();
    let states = expected(&script);
    let error = |error: &LedgerError| matches!(error, LedgerError::Io { .. });
    for at in 0..operations(&script) {
        let disk = Arc::new(Disk::failing(Fault::Error(at)));
        let ledger = opened(&disk, error);
        for (done, step) in script.iter().enumerate() {
            if let Err(failure) = step.run(&ledger) {
                assert!(error(&failure), "error at operation {at}, step {done}: {failure}");
                step.run(&ledger).unwrap();
            }
            // Asking moves requests from the journal, and may be what meets the error.
            let found = snapshot(&ledger).or_else(|_| snapshot(&ledger)).unwrap();
            assert!(found == states[done + 1], "error at operation {at}, after step {done}");
        }
        drop(ledger);
        assert!(snapshot(&open(&disk).unwrap()).unwrap() == states[script.len()], "error at operation {at}, reopened");
    }
}
