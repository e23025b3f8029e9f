//! What a source says its settings cost is what they cost, on a day on which nothing happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

use crate::support;
use chrono::TimeDelta;
use headwater_contracts::{BuiltSource, Clock, Period, SourceOptions, StartAt, Timestamp};
use headwater_ledger::MemoryLedger;
use headwater_simulator::{Provider, Scenario, Simulator};
use headwater_testkit::{clock::TestClock, rig::Rig, saboteur::Saboteur};
use std::sync::Arc;

/// Requests of some hours, after some others, and what the source says of a day. Runs are `every` apart, as polls are.
fn quiet(
    provider: Provider,
    (before, hours): (i64, i64),
    every: TimeDelta,
    build: fn(&str, &str, &SourceOptions) -> BuiltSource,
) {
    support::runtime().block_on(async {
        let clock = TestClock::at("2026-01-15T12:00:00Z".parse::<Timestamp>().unwrap());
        let scenario = Scenario::new().history(1, 1);
        let simulator = Simulator::start(provider, scenario, Arc::new(clock.clone())).unwrap();
        let mut rig = Rig::new(clock.clone(), Arc::new(MemoryLedger::new()));
        rig.options.start_at = Some(StartAt::Ago(Period::days(1)));
        let built = || build(simulator.url(), simulator.credential(), &rig.options);
        let streams = built().source.streams().len() as u64;
        let said = built().source.requests_per_day() * streams;
        let requests = || simulator.ledger().requests().iter().filter(|seen| seen.audit).count() as u64;
        let mut made = 0;
        for hours in [before, hours] {
            let (end, already) = (clock.now() + TimeDelta::hours(hours), requests());
            while clock.now() < end {
                rig.run(built(), &Saboteur::idle()).await.unwrap();
                clock.advance(every);
            }
            made = (requests() - already) * 24 / hours.unsigned_abs();
        }
        println!("{provider}: {made} requests a day, at least {said} by its settings");
        assert!(made >= said * 9 / 10 && made <= said * 2, "{provider}: {made} requests, and it says {said}");
    });
}

/// Requests that a first run takes for a long history in which little happened. All of it is delivered.
fn long_history(provider: Provider, days: u32, build: fn(&str, &str, &SourceOptions) -> BuiltSource) -> usize {
    support::runtime().block_on(async {
        let clock = TestClock::at("2026-01-15T12:00:00Z".parse::<Timestamp>().unwrap());
        let scenario = Scenario::new().seed(3).history(days, 400);
        let simulator = Simulator::start(provider, scenario, Arc::new(clock.clone())).unwrap();
        let rig = Rig::new(clock.clone(), Arc::new(MemoryLedger::new()));
        rig.run(build(simulator.url(), simulator.credential(), &rig.options), &Saboteur::idle()).await.unwrap();
        let arrived = rig.recorder.arrived();
        let dropped = rig.dropped.lock().unwrap().len();
        let settled = arrived.values().map(Vec::len).sum::<usize>() + dropped;
        let requests = simulator.ledger().requests().iter().filter(|seen| seen.audit).count();
        // The last requests are recorded when they have been answered.
        let visible = simulator.ledger().visible_ids(clock.now()).len();
        assert!((visible.saturating_sub(requests)..=visible).contains(&settled), "{settled} of {visible}");
        println!("{provider}: {requests} requests for {} events of {days} days", arrived.len());
        requests
    })
}

#[test]
fn long_empty_stretches_cost_few_requests() {
    let year = |url: &str, credential: &str, options: &SourceOptions| {
        support::build_anypoint_with(url, credential, options, &serde_json::json!({ "retention": "365d" }))
    };
    assert!(long_history(Provider::Anypoint, 360, year) < 250);
    assert!(long_history(Provider::Api7, 50, support::build_api7) < 25);
    assert!(long_history(Provider::PactFlow, 29, support::build_pactflow) < 20);
    assert!(long_history(Provider::SolaceCloud, 85, support::build_solace_cloud) < 20);
    assert!(long_history(Provider::Mural, 29, support::build_mural) < 40);
}

#[test]
fn settings_cost_what_is_said() {
    let minute = TimeDelta::minutes(1);
    quiet(Provider::PactFlow, (24, 24), minute * 5, support::build_pactflow);
    quiet(Provider::Mural, (9 * 24, 24), minute * 60, support::build_mural);
    quiet(Provider::SolaceCloud, (1, 4), minute, support::build_solace_cloud);
    quiet(Provider::Api7, (24, 24), minute * 5, support::build_api7);
    quiet(Provider::Anypoint, (1, 4), minute, support::build_anypoint);
}
