//! The JSON of an event: variations of recorded samples, and the records of readings.

use super::Zone;
use crate::dice::{Dice, halves};
use crate::log::{Body, Entry, Reading, Who};
use crate::people::{PEOPLE, SERVICES};
use crate::template::{Template, uuids};
use crate::time::{melbourne_offset, write_civil};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use std::io::Write;

/// What a collector's token belongs to, unless it is a system account's.
pub(super) const OUR_EMAIL: &str = "audit-collector@example.com";
const OUR_NUMBER: u32 = 17;

/// The samples; those after `USUAL` are odd.
const SAMPLES: [&str; 11] = [
    include_str!("../../samples/pactflow/admin-team-member-remove.json"),
    include_str!("../../samples/pactflow/admin-user-role-assign.json"),
    include_str!("../../samples/pactflow/pact-publication-put.json"),
    include_str!("../../samples/pactflow/pacticipant-patch.json"),
    include_str!("../../samples/pactflow/regenerate-api-token.json"),
    include_str!("../../samples/pactflow/webhook-delete.json"),
    include_str!("../../samples/pactflow/unknown-type.json"),
    include_str!("../../samples/pactflow/odd-null-email.json"),
    include_str!("../../samples/pactflow/odd-no-user.json"),
    include_str!("../../samples/pactflow/odd-no-path.json"),
    include_str!("../../samples/pactflow/odd-extra-fields.json"),
];
const USUAL: usize = 6;

/// What differs between variations of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slot {
    Id,
    Time,
    Email,
    UserNumber,
    /// A UUID of the sample, by its number.
    Uuid(u8),
    Token,
    Provider {
        encoded: bool,
    },
    Consumer {
        encoded: bool,
    },
    Version,
}

/// Renders events.
pub(super) struct Events {
    templates: Vec<Template<Slot>>,
    types: Vec<(String, String)>,
    zone: Zone,
    system_account: bool,
}

/// A key as a uuid: 22 characters, URL-safe base64.
pub(super) fn uuid(key: u128) -> String {
    URL_SAFE_NO_PAD.encode(key.to_be_bytes())
}

/// The key of a uuid.
pub(super) fn key(uuid: &str) -> Option<u128> {
    let bytes = URL_SAFE_NO_PAD.decode(uuid).ok()?;
    Some(u128::from_be_bytes(bytes.try_into().ok()?))
}

impl Events {
    pub(super) fn new(zone: Zone, system_account: bool) -> Self {
        let parsed: Vec<Value> =
            SAMPLES.iter().map(|sample| serde_json::from_str(sample).unwrap_or_default()).collect();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            templates: SAMPLES
                .iter()
                .zip(&parsed)
                .map(|(sample, value)| Template::new(sample, slots(sample, value)))
                .collect(),
            types: parsed.iter().map(|v| (text(&v["type"]), text(&v["payload"]["params"]["resource_name"]))).collect(),
            zone,
            system_account,
        }
    }

    /// `(usual, all)` samples.
    pub(super) fn samples(&self) -> (usize, usize) {
        (USUAL, self.templates.len())
    }

    /// Whether the event is of this type, by class or by resource name. `None` is every type.
    pub(super) fn is_of_type(&self, entry: &Entry, wanted: Option<&str>) -> bool {
        let Some(wanted) = wanted else { return true };
        match &entry.body {
            Body::Sample(number) => {
                self.types.get(usize::from(*number)).is_some_and(|(class, name)| class == wanted || name == wanted)
            }
            Body::Reading(_) => wanted == "audit" || wanted == AUDIT_CLASS,
        }
    }

    /// Appends the event's JSON.
    pub(super) fn render(&self, entry: &Entry, out: &mut Vec<u8>) {
        match &entry.body {
            Body::Sample(number) => {
                if let Some(template) = self.templates.get(usize::from(*number)) {
                    self.render_sample(template, entry, out);
                }
            }
            Body::Reading(reading) => self.render_reading(entry, reading, out),
        }
    }

    fn render_sample(&self, template: &Template<Slot>, entry: &Entry, out: &mut Vec<u8>) {
        let mut dice = Dice::new(&halves(entry.key));
        let (_, local, number) = dice.pick(PEOPLE);
        let (provider, consumer) = (dice.pick(SERVICES), dice.pick(SERVICES));
        let (version, extra) = (dice.below(40), dice.wide());
        let service = |name: &str, encoded: bool, out: &mut Vec<u8>| {
            let name = if encoded { name.replace(' ', "%20") } else { name.to_owned() };
            out.extend_from_slice(name.as_bytes());
        };
        template.render(out, |slot, out| match slot {
            Slot::Id => out.extend_from_slice(uuid(entry.key).as_bytes()),
            Slot::Time => self.write_time(entry.time, out),
            Slot::Token => out.extend_from_slice(uuid(extra).as_bytes()),
            Slot::Provider { encoded } => service(provider, encoded, out),
            Slot::Consumer { encoded } => service(consumer, encoded, out),
            // Writing to a Vec cannot fail.
            Slot::Email => drop(write!(out, "{local}@example.com")),
            Slot::UserNumber => drop(write!(out, "\"db_user_id\":{number},")),
            Slot::Version => drop(write!(out, "1.{version}.0")),
            Slot::Uuid(n) => {
                let id = extra.wrapping_add(u128::from(n));
                let hex = format!("{id:032x}");
                drop(write!(out, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]));
            }
        });
    }

    fn render_reading(&self, entry: &Entry, reading: &Reading, out: &mut Vec<u8>) {
        // A JSON string is written by the library: what a client sends may hold anything.
        let json = |text: &str| Value::from(text).to_string();
        let ours = if self.system_account { "null".to_owned() } else { json(OUR_EMAIL) };
        let (number, email) = match reading.who {
            Who::Us | Who::UsElsewhere | Who::OtherCollector => (OUR_NUMBER.to_string(), ours),
            Who::Person => (PEOPLE[0].2.to_string(), json(&format!("{}@example.com", PEOPLE[0].1))),
            Who::Unknown => ("null".to_owned(), "null".to_owned()),
        };
        let mut time = Vec::new();
        self.write_time(entry.time, &mut time);
        out.extend_from_slice(format!("{{\"uuid\":\"{}\",\"timestamp\":\"", uuid(entry.key)).as_bytes());
        out.append(&mut time);
        let rest = format!(
            "\",\"type\":\"{AUDIT_CLASS}\",\"db_user_id\":{number},\"user_email\":{email},\"payload\":{{\"path\":{},\
             \"queryString\":{},\"method\":\"GET\",\"userAgent\":{},\"params\":{{\"resource_name\":\"audit\"}}}}}}",
            json(&reading.path),
            json(&reading.query),
            json(&reading.user_agent),
        );
        out.extend_from_slice(rest.as_bytes());
    }

    fn write_time(&self, ms: i64, out: &mut Vec<u8>) {
        match self.zone {
            Zone::Utc => {
                write_civil(out, ms, 0, 'T');
                out.push(b'Z');
            }
            Zone::Melbourne => {
                let offset = melbourne_offset(ms);
                write_civil(out, ms, offset, 'T');
                drop(write!(out, "+{offset:02}:00"));
            }
        }
    }
}

const AUDIT_CLASS: &str = "SaasBroker::Api::Resources::Audit";

/// Where a sample varies.
fn slots(sample: &str, value: &Value) -> Vec<(String, Slot)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut slots = vec![
        (text(&value["uuid"]), Slot::Id),
        (text(&value["timestamp"]), Slot::Time),
        (text(&value["user_email"]), Slot::Email),
        (text(&value["payload"]["params"]["token_uuid"]), Slot::Token),
        ("Order%20Service".to_owned(), Slot::Provider { encoded: true }),
        ("Order Service".to_owned(), Slot::Provider { encoded: false }),
        ("Web%20UI".to_owned(), Slot::Consumer { encoded: true }),
        ("Web UI".to_owned(), Slot::Consumer { encoded: false }),
        ("1.4.2".to_owned(), Slot::Version),
    ];
    if let Some(number) = value["db_user_id"].as_i64() {
        slots.push((format!("\"db_user_id\":{number},"), Slot::UserNumber));
    }
    slots.extend((0..).zip(uuids(sample)).map(|(n, uuid)| (uuid.to_owned(), Slot::Uuid(n))));
    slots
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
        let events = Events::new(Zone::Melbourne, false);
        for (number, sample) in (0..).zip(SAMPLES) {
            let mut out = Vec::new();
            events.render(&entry(99, Body::Sample(number)), &mut out);
            let shape = |text: &str| {
                let value: Value = serde_json::from_str(text).unwrap();
                let members = value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
                (
                    members,
                    value["payload"].as_object().unwrap().keys().cloned().collect::<Vec<_>>(),
                    value["type"].clone(),
                )
            };
            let text = String::from_utf8(out).unwrap();
            assert_eq!(shape(&text), shape(sample), "{text}");
            assert!(text.contains(&uuid(99)) && text.contains("2023-11-15T09:13:20.123+11:00"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_client_sends_is_recorded_as_valid_json(query in ".{0,40}", user_agent in ".{0,40}", key in any::<u128>()) {
            let reading = Reading { who: Who::Us, path: "/audit".into(), query: query.clone(), user_agent: user_agent.clone() };
            let mut out = Vec::new();
            Events::new(Zone::Utc, true).render(&entry(key, Body::Reading(Box::new(reading))), &mut out);
            let value: Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&value["payload"]["queryString"], &Value::from(query));
            prop_assert_eq!(&value["payload"]["userAgent"], &Value::from(user_agent));
            prop_assert_eq!(&value["user_email"], &Value::Null);
            prop_assert_eq!(super::key(&uuid(key)), Some(key));
        }
    }
}
