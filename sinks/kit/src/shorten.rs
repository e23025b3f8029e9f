//! Events too large for a destination.

use crate::Facts;
use vrl::value::{ObjectMap, Value};

/// The OCSF release that has no words for "truncated".
const NO_TRUNCATION: &str = "1.5.0";

/// An event without what may be left out where it is too large: `raw_data` first, then `unmapped` too, until `fits`.
/// `metadata.is_truncated` and `metadata.untruncated_size`, in bytes of the whole event's JSON, then say so;
/// `raw_data_hash` stays. `None` if it is no OCSF event, or is too large even so.
pub fn shortened(event: &Facts<'_>, untruncated: usize, fits: impl Fn(&Value) -> bool) -> Option<Value> {
    event.integer(&["class_uid"])?;
    let says_so = event.text(&["metadata", "version"]).is_some_and(|version| version != NO_TRUNCATION);
    let Value::Object(mut object) = event.value().clone() else { return None };
    if says_so && let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.insert("is_truncated".into(), true.into());
        metadata.insert("untruncated_size".into(), i64::try_from(untruncated).unwrap_or(i64::MAX).into());
    }
    for left_out in ["raw_data", "unmapped"] {
        object.remove(left_out);
        let candidate = Value::Object(object);
        if fits(&candidate) {
            return Some(candidate);
        }
        object = taken(candidate);
    }
    None
}

fn taken(value: Value) -> ObjectMap {
    if let Value::Object(object) = value { object } else { ObjectMap::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::Event;
    use serde_json::json;

    fn event(body: &serde_json::Value) -> Event {
        Event { value: Some(Value::from(body.clone())), ..headwater_testkit::sink_suite::event("a", "b", true) }
    }

    fn size(value: &Value) -> usize {
        serde_json::to_vec(value).unwrap().len()
    }

    #[test]
    fn raw_data_goes_first_then_unmapped_and_then_nothing() {
        let body = json!({"class_uid": 6003, "raw_data": "r".repeat(500), "unmapped": {"a": "u".repeat(300)},
            "raw_data_hash": {"value": "h"}, "metadata": {"version": "1.6.0"}});
        let event = event(&body);
        let facts = Facts::of(&event).unwrap();
        let at_most = |limit| shortened(&facts, 900, |value| size(value) <= limit);
        let without_raw = at_most(600).unwrap();
        let without_raw = without_raw.as_object().unwrap();
        assert!(!without_raw.contains_key("raw_data") && without_raw.contains_key("unmapped"));
        let least = at_most(200).unwrap();
        let expected = json!({"class_uid": 6003, "raw_data_hash": {"value": "h"},
            "metadata": {"version": "1.6.0", "is_truncated": true, "untruncated_size": 900}});
        assert_eq!(serde_json::to_value(least).unwrap(), expected);
        assert!(at_most(50).is_none());
    }

    #[test]
    fn a_release_without_the_words_is_not_given_them_and_foreign_events_are_left_alone() {
        let old = event(&json!({"class_uid": 0, "raw_data": "r", "metadata": {"version": "1.5.0"}}));
        let value = shortened(&Facts::of(&old).unwrap(), 9, |_| true).unwrap();
        assert_eq!(serde_json::to_value(value).unwrap(), json!({"class_uid": 0, "metadata": {"version": "1.5.0"}}));
        assert!(shortened(&Facts::of(&event(&json!({"raw_data": "mine"}))).unwrap(), 9, |_| true).is_none());
    }
}
