//! Seeded runs of every source against its simulator: late events, drift, throttling, flaky answers, lost permissions, own
//! queries, hostile links, and kills at random points, all chosen by the seed.
//!
//! `HEADWATER_SEEDS` sets the number of runs per source (60 without it: the short form), `HEADWATER_SEED` picks a single one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::naive_bytecount)] // this is a test

#[path = "support/clocks.rs"]
mod clocks;
mod support;

use headwater_testkit::source_suite::{Case, TROUBLES, Verdict};
use std::{
    env,
    sync::Arc,
    sync::Mutex,
    sync::atomic::{AtomicU64, Ordering},
};

/// Among so many runs, everything must have occurred that the suite is there for.
const CENSUS_RUNS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs the seeds on all cores; a bad one fails with its number.
fn run_seeds(name: &str, case: impl Fn() -> Case<'static> + Sync) {
    let single = number("HEADWATER_SEED");
    let seeds = single.map_or(0..number("HEADWATER_SEEDS").unwrap_or(60), |seed| seed..seed + 1);
    let next = Arc::new(AtomicU64::new(seeds.start));
    let sum = Mutex::new(Verdict::default());
    let bad = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let runtime = support::runtime();
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        break;
                    }
                    let verdict = runtime.block_on(support::in_time(seed, case().seeded(seed)));
                    if !verdict.is_good() {
                        bad.lock().unwrap().push(format!("HEADWATER_SEED={seed}: {verdict}\n{verdict:#?}"));
                    }
                    sum.lock().unwrap().add(verdict);
                }
            });
        }
    });
    let (sum, runs) = (sum.into_inner().unwrap(), seeds.end - seeds.start);
    println!("{name}: {runs} seeded runs: {sum}");
    println!("{name}: in how many of them: {}", sum.census_line());
    let bad = bad.into_inner().unwrap();
    assert!(bad.is_empty(), "{} bad runs of {name}:\n{}", bad.len(), bad.join("\n"));
    if runs >= CENSUS_RUNS {
        assert!(sum.expected > 0, "{name}: nothing was to be delivered");
        let never: Vec<_> = TROUBLES.iter().filter(|trouble| !sum.census.contains_key(*trouble)).collect();
        assert!(never.is_empty(), "{name}: never occurred: {never:?}");
    }
}

#[test]
fn pactflow_loses_nothing_and_repeats_nothing() {
    run_seeds("pactflow", support::pactflow);
}

#[test]
fn api7_loses_nothing_and_repeats_nothing() {
    run_seeds("api7", support::api7);
}

#[test]
fn anypoint_loses_nothing_and_repeats_nothing() {
    run_seeds("anypoint", support::anypoint);
}

#[test]
fn mural_loses_nothing_and_repeats_nothing() {
    run_seeds("mural", support::mural);
}

#[test]
fn mural_that_knows_its_key_drops_its_own_queries_and_no_others() {
    run_seeds("mural with its key", support::mural_own);
}

#[test]
fn solace_cloud_loses_nothing_and_repeats_nothing() {
    run_seeds("solace_cloud", support::solace_cloud);
}

#[test]
fn solace_cloud_that_knows_its_owner_drops_its_own_queries_and_no_others() {
    run_seeds("solace_cloud with its owner", support::solace_cloud_own);
}
