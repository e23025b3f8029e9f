//! Events to send, and sinks to send them with.

use headwater_contracts::{Encode, Event, Sink, SinkConfig};
use headwater_sink_syslog::SyslogConfig;
use headwater_testkit::sink_suite;
use serde_json::{Map, Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

/// An event as a transform has left it.
pub(crate) fn made(body: &Value) -> Event {
    let id = body["metadata"]["uid"].as_str().unwrap_or("no-uid");
    let provider: &'static str = match body["metadata"]["log_name"].as_str() {
        Some("mural.audit") => "mural",
        Some("solace_cloud.audit") => "solace_cloud",
        Some("anypoint.audit") => "anypoint",
        Some("pactflow.audit") => "pactflow",
        Some("api7.audit") => "api7",
        _ => "suite",
    };
    let mut event = sink_suite::event(id, "", true);
    let origin = headwater_contracts::Origin { provider: provider.into(), ..(*event.origin).clone() };
    event.origin = Arc::new(origin);
    event.value = Some(vrl::value::Value::from(body.clone()));
    event
}

/// Every golden event of the normalizer, and those of the sinks.
pub(crate) fn golden_events() -> Vec<Event> {
    let mut files = Vec::new();
    for folder in fs::read_dir(golden_folder()).unwrap() {
        let folder = folder.unwrap().path();
        if folder.is_dir() {
            files.extend(fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()));
        }
    }
    files.retain(|file| file.to_string_lossy().ends_with(".ocsf.json"));
    files.sort();
    let events: Vec<Event> =
        files.iter().map(|file| made(&serde_json::from_slice(&fs::read(file).unwrap()).unwrap())).collect();
    assert!(events.len() > 20, "{files:?}");
    events
}

/// An OCSF event with this id, user and message.
pub(crate) fn ocsf(id: &str, user: &str, message: &str) -> Value {
    json!({
        "activity_id": 2, "activity_name": "Read", "class_uid": 6003, "class_name": "API Activity", "type_uid": 600_302,
        "type_name": "API Activity: Read", "severity_id": 1, "status_id": 1, "time": 1_760_000_000_123_i64,
        "message": message,
        "metadata": {"uid": id, "version": "1.6.0", "tenant_uid": "t]1", "product": {"name": "P|1", "vendor_name": "V=1"}},
        "actor": {"user": {"uid": "u-1", "name": user}}, "api": {"operation": "read"},
        "src_endpoint": {"ip": "192.0.2.7"}, "resources": [{"uid": "r-1", "name": message, "type": "thing"}],
        "raw_data": format!("{{\"id\":\"{id}\"}}"), "unmapped": {"more": "x"},
    })
}

/// Options for a sink; `more` is added to, and replaces, what a test does not care about.
pub(crate) fn config(more: Value) -> SyslogConfig {
    let mut all = Map::from_iter([("hostname".to_owned(), json!("collector.example.com"))]);
    all.extend(more.as_object().unwrap().clone());
    serde_json::from_value(all.into()).unwrap()
}

pub(crate) fn sink(more: Value) -> Box<dyn Sink> {
    config(more).build().unwrap_or_else(|e| panic!("{}: {e}", e.field))
}

/// Encodes with the options of a sink that is never connected.
pub(crate) fn encoder(more: &Value) -> Arc<dyn Encode> {
    sink(more.clone()).encoder().unwrap()
}

/// The message as a datagram carries it.
pub(crate) fn message(event: &Event, more: &Value) -> Result<Vec<u8>, String> {
    let mut all = json!({"mode": "unix", "path": "/nowhere"});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut out = Vec::new();
    encoder(&all).encode(event, &mut out).map(|()| out)
}
