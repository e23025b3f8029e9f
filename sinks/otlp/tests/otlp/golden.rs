//! The golden records: the same messages, compared as they are decoded.

use headwater_contracts::Event;
use headwater_sink_otlp::{Mapping, request};
use headwater_testkit::sink_suite::event;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use serde_json::Value as Json;
use std::{fs, path::PathBuf, sync::Arc};

fn golden(name: &str) -> Json {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn ocsf(body: Json, provider: &'static str) -> Event {
    let suite = event(body["metadata"]["uid"].as_str().unwrap(), "", true);
    let mut origin = (*suite.origin).clone();
    origin.provider = provider.into();
    Event { origin: Arc::new(origin), value: Some(body.into()), ..suite }
}

#[test]
fn golden_events_become_the_golden_records() {
    let context = golden("context.json");
    for (name, provider) in [("solace-service-delete-failure", "solace_cloud"), ("mural-escaping", "mural")] {
        let mut expected = golden(&format!("sinks/{name}.otlp.json"));
        let scope = &mut expected["resourceLogs"][0]["scopeLogs"][0]["scope"];
        assert_eq!(scope["version"], context["collector"]["version"]);
        scope["version"] = env!("CARGO_PKG_VERSION").into();
        let expected: ExportLogsServiceRequest = serde_json::from_value(expected).unwrap();

        let record = Mapping::default().record(&ocsf(golden(&format!("sinks/{name}.ocsf.json")), provider));
        let bytes = request(&[&record]).encode_to_vec();
        assert_eq!(ExportLogsServiceRequest::decode(&bytes[..]).unwrap(), expected, "{name}");
    }
}

#[test]
fn a_simulated_event_says_so_in_an_attribute_whatever_its_body_is() {
    let real = event("id", "text", false);
    let mut origin = (*real.origin).clone();
    origin.simulated = true;
    let made_up = Event { origin: Arc::new(origin), ..real.clone() };
    let marks = |event: &Event| {
        Mapping::default().record(event).log.attributes.iter().filter(|pair| pair.key == "audit.simulated").count()
    };
    assert_eq!((marks(&real), marks(&made_up)), (0, 1));
}

#[test]
fn records_are_grouped_by_provider_and_tenant() {
    let tenant = |uid: &str, tenant: &str, provider| {
        ocsf(serde_json::json!({"class_uid": 0, "metadata": {"uid": uid, "tenant_uid": tenant}}), provider)
    };
    let events = [
        tenant("1", "a", "mural"),
        tenant("2", "b", "mural"),
        tenant("3", "a", "mural"),
        tenant("4", "a", "api7"),
        tenant("5", "", "api7"),
    ];
    let records: Vec<_> = events.iter().map(|event| Mapping::default().record(event)).collect();
    let request = request(&records.iter().collect::<Vec<_>>());
    let counts: Vec<usize> = request.resource_logs.iter().map(|logs| logs.scope_logs[0].log_records.len()).collect();
    assert_eq!(counts, [2, 1, 1, 1]);
    let attributes = |index: usize| request.resource_logs[index].resource.clone().unwrap().attributes;
    assert_eq!(attributes(0).len(), 3);
    assert_eq!(attributes(3).len(), 2, "an unknown tenant is left out");
}
