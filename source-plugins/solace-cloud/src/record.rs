//! One record of the log.

use chrono::DateTime;
use headwater_contracts::{Identity, Timestamp, Unreadable};
use headwater_source_kit::{Scalar, no_id};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A record, as far as reading needs to know it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    fields: Map<String, Value>,
    /// When the action began.
    pub(crate) start: Option<Timestamp>,
    /// When it was complete; absent for one that is not.
    pub(crate) end: Option<Timestamp>,
}

impl Entry {
    /// Reads one element. Only an element that is no object or has no `id` is unreadable.
    pub(crate) fn read(raw: &[u8]) -> Result<Self, Unreadable> {
        let fields: Map<String, Value> = headwater_source_kit::object(raw)?;
        let id = Scalar::deserialize(fields.get("id").unwrap_or(&Value::Null)).unwrap_or_default();
        if let Some(unreadable) = no_id("id", &id) {
            return Err(unreadable);
        }
        let time = |key: &str| fields.get(key).and_then(Value::as_str).and_then(instant);
        Ok(Self { start: time("startTime"), end: time("endTime"), fields })
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).and_then(Value::as_str)
    }

    /// The provider's id, never empty.
    pub(crate) fn id(&self) -> &str {
        self.text("id").unwrap_or_default()
    }

    /// When the fact was complete: its end, and its start if it has none.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.end.or(self.start)
    }

    /// The latest of its times: what a bound on either of them cannot exclude.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        self.start.max(self.end)
    }

    /// `userId`, if it is text.
    pub(crate) fn user(&self) -> Option<&str> {
        self.text("userId")
    }

    /// `source`, the address that the action came from.
    pub(crate) fn address(&self) -> Option<&str> {
        self.text("source")
    }

    /// A member of `meta`, if it is text.
    pub(crate) fn meta(&self, key: &str) -> Option<&str> {
        self.fields.get("meta")?.get(key)?.as_str()
    }

    /// What makes it the same event: its id and all of its content, whatever the order of its members.
    pub(crate) fn identity(&self) -> Identity {
        let mut content = String::new();
        write_object(&self.fields, &mut content);
        Identity::of(&[b"solace_cloud", self.id().as_bytes(), content.as_bytes()])
    }
}

/// RFC 3339.
fn instant(text: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc())
}

/// Writes JSON with the members of each object in order.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => write_object(map, out),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn write_object(map: &Map<String, Value>, out: &mut String) {
    let mut members: Vec<_> = map.iter().collect();
    // Whether a map of JSON keeps the order of the text depends on a feature that any other crate may switch on.
    members.sort_unstable_by_key(|(key, _)| *key);
    out.push('{');
    for (key, value) in members {
        write(&Value::from(key.as_str()), out);
        out.push(':');
        write(value, out);
        out.push(',');
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(raw: &str) -> Entry {
        Entry::read(raw.as_bytes()).unwrap()
    }

    #[test]
    fn a_real_record_reads() {
        let entry = Entry::read(include_bytes!("../tests/pages/service-delete-failure.json")).unwrap();
        assert_eq!(entry.id(), "10dri30cmj1");
        assert_eq!(entry.time().unwrap().to_rfc3339(), "2022-09-14T18:52:45.655+00:00");
        assert_eq!((entry.end.unwrap() - entry.start.unwrap()).num_milliseconds(), 906);
        assert_eq!((entry.user(), entry.address()), (Some("qe6mvlb39c1"), Some("174.95.100.240")));
        assert_eq!((entry.meta("msg_vpn_name"), entry.meta("requestPath")), (Some("firstapp"), None));
    }

    #[test]
    fn odd_members_do_not_make_a_record_unreadable() {
        let entry = read(r#"{"id":"a","startTime":7,"endTime":null,"meta":["x"],"userId":{}}"#);
        assert_eq!((entry.time(), entry.latest(), entry.user(), entry.meta("x")), (None, None, None, None));
        let entry = read(r#"{"id":"a","startTime":"2022-09-14T18:52:44.749Z","endTime":"soon"}"#);
        assert_eq!(entry.time(), entry.start);
        for raw in [&b"17"[..], b"[\"a\"]", b"null", b"{}", br#"{"id":""}"#, br#"{"id":7}"#, br#"{"id":"#] {
            assert!(Entry::read(raw).is_err(), "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn content_counts_and_the_order_of_members_does_not() {
        let identity = |raw: &str| read(raw).identity();
        let one = identity(r#"{"id":"a","status":"SUCCESS","meta":{"x":"1","y":"2"}}"#);
        assert_eq!(one, identity(r#" {"meta":{"y":"2","x":"1"}, "id":"a","status":"SUCCESS"}"#));
        assert_ne!(one, identity(r#"{"id":"a","status":"FAILURE","meta":{"x":"1","y":"2"}}"#));
        assert_ne!(one, identity(r#"{"id":"a","status":"SUCCESS","meta":{"x":"1","y":"3"}}"#));
        assert_ne!(one, identity(r#"{"id":"b","status":"SUCCESS","meta":{"x":"1","y":"2"}}"#));
        assert_ne!(identity(r#"{"id":"a","m":["1","2"]}"#), identity(r#"{"id":"a","m":["1,2"]}"#));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::read(&raw).map(|entry| entry.identity());
        }

        #[test]
        fn any_time_is_read_or_left_out(text in ".{0,40}") {
            let _ = read(&serde_json::json!({ "id": "a", "startTime": text }).to_string()).time();
        }
    }
}
