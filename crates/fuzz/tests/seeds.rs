//! Every target takes its seeds, and random changes of them.
#![allow(clippy::unwrap_used)] // this is a test

use headwater_fuzz::TARGETS;
use proptest::{prelude::*, sample::Index};
use std::sync::LazyLock;

static SEEDS: LazyLock<Vec<Vec<Vec<u8>>>> =
    LazyLock::new(|| TARGETS.iter().map(|target| (target.seeds)().unwrap()).collect());

/// A change of an input, as a fuzzer makes them.
#[derive(Debug, Clone)]
enum Change {
    Cut(Index),
    Put(Index, u8),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        place().prop_map(Change::Cut),
        (place(), any::<u8>()).prop_map(|(at, byte)| Change::Put(at, byte)),
        (place(), prop::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (place(), place()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

fn changed(mut input: Vec<u8>, changes: Vec<Change>) -> Vec<u8> {
    for change in changes {
        if input.is_empty() {
            break;
        }
        let length = input.len();
        match change {
            Change::Cut(at) => input.truncate(at.index(length)),
            Change::Put(at, byte) => input[at.index(length)] = byte,
            Change::Insert(at, bytes) => drop(input.splice(at.index(length)..at.index(length), bytes)),
            Change::Repeat(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                let part = input[from.min(to)..from.max(to)].to_vec();
                input.splice(to..to, part);
            }
        }
    }
    input
}

#[test]
fn seeds_break_nothing() {
    for (target, seeds) in TARGETS.iter().zip(&*SEEDS) {
        assert!(seeds.len() >= 8, "{}: {} seeds", target.name, seeds.len());
        for seed in seeds {
            (target.run)(seed);
        }
        (target.run)(b"");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changes_of_seeds_break_nothing(which in any::<Index>(), seed in any::<Index>(), changes in prop::collection::vec(change(), 1..6)) {
        let which = which.index(TARGETS.len());
        let (target, seeds) = (&TARGETS[which], &SEEDS[which]);
        (target.run)(&changed(seeds[seed.index(seeds.len())].clone(), changes));
    }
}
