//! The JSON of a record: variations of recorded samples, unfinished and finished, and the records of readings.

use super::SolaceCloudOptions;
use crate::dice::{Dice, halves};
use crate::log::{Body, Entry, Reading, Who};
use crate::template::Template;
use crate::time::{HOUR, SECOND, write_civil};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write;

/// The samples; those after `USUAL` are odd.
const SAMPLES: [&str; 12] = [
    include_str!("../../samples/solace_cloud/service-delete-failure.json"),
    include_str!("../../samples/solace_cloud/service-create-failure-500.json"),
    include_str!("../../samples/solace_cloud/service-show-password.json"),
    include_str!("../../samples/solace_cloud/iam-login.json"),
    include_str!("../../samples/solace_cloud/iam-user-creation.json"),
    include_str!("../../samples/solace_cloud/iam-user-group-create.json"),
    include_str!("../../samples/solace_cloud/iam-password-reset-no-resource.json"),
    include_str!("../../samples/solace_cloud/unknown-type.json"),
    include_str!("../../samples/solace_cloud/odd-empty-meta.json"),
    include_str!("../../samples/solace_cloud/odd-no-end.json"),
    include_str!("../../samples/solace_cloud/odd-meta.json"),
    include_str!("../../samples/solace_cloud/odd-unknown-category.json"),
];
const USUAL: usize = 7;

/// Whom the token belongs to.
pub(super) const OWNER: &str = "u0000000017";
/// The people of the organization; the first owns the token.
const USERS: [&str; 5] = [OWNER, "qe6mvlb39c1", "u7k2p0c9x4e", "a1b2c3d4e5f", "zz9plural0z"];

/// What differs between variations of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slot {
    Id,
    Start,
    End,
    Duration,
    User,
    Resource,
    Trace,
    Address,
}

struct Sample {
    finished: Template<Slot>,
    /// The same record before its action is complete.
    unfinished: Template<Slot>,
    category: String,
    kind: String,
    has_end: bool,
}

/// Renders records.
pub(super) struct Events {
    samples: Vec<Sample>,
    changes_per_mille: u16,
    /// Ids are shorter than keys: those spelled so far.
    keys: RefCell<HashMap<String, u128>>,
}

/// A number as 11 characters of lower-case base 36.
fn base36(mut number: u128) -> String {
    let mut text = vec![b'0'; 11];
    for place in text.iter_mut().rev() {
        let digit = u8::try_from(number % 36).unwrap_or_default();
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        number /= 36;
    }
    String::from_utf8_lossy(&text).into_owned()
}

impl Events {
    pub(super) fn new(options: &SolaceCloudOptions) -> Self {
        Self {
            samples: SAMPLES.iter().map(|sample| read(sample)).collect(),
            changes_per_mille: options.changes_per_mille,
            keys: RefCell::default(),
        }
    }

    /// `(usual, all)` samples.
    pub(super) fn samples(&self) -> (usize, usize) {
        (USUAL, self.samples.len())
    }

    /// A key as an id.
    pub(super) fn id(&self, key: u128) -> String {
        let id = base36(key);
        self.keys.borrow_mut().insert(id.clone(), key);
        id
    }

    /// The key of an id that has been spelled.
    pub(super) fn key(&self, id: &str) -> Option<u128> {
        self.keys.borrow().get(id).copied()
    }

    fn sample(&self, entry: &Entry) -> Option<&Sample> {
        match entry.body {
            Body::Sample(number) => self.samples.get(usize::from(number)),
            Body::Reading(_) => None,
        }
    }

    /// `eventCategory` and `eventType`.
    pub(super) fn kind(&self, entry: &Entry) -> (&str, &str) {
        self.sample(entry).map_or(("IAM", "UNKNOWN"), |sample| (&sample.category, &sample.kind))
    }

    /// Whether the record belongs to this trace.
    pub(super) fn has_trace(&self, entry: &Entry, as_of: i64, trace: &str) -> bool {
        let mut raw = Vec::new();
        self.render(entry, as_of, &mut raw);
        serde_json::from_slice::<Value>(&raw).is_ok_and(|record| record["traceId"] == trace)
    }

    /// `userId`.
    pub(super) fn user(entry: &Entry) -> &'static str {
        match &entry.body {
            Body::Sample(_) => Dice::new(&halves(entry.key)).pick(USERS),
            Body::Reading(reading) => match reading.who {
                Who::Us | Who::UsElsewhere => OWNER,
                _ => USERS[1],
            },
        }
    }

    /// From when on a record that is shown unfinished is shown in its final form.
    pub(super) fn finished_at(&self, entry: &Entry) -> Option<i64> {
        let [high, low] = halves(entry.key);
        let mut dice = Dice::new(&[high, low, 0xc4]);
        let changes = dice.chance(self.changes_per_mille) && self.sample(entry).is_some_and(|sample| sample.has_end);
        changes.then(|| entry.visible_at + 1 + dice.millis(dice.clone().pick([5, 60, 300]) * 60 * SECOND))
    }

    /// `endTime` as it is shown at `as_of`, if it is shown.
    pub(super) fn end(&self, entry: &Entry, as_of: i64) -> Option<i64> {
        let finished_at = self.finished_at(entry);
        let shown = match &entry.body {
            Body::Sample(_) => {
                self.sample(entry).is_some_and(|sample| sample.has_end) && finished_at.is_none_or(|at| at <= as_of)
            }
            Body::Reading(_) => true,
        };
        // Some time between the start and the moment it is shown: how much of that was the action, and how much the delay?
        let whole = finished_at.unwrap_or(entry.visible_at) - entry.time;
        let [high, low] = halves(entry.key);
        let part = Dice::new(&[high, low, 0xed]).pick([0, 1, 2, 10, 10]);
        shown.then(|| entry.time + whole * part / 10)
    }

    /// When a record that started at `time` is shown.
    pub(super) fn visible_at(options: &SolaceCloudOptions, time: i64, dice: &mut Dice) -> i64 {
        let long = dice.chance(options.long_per_mille);
        let action = if long { dice.millis(10 * HOUR) } else { dice.millis(2 * SECOND) };
        time + action + dice.millis(i64::from(options.visibility_delay_s) * SECOND)
    }

    /// Appends the record as it is shown at `as_of`.
    pub(super) fn render(&self, entry: &Entry, as_of: i64, out: &mut Vec<u8>) {
        let end = self.end(entry, as_of);
        match (&entry.body, self.sample(entry)) {
            (Body::Reading(reading), _) => self.render_reading(entry, reading, end.unwrap_or(entry.time), out),
            (_, Some(sample)) => {
                let template = if end.is_none() && sample.has_end { &sample.unfinished } else { &sample.finished };
                self.render_sample(template, entry, end.unwrap_or(entry.time), out);
            }
            _ => {}
        }
    }

    fn render_sample(&self, template: &Template<Slot>, entry: &Entry, end: i64, out: &mut Vec<u8>) {
        let [high, low] = halves(entry.key);
        let mut dice = Dice::new(&[high, low, 0x7e]);
        let (resource, trace, host) = (dice.wide(), dice.roll(), dice.below(200));
        let user = Self::user(entry);
        let id = self.id(entry.key);
        // Writing to a Vec cannot fail.
        template.render(out, |slot, out| match slot {
            Slot::Id => out.extend_from_slice(id.as_bytes()),
            Slot::Start => write_time(entry.time, out),
            Slot::End => write_time(end, out),
            Slot::Duration => drop(write!(out, "\"duration\":{}", end - entry.time)),
            Slot::User => out.extend_from_slice(user.as_bytes()),
            Slot::Resource => out.extend_from_slice(base36(resource).as_bytes()),
            Slot::Trace => drop(write!(out, "{trace:016x}")),
            Slot::Address => drop(write!(out, "203.0.113.{host}")),
        });
    }

    fn render_reading(&self, entry: &Entry, reading: &Reading, end: i64, out: &mut Vec<u8>) {
        let source = match reading.who {
            Who::Us => "127.0.0.1",
            Who::UsElsewhere => "198.51.100.66",
            Who::OtherCollector | Who::Unknown => "198.51.100.7",
            Who::Person => "2001:db8::20",
        };
        let [trace, _] = halves(entry.key);
        drop(write!(
            out,
            "{{\"id\":\"{}\",\"source\":\"{source}\",\"userId\":\"{}\",\"status\":\"SUCCESS\",\"eventCategory\":\"IAM\",\"eventType\":\"UNKNOWN\",\"meta\":{{\"requestPath\":\"{}\",\"requestMethod\":\"GET\",\"responseCode\":\"200\"}},\"traceId\":\"{trace:016x}\",\"duration\":{},\"orgId\":\"custdocteam\",\"startTime\":\"",
            self.id(entry.key),
            Self::user(entry),
            reading.path,
            end - entry.time,
        ));
        write_time(entry.time, out);
        out.extend_from_slice(b"\",\"endTime\":\"");
        write_time(end, out);
        out.extend_from_slice(b"\"}");
    }
}

fn write_time(ms: i64, out: &mut Vec<u8>) {
    write_civil(out, ms, 0, 'T');
    out.push(b'Z');
}

/// Cuts a sample where it varies.
fn read(sample: &str) -> Sample {
    let value: Value = serde_json::from_str(sample).unwrap_or_default();
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let duration = format!("\"duration\":{}", value["duration"]);
    let slots = || {
        vec![
            (text("id"), Slot::Id),
            (text("startTime"), Slot::Start),
            (text("endTime"), Slot::End),
            (duration.clone(), Slot::Duration),
            (text("userId"), Slot::User),
            (text("resourceId"), Slot::Resource),
            (text("traceId"), Slot::Trace),
            (text("source"), Slot::Address),
        ]
    };
    let unfinished = sample
        .replace(&format!(",\"endTime\":\"{}\"", text("endTime")), "")
        .replace(&format!("{duration},"), "")
        .replace(&format!("\"status\":\"{}\"", text("status")), "\"status\":\"IN_PROGRESS\"");
    Sample {
        finished: Template::new(sample, slots()),
        unfinished: Template::new(&unfinished, slots()),
        category: text("eventCategory"),
        kind: text("eventType"),
        has_end: value["endTime"].is_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kind;

    fn entry(body: Body) -> Entry {
        let (time, visible_at) = (1_700_000_000_123, 1_700_000_600_000);
        Entry { key: 77 << 70, time, visible_at, kind: Kind::Foreign, body, served: 0 }
    }

    fn render(events: &Events, entry: &Entry, as_of: i64) -> Value {
        let mut out = Vec::new();
        events.render(entry, as_of, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_variation_keeps_the_members_of_its_sample() {
        let events = Events::new(&SolaceCloudOptions::default());
        for (number, sample) in (0..).zip(SAMPLES) {
            let entry = entry(Body::Sample(number));
            let (rendered, sample): (Value, Value) =
                (render(&events, &entry, i64::MAX), serde_json::from_str(sample).unwrap());
            let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&rendered), keys(&sample));
            assert_eq!((&rendered["eventType"], &rendered["status"]), (&sample["eventType"], &sample["status"]));
            assert_eq!(rendered["startTime"], "2023-11-14T22:13:20.123Z");
            let id = rendered["id"].as_str().unwrap();
            assert_eq!((id.len(), events.key(id)), (11, Some(entry.key)));
            if rendered["endTime"].is_string() && rendered["duration"].is_i64() {
                let ms = |key: &str| crate::time::parse(rendered[key].as_str().unwrap()).unwrap();
                assert_eq!(Value::from(ms("endTime") - ms("startTime")), rendered["duration"]);
                assert!(ms("endTime") <= entry.visible_at);
            }
        }
    }

    #[test]
    fn a_record_may_be_shown_unfinished_first() {
        let options = SolaceCloudOptions { changes_per_mille: 1000, ..SolaceCloudOptions::default() };
        let events = Events::new(&options);
        let entry = entry(Body::Sample(0));
        let at = events.finished_at(&entry).unwrap();
        let (before, after) = (render(&events, &entry, at - 1), render(&events, &entry, at));
        assert_eq!((&before["status"], &after["status"]), (&Value::from("IN_PROGRESS"), &Value::from("FAILURE")));
        assert_eq!((before.get("endTime"), before.get("duration"), &before["id"]), (None, None, &after["id"]));
        assert!(after["endTime"].is_string());
        assert_eq!(events.finished_at(&self::entry(Body::Sample(9))), None, "it never has an end");
    }
}
