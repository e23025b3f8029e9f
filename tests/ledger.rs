//! `headwater ledger` and `check`, by the real binary: proof that nothing is missing, and the way to get what is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use chrono::TimeDelta;
use headwater_contracts::Clock;
use headwater_runtime::SystemClock;
use headwater_simulator::{Provider, Scenario, Simulator};
use headwater_testkit::clock::TestClock;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, process::Output, sync::Arc};
use support::{run, stderr, stdout};

/// A simulator whose clock the test holds, with one event of thirty hours ago that appears in ten minutes: old enough to lie in a
/// range that is called covered.
fn simulator(provider: Provider) -> (Simulator, TestClock) {
    let clock = TestClock::at(SystemClock.now());
    let scenario = Scenario::new().seed(7).history(3, 300).late(30 * 3600, 600);
    (Simulator::start(provider, scenario, Arc::new(clock.clone())).unwrap(), clock)
}

fn folder(simulator: &Simulator, provider: Provider, credential: &str) -> tempfile::TempDir {
    // The test's clock and the machine's differ on purpose.
    folder_with(simulator, provider, credential, "1d")
}

fn folder_with(simulator: &Simulator, provider: Provider, credential: &str, skew: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let calls = if provider == Provider::SolaceCloud { ", min_call_interval: 0s" } else { "" };
    let pipeline = format!(
        "state: {{ type: file, path: state }}\n\
         sources:\n  in: {{ type: {provider}, endpoint: \"{}\", token: \"{credential}\", start_at: 2d, rate_limit: {{ requests: 1000000, per: 1s }}, retry: {{ initial: 10ms, max: 50ms }}, max_clock_skew: {skew}{calls} }}\n\
         sinks:\n  out: {{ type: file, path: out.ndjson, inputs: [in] }}\n",
        simulator.url(),
    );
    fs::write(dir.path().join("pipeline.yaml"), pipeline).unwrap();
    dir
}

fn code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "stdout: {}\nstderr: {}", stdout(output), stderr(output));
}

/// How often each event was delivered, by id.
fn delivered(dir: &Path) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for line in fs::read_to_string(dir.join("out.ndjson")).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        *copies.entry(event["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    copies
}

/// The row of the only stream: cells of the table that `verify` prints.
fn row(output: &Output) -> Vec<String> {
    let text = stdout(output);
    let row = text.lines().find(|line| line.starts_with("in/")).expect("a row");
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

#[test]
fn what_is_missing_is_found_and_a_rescan_delivers_it_and_nothing_else() {
    let (simulator, clock) = simulator(Provider::Api7);
    let dir = folder(&simulator, Provider::Api7, simulator.credential());
    code(&run(dir.path(), &["run", "--once"]), 0);
    let first = delivered(dir.path());
    verifies(dir.path());
    assert_eq!(delivered(dir.path()), first, "a comparison delivers nothing");

    clock.advance(TimeDelta::minutes(20));
    let verified = run(dir.path(), &["ledger", "verify", "in"]);
    assert_eq!(row(&verified)[5], "1", "{}", stdout(&verified));
    code(&verified, 1);
    assert!(stdout(&verified).contains("missing: in/") && stderr(&verified).contains("ledger rescan"));

    code(&run(dir.path(), &["ledger", "rescan", "--from", "31h", "--to", "29h"]), 0);
    let after = delivered(dir.path());
    assert_eq!(after.len(), first.len() + 1);
    assert!(after.values().all(|copies| *copies == 1), "{after:?}");
    code(&run(dir.path(), &["ledger", "verify"]), 0);

    // The source itself goes on as if nothing had been.
    code(&run(dir.path(), &["run", "--once"]), 0);
    assert!(delivered(dir.path()).values().all(|copies| *copies == 1));
}

#[test]
fn a_log_whose_records_change_verifies_too() {
    let (simulator, _clock) = simulator(Provider::SolaceCloud);
    let dir = folder(&simulator, Provider::SolaceCloud, simulator.credential());
    code(&run(dir.path(), &["run", "--once"]), 0);
    verifies(dir.path());
}

/// Everything that the provider shows has been settled, and the other way round.
fn verifies(dir: &Path) {
    let verified = run(dir, &["ledger", "verify"]);
    code(&verified, 0);
    let whole = row(&verified);
    assert!(whole[3].parse::<usize>().unwrap() > 100, "{whole:?}");
    assert_eq!((&whole[3], whole[5].as_str(), whole[6].as_str()), (&whole[4], "0", "0"), "{whole:?}");
}

#[test]
fn an_export_holds_every_identity_and_a_reset_forgets_them() {
    let (simulator, _clock) = simulator(Provider::SolaceCloud);
    let dir = folder(&simulator, Provider::SolaceCloud, simulator.credential());
    code(&run(dir.path(), &["run", "--once"]), 0);
    let exported = run(dir.path(), &["ledger", "export"]);
    code(&exported, 0);
    let lines: Vec<Value> = stdout(&exported).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = delivered(dir.path()).len();
    assert_eq!(lines[0]["identities"], events);
    assert_eq!(lines[1..].len(), events);
    assert!(lines[1..].iter().all(|line| line["source"] == "in" && line["identity"].as_str().unwrap().len() == 32));

    let unknown = run(dir.path(), &["ledger", "reset", "inn"]);
    code(&unknown, 2);
    assert!(stderr(&unknown).contains("it has: in/"), "{}", stderr(&unknown));
    code(&run(dir.path(), &["ledger", "reset", "in"]), 0);
    assert_eq!(stdout(&run(dir.path(), &["ledger", "export"])), "");
    code(&run(dir.path(), &["run", "--once"]), 0);
    assert!(delivered(dir.path()).values().all(|copies| *copies == 2), "a first run delivers everything");
}

#[test]
fn what_cannot_be_done_is_said() {
    let (simulator, _clock) = simulator(Provider::SolaceCloud);
    let dir = folder(&simulator, Provider::SolaceCloud, simulator.credential());
    let early = run(dir.path(), &["ledger", "verify"]);
    code(&early, 1);
    assert!(stderr(&early).contains("no ledger"), "{}", stderr(&early));
    code(&run(dir.path(), &["run", "--once"]), 0);
    for (args, text) in [
        (&["ledger", "rescan", "other"][..], "no source `other`"),
        (&["ledger", "rescan", "--from", "2000d"], "has been forgotten"),
        (&["ledger", "rescan", "--from", "1h", "--to", "2h"], "is not before"),
    ] {
        let refused = run(dir.path(), args);
        code(&refused, 2);
        assert!(stderr(&refused).contains(text), "{args:?}: {}", stderr(&refused));
    }
}

#[test]
fn check_tells_good_credentials_from_bad_ones_and_shows_the_clocks() {
    let (simulator, clock) = simulator(Provider::Api7);
    let good = run(folder(&simulator, Provider::Api7, simulator.credential()).path(), &["check"]);
    code(&good, 0);
    assert!(stdout(&good).contains("ok"), "{}", stdout(&good));
    clock.advance(TimeDelta::minutes(20));
    let bad = run(folder(&simulator, Provider::Api7, "wrong").path(), &["check"]);
    code(&bad, 1);
    assert!(stdout(&bad).contains("failed") && stdout(&bad).contains("`token` must be"), "{}", stdout(&bad));
    assert!(stdout(&bad).contains("check NTP"), "{}", stdout(&bad));
}

#[test]
fn while_the_clocks_disagree_everything_is_delivered_and_nothing_is_claimed() {
    let (simulator, clock) = simulator(Provider::Api7);
    let dir = folder_with(&simulator, Provider::Api7, simulator.credential(), "5m");
    let disagrees = |args: &[&str]| {
        let output = run(dir.path(), args);
        code(&output, 1);
        let said = stderr(&output) + &stdout(&output);
        assert!(said.contains("apart: more than") && said.contains("max_clock_skew"), "{args:?}: {said}");
        output
    };
    clock.advance(TimeDelta::hours(3));
    let once = disagrees(&["run", "--once"]);
    assert_eq!(stderr(&once).matches("ERROR").count(), 1, "{}", stderr(&once));
    let first = delivered(dir.path());
    assert!(first.len() > 100);
    disagrees(&["run", "--once"]);
    assert_eq!(delivered(dir.path()), first, "once, all the same");
    let exported = stdout(&run(dir.path(), &["ledger", "export"]));
    let record: Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&record["start"], &record["coverage"], &record["state"]),
        (&Value::Null, &serde_json::json!([]), &Value::Null)
    );

    disagrees(&["check"]);
    assert_eq!(stdout(&disagrees(&["ledger", "rescan", "--from", "20h"])), "");
    assert_eq!(delivered(dir.path()), first);
    let asked = disagrees(&["query", "in", "--since", "1d"]);
    assert_eq!(stdout(&asked), "");
    let fixed = run(dir.path(), &["query", "in", "--since", "2020-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z"]);
    code(&fixed, 0);
    assert!(stdout(&fixed).lines().count() > 100);

    clock.advance(-TimeDelta::hours(3));
    code(&run(dir.path(), &["run", "--once"]), 0);
    // By the right clock, `start_at` is three hours earlier.
    let after = delivered(dir.path());
    assert!(after.len() >= first.len() && after.values().all(|copies| *copies == 1), "{after:?}");
    verifies(dir.path());
    clock.advance(TimeDelta::hours(3));
    let verified = disagrees(&["ledger", "verify"]);
    assert_eq!(stdout(&verified), "");
}

#[test]
fn ready_and_a_metric_show_a_wrong_clock_and_the_log_says_it_once() {
    let (simulator, clock) = simulator(Provider::Api7);
    let dir = folder_with(&simulator, Provider::Api7, simulator.credential(), "5m");
    clock.advance(TimeDelta::hours(3));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = dir.path().join("pipeline.yaml");
    let pipeline = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{pipeline}api: {{ address: \"127.0.0.1:{port}\" }}\n")).unwrap();
    let mut headwater = support::Headwater::start(dir.path(), &["run"]);
    assert!(headwater.wait_for("ERROR").contains("apart: more than"));
    headwater.wait_for("caught up");
    let ready = support::get(port, "/ready");
    assert!(ready.contains(" 503 ") && ready.contains("apart: more than"), "{ready}");
    let metrics = support::get(port, "/metrics");
    assert!(metrics.contains("headwater_clock_trusted{source=\"in\"} 0"), "{metrics}");
    assert!(metrics.contains("headwater_clock_skew_seconds{source=\"in\"} 10"), "{metrics}");
    support::signal(&headwater.child, "TERM");
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut headwater.err, &mut rest).unwrap();
    assert!(!rest.contains("ERROR"), "{rest}");
}

#[test]
fn a_ledger_of_the_future_is_not_compared() {
    let (simulator, clock) = simulator(Provider::Api7);
    let dir = folder(&simulator, Provider::Api7, simulator.credential());
    clock.advance(TimeDelta::hours(20));
    code(&run(dir.path(), &["run", "--once"]), 0);
    let pipeline = fs::read_to_string(dir.path().join("pipeline.yaml")).unwrap();
    fs::write(dir.path().join("pipeline.yaml"), pipeline.replace("max_clock_skew: 1d", "max_clock_skew: 5m")).unwrap();
    clock.advance(-TimeDelta::hours(20));
    for args in [&["ledger", "verify"][..], &["ledger", "rescan", "--from", "20h"]] {
        let refused = run(dir.path(), args);
        code(&refused, 1);
        assert!(stderr(&refused).contains("the ledger speaks of"), "{args:?}: {}", stderr(&refused));
    }
    let first = delivered(dir.path());
    let mended = run(dir.path(), &["run", "--once"]);
    code(&mended, 0);
    assert!(stderr(&mended).contains("WARN the ledger speaks of"), "{}", stderr(&mended));
    assert_eq!(delivered(dir.path()), first);
    verifies(dir.path());
}

#[test]
fn check_needs_no_credentials_on_simulators() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline.yaml"), dir.path().join("pipeline.yaml")).unwrap();
    let done = run(dir.path(), &["check", "--simulate"]);
    code(&done, 0);
    let text = stdout(&done);
    for source in ["anypoint", "api7", "mural", "pactflow", "solace"] {
        let row = text.lines().find(|line| line.starts_with(&format!("{source}/"))).expect("a row");
        assert!(row.contains("  ok  "), "{text}");
    }
}
