//! Configurations: what is refused, warned of and shown before anything runs.

use super::*;

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
    let done = support::without_credentials(&mut command).output().unwrap();
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
