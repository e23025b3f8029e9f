//! Records equal the expected ones of the normalization contract.
#![allow(clippy::unwrap_used)] // Test code: a panic is how it fails.

use headwater_contracts::{Event, Origin};
use headwater_sink_kafka::{CloudEvents, Delivery, KafkaConfig};
use headwater_testkit::sink_suite::event;
use serde_json::{Value, json};
use std::{fs, sync::Arc};

fn golden(name: &str) -> Value {
    let path = format!("{}/../../tests/golden/sinks/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn normalized(provider: &'static str, body: &Value) -> Event {
    let event = event("id", "text", true);
    let origin = Arc::new(Origin { provider: provider.into(), ..(*event.origin).clone() });
    Event { origin, value: Some(body.clone().into()), ..event }
}

fn config(more: Value) -> KafkaConfig {
    let mut keys = json!({ "bootstrap_servers": "localhost:9092" });
    keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(keys).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn records_are_the_golden_ones() {
    for (provider, case) in [("solace_cloud", "solace-service-delete-failure"), ("mural", "mural-escaping")] {
        let expected = golden(&format!("{case}.kafka.json"));
        let event = normalized(provider, &golden(&format!("{case}.ocsf.json")));
        let sink = config(json!({ "cloud_events": "binary" })).sink().unwrap();
        let record = sink.encode(&event).unwrap();
        assert_eq!(record.topic, expected["topic"]);
        assert_eq!(text(record.key.as_deref().unwrap()), expected["key"]);
        assert_eq!(record.time.timestamp_millis(), expected["timestamp"]);
        let mut headers: Vec<Value> = record.headers.iter().map(|(name, value)| json!([name, text(value)])).collect();
        let mut wanted = expected["headers"].as_array().unwrap().clone();
        headers.sort_by_key(ToString::to_string);
        wanted.sort_by_key(ToString::to_string);
        assert_eq!(headers, wanted, "{case}");
        assert_eq!(serde_json::from_slice::<Value>(&record.value).unwrap(), expected["value"]);
    }
}

#[test]
fn a_simulated_event_says_so_in_a_header_whatever_its_value_is() {
    let real = event("id", "text", false);
    let made_up = Event { origin: Arc::new(Origin { simulated: true, ..(*real.origin).clone() }), ..real.clone() };
    for more in [json!({}), json!({ "encoding": "raw" }), json!({ "cloud_events": "structured" })] {
        let sink = config(more.clone()).sink().unwrap();
        let marks = |event: &Event| {
            let record = sink.encode(event).unwrap();
            record.headers.iter().filter(|(name, value)| name == "headwater_simulated" && text(value) == "true").count()
        };
        assert_eq!((marks(&real), marks(&made_up)), (0, 1), "{more}");
    }
}

#[test]
fn a_structured_cloud_event_holds_the_event_as_its_data() {
    let event = normalized("solace_cloud", &golden("solace-service-delete-failure.ocsf.json"));
    let sink = config(json!({ "cloud_events": "structured" })).sink().unwrap();
    let record = sink.encode(&event).unwrap();
    assert_eq!(record.headers[0].0, "content-type");
    assert_eq!(text(&record.headers[0].1), "application/cloudevents+json; charset=UTF-8");
    let mut value: Value = serde_json::from_slice(&record.value).unwrap();
    assert_eq!(value["data"], golden("solace-service-delete-failure.ocsf.json"));
    value.as_object_mut().unwrap().remove("data");
    let expected = json!({
        "specversion": "1.0", "id": "solace_cloud:10dri30cmj1", "source": "/audit/solace_cloud/custdocteam",
        "type": "io.ocsf.api_activity", "time": "2022-09-14T18:52:45.655Z", "subject": "mki3l8wy0m6",
        "dataschema": "https://schema.ocsf.io/1.6.0/classes/api_activity", "datacontenttype": "application/json",
        "partitionkey": "solace_cloud:custdocteam:qe6mvlb39c1",
    });
    assert_eq!(value, expected);
}

#[test]
fn topics_keys_and_headers_may_hold_fields() {
    let event = normalized("mural", &json!({ "id": "e-1", "team": "blue", "no": 7 }));
    let keys = json!({ "topic": "a.{{ team }}", "key": "{{ no }}/{{ %headwater.stream }}", "headers": { "team": "{{ team }}" } });
    let record = config(keys).sink().unwrap().encode(&event).unwrap();
    assert_eq!((record.topic.as_str(), text(record.key.as_deref().unwrap())), ("a.blue", "7/suite.example"));
    assert!(record.headers.iter().any(|(name, value)| name == "team" && text(value) == "blue"));
    let refused = |keys: Value| config(keys).sink().unwrap().encode(&event).unwrap_err();
    assert!(refused(json!({ "topic": "a.{{ missing }}" })).contains("`missing`"));
    assert!(refused(json!({ "topic": "a {{ team }}" })).contains("cannot be the name of a topic"));
}

#[test]
fn a_header_whose_field_is_missing_is_left_out() {
    let event = normalized("mural", &json!({ "id": "e-1", "team": "blue" }));
    let keys = json!({ "headers": { "who": "{{ actor.user.name }}", "team": "{{ team }}" } });
    let record = config(keys).sink().unwrap().encode(&event).unwrap();
    assert!(record.headers.iter().any(|(name, value)| name == "team" && text(value) == "blue"));
    assert!(record.headers.iter().all(|(name, _)| name != "who"));
}

#[test]
fn events_that_do_not_say_who_acted_spread_by_their_ids() {
    let key = |keys: Value, body: &Value| {
        let record = config(keys).sink().unwrap().encode(&normalized("mural", body)).unwrap();
        record.key.map(|key| text(&key).to_owned())
    };
    let raw = json!({ "metadata": { "uid": "the same in all" } });
    assert_eq!(key(json!({ "encoding": "raw" }), &raw).as_deref(), Some("mural:id"));
    assert_eq!(key(json!({}), &raw).as_deref(), Some("mural:id"));
    assert_eq!(key(json!({ "key": "actor" }), &raw).as_deref(), Some("mural:-:-"));
    let ocsf = golden("mural-escaping.ocsf.json");
    assert_eq!(key(json!({}), &ocsf), key(json!({ "key": "actor" }), &ocsf));
}

#[test]
fn what_is_too_large_loses_its_raw_data_and_says_so() {
    let mut body = golden("solace-service-delete-failure.ocsf.json");
    body["raw_data"] = "r".repeat(5000).into();
    let event = normalized("solace_cloud", &body);
    let record = |max: u64| config(json!({ "max_record_bytes": max })).sink().unwrap().encode(&event);
    assert_eq!(serde_json::from_slice::<Value>(&record(10_000).unwrap().value).unwrap(), body);
    let short = record(4_000).unwrap();
    let value: Value = serde_json::from_slice(&short.value).unwrap();
    assert!(value.get("raw_data").is_none() && value["metadata"]["is_truncated"] == true);
    assert!(record(1_000).unwrap_err().contains("max_record_bytes"));
}

#[test]
fn raw_bytes_go_with_what_a_second_tier_needs_to_know() {
    let mut event = normalized("mural", &json!({}));
    event.own_query = true;
    let headers = |encoding: &str| {
        let record = config(json!({ "encoding": encoding })).sink().unwrap().encode(&event).unwrap();
        let all = record.headers.iter().map(|(name, value)| (name.clone(), text(value).to_owned()));
        all.filter(|(name, _)| name.starts_with("headwater_")).collect::<Vec<_>>()
    };
    let expected = [
        ("headwater_source", "suite"),
        ("headwater_stream", "suite.example"),
        ("headwater_id", "id"),
        ("headwater_time", "2025-10-09T08:53:20Z"),
        ("headwater_observed_time", "2025-10-09T08:54:20Z"),
        ("headwater_own_query", "true"),
    ];
    assert_eq!(headers("raw"), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(headers("json").is_empty());
}

#[test]
fn options_that_cannot_be_are_refused_by_name() {
    let problem = |keys: Value| config(keys).sink().err().unwrap();
    assert_eq!(problem(json!({ "bootstrap_servers": "here" })).field, "bootstrap_servers");
    assert_eq!(problem(json!({ "key": "fixed" })).field, "key");
    assert_eq!(problem(json!({ "librdkafka_options": { "acks": "1" } })).field, "librdkafka_options.acks");
    for (ours, option) in [
        ("message.timeout.ms", "`timeout`"),
        ("message.max.bytes", "`max_record_bytes`"),
        ("compression.codec", "`compression`"),
        ("bootstrap.servers", "`bootstrap_servers`"),
    ] {
        let refused = problem(json!({ "librdkafka_options": { ours: "1" } }));
        assert_eq!(refused.field, format!("librdkafka_options.{ours}"));
        assert!(refused.problem.contains(option), "{}", refused.problem);
    }
    config(json!({ "librdkafka_options": { "batch.size": "16384" } })).sink().unwrap();
    assert_eq!(problem(json!({ "librdkafka_options": { "no.such": "1" } })).field, "librdkafka_options.no.such");
    assert_eq!(problem(json!({ "sasl": { "mechanism": "plain", "username": "me" } })).field, "sasl.password");
    assert_eq!(problem(json!({ "encoding": "raw", "cloud_events": "structured" })).field, "cloud_events");
    assert_eq!(problem(json!({ "delivery": "exactly_once", "compression": "zstd" })).field, "compression");
    let config = config(json!({ "delivery": "exactly_once" }));
    assert_eq!((config.delivery, config.cloud_events), (Delivery::ExactlyOnce, None::<CloudEvents>));
}
