//! What headwater knows about an event, as `%headwater` shows it.

use chrono::TimeDelta;
use headwater_contracts::Event;
use std::cell::OnceCell;
use vrl::value::{ObjectMap, Value};

/// The name of headwater's own corner of the metadata.
pub(crate) const ROOT: &str = "headwater";

/// The fields of `%headwater`.
pub(crate) const NAMES: [&str; 12] = [
    "source",
    "provider",
    "stream",
    "id",
    "time",
    "observed_time",
    "own_query",
    "own_query_policy",
    "suspicious",
    "late",
    "simulated",
    "raw",
];

/// The fields of one event's `%headwater`, each made when a program first asks for it: most programs ask for two.
#[derive(Debug, Default)]
pub(crate) struct Facts([OnceCell<Value>; NAMES.len()]);

impl Facts {
    /// The field `name`, if there is such a field.
    pub(crate) fn get(&self, event: &Event, name: &str) -> Option<&Value> {
        let cell = &self.0[NAMES.iter().position(|known| *known == name)?];
        Some(cell.get_or_init(|| fact(event, name)))
    }
}

/// All of `%headwater`.
pub(crate) fn object(event: &Event) -> Value {
    Value::Object(NAMES.iter().map(|name| ((*name).into(), fact(event, name))).collect::<ObjectMap>())
}

fn fact(event: &Event, name: &str) -> Value {
    match name {
        "source" => event.origin.source.as_str().into(),
        "provider" => event.origin.provider.as_ref().into(),
        "stream" => event.origin.stream.as_str().into(),
        "id" => event.id.as_str().into(),
        "time" => event.time.map_or(Value::Null, Value::Timestamp),
        "observed_time" => Value::Timestamp(event.observed),
        "own_query" => event.own_query.into(),
        "own_query_policy" => event.origin.own_query_policy.as_str().into(),
        "suspicious" => event.suspicious.as_deref().map_or(Value::Null, Value::from),
        "late" => event.late.map_or(Value::Null, |late| late_text(late).into()),
        "simulated" => event.origin.simulated.into(),
        // Shares the bytes, copies nothing.
        "raw" => Value::Bytes(event.raw.clone()),
        _ => Value::Null,
    }
}

/// A lateness in its largest whole unit up to hours: `26h`, `45m`, `30s`.
pub(crate) fn late_text(late: TimeDelta) -> String {
    match (late.num_hours(), late.num_minutes()) {
        (0, 0) => format!("{}s", late.num_seconds()),
        (0, minutes) => format!("{minutes}m"),
        (hours, _) => format!("{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_told_in_its_largest_unit() {
        let check = |seconds, text: &str| assert_eq!(late_text(TimeDelta::seconds(seconds)), text);
        check(0, "0s");
        check(30, "30s");
        check(59, "59s");
        check(60, "1m");
        check(45 * 60 + 5, "45m");
        check(3600, "1h");
        check(26 * 3600 + 59, "26h");
    }
}
