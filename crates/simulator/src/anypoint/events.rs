//! The JSON of a record: variations of recorded samples, and the records of logins.

use super::ORGANIZATIONS;
use super::tokens::CLIENT;
use crate::dice::{Dice, halves};
use crate::log::{Body, Entry, Reading, Who};
use crate::people::{PEOPLE, SERVICES};
use crate::time::instant;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// The samples; variations of the first are usual, those behind them are odd.
const SAMPLES: [&str; 6] = [
    include_str!("../../samples/anypoint/application-deploy.json"),
    include_str!("../../samples/anypoint/policy-create.json"),
    include_str!("../../samples/anypoint/team-add-member.json"),
    include_str!("../../samples/anypoint/user-enable.json"),
    include_str!("../../samples/anypoint/login-success.json"),
    include_str!("../../samples/anypoint/login-failure-string-payload.json"),
];
const UNKNOWN: &str = include_str!("../../samples/anypoint/unknown-action.json");
const TOKEN: &str = include_str!("../../samples/anypoint/connected-app-token.json");

/// The environment of the samples.
const ENVIRONMENT: &str = "c1d2045d-5ba9-4d0e-9f3b-a9b94336beeb";

/// Longest payload of one record.
const PAYLOAD_MAX: usize = 32_768;

/// A record that is another's, but for these.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    /// Whose content it has.
    pub(super) of: u128,
    /// Which part of a payload that is too long for one record.
    pub(super) part: Option<u8>,
    /// The organization it shows in.
    pub(super) organization: Option<usize>,
}

/// Renders records.
pub(super) struct Events {
    usual: Vec<Value>,
    odd: Vec<Value>,
    token: Value,
    variants: HashMap<u128, Variant>,
    /// Records of which a part is somewhere else.
    split: HashSet<u128>,
    /// When everything was renamed, ms.
    renamed: Vec<i64>,
    /// Of 1000 applications of a policy, those that are removals instead.
    removals: u16,
}

fn read(sample: &str) -> Value {
    serde_json::from_str(sample).unwrap_or_default()
}

/// Odd records: what is left out, or is of another type, in otherwise usual ones.
fn odd() -> Vec<Value> {
    let mut null_payload = read(SAMPLES[0]);
    null_payload["payload"] = Value::Null;
    null_payload["userId"] = Value::Null;
    null_payload["userName"] = Value::Null;
    null_payload["clientName"] = "deployer".into();
    let mut no_payload = read(SAMPLES[3]);
    no_payload.as_object_mut().map(|record| record.remove("payload"));
    let mut by_client = read(SAMPLES[1]);
    by_client["userId"] = Value::Null;
    by_client["userName"] = Value::Null;
    by_client["clientName"] = "deployer".into();
    by_client.as_object_mut().map(|record| record.remove("organizationId"));
    let mut two_objects = read(SAMPLES[2]);
    let user = read(SAMPLES[3])["objects"][0].clone();
    if let Some(objects) = two_objects["objects"].as_array_mut() {
        objects.push(user);
    }
    let mut text = read(SAMPLES[1]);
    text["payload"] = text["payload"].to_string().into();
    vec![read(UNKNOWN), null_payload, no_payload, by_client, two_objects, text]
}

impl Events {
    pub(super) fn new(renamed: Vec<i64>, removals: u16) -> Self {
        Self {
            usual: SAMPLES.iter().map(|sample| read(sample)).collect(),
            odd: odd(),
            token: read(TOKEN),
            variants: HashMap::new(),
            split: HashSet::new(),
            renamed,
            removals,
        }
    }

    /// `(usual, all)` samples.
    pub(super) fn samples(&self) -> (usize, usize) {
        (self.usual.len(), self.usual.len() + self.odd.len())
    }

    /// The record `key` is a variant.
    pub(super) fn vary(&mut self, key: u128, variant: Variant) {
        if variant.part.is_some() {
            self.split.insert(variant.of);
        }
        self.variants.insert(key, variant);
    }

    fn sample(&self, number: u16) -> &Value {
        self.usual.iter().chain(&self.odd).nth(usize::from(number)).unwrap_or(&Value::Null)
    }

    /// Logins are recorded in the root organization alone.
    pub(super) fn only_in_root(&self, entry: &Entry) -> bool {
        match &entry.body {
            Body::Reading(_) => true,
            Body::Sample(number) => self.sample(*number)["action"] == "Login",
        }
    }

    /// A login that was refused.
    pub(super) fn is_failed_login(&self, entry: &Entry) -> bool {
        let Body::Sample(number) = &entry.body else { return false };
        let sample = self.sample(*number);
        sample["action"] == "Login" && sample["failed"] == true
    }

    /// The number of the organization whose log it is in.
    pub(super) fn organization(&self, entry: &Entry) -> usize {
        let variant = self.variants.get(&entry.key);
        if let Some(organization) = variant.and_then(|variant| variant.organization) {
            return organization;
        }
        if self.only_in_root(entry) {
            return 0;
        }
        let [high, low] = halves(variant.map_or(entry.key, |variant| variant.of));
        Dice::new(&[high, low, 0x06]).pick([0, 0, 0, 1, 1, 2])
    }

    /// The signs and instants from which on it is shown in another form.
    pub(super) fn versions(&self, entry: &Entry) -> Vec<i64> {
        let mut versions = vec![entry.visible_at, -entry.visible_at];
        versions.extend(self.renamed.iter().flat_map(|at| [*at, -*at]));
        versions
    }

    /// What follows every name: how often it has been changed, as far as the asker may see.
    fn renamed(&self, entry: &Entry, as_of: i64) -> String {
        let [high, low] = halves(entry.key);
        // Objects from before the platform kept versions show their latest name whatever is asked.
        let unversioned = Dice::new(&[high, low, 0x0b]).chance(200);
        if as_of < 0 && !unversioned {
            return String::new();
        }
        let times = self.renamed.iter().filter(|at| entry.time < **at && **at <= as_of.abs()).count();
        if times == 0 { String::new() } else { format!(" (renamed {times})") }
    }

    /// Appends the record's JSON as it is shown at `as_of`.
    pub(super) fn render(&self, entry: &Entry, as_of: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(self.value(entry, as_of).to_string().as_bytes());
    }

    /// The record as it is shown at `as_of`.
    pub(super) fn value(&self, entry: &Entry, as_of: i64) -> Value {
        match &entry.body {
            Body::Sample(number) => self.sample_value(self.sample(*number).clone(), entry, as_of),
            Body::Reading(reading) => self.login(entry, reading),
        }
    }

    fn sample_value(&self, mut record: Value, entry: &Entry, as_of: i64) -> Value {
        let variant = self.variants.get(&entry.key);
        let content = variant.map_or(entry.key, |variant| variant.of);
        let mut dice = Dice::new(&halves(content));
        let (actor, service) = (dice.pick(PEOPLE), dice.pick(SERVICES));
        let suffix = self.renamed(&Entry { key: content, ..entry.clone() }, as_of);
        record["timestamp"] = if record["timestamp"].is_string() {
            instant(entry.time).to_rfc3339_opts(chrono::SecondsFormat::Millis, true).into()
        } else {
            entry.time.into()
        };
        if record["userId"].is_string() && record["userName"] != "Anypoint Staff" {
            record["userId"] = format!("b449eaf7-6312-42ad-9b40-{:012}", actor.2).into();
            record["userName"] = format!("{}{suffix}", actor.1).into();
        }
        if record["clientName"].is_string() {
            record["clientName"] = format!("deployer{suffix}").into();
        }
        if record["organizationId"].is_string() {
            record["organizationId"] = ORGANIZATIONS[self.organization(entry)].into();
        }
        if record["anypointTransactionId"].is_string() {
            // Not unique: what one call does to several objects shares it.
            record["anypointTransactionId"] = format!("0a5d6f10-6abe-11ee-8c99-{:012x}", dice.below(1 << 40)).into();
        }
        let (edited, login) = (record["action"] == "edit", record["action"] == "Login");
        // From dice of its own: the other choices stay what they were.
        let [high, low] = halves(content);
        if record["objects"][0]["objectType"] == "policy" && Dice::new(&[high, low, 0xde]).chance(self.removals) {
            record["action"] = "delete".into();
            record["payload"] = Value::Null;
        }
        let user = (record["userId"].clone(), record["userName"].clone());
        if let Some(object) = record["objects"].get_mut(0) {
            object["objectId"] = format!("{}", dice.below(90_000_000)).into();
            object["objectName"] = format!("{service}{suffix}").into();
            if login {
                (object["objectId"], object["objectName"]) = user;
            }
            // Users belong to the organization; some edits are about their rights in one environment.
            if object["objectType"] == "User" && edited && dice.chance(400) {
                object["environmentId"] = ENVIRONMENT.into();
                object["environmentName"] = "Production".into();
            }
            if object["environmentName"].is_string() {
                object["environmentName"] = format!("Production{suffix}").into();
            }
        }
        let part = variant.and_then(|variant| variant.part).or(self.split.contains(&content).then_some(0));
        if let Some(part) = part {
            let text = char::from(b'a' + part).to_string().repeat(PAYLOAD_MAX - 100);
            record["payload"] = json!({ "properties": { "correlationId": format!("{content:032x}"), "log": text } });
        }
        record
    }

    fn login(&self, entry: &Entry, reading: &Reading) -> Value {
        let mut dice = Dice::new(&halves(entry.key));
        let transaction = format!("4b1f3a52-6acc-11ee-8c99-{:012x}", dice.below(1 << 48));
        let mut record = if reading.who == Who::Person { read(SAMPLES[4]) } else { self.token.clone() };
        record["timestamp"] = entry.time.into();
        record["anypointTransactionId"] = transaction.into();
        record["organizationId"] = ORGANIZATIONS[0].into();
        if reading.who == Who::Person {
            return record;
        }
        let (client, name, ip) = match reading.who {
            Who::Us => (CLIENT, "audit-export", "127.0.0.1"),
            Who::UsElsewhere => (CLIENT, "audit-export", "198.51.100.66"),
            _ => ("68e9005e741c4323b6bac8b2006d6302", "reporting", "198.51.100.7"),
        };
        record["objects"][0]["objectId"] = client.into();
        record["objects"][0]["objectName"] = name.into();
        record["clientId"] = client.into();
        record["clientName"] = name.into();
        let properties = &mut record["payload"]["properties"];
        properties["clientID"] = client.into();
        properties["clientName"] = name.into();
        properties["clientIP"] = ip.into();
        if reading.query == "failed" {
            record["failed"] = true.into();
            record["payload"]["properties"]["errorMessage"] = "invalid client credentials".into();
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kind;

    fn entry(body: Body) -> Entry {
        Entry { key: 77, time: 1_700_000_000_123, visible_at: 1_700_000_000_123, kind: Kind::Foreign, body, served: 0 }
    }

    #[test]
    fn no_record_has_an_id_and_every_sample_reads() {
        let events = Events::new(Vec::new(), 0);
        let (_, all) = events.samples();
        for number in 0..u16::try_from(all).unwrap() {
            let record = events.value(&entry(Body::Sample(number)), 1);
            assert!(record["action"].is_string() && record.get("id").is_none(), "{record}");
            assert!(record["objects"].as_array().is_some_and(|objects| !objects.is_empty()), "{record}");
        }
    }

    #[test]
    fn a_renaming_shows_in_names_only_and_not_if_versions_are_asked_for() {
        let events = Events::new(vec![1_700_000_100_000], 0);
        let shown = |as_of| events.value(&entry(Body::Sample(0)), as_of);
        let (before, after) = (shown(1_700_000_050_000), shown(1_700_000_200_000));
        assert_ne!(before["objects"][0]["objectName"], after["objects"][0]["objectName"]);
        assert_eq!(before["payload"], after["payload"]);
        assert_eq!(shown(-1_700_000_200_000), before);
    }

    #[test]
    fn parts_of_a_payload_share_everything_but_the_part() {
        let mut events = Events::new(Vec::new(), 0);
        events.vary(78, Variant { of: 77, part: Some(1), organization: None });
        let whole = events.value(&entry(Body::Sample(0)), 1);
        let part = events.value(&Entry { key: 78, ..entry(Body::Sample(0)) }, 1);
        assert_ne!(whole["payload"], part["payload"]);
        let strip = |mut record: Value| {
            record["payload"] = Value::Null;
            record
        };
        assert_eq!(strip(whole), strip(part));
    }
}
