//! One element of `data`: when it happened, and what makes it the same event.

use crate::occurrences::Occurrences;
use headwater_contracts::{Identity, Timestamp, Unreadable};
use serde_json::{Map, Value};

/// Names of things, which show what they are called today: no part of an identity.
const DISPLAY: [&str; 6] =
    ["objectName", "environmentName", "parentName", "userName", "clientName", "organizationName"];

/// One record.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: Map<String, Value>,
    pub(crate) time: Option<Timestamp>,
}

impl Entry {
    /// Reads one element. Only an element that is no object is unreadable.
    pub(crate) fn read(raw: &[u8]) -> Result<Self, Unreadable> {
        let record: Map<String, Value> = serde_json::from_slice(raw)
            .map_err(|error| Unreadable { reason: format!("a record of the audit log is no JSON object: {error}") })?;
        let time = record.get("timestamp").and_then(instant);
        Ok(Self { record, time })
    }

    /// The text at `key`.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.record.get(key).and_then(Value::as_str)
    }

    /// The objects it is about.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.record.get("objects").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
    }

    /// `payload`, which may be written as JSON or as text that is JSON.
    pub(crate) fn payload(&self) -> Option<Value> {
        match self.record.get("payload")? {
            Value::String(text) => serde_json::from_str(text).ok(),
            payload => Some(payload.clone()),
        }
    }

    /// What equal records of an organization share. Everything but names counts; with an `id`, that and the time alone.
    pub(crate) fn fingerprint(&self, organization: &str) -> Identity {
        let mut bytes = Vec::with_capacity(512);
        match self.text("id").filter(|id| !id.is_empty()) {
            Some(id) => bytes.extend_from_slice(id.as_bytes()),
            None => self.write(&mut bytes),
        }
        let time = self.time.map_or_else(
            || self.record.get("timestamp").map(Value::to_string).unwrap_or_default(),
            |time| time.timestamp_millis().to_string(),
        );
        Identity::of(&[b"anypoint", organization.as_bytes(), time.as_bytes(), &bytes])
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut keys: Vec<_> = self.record.iter().filter(|(key, value)| counts(key, value)).collect();
        keys.sort_unstable_by_key(|(key, _)| *key);
        for (key, value) in keys {
            if key == "timestamp" {
                continue;
            }
            text(key, out);
            if let ("objects", Value::Array(objects)) = (key.as_str(), value) {
                // In an order of our own, because the server promises none.
                let mut written: Vec<Vec<u8>> = objects.iter().map(object).collect();
                written.sort_unstable();
                out.extend_from_slice(&(written.len() as u64).to_le_bytes());
                for one in &written {
                    out.extend_from_slice(one);
                }
            } else {
                canonical(value, out);
            }
        }
    }
}

/// The identity of a record: its fingerprint, and its number among equals of what is being read. `place` is its time as the
/// numbering orders it.
pub(crate) fn numbered(
    entry: &Entry,
    organization: &str,
    place: Option<Timestamp>,
    occurrences: &mut Occurrences,
) -> Identity {
    let fingerprint = entry.fingerprint(organization);
    let number = occurrences.next(fingerprint, place);
    Identity::of(&[&fingerprint.0, &number.to_le_bytes()])
}

/// Whether a member takes part: an absent one may come as null.
fn counts(key: &str, value: &Value) -> bool {
    !value.is_null() && !DISPLAY.contains(&key)
}

fn object(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Object(map) => {
            let map = map.iter().filter(|(key, value)| counts(key, value));
            canonical(&Value::Object(map.map(|(key, value)| (key.clone(), value.clone())).collect()), &mut out);
        }
        other => canonical(other, &mut out),
    }
    out
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Appends `value` so that equal values are written alike, whatever the order of their keys, and others are not.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'n'),
        Value::Bool(truth) => out.push(if *truth { b't' } else { b'f' }),
        Value::Number(number) => {
            out.push(b'0');
            match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(whole), ..) => text(&whole.to_string(), out),
                (_, Some(whole), _) => text(&whole.to_string(), out),
                (.., float) => out.extend_from_slice(&float.unwrap_or_default().to_bits().to_le_bytes()),
            }
        }
        Value::String(string) => {
            out.push(b's');
            text(string, out);
        }
        Value::Array(items) => {
            out.push(b'[');
            out.extend_from_slice(&(items.len() as u64).to_le_bytes());
            for item in items {
                canonical(item, out);
            }
        }
        Value::Object(map) => {
            out.push(b'{');
            out.extend_from_slice(&(map.len() as u64).to_le_bytes());
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            for (key, value) in keys {
                text(key, out);
                canonical(value, out);
            }
        }
    }
}

/// Epoch milliseconds, as a number or in digits, or RFC 3339.
fn instant(value: &Value) -> Option<Timestamp> {
    let time = match value {
        Value::Number(ms) => Timestamp::from_timestamp_millis(ms.as_i64()?)?,
        Value::String(text) => match text.parse::<i64>() {
            Ok(ms) => Timestamp::from_timestamp_millis(ms)?,
            Err(_) => chrono::DateTime::parse_from_rfc3339(text).ok()?.to_utc(),
        },
        _ => return None,
    };
    // To the millisecond, like the bounds of windows.
    Timestamp::from_timestamp_millis(time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ORG: &str = "ac584c40-1bf7-4c08-96a3-c9013a01d871";

    fn entry(record: &Value) -> Entry {
        Entry::read(record.to_string().as_bytes()).unwrap()
    }

    fn print(record: &Value) -> Identity {
        entry(record).fingerprint(ORG)
    }

    fn sample() -> Value {
        serde_json::from_str(include_str!("../tests/pages/policy-create.json")).unwrap()
    }

    #[test]
    fn real_records_read() {
        for (raw, time) in [
            (&include_bytes!("../tests/pages/application-deploy.json")[..], "2023-10-14T16:32:00.142Z"),
            (include_bytes!("../tests/pages/login-success.json"), "2023-10-14T15:02:11.410Z"),
            (include_bytes!("../tests/pages/team-add-member.json"), "2023-10-14T17:00:00Z"),
        ] {
            assert_eq!(Entry::read(raw).unwrap().time, Some(time.parse().unwrap()));
        }
        let login = Entry::read(include_bytes!("../tests/pages/login-failure-string-payload.json")).unwrap();
        assert_eq!(login.payload().unwrap()["subaction"], "Failure");
    }

    #[test]
    fn names_nulls_and_orders_do_not_make_another_event() {
        let record = sample();
        let mut renamed = record.clone();
        renamed["objects"][0]["objectName"] = "new".into();
        renamed["objects"][0]["environmentName"] = "new".into();
        renamed["objects"][0]["parentName"] = Value::Null;
        renamed["userName"] = "new".into();
        renamed["clientName"] = Value::Null;
        renamed["clientId"] = Value::Null;
        assert_eq!(print(&renamed), print(&record));
        let mut two = record.clone();
        two["objects"].as_array_mut().unwrap().push(json!({ "objectId": "x" }));
        let mut turned = two.clone();
        turned["objects"].as_array_mut().unwrap().reverse();
        assert_eq!(print(&two), print(&turned));
        let reordered =
            format!("{{\"userName\":\"u\",{}", &record.to_string()[1..].replacen("\"userName\"", "\"x\"", 1));
        assert!(Entry::read(reordered.as_bytes()).is_ok());
    }

    #[test]
    fn everything_else_does() {
        let record = sample();
        let differs = |change: &dyn Fn(&mut Value)| {
            let mut other = record.clone();
            change(&mut other);
            assert_ne!(print(&other), print(&record), "{other}");
        };
        differs(&|r| r["timestamp"] = 1_679_200_034_615_i64.into());
        differs(&|r| r["action"] = "Create".into());
        differs(&|r| r["platform"] = "x".into());
        differs(&|r| r["userId"] = "x".into());
        differs(&|r| r["failed"] = true.into());
        differs(&|r| r["anypointTransactionId"] = "x".into());
        differs(&|r| r["objects"][0]["objectId"] = "x".into());
        differs(&|r| r["objects"][0]["environmentId"] = "x".into());
        differs(&|r| r["payload"]["properties"]["order"] = 2.into());
        differs(&|r| r["payload"]["properties"]["objectName"] = "in a payload a name is content".into());
        differs(&|r| r["unknown"] = 1.into());
        assert_ne!(entry(&record).fingerprint("another"), entry(&record).fingerprint(ORG));
    }

    #[test]
    fn an_id_decides_if_there_ever_is_one() {
        let (mut a, mut b) = (sample(), sample());
        (a["id"], b["id"]) = ("1".into(), "1".into());
        b["payload"] = Value::Null;
        assert_eq!(print(&a), print(&b));
        b["id"] = "2".into();
        assert_ne!(print(&a), print(&b));
    }

    #[test]
    fn odd_records_are_records_and_what_is_no_object_is_not() {
        assert_eq!(entry(&json!({})).time, None);
        assert_eq!(entry(&json!({ "timestamp": "soon", "objects": 7, "payload": "{" })).payload(), None);
        for raw in [&b"17"[..], b"[{}]", b"null", b"", b"{\"a\":"] {
            assert!(Entry::read(raw).is_err(), "{}", String::from_utf8_lossy(raw));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::read(&raw).map(|entry| entry.fingerprint(ORG));
        }

        #[test]
        fn digits_numbers_and_text_are_the_same_instant(ms in 0i64..4_000_000_000_000) {
            let time = Timestamp::from_timestamp_millis(ms).unwrap();
            for value in [json!(ms), json!(ms.to_string()), json!(time.to_rfc3339())] {
                prop_assert_eq!(instant(&value), Some(time));
            }
        }
    }
}
