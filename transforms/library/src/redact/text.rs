//! Redacts JSON text without parsing it into a value, so that every byte that is no secret stays as it is.
//!
//! The search walks over strings, numbers and brackets and is content with text that is not quite JSON: better to hide
//! too much of a broken record than to show its secrets.

use super::{REDACTED, Under, is_json, is_secret};
use std::borrow::Cow;
use std::ops::Range;

/// `text` with its secrets replaced, and their number; `None` if there is none.
pub(crate) fn redact(text: &str) -> Option<(String, usize)> {
    let secrets = find(text);
    if secrets.is_empty() {
        return None;
    }
    let mut redacted = String::with_capacity(text.len());
    let mut copied = 0;
    for secret in &secrets {
        redacted.push_str(&text[copied..secret.range.start]);
        // The content of a string leaves its quotes standing, a number had none.
        match &secret.quote {
            None => redacted.push_str(REDACTED),
            Some(quote) => redacted.extend([quote.as_str(), REDACTED, quote.as_str()]),
        }
        copied = secret.range.end;
    }
    redacted.push_str(&text[copied..]);
    Some((redacted, secrets.len()))
}

/// A part of the text to replace.
struct Secret {
    range: Range<usize>,
    /// For a number: the quotation mark that a string needs at its depth of JSON in JSON.
    quote: Option<String>,
}

fn find(text: &str) -> Vec<Secret> {
    let bytes = text.as_bytes();
    let mut secrets = Vec::new();
    // What the object or list that we are in is under, the innermost last; and what the value to come is under.
    let mut open: Vec<(bool, Under)> = Vec::new();
    let mut next = Under::default();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let start = at + 1;
                let end = string_end(bytes, start);
                at = end + 1;
                let parent = open.last().map_or(Under::default(), |(_, under)| *under);
                if followed_by_colon(bytes, at) {
                    next = Under::key(&unescape(&text[start..end]), parent);
                } else {
                    string(text, start..end, next, &mut secrets);
                }
            }
            b'{' | b'[' => {
                let is_list = bytes[at] == b'[';
                let under = if is_list { next.element() } else { next };
                open.push((is_list, under));
                next = if is_list { under } else { Under::default() };
                at += 1;
            }
            closing @ (b'}' | b']' | b',') => {
                if closing != b',' {
                    open.pop();
                }
                // The next element of a list is under what the list is under.
                next = match open.last() {
                    Some((true, under)) => *under,
                    _ => Under::default(),
                };
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
                if next.secret {
                    secrets.push(Secret { range: at..at + length, quote: Some("\"".to_owned()) });
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    secrets
}

/// A string that is a value.
fn string(text: &str, range: Range<usize>, under: Under, secrets: &mut Vec<Secret>) {
    let escaped = &text[range.clone()];
    if !under.secret && escaped.len() < 16 && !escaped.contains('\\') {
        return;
    }
    let content = unescape(escaped);
    if is_secret(&content, under) {
        secrets.push(Secret { range, quote: None });
    } else if escaped.contains('\\') && is_json(&content) {
        let inner = find(&content);
        if inner.is_empty() {
            return;
        }
        let places = places(escaped);
        secrets.extend(inner.into_iter().map(|secret| Secret {
            range: range.start + places[secret.range.start]..range.start + places[secret.range.end],
            quote: secret.quote.map(|quote| quote.replace('\\', "\\\\").replace('"', "\\\"")),
        }));
    }
}

/// Where the string that starts at `from` ends: the position of its closing quote, or of the end of the text.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn followed_by_colon(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

/// The text that a JSON string's inside stands for; as it is if it is no proper JSON.
fn unescape(escaped: &str) -> Cow<'_, str> {
    if !escaped.contains('\\') {
        return Cow::Borrowed(escaped);
    }
    match serde_json::from_str::<String>(&format!("\"{escaped}\"")) {
        Ok(text) => Cow::Owned(text),
        Err(_) => Cow::Borrowed(escaped),
    }
}

/// For every byte of the unescaped text, and its end, where it stands in the escaped one.
fn places(escaped: &str) -> Vec<usize> {
    let mut places = Vec::with_capacity(escaped.len() + 1);
    let bytes = escaped.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let mut length = 1;
        if bytes[at] == b'\\' {
            if bytes.get(at + 1) == Some(&b'u') {
                at += 6;
                // A character beyond the basic plane is two escapes, the first from D800 to DBFF.
                if matches!(
                    bytes.get(start + 2..start + 4),
                    Some([b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B'])
                ) {
                    at += 6;
                }
                length = unescape(&escaped[start..at]).len();
            } else {
                at += 2;
            }
        } else {
            at += 1;
        }
        places.extend(std::iter::repeat_n(start, length));
    }
    places.push(bytes.len());
    places
}
