//! `type: kafka` sources, by the real binary, against librdkafka's mock cluster. It honours groups and offsets, and takes
//! transactions without honouring them: exactly once is tested with a real cluster (`real_kafka_tier.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

use crate::support::{self, Headwater, run, stderr};
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

type Mock = MockCluster<'static, DefaultProducerContext>;

const TOPIC: &str = "audit.raw";

fn cluster() -> Mock {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 2, 1).unwrap();
    cluster
}

/// A record: value and headers.
type Record<'a> = (Option<&'a [u8]>, &'a [(&'a str, &'a str)]);

/// Writes records to a partition.
fn write(cluster: &Mock, partition: i32, records: &[Record<'_>]) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    for (value, headers) in records {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
        let record = BaseRecord::<str, [u8]>::to(TOPIC).partition(partition).key("k").headers(headers);
        let record = record.timestamp(1_760_000_000_000);
        let record = match value {
            Some(value) => record.payload(value),
            None => record,
        };
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
}

fn events(cluster: &Mock, partition: i32, from: usize, count: usize) {
    let values: Vec<String> = (from..from + count).map(|n| json!({ "n": n }).to_string()).collect();
    let records: Vec<_> = values.iter().map(|value| (Some(value.as_bytes()), &[][..])).collect();
    write(cluster, partition, &records);
}

fn pipeline(dir: &Path, cluster: &Mock, more: &str) {
    let yaml = format!(
        "dead_letter: {{ path: dead-letter }}\n\
         sources:\n  raw: {{ type: kafka, bootstrap_servers: '{}', topics: [{TOPIC}], group: test, session_timeout: 10s{more} }}\n\
         transforms:\n  known: {{ type: remap, inputs: [raw], source: '.known = %headwater; del(.known.raw)' }}\n\
         sinks:\n  out: {{ type: file, inputs: [known], path: out.ndjson }}\n",
        cluster.bootstrap_servers()
    );
    fs::write(dir.join("pipeline.yaml"), yaml).unwrap();
}

fn once(dir: &Path) -> String {
    let done = run(dir, &["run", "--once"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    stderr(&done)
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // Without a line that is being written.
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(dir: &Path) -> Vec<u64> {
    let mut all: Vec<u64> = lines(&dir.join("out.ndjson")).iter().filter_map(|event| event["n"].as_u64()).collect();
    all.sort_unstable();
    all
}

#[test]
fn each_record_is_delivered_once_from_run_to_run() {
    let cluster = cluster();
    let dir = tempfile::tempdir().unwrap();
    pipeline(dir.path(), &cluster, "");
    events(&cluster, 0, 0, 700);
    events(&cluster, 1, 700, 300);
    let said = once(dir.path());
    assert_eq!(numbers(dir.path()), (0..1000).collect::<Vec<_>>(), "{said}");
    assert!(said.contains("raw/audit.raw/0") && said.contains("raw/audit.raw/1"), "{said}");
    once(dir.path());
    events(&cluster, 1, 1000, 5);
    once(dir.path());
    assert_eq!(numbers(dir.path()), (0..1005).collect::<Vec<_>>());
    assert!(!dir.path().join("state").exists(), "topics need no ledger");
}

#[test]
fn what_cannot_be_read_is_a_dead_letter_and_a_tombstone_is_passed_by() {
    let cluster = cluster();
    let dir = tempfile::tempdir().unwrap();
    pipeline(dir.path(), &cluster, "");
    let good = |n: &'static str| (Some(n.as_bytes()), &[][..]);
    let records =
        [good("{\"n\":0}"), (None, &[][..]), good("{\"n\":1"), (Some(&b"\xff"[..]), &[][..]), good("{\"n\":2}")];
    write(&cluster, 1, &records);
    let said = once(dir.path());
    assert_eq!(numbers(dir.path()), [0, 2], "{said}");
    assert!(said.contains("1 tombstone"), "{said}");
    let letters = lines(&dir.path().join("dead-letter/dead-letter.ndjson"));
    let reasons: Vec<&str> = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].starts_with("the record audit.raw/1/2 is no JSON"), "{reasons:?}");
    assert!(reasons[1].starts_with("the record audit.raw/1/3 is no JSON"), "{reasons:?}");
    // The offset has gone on: they are not met again.
    once(dir.path());
    assert_eq!(lines(&dir.path().join("dead-letter/dead-letter.ndjson")).len(), 2);
}

#[test]
fn metadata_is_the_first_tiers() {
    let cluster = cluster();
    let dir = tempfile::tempdir().unwrap();
    pipeline(dir.path(), &cluster, "");
    let headers = [
        ("audit_provider", "pactflow"),
        ("event_id", "pactflow:e-1"),
        ("headwater_source", "in"),
        ("headwater_stream", "acme.pactflow.io"),
        ("headwater_id", "e-1"),
        ("headwater_time", "2026-01-02T03:04:05.678Z"),
        ("headwater_observed_time", "2026-01-02T03:05:00Z"),
        ("headwater_own_query", "true"),
        ("headwater_own_query_policy", "tag"),
        ("headwater_simulated", "true"),
        ("headwater_late", "93600000"),
    ];
    write(&cluster, 0, &[(Some(b"{}"), &headers), (Some(b"{}"), &[])]);
    once(dir.path());
    let mut seen: Vec<Value> =
        lines(&dir.path().join("out.ndjson")).iter().map(|event| event["known"].clone()).collect();
    let observed = seen[1]["observed_time"].take();
    assert!(observed.is_string());
    let nothing = Value::Null;
    assert_eq!(
        seen,
        [
            json!({
                "source": "in", "provider": "pactflow", "stream": "acme.pactflow.io", "id": "e-1", "time": "2026-01-02T03:04:05.678Z",
                "observed_time": "2026-01-02T03:05:00Z", "own_query": true, "own_query_policy": "tag", "simulated": true, "late": "26h",
                "suspicious": nothing,
            }),
            json!({
                "source": "raw", "provider": "kafka", "stream": TOPIC, "id": "audit.raw/0/1", "time": "2025-10-09T08:53:20Z",
                "observed_time": nothing, "own_query": false, "own_query_policy": "suppress", "simulated": false, "late": nothing,
                "suspicious": nothing,
            }),
        ]
    );
}

#[test]
fn a_stop_commits_what_is_delivered_and_the_next_run_goes_on() {
    let cluster = cluster();
    let dir = tempfile::tempdir().unwrap();
    pipeline(dir.path(), &cluster, "");
    events(&cluster, 0, 0, 50);
    let mut headwater = Headwater::start(dir.path(), &["run"]);
    let deadline = Instant::now() + Duration::from_mins(1);
    for (from, until) in [(50, 60), (60, 100)] {
        while numbers(dir.path()).len() < from {
            assert!(Instant::now() < deadline, "{:?}", numbers(dir.path()).len());
            std::thread::sleep(Duration::from_millis(10));
        }
        events(&cluster, 0, from, until - from);
    }
    support::signal(&headwater.child, "TERM");
    let said = headwater.rest();
    assert_eq!(headwater.child.wait().unwrap().code(), Some(0), "{said}");
    once(dir.path());
    assert_eq!(numbers(dir.path()), (0..100).collect::<Vec<_>>(), "{said}");
}

#[test]
fn the_lag_is_shown() {
    let cluster = cluster();
    let dir = tempfile::tempdir().unwrap();
    let port = headwater_real::free_port();
    pipeline(dir.path(), &cluster, ", librdkafka_options: { statistics.interval.ms: '100' }");
    let yaml = fs::read_to_string(dir.path().join("pipeline.yaml")).unwrap();
    fs::write(dir.path().join("pipeline.yaml"), format!("api: {{ address: 127.0.0.1:{port} }}\n{yaml}")).unwrap();
    events(&cluster, 0, 0, 300);
    let _headwater = Headwater::start(dir.path(), &["run"]);
    let get = |path: &str| support::get(port, path);
    let deadline = Instant::now() + Duration::from_mins(1);
    for (path, text) in [
        ("/metrics", "headwater_kafka_lag_records{source=\"raw\",stream=\"audit.raw/0\"} 0"),
        ("/metrics", "headwater_events_delivered_total{source=\"raw\",stream=\"audit.raw/0\"} 300"),
        ("/ready", "200 OK"),
    ] {
        while !get(path).contains(text) {
            assert!(Instant::now() < deadline, "{text}:\n{}", get(path));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn the_end_of_a_topic_can_be_where_it_begins() {
    let cluster = cluster();
    let dir = tempfile::tempdir().unwrap();
    pipeline(dir.path(), &cluster, ", auto_offset_reset: latest");
    events(&cluster, 0, 0, 10);
    once(dir.path());
    assert_eq!(numbers(dir.path()), [0; 0]);
    // From then on all of it, also what came while nobody read.
    events(&cluster, 0, 10, 10);
    once(dir.path());
    assert_eq!(numbers(dir.path()), (10..20).collect::<Vec<_>>());
}

#[test]
fn other_commands_say_what_they_can_do_with_topics() {
    let cluster = cluster();
    let dir = tempfile::tempdir().unwrap();
    pipeline(dir.path(), &cluster, "");
    let said = |args: &[&str]| {
        let done = run(dir.path(), args);
        (done.status.code(), stderr(&done) + &support::stdout(&done))
    };
    let check = |args: &[&str], code: i32, text: &str| {
        let (ended, said) = said(args);
        assert_eq!(ended, Some(code), "{args:?}: {said}");
        assert!(said.contains(text), "{args:?}: {said}");
    };
    check(&["validate"], 0, "1 source");
    check(&["graph"], 0, "raw<br/>kafka");
    check(&["check"], 0, "raw/audit.raw");
    check(&["run", "--simulate", "--once"], 78, "there is no simulator of them");
    check(&["query", "raw", "--since", "1d"], 78, "reads topics, and has no log to ask");
    check(&["ledger", "show"], 78, "the group's offsets");
    check(&["ledger", "verify"], 78, "the group's offsets");
    check(&["ledger", "reset", "raw"], 78, "the group's offsets");
    let yaml = fs::read_to_string(dir.path().join("pipeline.yaml")).unwrap();
    fs::write(dir.path().join("pipeline.yaml"), yaml.replace(TOPIC, "audit.none")).unwrap();
    check(&["check", "--timeout", "30s"], 1, "topic `audit.none` does not exist");
    check(&["run", "--once"], 1, "topic `audit.none` does not exist");
}

#[test]
fn exactly_once_needs_one_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = |source: &str, sink: &str, more: &str| {
        format!(
            "sources:\n  raw: {{ type: kafka, bootstrap_servers: '{source}', topics: [a], group: g }}\n{more}\
             sinks:\n  out: {{ type: kafka, inputs: ['*'], bootstrap_servers: '{sink}', topic: b, delivery: exactly_once }}\n"
        )
    };
    let validated = |yaml: String| {
        fs::write(dir.path().join("pipeline.yaml"), yaml).unwrap();
        let done = run(dir.path(), &["validate"]);
        (done.status.code(), stderr(&done))
    };
    assert_eq!(validated(yaml("k:1", "k:1", "")).0, Some(0));
    let (code, said) = validated(yaml("k:1", "other:1", ""));
    assert!(code == Some(78) && said.contains("a transaction cannot span two"), "{said}");
    let second = "  more: { type: kafka, bootstrap_servers: 'other:1', topics: [a], group: h }\n";
    let (code, said) = validated(yaml("k:1", "k:1", second));
    assert!(code == Some(78) && said.contains("reads from another cluster"), "{said}");
    let state = "state: { type: kafka, bootstrap_servers: 'other:1', group: s }\n";
    let both = "  pactflow: { type: pactflow, endpoint: 'https://acme.pactflow.io', token: t }\n";
    let (code, said) = validated(format!("{state}{}", yaml("k:1", "other:1", both)));
    assert!(code == Some(78) && said.contains("reads from another cluster"), "{said}");
    let beside = "  pactflow: { type: pactflow, endpoint: 'https://acme.pactflow.io', token: t }\n";
    let (code, said) = validated(yaml("k:1", "k:1", beside));
    assert!(code == Some(78) && said.contains("`exactly_once` needs the ledger on the same cluster"), "{said}");
}

#[test]
fn what_could_only_go_wrong_is_refused_before_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let validated = |head: &str, source: &str, sink: &str| {
        let yaml = format!(
            "{head}\nsources:\n  raw: {{ type: kafka, bootstrap_servers: 'k:1', group: g, {source} }}\n\
             transforms:\n  t: {{ type: remap, inputs: [raw], source: '.x = 1' }}\n\
             sinks:\n  out: {{ type: file, inputs: [t], path: out }}\n  again: {{ type: kafka, bootstrap_servers: 'k:1', {sink} }}\n"
        );
        fs::write(dir.path().join("pipeline.yaml"), yaml).unwrap();
        let done = run(dir.path(), &["validate"]);
        (done.status.code(), stderr(&done))
    };
    let (letters, ledger) = ("dead_letter: again", "state: { type: kafka, bootstrap_servers: 'k:1', group: s }");
    for (head, source, sink) in [("", "topics: [a, b]", "inputs: [t], topic: c"), (letters, "topics: [a]", "topic: c")]
    {
        let (code, said) = validated(head, source, sink);
        assert_eq!(code, Some(0), "{said}");
    }
    for (head, source, sink, text) in [
        (
            "",
            "topics: [a, b]",
            "inputs: [t], topic: b",
            "topic `b`, which source `raw` reads: events would go round in a circle",
        ),
        (letters, "topics: [a]", "topic: a", "events would go round in a circle"),
        (ledger, "topics: [a]", "inputs: [t], topic: headwater-ledger", "where the ledger is kept"),
        (
            "",
            "topics: [a], librdkafka_options: { nonsense: '1' }",
            "inputs: [t], topic: b",
            "`librdkafka_options.nonsense` of source `raw`",
        ),
        (
            "",
            "topics: [a], librdkafka_options: { auto.offset.reset: latest }",
            "inputs: [t], topic: b",
            "say `auto_offset_reset`",
        ),
        (
            "state: { type: kafka, bootstrap_servers: 'https://k:1', group: s }",
            "topics: [a]",
            "inputs: [t], topic: b",
            "`https://k:1` is no broker",
        ),
    ] {
        let (code, said) = validated(head, source, sink);
        assert!(code == Some(78) && said.contains(text), "{text}: {said}");
    }
}
