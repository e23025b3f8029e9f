//! What the tests of the whole binary share.
#![allow(dead_code)] // each test file uses its own part
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::match_wild_err_arm, clippy::manual_assert)] // a test's way to say that it failed

use chrono::TimeDelta;
use headwater_contracts::{BuiltSource, Period, RateLimit, SourceConfig, SourceOptions};
use headwater_simulator::Provider;
use headwater_testkit::source_suite::{Case, OwnQueries};
use serde_json::{Value, json};
use std::{future::Future, time::Duration};

/// A runtime for one worker of a suite. `HEADWATER_LOG=debug` shows what a run does.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let filter = tracing_subscriber::EnvFilter::builder().with_env_var("HEADWATER_LOG").from_env_lossy();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Fails a run that does not end.
pub(crate) async fn in_time<T>(seed: u64, run: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_mins(2), run).await {
        Ok(done) => done,
        Err(_) => panic!("HEADWATER_SEED={seed} does not end"),
    }
}

/// A source from its YAML keys, free of politeness towards the simulator.
pub(crate) fn build<C: SourceConfig>(keys: Value, options: &SourceOptions) -> BuiltSource {
    let config: C = serde_json::from_value(keys).expect("the keys of a source");
    let mut built = config.build(options).expect("a source");
    built.min_interval = Period::seconds(0);
    built.rate_limit = RateLimit { requests: 1_000_000, per: Period::seconds(1) };
    built
}

/// PactFlow, polled as at work: often, then with pauses in which the daily re-scan finds what appeared late.
pub(crate) fn pactflow() -> Case<'static> {
    let minutes = |n| TimeDelta::minutes(n);
    Case {
        provider: Provider::PactFlow,
        build: &build_pactflow,
        own: Some(OwnQueries { tolerance: minutes(5) }),
        steps: [vec![minutes(5); 6], vec![minutes(90); 4], vec![minutes(5); 2]].concat(),
        // Pages of two or three records are read without overlap, or more rarely, and re-scanned every ten days at least.
        settle: |scenario| {
            let small = !scenario.pactflow.honours_page_size && scenario.pactflow.default_page_size <= 3;
            TimeDelta::hours(if small { 241 } else { 25 })
        },
        usual_delay: minutes(10),
        content_counts: false,
    }
}

/// API7, polled as at work: often, then with pauses.
pub(crate) fn api7() -> Case<'static> {
    let minutes = |n| TimeDelta::minutes(n);
    Case {
        provider: Provider::Api7,
        build: &build_api7,
        own: Some(OwnQueries { tolerance: minutes(5) }),
        steps: [vec![minutes(5); 6], vec![minutes(90); 4], vec![minutes(5); 2]].concat(),
        settle: |_| TimeDelta::hours(25),
        usual_delay: minutes(10),
        content_counts: false,
    }
}

/// Mural, over the days that its extraction and its stragglers take.
pub(crate) fn mural() -> Case<'static> {
    let steps = [vec![TimeDelta::hours(1); 3], vec![TimeDelta::hours(6); 12], vec![TimeDelta::hours(24); 4]].concat();
    let usual_delay = TimeDelta::hours(48);
    Case {
        provider: Provider::Mural,
        build: &build_mural,
        own: None,
        steps,
        settle: |_| TimeDelta::hours(25),
        usual_delay,
        content_counts: false,
    }
}

/// Mural, told by which key and from which address it is read: own queries are matched by the hour, so that a clock may
/// not be off at all.
pub(crate) fn mural_own() -> Case<'static> {
    Case { build: &build_mural_own, own: Some(OwnQueries { tolerance: TimeDelta::zero() }), ..mural() }
}

/// Solace Cloud, polled as at work, then with pauses after which the daily re-scan finds what was days late.
pub(crate) fn solace_cloud() -> Case<'static> {
    let minutes = |n| TimeDelta::minutes(n);
    Case {
        provider: Provider::SolaceCloud,
        build: &build_solace_cloud,
        own: None,
        steps: [vec![minutes(2); 4], vec![minutes(70); 4], vec![TimeDelta::hours(9); 2]].concat(),
        settle: |_| TimeDelta::hours(25),
        // Ten hours of an action, half an hour until it shows.
        usual_delay: minutes(10 * 60 + 30),
        content_counts: true,
    }
}

/// Solace Cloud, told whose token it is and from which address it is used: own queries are matched by time, so that a
/// clock may not be off at all.
pub(crate) fn solace_cloud_own() -> Case<'static> {
    let own = Some(OwnQueries { tolerance: TimeDelta::zero() });
    Case { build: &build_solace_cloud_own, own, ..solace_cloud() }
}

/// Anypoint with its three organizations, polled as at work: often, then with pauses in which the re-scans find what
/// appeared late.
pub(crate) fn anypoint() -> Case<'static> {
    let minutes = |n| TimeDelta::minutes(n);
    Case {
        provider: Provider::Anypoint,
        build: &build_anypoint,
        own: Some(OwnQueries { tolerance: minutes(5) }),
        steps: [vec![minutes(2); 4], vec![minutes(10); 2], vec![minutes(90); 4], vec![minutes(2); 2]].concat(),
        // Until the daily re-scan has come twice.
        settle: |_| TimeDelta::hours(25),
        usual_delay: minutes(15),
        content_counts: false,
    }
}

pub(crate) fn build_anypoint(url: &str, credential: &str, options: &SourceOptions) -> BuiltSource {
    build_anypoint_with(url, credential, options, &json!({}))
}

/// With further keys.
pub(crate) fn build_anypoint_with(url: &str, credential: &str, options: &SourceOptions, more: &Value) -> BuiltSource {
    let (id, secret) = credential.split_once(':').expect("id and secret");
    let mut keys = json!({
        "endpoint": url,
        "organization_ids": headwater_simulator::ANYPOINT_ORGANIZATIONS,
        "auth": { "client_id": id, "client_secret": secret },
        "retention": "15d",
        "own_ips": ["127.0.0.1"],
        "own_queries": "suppress",
    });
    more.as_object().into_iter().flatten().for_each(|(key, value)| keys[key] = value.clone());
    build::<headwater_source_anypoint::AnypointConfig>(keys, options)
}

pub(crate) fn build_pactflow(url: &str, token: &str, options: &SourceOptions) -> BuiltSource {
    build::<headwater_source_pactflow::PactflowConfig>(json!({ "endpoint": url, "token": token }), options)
}

pub(crate) fn build_api7(url: &str, token: &str, options: &SourceOptions) -> BuiltSource {
    build::<headwater_source_api7::Api7Config>(json!({ "endpoint": url, "token": token }), options)
}

pub(crate) fn build_api7_in_seconds(url: &str, token: &str, options: &SourceOptions) -> BuiltSource {
    let keys = json!({ "endpoint": url, "token": token, "timestamp_unit": "s" });
    build::<headwater_source_api7::Api7Config>(keys, options)
}

pub(crate) fn build_mural(url: &str, key: &str, options: &SourceOptions) -> BuiltSource {
    build::<headwater_source_mural::MuralConfig>(json!({ "endpoint": url, "api_key": key }), options)
}

pub(crate) fn build_mural_own(url: &str, key: &str, options: &SourceOptions) -> BuiltSource {
    let own = json!({
        "endpoint": url, "api_key": key,
        "own_actor_id": "key-9f2", "own_ips": ["127.0.0.1"], "own_queries": "suppress",
    });
    build::<headwater_source_mural::MuralConfig>(own, options)
}

pub(crate) fn build_solace_cloud(url: &str, token: &str, options: &SourceOptions) -> BuiltSource {
    build::<headwater_source_solace_cloud::SolaceCloudConfig>(json!({ "endpoint": url, "token": token }), options)
}

pub(crate) fn build_solace_cloud_own(url: &str, token: &str, options: &SourceOptions) -> BuiltSource {
    let own = json!({
        "endpoint": url, "token": token,
        "own_user_id": "u0000000017", "own_ips": ["127.0.0.1"], "own_queries": "suppress",
    });
    build::<headwater_source_solace_cloud::SolaceCloudConfig>(own, options)
}

/// The real binary at work: its stdout as lines, its stderr as lines.
pub(crate) struct Headwater {
    pub(crate) child: std::process::Child,
    pub(crate) out: std::io::BufReader<std::process::ChildStdout>,
    /// Read all the time, so that a process that says much does not wait for its test.
    err: std::sync::mpsc::Receiver<String>,
}

impl Headwater {
    /// Longest wait for a line.
    const PATIENCE: Duration = Duration::from_mins(5);

    /// Starts `headwater ARGS` in a folder.
    pub(crate) fn start(dir: &std::path::Path, args: &[&str]) -> Self {
        use std::io::BufRead;
        let mut child = command(dir, args)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("headwater starts");
        let out = std::io::BufReader::new(child.stdout.take().expect("stdout"));
        let lines = std::io::BufReader::new(child.stderr.take().expect("stderr")).lines();
        let (said, err) = std::sync::mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| said.send(line)));
        Self { child, out, err }
    }

    /// Reads stderr until a line contains `text`; panics with all of it if none does.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.says(text).unwrap_or_else(|seen| panic!("headwater does not say `{text}`:\n{seen}"))
    }

    /// The next line on stderr that contains `text`; all that was said in its place if the process ends, or goes on too long without it.
    pub(crate) fn says(&mut self, text: &str) -> Result<String, String> {
        let mut seen = String::new();
        let until = std::time::Instant::now() + Self::PATIENCE;
        while let Ok(line) = self.err.recv_timeout(until.saturating_duration_since(std::time::Instant::now())) {
            if line.contains(text) {
                return Ok(line);
            }
            seen += &line;
            seen.push('\n');
        }
        Err(seen)
    }

    /// What a process that has ended said on stderr, and nobody has read.
    pub(crate) fn rest(&mut self) -> String {
        self.err.iter().map(|line| line + "\n").collect()
    }
}

impl Drop for Headwater {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `headwater ARGS`, to be run in a folder.
pub(crate) fn command(dir: &std::path::Path, args: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_headwater"));
    command.args(args).current_dir(dir).stdin(std::process::Stdio::null()).env_remove("RUST_LOG");
    command
}

/// Variables of the default pipeline: of whoever runs the tests, none counts.
const CREDENTIALS: [&str; 7] = [
    "PACTFLOW_TOKEN",
    "MURAL_API_KEY",
    "SOLACE_TOKEN",
    "API7_TOKEN",
    "ANYPOINT_ORGANIZATION_ID",
    "ANYPOINT_CLIENT_ID",
    "ANYPOINT_CLIENT_SECRET",
];

/// The same command without the credentials of whoever runs the tests.
pub(crate) fn without_credentials(command: &mut std::process::Command) -> &mut std::process::Command {
    for variable in CREDENTIALS {
        command.env_remove(variable);
    }
    command
}

/// Runs `headwater ARGS` in a folder to its end.
pub(crate) fn run(dir: &std::path::Path, args: &[&str]) -> std::process::Output {
    command(dir, args).output().expect("headwater runs")
}

/// What the API at `port` answers to a GET, with its head; empty if nobody does.
pub(crate) fn get(port: u16, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut text = String::new();
    if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
        let asked = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let _ = stream.write_all(asked.as_bytes()).and_then(|()| stream.read_to_string(&mut text));
    }
    text
}

pub(crate) fn stdout(output: &std::process::Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8 on stdout")
}

pub(crate) fn stderr(output: &std::process::Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8 on stderr")
}

/// Sends a signal by its name, such as `TERM`.
pub(crate) fn signal(child: &std::process::Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().expect("sh").success(), "{kill}");
}
