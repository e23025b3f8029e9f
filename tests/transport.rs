//! What lies below the answers of an API: certificates of a server's own making, and bodies that arrive slowly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

use crate::support::{self, run, stderr, stdout};
use headwater_contracts::{Period, Timestamp};
use headwater_ledger::MemoryLedger;
use headwater_runtime::SystemClock;
use headwater_simulator::{Fault, Provider, Scenario, Simulator, When};
use headwater_testkit::{clock::TestClock, rig::Rig, saboteur::Saboteur};
use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

/// A folder with a pipeline that reads the simulator, its certificate, and `tls` for the source.
fn folder(simulator: &Simulator, tls: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (url, token) = (simulator.url(), simulator.credential());
    let pipeline = format!(
        "state: {{ type: file, path: state }}\n\
         sources:\n  in: {{ type: api7, endpoint: \"{url}\", token: \"{token}\", start_at: earliest, rate_limit: {{ requests: 1000000, per: 1s }}{tls} }}\n\
         sinks:\n  out: {{ type: file, path: out.ndjson, inputs: [in] }}\n",
    );
    fs::write(dir.path().join("pipeline.yaml"), pipeline).unwrap();
    fs::write(dir.path().join("ca.pem"), simulator.certificate().unwrap()).unwrap();
    dir
}

#[test]
fn a_self_signed_server_is_read_by_those_who_are_told_its_certificate() {
    let scenario = Scenario { tls: true, ..Scenario::new().history(3, 50) };
    let simulator = Simulator::start(Provider::Api7, scenario, Arc::new(SystemClock)).unwrap();

    let stranger = run(folder(&simulator, "").path(), &["check"]);
    assert_eq!(stranger.status.code(), Some(1), "{}", stderr(&stranger));
    let said = stdout(&stranger);
    assert!(said.contains("UnknownIssuer") && said.contains("`tls.ca_file`"), "{said}");
    assert!(simulator.ledger().requests().is_empty(), "nothing was sent, the token least of all");

    let dir = folder(&simulator, ", tls: { ca_file: ca.pem }");
    let read = run(dir.path(), &["run", "--once"]);
    assert_eq!(read.status.code(), Some(0), "{}", stderr(&read));
    assert_eq!(fs::read_to_string(dir.path().join("out.ndjson")).unwrap().lines().count(), 50);
}

#[test]
fn a_body_may_take_longer_than_the_timeout_as_long_as_it_goes_on() {
    // A machine that stands still for a second takes an attempt's answer from it. A limit for the whole body would take it from all.
    let patient = |_| support::runtime().block_on(reads_a_slow_body_at_the_first_try());
    assert!((0..5).any(patient), "it asked again");
}

/// Whether one request was enough for a body that takes longer than the timeout.
async fn reads_a_slow_body_at_the_first_try() -> bool {
    let clock = TestClock::at("2026-01-15T12:00:00Z".parse::<Timestamp>().unwrap());
    let slow = Fault::Trickle { pause_ms: 120 };
    let scenario = Scenario::new().history(3, 100).fault(When::Requests { first: 0, count: 1 }, slow);
    let simulator = Simulator::start(Provider::SolaceCloud, scenario, Arc::new(clock.clone())).unwrap();
    let mut rig = Rig::new(clock, Arc::new(MemoryLedger::new()));
    // Far from the pause between two pieces, so that a slow machine does not take one for the end.
    rig.options.timeout = Some(Period::seconds(1));
    let built = support::build_solace_cloud(simulator.url(), simulator.credential(), &rig.options);
    let began = Instant::now();
    rig.run(built, &Saboteur::idle()).await.unwrap();
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(rig.recorder.arrived().len(), 100);
    let asked: Vec<_> = simulator.ledger().requests().into_iter().filter(|seen| seen.audit).collect();
    asked.iter().filter(|seen| seen.query == asked[0].query).count() == 1
}
