//! What a schema wants and an event does not have, by its path; and what both encodings read from events alike.

use chrono::{DateTime, Utc};
use std::{borrow::Cow, fmt};
use vrl::value::Value;

/// A value that does not fit its field.
#[derive(Debug, PartialEq)]
pub(crate) struct Misfit {
    /// From the inside to the outside.
    path: Vec<String>,
    wanted: String,
    found: String,
}

impl Misfit {
    /// `wanted` is the schema's type; `None` is a member that is absent.
    pub(crate) fn new(wanted: impl Into<String>, found: Option<&Value>) -> Self {
        Self { path: Vec::new(), wanted: wanted.into(), found: found.map_or("nothing".into(), describe) }
    }

    /// The same, of a value below `member`.
    pub(crate) fn below(mut self, member: &str) -> Self {
        self.path.push(format!(".{member}"));
        self
    }

    /// The same, of an element.
    pub(crate) fn at(mut self, index: usize) -> Self {
        self.path.push(format!("[{index}]"));
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: String = self.path.iter().rev().map(String::as_str).collect();
        let place = if path.is_empty() { "the event" } else { path.trim_start_matches('.') };
        write!(
            f,
            "`{place}` does not fit the schema, which wants {} there; the event has {}. Set it by a transform, or change the schema",
            self.wanted, self.found
        )
    }
}

/// A value in words: its kind, and as much of it as tells it from others of the kind.
fn describe(value: &Value) -> String {
    const MOST: usize = 40;
    match value {
        Value::Null => "null".to_owned(),
        Value::Object(object) => format!("an object of {} members", object.len()),
        Value::Array(items) => format!("an array of {} elements", items.len()),
        Value::Bytes(_) | Value::String(_) | Value::Regex(_) => {
            let text = text(value).unwrap_or_default();
            let short: String = text.chars().take(MOST).collect();
            let more = if short.len() < text.len() { ".." } else { "" };
            format!("the text {short:?}{more}")
        }
        Value::Timestamp(_) => format!("the time {}", text(value).unwrap_or_default()),
        Value::Integer(_) | Value::Float(_) => {
            format!("the number {}", serde_json::to_string(value).unwrap_or_default())
        }
        Value::Boolean(truth) => truth.to_string(),
    }
}

/// A text, and what JSON writes as one.
pub(crate) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Bytes(_) | Value::String(_) => value.to_str_lossy(),
        Value::Regex(regex) => Some(regex.as_str().into()),
        // As the JSON of the same event has it.
        Value::Timestamp(_) => match serde_json::to_value(value) {
            Ok(serde_json::Value::String(text)) => Some(text.into()),
            _ => None,
        },
        _ => None,
    }
}

/// A text's bytes.
pub(crate) fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes.to_vec()),
        other => text(other).map(|text| text.into_owned().into_bytes()),
    }
}

/// A number that a double holds exactly.
pub(crate) fn double(value: &Value) -> Option<f64> {
    /// Up to here every whole number is a double.
    const EXACT: i64 = 1 << 53;
    match value {
        Value::Float(number) => Some(number.into_inner()),
        #[expect(clippy::cast_precision_loss, reason = "the guard")]
        Value::Integer(number) if (-EXACT..=EXACT).contains(number) => Some(*number as f64),
        _ => None,
    }
}

/// A number as the nearest float, unless that is infinite.
pub(crate) fn float(value: &Value) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "who writes `float` into a schema wants the nearest one")]
    let near = double(value)? as f32;
    near.is_finite().then_some(near)
}

/// An instant as OCSF has it, milliseconds since 1970, or as a text of RFC 3339.
pub(crate) fn instant(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::Integer(milliseconds) => DateTime::from_timestamp_millis(*milliseconds),
        Value::Timestamp(time) => Some(*time),
        other => DateTime::parse_from_rfc3339(&text(other)?).ok().map(|time| time.to_utc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misfit_names_path_type_and_finding() {
        let misfit = Misfit::new("long", Some(&Value::from("x".repeat(50)))).at(2).below("b").below("a");
        let said = misfit.to_string();
        assert!(said.starts_with("`a.b[2]` does not fit the schema, which wants long there"), "{said}");
        assert!(said.contains(&format!("the text \"{}\"..", "x".repeat(40))), "{said}");
        assert!(Misfit::new("string", None).below("a").to_string().contains("has nothing"));
    }

    #[test]
    fn whole_numbers_are_doubles_only_where_nothing_is_lost() {
        assert_eq!(double(&Value::Integer(1 << 53)), Some(9_007_199_254_740_992.0));
        assert_eq!(double(&Value::Integer((1 << 53) + 1)), None);
        assert_eq!(float(&Value::from_f64_or_zero(1e300)), None);
    }

    #[test]
    fn instants_are_milliseconds_or_rfc_3339() {
        let expected = DateTime::from_timestamp_millis(1_663_181_565_655);
        assert_eq!(instant(&Value::Integer(1_663_181_565_655)), expected);
        assert_eq!(instant(&Value::from("2022-09-14T20:52:45.655+02:00")), expected);
        assert_eq!(instant(&Value::from("yesterday")), None);
    }
}
