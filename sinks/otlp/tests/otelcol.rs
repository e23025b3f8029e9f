//! The sink against a real OpenTelemetry Collector, whose path `HEADWATER_OTELCOL` names: `tests/real/otlp/run` builds it and
//! runs these. What the collector has written to its file is compared with what was sent, record by record.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use headwater_contracts::{Event, Sink, SinkError};
use headwater_real::{Network, Proxy, free_port};
use headwater_sink_otlp::{Mapping, OtlpConfig, OtlpSink, request};
use headwater_testkit::sink_suite::event;
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest, logs::v1::LogRecord, resource::v1::Resource,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value as Json, json};
use std::{
    collections::BTreeMap,
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A port for each receiver of the configuration, in its order.
const RECEIVERS: [&str; 6] = ["GRPC", "HTTP", "TLS_GRPC", "TLS_HTTP", "SMALL_GRPC", "SMALL_HTTP"];

/// The file exporter buffers unless it rotates; so it writes before it answers, and a killed collector has what it took.
const CONFIG: &str = r#"
receivers:
  otlp:
    protocols:
      grpc: { endpoint: "127.0.0.1:${env:GRPC}" }
      http: { endpoint: "127.0.0.1:${env:HTTP}" }
  otlp/tls:
    protocols:
      grpc: { endpoint: "127.0.0.1:${env:TLS_GRPC}", tls: { cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem } }
      http: { endpoint: "127.0.0.1:${env:TLS_HTTP}", tls: { cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem } }
  otlp/small:
    protocols:
      grpc: { endpoint: "127.0.0.1:${env:SMALL_GRPC}", max_recv_msg_size_mib: 1 }
      http: { endpoint: "127.0.0.1:${env:SMALL_HTTP}", max_request_body_size: 1048576 }
exporters:
  file: { path: "out-${env:LIFE}.binpb", format: proto, rotation: { max_megabytes: 100000 } }
service:
  telemetry: { metrics: { level: none }, logs: { level: warn } }
  pipelines:
    logs: { receivers: [otlp, otlp/tls, otlp/small], exporters: [file] }
"#;

struct Collector {
    dir: TempDir,
    ports: BTreeMap<&'static str, u16>,
    child: Child,
    /// How often it has been started; each time it writes to another file.
    lives: usize,
}

impl Collector {
    fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.yaml"), CONFIG).unwrap();
        certificates(dir.path());
        let ports = RECEIVERS.iter().map(|name| (*name, free_port())).collect();
        let child = start(dir.path(), &ports, 1);
        Self { dir, ports, child, lives: 1 }
    }

    fn again(&mut self) {
        self.lives += 1;
        self.child = start(self.dir.path(), &self.ports, self.lives);
    }

    fn signal(&mut self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
        self.child.wait().unwrap();
    }

    fn sink(&self, receiver: &str, more: Json) -> OtlpSink {
        let scheme = if receiver.starts_with("TLS") { "https" } else { "http" };
        let path = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
        let mut keys = json!({
            "endpoint": format!("{scheme}://localhost:{}", self.ports[receiver]),
            "protocol": if receiver.ends_with("GRPC") { "grpc" } else { "http" },
        });
        let keys_of = keys.as_object_mut().unwrap();
        if scheme == "https" {
            keys_of.insert(
                "tls".to_owned(),
                json!({"ca_file": path("ca.pem"), "cert_file": path("client.pem"), "key_file": path("client.key")}),
            );
        }
        keys_of.extend(more.as_object().unwrap().clone());
        serde_json::from_value::<OtlpConfig>(keys).unwrap().sink().unwrap()
    }

    /// Everything in the collector's files. A kill may leave half a message at the end of one: nobody was told that it was
    /// taken.
    fn written(&self) -> Vec<(Resource, LogRecord)> {
        let mut written = Vec::new();
        for life in 1..=self.lives {
            let bytes = fs::read(self.dir.path().join(format!("out-{life}.binpb"))).unwrap_or_default();
            let mut rest = &bytes[..];
            while let Some((length, after)) = rest.split_first_chunk() {
                let Some((message, after)) = after.split_at_checked(u32::from_be_bytes(*length) as usize) else {
                    break;
                };
                written.extend(flat(&ExportLogsServiceRequest::decode(message).unwrap()));
                rest = after;
            }
        }
        written
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(dir: &Path, ports: &BTreeMap<&'static str, u16>, life: usize) -> Child {
    let binary = std::env::var_os("HEADWATER_OTELCOL").expect("HEADWATER_OTELCOL: the path of a collector");
    let environment = ports.iter().map(|(name, port)| (*name, port.to_string()));
    let mut command = Command::new(binary);
    let log = fs::File::create(dir.join("log")).unwrap();
    command
        .args(["--config", "config.yaml"])
        .current_dir(dir)
        .envs(environment)
        .env("LIFE", life.to_string())
        .stderr(log);
    let child = command.spawn().unwrap();
    let begun = Instant::now();
    while !ports.values().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
        let log = || fs::read_to_string(dir.join("log")).unwrap();
        assert!(begun.elapsed() < Duration::from_mins(1), "the collector does not listen: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn certificates(dir: &Path) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    for (file, name) in [("server", "localhost"), ("client", "headwater")] {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        fs::write(dir.join(format!("{file}.pem")), cert.pem()).unwrap();
        fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

fn flat(request: &ExportLogsServiceRequest) -> Vec<(Resource, LogRecord)> {
    let groups = request.resource_logs.iter();
    let records = groups.flat_map(|group| {
        let resource = group.resource.clone().unwrap();
        let records = group.scope_logs.iter().flat_map(|logs| &logs.log_records);
        records.map(move |record| (resource.clone(), record.clone()))
    });
    records.collect()
}

/// What a reader should see of an event.
fn expected(events: &[Event]) -> Vec<(Resource, LogRecord)> {
    events.iter().flat_map(|event| flat(&request(&[&Mapping::default().record(event)]))).collect()
}

fn golden(name: &str) -> Event {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/sinks");
    let body: Json = serde_json::from_slice(&fs::read(path.join(format!("{name}.ocsf.json"))).unwrap()).unwrap();
    Event { value: Some(body.into()), ..event(name, "", true) }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        prop::num::f64::NORMAL.prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(5, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(".{0,5}", inner, 0..4).prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// Events with all that JSON can hold in `unmapped`, of several tenants; every third is the provider's own bytes.
fn generated(runner: &mut TestRunner, name: &str, count: usize) -> Vec<Event> {
    let events = (0..count).map(|i| {
        let id = format!("{name}-{i}");
        let unmapped = any_json().new_tree(runner).unwrap().current();
        let body = json!({"class_uid": 6003, "class_name": "API Activity", "metadata": {"uid": id, "tenant_uid": format!("t{}", i % 3)},
            "time": 1_760_000_000_000_i64 + i64::try_from(i).unwrap(), "unmapped": {"it": unmapped}});
        if i % 3 == 0 {
            Event { raw: body.to_string().into(), value: None, ..event(&id, "", true) }
        } else {
            Event { value: Some(body.into()), ..event(&id, "", true) }
        }
    });
    events.collect()
}

/// By the record's own id, so that what differs is seen.
fn by_id(records: Vec<(Resource, LogRecord)>) -> BTreeMap<String, Vec<(Resource, LogRecord)>> {
    let mut map: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for record in records {
        let uid = record.1.attributes.iter().find(|pair| pair.key == "log.record.uid").expect("log.record.uid");
        map.entry(format!("{uid:?}")).or_default().push(record);
    }
    map
}

async fn deliver(sink: &mut OtlpSink, events: &[Event]) {
    let delivery = sink.deliver(events).await.unwrap();
    assert_eq!(delivery.rejected, []);
}

#[tokio::test]
#[ignore = "needs a collector: tests/real/otlp/run"]
async fn every_event_is_in_the_collectors_file_once_as_it_was_sent() {
    let collector = Collector::new();
    let mut runner = TestRunner::deterministic();
    let mut sent = Vec::new();
    for receiver in &RECEIVERS[..4] {
        for compression in ["none", "gzip", "zstd"] {
            let options = json!({"compression": compression, "max_request_bytes": "32KiB"});
            let mut sink = collector.sink(receiver, options);
            let events = generated(&mut runner, &format!("{receiver}-{compression}"), 500);
            for batch in events.chunks(200) {
                deliver(&mut sink, batch).await;
            }
            sent.extend(events);
        }
    }
    let goldens = [golden("solace-service-delete-failure"), golden("mural-escaping")];
    deliver(&mut collector.sink("GRPC", json!({})), &goldens).await;
    sent.extend(goldens);
    let (written, expected) = (by_id(collector.written()), by_id(expected(&sent)));
    for (id, expected) in &expected {
        assert_eq!(written.get(id), Some(expected), "{id}");
    }
    assert_eq!(written.len(), expected.len(), "nothing but what was sent");
    println!("{} events by 4 receivers and 3 compressions: each in the file once, as sent", sent.len());
}

#[tokio::test]
#[ignore = "needs a collector: tests/real/otlp/run"]
async fn a_collector_with_a_smaller_limit_gets_what_it_can_take() {
    let collector = Collector::new();
    for receiver in ["SMALL_GRPC", "SMALL_HTTP"] {
        let mut sink = collector.sink(receiver, json!({"compression": "none"}));
        let mut events: Vec<Event> =
            (0..24).map(|i| event(&format!("{receiver}-{i}"), &"x".repeat(150_000), true)).collect();
        events[7] = event("too large", &"x".repeat(1_500_000), true);
        let delivery = sink.deliver(&events).await.unwrap();
        let rejected: Vec<usize> = delivery.rejected.iter().map(|rejected| rejected.index).collect();
        assert_eq!(rejected, [7], "{receiver}: {:?}", delivery.rejected);
        println!("{receiver}: {}", delivery.rejected[0].reason);
        events.remove(7);
        let written = by_id(collector.written());
        for (id, expected) in by_id(expected(&events)) {
            assert_eq!(written.get(&id), Some(&expected), "{id}");
        }
    }
}

#[tokio::test]
#[ignore = "needs a collector: tests/real/otlp/run"]
async fn a_collector_spoken_to_in_the_wrong_way_is_a_persons_matter_and_takes_nothing() {
    let collector = Collector::new();
    let port = |name: &str| format!("http://localhost:{}", collector.ports[name]);
    let events = [event("e", "text", true)];
    for keys in [
        json!({"endpoint": port("TLS_HTTP"), "protocol": "http"}),
        json!({"endpoint": format!("{}/nowhere", port("HTTP")), "protocol": "http"}),
    ] {
        let mut sink = serde_json::from_value::<OtlpConfig>(keys.clone()).unwrap().sink().unwrap();
        let answer = sink.deliver(&events).await;
        assert!(matches!(answer, Err(SinkError::Fatal(_))), "{keys}: {answer:?}");
    }
    for keys in [
        json!({"endpoint": port("HTTP"), "protocol": "grpc"}),
        json!({"endpoint": port("GRPC"), "protocol": "http"}),
        json!({"endpoint": port("TLS_GRPC"), "protocol": "grpc"}),
    ] {
        let mut sink = serde_json::from_value::<OtlpConfig>(keys.clone()).unwrap().sink().unwrap();
        let answer = sink.deliver(&events).await;
        assert!(matches!(answer, Err(SinkError::Fatal(_) | SinkError::Retry { .. })), "{keys}: {answer:?}");
        println!("{keys}: {}", answer.unwrap_err());
    }
    assert!(collector.written().is_empty());
}

/// Delivers until `trouble` is over, and compares what the collector has with what was sent: all arrive; copies only of what was
/// unanswered when something went wrong.
async fn through(
    name: &str,
    collector: &Mutex<Collector>,
    mut sink: OtlpSink,
    trouble: impl FnOnce() + Send + 'static,
) {
    const BATCH: usize = 40;
    let over = Arc::new(AtomicBool::new(false));
    let ends = over.clone();
    let trouble = std::thread::spawn(move || {
        trouble();
        ends.store(true, Ordering::SeqCst);
    });
    let (mut sent, mut retries, mut runner) = (Vec::new(), 0, TestRunner::deterministic());
    while !over.load(Ordering::SeqCst) || sent.len() < 1000 {
        let events = generated(&mut runner, &format!("{name}-{}", sent.len()), BATCH);
        loop {
            match sink.deliver(&events).await {
                Ok(delivery) => {
                    assert_eq!(delivery.rejected, []);
                    break;
                }
                Err(SinkError::Retry { .. }) => retries += 1,
                Err(SinkError::Denied(reason) | SinkError::Fatal(reason)) => panic!("{reason}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sent.extend(events);
    }
    trouble.join().unwrap();
    let (written, expected) = (by_id(collector.lock().unwrap().written()), by_id(expected(&sent)));
    let mut copies = 0;
    for (id, expected) in &expected {
        let found = written.get(id).unwrap_or_else(|| panic!("lost: {id}"));
        assert!(found.iter().all(|one| *one == expected[0]), "changed: {id}");
        copies += found.len() - 1;
    }
    assert_eq!(written.len(), expected.len(), "invented");
    assert!(retries > 0, "the trouble was felt");
    println!("{name}: {} events: 0 lost, 0 invented, {copies} copies, {retries} retries", sent.len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a collector: tests/real/otlp/run"]
async fn kills_and_restarts_of_the_collector_lose_and_invent_nothing() {
    for receiver in ["GRPC", "HTTP"] {
        let collector = Arc::new(Mutex::new(Collector::new()));
        let sink = collector.lock().unwrap().sink(receiver, json!({"max_request_bytes": "8KiB", "timeout": "5s"}));
        let victim = collector.clone();
        let kills = move || {
            for round in 0..20_u64 {
                std::thread::sleep(Duration::from_millis(20 + round * 37 % 130));
                let mut collector = victim.lock().unwrap();
                collector.signal(if round % 3 == 2 { "-TERM" } else { "-KILL" });
                collector.again();
            }
        };
        through(&format!("{receiver}, 20 kills and restarts"), &collector, sink, kills).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a collector: tests/real/otlp/run"]
async fn a_network_that_is_cut_loses_and_invents_nothing() {
    for receiver in ["GRPC", "HTTP"] {
        let collector = Mutex::new(Collector::new());
        let network = Arc::new(Proxy::start(collector.lock().unwrap().ports[receiver]));
        let keys = json!({
            "endpoint": format!("http://127.0.0.1:{}", network.port()),
            "protocol": if receiver == "GRPC" { "grpc" } else { "http" },
            "max_request_bytes": "8KiB",
            "timeout": "1s",
        });
        let sink = serde_json::from_value::<OtlpConfig>(keys).unwrap().sink().unwrap();
        let proxy = network.clone();
        let cuts = move || {
            for round in 0..25_u64 {
                let moment = |most: u64| std::thread::sleep(Duration::from_millis(10 + round * 37 % most));
                moment(130);
                match round % 5 {
                    0 => proxy.reset(),
                    4 => proxy.half_close(),
                    // What was sent is never answered, and then the connection is gone.
                    1 => {
                        proxy.set(Network::Mute);
                        moment(90);
                        proxy.reset();
                    }
                    2 => {
                        proxy.set(Network::Cut);
                        moment(300);
                    }
                    // Longer than the sink's patience.
                    _ => {
                        proxy.set(Network::Mute);
                        std::thread::sleep(Duration::from_millis(1200));
                    }
                }
                proxy.set(Network::Open);
            }
        };
        through(&format!("{receiver}, a network that fails 25 times"), &collector, sink, cuts).await;
    }
}
