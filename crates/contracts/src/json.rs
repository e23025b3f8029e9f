//! A record's JSON, looked at in one pass before anything parses it: without recursion, whatever its depth.
//!
//! Parsers recurse, stop at some depth, or refuse numbers and escapes that JSON's grammar allows. Whether a record is JSON must not
//! depend on which of them meets it first, so it is decided here:
//!
//! | a record that | is |
//! |---|---|
//! | is not JSON by its grammar | a [`Flaw`]: nobody can read it |
//! | is JSON, but holds what a parser cannot ([`Look::obstacle`]) | a record: its bytes can be delivered, a program cannot have it |
//! | is anything else | a record like any other |
//!
//! Plugins read a [`view`] of the second kind, in which texts stand for what parsers cannot hold. These differ wherever the
//! originals differ, so that identities that are made of content stay apart.

use crate::Identity;
use std::{borrow::Cow, fmt, ops::Range};

/// Deepest nesting that parsers are given. `serde_json`, for one, ends at 127, and what sinks write wraps an event in a few levels.
pub const DEPTH_MAX: usize = 124;

/// The mark before a text that stands for something else in a [`view`].
const MARK: &str = "\u{fffd}";

/// Why bytes are not JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Offset in the record.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.what)
    }
}

/// What is to be known of JSON before it is parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// How many brackets are open at most.
    pub depth: usize,
    /// Where the first number stands that is larger than a double can be.
    pub huge: Option<Range<usize>>,
    /// Whether there is an escape of half a surrogate pair, which JSON's grammar allows and Unicode does not.
    pub surrogate: bool,
}

impl Look {
    /// Whether every parser can read it.
    pub fn is_plain(&self) -> bool {
        self.depth <= DEPTH_MAX && self.huge.is_none() && !self.surrogate
    }

    /// Why a program cannot have the record. Half a surrogate pair is no reason: programs see U+FFFD.
    pub fn obstacle(&self, raw: &[u8]) -> Option<String> {
        if self.depth > DEPTH_MAX {
            return Some(format!("it is nested {} levels deep, and at most {DEPTH_MAX} can be read", self.depth));
        }
        let place = self.huge.clone()?;
        let number = String::from_utf8_lossy(raw.get(place.clone()).unwrap_or_default());
        let shown: String = number.chars().take(20).collect();
        let more = if shown.len() < number.len() { ".." } else { "" };
        Some(format!("byte {}: the number `{shown}{more}` is larger than any that can be held", place.start))
    }
}

/// Looks at JSON.
///
/// # Errors
/// The first byte at which it is no JSON.
pub fn look(raw: &[u8]) -> Result<Look, Flaw> {
    if let Err(error) = std::str::from_utf8(raw) {
        return Err(Flaw { at: error.valid_up_to(), what: "this is not UTF-8" });
    }
    let mut look = Look::default();
    let mut open = Open::default();
    let mut at = At::Value;
    let mut tokens = Tokens { raw, at: 0 };
    while let Some((place, token)) = tokens.next()? {
        let wrong = |what| Err(Flaw { at: place.start, what });
        at = match (at, token) {
            (At::End, _) => return wrong("there is text after the value"),
            (At::Value | At::FirstItem, Token::Open(bracket)) => {
                open.push(bracket == b'{');
                look.depth = look.depth.max(open.len);
                if bracket == b'{' { At::FirstKey } else { At::FirstItem }
            }
            (At::Value | At::FirstItem, Token::Text { surrogate }) => {
                look.surrogate |= surrogate;
                open.after()
            }
            (At::Value | At::FirstItem, Token::Number { huge }) => {
                if huge {
                    look.huge.get_or_insert(place);
                }
                open.after()
            }
            (At::Value | At::FirstItem, Token::Word) => open.after(),
            (At::FirstKey | At::Key, Token::Text { surrogate }) => {
                look.surrogate |= surrogate;
                At::Colon
            }
            (At::Colon, Token::Colon) => At::Value,
            (At::After, Token::Comma) => {
                if open.in_object() {
                    At::Key
                } else {
                    At::Value
                }
            }
            (At::FirstKey, Token::Close(b'}')) | (At::FirstItem, Token::Close(b']')) => {
                open.pop();
                open.after()
            }
            (At::After, Token::Close(bracket)) if open.in_object() == (bracket == b'}') => {
                open.pop();
                open.after()
            }
            (At::Colon, _) => return wrong("expected `:`"),
            (At::After, _) => return wrong("expected `,` or the bracket that closes what is open"),
            (At::FirstKey | At::Key, _) => return wrong("expected a key"),
            (At::Value | At::FirstItem, _) => return wrong("a value is missing"),
        };
    }
    match at {
        At::End => Ok(look),
        _ => Err(Flaw { at: raw.len(), what: "it ends in the middle" }),
    }
}

/// JSON that every parser can read: texts stand for numbers that are too large, for what is nested too deeply (its digest), and for
/// half surrogate pairs (U+FFFD and the half's hexadecimal number). `raw` itself if there are none; `looked` is what [`look`] found.
pub fn view<'a>(raw: &'a [u8], looked: &Look) -> Cow<'a, [u8]> {
    if looked.is_plain() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len().min(1 << 20));
    let mut copied = 0;
    let mut depth = 0_usize;
    // Where what is nested too deeply began.
    let mut deep = 0;
    let mut tokens = Tokens { raw, at: 0 };
    while let Ok(Some((place, token))) = tokens.next() {
        match token {
            Token::Open(_) => {
                depth += 1;
                if depth == DEPTH_MAX + 1 {
                    out.extend_from_slice(&raw[copied..place.start]);
                    deep = place.start;
                }
            }
            Token::Close(_) => {
                if depth == DEPTH_MAX + 1 {
                    let digest = Identity::of(&[&raw[deep..place.end]]);
                    out.extend_from_slice(format!("\"{MARK}digest {digest}\"").as_bytes());
                    copied = place.end;
                }
                depth = depth.saturating_sub(1);
            }
            Token::Number { huge: true } if depth <= DEPTH_MAX => {
                out.extend_from_slice(&raw[copied..place.start]);
                out.extend_from_slice(format!("\"{MARK}").as_bytes());
                out.extend_from_slice(&raw[place.clone()]);
                out.push(b'"');
                copied = place.end;
            }
            Token::Text { surrogate: true } if depth <= DEPTH_MAX => {
                out.extend_from_slice(&raw[copied..place.start]);
                without_halves(&raw[place.clone()], &mut out, |half, out| {
                    out.extend_from_slice(format!("{MARK}{half:04x}").as_bytes());
                });
                copied = place.end;
            }
            _ => {}
        }
    }
    out.extend_from_slice(&raw[copied..]);
    Cow::Owned(out)
}

/// JSON in which escapes of half a surrogate pair are those of U+FFFD. `None` if there are none.
pub fn mended(raw: &[u8]) -> Option<Vec<u8>> {
    let mut found = false;
    let mut out = Vec::with_capacity(raw.len());
    without_halves(raw, &mut out, |_, out| {
        found = true;
        out.extend_from_slice(b"\\ufffd");
    });
    found.then_some(out)
}

/// Whether it may be nested more deeply than parsers are given. Cheap; only brackets outside texts count.
pub fn is_deep(raw: &[u8]) -> bool {
    // Most records have fewer brackets than that altogether.
    if memchr::memchr2_iter(b'{', b'[', raw).nth(DEPTH_MAX).is_none() {
        return false;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = raw.get(at) {
        match byte {
            b'"' => at = text_end(raw, at).unwrap_or(raw.len()).saturating_sub(1),
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    false
}

/// The value that the keys of `path` lead to, one below the other, as it is written. `None` if there is none; of a key that stands
/// there twice, the first counts.
pub fn at<'a>(raw: &'a [u8], path: &[&str]) -> Option<&'a [u8]> {
    let mut rest = raw;
    for key in path {
        rest = member(rest, key)?;
    }
    Some(rest)
}

/// The beginning of an object that is cut off, closed after the last of its members that is whole. `None` if none is, or if it is no
/// object.
pub fn opening(head: &[u8]) -> Option<Vec<u8>> {
    let mut tokens = Tokens { raw: head, at: 0 };
    let mut depth = 0_usize;
    let mut end = None;
    while let Ok(Some((place, token))) = tokens.next() {
        match token {
            Token::Open(b'[') if depth == 0 => return None,
            Token::Open(_) => depth += 1,
            Token::Close(_) => depth = depth.saturating_sub(1),
            Token::Comma if depth == 1 => end = Some(place.start),
            _ => {}
        }
    }
    let mut whole = head.get(..end?)?.to_vec();
    whole.push(b'}');
    Some(whole)
}

/// The value of a member of an object.
fn member<'a>(raw: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let mut tokens = Tokens { raw, at: 0 };
    let mut depth = 0_usize;
    let mut key_comes = true;
    let mut found = false;
    let mut start = None;
    while let Ok(Some((place, token))) = tokens.next() {
        if depth == 0 && !matches!(token, Token::Open(b'{')) {
            return None;
        }
        if depth == 1 {
            match token {
                Token::Text { .. } if key_comes => {
                    let written = &raw[place];
                    key_comes = false;
                    found = written.get(1..written.len() - 1) == Some(key.as_bytes())
                        || serde_json::from_slice::<String>(written).is_ok_and(|written| written == key);
                    continue;
                }
                Token::Comma => {
                    key_comes = true;
                    continue;
                }
                Token::Colon | Token::Close(_) => {}
                _ if found => start = start.or(Some(place.start)),
                _ => {}
            }
        }
        match token {
            Token::Open(_) => depth += 1,
            Token::Close(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(start) = start
            && depth == 1
        {
            return raw.get(start..place.end);
        }
    }
    None
}

/// What must come.
#[derive(Debug, Clone, Copy)]
enum At {
    Value,
    FirstItem,
    FirstKey,
    Key,
    Colon,
    After,
    End,
}

/// The open brackets, a bit each: `true` for an object.
#[derive(Default)]
struct Open {
    bits: Vec<u64>,
    len: usize,
}

impl Open {
    fn push(&mut self, object: bool) {
        let (word, bit) = (self.len / 64, self.len % 64);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        if let Some(word) = self.bits.get_mut(word) {
            *word = *word & !(1 << bit) | u64::from(object) << bit;
        }
        self.len += 1;
    }

    fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    fn in_object(&self) -> bool {
        let Some(last) = self.len.checked_sub(1) else { return false };
        self.bits.get(last / 64).is_some_and(|word| word >> (last % 64) & 1 == 1)
    }

    /// What comes after a value.
    fn after(&self) -> At {
        if self.len == 0 { At::End } else { At::After }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Open(u8),
    Close(u8),
    Comma,
    Colon,
    Text { surrogate: bool },
    Number { huge: bool },
    Word,
}

struct Tokens<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Tokens<'_> {
    fn next(&mut self) -> Result<Option<(Range<usize>, Token)>, Flaw> {
        while matches!(self.raw.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let start = self.at;
        let Some(byte) = self.raw.get(start) else { return Ok(None) };
        let token = match byte {
            b'{' | b'[' => self.one(Token::Open(*byte)),
            b'}' | b']' => self.one(Token::Close(*byte)),
            b',' => self.one(Token::Comma),
            b':' => self.one(Token::Colon),
            b'"' => self.text()?,
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => return Err(Flaw { at: start, what: "no value begins with this" }),
        };
        Ok(Some((start..self.at, token)))
    }

    fn one(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    fn word(&mut self, word: &[u8]) -> Result<Token, Flaw> {
        if self.raw[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(Token::Word);
        }
        Err(Flaw { at: self.at, what: "no value begins with this" })
    }

    fn text(&mut self) -> Result<Token, Flaw> {
        let mut surrogate = false;
        self.at += 1;
        loop {
            let rest = &self.raw[self.at..];
            let Some(plain) = memchr::memchr2(b'"', b'\\', rest) else {
                return Err(Flaw { at: self.raw.len(), what: "a text is not closed" });
            };
            if let Some(control) = rest[..plain].iter().position(|byte| *byte < 0x20) {
                return Err(Flaw { at: self.at + control, what: "a control character in a text must be escaped" });
            }
            self.at += plain;
            if rest[plain] == b'"' {
                self.at += 1;
                return Ok(Token::Text { surrogate });
            }
            let (length, half) = escape(&rest[plain..]);
            surrogate |= half.is_some();
            if length == 0 {
                return Err(Flaw { at: self.at, what: "this is no escape of JSON" });
            }
            self.at += length;
        }
    }

    fn number(&mut self) -> Result<Token, Flaw> {
        let start = self.at;
        let digits = |at: &mut usize| {
            let from = *at;
            while self.raw.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at - from
        };
        let wrong = |at| Err(Flaw { at, what: "this is no number of JSON" });
        let mut at = start + usize::from(self.raw[start] == b'-');
        let leads_with_zero = self.raw.get(at) == Some(&b'0');
        let whole = digits(&mut at);
        if whole == 0 || leads_with_zero && whole > 1 {
            return wrong(start);
        }
        let mut may_be_huge = whole > 300;
        if self.raw.get(at) == Some(&b'.') {
            at += 1;
            if digits(&mut at) == 0 {
                return wrong(start);
            }
        }
        if matches!(self.raw.get(at), Some(b'e' | b'E')) {
            at += 1 + usize::from(matches!(self.raw.get(at + 1), Some(b'+' | b'-')));
            if digits(&mut at) == 0 {
                return wrong(start);
            }
            may_be_huge = true;
        }
        if !matches!(self.raw.get(at), None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b'}' | b']' | b':')) {
            return wrong(start);
        }
        self.at = at;
        let text = std::str::from_utf8(&self.raw[start..at]).unwrap_or_default();
        let huge = may_be_huge && text.parse::<f64>().is_ok_and(f64::is_infinite);
        Ok(Token::Number { huge })
    }
}

/// Where the text that begins at `at` ends.
fn text_end(raw: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', raw.get(at..)?)?;
        if raw.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// How long the escape is that the text begins with, 0 if it is none; and the half of a surrogate pair that it stands for alone.
fn escape(text: &[u8]) -> (usize, Option<u16>) {
    match text.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => (2, None),
        Some(b'u') => match (unit(text), text.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, None),
            (Some(half @ 0xd800..=0xdfff), _) => (6, Some(half)),
            (Some(_), _) => (6, None),
            (None, _) => (0, None),
        },
        _ => (0, None),
    }
}

/// The UTF-16 unit that an escape at the beginning stands for.
fn unit(json: &[u8]) -> Option<u16> {
    let digits = json.get(..6)?.strip_prefix(b"\\u").filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Copies JSON; `put` writes what stands in place of half a surrogate pair.
fn without_halves(json: &[u8], out: &mut Vec<u8>, mut put: impl FnMut(u16, &mut Vec<u8>)) {
    let mut rest = json;
    while let Some(plain) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        let (length, half) = escape(rest);
        let (escaped, after) = rest.split_at(length.max(1).min(rest.len()));
        match half {
            Some(half) => put(half, out),
            None => out.extend_from_slice(escaped),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn deep(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    fn seen(raw: &str) -> Value {
        let raw = raw.as_bytes();
        serde_json::from_slice(&view(raw, &look(raw).unwrap())).unwrap()
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        for (raw, at) in [
            (&br#"{"a":"\u12G4"}"#[..], 6),
            (br#"{"a":"\x"}"#, 6),
            (b"{\"a\":\"\xff\"}", 6),
            (b"{\"a\":\"\x07\"}", 6),
            (br#"{"a":007}"#, 5),
            (br#"{"a":NaN}"#, 5),
            (br#"{"a":1,}"#, 7),
            (br#"{"a":[1}}"#, 7),
            (br#"{"a" 1}"#, 5),
            (br#"{"a":1}}"#, 7),
            (br#"{"a":1"#, 6),
            (br#"{"a":"b"#, 7),
            (b"", 0),
            (b"1.e5", 0),
        ] {
            assert_eq!(look(raw).unwrap_err().at, at, "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn what_parsers_cannot_hold_is_told_and_has_a_stand_in() {
        let raw = br#"{"a":[1e999]}"#;
        assert_eq!(
            look(raw).unwrap().obstacle(raw).unwrap(),
            "byte 6: the number `1e999` is larger than any that can be held"
        );
        let long = format!("{{\"a\":{}}}", "9".repeat(400));
        assert!(look(long.as_bytes()).unwrap().obstacle(long.as_bytes()).unwrap().len() < 120);
        assert!(look(b"1e-999").unwrap().is_plain() && look(b"18446744073709551616").unwrap().is_plain());
        assert_eq!(seen(r#"{"a":-1e999}"#)["a"], "\u{fffd}-1e999");
        let halves = br#"{"a":"x\ud800y"}"#;
        assert_eq!(look(halves).unwrap().obstacle(halves), None);
        assert_eq!(seen(r#"{"a":"x\uD800y","b\udfff":"\ud83d\ude00"}"#)["a"], "x\u{fffd}d800y");
        assert_ne!(seen(r#"{"a":"\ud800"}"#), seen(r#"{"a":"\ud801"}"#));
    }

    #[test]
    fn depth_is_counted_without_recursion_and_what_is_too_deep_stays_apart() {
        assert!(look(deep(DEPTH_MAX).as_bytes()).unwrap().is_plain());
        let raw = format!("{{\"id\":\"a\",\"x\":{},\"y\":1}}", deep(1_000_000));
        assert!(is_deep(raw.as_bytes()) && !is_deep(deep(DEPTH_MAX).as_bytes()));
        assert!(look(raw.as_bytes()).unwrap().obstacle(raw.as_bytes()).unwrap().contains("1000001 levels"));
        let value = seen(&raw);
        assert_eq!((&value["id"], &value["y"]), (&"a".into(), &1.into()));
        assert_ne!(seen(&deep(130)), seen(&deep(131)));
        assert!(!is_deep(format!("\"{}\"", "[\\\"".repeat(1000)).as_bytes()));
    }

    #[test]
    fn members_are_found_as_they_are_written() {
        let raw = br#" {"x":{"b":0},"a":{"c":[1,{"b":2}],"b" : {"d": 1} ,"e":"b"},"n":-1}"#;
        let found = |path: &[&str]| at(raw, path).map(|value| str::from_utf8(value).unwrap());
        assert_eq!(found(&["a", "b"]), Some(r#"{"d": 1}"#));
        assert_eq!(found(&["a", "c"]), Some(r#"[1,{"b":2}]"#));
        assert_eq!((found(&["a", "e"]), found(&["n"])), (Some("\"b\""), Some("-1")));
        assert_eq!((found(&["a", "z"]), found(&["a", "c", "b"]), found(&["b"])), (None, None, None));
        let raw = format!("{{\"x\":{},\"a\":7}}", deep(100_000));
        assert_eq!(at(raw.as_bytes(), &["a"]), Some(&b"7"[..]));
    }

    #[test]
    fn the_whole_members_of_a_beginning_are_an_object() {
        let text = |head: &[u8]| opening(head).map(|object| String::from_utf8(object).unwrap());
        assert_eq!(text(br#"{"a":1,"b":{"c":[1,2"#), Some(r#"{"a":1}"#.into()));
        assert_eq!(text(br#"{"a":1,"b":"x","c":"yyyy"#), Some(r#"{"a":1,"b":"x"}"#.into()));
        assert_eq!((text(b"[1,2"), text(br#"{"a":"#), text(b"")), (None, None, None));
    }

    proptest! {
        #[test]
        fn it_is_json_if_a_parser_says_so(raw in prop::collection::vec(prop::sample::select(b"{}[],:\"\\ue1.-0d8fntrl ".to_vec()), 0..40)) {
            let read = serde_json::from_slice::<&serde_json::value::RawValue>(&raw);
            let looked = look(&raw);
            // The parser knows no halves of surrogate pairs.
            if read.is_ok() {
                prop_assert!(looked.is_ok(), "{:?}", looked);
            } else if let Ok(looked) = &looked {
                prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&view(&raw, looked)).is_ok());
            }
            if let Ok(looked) = looked {
                prop_assert!(serde_json::from_slice::<Value>(&view(&raw, &looked)).is_ok());
            }
        }

        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (look(&raw), mended(&raw), is_deep(&raw), at(&raw, &["a"]), opening(&raw));
            let _ = view(&raw, &Look { surrogate: true, ..Look::default() });
        }
    }
}
