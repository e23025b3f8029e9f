//! `headwater ledger` and `check`, by the real binary: proof that nothing is missing, and the way to get what is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use crate::support::{self, run, stderr, stdout};
use chrono::TimeDelta;
use headwater_contracts::Clock;
use headwater_runtime::SystemClock;
use headwater_simulator::{Provider, Scenario, Simulator};
use headwater_testkit::clock::TestClock;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path, process::Output, sync::Arc};

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
    let calls = match provider {
        Provider::SolaceCloud | Provider::Mural => ", min_call_interval: 0s",
        _ => "",
    };
    let credential = match (provider, credential.split_once(':')) {
        (Provider::Mural, _) => format!("api_key: \"{credential}\""),
        (Provider::Anypoint, Some((id, secret))) => {
            let organization = headwater_simulator::ANYPOINT_ORGANIZATIONS[0];
            format!("organization_ids: [{organization}], auth: {{ client_id: {id}, client_secret: {secret} }}")
        }
        _ => format!("token: \"{credential}\""),
    };
    let pipeline = format!(
        "state: {{ type: file, path: state }}\n\
         sources:\n  in: {{ type: {provider}, endpoint: \"{}\", {credential}, start_at: 2d, rate_limit: {{ requests: 1000000, per: 1s }}, retry: {{ initial: 10ms, max: 50ms }}, max_clock_skew: {skew}{calls} }}\n\
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
        let id = event["id"].as_str().or(event["uuid"].as_str()).unwrap_or(line);
        *copies.entry(id.to_owned()).or_default() += 1;
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

#[test]
fn what_a_filter_by_name_leaves_out_is_not_settled_and_comes_once_without_it() {
    let (simulator, _clock) = simulator(Provider::Api7);
    let reference = folder(&simulator, Provider::Api7, simulator.credential());
    code(&run(reference.path(), &["run", "--once"]), 0);
    let all = delivered(reference.path());
    let by = |name: &str| {
        let text = fs::read_to_string(reference.path().join("out.ndjson")).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let theirs = events.filter(|event| event["operator"]["username"] == name);
        theirs.map(|event| (event["id"].as_str().unwrap().to_owned(), 1)).collect::<BTreeMap<_, usize>>()
    };
    let dir = folder(&simulator, Provider::Api7, simulator.credential());
    let pipeline = fs::read_to_string(dir.path().join("pipeline.yaml")).unwrap();
    let mut expected = BTreeMap::new();
    for (asked, name) in [("ops", "Ops"), ("'emi example'", "Emi Example")] {
        let filtered = pipeline.replace("type: api7,", &format!("type: api7, filter: {{ operator: {asked} }},"));
        fs::write(dir.path().join("pipeline.yaml"), filtered).unwrap();
        code(&run(dir.path(), &["run", "--once"]), 0);
        expected.extend(by(name));
        assert_eq!(delivered(dir.path()), expected, "{name}");
        // What others did is not missing.
        let verified = run(dir.path(), &["ledger", "verify"]);
        assert_eq!(row(&verified)[5], "0", "{}", stdout(&verified));
    }
    assert!(expected.len() > 10 && expected.len() < all.len() / 2, "{} of {}", expected.len(), all.len());
    fs::write(dir.path().join("pipeline.yaml"), pipeline).unwrap();
    code(&run(dir.path(), &["run", "--once"]), 0);
    assert_eq!(delivered(dir.path()), all);
    verifies(dir.path());
}

/// Everything that the provider shows has been settled, and the other way round.
fn verifies(dir: &Path) {
    let verified = run(dir, &["ledger", "verify"]);
    code(&verified, 0);
    let whole = row(&verified);
    assert!(whole[3].parse::<usize>().unwrap() > 30, "{whole:?}");
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
    assert_eq!(stderr(&once).matches("ERROR the server's clock").count(), 1, "{}", stderr(&once));
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
    let rest = headwater.rest();
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
    // By the right clock, `start_at` is twenty hours earlier.
    let after = delivered(dir.path());
    assert!(first.keys().all(|id| after.contains_key(id)) && after.values().all(|copies| *copies == 1), "{after:?}");
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

/// The ledger's coverage of the only stream: from, to, events.
fn covered(dir: &Path) -> Vec<(String, String, u64)> {
    let shown = run(dir, &["ledger", "show", "--format", "json"]);
    let record: Value = serde_json::from_str(stdout(&shown).lines().next().unwrap()).unwrap();
    let text = |range: &Value, key: &str| range[key].as_str().unwrap().to_owned();
    let ranges = record["coverage"].as_array().unwrap();
    ranges.iter().map(|range| (text(range, "from"), text(range, "to"), range["events"].as_u64().unwrap())).collect()
}

/// When each event that the ledger knows happened.
fn after_times(dir: &Path) -> Vec<String> {
    let exported = stdout(&run(dir, &["ledger", "export"]));
    let lines = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| Some(line.get("time")?.as_str()?.to_owned())).collect()
}

/// What happened before the stream began becomes part of it, once, and is verified from then on.
fn backfills(provider: Provider) {
    let clock = TestClock::at(SystemClock.now());
    let scenario = Scenario::new().seed(11).history(12, 300);
    let simulator = Simulator::start(provider, scenario, Arc::new(clock.clone())).unwrap();
    let dir = folder(&simulator, provider, simulator.credential());
    let pipeline = |start: &str| {
        let text = fs::read_to_string(dir.path().join("pipeline.yaml")).unwrap();
        let begin = text.find("start_at: ").unwrap();
        let end = begin + text[begin..].find(',').unwrap();
        let changed = format!("{}start_at: {start}{}", &text[..begin], &text[end..]);
        fs::write(dir.path().join("pipeline.yaml"), changed).unwrap();
    };
    pipeline("5d");
    code(&run(dir.path(), &["run", "--once"]), 0);
    let before = covered(dir.path());
    let first = delivered(dir.path()).len();
    assert!(first < 200, "{first} of 300");

    // A start that was changed later is said, and changes nothing by itself.
    pipeline("10d");
    let noticed = run(dir.path(), &["run", "--once"]);
    code(&noticed, 0);
    assert!(stderr(&noticed).contains("headwater ledger backfill in --from "), "{}", stderr(&noticed));
    assert_eq!(covered(dir.path())[0].0, before[0].0);

    let from = (SystemClock.now() - TimeDelta::days(10)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let backfill = ["ledger", "backfill", "in", "--from", &from];
    let done = run(dir.path(), &backfill);
    code(&done, 0);
    assert!(stderr(&done).contains("begins at"), "{}", stderr(&done));
    let after = delivered(dir.path());
    assert!(after.len() > first + 30 && after.values().all(|copies| *copies == 1), "{} after {first}", after.len());
    let ranges = covered(dir.path());
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    let (begin, end) = (&ranges[0].0, &ranges[0].1);
    let inside = after_times(dir.path()).iter().filter(|time| *begin <= **time && **time < *end).count() as u64;
    assert_eq!(ranges[0].2, inside, "{ranges:?}");
    assert!(ranges[0].0 <= from.replace('Z', ".999Z"), "{} {from}", ranges[0].0);
    verifies(dir.path());

    // Once.
    let again = run(dir.path(), &backfill);
    code(&again, 0);
    assert!(stderr(&again).contains("nothing to do"), "{}", stderr(&again));
    let goes_on = run(dir.path(), &["run", "--once"]);
    code(&goes_on, 0);
    assert!(!stderr(&goes_on).contains("backfill"), "{}", stderr(&goes_on));
    // Some providers record our own reading.
    let on = delivered(dir.path());
    assert!(on.len() < after.len() + 10 && on.values().all(|copies| *copies == 1), "{}", on.len());

    // Further back than the provider keeps records.
    let beyond = run(dir.path(), &["ledger", "backfill", "in", "--from", "earliest"]);
    code(&beyond, 0);
    assert!(stderr(&beyond).contains("the provider keeps records for"), "{}", stderr(&beyond));
    let all = delivered(dir.path());
    let organizations =
        if provider == Provider::Anypoint { headwater_simulator::ANYPOINT_ORGANIZATIONS.len() } else { 1 };
    assert!(all.len() >= 250 / organizations && all.values().all(|copies| *copies == 1), "{}", all.len());
}

#[test]
fn a_backfill_extends_what_is_covered_api7() {
    backfills(Provider::Api7);
}

#[test]
fn a_backfill_extends_what_is_covered_solace_cloud() {
    backfills(Provider::SolaceCloud);
}

#[test]
fn a_backfill_extends_what_is_covered_pactflow() {
    backfills(Provider::PactFlow);
}

#[test]
fn a_backfill_extends_what_is_covered_mural() {
    backfills(Provider::Mural);
}

#[test]
fn a_backfill_extends_what_is_covered_anypoint() {
    backfills(Provider::Anypoint);
}

#[test]
fn a_backfill_needs_a_stream_that_has_begun_and_the_ledger_for_itself() {
    let (simulator, _clock) = simulator(Provider::Api7);
    let dir = folder(&simulator, Provider::Api7, simulator.credential());
    let backfill = ["ledger", "backfill", "in", "--from", "9d"];
    fs::create_dir(dir.path().join("state")).unwrap();
    let early = run(dir.path(), &backfill);
    code(&early, 2);
    assert!(stderr(&early).contains("has not run yet"), "{}", stderr(&early));
    let ledger = headwater_ledger::FileLedger::open(&dir.path().join("state")).unwrap();
    let locked = run(dir.path(), &backfill);
    code(&locked, 1);
    assert!(stderr(&locked).contains("in use by another process"), "{}", stderr(&locked));
    drop(ledger);
}

#[test]
fn a_state_folder_that_others_may_write_to_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let (simulator, _clock) = simulator(Provider::Api7);
    let dir = folder(&simulator, Provider::Api7, simulator.credential());
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    for (mode, warned) in [(0o777, true), (0o770, true), (0o750, false)] {
        fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
        let done = run(dir.path(), &["run", "--once"]);
        code(&done, 0);
        assert_eq!(stderr(&done).contains("other users may write to the state folder"), warned, "{mode:o}");
    }
}

#[test]
fn a_damaged_or_missing_ledger_ends_a_run_with_what_to_do() {
    let (simulator, _clock) = simulator(Provider::Api7);
    let dir = folder(&simulator, Provider::Api7, simulator.credential());
    code(&run(dir.path(), &["run", "--once"]), 0);
    let events = delivered(dir.path());
    let file = dir.path().join("state").join("ledger.redb");
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    // In the state of the stream, in whichever page holds it.
    let places: Vec<usize> = (0..good.len() - 7).filter(|at| good[*at..].starts_with(b"\"tally\"")).collect();
    for at in places {
        flipped[at + 2] ^= 1;
    }
    for damaged in [flipped, good[..good.len() / 2].to_vec(), Vec::new()] {
        fs::write(&file, &damaged).unwrap();
        for command in [&["run", "--once"][..], &["ledger", "verify"], &["ledger", "show"], &["ledger", "export"]] {
            let refused = run(dir.path(), command);
            code(&refused, 1);
            let said = stderr(&refused);
            assert!(said.contains("ledger.redb") && said.contains("backup") && !said.contains("panicked"), "{said}");
        }
    }
    assert_eq!(delivered(dir.path()), events, "nothing is delivered again");
    fs::write(&file, &good).unwrap();
    verifies(dir.path());
}
