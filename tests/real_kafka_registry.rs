//! Avro and Protobuf from REST to a real Kafka with a real schema registry: the real binary writes, and what it wrote is read back by the
//! schema that the registry has for the id in it. Needs `tests/real/kafka/install`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

use crate::support;
use apache_avro::{Schema, reader::datum::GenericDatumReader, types::Value as Avro};
use headwater_real::{Protocol, RealKafka, Registry};
use headwater_runtime::SystemClock;
use headwater_simulator::{Provider, Scenario, Simulator};
use prost_reflect::{DynamicMessage, Value as Proto};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs,
    sync::Arc,
    time::Duration,
};

/// A topic's values by key, for readers who see what is committed; no key comes twice.
fn committed(kafka: &str, topic: &str) -> BTreeMap<String, Vec<u8>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", "test-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    let mut values = BTreeMap::new();
    loop {
        match consumer.poll(Duration::from_secs(30)).expect("the broker answers") {
            Ok(message) => {
                let key = String::from_utf8(message.key().unwrap().to_vec()).unwrap();
                let twice = values.insert(key, message.payload().unwrap().to_vec());
                assert!(twice.is_none(), "{topic}: an event stands there twice");
            }
            Err(KafkaError::PartitionEOF(_)) => return values,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The schema that the registry has for the id of a record, and what follows the id.
fn schema_of<'r>(registry: &str, known: &mut HashMap<u32, String>, record: &'r [u8]) -> (String, &'r [u8]) {
    assert_eq!(record[0], 0, "the magic byte");
    let id = u32::from_be_bytes(record[1..5].try_into().unwrap());
    let schema = known.entry(id).or_insert_with(|| {
        let url = format!("{registry}/schemas/ids/{id}");
        let answer = tokio::runtime::Handle::current().block_on(async {
            reqwest::Client::new().get(url).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
        });
        serde_json::from_str::<Value>(&answer).unwrap()["schema"].as_str().unwrap().to_owned()
    });
    (schema.clone(), &record[5..])
}

/// `event_json`, `message` and `time` of an Avro record.
fn from_avro(schema: &str, mut datum: &[u8]) -> (Value, Option<String>, Option<i64>) {
    let schema = Schema::parse_str(schema).unwrap();
    let Avro::Record(fields) = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut datum).unwrap()
    else {
        panic!("no record")
    };
    assert!(datum.is_empty());
    let fields: HashMap<_, _> = fields.into_iter().collect();
    let inner = |name: &str| match &fields[name] {
        Avro::Union(_, value) => (**value).clone(),
        value => value.clone(),
    };
    let Avro::String(whole) = inner("event_json") else { panic!("no event_json") };
    let message = if let Avro::String(text) = inner("message") { Some(text) } else { None };
    let time = if let Avro::TimestampMillis(time) = inner("time") { Some(time) } else { None };
    (serde_json::from_str(&whole).unwrap(), message, time)
}

/// The same of a Protobuf record.
fn from_protobuf(schema: &str, record: &[u8]) -> (Value, Option<String>, Option<i64>) {
    assert_eq!(record[0], 0, "the first message of its file");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.proto"), schema).unwrap();
    let pool = protox::Compiler::new([folder.path()]).unwrap().open_file("a.proto").unwrap().descriptor_pool();
    let descriptor = pool.get_message_by_name("io.headwater.ocsf.OcsfEvent").expect("the message");
    let message = DynamicMessage::decode(descriptor, &record[1..]).unwrap();
    let text = |name: &str| message.get_field_by_name(name).unwrap().as_str().unwrap().to_owned();
    let time = message.get_field_by_name("time").unwrap();
    let Proto::Message(time) = &*time else { panic!("no time") };
    let part = |name: &str| time.get_field_by_name(name).unwrap().into_owned();
    let time = part("seconds").as_i64().unwrap() * 1000 + i64::from(part("nanos").as_i32().unwrap()) / 1_000_000;
    (serde_json::from_str(&text("event_json")).unwrap(), Some(text("message")), Some(time))
}

fn run(dir: &std::path::Path, pipeline: &str) {
    fs::write(dir.join("pipeline.yaml"), pipeline).unwrap();
    let done = support::run(dir, &["run", "--once", "--log", "warn"]);
    assert!(done.status.success(), "{}", support::stderr(&done));
}

/// Three sinks side by side: what two of them write by a schema is what the third writes as JSON.
#[test]
#[ignore = "needs a real Kafka and a registry: tests/real/kafka/run"]
fn records_by_a_schema_are_the_json_ones() {
    let runtime = support::runtime();
    let _guard = runtime.enter();
    let (kafka, registry) = (RealKafka::start(1), Registry::start());
    let (brokers, url) = (kafka.bootstrap(Protocol::Plaintext), registry.url());
    let simulator =
        Simulator::start(Provider::Mural, Scenario::new().seed(5).history(5, 2_000), Arc::new(SystemClock)).unwrap();
    for (delivery, state) in [
        ("exactly_once", format!("{{ type: kafka, bootstrap_servers: '{brokers}', group: test, partitions: 1 }}")),
        ("at_least_once", "{ type: file, path: state }".to_owned()),
    ] {
        // The second run finds the schemas of the first, whose subjects it shares: the one as the newest, the other by looking it up.
        let register = delivery == "exactly_once";
        let avro = if register { "" } else { ", schema: latest" };
        let mut sinks = String::new();
        for (encoding, more) in [("json", ""), ("avro", avro), ("protobuf", "")] {
            let topic = format!("{delivery}.{encoding}");
            kafka.create_topic(&topic, 1, &[]);
            let schemas = match encoding {
                "json" => String::new(),
                _ => {
                    format!(", schema_registry: {{ url: '{url}', subject: 'audit-{encoding}', register: {register} }}")
                }
            };
            let _ = writeln!(
                sinks,
                "  {encoding}: {{ type: kafka, inputs: [ocsf], bootstrap_servers: '{brokers}', topic: {topic}, key: event_id, \
                 encoding: {encoding}, delivery: {delivery}{schemas}{more} }}"
            );
        }
        let pipeline = format!(
            "state: {state}\ndead_letter: {{ path: dead-letter }}\nsources:\n  mural: {{ type: mural, endpoint: \"{}\", api_key: \"{}\", \
             start_at: earliest, page_size: 100, rate_limit: {{ requests: 1000000, per: 1s }}, min_call_interval: 0s }}\n\
             transforms:\n  ocsf: {{ type: remap, inputs: [mural], file: 'builtin:normalize.vrl' }}\nsinks:\n{sinks}",
            simulator.url(),
            simulator.credential(),
        );
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), &pipeline);
        let expected = committed(&brokers, &format!("{delivery}.json"));
        assert!(expected.len() >= 1_000, "{}", expected.len());
        let mut known = HashMap::new();
        for encoding in ["avro", "protobuf"] {
            let found = committed(&brokers, &format!("{delivery}.{encoding}"));
            assert_eq!(found.len(), expected.len());
            for (key, json) in &expected {
                let json: Value = serde_json::from_slice(json).unwrap();
                let (schema, rest) = schema_of(&url, &mut known, &found[key]);
                let (whole, message, time) =
                    if encoding == "avro" { from_avro(&schema, rest) } else { from_protobuf(&schema, rest) };
                assert_eq!(whole, json, "{encoding}: {key}");
                assert_eq!(message.as_deref(), json["message"].as_str(), "{encoding}: {key}");
                assert_eq!(time, json["time"].as_i64(), "{encoding}: {key}");
            }
        }
        let ids: Vec<_> = known.keys().collect();
        println!("{delivery}: {} events, equal as JSON, Avro and Protobuf; schema ids {ids:?}", expected.len());
        assert_eq!(known.len(), 2, "one schema each");
    }
}

/// A registry that stands still holds the events up, and loses none.
#[test]
#[ignore = "needs a real Kafka and a registry: tests/real/kafka/run"]
fn a_registry_that_stands_still_is_waited_for() {
    let runtime = support::runtime();
    let _guard = runtime.enter();
    let (kafka, registry) = (RealKafka::start(1), Registry::start());
    let brokers = kafka.bootstrap(Protocol::Plaintext);
    kafka.create_topic("audit", 1, &[]);
    let simulator =
        Simulator::start(Provider::Mural, Scenario::new().seed(6).history(5, 1_000), Arc::new(SystemClock)).unwrap();
    let pipeline = format!(
        "state: {{ type: file, path: state }}\ndead_letter: {{ path: dead-letter }}\nsources:\n  mural: {{ type: mural, endpoint: \"{}\", \
         api_key: \"{}\", start_at: earliest, min_call_interval: 0s, rate_limit: {{ requests: 1000000, per: 1s }} }}\n\
         sinks:\n  out: {{ type: kafka, inputs: [mural], bootstrap_servers: '{brokers}', topic: audit, key: event_id, encoding: avro, timeout: 2s, \
         retry: {{ initial: 100ms, max: 500ms }}, schema_registry: {{ url: '{}' }} }}\n",
        simulator.url(),
        simulator.credential(),
        registry.url(),
    );
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pipeline.yaml"), pipeline).unwrap();
    registry.pause();
    let mut headwater = support::Headwater::start(dir.path(), &["run"]);
    let said = headwater.wait_for("cannot ask schema registry");
    println!("{said}");
    assert!(committed(&brokers, "audit").is_empty());
    registry.resume();
    headwater.wait_for("caught up");
    support::signal(&headwater.child, "TERM");
    assert!(headwater.child.wait().unwrap().success());
    assert!(committed(&brokers, "audit").len() >= 300);
    assert!(
        !dir.path().join("dead-letter").exists()
            || fs::read_dir(dir.path().join("dead-letter"))
                .unwrap()
                .all(|entry| { entry.unwrap().metadata().unwrap().len() == 0 })
    );
}
