//! What `validate` finds without asking anyone.

use crate::{config, file};
use serde_json::{Value, json};

fn problem(more: Value) -> (String, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let error =
        config("http://localhost:8081", more.clone()).sink().err().unwrap_or_else(|| panic!("{more} is accepted"));
    (error.field, error.problem)
}

#[test]
fn options_that_cannot_be_are_refused_by_name() {
    for (more, field) in [
        (json!({}), "schema_registry"),
        (json!({ "encoding": "avro", "cloud_events": "structured" }), "cloud_events"),
        (json!({ "encoding": "avro", "schema_registry": { "url": "ftp://a" } }), "schema_registry.url"),
        (json!({ "encoding": "avro", "schema_registry": { "url": "http://me:secret@a" } }), "schema_registry.url"),
        (json!({ "encoding": "avro", "schema_registry": { "url": "http://a?b" } }), "schema_registry.url"),
        (json!({ "encoding": "avro", "schema_registry": { "tls": { "verify": false } } }), "schema_registry.tls"),
        (
            json!({ "encoding": "avro", "schema_registry": { "url": "https://a", "tls": { "ca_file": "/not/there" } } }),
            "schema_registry.tls.ca_file",
        ),
        (json!({ "encoding": "avro", "schema_registry": { "password": "secret" } }), "schema_registry.username"),
        (
            json!({ "encoding": "avro", "schema_registry": { "username": "a", "password": "secret", "token": "b" } }),
            "schema_registry.token",
        ),
        (json!({ "encoding": "avro", "schema_registry": { "token": "secret\n" } }), "schema_registry.token"),
        (json!({ "encoding": "avro", "schema_registry": { "subject": "{{ a" } }), "schema_registry.subject"),
        (json!({ "encoding": "avro", "schema_registry": { "subject": "" } }), "schema_registry.subject"),
        (
            json!({ "encoding": "avro", "schema": "latest", "schema_registry": { "subject": "record" } }),
            "schema_registry.subject",
        ),
        (json!({ "encoding": "avro", "schema": { "file": "/not/there.avsc" } }), "schema"),
    ] {
        let (found, problem) = problem(more.clone());
        assert_eq!(found, field, "{more}: {problem}");
        assert!(!problem.contains("secret"), "{problem}");
    }
    let without = json!({ "bootstrap_servers": "localhost:9092", "encoding": "avro" });
    let config: headwater_sink_kafka::KafkaConfig = serde_json::from_value(without).unwrap();
    assert_eq!(config.sink().err().unwrap().field, "schema_registry");
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_its_place() {
    for (name, text, message, said) in [
        ("a.avsc", "{\n  \"type\": record\n}", None, "line 2"),
        ("a.avsc", "{\"type\": \"recrd\", \"name\": \"A\"}", None, "no Avro schema"),
        ("a.avsc", "\"string\"", None, "is a string, and an event is a record"),
        (
            "a.avsc",
            "{\"type\": \"record\", \"name\": \"A\", \"fields\": [{\"name\": \"b\", \"type\": \"C\"}]}",
            None,
            "C",
        ),
        (
            "a.avsc",
            r#"{"type": "record", "name": "A", "fields": [{"name": "b", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4}}]}"#,
            None,
            "at `A.b` holds a decimal",
        ),
        ("a.avsc", r#"{"type": "record", "name": "A", "fields": []}"#, Some("A"), "no `message`"),
        ("a.proto", "syntax = \"proto3\";\nmessage A {\n  strin id = 1;\n}\n", None, "a.proto:3:3"),
        ("a.proto", "syntax = \"proto3\";\nmessage A {\n  string id 1;\n}\n", None, "a.proto:3:"),
        ("a.proto", "syntax = \"proto3\";\nimport \"b.proto\";\nmessage A {}\n", None, "b.proto"),
        ("a.proto", "syntax = \"proto3\";\n", None, "has no message"),
        ("a.proto", "syntax = \"proto3\";\npackage p;\nmessage A {}\n", Some("A"), "it has: p.A"),
    ] {
        let (_folder, path) = file(name, text);
        let encoding = if name == "a.avsc" { "avro" } else { "protobuf" };
        let mut schema = json!({ "file": path });
        if let Some(message) = message {
            schema["message"] = message.into();
        }
        let (field, problem) = problem(json!({ "encoding": encoding, "schema": schema }));
        assert_eq!(field, "schema");
        assert!(problem.contains(said) && problem.contains(name), "{text}: {problem}");
    }
}
