//! What the tests of the whole binary share.
#![allow(dead_code)] // each test file uses its own part

use chrono::TimeDelta;
use headwater_contracts::{BuiltSource, Period, RateLimit, SourceConfig, SourceOptions};
use headwater_simulator::Provider;
use headwater_testkit::source_suite::Case;
use serde_json::{Value, json};
use std::{future::Future, time::Duration};

/// A runtime for one worker of a suite.
pub fn runtime() -> tokio::runtime::Runtime {
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Fails a run that does not end.
pub async fn in_time<T>(seed: u64, run: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(120), run).await {
        Ok(done) => done,
        Err(_) => panic!("HEADWATER_SEED={seed} does not end"),
    }
}

/// A source from its YAML keys, free of politeness towards the simulator.
pub fn build<C: SourceConfig>(keys: Value, options: &SourceOptions) -> BuiltSource {
    let config: C = serde_json::from_value(keys).expect("the keys of a source");
    let mut built = config.build(options).expect("a source");
    built.min_interval = Period::seconds(0);
    built.rate_limit = RateLimit { requests: 1_000_000, per: Period::seconds(1) };
    built
}

/// PactFlow, polled as at work: often, then with pauses in which the daily re-scan finds what appeared late.
pub fn pactflow() -> Case<'static> {
    let minutes = |n| TimeDelta::minutes(n);
    let steps = [vec![minutes(5); 6], vec![minutes(90); 4], vec![minutes(5); 2]].concat();
    Case { provider: Provider::PactFlow, build: &build_pactflow, drops_own: true, steps, settle: TimeDelta::hours(25) }
}

/// Mural, over the days that its extraction and its stragglers take.
pub fn mural() -> Case<'static> {
    let steps = [vec![TimeDelta::hours(1); 3], vec![TimeDelta::hours(6); 12], vec![TimeDelta::hours(24); 4]].concat();
    Case { provider: Provider::Mural, build: &build_mural, drops_own: false, steps, settle: TimeDelta::hours(25) }
}

pub fn build_pactflow(url: &str, token: &str, options: &SourceOptions) -> BuiltSource {
    build::<headwater_source_pactflow::PactflowConfig>(json!({ "endpoint": url, "token": token }), options)
}

pub fn build_mural(url: &str, key: &str, options: &SourceOptions) -> BuiltSource {
    build::<headwater_source_mural::MuralConfig>(json!({ "endpoint": url, "api_key": key }), options)
}

/// The real binary at work: its stdout as lines, its stderr as lines.
pub struct Headwater {
    pub child: std::process::Child,
    pub out: std::io::BufReader<std::process::ChildStdout>,
    pub err: std::io::BufReader<std::process::ChildStderr>,
}

impl Headwater {
    /// Starts `headwater ARGS` in a folder.
    pub fn start(dir: &std::path::Path, args: &[&str]) -> Self {
        let mut child = command(dir, args)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("headwater starts");
        let out = std::io::BufReader::new(child.stdout.take().expect("stdout"));
        let err = std::io::BufReader::new(child.stderr.take().expect("stderr"));
        Self { child, out, err }
    }

    /// Reads stderr until a line contains `text`; panics with all of it if none does.
    pub fn wait_for(&mut self, text: &str) -> String {
        use std::io::BufRead;
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            if self.err.read_line(&mut line).expect("stderr") == 0 {
                panic!("headwater ended without saying `{text}`:\n{seen}");
            }
            if line.contains(text) {
                return line;
            }
            seen.push_str(&line);
        }
    }
}

impl Drop for Headwater {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `headwater ARGS`, to be run in a folder.
pub fn command(dir: &std::path::Path, args: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(args).current_dir(dir).stdin(std::process::Stdio::null()).env_remove("RUST_LOG");
    command
}
