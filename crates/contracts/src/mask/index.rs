//! What is looked for in a text, and how.
//!
//! Bytes are compared after [`canonical`], which makes one of what notations use for each other.

use super::{is_scheme, view::View};
use std::collections::HashSet;

/// So many characters of a credential in a row give it away, if they look random.
const PART: usize = 8;
/// So many give it away whatever they look like.
const LONG_PART: usize = 16;
/// A shorter credential is hidden only where it is a word of its own.
const WHOLE: usize = 6;
/// A shorter one only behind the name of a scheme.
const WORD: usize = 4;
/// Between this and the closing bracket stands the one-time part of our own `User-Agent`.
const REQUEST: &[u8] = b";+req+";

#[derive(Default)]
pub(super) struct Index {
    /// Random-looking parts.
    parts: HashSet<[u8; PART]>,
    long_parts: HashSet<[u8; LONG_PART]>,
    /// Whole credentials that are shorter than a long part.
    whole: Vec<Vec<u8>>,
}

/// One byte for a blank in its forms (also `+`, and what a blank was put in the place of), and one for each of the two letters in which
/// the alphabets of Base64 differ (RFC 4648 section 5).
fn canonical(byte: u8) -> u8 {
    match byte {
        0..=b' ' | b'-' => b'+',
        b'_' => b'/',
        _ => byte,
    }
}

impl Index {
    pub(super) fn new<'a>(secrets: impl Iterator<Item = &'a str>) -> Self {
        let mut index = Self::default();
        for secret in secrets {
            index.add(secret.as_bytes());
            if secret.len() >= WORD {
                (0..3).for_each(|before| index.add(&base64(secret.as_bytes(), before)));
            }
        }
        index
    }

    fn add(&mut self, text: &[u8]) {
        let text: Vec<u8> = text.iter().copied().map(canonical).collect();
        for at in 0..text.len() {
            let rest = &text[at..];
            self.parts.extend(rest.first_chunk::<PART>().filter(|part| looks_random(**part)));
            self.long_parts.extend(rest.first_chunk::<LONG_PART>());
        }
        if text.len() < LONG_PART && !text.is_empty() && !self.whole.contains(&text) {
            self.whole.push(text);
        }
    }

    /// Adds where credentials stand in the original of `view`.
    pub(super) fn find(&self, view: &View, found: &mut Vec<(usize, usize)>) {
        let text: Vec<u8> = view.bytes.iter().copied().map(canonical).collect();
        let mut add = |start: usize, length: usize| {
            let place = view.place(start, start + length);
            match found.last_mut() {
                // Parts of one credential overlap.
                Some(last) if last.0 <= place.0 && place.0 <= last.1 => last.1 = last.1.max(place.1),
                _ => found.push(place),
            }
        };
        for at in 0..text.len() {
            let rest = &text[at..];
            if rest.first_chunk::<PART>().is_some_and(|part| self.parts.contains(part)) {
                add(at, PART);
            }
            if rest.first_chunk::<LONG_PART>().is_some_and(|part| self.long_parts.contains(part)) {
                add(at, LONG_PART);
            }
            for secret in self.whole.iter().filter(|secret| rest.starts_with(secret)) {
                if stands_out(&text, at, secret.len()) {
                    add(at, secret.len());
                }
            }
            if rest.starts_with(REQUEST) {
                let id = rest[REQUEST.len()..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
                if id >= PART {
                    add(at + REQUEST.len(), id);
                }
            }
        }
    }
}

/// Whether what begins here is enough of a credential for its length.
fn stands_out(text: &[u8], at: usize, length: usize) -> bool {
    if length >= WHOLE {
        return true;
    }
    let in_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'/' || *b >= 0x80);
    let before = &text[..at];
    if in_word(before.last()) || in_word(text.get(at + length)) {
        return false;
    }
    let words = || before.split(|b| !b.is_ascii_alphabetic()).rev().find(|word| !word.is_empty());
    length >= WORD || words().and_then(|word| std::str::from_utf8(word).ok()).is_some_and(is_scheme)
}

/// Letters with a digit among them, or a capital behind a small letter: no word looks so, and no date.
fn looks_random(part: [u8; PART]) -> bool {
    let count = |is: fn(&u8) -> bool| part.iter().filter(|b| is(b)).count();
    let mixed = part.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    count(u8::is_ascii_digit) >= 1 && count(u8::is_ascii_alphabetic) >= 2 || mixed
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 of `text` with `before` unknown bytes before it: what of it depends on `text` alone.
fn base64(text: &[u8], before: usize) -> Vec<u8> {
    let bytes: Vec<u8> = std::iter::repeat_n(0, before).chain(text.iter().copied()).collect();
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    let letter = |at: usize| (0..6).fold(0, |letter, n| letter << 1 | bit(at * 6 + n));
    (first..last).map(|at| ALPHABET[usize::from(letter(at))]).collect()
}

/// What Base64 in either alphabet stands for.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bits: u32 = 0;
    let mut count = 0;
    let mut out = Vec::new();
    for byte in text.trim_end_matches('=').bytes() {
        let letter = ALPHABET.iter().position(|letter| *letter == canonical(byte))?;
        bits = bits << 6 | u32::try_from(letter).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(out)
}
