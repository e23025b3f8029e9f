//! Avro and Protobuf with a schema registry: what is on the wire, what is refused, and what the registry is asked. Records are read back by
//! the libraries' own decoders, and by decoders of these tests' own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_wrap, clippy::cast_possible_truncation)] // Test code: a panic is how it fails.

mod datum;
mod failures;
mod fields;
mod options;
mod registry;
mod shipped;
mod wire;

use headwater_contracts::{Event, Origin, SinkError};
use headwater_sink_kafka::{KafkaConfig, KafkaSink, Newest, RecordSchema};
use headwater_testkit::sink_suite::event;
use registry::Registry;
use serde_json::{Value, json};
use std::{fs, io::Write as _, path::PathBuf, sync::Arc};

/// A sink's options: no broker is behind them, and a registry where the test has one.
fn config(registry: &str, more: Value) -> KafkaConfig {
    let mut keys = json!({ "bootstrap_servers": "localhost:9092", "topic": "audit", "timeout": "5s",
        "schema_registry": { "url": registry } });
    for (key, value) in more.as_object().unwrap() {
        match (keys.get_mut(key).and_then(Value::as_object_mut), value.as_object()) {
            (Some(keys), Some(more)) => keys.extend(more.clone()),
            _ => keys[key] = value.clone(),
        }
    }
    // As a text it is for the loader: JSON's own reader wants to know before whether a text or a mapping comes.
    let newest = keys["schema"] == "latest";
    if newest {
        keys["schema"] = Value::Null;
    }
    let mut config: KafkaConfig = serde_json::from_value(keys).unwrap();
    if newest {
        config.schema = Some(RecordSchema::Newest(Newest::Latest));
    }
    config
}

fn sink(registry: &str, more: Value) -> KafkaSink {
    // The program does it at its start.
    let _ = rustls::crypto::ring::default_provider().install_default();
    config(registry, more).sink().unwrap_or_else(|error| panic!("{}: {}", error.field, error.problem))
}

fn of(provider: &'static str, body: &Value) -> Event {
    let event = event("id", "text", true);
    let origin = Arc::new(Origin { provider: provider.into(), ..(*event.origin).clone() });
    Event { origin, value: Some(body.clone().into()), ..event }
}

/// A schema in a file, which lives as long as the folder.
fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    (folder, path)
}

/// The golden OCSF events, with their names.
fn golden() -> Vec<(String, Value)> {
    let folder = format!("{}/../../tests/golden", env!("CARGO_MANIFEST_DIR"));
    let mut events = Vec::new();
    for provider in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for path in fs::read_dir(provider).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.display().to_string();
            if name.ends_with(".ocsf.json") {
                events.push((name, serde_json::from_slice(&fs::read(path).unwrap()).unwrap()));
            }
        }
    }
    assert!(events.len() >= 40, "{}", events.len());
    events
}

/// The schema's id and what follows it.
fn header(record: &[u8]) -> (u32, &[u8]) {
    assert_eq!(record[0], 0, "the magic byte");
    (u32::from_be_bytes(record[1..5].try_into().unwrap()), &record[5..])
}

/// The record of one event, as the sink would send it.
async fn record(sink: &mut KafkaSink, event: &Event) -> Result<Vec<u8>, String> {
    sink.prepare(std::slice::from_ref(event)).await.unwrap();
    sink.encode(event).map(|record| record.value.to_vec())
}

fn reason(error: SinkError) -> String {
    match error {
        SinkError::Retry { reason, .. } => reason,
        SinkError::Denied(reason) | SinkError::Fatal(reason) => panic!("fatal: {reason}"),
    }
}
