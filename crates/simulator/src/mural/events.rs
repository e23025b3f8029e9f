//! The JSON of an entry: variations of recorded samples, and the records of readings.

use super::{Dates, MuralOptions};
use crate::dice::{Dice, halves};
use crate::log::{Body, Entry, Reading, Who};
use crate::people::{PEOPLE, TITLES};
use crate::template::Template;
use crate::time::{DAY, write_civil};
use serde_json::Value;
use std::io::Write;

/// The samples; those after `USUAL` are odd.
const SAMPLES: [&str; 11] = [
    include_str!("../../samples/mural/accept-membership.json"),
    include_str!("../../samples/mural/create-mural.json"),
    include_str!("../../samples/mural/leave-workspace.json"),
    include_str!("../../samples/mural/rename-mural.json"),
    include_str!("../../samples/mural/sign-in-failure.json"),
    include_str!("../../samples/mural/update-company-sso.json"),
    include_str!("../../samples/mural/unknown-action.json"),
    include_str!("../../samples/mural/odd-missing-members.json"),
    include_str!("../../samples/mural/odd-no-affected.json"),
    include_str!("../../samples/mural/odd-move.json"),
    include_str!("../../samples/mural/odd-unknown-type.json"),
];
const USUAL: usize = 6;

const ACCESS: &str = "ACCESS_AUDIT_LOG";

/// What differs between variations of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slot {
    Id,
    Time,
    Snapshot,
    ActorId,
    ActorEmail,
    ActorName,
    OtherId,
    OtherEmail,
    OtherName,
    Ip,
    Board,
    Title,
    Room,
}

/// Renders entries.
pub(super) struct Events {
    templates: Vec<Template<Slot>>,
    actions: Vec<String>,
    dates: Dates,
    reextracted_per_mille: u16,
    title_padding: u16,
}

/// A key as an id: `node-<32 hex>-<uuid>`.
pub(super) fn id(key: u128) -> String {
    let mut out = Vec::new();
    write_id(key, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn write_id(key: u128, out: &mut Vec<u8>) {
    let hex = format!("{:032x}", Dice::new(&halves(key)).wide());
    // Writing to a Vec cannot fail.
    let (time, rest) = hex.split_at(8);
    drop(write!(out, "node-{key:032x}-{time}-{}-{}-{}-{}", &rest[..4], &rest[4..8], &rest[8..12], &rest[12..]));
}

/// The key of an id.
pub(super) fn key(id: &str) -> Option<u128> {
    u128::from_str_radix(id.strip_prefix("node-")?.get(..32)?, 16).ok()
}

impl Events {
    pub(super) fn new(options: &MuralOptions) -> Self {
        let parsed: Vec<Value> =
            SAMPLES.iter().map(|sample| serde_json::from_str(sample).unwrap_or_default()).collect();
        Self {
            templates: SAMPLES.iter().zip(&parsed).map(|(sample, value)| Template::new(sample, slots(value))).collect(),
            actions: parsed.iter().map(|value| value["action"].as_str().unwrap_or_default().to_owned()).collect(),
            dates: options.dates,
            reextracted_per_mille: options.reextracted_per_mille,
            title_padding: options.title_padding,
        }
    }

    /// `(usual, all)` samples.
    pub(super) fn samples(&self) -> (usize, usize) {
        (USUAL, self.templates.len())
    }

    /// The entry's `action`.
    pub(super) fn action(&self, entry: &Entry) -> &str {
        match &entry.body {
            Body::Sample(number) => self.actions.get(usize::from(*number)).map_or("", String::as_str),
            Body::Reading(_) => ACCESS,
        }
    }

    /// When the entry is extracted a second time, if it is.
    pub(super) fn reextracted_at(&self, entry: &Entry) -> Option<i64> {
        let [high, low] = halves(entry.key);
        let mut dice = Dice::new(&[high, low, 0x5e]);
        dice.chance(self.reextracted_per_mille).then(|| entry.visible_at + DAY + dice.pick([0, DAY, 2 * DAY]))
    }

    /// Appends the entry's JSON as it is shown at `as_of`.
    pub(super) fn render(&self, entry: &Entry, as_of: i64, out: &mut Vec<u8>) {
        // The first extraction stamps the end of the entry's own day, a later one the end of the day before it.
        let again = self.reextracted_at(entry).filter(|at| *at <= as_of);
        let day = again.map_or(entry.time, |at| at - DAY).div_euclid(DAY);
        let snapshot = (day + 1) * DAY - 1;
        match &entry.body {
            Body::Sample(number) => {
                if let Some(template) = self.templates.get(usize::from(*number)) {
                    self.render_sample(template, entry, snapshot, out);
                }
            }
            Body::Reading(reading) => self.render_reading(entry, reading, snapshot, out),
        }
    }

    fn render_sample(&self, template: &Template<Slot>, entry: &Entry, snapshot: i64, out: &mut Vec<u8>) {
        let mut dice = Dice::new(&halves(entry.key));
        let (actor, other) = (dice.pick(PEOPLE), dice.pick(PEOPLE));
        let (title, room, board, host) = (dice.pick(TITLES), dice.below(30), dice.below(4000), dice.below(200));
        template.render(out, |slot, out| match slot {
            Slot::Id => write_id(entry.key, out),
            Slot::Time => self.write_time(entry.time, out),
            Slot::Snapshot => self.write_time(snapshot, out),
            Slot::ActorName => out.extend_from_slice(actor.0.as_bytes()),
            Slot::OtherName => out.extend_from_slice(other.0.as_bytes()),
            Slot::Title => {
                out.extend_from_slice(title.as_bytes());
                out.extend(std::iter::repeat_n(b'.', self.title_padding.into()));
            }
            Slot::ActorId => drop(write!(out, "u{:04}", actor.2)),
            Slot::ActorEmail => drop(write!(out, "{}@mural-example.com", actor.1)),
            Slot::OtherId => drop(write!(out, "u{:04}", other.2)),
            Slot::OtherEmail => drop(write!(out, "{}@mural-example.com", other.1)),
            Slot::Ip => drop(write!(out, "203.0.113.{host}")),
            Slot::Board => drop(write!(out, "workspace1.{}", 1_643_789_000_000 + board)),
            Slot::Room => drop(write!(out, "{}", 1_643_700_000_000 + room)),
        });
    }

    fn render_reading(&self, entry: &Entry, reading: &Reading, snapshot: i64, out: &mut Vec<u8>) {
        let (actor, ip) = match reading.who {
            Who::Us => (OUR_KEY, "127.0.0.1"),
            Who::UsElsewhere => (OUR_KEY, "198.51.100.66"),
            Who::OtherCollector | Who::Unknown => (OTHER_KEY, "198.51.100.7"),
            Who::Person => (PERSON, "203.0.113.20"),
        };
        out.extend_from_slice(b"{\"action\":\"ACCESS_AUDIT_LOG\",\"actor\":");
        out.extend_from_slice(actor.as_bytes());
        out.extend_from_slice(b",\"date\":\"");
        self.write_time(entry.time, out);
        out.extend_from_slice(b"\",\"id\":\"");
        write_id(entry.key, out);
        drop(write!(out, "\",\"ip\":\"{ip}\",\"snapshotDate\":\""));
        self.write_time(snapshot, out);
        out.extend_from_slice(b"\",\"affected\":");
        out.extend_from_slice(COMPANY.as_bytes());
        out.push(b'}');
    }

    fn write_time(&self, ms: i64, out: &mut Vec<u8>) {
        match self.dates {
            Dates::Iso => {
                write_civil(out, ms, 0, 'T');
                out.push(b'Z');
            }
            Dates::Legacy => write_civil(out, ms, 0, ' '),
        }
    }
}

const OUR_KEY: &str =
    r#"{"company":"muraltestenterprise","email":null,"id":"key-9f2","name":"siem-export","type":"APIKEY"}"#;
const OTHER_KEY: &str =
    r#"{"company":"muraltestenterprise","email":null,"id":"key-b71","name":"reporting","type":"APIKEY"}"#;
const PERSON: &str =
    r#"{"company":"MURAL","email":"ana@mural-example.com","id":"u0002","name":"Ana Example","type":"USER"}"#;
const COMPANY: &str =
    r#"{"company":"muraltestenterprise","email":null,"id":"muraltestenterprise","name":null,"type":"COMPANY"}"#;

/// Where a sample varies.
fn slots(value: &Value) -> Vec<(String, Slot)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut slots = vec![
        (text(&value["id"]), Slot::Id),
        (text(&value["date"]), Slot::Time),
        (text(&value["snapshotDate"]), Slot::Snapshot),
        (text(&value["actor"]["id"]), Slot::ActorId),
        (text(&value["actor"]["email"]), Slot::ActorEmail),
        (text(&value["actor"]["name"]), Slot::ActorName),
        (text(&value["ip"]), Slot::Ip),
    ];
    let known = [
        ("u456def", Slot::OtherId),
        ("ben@mural-example.com", Slot::OtherEmail),
        ("Ben Example", Slot::OtherName),
        ("workspace1.1643789112345", Slot::Board),
        ("Quarterly planning", Slot::Title),
        ("Q2 planning", Slot::Title),
        ("1643700000000", Slot::Room),
    ];
    slots.extend(known.map(|(literal, slot)| (literal.to_owned(), slot)));
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kind;

    fn render(events: &Events, body: Body, as_of: i64) -> Value {
        let entry = Entry {
            key: 77,
            time: 1_700_000_000_123,
            visible_at: 1_700_100_000_000,
            kind: Kind::Foreign,
            body,
            served: 0,
        };
        let mut out = Vec::new();
        events.render(&entry, as_of, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    fn members(value: &Value) -> Vec<(String, Option<Vec<String>>)> {
        let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
        keys(value).unwrap().into_iter().map(|key| (key.clone(), keys(&value[&key]))).collect()
    }

    #[test]
    fn a_variation_keeps_the_members_of_its_sample() {
        let events = Events::new(&MuralOptions::default());
        for (number, sample) in (0..).zip(SAMPLES) {
            let (rendered, sample) = (render(&events, Body::Sample(number), 0), serde_json::from_str(sample).unwrap());
            assert_eq!(members(&rendered), members(&sample));
            assert_eq!(rendered["action"], sample["action"]);
            assert_eq!(rendered["id"], Value::from(id(77)));
            assert_eq!(rendered["date"], "2023-11-14T22:13:20.123Z");
            assert_eq!(rendered["snapshotDate"], "2023-11-14T23:59:59.999Z");
        }
        assert_eq!(key(&id(77)), Some(77));
    }

    #[test]
    fn a_reading_has_the_members_of_the_recorded_one() {
        let sample = include_str!("../../samples/mural/access-audit-log-apikey.json");
        let reading = Reading { who: Who::Us, path: String::new(), query: String::new(), user_agent: String::new() };
        let events = Events::new(&MuralOptions { dates: Dates::Legacy, ..MuralOptions::default() });
        let rendered = render(&events, Body::Reading(Box::new(reading)), 0);
        assert_eq!(members(&rendered), members(&serde_json::from_str(sample).unwrap()));
        assert_eq!(rendered["date"], "2023-11-14 22:13:20.123");
    }

    #[test]
    fn extraction_changes_nothing_but_the_snapshot_date() {
        let events = Events::new(&MuralOptions { reextracted_per_mille: 1000, ..MuralOptions::default() });
        let (mut before, after) = (render(&events, Body::Sample(0), 0), render(&events, Body::Sample(0), i64::MAX));
        assert_ne!(before["snapshotDate"], after["snapshotDate"]);
        before["snapshotDate"] = after["snapshotDate"].clone();
        assert_eq!(before, after);
    }
}
