//! A registry that refuses, fails or is away: the events wait, and the reason says what to do.

use crate::{Registry, of, reason, registry::PAGE, sink};
use headwater_contracts::Sink as _;
use serde_json::json;

/// Why the batch waits; it must not be any event's fault.
async fn waits(registry: &Registry, options: serde_json::Value) -> String {
    let mut sink = sink(&registry.url, options);
    reason(sink.deliver(&[of("mural", &json!({ "class_uid": 6003 }))]).await.unwrap_err())
}

#[tokio::test]
async fn every_failure_is_waited_for_with_advice() {
    let registry = Registry::start().await;
    let avro = json!({ "encoding": "avro" });
    let json_of = |code: u32, message: &str| json!({ "error_code": code, "message": message }).to_string();
    for (status, body, advice) in [
        (401, json_of(40101, "Unauthorized"), "`username` and `password`, or `token`"),
        (401, PAGE.to_owned(), "`username` and `password`, or `token`"),
        (403, json_of(40301, "User is denied"), "`register: false`"),
        (404, PAGE.to_owned(), "the base of its API"),
        (409, json_of(409, "Incompatible: READER_FIELD_MISSING"), "compatibility level"),
        (422, json_of(42201, "Invalid schema"), "invalid"),
        (429, PAGE.to_owned(), "too often"),
        (500, json_of(50001, "Error in the backend"), "failed"),
        (503, PAGE.to_owned(), "failed"),
        (302, String::new(), "the base of its API"),
    ] {
        registry.fail(Some((status, &body)));
        let why = waits(&registry, avro.clone()).await;
        assert!(why.contains(advice) && why.contains(&format!("HTTP {status}")), "{status}: {why}");
        assert!(why.contains(&registry.url), "{why}");
        // The registry's own words, where it has some.
        let said = serde_json::from_str::<serde_json::Value>(&body).ok();
        assert!(said.is_none_or(|said| why.contains(said["message"].as_str().unwrap())), "{why}");
    }
    registry.fail(Some((200, "{}")));
    assert!(waits(&registry, avro.clone()).await.contains("names no schema"));
    registry.fail(Some((200, PAGE)));
    let why = waits(&registry, avro).await;
    assert!(why.contains("schema registry"), "{why}");
}

#[tokio::test]
async fn a_registry_that_is_away_is_waited_for_and_then_asked_again() {
    let registry = Registry::start().await;
    let events = [of("mural", &json!({ "class_uid": 6003 }))];
    // Port 1 is nobody's.
    let address = "http://127.0.0.1:1";
    let mut away = sink(address, json!({ "encoding": "avro" }));
    let why = reason(away.prepare(&events).await.unwrap_err());
    assert!(why.contains(address) && why.contains("is it up"), "{why}");
    // The same sink goes on once it answers.
    let mut sink = sink(&registry.url, json!({ "encoding": "avro" }));
    registry.fail(Some((500, PAGE)));
    assert!(sink.prepare(&events).await.is_err());
    assert!(sink.encode(&events[0]).unwrap_err().contains("not known yet"));
    registry.fail(None);
    sink.prepare(&events).await.unwrap();
    sink.prepare(&events).await.unwrap();
    sink.encode(&events[0]).unwrap();
    assert_eq!(registry.requests().len(), 2, "what is known is not asked again");
}

#[tokio::test]
async fn a_schema_that_is_not_there_is_asked_for() {
    let registry = Registry::start().await;
    let options = json!({ "encoding": "avro", "schema_registry": { "register": false } });
    let why = waits(&registry, options.clone()).await;
    assert!(why.contains("`register: true`") && why.contains("audit-value"), "{why}");
    assert_eq!(registry.requests(), ["POST /subjects/audit-value"], "nothing is registered");
    let id = registry.put("audit-value", "AVRO", include_str!("../../schemas/ocsf-event.avsc"));
    let mut found = sink(&registry.url, options);
    let event = of("mural", &json!({ "class_uid": 6003 }));
    let record = crate::record(&mut found, &event).await.unwrap();
    assert_eq!(crate::header(&record).0, id);

    let latest = json!({ "encoding": "protobuf", "schema": "latest", "topic": "other" });
    let why = waits(&registry, latest.clone()).await;
    assert!(why.contains("has no subject `other-value`") && why.contains("`latest`"), "{why}");
    registry.put("other-value", "AVRO", "{}");
    let why = waits(&registry, latest.clone()).await;
    assert!(why.contains("is AVRO") && why.contains("`encoding`"), "{why}");
    registry.put("other-value", "PROTOBUF", "message {");
    let why = waits(&registry, latest).await;
    assert!(why.contains("is no Protobuf schema") && why.contains("1:"), "{why}");
}

#[tokio::test]
async fn credentials_go_where_they_belong() {
    let registry = Registry::start().await;
    let event = [of("mural", &json!({ "class_uid": 6003 }))];
    for (credential, options) in [
        ("Basic bWU6c2VjcmV0", json!({ "username": "me", "password": "secret" })),
        ("Bearer token-1", json!({ "token": "token-1" })),
    ] {
        registry.only(credential);
        let mut sink = sink(&registry.url, json!({ "encoding": "avro", "schema_registry": options }));
        sink.prepare(&event).await.unwrap();
    }
    let mut wrong = sink(&registry.url, json!({ "encoding": "avro", "schema_registry": { "token": "token-2" } }));
    let why = reason(wrong.prepare(&event).await.unwrap_err());
    assert!(why.contains("HTTP 401") && !why.contains("token-2"), "{why}");
}

#[tokio::test]
async fn every_subject_is_asked_once() {
    let registry = Registry::start().await;
    let event = |team: &str| of("mural", &json!({ "team": team }));
    let events = [event("red"), event("blue"), event("red"), of("mural", &json!({})), event("a b")];
    let mut sink = sink(&registry.url, json!({ "encoding": "avro", "topic": "audit.{{ team }}" }));
    for _ in 0..3 {
        sink.prepare(&events).await.unwrap();
    }
    assert_eq!(
        registry.requests(),
        ["POST /subjects/audit.red-value/versions", "POST /subjects/audit.blue-value/versions"]
    );
    assert!(sink.encode(&events[3]).unwrap_err().contains("`team`"));
    assert!(sink.encode(&events[4]).unwrap_err().contains("cannot be the name of a topic"));
}

#[tokio::test]
async fn subjects_are_called_as_the_strategy_has_it() {
    let registry = Registry::start().await;
    for (subject, expected) in [
        ("topic", "audit-value"),
        ("record", "io.headwater.ocsf.OcsfEvent"),
        ("topic_record", "audit-io.headwater.ocsf.OcsfEvent"),
        ("audit/{{ class_uid }}", "audit/6003"),
    ] {
        let mut sink = sink(&registry.url, json!({ "encoding": "avro", "schema_registry": { "subject": subject } }));
        let record = crate::record(&mut sink, &of("mural", &json!({ "class_uid": 6003 }))).await.unwrap();
        assert_eq!(registry.schema(crate::header(&record).0).0, expected);
    }
}
