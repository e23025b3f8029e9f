//! The JSON Schema takes what the loader takes, and refuses what it refuses.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers may fail loudly")]

mod common;

use headwater_config::{Diagnostics, SourceFile, json_schema, parse};
use serde_json::Value;

fn json(yaml: &str) -> Value {
    let mut problems = Diagnostics::default();
    let node = parse(&SourceFile::new("p.yaml", "", yaml), &mut problems);
    assert!(problems.is_empty(), "{problems}");
    node.unwrap().to_json()
}

const GOOD: &str = "
x-common: &c { any: thing }
state: { type: file, path: ./state }
api: { address: 127.0.0.1:8686 }
dead_letter: { path: dead }
sources:
  a: { type: acme, endpoint: https://a.example, token: { env: T }, level: 3, poll_interval: 5m, filter: { policy: tag } }
  b: { type: acme, endpoint: https://a.example, token: '${T}', level: '${LEVEL}', poll_interval: '${P:-5m}' }
transforms:
  t: { type: remap, inputs: [a, b], file: 'builtin:normalize.vrl', on_error: block }
  r: { type: route, inputs: t, route: { x: 'true' }, reroute_unmatched: false }
sinks:
  o: { type: console, inputs: [r.x], batch: { max_bytes: 1MiB, max_events: 10 }, on_reject: '${R}' }
enrichment_tables: { u: { type: csv, path: u.csv } }
tests: [{ name: n, inputs: [{ insert_at: t, type: log, log_fields: { a: 1 } }], outputs: [{ extract_from: t, conditions: ['true', { type: vrl, source: 'true' }] }] }]
";

#[test]
fn good_samples_pass_and_bad_ones_do_not() {
    let schema = json_schema(&common::registry());
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let good = json(GOOD);
    let problems: Vec<String> = validator.iter_errors(&good).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    for (from, to) in [
        ("type: acme", "type: acne"),
        ("level: 3", "level: three"),
        ("level: 3", "leval: 3"),
        ("poll_interval: 5m", "poll_interval: 5 parsecs"),
        ("policy: tag", "policy: tug"),
        ("endpoint: https://a.example, ", ""),
        ("on_error: block", "on_error: blok"),
        ("type: route, inputs: t", "type: route"),
        ("max_events: 10", "max_events: ten"),
        ("tests:", "test:"),
        ("insert_at: t", "insert: t"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        assert!(!validator.is_valid(&json(&GOOD.replacen(from, to, 1))), "{from} -> {to} is taken");
    }
}

#[test]
fn every_plugin_is_described_by_its_type() {
    let schema = json_schema(&common::registry());
    let sinks = schema.pointer("/properties/sinks/additionalProperties/oneOf").unwrap();
    let kinds: Vec<_> =
        sinks.as_array().unwrap().iter().filter_map(|sink| sink.pointer("/properties/type/const")).collect();
    assert_eq!(kinds, ["console", "file"]);
    let source = schema.pointer("/properties/sources/additionalProperties/oneOf/0").unwrap();
    assert_eq!(source["description"], "Configuration of an audit API.");
    assert!(source.pointer("/properties/poll_interval").is_some() && source.pointer("/properties/endpoint").is_some());
}
