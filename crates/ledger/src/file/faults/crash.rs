//! A crash at every operation, with every kind of damage.

use super::disk::{Disk, Fault, Torn, Unsynced};
use super::{expected, open, operations, script, snapshot};
use std::sync::Arc;

/// After a crash the ledger holds every acknowledged step and at most the one that was under way, and goes on.
fn survives(torn: Torn, unsynced: Unsynced) {
    let script = script();
    let states = expected(&script);
    for at in 0..operations(&script) {
        let disk = Arc::new(Disk::failing(Fault::Crash(at)));
        let mut acknowledged = 0;
        if let Ok(ledger) = open(&disk) {
            acknowledged = script.iter().take_while(|step| step.run(&ledger).is_ok()).count();
        }
        let disk = Arc::new(disk.after_crash(torn, unsynced));
        let case = format!("crash at operation {at} ({torn:?}, {unsynced:?}) after {acknowledged} steps");

        let ledger = open(&disk).unwrap_or_else(|error| panic!("{case}: {error}"));
        let found = snapshot(&ledger).unwrap_or_else(|error| panic!("{case}: {error}"));
        let under_way = states.get(acknowledged + 1);
        assert!(found == states[acknowledged] || under_way == Some(&found), "{case}: {:?}", found.0);

        let done = if found == states[acknowledged] { acknowledged } else { acknowledged + 1 };
        script[done..].iter().for_each(|step| step.run(&ledger).unwrap_or_else(|error| panic!("{case}: {error}")));
        assert!(snapshot(&ledger).unwrap() == states[script.len()], "{case}: the rest of the script");
    }
}

#[test]
fn a_killed_process_keeps_every_acknowledged_commit() {
    survives(Torn::Nothing, Unsynced::Kept);
}

#[test]
fn a_write_cut_short_keeps_every_acknowledged_commit() {
    survives(Torn::Prefix, Unsynced::Kept);
}

#[test]
fn a_write_that_began_in_the_middle_keeps_every_acknowledged_commit() {
    survives(Torn::Suffix, Unsynced::Kept);
}

#[test]
fn a_power_cut_keeps_every_acknowledged_commit() {
    survives(Torn::Nothing, Unsynced::Lost);
    survives(Torn::Prefix, Unsynced::Lost);
}

#[test]
fn writes_that_reached_the_disk_in_any_order_keep_every_acknowledged_commit() {
    for seed in 0..3 {
        survives(Torn::Prefix, Unsynced::Some(seed));
        survives(Torn::Suffix, Unsynced::Some(seed + 100));
    }
}
