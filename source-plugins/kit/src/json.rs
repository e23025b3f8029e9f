//! Reading pages and their elements.

use crate::Raw;
use headwater_contracts::{ReadError, Unreadable};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Display;

/// Reads one element of a page as an object. Only what is no object, or does not fit `T`, is unreadable: let the members
/// of `T` be [`crate::Scalar`]s and raw values.
pub fn object<'a, T: Deserialize<'a>>(raw: &'a [u8]) -> Result<T, Unreadable> {
    // A struct would also read from an array.
    if raw.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Unreadable { reason: "a record of the audit log is not a JSON object".to_owned() });
    }
    let unreadable =
        |error: &dyn Display| Unreadable { reason: format!("a record of the audit log is not readable JSON: {error}") };
    // This reader skips what it is not asked for without recursion.
    serde_json::from_slice(raw).map_err(|error| unreadable(&error))
}

/// Reads a nested object that may be absent or of another shape: empty then.
pub fn part<'a, T: Deserialize<'a> + Default>(raw: Option<Raw<'a>>) -> T {
    raw.map(Raw::text)
        .filter(|text| text.starts_with('{'))
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Reads a page without its elements, which must have the array `key`; `hint` says what to check if it has none.
pub fn envelope(page: &[u8], key: &str, hint: &str) -> Result<Value, ReadError> {
    let page: Value = serde_json::from_slice(page)
        .map_err(|error| ReadError::Malformed(format!("a page of the audit log is not readable JSON: {error}")))?;
    if !page.get(key).is_some_and(Value::is_array) {
        return Err(ReadError::Malformed(format!("the answer has no `{key}`: it is no page of an audit log; {hint}")));
    }
    Ok(page)
}

/// A count or a number of a page, as a number or as text. `None` if it is of another type.
pub fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| number.to_string().strip_suffix(".0")?.parse().ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// What a page out of a file says of the rest, if its member `key` counts more records than it has.
pub fn counted(envelope: &[u8], key: &str, records: u64) -> Option<String> {
    let page: Value = serde_json::from_slice(envelope).ok()?;
    let all = page.get(key).and_then(count).filter(|all| *all > records)?;
    Some(format!("it has {records} of {all} records"))
}

/// The position that a page leads on to: its member `key`, a string or a number. Absent, null and empty mean that there is none.
pub fn cursor(page: &Value, key: &str) -> Result<Option<String>, ReadError> {
    match page.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(cursor)) => Ok(Some(cursor.clone()).filter(|cursor| !cursor.is_empty())),
        Some(Value::Number(cursor)) => Ok(Some(cursor.to_string())),
        Some(_) => Err(ReadError::Malformed(format!(
            "`{key}` is no text and no number: the page cannot be followed; tell the vendor"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scalar;
    use proptest::prelude::*;

    #[derive(Debug, Default, Deserialize)]
    struct Entry<'a> {
        #[serde(borrow, default)]
        id: Scalar<'a>,
        #[serde(borrow, default)]
        actor: Option<Raw<'a>>,
    }

    #[test]
    fn an_element_is_an_object_whatever_its_members_are() {
        let entry: Entry<'_> = object(br#" {"id":"a","actor":["x"],"more":{}}"#).unwrap();
        assert_eq!(entry.id.text(), Some("a"));
        assert_eq!(part::<Entry<'_>>(entry.actor).id, Scalar::Absent);
        let entry: Entry<'_> = object(br#"{"actor":{"id":"b"}}"#).unwrap();
        assert_eq!(part::<Entry<'_>>(entry.actor).id.text(), Some("b"));
        for text in [r#""CORP\\ops""#, r#""{\"id\":\"b\"}""#, r#""two\nlines""#, r#""plain""#, "7", "null", "[{}]"] {
            let raw = format!("{{\"id\":\"a\",\"actor\":{text}}}");
            let entry: Entry<'_> = object(raw.as_bytes()).unwrap();
            assert_eq!((entry.id.text(), part::<Entry<'_>>(entry.actor).id), (Some("a"), Scalar::Absent), "{text}");
        }
        for raw in [&b"17"[..], b"[\"a\",null]", b"null", b"", br#"{"id":"#] {
            assert!(object::<Entry<'_>>(raw).is_err(), "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn a_position_is_text_or_a_number_and_nothing_else_is_taken_for_the_end() {
        let read = |text: &str| cursor(&serde_json::from_str(text).unwrap(), "next");
        for none in ["{}", r#"{"next":null}"#, r#"{"next":""}"#] {
            assert_eq!(read(none).unwrap(), None, "{none}");
        }
        assert_eq!(read(r#"{"next":"0a"}"#).unwrap().as_deref(), Some("0a"));
        assert_eq!(read(r#"{"next":17}"#).unwrap().as_deref(), Some("17"));
        for odd in ["false", "[]", r#"{"token":"a"}"#] {
            assert!(read(&format!(r#"{{"next":{odd}}}"#)).is_err(), "{odd}");
        }
        let counted = |text: &str| count(&serde_json::from_str(text).unwrap());
        assert_eq!(["7", "7.0", r#""7""#, r#"" 7 ""#].map(counted), [Some(7); 4]);
        assert_eq!(["-1", "1.5", "null", "[]", r#""x""#, "1e300"].map(counted), [None; 6]);
    }

    #[test]
    fn a_page_has_its_array() {
        assert!(envelope(br#"{"data":[]}"#, "data", "check it").is_ok());
        for page in [&b"<html>"[..], b"[]", br#"{"error":"x"}"#, br#"{"data":null}"#] {
            assert_eq!(envelope(page, "data", "check it").unwrap_err().class(), "malformed");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = object::<Entry<'_>>(&raw);
        }
    }
}
