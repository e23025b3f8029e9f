//! Reading a member of a record without trusting its type.

use headwater_contracts::Unreadable;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::{borrow::Cow, fmt};

/// A member of a record: borrowed text, a whole number, nothing, or something else. A member of an unexpected type must
/// not make the whole record unreadable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// An integer.
    Whole(i64),
    /// Absent (with `#[serde(default)]`) or null.
    #[default]
    Absent,
    /// Of another type.
    Other,
}

impl Scalar<'_> {
    /// The string, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The integer, if it is one.
    pub fn whole(&self) -> Option<i64> {
        if let Self::Whole(number) = self { Some(*number) } else { None }
    }
}

/// Why a record cannot be told apart whose member `key` should be its id; `None` if it can.
pub fn no_id(key: &str, id: &Scalar<'_>) -> Option<Unreadable> {
    let what = match id {
        Scalar::Text(text) if !text.is_empty() => return None,
        Scalar::Text(_) => format!("an empty `{key}`"),
        Scalar::Absent => format!("no `{key}`"),
        Scalar::Whole(number) => format!("a number for `{key}`, {number}, where a text is expected"),
        Scalar::Other => format!("a `{key}` that is not a text"),
    };
    Some(Unreadable {
        reason: format!("a record of the audit log has {what}: nothing tells it from others; tell the vendor"),
    })
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Whole(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Scalar::Other, Scalar::Whole))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_none_is_named() {
        let reason = |id: Scalar<'_>| no_id("uuid", &id).map(|unreadable| unreadable.reason).unwrap_or_default();
        assert_eq!(no_id("uuid", &Scalar::Text("a".into())), None);
        assert!(reason(Scalar::Text("".into())).contains("has an empty `uuid`:"));
        assert!(reason(Scalar::Absent).contains("has no `uuid`:"));
        assert!(reason(Scalar::Whole(1)).contains("has a number for `uuid`, 1, where a text is expected:"));
        assert!(reason(Scalar::Other).contains("has a `uuid` that is not a text:"));
    }

    #[test]
    fn any_json_value_reads_and_plain_text_is_borrowed() {
        let read = |text| serde_json::from_str::<Scalar<'_>>(text).unwrap();
        assert!(matches!(read(r#""plain""#), Scalar::Text(Cow::Borrowed("plain"))));
        assert_eq!(read(r#""a\nb""#).text(), Some("a\nb"));
        assert_eq!(read("-17").whole(), Some(-17));
        assert_eq!(read("null"), Scalar::Absent);
        for other in ["true", "1.5", "18446744073709551615", "[1,[2]]", r#"{"a":{"b":1}}"#] {
            assert_eq!(read(other), Scalar::Other, "{other}");
        }
    }
}
