//! Good configurations give the pipeline they describe; files merge; nothing panics.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers may fail loudly")]

mod common;

use common::{registry, strict, text};
use headwater_config::{
    DeadLetter, Diagnostic, LoadOptions, OnError, Pipeline, SIMULATED, State, Table, TestEvent, Transform, UNRESOLVED,
    load, read_texts,
};
use headwater_contracts::{Auth, OnReject, OwnQueryPolicy, Period};
use proptest::prelude::*;
use std::{fs, path::PathBuf};

const GOOD: &str = r#"
state: { type: file, path: ./ledger }
api: { address: 127.0.0.1:8686 }
dead_letter: dead
sources:
  acme:
    type: acme
    endpoint: https://acme.example
    token: "${TOKEN}"
    level: ${LEVEL}
    filter: { actions: [login], policy: tag }
    poll_interval: 5m
    rescan: [{ every: 1h, span: 1d }]
  more: { type: acme, endpoint: https://more.example, token: { env: TOKEN } }
transforms:
  drop: { type: remap, inputs: ["*ore", acme, more], file: "builtin:normalize.vrl", on_error: block }
  split:
    type: route
    inputs: [drop]
    route:
      hot: |
        .level > 5 &&
          .x == "${TOKEN}"
  keep: { type: filter, inputs: ["split.*"], condition: '.a == 1' }
enrichment_tables:
  users: { type: csv, path: users.csv, delimiter: ";" }
  geo: { type: mmdb, path: /geo.mmdb }
sinks:
  out: { type: file, path: out, inputs: [keep], batch: { max_events: 5 }, on_reject: block, labels: { env: x } }
  dead: { type: console }
tests:
  - name: keeps
    inputs:
      - { insert_at: keep, type: log, log_fields: { a: 1 }, metadata: { headwater: { late: null } } }
      - { insert_at: [split], value: '{"a": 1}' }
      - { insert_at: keep, type: vrl, source: ". = {}" }
    outputs:
      - { extract_from: keep, conditions: [".a == 1", { type: vrl, source: "true" }] }
    no_outputs_from: [split.hot]
"#;

fn pipeline(yaml: &str, options: LoadOptions<'_>) -> Pipeline {
    match read_texts(&text("p.yaml", yaml), &registry(), options).finish() {
        Ok(pipeline) => pipeline,
        Err(problems) => panic!("{problems}"),
    }
}

fn token(pipeline: &Pipeline, index: usize) -> &str {
    let Auth::Header { secret, .. } = &pipeline.sources[index].built.auth else { panic!("a header") };
    secret.expose()
}

#[test]
fn relative_paths_start_from_the_folder_of_their_file() {
    let at = |yaml: &str| {
        let file = headwater_config::SourceFile::new("conf/p.yaml", "conf", &format!("{yaml}{SMALL}"));
        read_texts(&[file], &registry(), strict()).finish().unwrap_or_else(|problems| panic!("{problems}"))
    };
    let state = |path: &str| State::File { path: path.into() };
    let letters = |path: &str| DeadLetter::Path(path.into());
    for (yaml, place, dead_letter) in [
        ("", "conf/./state", "conf/./state/dead-letter"),
        ("state: { type: file }\n", "conf/./state", "conf/./state/dead-letter"),
        ("state: { type: file, path: a/b }\n", "conf/a/b", "conf/a/b/dead-letter"),
        ("state: { type: file, path: /a }\n", "/a", "/a/dead-letter"),
        ("state: { type: file, path: /a }\ndead_letter: { path: d }\n", "/a", "conf/d"),
    ] {
        let pipeline = at(yaml);
        assert_eq!((&pipeline.state, &pipeline.dead_letter), (&state(place), &letters(dead_letter)), "{yaml}");
        let written = if yaml.contains("path: a/b") {
            "a/b"
        } else if yaml.contains("/a") {
            "/a"
        } else {
            "./state"
        };
        let kept = pipeline.places.iter().find(|kept| kept.path == std::path::Path::new(place));
        assert_eq!(kept.map(|kept| kept.written.as_path()), Some(std::path::Path::new(written)), "{yaml}");
    }
    let telemetry =
        at("telemetry: { endpoint: 'https://a:1', tls: { ca_file: ca.pem, key_file: /k.pem, cert_file: c.pem } }\n");
    let tls = telemetry.telemetry.and_then(|telemetry| telemetry.tls).unwrap();
    let [ca, key] = [tls.ca_file, tls.key_file].map(Option::unwrap);
    assert_eq!((ca.to_str(), key.to_str()), (Some("conf/ca.pem"), Some("/k.pem")));
    assert!(telemetry.files.contains(&ca) && telemetry.files.contains(&key));
}

const SMALL: &str = "sources:\n  acme: { type: acme, endpoint: 'https://acme.example', token: x }\n\
                     sinks:\n  out: { type: file, path: out, inputs: [acme] }\n";

#[test]
fn a_good_configuration_gives_its_pipeline() {
    let good = GOOD.replace("\"*ore\", ", "");
    let pipeline = pipeline(&good, strict());
    assert!(matches!(&pipeline.state, State::File { path } if path.ends_with("tests/diagnostics/ledger")));
    assert_eq!(pipeline.api.as_ref().unwrap().address.port(), 8686);
    assert_eq!(pipeline.dead_letter, DeadLetter::Sink("dead".into()));
    let source = &pipeline.sources[0];
    assert_eq!((source.name.as_str(), source.kind, token(&pipeline, 0)), ("acme", "acme", "s3cret-token"));
    assert_eq!(token(&pipeline, 1), "s3cret-token");
    assert_eq!(source.options.poll_interval, Some(Period::minutes(5)));
    assert_eq!(source.built.own_query_policy, OwnQueryPolicy::Tag);
    assert_eq!(source.span.location().to_string(), "p.yaml:6:3");
    assert_eq!(pipeline.transforms[0].on_error, Some(OnError::Block));
    let Transform::Remap { program, drop_on_abort: true } = &pipeline.transforms[0].transform else {
        panic!("{:?}", pipeline.transforms[0])
    };
    assert_eq!(program.locate(0).to_string(), "builtin:normalize.vrl:1:1");
    let Transform::Route { routes, reroute_unmatched: true } = &pipeline.transforms[1].transform else { panic!() };
    assert_eq!(routes[0].1.text(), ".level > 5 &&\n  .x == \"${TOKEN}\"\n");
    assert_eq!(routes[0].1.locate(routes[0].1.text().find(".x").unwrap()).to_string(), "p.yaml:23:11");
    let inputs: Vec<String> = pipeline.transforms[2].inputs.iter().map(ToString::to_string).collect();
    assert_eq!(inputs, ["split.hot", "split._unmatched"]);
    assert_eq!(pipeline.sinks[0].options.batch.max_events, 5);
    assert_eq!(pipeline.sinks[0].options.on_reject, OnReject::Block);
    assert_eq!(pipeline.order, ["acme", "more", "drop", "split", "keep", "out", "dead"]);
    assert!(
        matches!(&pipeline.enrichment_tables[0].table, Table::Csv { path, delimiter: b';', include_headers: true } if path.ends_with("tests/diagnostics/users.csv"))
    );
    assert_eq!(pipeline.enrichment_tables[1].table, Table::Mmdb { path: "/geo.mmdb".into() });
    let test = &pipeline.tests[0];
    assert_eq!(test.inputs[0].event, TestEvent::Log(serde_json::json!({ "a": 1 })));
    assert!(test.inputs[0].metadata.contains_key("headwater"));
    assert_eq!(test.inputs[1].event, TestEvent::Raw("{\"a\": 1}".into()));
    assert_eq!(test.outputs[0].conditions.len(), 2);
    assert_eq!(pipeline.graph().edges.len(), 6);
}

#[test]
fn secrets_and_variables_can_be_left_out_on_purpose() {
    let yaml = "sources: { a: { type: acme, endpoint: 'https://${HOST}.example', token: { env: NOT_SET } } }\nsinks: { o: { type: console, inputs: a } }";
    let lenient = pipeline(yaml, LoadOptions { lenient: true, ..strict() });
    assert_eq!(token(&lenient, 0), SIMULATED);
    assert_eq!(lenient.sources[0].built.endpoint.as_str(), "https://simulated.example/");
    let unread = yaml.replace("${HOST}", "x").replace("env: NOT_SET", "exec: [no-such-command]");
    let unread = pipeline(&unread, LoadOptions { resolve_secrets: false, ..strict() });
    assert!(token(&unread, 0).starts_with(UNRESOLVED));
}

#[test]
fn what_stands_in_for_a_variable_fits_where_it_stands() {
    let yaml = "api: { address: '127.0.0.1:${PORT}' }\nsources:\n  a: { type: acme, endpoint: '${URL}', token: '${T}', poll_interval: '${P}', page_size: '${S}', filter: { policy: '${Q}' } }\nsinks: { o: { type: console, inputs: a, batch: { max_bytes: '${B}' }, on_reject: '${R}' } }";
    let lenient = pipeline(yaml, LoadOptions { lenient: true, ..strict() });
    assert_eq!(lenient.sources[0].built.endpoint.as_str(), "https://simulated.example/");
    assert_eq!(lenient.api.unwrap().address.port(), 8686);
    let strictly = read_texts(&text("p.yaml", yaml), &registry(), strict()).finish().err().unwrap();
    assert_eq!(strictly.len(), 8, "one for each variable:\n{strictly}");
}

#[test]
fn secrets_that_are_not_read_are_the_same_where_their_places_are() {
    let yaml = |other: &str| {
        format!(
            "sources: {{ a: {{ type: acme, endpoint: 'https://a', token: {{ env: A }} }}, b: {{ type: acme, endpoint: 'https://a', token: {other} }} }}\nsinks: {{ o: {{ type: console, inputs: ['*'] }} }}"
        )
    };
    for (other, same) in [("{ env: A }", true), ("{ env: B }", false), ("{ file: A }", false)] {
        let read = pipeline(&yaml(other), LoadOptions { resolve_secrets: false, ..strict() });
        assert_eq!(token(&read, 0) == token(&read, 1), same, "{other}");
    }
}

#[test]
fn places_for_anchors_are_no_sections() {
    let yaml = "x-common: &c { token: x, endpoint: 'https://${HOST}' }\n.more: &m { poll_interval: 5m }\nsources: { a: { type: acme, <<: [*c, *m], endpoint: 'https://a.example' } }\nsinks: { o: { type: console, inputs: a } }";
    assert_eq!(pipeline(yaml, strict()).sources[0].options.poll_interval, Some(Period::minutes(5)));
}

#[test]
fn a_quoted_variable_may_be_a_number() {
    let yaml = "sources: { a: { type: acme, endpoint: 'https://a.example', token: x, level: \"${LEVEL}\", page_size: '${NONE:-50}' } }\nsinks: { o: { type: console, inputs: a } }";
    assert_eq!(pipeline(yaml, strict()).sources[0].options.page_size, Some(50));
}

#[test]
fn folders_merge_and_the_same_component_twice_points_at_both() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("a.yaml", "sources: { a: { type: acme, endpoint: 'https://a.example', token: x } }\n");
    write("b.yml", "sinks: { o: { type: console, inputs: [t] } }\n");
    write("c.yaml", "transforms: { t: { type: remap, inputs: [a], file: t.vrl } }\n");
    write("t.vrl", ".x = 1\n  .y = 2\n");
    write("ignored.txt", "not: [yaml");
    let paths = [folder.path().to_path_buf()];
    let good = load(&paths, &registry(), strict()).unwrap_or_else(|problems| panic!("{problems}"));
    let program = good.transforms[0].transform.texts()[0];
    assert!(program.locate(9).to_string().ends_with("t.vrl:2:3"), "{}", program.locate(9));
    write("d.yaml", "\n\nsources: { a: { type: acme, endpoint: 'https://a.example', token: x } }\nstate: {}\n");
    write("e.yaml", "state: { type: file }\n");
    let problems = load(&paths, &registry(), strict()).err().unwrap().to_string();
    assert!(problems.contains("two components are called `a`"), "{problems}");
    assert!(problems.contains("d.yaml:3:12") && problems.contains("a.yaml:1:12"), "{problems}");
    assert!(problems.contains("`state` stands in two files"), "{problems}");
}

#[test]
fn what_cannot_be_opened_is_said_without_blaming_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("a.yaml");
    fs::write(&good, "sinks: { o: { type: console, inputs: [a] } }").unwrap();
    fs::write(folder.path().join("bad.yaml"), b"\xff").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let paths: Vec<PathBuf> =
        vec![good, folder.path().join("none.yaml"), folder.path().join("bad.yaml"), folder.path().join("empty")];
    let problems = load(&paths, &registry(), strict()).err().unwrap();
    let shown = problems.to_string();
    assert_eq!(problems.len(), 3, "{shown}");
    assert!(
        shown.contains("none.yaml") && shown.contains("not UTF-8") && shown.contains("no configuration in the folder")
    );
}

#[test]
fn problems_of_vrl_texts_join_the_others() {
    let yaml = "sources: { a: { type: acme, endpoint: 'https://a.example', token: x } }\ntransforms:\n  t:\n    type: remap\n    inputs: [a]\n    source: |\n      .x = 1\n      .y = BAD\nsinks: { o: { type: console, inputs: [t], nonsense: 1 } }";
    let mut loaded = read_texts(&text("p.yaml", yaml), &registry(), strict());
    let program = loaded.pipeline.transforms[0].transform.texts()[0].clone();
    let at = program.text().find("BAD").unwrap();
    loaded.diagnostics.push(program.problem(at..at + 3, "undefined variable `BAD`"));
    loaded.diagnostics.push(Diagnostic::new("a problem of the whole"));
    let problems = loaded.finish().err().unwrap();
    assert_eq!(problems.len(), 3);
    let shown = problems.to_string();
    assert!(shown.contains(" --> p.yaml:8:12\n8 |       .y = BAD\n  |            ^^^\n"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_panics(yaml in "(?s).{0,200}") {
        let _ = read_texts(&text("p.yaml", &yaml), &registry(), LoadOptions { resolve_secrets: false, ..strict() }).diagnostics.render(true);
    }

    #[test]
    fn no_mutation_of_a_good_file_panics(
        cuts in prop::collection::vec((0usize..2000, 0usize..12, "[a-z:\\-#&*<>|{}\\[\\]'\"!, \\n$\u{e9}.]{0,4}"), 1..4)
    ) {
        let mut chars: Vec<char> = GOOD.chars().collect();
        for (at, length, with) in cuts {
            let at = at % chars.len();
            let end = (at + length).min(chars.len());
            chars.splice(at..end, with.chars());
        }
        let yaml: String = chars.into_iter().collect();
        let options = LoadOptions { resolve_secrets: false, ..strict() };
        let loaded = read_texts(&text("p.yaml", &yaml), &registry(), options);
        let shown = loaded.diagnostics.render(false);
        prop_assert!(!shown.contains("s3cret"), "{}", shown);
        let _ = loaded.pipeline.graph().to_mermaid();
    }
}
