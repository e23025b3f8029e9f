//! One event, one line. Pure.

use headwater_contracts::{Event, is_visible};
use std::fmt::Write as _;

/// Appends the event as one line of JSON, without the line break: as the transforms left it, or the provider's bytes if
/// none looked. `Err` says why it cannot be written.
pub fn line(event: &Event, out: &mut Vec<u8>) -> Result<(), String> {
    match &event.value {
        Some(_) => event.write_json(out).map_err(|error| format!("cannot be written as JSON: {error}")),
        None => {
            on_one_line(&event.raw, out);
            Ok(())
        }
    }
}

/// Appends a JSON text as it is, or without the blanks between its tokens if a line break is among them. Strings,
/// numbers, key order and repeated keys stay as the provider wrote them.
pub fn on_one_line(json: &[u8], out: &mut Vec<u8>) {
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        out.extend_from_slice(json);
        return;
    }
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        match byte {
            // JSON allows no line break inside a string; should one be there, it must not end the line.
            b'\n' if in_string => out.extend_from_slice(b"\\n"),
            b'\r' if in_string => out.extend_from_slice(b"\\r"),
            b' ' | b'\t' | b'\n' | b'\r' if !in_string => {}
            _ => out.push(byte),
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
}

/// Lines of JSON as a terminal may have them: what it would obey is written as `\u009b`, which means the same to whoever reads JSON.
pub fn for_terminals(lines: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(lines);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_visible(c) || c == '\n' {
            out.push(c);
        } else {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn one_line(json: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        on_one_line(json, &mut out);
        out
    }

    #[test]
    fn bytes_without_a_line_break_stay_as_they_are() {
        assert_eq!(one_line(br#"{ "a" : 1.000,  "a": "\u00e9" }"#), br#"{ "a" : 1.000,  "a": "\u00e9" }"#);
    }

    #[test]
    fn only_blanks_between_tokens_go() {
        let spread = b"{\r\n \"a b\" : [ 1.0 ,\t\"c \\\" d\\\\\" , \" \" ],\n\"a b\":2}\n";
        assert_eq!(one_line(spread), br#"{"a b":[1.0,"c \" d\\"," "],"a b":2}"#);
    }

    #[test]
    fn a_terminal_gets_nothing_to_obey_and_the_meaning_stays() {
        let json = "{\"a\":\"\u{9b}31m\u{202e}\u{7f}\u{e9}\"}\n";
        let shown = String::from_utf8(for_terminals(json.as_bytes())).unwrap();
        assert_eq!(shown, "{\"a\":\"\\u009b31m\\u202e\\u007f\u{e9}\"}\n");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), serde_json::from_str::<Value>(json).unwrap());
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[\\\\\"\n\r\t ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z \n\"\\\\]{0,5}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn spread_json_becomes_one_line_of_the_same_meaning(value in json()) {
            let out = one_line(serde_json::to_string_pretty(&value).unwrap().as_bytes());
            prop_assert!(!out.contains(&b'\n') && !out.contains(&b'\r'));
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), value);
        }

        #[test]
        fn no_bytes_whatever_break_a_one_line(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let out = one_line(&bytes);
            prop_assert!(!out.contains(&b'\n') && !out.contains(&b'\r'));
        }
    }
}
