//! Secrets become `"[REDACTED]"`, in the raw bytes and in everything derived from the event.
//!
//! A value is secret if it is
//! - a string that is not empty, or a number, under a key that names a secret ([`is_secret_key`]), also in a list there;
//! - one under the key `key` in an object that is the value of a key ending in `-auth` (a gateway plugin's credentials);
//! - a string that shows what it is: a private key, or wholly `Bearer …` or `Basic …` ([`is_secret_text`]).
//!
//! Also inside a string that is itself JSON. Ids and names of secrets (`token_uuid`, `token_name`) are not secrets.

mod text;

pub(crate) use text::redact as redact_text;

use vrl::value::Value;

/// What stands in the place of a secret.
pub(crate) const REDACTED: &str = "[REDACTED]";

/// What a key says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Under {
    /// A string or number here is a secret.
    secret: bool,
    /// An object here holds credentials: its `key` is a secret.
    credentials: bool,
}

impl Under {
    /// For the value of `key`, in an object that is itself `parent`.
    fn key(key: &str, parent: Self) -> Self {
        Self {
            secret: is_secret_key(key) || (parent.credentials && key.eq_ignore_ascii_case("key")),
            credentials: key.len() > 5 && key.as_bytes()[key.len() - 5..].eq_ignore_ascii_case(b"-auth"),
        }
    }

    /// For an element of a list that is itself `self`.
    fn element(self) -> Self {
        Self { secret: self.secret, credentials: false }
    }
}

/// Redacts a parsed event in place; returns the number of values replaced.
pub(crate) fn redact_value(value: &mut Value) -> usize {
    walk(value, Under::default())
}

fn walk(value: &mut Value, under: Under) -> usize {
    let secret = match value {
        Value::Object(map) => {
            return map.iter_mut().map(|(key, value)| walk(value, Under::key(key, under))).sum();
        }
        Value::Array(items) => return items.iter_mut().map(|item| walk(item, under.element())).sum(),
        Value::Integer(_) | Value::Float(_) => under.secret,
        Value::String(text) => {
            let text: &str = text;
            if let Some((redacted, count)) = nested(text, under) {
                *value = Value::from(redacted);
                return count;
            }
            is_secret(text, under)
        }
        Value::Bytes(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            if let Some((redacted, count)) = nested(&text, under) {
                *value = Value::from(redacted);
                return count;
            }
            is_secret(&text, under)
        }
        _ => false,
    };
    if secret {
        *value = Value::from(REDACTED);
    }
    usize::from(secret)
}

/// A string that is itself JSON, redacted; `None` if it is not, or holds no secret, or is a secret as a whole.
fn nested(text: &str, under: Under) -> Option<(String, usize)> {
    (!is_secret(text, under) && is_json(text)).then(|| redact_text(text))?
}

fn is_secret(text: &str, under: Under) -> bool {
    !text.is_empty() && text != REDACTED && (under.secret || is_secret_text(text))
}

/// Whether `text` is a JSON object or array.
fn is_json(text: &str) -> bool {
    matches!(text.trim_ascii_start().as_bytes(), [b'{' | b'[', ..])
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Whether a key names a secret: case, `-`, `_`, `.` and blanks do not matter.
fn is_secret_key(key: &str) -> bool {
    const LONGEST: usize = 15;
    let mut plain = [0u8; LONGEST];
    let mut length = 0;
    for byte in key.bytes() {
        if matches!(byte, b'-' | b'_' | b'.' | b' ') {
            continue;
        }
        if length == LONGEST {
            return false;
        }
        plain[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    matches!(
        &plain[..length],
        b"password"
            | b"passwd"
            | b"pwd"
            | b"oldpassword"
            | b"newpassword"
            | b"secret"
            | b"clientsecret"
            | b"sharedsecret"
            | b"secretkey"
            | b"secretaccesskey"
            | b"accesstoken"
            | b"refreshtoken"
            | b"idtoken"
            | b"bearertoken"
            | b"token"
            | b"apikey"
            | b"xapikey"
            | b"adminkey"
            | b"privatekey"
            | b"authorization"
            | b"cookie"
            | b"setcookie"
    )
}

/// Whether a text is a secret by its looks: a private key in PEM, or an `Authorization` value of 16 or more characters,
/// so that a policy called `Basic Authentication - LDAP` survives.
fn is_secret_text(text: &str) -> bool {
    if text.len() < 16 {
        return false;
    }
    let credential = text.split_once(' ').is_some_and(|(scheme, rest)| {
        (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("basic"))
            && rest.len() >= 16
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=._~-".contains(&byte))
    });
    credential || text.contains("PRIVATE KEY-----")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Both ways of redacting agree: the raw text, parsed afterwards, is the parsed value, redacted.
    fn check(json: &str, expected: &str, count: usize) {
        let (text, in_text) = redact_text(json).unwrap_or_else(|| (json.to_owned(), 0));
        assert_eq!((text.as_str(), in_text), (expected, count));
        let mut value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(redact_value(&mut value), count, "{json}");
        assert_eq!(value, serde_json::from_str::<Value>(expected).unwrap());
        assert_eq!(redact_text(&text), None, "a second time finds nothing");
    }

    #[test]
    fn keys_that_name_a_secret_hide_strings_and_numbers() {
        check(r#"{"password":"x"}"#, r#"{"password":"[REDACTED]"}"#, 1);
        check(r#"{ "X-Api.Key" : 1234 , "a":1}"#, r#"{ "X-Api.Key" : "[REDACTED]" , "a":1}"#, 1);
        check(r#"{"pass\u0077ord":"a\"b"}"#, r#"{"pass\u0077ord":"[REDACTED]"}"#, 1);
        check(
            r#"{"set-cookie":["a=b",-1.5e3,null,true]}"#,
            r#"{"set-cookie":["[REDACTED]","[REDACTED]",null,true]}"#,
            2,
        );
        check(
            r#"{"token":{"uuid":"u"},"token_uuid":"u","token_name":"n","password":"","secret":true}"#,
            r#"{"token":{"uuid":"u"},"token_uuid":"u","token_name":"n","password":"","secret":true}"#,
            0,
        );
        check(r#"{"secret":[[{"a":"b"}]]}"#, r#"{"secret":[[{"a":"b"}]]}"#, 0);
    }

    #[test]
    fn a_plugins_key_is_a_secret_only_under_auth() {
        check(
            r#"{"key-auth":{"key":"alice"},"limit-count":{"key":"remote_addr"},"JWT-Auth":{"key":"k","x":{"key":"y"}}}"#,
            r#"{"key-auth":{"key":"[REDACTED]"},"limit-count":{"key":"remote_addr"},"JWT-Auth":{"key":"[REDACTED]","x":{"key":"y"}}}"#,
            2,
        );
    }

    #[test]
    fn texts_that_look_like_a_secret_are_one() {
        check(r#"{"note":"Bearer abcdefghij0123456"}"#, r#"{"note":"[REDACTED]"}"#, 1);
        check(r#"["-----BEGIN PRIVATE KEY-----\nMII"]"#, r#"["[REDACTED]"]"#, 1);
        check(r#"["-----BEGIN \u0050RIVATE KEY-----\nMII"]"#, r#"["[REDACTED]"]"#, 1);
        check(r#"{"policy":"Basic Authentication - LDAP"}"#, r#"{"policy":"Basic Authentication - LDAP"}"#, 0);
        check(r#"{"policy":"Bearer short"}"#, r#"{"policy":"Bearer short"}"#, 0);
    }

    #[test]
    fn json_inside_a_string_is_redacted_at_any_depth_and_all_other_bytes_stay() {
        check(
            r#"{"payload":"{\"password\":\"x\",\"n\":\u00220\"}"}"#,
            r#"{"payload":"{\"password\":\"[REDACTED]\",\"n\":\u00220\"}"}"#,
            1,
        );
        check(r#"{"payload":"{\"token\":7}"}"#, r#"{"payload":"{\"token\":\"[REDACTED]\"}"}"#, 1);
        let deep = serde_json::json!({ "a": serde_json::json!({ "b": serde_json::json!({ "token": 7 }).to_string() }).to_string() });
        let expected = serde_json::json!({ "a": serde_json::json!({ "b": serde_json::json!({ "token": REDACTED }).to_string() }).to_string() });
        check(&deep.to_string(), &expected.to_string(), 1);
    }

    #[test]
    fn the_first_of_two_equal_keys_hides_too() {
        let (text, count) = redact_text(r#"{"password":"a","password":"b"}"#).unwrap();
        assert_eq!((text.as_str(), count), (r#"{"password":"[REDACTED]","password":"[REDACTED]"}"#, 2));
    }

    #[test]
    fn what_is_no_json_is_searched_all_the_same() {
        assert_eq!(redact_text(r#"oops {"password":"a" "#).unwrap().0, r#"oops {"password":"[REDACTED]" "#);
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let key = prop_oneof![
            "[a-z]{1,3}",
            Just("password".to_owned()),
            Just("Api-Key".to_owned()),
            Just("x-auth".to_owned()),
            Just("key".to_owned())
        ];
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,12}".prop_map(Into::into),
            "[\"\\\\{}:,a]{0,6}".prop_map(Into::into),
            Just("Basic abcdefghijklmnopqrst".into()),
            Just(r#"{"token":"t","n":[1,{"secret":2}]}"#.into()),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((key.clone(), inner.clone()), 0..4)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
                inner.prop_map(|value| serde_json::Value::String(value.to_string())),
            ]
        })
    }

    proptest! {
        #[test]
        fn text_and_value_agree_on_any_json(json in json()) {
            let raw = json.to_string();
            let (text, in_text) = redact_text(&raw).unwrap_or_else(|| (raw.clone(), 0));
            let mut value: Value = serde_json::from_str(&raw).unwrap();
            let in_value = redact_value(&mut value);
            prop_assert_eq!(in_text, in_value);
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,60}") {
            let _ = redact_text(&text);
        }

        #[test]
        fn anything_like_json_is_survived(text in "[\\[\\]{}\":,\\\\0-9a \u{e9}-]{0,60}") {
            let _ = redact_text(&text);
        }
    }
}
