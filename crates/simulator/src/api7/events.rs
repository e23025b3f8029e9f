//! The JSON of an entry: variations of recorded samples, and the records of readings.

use super::TimeUnit;
use crate::dice::{Dice, halves};
use crate::log::{Body, Entry, Reading, Who};
use crate::people::{PEOPLE, SERVICES};
use crate::template::Template;
use serde_json::Value;
use std::io::Write;

/// The samples; those after `USUAL` are odd.
const SAMPLES: [&str; 11] = [
    include_str!("../../samples/api7/add-service.json"),
    include_str!("../../samples/api7/consumer-secret-redacted.json"),
    include_str!("../../samples/api7/invite-user.json"),
    include_str!("../../samples/api7/login-success.json"),
    include_str!("../../samples/api7/patch-service-token.json"),
    include_str!("../../samples/api7/user-role-update.json"),
    include_str!("../../samples/api7/login-failure.json"),
    include_str!("../../samples/api7/unknown-event.json"),
    include_str!("../../samples/api7/odd-missing-members.json"),
    include_str!("../../samples/api7/odd-extra-members.json"),
    include_str!("../../samples/api7/odd-large-body.json"),
];
const USUAL: usize = 6;

/// `event_type` of readings. No key is public; the name is made as the public ones are.
const READ: &str = "List Audit Logs";

/// Who operates the gateway, beside the people.
const OPS: (&str, &str, u32) = ("Ops", "ops", 1);

/// What differs between variations of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slot {
    Id,
    Time,
    OperatorId,
    Email,
    Username,
    /// With a number for the kind of thing.
    Resource(u64),
    Name,
    Padding,
}

/// Renders entries.
pub(super) struct Events {
    templates: Vec<Template<Slot>>,
    types: Vec<String>,
    unit: TimeUnit,
    padding: usize,
}

/// A key as an id: a UUID's form.
pub(super) fn id(key: u128) -> String {
    let hex = format!("{key:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The key of an id.
pub(super) fn key(id: &str) -> Option<u128> {
    u128::from_str_radix(&id.replace('-', ""), 16).ok()
}

impl Events {
    pub(super) fn new(unit: TimeUnit, padding: u32) -> Self {
        let parsed: Vec<Value> =
            SAMPLES.iter().map(|sample| serde_json::from_str(sample).unwrap_or_default()).collect();
        let mut types: Vec<String> =
            parsed.iter().map(|value| value["event_type"].as_str().unwrap_or_default().to_owned()).collect();
        types.push(READ.to_owned());
        types.sort_unstable();
        types.dedup();
        Self {
            templates: SAMPLES.iter().zip(&parsed).map(|(sample, value)| Template::new(sample, slots(value))).collect(),
            types,
            unit,
            padding: usize::try_from(padding).unwrap_or_default(),
        }
    }

    /// `(usual, all)` samples.
    pub(super) fn samples(&self) -> (usize, usize) {
        (USUAL, self.templates.len())
    }

    /// All event types.
    pub(super) fn types(&self) -> &[String] {
        &self.types
    }

    /// Appends the entry's JSON; `time` (ms) is when it happened, `answer` the `http_response` of a reading.
    pub(super) fn render(&self, entry: &Entry, time: i64, answer: &[u8], out: &mut Vec<u8>) {
        match &entry.body {
            Body::Sample(number) => {
                if let Some(template) = self.templates.get(usize::from(*number)) {
                    self.render_sample(template, entry, time, out);
                }
            }
            Body::Reading(reading) => self.render_reading(entry, reading, time, answer, out),
        }
    }

    fn render_sample(&self, template: &Template<Slot>, entry: &Entry, time: i64, out: &mut Vec<u8>) {
        let mut dice = Dice::new(&halves(entry.key));
        let (name, local, number) = if dice.chance(150) { OPS } else { dice.pick(PEOPLE) };
        let title = dice.pick(SERVICES);
        let service = title.to_lowercase().replace(' ', "-");
        // The same in all records, so that a log can be asked what one person did, or what was done to one thing.
        let operator = Dice::new(&[u64::from(number), 0x0e]).wide();
        let resource = |kind| Dice::new(&[sum(title), kind, 0x0f]).wide();
        template.render(out, |slot, out| match slot {
            // Writing to a Vec cannot fail.
            Slot::Id => drop(write!(out, "\"id\":\"{}\"", id(entry.key))),
            Slot::Time => drop(write!(out, "{}", self.unit.number(time))),
            Slot::OperatorId => out.extend_from_slice(id(operator).as_bytes()),
            Slot::Email => drop(write!(out, "{local}@example.com")),
            Slot::Username => drop(write!(out, "\"username\":\"{name}\"")),
            Slot::Resource(kind) => out.extend_from_slice(id(resource(kind)).as_bytes()),
            Slot::Name => out.extend_from_slice(service.as_bytes()),
            Slot::Padding => out.resize(out.len() + self.padding, b'x'),
        });
    }

    fn render_reading(&self, entry: &Entry, reading: &Reading, time: i64, answer: &[u8], out: &mut Vec<u8>) {
        // A JSON string is written by the library: what a client sends may hold anything.
        let json = |text: &str| Value::from(text).to_string();
        let ours = r#"{"id":"0d2c1b4a-7f6e-4d5c-8b9a-1f2e3d4c5b6a","username":"audit-reader"}"#.to_owned();
        let admin = || {
            let (name, local, number) = PEOPLE[0];
            format!(
                "{{\"id\":{},\"username\":{},\"email\":\"{local}@example.com\"}}",
                json(&id(number.into())),
                json(name)
            )
        };
        let (operator, source, token, ip) = match reading.who {
            Who::Us => (ours, "api", "headwater", "127.0.0.1"),
            Who::UsElsewhere => (ours, "api", "headwater", "203.0.113.66"),
            // Another token of the same user.
            Who::OtherCollector => (ours, "api", "other-collector", "198.51.100.9"),
            Who::Person => (admin(), "dashboard", "", "192.0.2.15"),
            Who::Unknown => ("null".to_owned(), "api", "", "203.0.113.66"),
        };
        let query = if reading.query.is_empty() { String::new() } else { format!("?{}", reading.query) };
        let uri = json(&format!("{}{query}", reading.path));
        let head = format!(
            "{{\"id\":\"{}\",\"event_time\":{},\"operator\":{operator},\"source\":\"{source}\",\"token_name\":\"{token}\",\
             \"event_type\":\"{READ}\",\"resource_id\":\"\",\"ip_address\":\"{ip}\",\"error_message\":\"\",\
             \"http_request\":{{\"method\":\"GET\",\"uri\":{uri},\"body\":{{}},\"user_agent\":{}}},\"http_response\":",
            id(entry.key),
            self.unit.number(time),
            json(&reading.user_agent),
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(answer);
        out.push(b'}');
    }
}

/// A number for a text, to draw from.
fn sum(text: &str) -> u64 {
    text.bytes().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// Where a sample varies.
fn slots(value: &Value) -> Vec<(String, Slot)> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    vec![
        (format!("\"id\":\"{}\"", text("/id")), Slot::Id),
        (value["event_time"].to_string(), Slot::Time),
        (text("/operator/id"), Slot::OperatorId),
        (text("/operator/email"), Slot::Email),
        ("\"username\":\"Ops\"".to_owned(), Slot::Username),
        (text("/resource_id"), Slot::Resource(sum(&text("/resource_id")))),
        ("httpbin".to_owned(), Slot::Name),
        ("PADDING".to_owned(), Slot::Padding),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kind;
    use proptest::prelude::*;

    fn entry(key: u128, body: Body) -> Entry {
        Entry { key, time: 1_700_000_000_123, visible_at: 0, kind: Kind::Foreign, body, served: 0 }
    }

    #[test]
    fn a_variation_keeps_the_members_of_its_sample_and_their_order() {
        let events = Events::new(TimeUnit::Milliseconds, 3);
        for (number, sample) in (0..).zip(SAMPLES) {
            let mut out = Vec::new();
            events.render(&entry(99, Body::Sample(number)), 1_700_000_000_123, b"", &mut out);
            let shape = |text: &str| {
                let value: Value = serde_json::from_str(text).unwrap();
                (value.as_object().unwrap().keys().cloned().collect::<Vec<_>>(), value["event_type"].clone())
            };
            let text = String::from_utf8(out).unwrap();
            assert_eq!(shape(&text), shape(sample), "{text}");
            assert!(text.contains(&id(99)) && text.contains("1700000000123"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_is_recorded_as_valid_json(query in ".{0,40}", user_agent in ".{0,40}", key in any::<u128>()) {
            let reading = Reading { who: Who::Us, path: "/api/audit_logs".into(), query: query.clone(), user_agent: user_agent.clone() };
            let mut out = Vec::new();
            Events::new(TimeUnit::Seconds, 0).render(&entry(key, Body::Reading(Box::new(reading))), 0, b"{}", &mut out);
            let value: Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&value["http_request"]["user_agent"], &Value::from(user_agent));
            prop_assert_eq!(super::key(&id(key)), Some(key));
        }
    }
}
