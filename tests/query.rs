//! `headwater query`: the questions in `examples/queries`, and what the command promises of any other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use crate::support::{self, stderr, stdout};
use chrono::TimeDelta;
use headwater_contracts::{Clock, Timestamp};
use headwater_runtime::SystemClock;
use headwater_simulator::{ANYPOINT_ORGANIZATIONS, Provider, Scenario, Simulator, TimeUnit, Truth};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

const FAILED: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(2);
const CONFIG: Option<i32> = Some(78);

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn name(script: &Path) -> String {
    script.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The questions, found, not listed.
fn scripts() -> Vec<PathBuf> {
    let folder = repository().join("examples/queries");
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "sh"));
    found.sort();
    assert!(found.len() >= 20, "{found:?}");
    found
}

/// Runs a script where `headwater` is on the path.
fn ask(script: &Path, dir: &Path, args: &[&str], variables: &[(&str, String)]) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_headwater")).parent().unwrap().to_path_buf();
    let path = env::join_paths([binary].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap()))).unwrap();
    let mut command = Command::new(script);
    command.args(args).current_dir(dir).stdin(Stdio::null()).env("PATH", path).envs(variables.iter().cloned());
    support::without_credentials(&mut command).output().expect("the script runs")
}

/// `headwater query ARGS` in a folder.
fn query(dir: &Path, args: &[&str]) -> Output {
    let mut command = support::command(dir, &["query"]);
    support::without_credentials(command.args(args)).output().expect("headwater runs")
}

/// The provider that a script asks, and the name it gives the source.
fn asked(script: &Path) -> (Provider, &'static str) {
    let name = name(script);
    let known = [
        (Provider::Anypoint, "anypoint"),
        (Provider::Mural, "mural"),
        (Provider::Api7, "api7"),
        (Provider::SolaceCloud, "solace"),
        (Provider::PactFlow, "pactflow"),
    ];
    *known.iter().find(|(_, source)| name.starts_with(source)).unwrap_or_else(|| panic!("{name}: of which source?"))
}

fn simulator(provider: Provider) -> Simulator {
    let scenario = Scenario::new().seed(11).history(6, 500).api7(|a| a.unit = TimeUnit::Milliseconds);
    Simulator::start(provider, scenario, Arc::new(SystemClock)).unwrap()
}

/// A source of that name, at this simulator.
fn source(name: &str, provider: Provider, simulator: &Simulator, credential: &str) -> String {
    let own = match provider {
        Provider::PactFlow | Provider::Api7 => format!("token: '{credential}'"),
        Provider::SolaceCloud => format!("token: '{credential}', min_call_interval: 0s"),
        Provider::Anypoint => {
            let (id, secret) = credential.split_once(':').unwrap();
            let organizations = ANYPOINT_ORGANIZATIONS.join(", ");
            format!("organization_ids: [{organizations}], auth: {{ client_id: '{id}', client_secret: '{secret}' }}")
        }
        _ => format!("api_key: '{credential}', min_call_interval: 0s"),
    };
    format!(
        "  {name}: {{ type: {provider}, endpoint: '{}', {own}, rate_limit: {{ requests: 1000000, per: 1s }}, retry: {{ initial: 10ms, max: 50ms }} }}\n",
        simulator.url()
    )
}

/// A folder whose `pipeline.yaml` has this source, and one more whose credential is nowhere.
fn folder(source: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let other =
        "  other: { type: pactflow, endpoint: 'https://acme.pactflow.io', token: '${NOT_SET_ANYWHERE:?ask}' }\n";
    fs::write(dir.path().join("pipeline.yaml"), format!("sources:\n{source}{other}")).unwrap();
    dir
}

/// PactFlow's log, and a folder to ask it from.
fn pactflow() -> (Simulator, tempfile::TempDir) {
    let simulator = simulator(Provider::PactFlow);
    let dir = folder(&source("pactflow", Provider::PactFlow, &simulator, simulator.credential()));
    (simulator, dir)
}

/// What the API shows, with its time, oldest first.
fn shown(simulator: &Simulator) -> Vec<(Timestamp, Value)> {
    let now = simulator.now();
    let form = |truth: &Truth| Some((truth.time, serde_json::from_slice(truth.form_at(now)?).unwrap()));
    simulator.ledger().events().iter().filter(|truth| truth.visible_at <= now).filter_map(form).collect()
}

/// When it happened, as the source tells it: Solace Cloud's actions when they ended.
fn happened(time: Timestamp, record: &Value) -> Timestamp {
    record["endTime"].as_str().map_or(time, |end| end.parse().unwrap())
}

/// The value at a path such as `objects[0].objectName`, as a cell shows it.
fn cell(time: Timestamp, record: &Value, path: &str) -> String {
    if path == "time" {
        return happened(time, record).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    }
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    match record.pointer(&pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// What a script is told by variables.
struct Asked {
    resource: String,
    user: String,
    trace: String,
    since: Timestamp,
    until: Timestamp,
}

impl Asked {
    /// Things that a log holds: the most frequent of each kind, and a part of its days.
    fn about(events: &[(Timestamp, Value)], now: Timestamp) -> Self {
        // In a log with deployments, the user with the most of them.
        let deployments = events.iter().any(|(_, record)| record["action"] == "Deploy");
        let counts = |record: &&Value| !deployments || record["action"] == "Deploy";
        let most = |names: &[&str]| {
            let mut found = BTreeMap::<&str, u32>::new();
            let records = events.iter().map(|(_, record)| record).filter(counts);
            for text in records.flat_map(|record| names.iter().filter_map(|name| record[*name].as_str())) {
                *found.entry(text).or_default() += 1;
            }
            found.into_iter().max_by_key(|(_, count)| *count).map_or_else(String::new, |(text, _)| text.to_owned())
        };
        Self {
            resource: most(&["resource_id"]),
            user: most(&["userId", "user_email"]),
            trace: most(&["traceId"]),
            since: now - TimeDelta::minutes(5 * 24 * 60 + 7),
            until: now - TimeDelta::minutes(2 * 24 * 60 + 7),
        }
    }

    /// As variables of the environment.
    fn variables(&self) -> [(&'static str, String); 6] {
        [
            ("RESOURCE_ID", self.resource.clone()),
            ("USER_ID", self.user.clone()),
            ("USER_EMAIL", self.user.clone()),
            ("TRACE_ID", self.trace.clone()),
            ("SINCE", self.since.to_rfc3339()),
            ("UNTIL", self.until.to_rfc3339()),
        ]
    }
}

/// Whether a record is what the script asks for.
fn wanted(script: &str, time: Timestamp, record: &Value, asked: &Asked) -> bool {
    let object = &record["objects"][0];
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let in_period = (asked.since..=asked.until).contains(&time);
    match script {
        "anypoint-deployments" => object["objectType"] == "Application" && record["action"] == "Deploy",
        "anypoint-policies" => object["objectType"] == "policy" && record["action"] == "create",
        "anypoint-user-edits" => {
            object["objectType"] == "User" && record["action"] == "edit" && object["environmentName"] == "Production"
        }
        "anypoint-deployments-by-user" => {
            object["objectType"] == "Application" && record["action"] == "Deploy" && record["userId"] == asked.user
        }
        "anypoint-enabled-users" => {
            let enabled = object["objectType"] == "User" && text("/payload/subaction") == "Enable user";
            enabled && record["action"] == "edit" && object["environmentName"] == "Production"
        }
        "anypoint-user-in-period" => record["userId"] == asked.user && in_period,
        "mural-sign-in-failures" => record["action"] == "SIGN_IN_FAILURE",
        "mural-last-50" => true,
        "mural-created" => record["action"] == "CREATE_MURAL",
        "mural-left-workspaces" => record["action"] == "LEAVE_WORKSPACE" && time >= asked.since,
        "api7-services-by-ops" => record["event_type"] == "Add Service" && record["operator"]["username"] == "Ops",
        "api7-resource-log" => record["resource_id"] == asked.resource,
        "pactflow-browser" => text("/payload/userAgent").starts_with("Mozilla/"),
        "pactflow-contract-changes" => {
            let contract =
                text("/payload/path").starts_with("/pacts/") || text("/payload/path") == "/contracts/publish";
            contract && record["payload"]["method"] != "GET"
        }
        "pactflow-user" => record["user_email"] == asked.user,
        "solace-service-creations" => record["eventType"] == "SERVICE_CREATE",
        "solace-identity" => record["eventCategory"] == "IAM",
        "solace-trace" => record["traceId"] == asked.trace,
        "solace-my-log" => record["userId"] == asked.user,
        "solace-between" | "mural-between" => in_period,
        other => panic!("say here which records `{other}` asks for"),
    }
}

/// The rows of CSV that needs no quotes.
fn rows(csv: &str) -> (Vec<String>, Vec<Vec<String>>) {
    assert!(!csv.contains('"'), "{csv}");
    let mut lines = csv.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    (lines.next().expect("a heading"), lines.collect())
}

/// How many of the newest a script asks for.
fn last(script: &str) -> Option<usize> {
    match script {
        "mural-sign-in-failures" => Some(25),
        "mural-last-50" => Some(50),
        _ => None,
    }
}

#[test]
fn every_question_gets_the_answer_that_the_log_holds() {
    std::thread::scope(|scope| {
        for script in scripts() {
            scope.spawn(move || answers_from_the_log(&script));
        }
    });
}

fn answers_from_the_log(script: &Path) {
    let (provider, source_name) = asked(script);
    let name = name(script);
    let simulator = simulator(provider);
    let dir = folder(&source(source_name, provider, &simulator, simulator.credential()));
    let asked = Asked::about(&shown(&simulator), simulator.now());
    let done = ask(script, dir.path(), &["--format", "csv"], &asked.variables());
    assert_eq!(done.status.code(), Some(0), "{name}:\n{}", stderr(&done));

    let (headings, mut found) = rows(&stdout(&done));
    let mut matching = shown(&simulator);
    matching.retain(|(time, record)| wanted(&name, *time, record, &asked));
    if let Some(last) = last(&name) {
        assert!(matching.len() > last, "there is something to leave out");
        matching.drain(..matching.len() - last);
        assert!(
            stderr(&done).contains(&format!("the newest {last} events that match")),
            "{name}:
{}",
            stderr(&done)
        );
        assert_eq!(simulator.ledger().requests().len(), 1, "{name}: the newest come first, and one call has them");
    } else {
        assert!(
            stderr(&done).contains(&format!("{} of ", matching.len())),
            "{name}:
{}",
            stderr(&done)
        );
    }
    let row = |(time, record): &(Timestamp, Value)| headings.iter().map(|path| cell(*time, record, path)).collect();
    let mut expected: Vec<Vec<String>> = matching.iter().map(row).collect();
    // A trace is one event here.
    assert!(expected.len() >= if name == "solace-trace" { 1 } else { 5 }, "{name} has something to find");
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{name}");
}

#[test]
fn every_question_is_answered_by_the_built_in_simulator() {
    std::thread::scope(|scope| {
        for script in scripts() {
            scope.spawn(move || answers_simulated(&script));
        }
    });
}

fn answers_simulated(script: &Path) {
    let name = name(script);
    let done = ask(script, repository(), &["--simulate", "--format", "table"], &[]);
    let (out, err) = (stdout(&done), stderr(&done));
    assert_eq!(done.status.code(), Some(0), "{name}:\n{err}");
    let times: Vec<&str> = out.lines().skip(1).filter_map(|line| line.split("  ").next()).collect();
    assert!(out.starts_with("time ") && !times.is_empty(), "{name}:\n{out}\n{err}");
    assert!(times.is_sorted() && times.iter().all(|time| time.parse::<Timestamp>().is_ok()), "{name}:\n{out}");
    assert!(last(&name).is_none_or(|last| times.len() == last), "{name}:\n{out}");
    assert!(!err.contains("warning: "), "{name}: each column has something to show:\n{err}");
}

#[test]
fn a_user_of_api7_is_asked_for_by_name() {
    let simulator = simulator(Provider::Api7);
    let dir = folder(&source("api7", Provider::Api7, &simulator, simulator.credential()));
    let log = shown(&simulator);
    let ids = |by: &dyn Fn(&Value) -> bool| -> Vec<String> {
        let mut ids: Vec<_> =
            log.iter().filter(|(_, record)| by(record)).map(|(_, record)| record["id"].to_string()).collect();
        ids.sort();
        ids
    };
    let found = |filter: &[&str]| {
        let done = query(dir.path(), &[&["api7", "--since", "30d", "--format", "json"], filter].concat());
        assert_eq!(done.status.code(), Some(0), "{filter:?}:\n{}", stderr(&done));
        let text = stdout(&done);
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut ids: Vec<_> = records.map(|record| record["id"].to_string()).collect();
        ids.sort();
        ids
    };
    let ops = ids(&|record| record["operator"]["username"] == "Ops");
    assert!(ops.len() > 20 && ops.len() < log.len() / 2, "{} of {}", ops.len(), log.len());
    assert_eq!(found(&["--filter", "operator: ops"]), ops);
    assert_eq!(
        found(&["--filter", "operator: OPS@example.com"]),
        ids(&|record| record["operator"]["email"] == "ops@example.com")
    );
    assert_eq!(found(&["--filter", "operator: nobody"]), [""; 0]);
    // Together with what the API filters by.
    let id =
        log.iter().find(|(_, record)| record["operator"]["username"] == "Ops").unwrap().1["operator"]["id"].clone();
    assert_eq!(
        found(&["--filter", "operator: ops", "--filter", &format!("operator_id: {}", id.as_str().unwrap())]),
        ops
    );
}

/// "Audit Log examples" of the vendor: a large range in pages of 50,000.
#[test]
fn a_range_of_more_than_a_hundred_thousand_murals_costs_three_calls() {
    let scenario = Scenario::new().seed(12).history(6, 150_000);
    let simulator = Simulator::start(Provider::Mural, scenario, Arc::new(SystemClock)).unwrap();
    let expected = shown(&simulator).len();
    assert!((100_001..=150_000).contains(&expected), "{expected}");
    let dir = folder(&source("mural", Provider::Mural, &simulator, simulator.credential()));
    let done = query(dir.path(), &["mural", "--since", "29d"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert_eq!(stdout(&done).lines().count(), expected);
    assert_eq!(simulator.ledger().requests().len(), 3);
}

#[test]
fn the_questions_are_listed() {
    let readme = fs::read_to_string(repository().join("examples/queries/README.md")).unwrap();
    let page = fs::read_to_string(repository().join("docs/questions.md")).unwrap();
    for script in scripts() {
        let text = fs::read_to_string(&script).unwrap();
        let question = text.lines().nth(1).and_then(|line| line.strip_prefix("# ")).expect("a question");
        assert!(readme.contains(question), "{question}");
        assert!(readme.contains(&format!("`{}.sh`", name(&script))), "{question}");
        assert!(page.contains(&format!("{}.sh`", name(&script))), "{question}");
    }
}

#[test]
fn json_is_every_event_as_it_came_and_csv_and_tables_show_columns() {
    let (simulator, dir) = pactflow();
    // Before the first reading, which is somebody else's for the next.
    let until = simulator.now().to_rfc3339();
    let asked = ["pactflow", "--since", "30d", "--until", &until];
    let done = query(dir.path(), &asked);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let truths = shown(&simulator);
    let found: Vec<Value> = stdout(&done).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let history: Vec<&Value> = truths.iter().map(|(_, record)| record).filter(|r| found.contains(r)).collect();
    assert_eq!((found.len(), history.len()), (500, 500), "all of the history, and nothing of headwater's own reading");
    assert!(stderr(&done).ends_with("500 of 500 events matched\n"), "{}", stderr(&done));

    let columns = ["--columns", "time,uuid,payload.method"];
    let csv = query(dir.path(), &[&asked[..], &["--format", "csv"], &columns[..]].concat());
    let (headings, csv_rows) = rows(&stdout(&csv));
    assert_eq!(headings, ["time", "uuid", "payload.method"]);
    assert_eq!(csv_rows.len(), 500);
    let table = query(dir.path(), &[&asked[..], &["--format", "table"], &columns[..]].concat());
    let table_rows: Vec<String> =
        stdout(&table).lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(",")).collect();
    assert!(table_rows.is_sorted());
    let mut csv_rows: Vec<String> = csv_rows.iter().map(|row| row.join(",")).collect();
    csv_rows.sort();
    assert_eq!(table_rows.len(), 500);
    assert!(table_rows.iter().all(|row| csv_rows.binary_search(row).is_ok()), "the same cells");
}

/// A server whose log holds these records of PactFlow.
fn log_of(records: &[Value]) -> String {
    use std::io::{BufRead as _, BufReader, Write as _};
    let page = serde_json::json!({ "events": records, "_links": {} }).to_string();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream?;
            let head = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            assert!(head.count() > 0);
            let length = page.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}")?;
        }
        std::io::Result::Ok(())
    });
    format!("http://{address}")
}

#[test]
fn what_an_event_says_moves_no_cursor_and_is_no_formula() {
    let names =
        ["\u{1b}]0;OWNED\u{7}\u{1b}[2J", "=cmd|' /C calc'!A0", "two\nrows", "\u{9b}31m\u{202e}\u{2028}\u{7f}", "-2.5"];
    let now = SystemClock.now();
    let record = |(n, name): (usize, &&str)| serde_json::json!({ "uuid": n.to_string(), "timestamp": now.to_rfc3339(), "user_email": name });
    let records: Vec<Value> = names.iter().enumerate().map(record).collect();
    let dir = folder(&format!("  pactflow: {{ type: pactflow, endpoint: '{}', token: t }}\n", log_of(&records)));
    let ask = |more: &[&str]| {
        let asked = ["pactflow", "--since", "1d", "--columns", "user_email,uuid", "--format"];
        let done = query(dir.path(), &[&asked, more].concat());
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        stdout(&done)
    };
    let table = ask(&["table"]);
    assert_eq!(table.lines().count(), 1 + names.len(), "{table}");
    assert!(table.contains(r"\u{1b}]0;OWNED\u{7}\u{1b}[2J") && table.contains(r"two\u{a}rows"), "{table}");
    assert!(table.contains(r"\u{9b}31m\u{202e}\u{2028}\u{7f}"), "{table}");
    let csv = ask(&["csv"]);
    assert!(csv.contains("\n'=cmd|' /C calc'!A0,1\r\n") && csv.contains("\n-2.5,4\r\n"), "{csv}");
    assert!(csv.contains(r"\u{9b}31m\u{202e}") && csv.lines().count() == 1 + names.len(), "{csv}");
    let exact = ask(&["csv", "--csv-formulas", "keep"]);
    for record in [format!("\n{},1\r\n", names[1]), "\n\"two\nrows\",2\r\n".into(), format!("\n{},3\r\n", names[3])] {
        assert!(exact.contains(&record), "{record:?} in {exact:?}");
    }
}

#[test]
fn a_question_beyond_what_the_provider_keeps_is_said() {
    let (_simulator, dir) = pactflow();
    let warned = |since: &str| {
        let done = query(dir.path(), &["pactflow", "--since", since]);
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        assert!(!stderr(&done).contains("begins to delete"), "{}", stderr(&done));
        stderr(&done).matches("the provider keeps its log for").count()
    };
    assert_eq!((warned("9000d"), warned("5d"), warned("earliest")), (1, 0, 0));
    // What a run would have to say of what it has not read in time is nothing to a question.
    for (name, provider) in [
        ("anypoint", Provider::Anypoint),
        ("mural", Provider::Mural),
        ("api7", Provider::Api7),
        ("solace", Provider::SolaceCloud),
        ("pactflow", Provider::PactFlow),
    ] {
        let simulator = simulator(provider);
        let dir = folder(&source(name, provider, &simulator, simulator.credential()));
        let done = query(dir.path(), &[name, "--since", "500d"]);
        let said = stderr(&done);
        assert_eq!(done.status.code(), Some(0), "{said}");
        assert_eq!(said.matches("the provider keeps its log for").count(), 1, "{said}");
        for alarm in ["lost", "ERROR", "begins to delete", "gap", "start_at"] {
            assert!(!said.contains(alarm), "{name}: {alarm}: {said}");
        }
    }
}

#[test]
fn the_last_are_the_newest_oldest_first_in_the_time_asked_for() {
    let (simulator, dir) = pactflow();
    let truths = shown(&simulator);
    let (since, until) = (truths[100].0, truths[200].0);
    let times = [since.to_rfc3339(), until.to_rfc3339()];
    let ids = |more: &[&str]| {
        let asked = ["pactflow", "--since", &times[0], "--until", &times[1]];
        let done = query(dir.path(), &[&asked, more].concat());
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["uuid"].as_str().unwrap().to_owned();
        (stdout(&done).lines().map(id).collect::<Vec<_>>(), stderr(&done))
    };
    // From, and not until.
    let inside = truths.iter().filter(|(time, _)| (since..until).contains(time));
    let expected: Vec<String> = inside.map(|(_, record)| record["uuid"].as_str().unwrap().to_owned()).collect();
    let (mut all, said) = ids(&[]);
    assert!(said.contains(&format!("reading from {}", &times[0][..19])), "{said}");
    all.sort();
    assert_eq!(all, {
        let mut sorted = expected.clone();
        sorted.sort();
        sorted
    });
    let (last, said) = ids(&["--last", "3"]);
    assert_eq!(last, expected[expected.len() - 3..]);
    assert!(
        said.ends_with(&format!("{n} of {n} events matched; the newest 3 are shown\n", n = expected.len())),
        "{said}"
    );
}

#[test]
fn what_a_mistyped_path_does_is_said() {
    let (_simulator, dir) = pactflow();
    let done = query(dir.path(), &["pactflow", "--since", "30d", "--where", ".payload.metod == \"PUT\""]);
    assert_eq!((done.status.code(), stdout(&done)), (Some(0), String::new()));
    assert!(stderr(&done).contains("0 of 500 events matched"), "{}", stderr(&done));
    let columns = ["--format", "csv", "--columns", "time,uuid,payload.metod"];
    let done = query(dir.path(), &[&["pactflow", "--since", "30d"], &columns[..]].concat());
    assert_eq!(done.status.code(), Some(0));
    let warnings: Vec<String> =
        stderr(&done).lines().filter(|line| line.starts_with("warning: ")).map(str::to_owned).collect();
    assert!(matches!(&warnings[..], [one] if one.contains("`payload.metod`")), "{warnings:?}");
}

#[test]
fn a_mistake_in_the_question_exits_with_2_and_says_what_to_write() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(repository().join("pipeline.yaml"), dir.path().join("pipeline.yaml")).unwrap();
    let check = |args: &[&str], said: &[&str]| {
        let done = query(dir.path(), &[args, &["--simulate"]].concat());
        assert_eq!(done.status.code(), USAGE, "{args:?}:\n{}", stderr(&done));
        assert_eq!(stdout(&done), "");
        assert!(stderr(&done).starts_with("error"), "{args:?}:\n{}", stderr(&done));
        assert!(!stderr(&done).contains("error: error"), "{args:?}:\n{}", stderr(&done));
        for part in said {
            assert!(stderr(&done).contains(part), "{args:?}: `{part}`:\n{}", stderr(&done));
        }
    };
    check(&["murol"], &["there is no source `murol`", "did you mean `mural`?", "solace"]);
    check(&["mural", "--where", ".action =="], &["--where"]);
    check(&["mural", "--since", "1d", "--until", "2d"], &["--since"]);
    check(&["mural", "--columns", "action"], &["--format csv"]);
    check(&["mural", "--format", "csv", "--columns", "a["], &["`a[`"]);
    check(&["mural", "--filter", "action: [A]"], &["unknown key `action`", "did you mean `actions`?"]);
    check(&["solace", "--filter", "action: A"], &["event_category", "event_type", "trace_id"]);
    check(&["solace", "--filter", "event_type: LOGIN"], &["set `event_category` too"]);
    check(&["api7", "--filter", "user: A"], &["event_type, operator, operator_id, resource_id"]);
    check(&["anypoint", "--filter", "user: A"], &["user_ids", "object_types", "environment_ids"]);
    check(&["mural", "--filter", "LOGIN"], &["a filter is `key: value`"]);
    check(&["pactflow", "--filter", "type: A"], &["the API of `pactflow` cannot filter", "--where"]);
}

#[test]
fn a_mistake_in_the_configuration_exits_with_78() {
    let (simulator, dir) = pactflow();
    let check = |config: &str, args: &[&str], said: &str| {
        fs::write(dir.path().join("pipeline.yaml"), config).unwrap();
        let done = query(dir.path(), args);
        assert_eq!(done.status.code(), CONFIG, "{config}:\n{}", stderr(&done));
        assert!(stderr(&done).contains(said), "{config}: `{said}`:\n{}", stderr(&done));
    };
    check("sources: [", &["pactflow"], "pipeline.yaml:1");
    check("sources:\n  pactflow: { type: pactflw }\n", &["pactflow"], "did you mean `pactflow`?");
    let unset = "sources:\n  pactflow: { type: pactflow, endpoint: 'https://acme.pactflow.io', token: '${NOT_SET_ANYWHERE:?ask the admin}' }\n";
    check(unset, &["pactflow"], "`NOT_SET_ANYWHERE` is not set: ask the admin");
    check("", &["pactflow", "--config", "elsewhere.yaml"], "cannot read `elsewhere.yaml`");
    assert!(simulator.ledger().requests().is_empty(), "nothing was asked");
}

#[test]
fn access_denied_exits_with_1() {
    let simulator = simulator(Provider::PactFlow);
    let credential = simulator.unprivileged_credential();
    let dir = folder(&source("pactflow", Provider::PactFlow, &simulator, credential));
    let done = query(dir.path(), &["pactflow", "--since", "30d"]);
    assert_eq!(done.status.code(), FAILED, "{}", stderr(&done));
    assert!(!stderr(&done).contains("events matched"), "half an answer is none: {}", stderr(&done));
}

#[test]
fn only_the_credential_of_the_source_asked_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(repository().join("pipeline.yaml"), dir.path().join("pipeline.yaml")).unwrap();
    let simulator = simulator(Provider::SolaceCloud);
    let mut command = support::command(dir.path(), &["query", "solace", "--since", "1h"]);
    support::without_credentials(&mut command)
        .env("SOLACE_TOKEN", simulator.credential())
        .env("SOLACE_URL", simulator.url());
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let done = query(dir.path(), &["solace", "--since", "1h"]);
    assert_eq!(done.status.code(), CONFIG);
    assert!(stderr(&done).contains("SOLACE_TOKEN") && !stderr(&done).contains("MURAL_API_KEY"), "{}", stderr(&done));
}
