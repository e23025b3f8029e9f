//! The contract of the command line, kept by the real binary: what it prints where, which exit codes, what it leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cli/secrets.rs"]
mod secrets;
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

#[test]
fn a_schema_in_a_file_is_a_schema_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("a.avsc"),
        r#"{"type": "record", "name": "A", "fields": [{"name": "id", "type": "string"}]}"#,
    )
    .unwrap();
    let validated = |schema: &str| {
        let yaml = format!(
            "sources:\n  a: {{ type: pactflow, endpoint: 'https://x.pactflow.io', token: t }}\n\
             sinks:\n  out:\n    type: kafka\n    inputs: [a]\n    bootstrap_servers: 'localhost:9092'\n    encoding: avro\n    \
             schema_registry: {{ url: 'http://localhost:8081' }}\n    schema: {schema}\n"
        );
        fs::write(dir.path().join("pipeline.yaml"), yaml).unwrap();
        let done = run(dir.path(), &["validate"]);
        (done.status.code(), stderr(&done))
    };
    for schema in ["latest", "{ file: a.avsc }"] {
        let (code, said) = validated(schema);
        assert_eq!(code, Some(0), "{schema}: {said}");
    }
    for (schema, problem) in [
        ("newest", "expected `latest`, or `file` with the path of a schema"),
        ("{ file: b.avsc }", "b.avsc"),
        ("{ file: a.avsc, mesage: A }", "did you mean `message`"),
    ] {
        let (code, said) = validated(schema);
        assert_eq!(code, Some(78), "{schema}");
        assert!(said.contains(problem), "{schema}: {said}");
    }
}

#[test]
fn six_mistakes_are_six_errors_each_at_its_place() {
    let done = run(&repository("tests/cli"), &["validate", "six-mistakes.yaml"]);
    assert_code(&done, CONFIG);
    assert_eq!(stdout(&done), "");
    let found = stderr(&done);
    assert_eq!(found.lines().filter(|line| line.starts_with("error: ")).count(), 7, "six and their sum");
    for place in ["9:20", "12:5", "17:24", "25:15", "29:50", "35:26"] {
        assert!(found.contains(&format!("--> six-mistakes.yaml:{place}\n")), "{place}:\n{found}");
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(repository("tests/cli/six-mistakes.txt"), &found).unwrap();
    }
    assert_eq!(found, text("tests/cli/six-mistakes.txt"));
}

const ODD: &str = r##"
sources:
  p: { type: pactflow, endpoint: "http://acme.pactflow.io", token: $PACTFLOW_TOKEN }
  q: { type: pactflow, endpoint: "http://ACME.pactflow.io:80/", token: "Bearer s3cret" }
  clean: { type: pactflow, endpoint: "https://clean.pactflow.io", token: s3cret }
  eu:
    type: anypoint
    endpoint: https://eu1.anypoint.mulesoft.com
    organization_ids: [GROUPS]
    auth: { client_id: x, client_secret: s3cret }
  m: { type: mural, api_key: { env: KEY_A }, poll_interval: 1m }
  n: { type: mural, api_key: { env: KEY_B } }
  o: { type: mural, api_key: { env: KEY_A } }
transforms:
  guard: { type: filter, inputs: [clean], condition: "%headwater.own_query != true" }
  not_a_guard: { type: remap, inputs: [p, q], source: "# %headwater.own_query is not looked at\n.a = 1" }
  idle: { type: remap, inputs: [p], source: ".n = to_int!(.uuid)" }
sinks:
  out: { type: otlp, endpoint: "http://collector:4317", headers: { authorization: "Bearer s3cret", x-key: "another-s3cret" }, inputs: [guard, not_a_guard, eu, m, n, o] }
"##;

#[test]
fn what_was_hardly_meant_is_warned_of_and_is_valid() {
    let groups: Vec<String> = (0..30).map(|number| format!("group-{number}")).collect();
    let dir = folder(&ODD.replace("GROUPS", &groups.join(", ")));
    let mut command = support::command(dir.path(), &["validate"]);
    let done = command.env_remove("KEY_A").env("KEY_B", "").output().unwrap();
    assert_code(&done, Some(0));
    let said = stderr(&done);
    let warnings: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("warning: ")).collect();
    for expected in [
        "what source `p` itself reads is recorded in the log, and is delivered to sink `out`",
        "what source `q` itself reads is recorded",
        "`endpoint` of source `p`: what is sent",
        "`endpoint` of source `q`: what is sent",
        "`endpoint` of sink `out`: what is sent",
        "`token` of source `p` is the name of a variable",
        "`token` of source `q` begins with the name of a scheme",
        "sources `p` and `q` read the same log",
        "sources `m` and `o` read the same log",
        "source `eu`, with its 30 streams, asks for 43950 requests a day at least, and `rate_limit` allows 43200",
        "`call_budget` of source `m`: the settings ask for",
        "nothing reads transform `idle`",
        "12 warnings in pipeline.yaml",
    ] {
        assert!(warnings.iter().any(|warning| warning.starts_with(expected)), "{expected}:\n{said}");
    }
    assert_eq!(warnings.len(), 13, "{said}");
    assert!(said.contains("file: builtin:drop_own_queries.vrl"), "what to add is shown: {said}");
    assert!(said.contains("not set here, and needed to run: KEY_A, KEY_B (set, and empty)"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn a_run_logs_warnings_and_leaves_out_what_nobody_reads() {
    let simulator = calm(Provider::PactFlow);
    let pipeline = pipeline_to(TO_FILE, &simulator, Provider::PactFlow, simulator.credential());
    let pipeline =
        pipeline.replace("sinks:", "  idle: { type: remap, inputs: [in], source: '.n = to_int!(.uuid)' }\nsinks:");
    let dir = folder(&pipeline);
    let done = run(dir.path(), &["run", "--once"]);
    assert_code(&done, Some(0));
    assert!(
        stderr(&done).contains("pipeline.yaml:6:3: nothing reads transform `idle`: it is not run"),
        "{}",
        stderr(&done)
    );
    let letters = fs::read(dir.path().join("state/dead-letter/dead-letter.ndjson")).unwrap_or_default();
    assert!(letters.is_empty(), "it would fail on each event");
}

#[test]
fn validate_needs_no_variables() {
    let dir = folder(
        "api: { address: \"127.0.0.1:${PORT}\" }\n\
         sources:\n  p: { type: pactflow, endpoint: \"${PACTFLOW_URL}\", token: \"${TOKEN}\", page_size: \"${SIZE}\", own_queries: forward }\n\
         transforms:\n  t: { type: remap, inputs: [p], file: \"${FOLDER}/t.vrl\" }\n\
         enrichment_tables:\n  u: { type: csv, path: \"${FOLDER}/users.csv\" }\n\
         sinks:\n  o: { type: otlp, endpoint: \"${OTEL}\", inputs: [p, t] }\n",
    );
    let done = run(dir.path(), &["validate"]);
    assert_code(&done, Some(0));
    let said = stderr(&done);
    assert!(said.contains("needed to run: FOLDER, OTEL, PACTFLOW_URL, PORT, SIZE, TOKEN\n"), "{said}");
    assert_code(&run(dir.path(), &["run", "--once"]), CONFIG);
}

#[test]
fn the_compilers_help_is_the_same_in_a_file_and_inline() {
    let program = ".a = uppercase(.b)\n.c = parse_json(.d)\nlog(\"x\", level: \"wrn\")\nparse_json!(.x) + 1\n";
    let indented = format!("      {}\n", program.trim_end().replace('\n', "\n      "));
    let dir = folder(&format!(
        "sources:\n  p: {{ type: pactflow, endpoint: 'https://x.pactflow.io', token: t, own_queries: forward }}\n\
         transforms:\n  f: {{ type: remap, inputs: [p], file: t.vrl }}\n  i:\n    type: remap\n    inputs: [f]\n    source: |\n{indented}\
         sinks:\n  o: {{ type: console, inputs: [i] }}\n"
    ));
    fs::write(dir.path().join("t.vrl"), program).unwrap();
    let done = run(dir.path(), &["validate"]);
    assert_code(&done, CONFIG);
    let said = stderr(&done);
    for (place, help) in [
        ("1:6", "hint: did you mean `upcase`?"),
        ("2:6", "update the expression to be infallible by adding a `!`: `parse_json!(.d)`"),
        ("2:1", "or change this to an infallible assignment: .c, err = parse_json(.d)"),
        ("3:1", "expected one of: \"trace\", \"debug\", \"info\", \"warn\", \"error\""),
    ] {
        let (line, column) = place.split_once(':').unwrap();
        let (line, column): (usize, usize) = (line.parse().unwrap(), column.parse().unwrap());
        assert!(said.contains(&format!(" t.vrl:{place}\n")), "{place}: {said}");
        let inline = format!(" pipeline.yaml:{}:{}\n", line + 8, column + 6);
        assert!(said.contains(&inline), "{inline}: {said}");
        assert_eq!(said.matches(help).count(), 2, "{help}: {said}");
    }
    assert!(!said.contains("error[E"), "{said}");
}

#[test]
fn a_broken_table_is_one_problem_at_its_path() {
    let dir = folder(
        "sources:\n  p: { type: pactflow, endpoint: 'https://x.pactflow.io', token: t, own_queries: forward }\n\
         enrichment_tables:\n  gone: { type: csv, path: gone.csv }\n  here: { type: csv, path: here.csv }\n\
         transforms:\n  t: { type: remap, inputs: [p], source: \". = get_enrichment_table_record!(\\\"gone\\\", {\\\"id\\\": .id})\" }\n  \
         u: { type: remap, inputs: [t], source: \". = get_enrichment_table_record!(\\\"here\\\", {\\\"id\\\": .id})\" }\n\
         sinks:\n  o: { type: console, inputs: [u] }\n",
    );
    fs::write(dir.path().join("here.csv"), "id,name\n1,ana\n").unwrap();
    let done = run(dir.path(), &["validate"]);
    assert_code(&done, CONFIG);
    let said = stderr(&done);
    assert!(said.contains("--> pipeline.yaml:4:28\n") && said.contains("1 problem in pipeline.yaml"), "{said}");
}

#[test]
fn a_configuration_is_named_by_position_or_by_name() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("other.yaml"), text("examples/quickstart/pipeline.yaml")).unwrap();
    for command in [&["validate"][..], &["test"], &["graph"], &["ledger", "show"], &["ledger", "export"]] {
        let with = |more: &[&str]| run(dir.path(), &[command, more].concat());
        for more in [&["other.yaml"][..], &["-c", "other.yaml"], &["--config", "other.yaml"]] {
            let done = with(more);
            assert_ne!(done.status.code(), USAGE, "{command:?} {more:?}: {}", stderr(&done));
            assert!(!stderr(&done).contains("cannot read"), "{command:?} {more:?}: {}", stderr(&done));
        }
        assert_code(&with(&["other.yaml", "-c", "other.yaml"]), USAGE);
        let done = with(&[]);
        assert_code(&done, CONFIG);
        assert!(
            stderr(&done).contains("hint: there is no such file in this folder: name the configuration"),
            "{done:?}"
        );
    }
}

#[test]
fn a_plain_credential_is_never_shown_with_the_line_it_stands_in() {
    let sinks = [
        "type: otlp, endpoint: 'https://c.example', headers: { x-honeycomb-team: s3cret-word }, protcol: http",
        "type: otlp, endpoint: 'https://c.example', headers: { x-honeycomb-team: [s3cret-word] }",
        "type: kafka, bootstrap_servers: 'b:1', topic: t, sasl: { mechanism: plain, username: u, passwrod: s3cret-word }",
        "type: kafka, bootstrap_servers: 'b:1', topic: t, schema_registry: { url: x, token: s3cret-word }, encoding: avro",
        "type: syslog, mode: tcp, address: 'a:1', structured_data: [{ id: s3cret-word@41058, prams: {} }]",
        "type: otlp, endpoint: 'https://c.example/?key=s3cret-word'",
    ];
    for sink in sinks {
        let yaml = format!(
            "sources:\n  s: {{ type: pactflow, endpoint: 'https://a.example', token: t }}\nsinks:\n  o: {{ inputs: [s], {sink} }}\n"
        );
        let done = run(folder(&yaml).path(), &["validate"]);
        assert_code(&done, CONFIG);
        assert!(!stderr(&done).contains("s3cret"), "{}", stderr(&done));
    }
}

#[test]
fn the_default_pipeline_is_valid() {
    let done = configured(&repository(""), &["validate"]);
    assert_code(&done, Some(0));
    assert_eq!(stderr(&done), "valid: 5 sources, 3 transforms, 1 sink, 2 tests\n");
}

#[test]
fn a_bad_configuration_is_not_run_and_leaves_nothing() {
    let dir = folder(&text("tests/cli/six-mistakes.yaml"));
    for args in [&["run"][..], &["run", "--once"], &["run", "--simulate"], &["test"], &["graph"], &["ledger", "show"]] {
        assert_code(&run(dir.path(), args), CONFIG);
        assert_eq!(entries(dir.path()), ["pipeline.yaml"], "{args:?}");
    }
    let missing = run(dir.path(), &["run", "missing.yaml"]);
    assert_code(&missing, CONFIG);
    assert!(stderr(&missing).contains("missing.yaml"), "{}", stderr(&missing));
}

#[test]
fn a_missing_secret_is_named_before_anything_is_touched() {
    let dir = folder(&text("examples/quickstart/pipeline.yaml"));
    let mut command = support::command(dir.path(), &["run", "--once"]);
    let done = command
        .env_remove("PACTFLOW_TOKEN")
        .env_remove("MURAL_API_KEY")
        .env_remove("SOLACE_TOKEN")
        .env_remove("API7_TOKEN")
        .output()
        .unwrap();
    assert_code(&done, CONFIG);
    assert!(stderr(&done).contains("PACTFLOW_TOKEN") && stderr(&done).contains("MURAL_API_KEY"), "{}", stderr(&done));
    assert_eq!(entries(dir.path()), ["pipeline.yaml"]);
}

#[test]
fn the_default_pipelines_tests_pass() {
    let done = configured(&repository(""), &["test"]);
    assert_code(&done, Some(0));
    assert!(stderr(&done).ends_with("2 passed, 0 failed\n"), "{}", stderr(&done));
}

#[test]
fn a_wrong_expectation_fails_and_shows_the_actual_event() {
    let wrong = text("pipeline.yaml").replace("someuser@somecompany.com\"\n", "else@somecompany.com\"\n");
    assert_ne!(wrong, text("pipeline.yaml"));
    let dir = folder(&wrong);
    let done = configured(dir.path(), &["test"]);
    assert_code(&done, FAILED);
    let said = stderr(&done);
    assert!(said.contains("a regenerated API token is an update through the API ... failed"), "{said}");
    assert!(said.contains("condition 2: is false at pipeline.yaml:"), "{said}");
    assert!(said.contains("\"email_addr\": \"someuser@somecompany.com\""), "the actual event is shown: {said}");
    assert!(said.contains("1 passed, 1 failed"), "{said}");
}

#[test]
fn the_graph_shows_every_component_and_edge_in_both_languages() {
    let edges = [
        ("pactflow", "drop_own_queries"),
        ("mural", "drop_own_queries"),
        ("solace", "drop_own_queries"),
        ("api7", "drop_own_queries"),
        ("anypoint", "drop_own_queries"),
        ("drop_own_queries", "normalize"),
        ("normalize", "enrich"),
        ("enrich", "out"),
    ];
    let mermaid = configured(&repository(""), &["graph"]);
    assert_code(&mermaid, Some(0));
    assert_eq!(stdout(&mermaid), stdout(&configured(&repository(""), &["graph", "--format", "mermaid"])));
    assert!(stdout(&mermaid).starts_with("flowchart "), "{}", stdout(&mermaid));
    let dot = configured(&repository(""), &["graph", "--format", "dot"]);
    assert_code(&dot, Some(0));
    assert!(stdout(&dot).starts_with("digraph ") && stdout(&dot).trim_end().ends_with('}'), "{}", stdout(&dot));
    for drawing in [stdout(&mermaid), stdout(&dot)] {
        let arrows: Vec<&str> = drawing.lines().filter(|line| line.contains("->")).collect();
        assert_eq!(arrows.len(), edges.len(), "{drawing}");
        for name in
            ["pactflow", "mural", "solace", "api7", "anypoint", "drop_own_queries", "normalize", "enrich", "out"]
        {
            assert!(drawing.contains(name), "{name}:\n{drawing}");
        }
    }
    for (from, to) in edges {
        let edge = format!("\"{from}\" -> \"{to}\"");
        assert!(stdout(&dot).contains(&edge), "{edge}:\n{}", stdout(&dot));
    }
}

#[test]
fn the_schema_takes_the_pipelines_that_the_program_takes() {
    let done = run(&repository(""), &["schema"]);
    assert_code(&done, Some(0));
    let schema: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(jsonschema::meta::is_valid(&schema), "a valid JSON Schema");
    let validator = jsonschema::validator_for(&schema).unwrap();
    let json = |path: &str| {
        let mut problems = Diagnostics::default();
        let node = parse(&SourceFile::new(path, "", &text(path)), &mut problems);
        assert!(problems.is_empty(), "{problems}");
        node.unwrap().to_json()
    };
    let examples = fs::read_dir(repository("examples")).unwrap().map(|entry| entry.unwrap().file_name());
    // The questions in `queries` ask the default pipeline.
    let examples = examples.filter(|name| name != "queries");
    let examples = examples.map(|name| format!("examples/{}/pipeline.yaml", name.into_string().unwrap()));
    for path in examples.chain(["pipeline.yaml".to_owned()]) {
        let pipeline = json(&path);
        let problems: Vec<String> =
            validator.iter_errors(&pipeline).map(|problem| format!("{}: {problem}", problem.instance_path())).collect();
        assert!(problems.is_empty(), "{path}: {problems:#?}");
    }
    assert!(!validator.is_valid(&json("tests/cli/six-mistakes.yaml")));
}

#[test]
fn the_pipeline_says_which_release_of_ocsf_it_writes() {
    let version = |line: &str| {
        let dir = folder(&format!("{line}\n{}", text("pipeline.yaml")));
        fs::write(dir.path().join("event.ndjson"), "{\"uuid\":\"a\",\"timestamp\":\"2026-01-01T00:00:00Z\"}\n")
            .unwrap();
        let args = ["vrl", "builtin:normalize.vrl", "--input", "event.ndjson", "--config", "pipeline.yaml"];
        let done = run(dir.path(), &args);
        let written = serde_json::from_slice::<Value>(&done.stdout).unwrap_or_default();
        (written["metadata"]["version"].as_str().map(str::to_owned), stderr(&done))
    };
    for (line, expected) in [("", "1.6.0"), ("ocsf_version: 1.5.0", "1.5.0"), ("ocsf_version: 1.8.0", "1.8.0")] {
        let (found, problems) = version(line);
        assert_eq!(found.as_deref(), Some(expected), "{line}: {problems}");
    }
    let (found, problems) = version("ocsf_version: 1.4.0");
    assert_eq!(found, None);
    assert!(problems.contains("pipeline.yaml:1:15") && problems.contains("`1.5.0`"), "{problems}");
}

/// Equality as the normalization contract has it: the text of `metadata.debug` is free, and `unmapped` may hold more
/// than expected if that is equal to the raw event at its path.
fn check_normalized(name: &str, mut actual: Value, mut expected: Value, raw: &Value) {
    let take = |event: &mut Value, pointer: &str, key: &str| {
        event.pointer_mut(pointer).and_then(Value::as_object_mut).and_then(|map| map.remove(key))
    };
    let debugs = [&mut actual, &mut expected].map(|event| take(event, "/metadata", "debug").is_some());
    assert_eq!(debugs[0], debugs[1], "{name}: metadata.debug");
    let [found, wanted] = [&mut actual, &mut expected].map(|event| take(event, "", "unmapped").unwrap_or_default());
    assert_eq!(actual, expected, "{name}");
    for (path, value) in leaves(&wanted, "") {
        assert_eq!(found.pointer(&path), Some(&value), "{name}: unmapped{path}");
    }
    for (path, value) in leaves(&found, "") {
        let allowed = [&wanted, raw].into_iter().filter_map(|json| json.pointer(&path)).any(|there| *there == value);
        assert!(allowed, "{name}: unmapped{path} is {value}");
    }
}

fn leaves(json: &Value, path: &str) -> Vec<(String, Value)> {
    match json {
        Value::Object(map) => {
            let below = |(key, value): (&String, &Value)| {
                leaves(value, &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")))
            };
            map.iter().flat_map(below).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, value)| leaves(value, &format!("{path}/{index}"))).collect()
        }
        Value::Null => Vec::new(),
        leaf => vec![(path.to_owned(), leaf.clone())],
    }
}

#[test]
fn vrl_runs_the_shipped_program_on_the_golden_events() {
    for (provider, least) in [("pactflow", 2), ("mural", 2), ("solace_cloud", 8), ("api7", 8), ("anypoint", 8)] {
        let dir = repository("tests/golden").join(provider);
        let cases: Vec<String> =
            entries(&dir).iter().filter_map(|name| name.strip_suffix(".raw.json").map(str::to_owned)).collect();
        assert!(cases.len() >= least, "{provider} has {} cases", cases.len());
        for case in cases {
            let (raw, meta) = (format!("{case}.raw.json"), format!("{case}.meta.json"));
            let done = run(&dir, &["vrl", "builtin:normalize.vrl", "--input", &raw, "--metadata", &meta]);
            assert_code(&done, Some(0));
            assert_eq!(stdout(&done).lines().count(), 1, "{provider}/{case}: one line for one event");
            let read = |name: &str| serde_json::from_slice::<Value>(&fs::read(dir.join(name)).unwrap()).unwrap();
            let actual = serde_json::from_slice(&done.stdout).unwrap();
            check_normalized(&format!("{provider}/{case}"), actual, read(&format!("{case}.ocsf.json")), &read(&raw));
        }
    }
}

#[test]
fn vrl_tells_drops_and_failures_apart() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events"), "{\"n\":1}\n{\"n\":2}\n{\"n\":\"x\"}\n").unwrap();
    fs::write(dir.path().join("double.vrl"), "if .n == 1 { abort }\n.n = to_int!(.n) * 2\n").unwrap();
    let done = run(dir.path(), &["vrl", "double.vrl", "--input", "events"]);
    assert_code(&done, FAILED);
    assert_eq!(stdout(&done), "{\"n\":4}\n");
    assert!(stderr(&done).contains("event 1: dropped"), "{}", stderr(&done));
    assert!(stderr(&done).contains("event 3: ") && stderr(&done).contains("double.vrl:2:"), "{}", stderr(&done));
    fs::write(dir.path().join("wrong.vrl"), ".n = upcaze(.n)\n").unwrap();
    let done = run(dir.path(), &["vrl", "wrong.vrl", "--input", "events"]);
    assert_code(&done, CONFIG);
    assert!(stderr(&done).contains("wrong.vrl:1:6"), "{}", stderr(&done));
}

#[test]
fn vrl_says_what_it_was_not_given() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events"), "{\"n\":1}\nnonsense\n").unwrap();
    let done = run(dir.path(), &["vrl", "builtin:normalize.vrl", "--input", "events"]);
    assert_code(&done, FAILED);
    let said = stderr(&done);
    assert!(
        said.contains("event 2: ") && said.contains("it is no JSON: byte 0") && !said.contains("event 1"),
        "{said}"
    );
    assert!(stderr(&done).contains("--metadata"), "{}", stderr(&done));
}

/// The standard library would open `/dev/null` in its place, where all would count as delivered.
#[test]
fn a_closed_stdout_takes_nothing() {
    let simulator = simulator(Provider::PactFlow, Scenario::new().history(2, 50));
    let dir = folder(&pipeline(&simulator, Provider::PactFlow, simulator.credential()));
    for command in ["run --once", "schema", "graph", "ledger show"] {
        let line = format!("exec '{}' {command} >&-", env!("CARGO_BIN_EXE_headwater"));
        let done = std::process::Command::new("sh").args(["-c", &line]).current_dir(dir.path()).output().unwrap();
        assert_code(&done, Some(1));
        assert!(stderr(&done).contains("stdout"), "{command}: {}", stderr(&done));
    }
    let done = run(dir.path(), &["run", "--once"]);
    assert_code(&done, Some(0));
    assert!(stdout(&done).lines().count() >= 50, "what nobody took is still to be had");
}

/// One whole run on the demonstration's faults: throttling, a torn answer, an outage.
fn every_event_once(provider: Provider) {
    let simulator = simulator(provider, Scenario::demo(provider));
    let begun = SystemClock.now();
    let dir = folder(&pipeline(&simulator, provider, simulator.credential()));
    let done = run(dir.path(), &["run", "--once"]);
    assert_code(&done, Some(0));
    let truths: BTreeMap<String, _> =
        simulator.ledger().events().into_iter().map(|truth| (truth.id.clone(), truth)).collect();
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for line in stdout(&done).lines() {
        let id = id(&serde_json::from_str(line).unwrap());
        assert!(truths.get(&id).is_some_and(|truth| truth.is(line.as_bytes())), "not what was sent: {line}");
        *copies.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = copies.iter().filter(|(_, copies)| **copies != 1).collect();
    assert!(twice.is_empty(), "{provider}: delivered more than once: {twice:?}");
    // What happens while the run goes on is for the next one. The records of own reading are dropped where they can be told.
    let own = |kind: Kind| provider != Provider::Mural && kind == Kind::OwnCollector;
    // API7 is read up to a minute ago.
    let begun = if provider == Provider::Api7 { begun - chrono::TimeDelta::seconds(62) } else { begun };
    let lost: Vec<_> = truths
        .values()
        .filter(|truth| truth.served > 0 && truth.time <= begun && !own(truth.kind) && !copies.contains_key(&truth.id))
        .collect();
    assert!(lost.is_empty(), "{provider}: lost {lost:#?}");
    assert!(truths.values().all(|truth| !own(truth.kind) || !copies.contains_key(&truth.id)), "an own query passes");
    assert!(copies.len() > 500, "{provider}: {} events", copies.len());

    let table = stderr(&done);
    let row = table.lines().find(|line| line.starts_with("in/")).expect("the closing table").to_owned();
    let delivered = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).nth(2).unwrap().to_owned();
    assert_eq!(delivered, copies.len().to_string(), "{row}");

    // A second run on the same state has nothing to say but what is new.
    let again = run(dir.path(), &["run", "--once"]);
    assert_code(&again, Some(0));
    let repeated: Vec<String> = stdout(&again)
        .lines()
        .map(|line| id(&serde_json::from_str(line).unwrap()))
        .filter(|id| copies.contains_key(id))
        .collect();
    assert_eq!(repeated, [""; 0], "{provider}: delivered again by the next run");
}

#[test]
fn once_delivers_every_event_of_pactflow_once() {
    every_event_once(Provider::PactFlow);
}

#[test]
fn once_delivers_every_event_of_api7_once() {
    every_event_once(Provider::Api7);
}

#[test]
fn once_delivers_every_event_of_mural_once() {
    every_event_once(Provider::Mural);
}

#[test]
fn once_delivers_every_event_of_solace_cloud_once() {
    every_event_once(Provider::SolaceCloud);
}

#[test]
fn simulate_runs_the_default_pipeline_and_leaves_nothing() {
    let dir = folder(&text("pipeline.yaml"));
    let mut command = support::command(dir.path(), &["run", "--simulate", "--once"]);
    let done = command
        .env_remove("PACTFLOW_TOKEN")
        .env_remove("MURAL_API_KEY")
        .env_remove("SOLACE_TOKEN")
        .env_remove("API7_TOKEN")
        .output()
        .unwrap();
    assert_code(&done, Some(0));
    assert_eq!(entries(dir.path()), ["pipeline.yaml"]);
    let mut providers = BTreeMap::new();
    for line in stdout(&done).lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["metadata"]["version"], "1.6.0");
        *providers.entry(event["metadata"]["product"]["name"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    for provider in ["PactFlow", "Mural", "PubSub+ Cloud", "API7 Enterprise", "Anypoint Platform"] {
        assert!(providers[provider] > 500, "{providers:?}");
    }
    assert!(stderr(&done).contains("drop_own_queries"), "own queries are dropped and counted: {}", stderr(&done));
}

#[test]
fn ledger_show_tells_what_has_been_read() {
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&pipeline(&simulator, Provider::PactFlow, simulator.credential()));
    let before = run(dir.path(), &["ledger", "show"]);
    assert_code(&before, FAILED);
    assert!(stderr(&before).contains("there is no ledger in `"), "{}", stderr(&before));
    assert_eq!(entries(dir.path()), ["pipeline.yaml"]);

    let done = run(dir.path(), &["run", "--once"]);
    assert_code(&done, Some(0));
    let delivered = stdout(&done).lines().count() as u64;

    let shown = run(dir.path(), &["ledger", "show", "--format", "json"]);
    assert_code(&shown, Some(0));
    let stream: Value = serde_json::from_slice(&shown.stdout).expect("one line for one stream");
    assert_eq!(stream["source"], "in");
    let number = |key: &str| stream[key].as_u64().unwrap_or_else(|| panic!("{key}: {stream}"));
    let dropped: u64 = stream["dropped"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(number("delivered"), delivered);
    assert_eq!(number("read"), delivered + dropped + number("suppressed") + number("dead_lettered"));
    assert_eq!(number("identities"), delivered + dropped);
    let covered = stream["coverage"].as_array().unwrap();
    assert_eq!(covered.len(), 1, "one range without a gap: {covered:?}");

    let shown = run(dir.path(), &["ledger", "show"]);
    assert_code(&shown, Some(0));
    let said = stdout(&shown);
    let row = said.lines().nth(1).unwrap();
    assert!(said.starts_with("stream ") && row.starts_with("in/"), "{said}");
    assert_eq!(row.split_whitespace().nth(2), Some(delivered.to_string().as_str()), "{said}");
    assert!(said.contains("covered from") && said.contains(covered[0]["from"].as_str().unwrap()), "{said}");
}

#[test]
fn a_second_process_on_the_same_state_is_refused() {
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&pipeline_to(TO_FILE, &simulator, Provider::PactFlow, simulator.credential()));
    let mut first = Headwater::start(dir.path(), &["run"]);
    first.wait_for("caught up");
    for args in [&["run", "--once"][..], &["ledger", "show"]] {
        let second = run(dir.path(), args);
        assert_code(&second, FAILED);
        let said = stderr(&second);
        assert!(said.starts_with("error: the ledger `") && said.contains("is in use by another process"), "{said}");
        assert_eq!(stdout(&second), "");
    }
    assert!(first.child.try_wait().unwrap().is_none(), "the first one goes on");
}

#[test]
fn a_stop_signal_ends_a_run_with_0_and_nothing_is_read_again() {
    for signal in ["TERM", "INT"] {
        let simulator = calm(Provider::PactFlow);
        let dir = folder(&pipeline_to(TO_FILE, &simulator, Provider::PactFlow, simulator.credential()));
        let mut headwater = Headwater::start(dir.path(), &["run"]);
        headwater.wait_for("caught up");
        support::signal(&headwater.child, signal);
        assert_eq!(headwater.child.wait().unwrap().code(), Some(0), "SIG{signal}");
        let delivered = || fs::read_to_string(dir.path().join("out.ndjson")).unwrap().lines().count();
        assert_eq!(delivered(), 300, "SIG{signal}");
        assert_code(&run(dir.path(), &["run", "--once"]), Some(0));
        assert_eq!(delivered(), 300, "SIG{signal}: everything was committed");
    }
}

/// The signal and the watch, each: a configuration that cannot be used changes nothing, one that can is taken over, and what
/// was read before is not read again.
fn takes_over(args: &[&str], tell: impl Fn(&Headwater)) {
    let simulator = calm(Provider::Mural);
    let credential = simulator.credential().to_owned();
    let to = |sink: &str| pipeline_to(sink, &simulator, Provider::Mural, &credential);
    let dir = folder(&to("type: file, path: first.ndjson"));
    let change = |text: &str| fs::write(dir.path().join("pipeline.yaml"), text).unwrap();
    let mut headwater = Headwater::start(dir.path(), &[&["run"], args].concat());
    headwater.wait_for("caught up");
    change("sources: 3");
    tell(&headwater);
    headwater.wait_for("the old one goes on");
    change(&to("type: file, path: first.ndjson").replace("path: state", "path: elsewhere"));
    tell(&headwater);
    headwater.wait_for("the old one goes on");
    change(&to("type: file, path: second.ndjson"));
    tell(&headwater);
    headwater.wait_for("goes on with the new one");
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
    let ids = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        text.lines().map(|line| id(&serde_json::from_str(line).unwrap())).collect()
    };
    let (first, second) = (ids("first.ndjson"), ids("second.ndjson"));
    assert!(!first.is_empty());
    assert!(second.iter().all(|id| !first.contains(id)), "delivered again: {second:?}");
}

#[test]
fn a_hangup_takes_over_the_changed_configuration() {
    takes_over(&[], |headwater| support::signal(&headwater.child, "HUP"));
}

#[test]
fn a_watched_configuration_is_taken_over_by_itself() {
    takes_over(&["--watch"], |_| {});
}

#[test]
fn a_reader_that_goes_away_ends_the_run_with_1() {
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&pipeline(&simulator, Provider::PactFlow, simulator.credential()));
    let mut command = support::command(dir.path(), &["run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_code(&done, FAILED);
    let said = stderr(&done);
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("error: sink `out`: ") && last.contains("stdout"), "{said}");
    // What nobody took is not marked as delivered.
    let next = run(dir.path(), &["run", "--once"]);
    assert_code(&next, Some(0));
    assert_eq!(stdout(&next).lines().count(), 300);
}

#[test]
fn access_denied_ends_once_with_1_and_says_so() {
    for provider in [Provider::PactFlow, Provider::Mural, Provider::Api7] {
        let simulator = calm(provider);
        let dir = folder(&pipeline(&simulator, provider, simulator.unprivileged_credential()));
        let done = run(dir.path(), &["run", "--once"]);
        assert_code(&done, FAILED);
        assert!(stderr(&done).contains("error: gave up on in/") && stderr(&done).contains("403"), "{}", stderr(&done));
    }
}

#[test]
fn a_page_that_calls_itself_an_error_is_neither_the_end_nor_complete() {
    for records in [false, true] {
        let always = When::During { after_s: 0, for_s: u32::MAX };
        let scenario = Scenario::new().history(3, 40).fault(always, Fault::Complaint { records });
        let simulator = simulator(Provider::PactFlow, scenario);
        let dir = folder(&pipeline(&simulator, Provider::PactFlow, simulator.credential()));
        let ran = run(dir.path(), &["run", "--once"]);
        assert_code(&ran, FAILED);
        let said = if records { "a part of the log did not answer" } else { "the log is degraded" };
        assert!(stderr(&ran).contains(&format!("HTTP 200 with an error: {said}")), "{}", stderr(&ran));
        assert_eq!(stdout(&ran).lines().count() > 0, records, "what came is delivered");
        let shown = run(dir.path(), &["ledger", "show", "--format", "json"]);
        let stream: Value = serde_json::from_slice(&shown.stdout).expect("one line for one stream");
        assert_eq!(stream["coverage"], serde_json::json!([]), "nothing is covered");
        let checked = run(dir.path(), &["check"]);
        assert_code(&checked, FAILED);
        assert!(stdout(&checked).contains(said), "{}", stdout(&checked));
    }
}

#[test]
fn credentials_are_shown_nowhere() {
    for provider in [Provider::PactFlow, Provider::Mural, Provider::Api7] {
        let simulator = calm(provider);
        let wrong = "wrong-credential-5f1c";
        for (credential, code) in
            [(simulator.credential(), Some(0)), (simulator.unprivileged_credential(), FAILED), (wrong, FAILED)]
        {
            // The file is the user's; the secret reaches the program by the environment.
            let dir = folder(&pipeline(&simulator, provider, "${SECRET}"));
            for level in ["debug", "trace"] {
                let mut command = support::command(dir.path(), &["run", "--once", "--log", level]);
                let done = command.env("SECRET", credential).output().unwrap();
                assert_code(&done, code);
                assert!(level == "trace" || stderr(&done).contains("DEBUG"), "there is something to look at");
                let state = all_bytes(&dir.path().join("state"));
                for (place, bytes) in [("stdout", &done.stdout), ("stderr", &done.stderr), ("the state", &state)] {
                    assert!(!holds(bytes, credential), "{provider}: the credential is in {place} ({level})");
                }
            }
            let seen = simulator.ledger().requests();
            assert!(seen.iter().any(|request| request.headers.iter().any(|(_, value)| value.contains(credential))));
        }
    }
}

#[test]
fn what_a_login_sends_and_gets_is_shown_nowhere() {
    let simulator = calm(Provider::Anypoint);
    let (id, right) = simulator.credential().split_once(':').unwrap();
    for (secret, code) in [(right, Some(0)), ("wrong-secret-5f1c", FAILED)] {
        let dir = folder(&format!(
            "state: {{ type: file, path: state }}\n\
             sources:\n  in: {{ type: anypoint, endpoint: \"{}\", organization_ids: [{}], auth: {{ client_id: {id}, client_secret: \"${{SECRET}}\" }}, retention: 7d, start_at: earliest }}\n\
             sinks:\n  out: {{ type: console, inputs: [in] }}\n",
            simulator.url(),
            headwater_simulator::ANYPOINT_ORGANIZATIONS.join(", "),
        ));
        let mut command = support::command(dir.path(), &["run", "--once", "--log", "trace"]);
        let done = command.env("SECRET", secret).output().unwrap();
        assert_code(&done, code);
        let tokens: Vec<String> = simulator
            .ledger()
            .requests()
            .iter()
            .filter_map(|seen| seen.header("authorization")?.strip_prefix("Bearer ").map(str::to_owned))
            .collect();
        let state = all_bytes(&dir.path().join("state"));
        for (place, bytes) in [("stdout", &done.stdout), ("stderr", &done.stderr), ("the state", &state)] {
            for shown in tokens.iter().map(String::as_str).chain([secret]) {
                assert!(!holds(bytes, shown), "a credential is in {place}");
            }
        }
        assert!(code == FAILED || !tokens.is_empty());
    }
}

#[test]
fn simulate_prints_addresses_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    let mut headwater = Headwater::start(dir.path(), &["simulate", "--scenario", "late"]);
    for provider in ["pactflow", "mural", "solace_cloud", "api7"] {
        let mut line = String::new();
        headwater.out.read_line(&mut line).unwrap();
        let [name, url, credential] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("`{line}`") };
        assert_eq!(name, provider);
        let address = url.strip_prefix("http://").unwrap();
        let (path, header) = match provider {
            "pactflow" => ("/audit", format!("Authorization: Bearer {credential}")),
            "mural" => ("/enterprise/v1/audit-log", format!("Authorization: apikey {credential}")),
            "api7" => ("/api/audit_logs", format!("X-API-KEY: {credential}")),
            _ => ("/api/v2/audit/logs", format!("Authorization: Bearer {credential}")),
        };
        let answer = |header: &str| {
            let mut stream = TcpStream::connect(address.split('/').next().unwrap()).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{header}\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let good = answer(&header);
        assert!(
            good.starts_with("HTTP/1.1 200 ")
                && ["\"actor\"", "\"uuid\"", "\"userId\"", "\"operator\""].iter().any(|key| good.contains(key)),
            "{good}"
        );
        let stranger = answer("Accept: */*");
        assert!(stranger.starts_with("HTTP/1.1 401 "), "{stranger}");
    }
    // The last one wants a login.
    let mut line = String::new();
    headwater.out.read_line(&mut line).unwrap();
    assert!(line.starts_with("anypoint ") && line.contains("http://127.0.0.1:"), "{line}");
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
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

#[test]
fn a_transform_that_refuses_its_first_hundred_events_stops_the_run_and_none_is_settled() {
    for bad in REFUSING {
        let simulator = calm(Provider::PactFlow);
        let dir = folder(&through(bad, &simulator, Provider::PactFlow));
        let output = run(dir.path(), &["run"]);
        assert_code(&output, FAILED);
        let said = stderr(&output);
        assert!(said.contains("transform `bad` refused each of its first 100 events"), "{said}");
        assert!(said.contains("on_error: dead_letter"), "{said}");
        assert_eq!(lines(&dir.path().join("state/dead-letter/dead-letter.ndjson")), 0, "{bad}: {said}");
        fs::write(
            dir.path().join("pipeline.yaml"),
            through("type: filter, condition: 'true'", &simulator, Provider::PactFlow),
        )
        .unwrap();
        assert_code(&run(dir.path(), &["run", "--once"]), Some(0));
        assert_eq!(delivered(dir.path()), 300, "{bad}");
    }
}

#[test]
fn once_fails_where_a_transform_refuses_every_event_however_few_they_are() {
    let simulator = simulator(Provider::PactFlow, Scenario::new().seed(11).history(5, 30));
    let dir = folder(&through(REFUSING[0], &simulator, Provider::PactFlow));
    let output = run(dir.path(), &["run", "--once"]);
    assert_code(&output, FAILED);
    assert!(stderr(&output).contains("refused every event it was given ("), "{}", stderr(&output));
    assert_eq!(lines(&dir.path().join("state/dead-letter/dead-letter.ndjson")), 0);
    let mended = through("type: filter, condition: 'true'", &simulator, Provider::PactFlow);
    fs::write(dir.path().join("pipeline.yaml"), mended).unwrap();
    assert_code(&run(dir.path(), &["run", "--once"]), Some(0));
    assert_eq!(delivered(dir.path()), 30);
}

#[test]
fn what_a_transform_refuses_before_its_first_good_event_is_a_dead_letter_once() {
    // The oldest events come first, and are those that it refuses.
    let old = "type: remap, source: 'if to_unix_timestamp!(%headwater.time) < to_unix_timestamp(now()) - 370000 { x = to_int!(.uuid); .x = x }'";
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&through(old, &simulator, Provider::PactFlow));
    let mut counts = Vec::new();
    for _ in 0..2 {
        let output = run(dir.path(), &["run", "--once"]);
        assert_code(&output, Some(0));
        counts.push((lines(&dir.path().join("state/dead-letter/dead-letter.ndjson")), delivered(dir.path())));
    }
    let (dead, good) = counts[0];
    assert!(dead > 0 && good > 0 && dead + good == 300, "{counts:?}");
    assert_eq!(counts[0], counts[1]);
}

#[test]
fn a_stream_that_is_refused_whole_is_settled_once_another_passes() {
    let (bad, good) =
        (simulator(Provider::PactFlow, Scenario::new().seed(12).history(5, 30)), calm(Provider::PactFlow));
    let sources = [("bad", &bad), ("good", &good)].map(|(name, simulator)| {
        let (url, token) = (simulator.url(), simulator.credential());
        format!("  {name}: {{ type: pactflow, endpoint: '{url}', token: '{token}', start_at: earliest, rate_limit: {{ requests: 1000000, per: 1s }} }}\n")
    });
    let dir = folder(&format!(
        "sources:\n{}transforms:\n  drop: {{ type: remap, inputs: [bad, good], file: 'builtin:drop_own_queries.vrl' }}\n  \
         picky: {{ type: filter, inputs: [drop], condition: '%headwater.source == \"good\" || to_int!(.uuid) > 1' }}\n\
         sinks:\n  out: {{ type: file, path: out.ndjson, inputs: [picky] }}\n",
        sources.concat()
    ));
    for _ in 0..2 {
        assert_code(&run(dir.path(), &["run", "--once"]), Some(0));
        let dead = lines(&dir.path().join("state/dead-letter/dead-letter.ndjson"));
        assert_eq!((dead, delivered(dir.path())), (30, 300));
    }
}

#[test]
fn dead_letters_are_said_at_the_first_of_their_kind_and_at_the_end() {
    let bad = format!("{}, on_error: dead_letter", REFUSING[0]);
    for (more, code) in [(None, Some(0)), (Some("--fail-on-dead-letters"), FAILED)] {
        let simulator = calm(Provider::PactFlow);
        let dir = folder(&through(&bad, &simulator, Provider::PactFlow));
        let args: Vec<&str> = ["run", "--once"].into_iter().chain(more).collect();
        let output = run(dir.path(), &args);
        assert_code(&output, code);
        let said = stderr(&output);
        let kept = lines(&dir.path().join("state/dead-letter/dead-letter.ndjson"));
        assert_eq!(kept, 300, "{said}");
        let warned: Vec<&str> = said.lines().filter(|line| line.contains("goes to the dead letters")).collect();
        assert_eq!(warned.len(), 1, "{said}");
        for part in ["component=bad", "source=in", "id=", "dead-letter.ndjson", "to_int"] {
            assert!(warned[0].contains(part), "{part}: {}", warned[0]);
        }
        assert!(said.contains("300 events are in the dead letters"), "{said}");
    }
}

#[test]
fn a_transform_that_refuses_most_of_its_events_is_an_error_that_is_repeated() {
    // Some pass, so that nothing stops the run.
    let most = "type: remap, source: 'if !match(string!(.uuid), r''^[A-F]'') { x = to_int!(.uuid); .x = x }'";
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&through(most, &simulator, Provider::PactFlow));
    let output = run(dir.path(), &["run", "--once"]);
    assert_code(&output, Some(0));
    let said = stderr(&output);
    let (dead, good) = (lines(&dir.path().join("state/dead-letter/dead-letter.ndjson")), delivered(dir.path()));
    assert!(good > 0 && dead > 200 && dead + good == 300, "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("ERROR") && line.contains("refuses ")).collect();
    assert!(errors.len() > 1 && errors.iter().all(|line| line.contains("component=bad")), "{said}");
    assert!(errors[errors.len() - 1].contains(&format!("refuses {dead} of its last 300 events")), "{said}");
}

#[test]
fn events_that_are_read_and_not_settled_are_no_events_that_do_not_exist() {
    let simulator = calm(Provider::PactFlow);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("type: syslog, mode: tcp, address: \"{free}\", retry: {{ initial: 1ms, max: 2ms }}");
    let dir = folder(&pipeline_to(&dead, &simulator, Provider::PactFlow, simulator.credential()));
    for (args, part) in [
        (&[][..], " more were read and are not settled. The next start reads them again"),
        (&["--log-format", "json"], "\"open\":"),
    ] {
        let output = run(dir.path(), &[&["run", "--once"], args].concat());
        assert_code(&output, FAILED);
        let said = stderr(&output);
        assert!(said.contains(part) && !said.contains("\"open\":0"), "{said}");
    }
}

#[test]
fn what_a_refused_transform_leaves_unsettled_is_not_in_the_closing_table() {
    let simulator = simulator(Provider::PactFlow, Scenario::new().seed(11).history(5, 30));
    let dir = folder(&through(REFUSING[0], &simulator, Provider::PactFlow));
    let output = run(dir.path(), &["run", "--once"]);
    assert_code(&output, FAILED);
    let said = stderr(&output);
    let row = said.lines().find(|line| line.starts_with("in/")).expect("the closing table");
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(&cells[1..3], ["0", "0"], "nothing is settled: {said}");
    assert!(said.contains("more were read and are not settled"), "{said}");
}

#[test]
fn dead_letters_that_go_to_a_sink_are_said_as_those_in_files_are() {
    let simulator = calm(Provider::PactFlow);
    for (more, code, kept) in [(", on_error: dead_letter", Some(0), 300), ("", FAILED, 0)] {
        let config = through(&format!("{}{more}", REFUSING[0]), &simulator, Provider::PactFlow);
        let dir = folder(&format!("dead_letter: letters\n{config}  letters: {{ type: file, path: letters.ndjson }}\n"));
        let output = run(dir.path(), &["run", "--once"]);
        assert_code(&output, code);
        let said = stderr(&output);
        assert_eq!(lines(&dir.path().join("letters.ndjson")), kept, "{said}");
        if kept > 0 {
            assert!(said.contains("refused: goes to the dead letters, sink `letters`"), "{said}");
            assert!(said.contains("300 events are in the dead letters, sink `letters`"), "{said}");
        }
    }
}

#[test]
fn a_reload_with_a_credential_that_is_refused_is_not_ready() {
    let simulator = calm(Provider::PactFlow);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let with = |credential: &str| {
        let pipeline = pipeline_to(TO_FILE, &simulator, Provider::PactFlow, credential);
        format!("{pipeline}api: {{ address: \"127.0.0.1:{port}\" }}\n")
    };
    let dir = folder(&with(simulator.credential()));
    let mut headwater = Headwater::start(dir.path(), &["run"]);
    headwater.wait_for("caught up");
    let ready = support::get(port, "/ready");
    assert!(ready.contains(" 200 ") && ready.contains("\"denied\":false"), "{ready}");
    for (credential, said, status) in
        [("wrong", "access denied", " 503 "), (simulator.credential(), "caught up", " 200 ")]
    {
        fs::write(dir.path().join("pipeline.yaml"), with(credential)).unwrap();
        support::signal(&headwater.child, "HUP");
        headwater.wait_for("goes on with the new one");
        headwater.wait_for(said);
        let ready = support::get(port, "/ready");
        assert!(ready.contains(status), "{credential}: {ready}");
    }
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
}

#[test]
fn check_fails_at_once_on_what_is_no_log_and_on_sinks_that_cannot_take_anything() {
    let simulator = calm(Provider::PactFlow);
    let credential = simulator.credential();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let syslog = |address| format!("type: syslog, mode: tcp, address: \"{address}\"");
    let good = pipeline_to(&syslog(taken.local_addr().unwrap()), &simulator, Provider::PactFlow, credential);
    let dir = folder(&good);
    let output = run(dir.path(), &["check"]);
    assert_code(&output, Some(0));
    for row in ["out ", "state ", "dead_letter "] {
        let row = stdout(&output).lines().find(|line| line.starts_with(row)).map(str::to_owned).unwrap_or_default();
        assert!(row.contains("ok"), "{}", stdout(&output));
    }
    assert_eq!(entries(dir.path()), ["pipeline.yaml"], "check leaves nothing");

    let dead = pipeline_to(&syslog(free), &simulator, Provider::PactFlow, credential);
    let nowhere = good.replace(simulator.url(), &format!("{}/audit", simulator.url()));
    for (config, part) in [(dead, "cannot connect"), (nowhere, "404")] {
        let dir = folder(&config);
        let began = std::time::Instant::now();
        let output = run(dir.path(), &["check"]);
        assert_code(&output, FAILED);
        assert!(stdout(&output).contains("failed") && stdout(&output).contains(part), "{}", stdout(&output));
        assert!(began.elapsed().as_secs() < 25, "a definite answer is not waited for");
    }
}

/// A server that answers every request with this body.
fn server(content_type: &'static str, body: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 8192]);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

/// Runs once against a server whose only page is this one of PactFlow, and shows the stream's ledger.
fn run_on_one_page(page: &'static str) -> (std::process::Output, Value) {
    let dir = folder(&format!(
        "state: {{ type: file, path: state }}\n\
         sources:\n  in: {{ type: pactflow, endpoint: \"{}\", token: t, start_at: earliest, rate_limit: {{ requests: 1000000, per: 1s }}, retry: {{ initial: 10ms, max: 50ms }} }}\n\
         sinks:\n  out: {{ type: console, inputs: [in] }}\n",
        server("application/json", page)
    ));
    let ran = run(dir.path(), &["run", "--once"]);
    let shown = run(dir.path(), &["ledger", "show", "--format", "json"]);
    (ran, serde_json::from_slice(&shown.stdout).expect("one line for one stream"))
}

#[test]
fn a_page_that_is_a_part_of_the_answer_is_delivered_and_not_complete() {
    for page in [
        r#"{"events":[{"uuid":"a","timestamp":"2026-01-01T00:00:00Z"}],"partial":true}"#,
        r#"{"events":[{"uuid":"a","timestamp":"2026-01-01T00:00:00Z"}],"timed_out":true}"#,
        r#"{"events":[],"incomplete":true}"#,
    ] {
        let (ran, stream) = run_on_one_page(page);
        assert_code(&ran, FAILED);
        assert!(stderr(&ran).contains("HTTP 200 with an error: "), "{}", stderr(&ran));
        assert_eq!(stdout(&ran).lines().count() > 0, page.contains("uuid"), "what came is delivered");
        assert_eq!(stream["coverage"], serde_json::json!([]), "nothing is covered");
    }
}

#[test]
fn a_warning_beside_a_page_is_told_once_and_the_page_counts() {
    let (ran, stream) = run_on_one_page(r#"{"events":[],"warnings":["shard 3 timed out"]}"#);
    assert_code(&ran, Some(0));
    let told = stderr(&ran).matches("beside a page of the log: shard 3 timed out").count();
    assert_eq!(told, 1, "{}", stderr(&ran));
    assert_ne!(stream["coverage"], serde_json::json!([]), "{stream}");
}

#[test]
fn check_takes_no_page_for_one_that_is_none() {
    for (content_type, body) in [("text/html", "<html>Sign in</html>"), ("application/json", "{\"hello\":1}")] {
        let url = server(content_type, body);
        let sources = [("pactflow", "token"), ("mural", "api_key"), ("solace_cloud", "token"), ("api7", "token")]
            .map(|(provider, key)| format!("  {provider}: {{ type: {provider}, endpoint: \"{url}\", {key}: x }}\n"));
        let sinks = "sinks:\n  out: { type: blackhole, inputs: [pactflow, mural, solace_cloud, api7] }\n";
        let dir = folder(&format!("sources:\n{}{sinks}", sources.concat()));
        let output = run(dir.path(), &["check"]);
        assert_code(&output, FAILED);
        let said = stdout(&output);
        for provider in ["pactflow", "mural", "solace_cloud", "api7"] {
            let row = said.lines().find(|line| line.starts_with(provider)).unwrap_or_default();
            assert!(row.contains("failed"), "{provider}, {body}: {said}");
        }
    }
}

#[test]
fn simulated_events_are_marked_and_stay_on_this_machine() {
    let dir = folder(
        "sources:\n  in: { type: pactflow, endpoint: https://acme.pactflow.io, token: x }\n\
         transforms:\n  normalize: { type: remap, inputs: [in], file: 'builtin:normalize.vrl' }\n\
         sinks:\n  out: { type: file, path: out.ndjson, inputs: [normalize] }\n  \
         siem: { type: syslog, mode: udp, address: 192.0.2.1, inputs: [normalize] }\n  \
         otel: { type: otlp, endpoint: 'http://collector.example:4317', inputs: [normalize] }\n  \
         kafka: { type: kafka, bootstrap_servers: 'localhost:9092, broker.example:9092', inputs: [normalize] }\n",
    );
    let output = run(dir.path(), &["run", "--simulate", "--once"]);
    assert_code(&output, Some(0));
    let said = stderr(&output);
    for address in ["192.0.2.1:514", "http://collector.example:4317/", "broker.example:9092"] {
        assert!(said.contains(&format!("simulated events do not go to {address}")), "{said}");
    }
    let text = fs::read_to_string(dir.path().join("out.ndjson")).unwrap();
    assert!(text.lines().count() > 100);
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(
            event["metadata"]["labels"].as_array().is_some_and(|labels| labels.contains(&"simulated".into())),
            "{line}"
        );
    }
}

#[test]
fn simulated_events_bear_a_mark_where_their_bytes_have_none_and_sinks_here_are_named() {
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let here = receiver.local_addr().unwrap();
    let dir = folder(&format!(
        "sources:\n  in: {{ type: pactflow, endpoint: https://acme.pactflow.io, token: x }}\n\
         sinks:\n  out: {{ type: file, path: out.ndjson, inputs: [in] }}\n  \
         siem: {{ type: syslog, mode: udp, address: '{here}', enterprise_id: 7, structured_data: [], inputs: [in] }}\n"
    ));
    let output = run(dir.path(), &["run", "--simulate", "--once"]);
    assert_code(&output, Some(0));
    let said = stderr(&output);
    assert!(
        said.contains(&format!("simulated events go to {here}. Each bears the structured data `[simulated@7]`")),
        "{said}"
    );
    assert!(said.contains("out.ndjson`. Nothing there tells them from real ones"), "{said}");
    let mut message = [0; 9000];
    let length = receiver.recv(&mut message).unwrap();
    let message = String::from_utf8_lossy(&message[..length]).into_owned();
    assert!(message.contains(" [simulated@7] {"), "{message}");
}

#[test]
fn while_a_reload_waits_for_a_secret_the_api_answers() {
    let simulator = calm(Provider::PactFlow);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let with = |credential: &str| {
        let yaml = pipeline_to(TO_FILE, &simulator, Provider::PactFlow, "CREDENTIAL");
        format!("{}api: {{ address: \"127.0.0.1:{port}\" }}\n", yaml.replace("CREDENTIAL", credential))
    };
    let dir = folder(&with(simulator.credential()));
    let at = |name: &str| dir.path().join(name);
    // It waits for the test, at most as long as it may take.
    let script = format!(
        "touch begun; for _ in $(seq 80); do [ -e go ] && break; sleep 0.1; done; touch over; echo {}",
        simulator.credential()
    );
    fs::write(at("secret.sh"), script).unwrap();
    let mut headwater = Headwater::start(dir.path(), &["run"]);
    headwater.wait_for("caught up");
    let yaml = with("CREDENTIAL");
    let quoted = ["\"CREDENTIAL\"", "'CREDENTIAL'", "CREDENTIAL"].into_iter().find(|text| yaml.contains(text)).unwrap();
    fs::write(at("pipeline.yaml"), yaml.replace(quoted, "{ exec: [sh, secret.sh] }")).unwrap();
    support::signal(&headwater.child, "HUP");
    while !at("begun").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(support::get(port, "/health").contains(" 200 ") && !at("over").exists());
    fs::write(at("go"), "").unwrap();
    headwater.wait_for("goes on with the new one");
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reload_that_could_not_write_leaves_the_old_pipeline_at_work() {
    let simulator = calm(Provider::PactFlow);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    let configure = |letters: &str, out: &str| {
        let yaml = format!(
            "state: {{ type: file, path: state }}\ndead_letter: {{ path: '{letters}' }}\nsources:\n  in: {{ type: pactflow, endpoint: '{}', token: {} }}\n\
             sinks:\n  out: {{ type: file, path: '{out}', inputs: [in] }}\n",
            simulator.url(),
            simulator.credential()
        );
        fs::write(dir.path().join("pipeline.yaml"), yaml).unwrap();
    };
    configure("letters", "out.ndjson");
    let mut headwater = support::Headwater::start(dir.path(), &["run", "--log", "info"]);
    headwater.wait_for("caught up");
    for (letters, out, problem) in [
        ("/proc/nope", "out.ndjson", "`dead_letter`: cannot write in `/proc`"),
        ("letters", "folder", "sink `out`: `"),
        ("letters", "/proc/nope/out.ndjson", "sink `out`: cannot write in `/proc`"),
    ] {
        configure(letters, out);
        support::signal(&headwater.child, "HUP");
        headwater.wait_for("the old one goes on");
        headwater.wait_for(problem);
    }
    configure("letters", "other.ndjson");
    support::signal(&headwater.child, "HUP");
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert!(headwater.child.wait().unwrap().success());
}

#[test]
fn mending_a_sink_that_cannot_deliver_and_reloading_goes_on_with_the_mended_one() {
    let simulator = calm(Provider::PactFlow);
    let credential = simulator.credential();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("type: syslog, mode: tcp, address: \"{free}\", retry: {{ initial: 10ms, max: 20ms }}");
    let dir = folder(&pipeline_to(&dead, &simulator, Provider::PactFlow, credential));
    let mut headwater = Headwater::start(dir.path(), &["run", "--grace", "300ms"]);
    headwater.wait_for("not delivered, again in");
    let mended = pipeline_to(TO_FILE, &simulator, Provider::PactFlow, credential);
    fs::write(dir.path().join("pipeline.yaml"), mended).unwrap();
    support::signal(&headwater.child, "HUP");
    headwater.wait_for("it is let go, and read again");
    headwater.wait_for("goes on with the new one");
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
    assert_eq!(delivered(dir.path()), 300);
}

#[test]
fn with_json_logs_every_line_on_stderr_is_json() {
    let simulator = calm(Provider::PactFlow);
    for (bad, code) in [("type: filter, condition: 'true'", Some(0)), (REFUSING[0], FAILED)] {
        let dir = folder(&through(bad, &simulator, Provider::PactFlow));
        let output = run(dir.path(), &["run", "--once", "--log-format", "json"]);
        assert_code(&output, code);
        let said = stderr(&output);
        let parsed: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(parsed.iter().any(|line| line["fields"]["message"] == "the account of this run"), "{said}");
    }
}

#[test]
fn relative_paths_start_from_the_folder_of_the_file_that_names_them() {
    let simulator = calm(Provider::PactFlow);
    let bad = format!("{}, on_error: dead_letter", REFUSING[0]);
    let config = through(&bad, &simulator, Provider::PactFlow);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("conf")).unwrap();
    let at = |place: &str| dir.path().join(place);
    fs::write(at("conf/pipeline.yaml"), &config).unwrap();
    assert_code(&run(dir.path(), &["run", "--once", "conf/pipeline.yaml"]), Some(0));
    assert_eq!(entries(dir.path()), ["conf"]);
    assert!(at("conf/state/ledger.redb").exists());
    assert_eq!(lines(&at("conf/state/dead-letter/dead-letter.ndjson")), 300, "the dead letters follow `state.path`");
    fs::write(
        at("conf/pipeline.yaml"),
        config.replace(REFUSING[0], "type: filter, condition: 'true'").replace("path: state", "path: other"),
    )
    .unwrap();
    assert_code(&run(dir.path(), &["run", "--once", "conf/pipeline.yaml"]), Some(0));
    assert_eq!(entries(dir.path()), ["conf"]);
    assert!(lines(&at("conf/out.ndjson")) >= 300 && at("conf/other/dead-letter").exists());

    // A ledger where earlier versions kept it is not begun anew.
    fs::rename(at("conf/other"), at("other")).unwrap();
    for args in [&["run", "--once", "conf/pipeline.yaml"][..], &["ledger", "show", "conf/pipeline.yaml"]] {
        let refused = run(dir.path(), args);
        assert_code(&refused, CONFIG);
        assert!(stderr(&refused).contains("earlier versions kept it"), "{}", stderr(&refused));
    }
    assert!(!at("conf/other").exists());
    fs::rename(at("other"), at("conf/other")).unwrap();
    assert_code(&run(dir.path(), &["run", "--once", "conf/pipeline.yaml"]), Some(0));
}

#[test]
fn a_watched_run_takes_over_a_secret_that_is_replaced() {
    let simulator = calm(Provider::PactFlow);
    let config = pipeline_to(TO_FILE, &simulator, Provider::PactFlow, "TOKEN").replace("\"TOKEN\"", "{ file: token }");
    let dir = folder(&config);
    fs::write(dir.path().join("token"), "of-yesterday").unwrap();
    let mut headwater = Headwater::start(dir.path(), &["run", "--watch"]);
    headwater.wait_for("asking again");
    fs::write(dir.path().join("token"), simulator.credential()).unwrap();
    headwater.wait_for("goes on with the new one");
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0));
    assert_eq!(delivered(dir.path()), 300);
}
