//! The contract of the command line, kept by the real binary: what it prints where, which exit codes, what it leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cli/configuration.rs"]
mod configuration;
#[path = "cli/dead_letters.rs"]
mod dead_letters;
#[path = "cli/pages.rs"]
mod pages;
#[path = "cli/reload.rs"]
mod reload;
#[path = "cli/runs.rs"]
mod runs;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/vrl.rs"]
mod vrl;
#[path = "cli/words.rs"]
mod words;

use crate::support::{self, Headwater, run, stderr, stdout};
use headwater_config::{Diagnostics, SourceFile, parse};
use headwater_contracts::Clock;
use headwater_runtime::SystemClock;
use headwater_simulator::{Fault, Kind, Provider, Scenario, Simulator, When};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
};

const FAILED: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(2);
const CONFIG: Option<i32> = Some(78);
const TO_FILE: &str = "type: file, path: out.ndjson";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// An empty folder with this `pipeline.yaml`.
fn folder(pipeline: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pipeline.yaml"), pipeline).unwrap();
    dir
}

/// What is in a folder, sorted.
fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every file below a folder, one behind the other.
fn all_bytes(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        bytes.extend(if path.is_dir() { all_bytes(&path) } else { fs::read(&path).unwrap() });
    }
    bytes
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// A pipeline from this simulator to stdout: own queries dropped, everything else byte for byte.
fn pipeline(simulator: &Simulator, provider: Provider, credential: &str) -> String {
    pipeline_to("type: console", simulator, provider, credential)
}

/// The same to another sink: a run whose stdout nobody reads stands still.
fn pipeline_to(sink: &str, simulator: &Simulator, provider: Provider, credential: &str) -> String {
    let (key, calls) = match provider {
        Provider::PactFlow | Provider::Api7 => ("token", ""),
        Provider::SolaceCloud => ("token", ", min_call_interval: 0s"),
        _ => ("api_key", ", min_call_interval: 0s"),
    };
    format!(
        "state: {{ type: file, path: state }}\n\
         sources:\n  in: {{ type: {provider}, endpoint: \"{}\", {key}: \"{credential}\", start_at: earliest, rate_limit: {{ requests: 1000000, per: 1s }}, retry: {{ initial: 10ms, max: 50ms }}{calls} }}\n\
         transforms:\n  drop_own_queries: {{ type: remap, inputs: [in], file: 'builtin:drop_own_queries.vrl' }}\n\
         sinks:\n  out: {{ {sink}, inputs: [drop_own_queries] }}\n",
        simulator.url(),
    )
}

fn simulator(provider: Provider, scenario: Scenario) -> Simulator {
    Simulator::start(provider, scenario, Arc::new(SystemClock)).unwrap()
}

fn calm(provider: Provider) -> Simulator {
    simulator(provider, Scenario::new().seed(11).history(5, 300))
}

fn id(event: &Value) -> String {
    event.get("uuid").or_else(|| event.get("id")).and_then(Value::as_str).expect("an id").to_owned()
}

/// `headwater ARGS` where the variables of the default pipeline are set.
fn configured(dir: &Path, args: &[&str]) -> Output {
    let mut command = support::command(dir, args);
    command.env("PACTFLOW_TOKEN", "a token").env("MURAL_API_KEY", "a key");
    command.env("SOLACE_TOKEN", "a token").env("API7_TOKEN", "a token");
    for name in ["ANYPOINT_ORGANIZATION_ID", "ANYPOINT_CLIENT_ID", "ANYPOINT_CLIENT_SECRET"] {
        command.env(name, "a-value");
    }
    command.output().unwrap()
}

/// A pipeline whose events all go through `bad` before they come to a file.
fn through(bad: &str, simulator: &Simulator, provider: Provider) -> String {
    pipeline_to(TO_FILE, simulator, provider, simulator.credential())
        .replace("transforms:\n", &format!("transforms:\n  bad: {{ {bad}, inputs: [drop_own_queries] }}\n"))
        .replace("path: out.ndjson, inputs: [drop_own_queries]", "path: out.ndjson, inputs: [\"bad*\"]")
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

/// Ids in the file that `through` delivers to, none twice.
fn delivered(dir: &Path) -> usize {
    let text = fs::read_to_string(dir.join("out.ndjson")).unwrap_or_default();
    let ids: BTreeSet<String> = text.lines().map(|line| id(&serde_json::from_str(line).unwrap())).collect();
    assert_eq!(ids.len(), text.lines().count(), "delivered twice");
    ids.len()
}

const REFUSING: [&str; 3] = [
    "type: remap, source: 'x = to_int!(.uuid); .x = x'",
    "type: filter, condition: 'to_int!(.uuid) > 1'",
    "type: route, route: { a: 'to_int!(.uuid) > 1' }",
];

fn assert_code(output: &Output, code: Option<i32>) {
    assert_eq!(output.status.code(), code, "stdout: {}\nstderr: {}", stdout(output), stderr(output));
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["nonsense"][..],
        &[],
        &["run", "--nonsense"],
        &["run", "--grace", "5 parsecs"],
        &["graph", "--format", "crayon"],
        &["simulate", "nonsense"],
        &["simulate", "--scenario", "nonsense"],
        &["vrl", "builtin:nonsense.vrl"],
        &["vrl", "missing.vrl"],
        &["validate", "--log", "headwater_runtime=loud"],
        &["validate", "--log", "verbose"],
    ] {
        let done = run(dir.path(), args);
        assert_code(&done, USAGE);
        assert!(!stderr(&done).is_empty() && stdout(&done).is_empty(), "{args:?}");
    }
    assert_eq!(entries(dir.path()), [""; 0]);
}

#[test]
fn help_and_version_exit_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let help = run(dir.path(), &["--help"]);
    assert_code(&help, Some(0));
    for command in ["run", "validate", "test", "graph", "simulate", "schema", "vrl", "ledger"] {
        assert!(stdout(&help).contains(&format!("\n  {command} ")), "{command}");
    }
    let version = run(dir.path(), &["--version"]);
    assert_code(&version, Some(0));
    assert_eq!(stdout(&version), format!("headwater {}\n", env!("CARGO_PKG_VERSION")));
}
