//! The Sigma rules in `examples/detections`, by an engine for Sigma, over the events that the example's pipeline delivers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use headwater_contracts::Period;
use serde_json::Value;
use sigma_rust::{event_from_json, rule_from_yaml};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The documents of a file of rules.
fn documents(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.split("\n---\n").map(str::to_owned).collect()
}

fn id(event: &Value) -> String {
    event["metadata"]["uid"].as_str().unwrap_or_else(|| panic!("{event}")).to_owned()
}

/// What every document of Sigma has, and the engine does not insist on.
fn is_complete(name: &str, document: &str) {
    let document: Value = serde_yaml_ng::from_str(document).unwrap();
    for key in ["title", "id", "status", "description", "author", "date", "level"] {
        assert!(document[key].is_string(), "{name}: {key}");
    }
}

/// Holds the rules of `folder` against `events`, all that a run delivered, and `messages`, the syslog messages of the
/// same run: what a rule finds is what the pipeline sent, with the severity that the rule's level says.
pub(crate) fn hold(folder: &Path, events: &[Value], messages: &[Value]) {
    let mut sent = sent(messages);
    let mut names = BTreeSet::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        let documents = documents(&path);
        documents.iter().for_each(|document| is_complete(&file, document));
        let rule = rule_from_yaml(&documents[0]).unwrap_or_else(|error| panic!("{file}: {error}"));
        let name = rule.name.clone().unwrap_or_else(|| file.clone());
        let found: Vec<&Value> =
            events.iter().filter(|event| rule.is_match(&event_from_json(&event.to_string()).unwrap())).collect();
        assert!(!found.is_empty() && found.len() < events.len() / 2, "{file}: {} of {}", found.len(), events.len());
        let ids: BTreeSet<String> = found.iter().map(|event| id(event)).collect();
        let (priority, alerted) = sent.remove(&name).unwrap_or_default();
        assert_eq!(alerted, ids, "{file}: the pipeline sends what the rule finds");
        assert_eq!(priority, if documents.len() == 1 { "<107>" } else { "<108>" }, "{file}: an error, or a warning");
        if let [_, correlation] = &documents[..] {
            correlates(&name, correlation, &found);
        }
        names.insert(file);
    }
    let expected = ["api_policy_removed", "api_token_regenerated", "repeated_failed_logins"];
    assert_eq!(names.iter().collect::<Vec<_>>(), expected);
    assert!(sent.is_empty(), "nothing else is sent: {sent:?}");
}

/// Priority and ids of the events that were sent, by detection.
fn sent(messages: &[Value]) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut sent = BTreeMap::<String, (String, BTreeSet<String>)>::new();
    for message in messages.iter().map(|message| message.as_str().unwrap()) {
        let (header, body) = message.split_once("] {").unwrap_or_else(|| panic!("{message}"));
        let event: Value = serde_json::from_str(&format!("{{{body}")).unwrap();
        let labels =
            event["metadata"]["labels"].as_array().expect("labels").iter().map(|label| label.as_str().unwrap());
        let detections: Vec<&str> = labels.filter(|label| *label != "simulated" && *label != "late_arrival").collect();
        let [detection] = detections[..] else { panic!("one detection: {detections:?}") };
        let (priority, ids) = sent.entry(detection.to_owned()).or_default();
        let severity = header.split_inclusive('>').next().unwrap().to_owned();
        assert!(priority.is_empty() || *priority == severity, "{message}");
        *priority = severity;
        ids.insert(id(&event));
    }
    sent
}

/// The engine knows no correlations. This one, of type `event_count`, is simple: so many events of a rule that agree in
/// some fields, within a time.
fn correlates(rule: &str, document: &str, found: &[&Value]) {
    let document: Value = serde_yaml_ng::from_str(document).unwrap();
    let correlation = &document["correlation"];
    assert_eq!((&correlation["type"], &correlation["rules"]), (&"event_count".into(), &vec![rule].into()));
    let span: Period = serde_json::from_value(correlation["timespan"].clone()).unwrap();
    let span = span.0.num_milliseconds();
    let many = usize::try_from(correlation["condition"]["gte"].as_u64().unwrap()).unwrap();
    let fields = correlation["group-by"].as_array().unwrap();
    let group = |event: &Value| -> Vec<Value> {
        let pointers = fields.iter().map(|field| format!("/{}", field.as_str().unwrap().replace('.', "/")));
        pointers
            .map(|pointer| event.pointer(&pointer).unwrap_or_else(|| panic!("{pointer}: {event}")).clone())
            .collect()
    };
    let time = |event: &Value| event["time"].as_i64().unwrap();
    let repeated = found.iter().filter(|first| {
        let near = |later: &&&Value| (0..=span).contains(&(time(later) - time(first)));
        found.iter().filter(near).filter(|later| group(later) == group(first)).count() >= many
    });
    let repeated = repeated.count();
    assert!(repeated > 0 && repeated < found.len() / 2, "{repeated} of {} failed logins begin a series", found.len());
}
