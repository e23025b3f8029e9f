//! The example with a collector, run with a real one, whose path `HEADWATER_OTELCOL` names: `tests/real/otlp/run` builds it
//! and runs this.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use crate::support::{self, stderr, stdout};
use headwater_real::free_port;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    net::TcpStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

#[test]
#[ignore = "needs a collector: tests/real/otlp/run"]
fn the_example_fills_the_collectors_file_with_each_event_once() {
    let dir = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/otlp-collector");
    let [grpc, http] = [(); 2].map(|()| free_port());
    let config = fs::read_to_string(example.join("collector.yaml")).unwrap();
    let config = config.replace("4317", &grpc.to_string()).replace("4318", &http.to_string());
    fs::write(dir.path().join("collector.yaml"), config).unwrap();
    fs::copy(example.join("pipeline.yaml"), dir.path().join("pipeline.yaml")).unwrap();

    let binary = std::env::var_os("HEADWATER_OTELCOL").expect("HEADWATER_OTELCOL: the path of a collector");
    let mut collector =
        Command::new(binary).args(["--config", "collector.yaml"]).current_dir(dir.path()).spawn().unwrap();
    let begun = Instant::now();
    while TcpStream::connect(("localhost", grpc)).is_err() {
        assert!(begun.elapsed() < Duration::from_mins(1), "the collector does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let done = support::command(dir.path(), &["run", "--simulate", "--once"])
        .env("OTLP_ENDPOINT", format!("http://localhost:{grpc}"))
        .output()
        .unwrap();
    collector.kill().unwrap();
    collector.wait().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(stdout(&done).is_empty());

    let file = fs::read_to_string(dir.path().join("audit.jsonl")).unwrap();
    let (mut records, mut ids) = (0, BTreeSet::new());
    for line in file.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        let members = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        for logs in members(&request, "resourceLogs").iter().flat_map(|logs| members(logs, "scopeLogs")) {
            for record in members(&logs, "logRecords") {
                let attributes = members(&record, "attributes");
                let uid = attributes.iter().find(|pair| pair["key"] == "log.record.uid").expect("log.record.uid");
                ids.insert(uid["value"]["stringValue"].as_str().unwrap().to_owned());
                assert!(record["eventName"].as_str().unwrap().starts_with("ocsf."), "{record}");
                records += 1;
            }
        }
    }
    let closing = stderr(&done);
    let rows = closing.lines().skip_while(|line| !line.starts_with("stream  ")).skip(1);
    let delivered: u64 = rows.map(|row| row.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap()).sum();
    assert!(delivered > 500, "{closing}");
    assert_eq!((records, ids.len() as u64), (delivered, delivered), "each event once");
    println!("examples/otlp-collector: {delivered} events delivered, each once in the collector's file");
}
