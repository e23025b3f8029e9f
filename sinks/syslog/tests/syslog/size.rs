//! What is left out where an event is too large.

use crate::{
    events::{made, message, ocsf},
    parser::parse,
};
use headwater_testkit::sink_suite;
use serde_json::{Value, json};

fn sent(body: &Value, more: &Value) -> crate::parser::Message {
    let message = message(&made(body), more).unwrap();
    let most = more["max_length"].as_u64().unwrap();
    assert!(message.len() as u64 <= most, "{} bytes of {most}", message.len());
    parse(&message).unwrap()
}

#[test]
fn raw_data_goes_first_then_unmapped_then_all_but_the_sentence() {
    let mut body = ocsf("e-1", "ana", "read r-1 by ana");
    body["raw_data"] = json!("r".repeat(3000));
    body["unmapped"] = json!({"more": "u".repeat(3000)});
    let json = |most: u64| serde_json::from_str::<Value>(&sent(&body, &json!({"max_length": most})).msg);

    assert_eq!(json(8192).unwrap(), body);
    let without_raw = json(6000).unwrap();
    assert!(without_raw.get("raw_data").is_none() && without_raw.get("unmapped").is_some());
    assert_eq!(without_raw["metadata"]["is_truncated"], true);
    assert_eq!(without_raw["metadata"]["untruncated_size"], serde_json::to_string(&body).unwrap().len());
    let least = json(2000).unwrap();
    assert!(least.get("raw_data").is_none() && least.get("unmapped").is_none());
    let sentence = sent(&body, &json!({"max_length": 500}));
    assert_eq!(sentence.msg, "read r-1 by ana");
    assert_eq!(sentence.data["ocsf@32473"]["uid"], "e-1");
}

#[test]
fn a_sentence_is_cut_between_characters_and_structured_data_gives_way_where_it_is_too_long_itself() {
    let long = "ü🦀".repeat(400);
    let mut body = ocsf("e-1", "ana", &long);
    body["resources"] = json!([]);
    let cut = sent(&body, &json!({"max_length": 600}));
    assert!(long.starts_with(&cut.msg) && cut.msg.len() > 200, "{cut:?}");

    let own =
        json!([{ "id": "token@1", "params": {"a": "{{ metadata.uid }}", "b": "{{ missing }}"} }, "ocsf", "origin"]);
    let crowded = sent(&ocsf("e-1", &long, "short"), &json!({"max_length": 600, "structured_data": own}));
    assert_eq!(crowded.msg, "short");
    assert_eq!(crowded.data.keys().collect::<Vec<_>>(), ["token@1"], "one's own elements stay");
    assert_eq!(crowded.data["token@1"].clone().into_iter().collect::<Vec<_>>(), [("a".to_owned(), "e-1".to_owned())]);
}

#[test]
fn fields_of_cef_and_leef_are_left_out_whole() {
    let body = ocsf("e-1", "ana", &"long ".repeat(300));
    let cef = sent(&body, &json!({"max_length": 800, "body": "cef", "structured_data": []})).msg;
    assert!(cef.starts_with("CEF:0|V=1|P\\|1|") && cef.ends_with("cs3Label=targetId cs3=r-1"), "{cef}");
    let leef = sent(&body, &json!({"max_length": 800, "body": "leef", "structured_data": []})).msg;
    assert!(leef.starts_with("LEEF:2.0|V=1|P 1|") && leef.ends_with("\ttargetId=r-1"), "{leef}");
}

#[test]
fn no_control_character_reaches_a_message() {
    let nasty = "a\u{1b}[2Jb\u{7f}c\u{85}d\u{2028}e\tf";
    let body = ocsf("e-1", nasty, nasty);
    let sent = sent(&body, &json!({"max_length": 4000, "body": "message"}));
    assert_eq!(sent.data["ocsf@32473"]["actor_name"], "a [2Jb c d e\tf");
    assert_eq!(sent.msg, "a [2Jb c d e\tf");
}

#[test]
fn an_event_that_has_no_sentence_is_refused_with_the_limit() {
    let event = sink_suite::event("e-1", &"x".repeat(9000), true);
    let reason = message(&event, &json!({})).unwrap_err();
    assert!(reason.contains("8000") && reason.contains("max_length"), "{reason}");
}

#[test]
fn events_that_are_not_ocsf_are_sent_with_what_is_known() {
    let event = sink_suite::event("e-1", "hello\nthere", false);
    let message = |more: Value| parse(&message(&event, &more).unwrap()).unwrap();
    let plain = message(json!({}));
    assert_eq!((plain.pri, plain.app.as_str(), plain.msgid.as_str()), (110, "suite", "-"));
    assert_eq!(plain.time, "2025-10-09T08:53:20.000Z");
    assert_eq!(plain.data["ocsf@32473"]["uid"], "e-1");
    assert_eq!(plain.msg, r#"{"id":"e-1","text":"hello\nthere"}"#);
    assert_eq!(message(json!({"body": "message"})).msg, plain.msg);
    assert!(message(json!({"body": "cef"})).msg.starts_with("CEF:0|headwater|suite|unknown|0|Audit Event|0|rt="));
    assert!(message(json!({"body": "leef"})).msg.starts_with("LEEF:2.0|headwater|suite|unknown|0|x09|devTime="));
}

#[test]
fn templates_fill_the_header() {
    let event = made(&ocsf("e-1", "ana", "m"));
    let options = json!({"facility": "{{ actor.user.uid }}"});
    assert!(message(&event, &options).unwrap_err().contains("`u-1` is no syslog facility"));
    let options = json!({"facility": "local0", "severity": "{{ status_id }}", "app_name": "audit {{ actor.user.name }}",
        "msgid": "{{ nothing }}", "bom": true, "body": "message", "enterprise_id": 7});
    let message = parse(&message(&event, &options).unwrap()).unwrap();
    assert_eq!((message.pri, message.app.as_str(), message.msgid.as_str()), (16 * 8 + 1, "audit_ana", "-"));
    assert_eq!((message.bom, message.msg.as_str()), (true, "m"));
    assert!(message.data.contains_key("ocsf@7"));
}
