//! What the pipeline says about an event: `%headwater`.

use crate::time;
use vrl::compiler::prelude::Bytes;
use vrl::value::{ObjectMap, Value};

/// The metadata that normalizing needs. A field that is missing or of another type counts as not said.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    /// Name of the remote log.
    pub(crate) stream: Option<String>,
    /// The event's id.
    pub(crate) id: Option<String>,
    /// When headwater read the event, epoch milliseconds.
    pub(crate) observed_ms: Option<i64>,
    /// When it happened according to the source plugin, epoch milliseconds.
    pub(crate) time_ms: Option<i64>,
    /// Caused by headwater's own reading.
    pub(crate) own_query: bool,
    /// Made up by a simulator.
    pub(crate) simulated: bool,
    /// Appeared in a range that had been covered before.
    pub(crate) late: bool,
    /// Why the record looks like an imitation of headwater's own.
    pub(crate) suspicious: Option<String>,
    /// The provider's bytes.
    pub(crate) raw: Option<Bytes>,
}

impl Meta {
    /// Reads the object `%headwater`.
    pub(crate) fn read(headwater: Option<&Value>) -> Self {
        let Some(Value::Object(map)) = headwater else {
            return Self::default();
        };
        Self {
            stream: text(map, "stream"),
            id: text(map, "id"),
            observed_ms: map.get("observed_time").and_then(instant),
            time_ms: map.get("time").and_then(instant),
            own_query: map.get("own_query") == Some(&Value::Boolean(true)),
            simulated: map.get("simulated") == Some(&Value::Boolean(true)),
            late: map.get("late").is_some_and(|late| !matches!(late, Value::Null | Value::Boolean(false))),
            suspicious: text(map, "suspicious"),
            raw: match map.get("raw") {
                Some(Value::Bytes(bytes)) => Some(bytes.clone()),
                Some(Value::String(text)) => Some(text.as_bytes().clone()),
                _ => None,
            },
        }
    }
}

fn text(map: &ObjectMap, key: &str) -> Option<String> {
    match map.get(key)? {
        value @ (Value::Bytes(_) | Value::String(_)) => {
            Some(value.to_string_lossy().into_owned()).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}

/// A VRL timestamp, or RFC 3339 text; epoch milliseconds.
fn instant(value: &Value) -> Option<i64> {
    match value {
        Value::Timestamp(timestamp) => Some(timestamp.timestamp_millis()),
        Value::Bytes(_) | Value::String(_) => time::parse(&value.to_string_lossy()).map(|instant| instant.ms),
        _ => None,
    }
}
