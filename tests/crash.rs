//! The real binary, killed with SIGKILL in the middle of its work, again and again on one state.
//!
//! `HEADWATER_KILLS` sets the number of kills per source (30 without it).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::naive_bytecount)] // this is a test

mod support;

use headwater_contracts::{Clock, Timestamp};
use headwater_runtime::SystemClock;
use headwater_simulator::{Kind, Provider, Scenario, Simulator};
use headwater_testkit::source_suite::EVENTS_PER_KILL;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::HashMap,
    fs,
    io::{BufRead, Read},
    sync::Arc,
};
use support::Headwater;

fn pipeline(provider: Provider, simulator: &Simulator, sink: &str) -> String {
    let credential = if provider == Provider::Mural { "api_key" } else { "token" };
    format!(
        "state: {{ type: file, path: state }}\n\
         sources:\n  in: {{ type: {provider}, endpoint: \"{}\", {credential}: \"{}\", start_at: earliest, page_size: 100, rate_limit: {{ requests: 1000000, per: 1s }}, retry: {{ initial: 10ms, max: 50ms }}{} }}\n\
         transforms:\n  drop_own_queries: {{ type: remap, inputs: [in], file: 'builtin:drop_own_queries.vrl' }}\n\
         sinks:\n  out: {{ inputs: [drop_own_queries], {sink} }}\n",
        simulator.url(),
        simulator.credential(),
        match provider {
            Provider::Mural | Provider::SolaceCloud => ", min_call_interval: 0s",
            // Up to this moment, so that all that is there by now is read.
            Provider::Api7 => ", settle: 0s",
            _ => "",
        },
    )
}

/// Counts ids in NDJSON; the last line may be torn by a kill.
fn count(ids: &mut HashMap<String, usize>, bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let event: serde_json::Value = serde_json::from_slice(line).expect("a whole line is a whole event");
        let id = event.get("uuid").or_else(|| event.get("id")).and_then(|id| id.as_str()).expect("an id");
        *ids.entry(id.to_owned()).or_default() += 1;
    }
}

fn compare(name: &str, simulator: &Simulator, cut: Timestamp, ids: &HashMap<String, usize>, kills: u32) {
    let truths = simulator.ledger().events();
    let lost: Vec<_> = truths
        .iter()
        .filter(|truth| truth.kind != Kind::OwnCollector || only_guessed(name))
        .filter(|truth| truth.visible_at <= cut && !ids.contains_key(&truth.id))
        .map(|truth| {
            format!("{} of {}, visible {}, until {}", truth.id, truth.time, truth.visible_at, truth.expires_at)
        })
        .collect();
    let known: std::collections::HashSet<_> = truths.iter().map(|truth| truth.id.as_str()).collect();
    let invented: Vec<_> = ids.keys().filter(|id| !known.contains(id.as_str())).collect();
    let duplicates: usize = ids.values().map(|copies| copies - 1).sum();
    let own = truths.iter().filter(|truth| truth.kind == Kind::OwnCollector && ids.contains_key(&truth.id)).count();
    println!(
        "{name}: {kills} kills: {} events delivered, {} lost, {} invented, {duplicates} duplicates (each from a kill between acknowledgement and commit), {own} own queries",
        ids.len(),
        lost.len(),
        invented.len()
    );
    assert!(lost.is_empty() && invented.is_empty(), "{name}: lost {lost:?}, invented {invented:?}");
    let kills = kills as usize;
    assert!(
        duplicates <= kills * EVENTS_PER_KILL,
        "{name}: {duplicates} duplicates are more than {kills} kills explain"
    );
    let told = !only_guessed(name);
    assert!(!told || own <= kills, "{name}: {own} own queries delivered, more than {kills} kills explain");
}

/// Whether the provider's records do not tell which of them headwater's own reading caused: such are delivered.
fn only_guessed(name: &str) -> bool {
    name.starts_with("mural") || name.starts_with("solace_cloud")
}

fn kills() -> u32 {
    std::env::var("HEADWATER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

/// One simulator, one state, one sink, many lives.
struct Victim {
    simulator: Simulator,
    dir: tempfile::TempDir,
    dice: StdRng,
    runtime: tokio::runtime::Runtime,
}

impl Victim {
    fn new(provider: Provider, sink: &str, seed: u64) -> Self {
        let runtime = support::runtime();
        let scenario = Scenario::new().seed(seed).history(5, 6000).pactflow(|p| p.default_page_size = 20);
        let guard = runtime.enter();
        let simulator = Simulator::start(provider, scenario, Arc::new(SystemClock)).unwrap();
        drop(guard);
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pipeline.yaml"), pipeline(provider, &simulator, sink)).unwrap();
        Self { simulator, dir, dice: StdRng::seed_from_u64(seed), runtime }
    }

    fn start(&self) -> Headwater {
        Headwater::start(self.dir.path(), &["run", "--once", "--log", "error"])
    }

    /// A last life that is left alone: what it writes to stdout, and everything that was to be read before it.
    fn finish(&self) -> (Vec<u8>, Timestamp) {
        let cut = SystemClock.now();
        let done = support::command(self.dir.path(), &["run", "--once", "--log", "warn"]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        (done.stdout, cut)
    }
}

/// Kills while the events go to stdout: the kill strikes after a random number of lines.
fn kill_behind_console(provider: Provider, seed: u64) {
    let mut victim = Victim::new(provider, "type: console", seed);
    let mut ids = HashMap::new();
    for _ in 0..kills() {
        let mut headwater = victim.start();
        let mut seen = Vec::new();
        for _ in 0..victim.dice.random_range(0..400) {
            if headwater.out.read_until(b'\n', &mut seen).unwrap() == 0 {
                break;
            }
        }
        headwater.child.kill().unwrap();
        // What is in the pipe has been delivered, whoever lives.
        headwater.out.read_to_end(&mut seen).unwrap();
        count(&mut ids, &seen);
    }
    let (out, cut) = victim.finish();
    count(&mut ids, &out);
    compare(&format!("{provider} to console"), &victim.simulator, cut, &ids, kills());
    drop(victim.runtime);
}

/// Kills while the events go to a file that is synced before it is acknowledged: the kill strikes after a random number
/// of requests, wherever the process is then.
fn kill_behind_file(provider: Provider, seed: u64) {
    let mut victim = Victim::new(provider, "type: file, path: events.ndjson", seed);
    for _ in 0..kills() {
        let before = victim.simulator.ledger().requests().len();
        let after = before + victim.dice.random_range(1..12);
        let mut headwater = victim.start();
        while victim.simulator.ledger().requests().len() < after && headwater.child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        headwater.child.kill().unwrap();
        headwater.child.wait().unwrap();
    }
    let (_, cut) = victim.finish();
    let mut ids = HashMap::new();
    let written = fs::read(victim.dir.path().join("events.ndjson")).unwrap();
    assert!(written.ends_with(b"\n"), "no half line is left");
    count(&mut ids, &written);
    compare(&format!("{provider} to file"), &victim.simulator, cut, &ids, kills());
    drop(victim.runtime);
}

#[test]
fn killing_pactflow_loses_nothing() {
    kill_behind_console(Provider::PactFlow, 1);
    kill_behind_file(Provider::PactFlow, 2);
}

#[test]
fn killing_mural_loses_nothing() {
    kill_behind_console(Provider::Mural, 3);
    kill_behind_file(Provider::Mural, 4);
}

#[test]
fn killing_solace_cloud_loses_nothing() {
    kill_behind_console(Provider::SolaceCloud, 5);
    kill_behind_file(Provider::SolaceCloud, 6);
}

#[test]
fn killing_api7_loses_nothing() {
    kill_behind_console(Provider::Api7, 7);
    kill_behind_file(Provider::Api7, 8);
}
