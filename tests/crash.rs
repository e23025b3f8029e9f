//! The real binary, killed with SIGKILL in the middle of its work, again and again on one state.
//!
//! `HEADWATER_KILLS` sets the number of kills per source (30 without it).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::naive_bytecount)] // this is a test

use crate::support::{self, Headwater};
use headwater_contracts::{Clock, Timestamp};
use headwater_runtime::SystemClock;
use headwater_simulator::{ANYPOINT_ORGANIZATIONS, Kind, Provider, Scenario, Simulator};
use headwater_testkit::source_suite::EVENTS_PER_KILL;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::HashMap,
    fs,
    io::{BufRead, Read},
    sync::Arc,
};

fn pipeline(provider: Provider, simulator: &Simulator, sink: &str) -> String {
    let credential = simulator.credential();
    let keys = match provider {
        Provider::PactFlow => format!("token: \"{credential}\""),
        Provider::Mural => format!("api_key: \"{credential}\", min_call_interval: 0s"),
        Provider::SolaceCloud => format!("token: \"{credential}\", min_call_interval: 0s"),
        // Up to this moment, so that all that is there by now is read.
        Provider::Api7 => format!("token: \"{credential}\", settle: 0s"),
        Provider::Anypoint => {
            let (id, secret) = credential.split_once(':').unwrap();
            format!(
                "organization_ids: [{}], auth: {{ client_id: \"{id}\", client_secret: \"{secret}\" }}, retention: 15d, own_ips: [127.0.0.1], own_queries: suppress",
                ANYPOINT_ORGANIZATIONS.join(", ")
            )
        }
        other => panic!("what {other} needs is not said here"),
    };
    format!(
        "state: {{ type: file, path: state }}\n\
         sources:\n  in: {{ type: {provider}, endpoint: \"{}\", {keys}, start_at: earliest, page_size: 100, rate_limit: {{ requests: 1000000, per: 1s }}, retry: {{ initial: 10ms, max: 50ms }} }}\n\
         transforms:\n  drop_own_queries: {{ type: remap, inputs: [in], file: 'builtin:drop_own_queries.vrl' }}\n\
         sinks:\n  out: {{ inputs: [drop_own_queries], {sink} }}\n",
        simulator.url(),
    )
}

/// How often each event was delivered, by its bytes: not every provider has ids.
type Delivered = HashMap<Vec<u8>, usize>;

/// Counts lines; the last may be torn by a kill.
fn count(delivered: &mut Delivered, bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n")) {
        *delivered.entry(line.to_vec()).or_default() += 1;
    }
}

/// Events that only their number tells apart. Where there are ids, each is alone.
#[derive(Default)]
struct Equals {
    known: usize,
    /// Those that had to be delivered.
    expected: usize,
    /// Those that headwater's own reading caused.
    own: usize,
}

fn compare(provider: Provider, to: &str, simulator: &Simulator, cut: Timestamp, mut delivered: Delivered, kills: u32) {
    let mut truths: HashMap<Vec<Vec<u8>>, Equals> = HashMap::new();
    for truth in simulator.ledger().events() {
        let own = truth.kind == Kind::OwnCollector && tells_own(provider);
        let equals = truths.entry(truth.forms).or_default();
        equals.known += 1;
        equals.expected += usize::from(truth.visible_at <= cut && !own);
        equals.own += usize::from(own);
    }
    let (mut lost, mut examples, mut arrived, mut duplicates, mut own) = (0, Vec::new(), 0, 0, 0);
    for (forms, equals) in &truths {
        let found: usize = forms.iter().filter_map(|form| delivered.remove(form)).sum();
        let missing = equals.expected.saturating_sub(found);
        lost += missing;
        examples.extend((missing > 0).then(|| format!("{missing} of {}", String::from_utf8_lossy(&forms[0]))));
        arrived += found.min(equals.known);
        duplicates += found.saturating_sub(equals.known);
        own += found.min(equals.own);
    }
    let invented: Vec<_> = delivered.keys().map(|raw| String::from_utf8_lossy(raw)).collect();
    println!(
        "{provider} to {to}: {kills} kills: {arrived} events delivered, {lost} lost, {} invented, {duplicates} duplicates (each from a kill between acknowledgement and commit), {own} own queries",
        invented.len()
    );
    assert!(lost == 0 && invented.is_empty(), "{provider} to {to}: lost {examples:?}, invented {invented:?}");
    let kills = kills as usize;
    assert!(
        duplicates <= kills * EVENTS_PER_KILL,
        "{provider} to {to}: {duplicates} duplicates are more than {kills} kills explain"
    );
    assert!(own <= kills, "{provider} to {to}: {own} own queries delivered, more than {kills} kills explain");
}

/// Whether the provider's records tell which of them headwater's own reading caused; where they do not, such are delivered.
fn tells_own(provider: Provider) -> bool {
    !matches!(provider, Provider::Mural | Provider::SolaceCloud)
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
        let scenario = Scenario::new()
            .seed(seed)
            .history(5, 6000)
            .pactflow(|p| p.default_page_size = 20)
            .anypoint(|a| (a.identical_per_mille, a.burst_per_mille) = (100, 1));
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
    let mut delivered = Delivered::new();
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
        count(&mut delivered, &seen);
    }
    let (out, cut) = victim.finish();
    count(&mut delivered, &out);
    compare(provider, "console", &victim.simulator, cut, delivered, kills());
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
    counts_are_right(victim.dir.path());
    let mut delivered = Delivered::new();
    let written = fs::read(victim.dir.path().join("events.ndjson")).unwrap();
    assert!(written.ends_with(b"\n"), "no half line is left");
    count(&mut delivered, &written);
    compare(provider, "file", &victim.simulator, cut, delivered, kills());
    drop(victim.runtime);
}

/// What a covered range says it holds is what the ledger holds of it, whoever delivered it and died.
fn counts_are_right(dir: &std::path::Path) {
    let exported = support::command(dir, &["ledger", "export"]).output().unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let lines =
        || exported.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    for row in lines().filter(|line| line.get("coverage").is_some()) {
        for range in row["coverage"].as_array().unwrap() {
            // Times are written alike, so that their texts compare as they do.
            let inside = |time: &str| range["from"].as_str().unwrap() <= time && time < range["to"].as_str().unwrap();
            let of_stream =
                |line: &serde_json::Value| line.get("identity").is_some() && line["stream"] == row["stream"];
            let held = lines().filter(of_stream).filter(|line| line["time"].as_str().is_some_and(inside)).count();
            assert_eq!(range["events"], held, "{range}");
        }
    }
}

#[test]
fn killing_behind_the_console_loses_nothing() {
    for (number, provider) in (0..).zip(Provider::ALL) {
        kill_behind_console(*provider, 2 * number + 1);
    }
}

#[test]
fn killing_behind_a_file_loses_nothing() {
    for (number, provider) in (0..).zip(Provider::ALL) {
        kill_behind_file(*provider, 2 * number + 2);
    }
}
