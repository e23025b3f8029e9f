//! What is said of a configuration and to a terminal: all that is missing at once, where, and what to do.

use super::{CONFIG, FAILED, TO_FILE, USAGE, assert_code, calm, folder, pipeline_to};
use crate::support::{self, run, stderr, stdout};
use headwater_simulator::Provider;
use serde_json::Value;
use std::{
    fs,
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Output},
};

/// A pipeline with these keys of a source and of a sink.
fn with(source: &str, sink: &str) -> String {
    format!(
        "state: {{ type: file, path: state }}\n\
         sources:\n  p: {{ type: pactflow, own_queries: forward, {source} }}\n\
         sinks:\n  o: {{ inputs: [p], {sink} }}\n"
    )
}

const SOURCE: &str = "endpoint: 'https://acme.example', token: abcdef";

fn with_variables(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    support::command(dir, args).envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn variables_that_are_unset_or_empty_are_named_all_at_once() {
    let keys = "endpoint: \"${URL_A}\", token: \"${KEY_A}\", page_size: \"${SIZE_A}\", poll_interval: \"${N_A}${EMPTY_A}\", proxy: \"${NONE_A}\"";
    let dir = folder(&with(keys, "type: console"));
    let empty = [("URL_A", ""), ("KEY_A", ""), ("EMPTY_A", ""), ("SIZE_A", "")];
    let done = with_variables(dir.path(), &["validate"], &empty);
    let said = stderr(&done);
    assert_code(&done, Some(0));
    let list = "needed to run: EMPTY_A (set, and empty), KEY_A (set, and empty), NONE_A, N_A, SIZE_A (set, and empty), URL_A (set, and empty)\n";
    assert!(said.contains(list) && said.contains("write a default in the file: `${NAME:-default}`"), "{said}");
    // A value that is empty may be meant to be.
    let dir = folder(&with("endpoint: 'https://acme${EMPTY_A}.example', token: abcdef", "type: console"));
    let done = with_variables(dir.path(), &["validate"], &empty);
    assert_code(&done, Some(0));
    assert!(!stderr(&done).contains("needed to run"), "{}", stderr(&done));
    // What else is wrong does not hide them.
    let dir = folder(&with("endpoint: \"${URL_A}\", token: \"${OTHER_A}\", nonsense: 1", "type: console"));
    let done = with_variables(dir.path(), &["validate"], &empty);
    assert_code(&done, CONFIG);
    let said = stderr(&done);
    assert!(said.contains("needed to run: OTHER_A, URL_A (set, and empty)") && said.contains("`nonsense`"), "{said}");
    let done = with_variables(dir.path(), &["run", "--once"], &empty);
    assert_code(&done, CONFIG);
    let said = stderr(&done);
    assert!(said.contains("`OTHER_A` is not set"), "{said}");
    assert!(
        said.contains("the environment variable `URL_A` is set, and empty: give it a value, or write a default"),
        "{said}"
    );
}

#[test]
fn what_leaves_the_machine_in_the_clear_is_warned_of_with_a_way_out() {
    for (sink, warning, way_out) in [
        (
            "type: kafka, bootstrap_servers: 'k.example:9092'",
            "`bootstrap_servers` of sink `o`: records can be read",
            "`tls: {}`",
        ),
        (
            "type: syslog, mode: tcp, address: 'logs.example:514'",
            "`mode` of sink `o`: events can be read",
            "`mode: tls`",
        ),
        ("type: syslog, mode: udp, address: 'logs.example'", "`udp` cannot be encrypted", "`mode: tls`"),
        ("type: otlp, endpoint: 'http://otel.example:4317'", "`endpoint` of sink `o`: what is sent", "`https://`"),
    ] {
        let dir = folder(&with(SOURCE, sink));
        let done = run(dir.path(), &["validate"]);
        assert_code(&done, Some(0));
        let said = stderr(&done);
        assert!(said.contains(warning) && said.contains(way_out) && said.contains("1 warning in"), "{said}");
    }
    for sink in [
        "type: kafka, bootstrap_servers: 'localhost:9092'",
        "type: kafka, bootstrap_servers: 'k.example:9093', tls: {}",
        "type: kafka, bootstrap_servers: \"${BROKERS_NOT_SET}\"",
        "type: syslog, mode: udp, address: '127.0.0.1'",
        "type: syslog, mode: tls, address: 'logs.example'",
        "type: otlp, endpoint: 'http://[::1]:4317'",
    ] {
        let dir = folder(&with(SOURCE, sink));
        let done = run(dir.path(), &["validate"]);
        assert_code(&done, Some(0));
        assert!(!stderr(&done).contains("warning"), "{sink}: {}", stderr(&done));
    }
    let state = "state: { type: kafka, bootstrap_servers: 'k.example:9092', group: g }\n";
    let dir = folder(&with(SOURCE, "type: console").replace("state: { type: file, path: state }\n", state));
    let done = run(dir.path(), &["validate"]);
    assert!(stderr(&done).contains("`bootstrap_servers` of `state`: records can be read"), "{}", stderr(&done));
}

/// What a terminal would obey.
fn obeyed(text: &str) -> Vec<char> {
    let colour_removed = text.replace("\u{1b}[", "");
    colour_removed.chars().filter(|c| !headwater_contracts::is_visible(*c) && !matches!(c, '\n' | '\t')).collect()
}

#[test]
fn names_from_outside_reach_a_terminal_as_text() {
    let odd = r"a\e[2J\u009b1m\u202eb\nerror: all is well";
    for pipeline in [
        format!(
            "sources: {{ \"{odd}\": {{ type: nonsense }} }}\nsinks: {{ o: {{ type: console, inputs: [\"{odd}\"], \"{odd}\": 1 }} }}\n"
        ),
        format!("\"{odd}\": 1\n"),
        format!(
            "sources: {{ p: {{ type: \"{odd}\", {SOURCE} }} }}\nsinks: {{ \"{odd}\": {{ type: console, inputs: [\"{odd}\"] }} }}\n"
        ),
        format!("tests: [ {{ name: \"{odd}\", inputs: 7 }} ]\n"),
    ] {
        let dir = folder(&pipeline);
        for args in
            [&["validate"][..], &["run", "--once"], &["validate", "--log-format", "json"], &["graph"], &["test"]]
        {
            let done = run(dir.path(), args);
            assert_code(&done, CONFIG);
            let said = stderr(&done);
            assert!(obeyed(&said).is_empty(), "{said}");
            assert!(!said.lines().any(|line| line == "error: all is well"), "{said}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for args in [&["validate", "\u{9b}2J.yaml"][..], &["no\u{202e}nsense"], &["vrl", "\u{9b}x.vrl"]] {
        let said = stderr(&run(dir.path(), args));
        assert!(obeyed(&said).is_empty(), "{said}");
    }
    fs::write(dir.path().join("bad.vrl"), ".a = \"\u{9b}2J\u{202e}\" + nope(1)\n").unwrap();
    let said = stderr(&run(dir.path(), &["vrl", "bad.vrl"]));
    assert!(obeyed(&said).is_empty() && said.contains(r"\u{9b}2J\u{202e}"), "{said}");
}

#[test]
fn a_terminal_gets_events_without_what_it_would_obey_and_a_file_gets_them_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let event = "{\"a\":\"\u{9b}2J\u{202e}x\"}\n";
    fs::write(dir.path().join("in"), event).unwrap();
    fs::write(dir.path().join("p.vrl"), ".b = 1\n").unwrap();
    let done = run(dir.path(), &["vrl", "p.vrl", "--input", "in"]);
    assert!(stdout(&done).contains("\u{9b}2J\u{202e}x"), "{}", stdout(&done));
    // `script` is the terminal.
    let command = format!("{} vrl p.vrl --input in", env!("CARGO_BIN_EXE_headwater"));
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).current_dir(dir.path()).stdin(std::process::Stdio::null());
    let shown = stdout(&script.output().unwrap());
    assert!(shown.contains(r"\u009b2J\u202ex"), "{shown:?}");
    // Warnings have colours there, and no control characters beside.
    fs::write(dir.path().join("pipeline.yaml"), with(SOURCE, "type: otlp, endpoint: 'http://otel.example:4317'"))
        .unwrap();
    let command = format!("{} validate", env!("CARGO_BIN_EXE_headwater"));
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).current_dir(dir.path()).stdin(std::process::Stdio::null());
    let shown = stdout(&script.env("TERM", "xterm").env_remove("NO_COLOR").output().unwrap());
    assert!(
        shown.contains("\u{1b}[1;33mwarning\u{1b}[0m: `endpoint` of sink `o`") && !shown.contains(r"\u{1b}"),
        "{shown:?}"
    );
}

#[test]
fn with_json_every_command_says_its_errors_and_warnings_as_json() {
    let simulator = calm(Provider::PactFlow);
    let dir = folder(&pipeline_to(TO_FILE, &simulator, Provider::PactFlow, simulator.credential()));
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("bad.yaml", &with("endpoint: 7, token: abcdef", "type: nonsense"));
    write("odd.yaml", &with(SOURCE, "type: otlp, endpoint: 'http://otel.example:4317'"));
    write("bad.vrl", ".a = nope(1)\n");
    write("fails.vrl", ".a = to_int!(.a)\n");
    write("in", "{\"a\":\"x\"}\n");
    write(
        "tests.yaml",
        &format!(
            "{}transforms:\n  t: {{ type: remap, inputs: [p], source: '.n = 1' }}\n\
         tests:\n  - {{ name: n, inputs: [ {{ insert_at: t, type: vrl, source: '. = {{}}' }} ], outputs: [ {{ extract_from: t, conditions: ['.n == 2'] }} ] }}\n",
            with(SOURCE, "type: console").replace("inputs: [p], type", "inputs: [t], type")
        ),
    );
    assert_code(&run(dir.path(), &["run", "--once"]), Some(0));
    let from = "2020-01-01";
    for (args, code) in [
        (&["validate", "bad.yaml"][..], CONFIG),
        (&["validate", "odd.yaml"], Some(0)),
        (&["validate", "none.yaml"], CONFIG),
        (&["test", "tests.yaml"], FAILED),
        (&["test", "bad.yaml"], CONFIG),
        (&["check"], Some(0)),
        (&["check", "bad.yaml"], CONFIG),
        (&["graph", "bad.yaml"], CONFIG),
        (&["query", "in", "--last", "1"], Some(0)),
        (&["query", "none"], USAGE),
        (&["query", "in", "--where", "nope(1)"], USAGE),
        (&["ledger", "show"], Some(0)),
        (&["ledger", "show", "bad.yaml"], CONFIG),
        (&["ledger", "verify"], Some(0)),
        (&["ledger", "backfill", "in", "--from", from], Some(0)),
        (&["ledger", "backfill", "none", "--from", from], USAGE),
        (&["ledger", "reset", "none"], USAGE),
        (&["ledger", "reset", "in"], Some(0)),
        (&["vrl", "bad.vrl", "--input", "in"], CONFIG),
        (&["vrl", "fails.vrl", "--input", "in"], FAILED),
        (&["simulate", "none"], USAGE),
        (&["nonsense"], USAGE),
        (&["run", "--grace", "soon"], USAGE),
        (&["validate", "--log", "verbose"], USAGE),
    ] {
        let by_flag = run(dir.path(), &[args, &["--log-format", "json"]].concat());
        let by_variable = with_variables(dir.path(), args, &[("HEADWATER_LOG_FORMAT", "json")]);
        for done in [by_flag, by_variable] {
            // What was reset by the first is not there for the second.
            assert!(done.status.code() == code || args.contains(&"reset"), "{args:?}: {}", stderr(&done));
            let said = stderr(&done);
            let lines: Vec<Value> = said
                .lines()
                .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{args:?}: {said}")))
                .collect();
            assert!(
                lines.iter().all(|line| line["level"].is_string() && line["fields"]["message"].is_string()),
                "{said}"
            );
            let has = |level: &str| lines.iter().any(|line| line["level"] == level);
            assert!(has("ERROR") == (done.status.code() != Some(0)), "{args:?}: {said}");
            assert!(!args.contains(&"odd.yaml") || has("WARN"), "{said}");
        }
    }
    let done = run(dir.path(), &["validate", "bad.yaml", "--log-format=json"]);
    let first: Value = serde_json::from_str(stderr(&done).lines().next().unwrap()).unwrap();
    assert_eq!((&first["fields"]["file"], &first["fields"]["line"]), (&"bad.yaml".into(), &3.into()), "{first}");
}

#[test]
fn misspelled_metadata_are_warned_of() {
    let pipeline = with(SOURCE, "type: console").replace("inputs: [p]", "inputs: [t]")
        + "transforms:\n  t: { type: filter, inputs: [p], condition: '%headwater.sorce == \"p\"' }\n";
    let dir = folder(&pipeline);
    let done = run(dir.path(), &["validate"]);
    assert_code(&done, Some(0));
    let said = stderr(&done);
    assert!(
        said.contains("warning: `%headwater.sorce` is always null")
            && said.contains("did you mean `%headwater.source`?"),
        "{said}"
    );
    assert!(said.contains("pipeline.yaml:7:"), "at its place: {said}");
    fs::write(dir.path().join("p.vrl"), ".a = %headwater.ide\n").unwrap();
    fs::write(dir.path().join("in"), "{}\n").unwrap();
    let said = stderr(&run(dir.path(), &["vrl", "p.vrl", "--input", "in"]));
    assert!(said.contains("did you mean `%headwater.id`?"), "{said}");
}

#[test]
fn two_that_write_one_file_are_refused() {
    let two = |first: &str, second: &str| {
        let dir = folder(&format!(
            "{}  q: {{ type: file, inputs: [p], path: '{second}' }}\n",
            with(SOURCE, &format!("type: file, path: '{first}'"))
        ));
        let done = run(dir.path(), &["validate"]);
        (done.status.code(), stderr(&done))
    };
    for (first, second, expected) in [
        ("a.ndjson", "./b/../a.ndjson", "sinks `o` and `q` write to one file, `"),
        ("a/%Y-%m-%d.ndjson", "a/%F.ndjson", "sinks `o` and `q` write to one file\n"),
        ("a", "a/b.ndjson", "sinks `o` and `q` write to one file"),
        ("a", "state/dead-letter/dead-letter.ndjson", "sink `q` writes to a file that is taken"),
        ("a", "state/ledger.redb", "it is the ledger's"),
        ("a", "state", "it is the ledger's"),
    ] {
        let (code, said) = two(first, second);
        assert!(code == CONFIG && said.contains(expected), "{first} {second}: {said}");
    }
    for (first, second) in
        [("a.ndjson", "b.ndjson"), ("%F.ndjson", "%F-%H.ndjson"), ("%m.ndjson", "%d.ndjson"), ("a", "state/a")]
    {
        let (code, said) = two(first, second);
        assert_eq!(code, Some(0), "{first} {second}: {said}");
    }
}

#[test]
fn a_renamed_source_is_said_at_the_start() {
    let simulator = calm(Provider::PactFlow);
    let before = pipeline_to(TO_FILE, &simulator, Provider::PactFlow, simulator.credential());
    let dir = folder(&before);
    let said = stderr(&run(dir.path(), &["run", "--once"]));
    assert!(!said.contains("ledger reset"), "{said}");
    let renamed = before.replace("  in: {", "  new: {").replace("[in]", "[new]");
    fs::write(dir.path().join("pipeline.yaml"), &renamed).unwrap();
    let done = run(dir.path(), &["run", "--once"]);
    assert_code(&done, Some(0));
    let said = stderr(&done);
    assert!(said.contains("source `new` reads what source `in` has read, which is not configured any more"), "{said}");
    assert!(said.contains("name the source `in`") && said.contains("`headwater ledger reset in`"), "{said}");
    // Now both are in the ledger: one of them is not read any more.
    let said = stderr(&run(dir.path(), &["run", "--once"]));
    assert!(said.contains("the ledger has streams of source `in`, which is not configured"), "{said}");
    assert_code(&run(dir.path(), &["ledger", "reset", "in"]), Some(0));
    assert!(!stderr(&run(dir.path(), &["run", "--once"])).contains("ledger reset"));
}

#[test]
fn what_stands_in_the_place_of_a_file_or_a_folder_is_named_and_never_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let _listener = UnixListener::bind(at("socket")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("file"), "").unwrap();
    let kinds = [
        ("pipe", "a named pipe (FIFO), and not"),
        ("socket", "a socket, and not"),
        ("/dev/zero", "a device, and not"),
        ("folder", "a folder"),
    ];
    let check = |args: &[&str], pipeline: &str, expected: &str| {
        fs::write(at("pipeline.yaml"), pipeline).unwrap();
        let done = run(dir.path(), args);
        assert!(done.status.code() != Some(0), "{pipeline}");
        let said = stdout(&done) + &stderr(&done);
        assert!(said.contains(expected), "{expected}: {pipeline}{said}");
    };
    let console = "type: console";
    for (name, kind) in kinds {
        check(
            &["run", "--once"],
            &with(&format!("endpoint: 'https://acme.example', token: {{ file: {name} }}"), console),
            kind,
        );
        check(&["run", "--once"], &with(&format!("{SOURCE}, tls: {{ ca_file: {name} }}"), console), kind);
        check(
            &["run", "--once"],
            &with(SOURCE, &format!("type: otlp, endpoint: 'https://o.example', tls: {{ ca_file: {name} }}")),
            kind,
        );
        check(
            &["run", "--once"],
            &with(SOURCE, &format!("type: syslog, mode: tls, address: o.example, tls: {{ ca_file: {name} }}")),
            kind,
        );
        check(
            &["validate"],
            &format!("{}transforms: {{ t: {{ type: remap, inputs: [p], file: '{name}' }} }}\n", with(SOURCE, console)),
            kind,
        );
        check(
            &["validate"],
            &format!("{}enrichment_tables: {{ t: {{ type: csv, path: '{name}' }} }}\n", with(SOURCE, console)),
            kind,
        );
        check(
            &["validate"],
            &format!("{}enrichment_tables: {{ t: {{ type: mmdb, path: '{name}' }} }}\n", with(SOURCE, console)),
            kind,
        );
        let import = format!("sources:\n  f: {{ type: file, path: '{name}', source: p, format: ndjson }}\n");
        check(&["validate"], &with(SOURCE, console).replace("sources:\n", &import), kind);
        check(&["check", "--timeout", "1s"], &with(SOURCE, &format!("type: file, path: '{name}'")), kind);
        if name != "folder" {
            check(&["validate", name], "", kind);
            check(&["run", "--once"], &with(SOURCE, console).replace("path: state", &format!("path: '{name}'")), kind);
            let letters = format!("dead_letter: {{ path: '{name}' }}\n{}", with(SOURCE, console));
            check(&["run", "--once"], &letters, kind);
        }
        check(&["vrl", "builtin:normalize.vrl", "--input", name], "", kind);
    }
    check(
        &["run", "--once"],
        &with(SOURCE, console).replace("path: state", "path: file"),
        "it is a file, and not a folder: name a folder",
    );
    fs::create_dir_all(at("folder/ledger.redb")).unwrap();
    check(
        &["run", "--once"],
        &with(SOURCE, console).replace("path: state", "path: folder"),
        "it is a folder, and not a file",
    );
}
