//! The schemas that come with headwater.

use crate::{
    Registry, datum, golden, header, of, record, sink,
    wire::{number, text},
};
use apache_avro::{Schema, reader::datum::GenericDatumReader};
use prost_reflect::{DynamicMessage, Value as Proto};
use serde_json::{Value, json};
use std::collections::HashMap;

const AVRO: &str = include_str!("../../schemas/ocsf-event.avsc");
const PROTOBUF: &str = include_str!("../../schemas/ocsf-event.proto");

/// What of an event a schema has fields for, by the schema's JSON; what the event lacks is null.
fn projected(schema: &Value, event: &Value, names: &HashMap<String, Value>) -> Value {
    if let Some(variants) = schema.as_array() {
        return if event.is_null() { Value::Null } else { projected(&variants[1], event, names) };
    }
    match schema["type"].as_str().or(schema.as_str()).unwrap() {
        "record" => {
            let fields = schema["fields"].as_array().unwrap().iter().map(|field| {
                let name = field["name"].as_str().unwrap();
                (name.to_owned(), projected(&field["type"], &event[name], names))
            });
            Value::Object(fields.collect())
        }
        "array" => event.as_array().unwrap().iter().map(|item| projected(&schema["items"], item, names)).collect(),
        name if names.contains_key(name) => projected(&names[name], event, names),
        _ => event.clone(),
    }
}

#[tokio::test]
async fn every_golden_event_comes_back_from_avro() {
    let registry = Registry::start().await;
    let mut sink = sink(&registry.url, json!({ "encoding": "avro" }));
    let schema: Value = serde_json::from_str(AVRO).unwrap();
    let parsed = Schema::parse(&schema).unwrap();
    let reader = GenericDatumReader::builder(&parsed).build().unwrap();
    for (name, event) in golden() {
        let record = record(&mut sink, &of("mural", &event)).await.unwrap_or_else(|why| panic!("{name}: {why}"));
        let (id, datum) = header(&record);
        assert_eq!(registry.schema(id), ("audit-value".into(), "AVRO".into(), AVRO.to_owned()));
        let mut decoded = datum::decode(&schema, datum);
        let whole = decoded.as_object_mut().unwrap().remove("event_json").unwrap();
        assert_eq!(serde_json::from_str::<Value>(whole.as_str().unwrap()).unwrap(), event, "{name}");
        let mut expected = projected(&schema, &event, &datum::names(&schema));
        expected.as_object_mut().unwrap().remove("event_json");
        assert_eq!(decoded, expected, "{name}");
        assert!(decoded["time"].is_i64() && decoded["metadata"]["uid"].is_string(), "{name}");
        let mut rest = datum;
        reader.read_value(&mut rest).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(rest.is_empty(), "{name}");
    }
    assert_eq!(registry.requests(), ["POST /subjects/audit-value/versions"], "asked once");
}

/// A message as the JSON of an event.
fn json_of(message: &DynamicMessage) -> Value {
    Value::Object(message.fields().map(|(field, value)| (field.name().to_owned(), json_of_value(value))).collect())
}

fn json_of_value(value: &Proto) -> Value {
    match value {
        Proto::String(text) => json!(text),
        Proto::I32(number) => json!(number),
        Proto::I64(number) => json!(number),
        Proto::List(items) => items.iter().map(json_of_value).collect(),
        Proto::Message(message) => match message.get_field_by_name("seconds") {
            None => json_of(message),
            Some(seconds) => {
                let nanos = message.get_field_by_name("nanos").unwrap().as_i32().unwrap();
                json!(seconds.as_i64().unwrap() * 1000 + i64::from(nanos) / 1_000_000)
            }
        },
        other => panic!("{other:?}"),
    }
}

/// Without null, which Protobuf does not have.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(object) => object
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_null(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_null).collect(),
        other => other,
    }
}

#[tokio::test]
async fn every_golden_event_comes_back_from_protobuf() {
    let registry = Registry::start().await;
    let mut sink = sink(&registry.url, json!({ "encoding": "protobuf" }));
    let schema: Value = serde_json::from_str(AVRO).unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");
    let pool = protox::Compiler::new([folder]).unwrap().open_file("ocsf-event.proto").unwrap().descriptor_pool();
    let descriptor = pool.get_message_by_name("io.headwater.ocsf.OcsfEvent").unwrap();
    for (name, event) in golden() {
        let record = record(&mut sink, &of("mural", &event)).await.unwrap_or_else(|why| panic!("{name}: {why}"));
        let (id, rest) = header(&record);
        assert_eq!(registry.schema(id), ("audit-value".into(), "PROTOBUF".into(), PROTOBUF.to_owned()));
        assert_eq!(rest[0], 0, "the first message of its file");
        let message = &rest[1..];
        // By the library.
        let mut decoded = json_of(&DynamicMessage::decode(descriptor.clone(), message).unwrap());
        let whole = decoded.as_object_mut().unwrap().remove("event_json").unwrap();
        assert_eq!(serde_json::from_str::<Value>(whole.as_str().unwrap()).unwrap(), event, "{name}");
        // Both schemas have the same fields, so the other one says what to expect.
        let mut expected = without_null(projected(&schema, &event, &datum::names(&schema)));
        expected.as_object_mut().unwrap().remove("event_json");
        assert_eq!(decoded, expected, "{name}");
        // By the bytes.
        assert_eq!(number(message, 2), event["class_uid"].as_u64(), "{name}");
        assert_eq!(number(message, 8), event["type_uid"].as_u64(), "{name}");
        assert_eq!(text(message, &[16]), event["message"].as_str(), "{name}");
        assert_eq!(text(message, &[20, 1]), event["metadata"]["uid"].as_str(), "{name}");
        assert_eq!(text(message, &[21, 1, 1]), event["actor"]["user"]["uid"].as_str(), "{name}");
    }
    assert_eq!(registry.requests(), ["POST /subjects/audit-value/versions"], "asked once");
}

#[tokio::test]
async fn a_record_that_is_not_ocsf_is_whole_too() {
    let registry = Registry::start().await;
    let body = json!({ "message": 7, "time": "yesterday", "user": "ana", "resources": {} });
    for encoding in ["avro", "protobuf"] {
        let mut sink = sink(&registry.url, json!({ "encoding": encoding }));
        let record = record(&mut sink, &of("mural", &body)).await.unwrap();
        let (_, rest) = header(&record);
        let json = match encoding {
            "avro" => {
                let decoded = datum::decode(&serde_json::from_str(AVRO).unwrap(), rest);
                assert_eq!(decoded["message"], Value::Null);
                decoded["event_json"].as_str().unwrap().to_owned()
            }
            _ => text(&rest[1..], &[100]).unwrap().to_owned(),
        };
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), body);
    }
}

#[tokio::test]
async fn what_is_too_large_loses_its_raw_data_and_says_so() {
    let registry = Registry::start().await;
    let (_, mut event) = golden().remove(0);
    event["raw_data"] = "r".repeat(20_000).into();
    event["unmapped"] = json!({ "some": "u".repeat(10_000) });
    for encoding in ["avro", "protobuf"] {
        for (max, has) in [(50_000, [true, true]), (25_000, [false, true]), (9_000, [false, false])] {
            let mut sink = sink(&registry.url, json!({ "encoding": encoding, "max_record_bytes": max }));
            let event = of("mural", &event);
            let record = record(&mut sink, &event).await.unwrap();
            assert!(record.len() < max, "{} of {max}", record.len());
            let (_, rest) = header(&record);
            let whole = match encoding {
                "avro" => {
                    datum::decode(&serde_json::from_str(AVRO).unwrap(), rest)["event_json"].as_str().unwrap().to_owned()
                }
                _ => text(&rest[1..], &[100]).unwrap().to_owned(),
            };
            let whole: Value = serde_json::from_str(&whole).unwrap();
            assert_eq!([whole.get("raw_data").is_some(), whole.get("unmapped").is_some()], has, "{encoding} {max}");
            assert_eq!(whole["metadata"].get("is_truncated").is_some(), max != 50_000);
        }
        let mut sink = sink(&registry.url, json!({ "encoding": encoding, "max_record_bytes": 2_000 }));
        let why = record(&mut sink, &of("mural", &event)).await.unwrap_err();
        assert!(why.contains("too large") && why.contains("max_record_bytes"), "{why}");
    }
}
