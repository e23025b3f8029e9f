//! Schemas of the user's: members go to fields by name, and what does not fit is refused with its path.

use crate::{Registry, datum, file, header, of, record, sink};
use headwater_sink_kafka::KafkaSink;
use proptest::prelude::*;
use prost_reflect::{DescriptorPool, DynamicMessage, Value as Proto};
use serde_json::{Value, json};
use std::{cell::Cell, path::Path};

const AVRO: &str = r#"{"type": "record", "name": "Audit", "namespace": "com.example", "fields": [
    {"name": "id", "type": "string"},
    {"name": "count", "type": ["null", "int"], "default": null},
    {"name": "size", "type": "long", "default": -1},
    {"name": "ratio", "type": "double", "default": 0.5},
    {"name": "near", "type": "float", "default": 0},
    {"name": "ok", "type": "boolean", "default": true},
    {"name": "raw", "type": ["null", "bytes"], "default": null},
    {"name": "code", "type": ["null", {"type": "fixed", "name": "Code", "size": 4}], "default": null},
    {"name": "level", "type": {"type": "enum", "name": "Level", "symbols": ["LOW", "HIGH"]}, "default": "LOW"},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    {"name": "labels", "type": {"type": "map", "values": ["null", "string"]}, "default": {}},
    {"name": "who", "type": ["null", {"type": "record", "name": "Who", "fields": [
        {"name": "uid", "type": "string"}, {"name": "boss", "type": ["null", "Who"], "default": null}]}], "default": null},
    {"name": "friends", "type": {"type": "array", "items": "Who"}, "default": []},
    {"name": "either", "type": ["null", "string", "double", "long", "boolean"], "default": null},
    {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}], "default": null},
    {"name": "at_us", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": null},
    {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}], "default": null},
    {"name": "key", "type": ["null", {"type": "string", "logicalType": "uuid"}], "default": null}]}"#;

const PROTOBUF: &str = r#"syntax = "proto3";
package com.example;
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
message First { string a = 1; }
message Outer {
  map<string, int32> before = 1;
  message Hidden { string a = 1; }
  message Audit {
    string id = 1;
    int32 count = 2;
    sint64 size = 3;
    uint32 small = 4;
    fixed64 big = 5;
    double ratio = 6;
    float near = 7;
    bool ok = 8;
    bytes raw = 9;
    Level level = 10;
    repeated string tags = 11;
    map<string, string> labels = 12;
    map<int32, Who> by_number = 13;
    Who who = 14;
    google.protobuf.Timestamp at = 15;
    google.protobuf.Struct rest = 16;
    google.protobuf.StringValue maybe = 17;
    oneof target { string user_name = 18; int64 user_number = 19; }
    repeated sint32 numbers = 20;
    google.protobuf.Value anything = 21;
  }
}
enum Level { LOW = 0; HIGH = 5; }
message Who { string uid = 1; Who boss = 2; }
"#;

fn avro_sink(registry: &str, path: &Path) -> KafkaSink {
    sink(registry, json!({ "encoding": "avro", "schema": { "file": path } }))
}

fn protobuf_sink(registry: &str, path: &Path) -> KafkaSink {
    let schema = json!({ "file": path, "message": "com.example.Outer.Audit" });
    sink(registry, json!({ "encoding": "protobuf", "schema": schema }))
}

#[tokio::test]
async fn avro_on_the_wire_byte_for_byte() {
    let registry = Registry::start().await;
    registry.put("other", "AVRO", "{}");
    let text = r#"{"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}, {"name": "s", "type": ["null", "string"]}]}"#;
    let (_folder, path) = file("r.avsc", text);
    let mut sink = avro_sink(&registry.url, &path);
    let bytes = record(&mut sink, &of("mural", &json!({ "n": -65, "s": "ab", "more": 1 }))).await.unwrap();
    // Magic byte, id 2, -65 as zigzag 129, the second of the union, two bytes.
    assert_eq!(bytes, [0, 0, 0, 0, 2, 0x81, 0x01, 2, 4, b'a', b'b']);
}

#[tokio::test]
async fn protobuf_on_the_wire_byte_for_byte() {
    let registry = Registry::start().await;
    let (_folder, path) = file("r.proto", PROTOBUF);
    let mut sink = protobuf_sink(&registry.url, &path);
    let bytes = record(&mut sink, &of("mural", &json!({ "id": "x", "count": 3 }))).await.unwrap();
    // Two places: the second message of the file, and its second one but for the type of the map. Zigzag doubles them.
    assert_eq!(bytes, [0, 0, 0, 0, 1, 4, 2, 2, 0x0a, 1, b'x', 0x10, 3]);
    let schema = json!({ "encoding": "protobuf", "schema": { "file": path } });
    let mut first = crate::sink(&registry.url, schema);
    let bytes = record(&mut first, &of("mural", &json!({ "a": "x" }))).await.unwrap();
    assert_eq!(bytes, [0, 0, 0, 0, 1, 0, 0x0a, 1, b'x'], "the first message is one byte");
}

#[tokio::test]
async fn members_go_to_avro_fields_by_name() {
    let registry = Registry::start().await;
    let (_folder, path) = file("audit.avsc", AVRO);
    let mut sink = avro_sink(&registry.url, &path);
    let schema: Value = serde_json::from_str(AVRO).unwrap();
    let event = json!({ "id": "e", "count": 7, "size": 1_i64 << 40, "ratio": 2, "near": 0.25, "ok": false, "raw": "r", "code": "abcd",
        "level": "HIGH", "tags": ["a", "b"], "labels": { "x": "y", "none": null }, "who": { "uid": "u", "boss": { "uid": "b" }, "extra": 1 },
        "friends": [{ "uid": "f" }], "either": 5, "at": 1_663_181_565_655_i64, "at_us": "2022-09-14T18:52:45.655001Z",
        "day": "2022-09-14", "key": "6f1C1E10-0000-4000-8000-000000000001", "not_in_the_schema": [1] });
    let bytes = record(&mut sink, &of("mural", &event)).await.unwrap();
    let decoded = datum::decode(&schema, header(&bytes).1);
    let expected = json!({ "id": "e", "count": 7, "size": 1_i64 << 40, "ratio": 2.0, "near": 0.25, "ok": false, "raw": "r", "code": "abcd",
        "level": "HIGH", "tags": ["a", "b"], "labels": { "x": "y", "none": null },
        "who": { "uid": "u", "boss": { "uid": "b", "boss": null } }, "friends": [{ "uid": "f", "boss": null }], "either": 5,
        "at": 1_663_181_565_655_i64, "at_us": 1_663_181_565_655_001_i64, "day": 19_249, "key": "6f1c1e10-0000-4000-8000-000000000001" });
    assert_eq!(decoded, expected);
    // What is absent, or null where the schema has none, has its default.
    let bytes = record(&mut sink, &of("mural", &json!({ "id": "e", "size": null, "tags": null }))).await.unwrap();
    let decoded = datum::decode(&schema, header(&bytes).1);
    let expected = json!({ "id": "e", "count": null, "size": -1, "ratio": 0.5, "near": 0.0, "ok": true, "raw": null, "code": null,
        "level": "LOW", "tags": [], "labels": {}, "who": null, "friends": [], "either": null, "at": null, "at_us": null, "day": null,
        "key": null });
    assert_eq!(decoded, expected);
}

#[tokio::test]
async fn what_does_not_fit_avro_is_named_with_its_path() {
    let registry = Registry::start().await;
    let (_folder, path) = file("audit.avsc", AVRO);
    let mut sink = avro_sink(&registry.url, &path);
    for (event, place, wanted, found) in [
        (json!({}), "`id`", "a string", "nothing"),
        (json!({ "id": null }), "`id`", "a string", "null"),
        (json!({ "id": 5 }), "`id`", "a string", "the number 5"),
        (json!({ "id": "e", "count": 1_i64 << 40 }), "`count`", "an int", "1099511627776"),
        (json!({ "id": "e", "count": "7" }), "`count`", "an int", "\"7\""),
        (json!({ "id": "e", "level": "MIDDLE" }), "`level`", "LOW, HIGH", "\"MIDDLE\""),
        (json!({ "id": "e", "tags": ["a", 1] }), "`tags[1]`", "a string", "the number 1"),
        (json!({ "id": "e", "labels": { "x": true } }), "`labels.x`", "a string", "true"),
        (json!({ "id": "e", "who": {} }), "`who.uid`", "a string", "nothing"),
        (
            json!({ "id": "e", "friends": [{ "uid": "a", "boss": { "uid": {} } }] }),
            "`friends[0].boss.uid`",
            "a string",
            "an object",
        ),
        (json!({ "id": "e", "either": [] }), "`either`", "or", "an array"),
        (json!({ "id": "e", "at": "yesterday" }), "`at`", "RFC 3339", "\"yesterday\""),
        (json!({ "id": "e", "at_us": i64::MAX }), "`at_us`", "a timestamp", "9223372036854775807"),
        (json!({ "id": "e", "day": "14.9." }), "`day`", "a date", "\"14.9.\""),
        (json!({ "id": "e", "key": "k" }), "`key`", "a UUID", "\"k\""),
        (json!({ "id": "e", "code": "abc" }), "`code`", "4 bytes", "\"abc\""),
        (json!({ "id": "e", "ratio": (1_i64 << 53) + 1 }), "`ratio`", "a double", "9007199254740993"),
        (json!([1]), "JSON object", "", ""),
    ] {
        let why = record(&mut sink, &of("mural", &event)).await.unwrap_err();
        assert!(why.contains(place) && why.contains(wanted) && why.contains(found), "{event}: {why}");
    }
}

fn descriptor() -> prost_reflect::MessageDescriptor {
    let (folder, path) = file("r.proto", PROTOBUF);
    let pool: DescriptorPool =
        protox::Compiler::new([folder.path()]).unwrap().open_file(&path).unwrap().descriptor_pool();
    pool.get_message_by_name("com.example.Outer.Audit").unwrap()
}

/// A record of [`PROTOBUF`], read back by the library.
fn read_back(record: &[u8]) -> DynamicMessage {
    let (_, rest) = header(record);
    assert_eq!(rest[..3], [4, 2, 2]);
    DynamicMessage::decode(descriptor(), &rest[3..]).unwrap()
}

#[tokio::test]
async fn members_go_to_protobuf_fields_by_name() {
    let registry = Registry::start().await;
    let (_folder, path) = file("r.proto", PROTOBUF);
    let mut sink = protobuf_sink(&registry.url, &path);
    let event = json!({ "id": "e", "count": -7, "size": -1_i64 << 40, "small": 4_000_000_000_u32, "big": 9, "ratio": 2, "near": 0.25,
        "ok": true, "raw": "r", "level": "HIGH", "tags": ["a", "b"], "labels": { "x": "y" }, "by_number": { "5": { "uid": "five" } },
        "who": { "uid": "u", "boss": { "uid": "b" }, "extra": 1 }, "at": "2022-09-14T18:52:45.655Z",
        "rest": { "a": [1, null, "x", { "b": true }] }, "maybe": "there", "userNumber": 12, "numbers": [0, -1], "anything": [0.5],
        "not_in_the_schema": [1] });
    let message = read_back(&record(&mut sink, &of("mural", &event)).await.unwrap());
    let get = |name: &str| message.get_field_by_name(name).unwrap().into_owned();
    assert_eq!(get("count"), Proto::I32(-7));
    assert_eq!(get("size"), Proto::I64(-1 << 40));
    assert_eq!(get("small"), Proto::U32(4_000_000_000));
    assert_eq!(get("big"), Proto::U64(9));
    assert_eq!((get("ratio"), get("near")), (Proto::F64(2.0), Proto::F32(0.25)));
    assert_eq!(get("raw"), Proto::Bytes("r".into()));
    assert_eq!(get("level"), Proto::EnumNumber(5));
    assert_eq!(get("user_number"), Proto::I64(12), "by its JSON name");
    assert_eq!(get("numbers"), Proto::List(vec![Proto::I32(0), Proto::I32(-1)]));
    let text = message.to_text_format();
    for part in [
        r#"tags:["a","b"]"#,
        r#"labels:[{key:"x",value:"y"}]"#,
        r#"by_number:[{key:5,value{uid:"five"}}]"#,
        r#"who{uid:"u",boss{uid:"b"}}"#,
        "at{seconds:1663181565,nanos:655000000}",
        r#"maybe{value:"there"}"#,
        "anything{list_value{values:[{number_value:0.5}]}}",
        "{null_value:NULL_VALUE}",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // Nothing is absent that was not given, and null is nothing.
    let message = read_back(&record(&mut sink, &of("mural", &json!({ "id": null }))).await.unwrap());
    assert_eq!(message.fields().count(), 0);
}

#[tokio::test]
async fn what_does_not_fit_protobuf_is_named_with_its_path() {
    let registry = Registry::start().await;
    let (_folder, path) = file("r.proto", PROTOBUF);
    let mut sink = protobuf_sink(&registry.url, &path);
    let mut deep = json!({});
    for _ in 0..60 {
        deep = json!({ "a": deep });
    }
    for (event, place, wanted, found) in [
        (json!({ "id": 5 }), "`id`", "a string", "the number 5"),
        (json!({ "small": -1 }), "`small`", "a uint32", "-1"),
        (json!({ "count": 1_i64 << 40 }), "`count`", "an int32", "1099511627776"),
        (json!({ "level": "MIDDLE" }), "`level`", "LOW, HIGH", "\"MIDDLE\""),
        (json!({ "tags": "a" }), "`tags`", "an array", "\"a\""),
        (json!({ "tags": ["a", null] }), "`tags[1]`", "a string", "null"),
        (json!({ "labels": { "x": true } }), "`labels.x`", "a string", "true"),
        (json!({ "by_number": { "x": {} } }), "`by_number.x`", "a key", "\"x\""),
        (json!({ "by_number": { "1": { "boss": 2 } } }), "`by_number.1.boss`", "`com.example.Who`", "2"),
        (json!({ "at": i64::MAX }), "`at`", "years 1 to 9999", "9223372036854775807"),
        (
            json!({ "user_name": "a", "user_number": 1 }),
            "`user_number`",
            "only one of `user_name` and `user_number`",
            "1",
        ),
        (json!({ "rest": { "a": i64::MAX } }), "`rest.a`", "a double", "9223372036854775807"),
        (json!({ "rest": deep }), "`rest", "at most 100 messages", "an object"),
    ] {
        let why = record(&mut sink, &of("mural", &event)).await.unwrap_err();
        assert!(why.contains(place) && why.contains(wanted) && why.contains(found), "{event}: {why}");
    }
}

#[tokio::test]
async fn a_required_field_of_proto2_has_to_be_there() {
    let registry = Registry::start().await;
    let text =
        "syntax = \"proto2\";\nmessage A { required string id = 1; optional L level = 2; }\nenum L { ONE = 1; }\n";
    let (_folder, path) = file("a.proto", text);
    let mut sink = crate::sink(&registry.url, json!({ "encoding": "protobuf", "schema": { "file": path } }));
    let why = record(&mut sink, &of("mural", &json!({}))).await.unwrap_err();
    assert!(why.contains("`id`") && why.contains("nothing"), "{why}");
    let why = record(&mut sink, &of("mural", &json!({ "id": "a", "level": 2 }))).await.unwrap_err();
    assert!(why.contains("`level`") && why.contains("ONE"), "{why}");
}

#[tokio::test]
async fn the_newest_schema_of_the_registry_is_used() {
    let registry = Registry::start().await;
    registry.put("audit-value", "AVRO", r#"{"type": "record", "name": "A", "fields": []}"#);
    let id = registry.put(
        "audit-value",
        "AVRO",
        r#"{"type": "record", "name": "A", "fields": [{"name": "b", "type": "int"}]}"#,
    );
    let mut sink = crate::sink(&registry.url, json!({ "encoding": "avro", "schema": "latest" }));
    let bytes = record(&mut sink, &of("mural", &json!({ "b": 1 }))).await.unwrap();
    assert_eq!(bytes, [&[0], &id.to_be_bytes()[..], &[2]].concat());
    assert_eq!(registry.requests(), ["GET /subjects/audit-value/versions/latest"]);
}

#[tokio::test]
async fn a_schema_of_the_users_may_have_the_whole_event_too() {
    let registry = Registry::start().await;
    let text = r#"{"type": "record", "name": "A", "fields": [{"name": "event_json", "type": ["null", "bytes"]}]}"#;
    let (_folder, path) = file("a.avsc", text);
    let mut sink = avro_sink(&registry.url, &path);
    let event = json!({ "a": [1, "x"], "event_json": "its own" });
    let bytes = record(&mut sink, &of("mural", &event)).await.unwrap();
    let decoded = datum::decode(&serde_json::from_str(text).unwrap(), header(&bytes).1);
    assert_eq!(serde_json::from_str::<Value>(decoded["event_json"].as_str().unwrap()).unwrap(), event);
}

/// Anything that JSON can say.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-100_i64..100).prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        "[a-zA-Z0-9é\u{0}\"\\\\ ]{0,6}".prop_map(Value::from),
        Just(json!("HIGH")),
        Just(json!("2022-09-14T18:52:45.655Z")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..5).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let names = "id count size ratio near ok raw code level tags labels who friends either at at_us day key uid boss small big by_number rest \
        maybe user_name user_number numbers anything event_json other";
    prop::sample::select(names.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
}

/// Events, most of which nearly fit.
fn events() -> impl Strategy<Value = Value> {
    let member = (name(), json_value());
    let likely = prop_oneof![
        any::<i32>().prop_map(|n| ("count".to_owned(), json!(n))),
        any::<i64>().prop_map(|n| ("size".to_owned(), json!(n))),
        any::<u32>().prop_map(|n| ("small".to_owned(), json!(n))),
        (-1e9..1e9_f64).prop_map(|n| ("ratio".to_owned(), json!(n))),
        prop::collection::vec("[a-z]{0,3}", 0..4).prop_map(|tags| ("tags".to_owned(), json!(tags))),
        prop::collection::btree_map("[a-z]{0,3}", "[a-z]{0,3}", 0..4)
            .prop_map(|labels| ("labels".to_owned(), json!(labels))),
        "[a-z]{0,3}".prop_map(|uid| ("who".to_owned(), json!({ "uid": uid, "boss": { "uid": "x" } }))),
        (0..2_000_000_000_000_i64).prop_map(|at| ("at".to_owned(), json!(at))),
        any::<bool>().prop_map(|ok| ("ok".to_owned(), json!(ok))),
        json_value().prop_map(|any| ("anything".to_owned(), any)),
        json_value().prop_map(|any| ("either".to_owned(), any)),
    ];
    let members = (prop::collection::vec(likely, 0..6), prop::collection::vec(member, 0..2));
    prop_oneof![
        20 => members.prop_map(|(likely, any)| {
            likely.into_iter().chain(any).chain([("id".to_owned(), json!("e"))]).collect::<Value>()
        }),
        1 => json_value(),
    ]
}

/// Whether a decoded value is the event's: numbers by their value, times by their meaning, members by name, nothing by its default.
fn same(path: &str, decoded: &Value, event: &Value) -> bool {
    match (decoded, event) {
        (Value::Object(decoded), Value::Object(event)) if matches!(path, "labels" | "anything" | "rest") => {
            let member = |key| event.get(key).unwrap_or(&Value::Bool(true));
            decoded.len() == event.len() && decoded.iter().all(|(key, value)| same("anything", value, member(key)))
        }
        (Value::Object(decoded), Value::Object(event)) => {
            decoded.iter().all(|(key, value)| same(key, value, event.get(key).unwrap_or(&Value::Null)))
        }
        (Value::Array(decoded), Value::Array(event)) => {
            let below = if matches!(path, "anything" | "rest") { path } else { "" };
            decoded.len() == event.len()
                && decoded.iter().zip(event).all(|(decoded, event)| same(below, decoded, event))
        }
        (Value::Number(decoded), Value::Number(event)) => match path {
            "at_us" => decoded.as_i64() == event.as_i64().map(|at| at * 1000),
            "near" => decoded.as_f64().map(|n| n as f32) == event.as_f64().map(|n| n as f32),
            _ => decoded == event || (decoded.is_f64() && decoded.as_f64() == event.as_f64()),
        },
        // Protobuf's enums are numbers, and Avro's are symbols.
        (Value::Number(decoded), Value::String(symbol)) if path == "level" => {
            decoded.as_i64() == Some(if symbol == "HIGH" { 5 } else { 0 })
        }
        (Value::Number(decoded), Value::String(_)) => {
            matches!(path, "at" | "at_us") && decoded.as_i64() >= Some(1_663_181_565_655)
        }
        (decoded, Value::Null) => {
            let defaults = json!({ "size": -1, "ratio": 0.5, "near": 0.0, "ok": true, "level": "LOW", "tags": [], "labels": {}, "friends": [] });
            *decoded == defaults[path]
        }
        (decoded, event) => decoded == event,
    }
}

fn ready(make: fn(&str, &Path) -> KafkaSink, name: &str, text: &str) -> KafkaSink {
    let (_folder, path) = file(name, text);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let registry = Registry::start().await;
        let mut sink = make(&registry.url, &path);
        sink.prepare(&[of("mural", &json!({}))]).await.unwrap();
        sink
    })
}

#[test]
fn any_event_comes_back_from_avro_or_is_refused() {
    let sink = ready(avro_sink, "audit.avsc", AVRO);
    let schema: Value = serde_json::from_str(AVRO).unwrap();
    let (written, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(2000));
    let run = runner.run(&events(), |event| {
        match sink.encode(&of("mural", &event)) {
            Ok(record) => {
                let decoded = datum::decode(&schema, header(&record.value).1);
                prop_assert!(same("", &decoded, &event), "{} from {}", decoded, event);
                written.set(written.get() + 1);
            }
            Err(why) => {
                prop_assert!(why.contains("does not fit") || why.contains("no JSON object"), "{}", why);
                refused.set(refused.get() + 1);
            }
        }
        Ok(())
    });
    run.unwrap();
    let (written, refused) = (written.get(), refused.get());
    assert!(written > 200 && refused > 200, "{written} written, {refused} refused");
}

/// A message as JSON, for `same`.
fn plain(value: &Proto) -> Value {
    match value {
        Proto::Bool(truth) => json!(truth),
        Proto::I32(n) | Proto::EnumNumber(n) => json!(n),
        Proto::I64(n) => json!(n),
        Proto::U32(n) => json!(n),
        Proto::U64(n) => json!(n),
        Proto::F32(n) => json!(n),
        Proto::F64(n) => json!(n),
        Proto::String(text) => json!(text),
        Proto::Bytes(bytes) => json!(String::from_utf8(bytes.to_vec()).unwrap()),
        Proto::List(items) => items.iter().map(plain).collect(),
        Proto::Map(members) => {
            let key = |key: &prost_reflect::MapKey| match key {
                prost_reflect::MapKey::String(key) => key.clone(),
                prost_reflect::MapKey::I32(key) => key.to_string(),
                other => panic!("{other:?}"),
            };
            members.iter().map(|(name, value)| (key(name), plain(value))).collect()
        }
        Proto::Message(message) => {
            let get = |name: &str| message.get_field_by_name(name).map(|value| plain(&value)).unwrap();
            match message.descriptor_name().as_str() {
                "google.protobuf.Timestamp" => {
                    json!(get("seconds").as_i64().unwrap() * 1000 + get("nanos").as_i64().unwrap() / 1_000_000)
                }
                "google.protobuf.Struct" => get("fields"),
                "google.protobuf.ListValue" => get("values"),
                "google.protobuf.StringValue" => get("value"),
                "google.protobuf.Value" => match message.fields().next() {
                    Some((field, _)) if field.name() == "null_value" => Value::Null,
                    Some((_, value)) => plain(value),
                    None => panic!("a value without a kind"),
                },
                _ => message.fields().map(|(field, value)| (field.name().to_owned(), plain(value))).collect(),
            }
        }
    }
}

trait Named {
    fn descriptor_name(&self) -> String;
}

impl Named for DynamicMessage {
    fn descriptor_name(&self) -> String {
        prost_reflect::ReflectMessage::descriptor(self).full_name().to_owned()
    }
}

#[test]
fn any_event_comes_back_from_protobuf_or_is_refused() {
    let sink = ready(protobuf_sink, "r.proto", PROTOBUF);
    let (written, refused) = (Cell::new(0), Cell::new(0));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(2000));
    let descriptor = descriptor();
    let run = runner.run(&events(), |event| {
        match sink.encode(&of("mural", &event)) {
            Ok(record) => {
                let message = DynamicMessage::decode(descriptor.clone(), &header(&record.value).1[3..]).unwrap();
                let decoded = plain(&Proto::Message(message));
                // What is not on the wire is null, or what Protobuf has in its place.
                for (name, value) in decoded.as_object().unwrap() {
                    prop_assert!(same(name, value, &event[name]), "{name}: {} from {}", value, event);
                }
                for field in descriptor.fields().filter(|field| decoded.get(field.name()).is_none()) {
                    let nothing = [
                        json!(null),
                        json!(0),
                        json!(0.0),
                        json!(-0.0),
                        json!(""),
                        json!(false),
                        json!([]),
                        json!({}),
                        json!("LOW"),
                    ];
                    prop_assert!(nothing.contains(&event[field.name()]), "{} of {}", field.name(), event);
                }
                written.set(written.get() + 1);
            }
            Err(why) => {
                prop_assert!(why.contains("does not fit") || why.contains("no JSON object"), "{}", why);
                refused.set(refused.get() + 1);
            }
        }
        Ok(())
    });
    run.unwrap();
    let (written, refused) = (written.get(), refused.get());
    assert!(written > 200 && refused > 200, "{written} written, {refused} refused");
}
