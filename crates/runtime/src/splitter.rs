//! Hands out the elements of a page's array while the page streams in.
//!
//! A page is a JSON document with one array of events somewhere, `{"data":[…],"nextToken":"…"}`. The splitter is
//! pushed bytes in chunks of any size and hands out each element as the exact bytes received; everything else ends up
//! in a small *envelope*, the same document with the array left empty. Memory is the largest element plus the
//! envelope, whatever the page's size.
//!
//! It checks structure (brackets, commas, one document) and leaves the inside of elements to whoever parses them.

use thiserror::Error;

/// Longest element accepted, bytes. The largest audit events known are some hundred KiB.
pub const ELEMENT_MAX: usize = 16 << 20;
/// Longest envelope accepted, bytes.
pub const ENVELOPE_MAX: usize = 4 << 20;
/// Deepest nesting accepted: what `serde_json` accepts.
const DEPTH_MAX: usize = 127;

/// Why a page could not be split. Nothing of it may be taken as complete.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SplitError {
    /// The page broke off.
    #[error("the page ends after {0} bytes, in the middle")]
    CutShort(u64),
    /// It is not the JSON that the API promises.
    #[error("byte {at} of the page: {problem}")]
    Malformed {
        /// Offset in the page.
        at: u64,
        /// What is wrong there.
        problem: String,
    },
    /// An element or the envelope is larger than anything an audit API sends.
    #[error("{what} larger than {limit} bytes")]
    TooLarge {
        /// `an element`, `the envelope` or `the answer`.
        what: &'static str,
        /// The limit, bytes.
        limit: usize,
    },
}

/// Where the scanner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// A value must begin: the document, or after a colon or comma in the envelope.
    Value,
    /// Right after `{`: a key or `}`.
    FirstKey,
    /// After a comma in an object: a key.
    Key,
    /// After a key: `:`.
    Colon,
    /// After `[` in the envelope: a value or `]`.
    FirstItem,
    /// After a value in the envelope: `,` or a closing bracket.
    AfterValue,
    /// In a number or word of the envelope.
    Scalar,
    /// In a string of the envelope; a key if `key`.
    String { key: bool, escaped: bool },
    /// In the array: an element or, if `first`, `]`.
    Element { first: bool },
    /// In an element.
    InElement,
    /// In a string of an element.
    InElementString { escaped: bool },
    /// After an element: `,` or `]`.
    AfterElement,
    /// After the document.
    End,
}

/// The push splitter. One per page.
#[derive(Debug)]
pub struct Splitter {
    path: &'static [&'static str],
    at: At,
    /// Open brackets of the envelope.
    open: Vec<u8>,
    /// Open brackets inside the element.
    element_open: Vec<u8>,
    /// How many keys of `path` lead to where we are; only meaningful while `open.len() == matched`.
    matched: usize,
    /// Whether the value that comes next is at `path[..=matched]`.
    on_path: bool,
    key_start: usize,
    found: bool,
    envelope: Vec<u8>,
    /// The part of an element that earlier chunks brought.
    partial: Vec<u8>,
    offset: u64,
    elements: u64,
    /// Nothing is split: all goes into the envelope.
    whole: bool,
}

impl Splitter {
    /// A splitter for pages whose events are the array at `path`; an empty path means the page is the array.
    pub fn new(path: &'static [&'static str]) -> Self {
        Self {
            path,
            at: At::Value,
            open: Vec::new(),
            element_open: Vec::new(),
            matched: 0,
            on_path: true,
            key_start: 0,
            found: false,
            envelope: Vec::new(),
            partial: Vec::new(),
            offset: 0,
            elements: 0,
            whole: false,
        }
    }

    /// A splitter that splits nothing: the envelope is the answer, whatever it is.
    pub fn whole() -> Self {
        Self { whole: true, ..Self::new(&[]) }
    }

    /// Takes the next bytes and calls `element` with each element they complete.
    pub fn push(&mut self, chunk: &[u8], element: &mut dyn FnMut(&[u8])) -> Result<(), SplitError> {
        if self.whole {
            if self.envelope.len() + chunk.len() > ENVELOPE_MAX {
                return Err(SplitError::TooLarge { what: "the answer", limit: ENVELOPE_MAX });
            }
            self.envelope.extend_from_slice(chunk);
            return Ok(());
        }
        let mut start = 0; // where the current element begins in this chunk
        let mut i = 0;
        while i < chunk.len() {
            let byte = chunk[i];
            match self.at {
                At::InElementString { escaped: true } => self.at = At::InElementString { escaped: false },
                At::InElementString { escaped: false } => match memchr::memchr2(b'"', b'\\', &chunk[i..]) {
                    None => i = chunk.len() - 1,
                    Some(skip) => {
                        i += skip;
                        self.at = if chunk[i] == b'\\' {
                            At::InElementString { escaped: true }
                        } else if self.element_open.is_empty() {
                            self.finish_element(&chunk[start..=i], element)?;
                            At::AfterElement
                        } else {
                            At::InElement
                        };
                    }
                },
                At::InElement => match byte {
                    b'"' if self.element_open.is_empty() => return Err(self.wrong(i, "a quote in a bare value")),
                    b'"' => self.at = At::InElementString { escaped: false },
                    b'{' | b'[' if self.element_open.is_empty() => {
                        return Err(self.wrong(i, "a bracket in a bare value"));
                    }
                    b'{' | b'[' => {
                        if self.element_open.len() + self.open.len() >= DEPTH_MAX {
                            return Err(self.wrong(i, "nested too deeply"));
                        }
                        self.element_open.push(byte);
                    }
                    b'}' | b']' | b',' if self.element_open.is_empty() => {
                        // A bare value (number, word) ends where the array goes on.
                        self.finish_element(&chunk[start..i], element)?;
                        self.at = At::AfterElement;
                        continue;
                    }
                    b'}' | b']' => {
                        self.close(i, byte, true)?;
                        if self.element_open.is_empty() {
                            self.finish_element(&chunk[start..=i], element)?;
                            self.at = At::AfterElement;
                        }
                    }
                    b' ' | b'\t' | b'\n' | b'\r' if self.element_open.is_empty() => {
                        self.finish_element(&chunk[start..i], element)?;
                        self.at = At::AfterElement;
                    }
                    _ => {}
                },
                At::Element { first } => match byte {
                    b' ' | b'\t' | b'\n' | b'\r' => {}
                    b']' if first => self.end_array(),
                    b']' | b',' | b'}' | b':' => return Err(self.wrong(i, "an element is missing")),
                    _ => {
                        start = i;
                        self.at = match byte {
                            b'{' | b'[' => {
                                self.element_open.push(byte);
                                At::InElement
                            }
                            b'"' => At::InElementString { escaped: false },
                            _ => At::InElement,
                        };
                    }
                },
                At::AfterElement => match byte {
                    b' ' | b'\t' | b'\n' | b'\r' => {}
                    b',' => self.at = At::Element { first: false },
                    b']' => self.end_array(),
                    _ => return Err(self.wrong(i, "expected `,` or `]` after an element")),
                },
                _ => self.envelope_byte(i, byte)?,
            }
            i += 1;
        }
        if matches!(self.at, At::InElement | At::InElementString { .. }) {
            if self.partial.len() + chunk.len() - start > ELEMENT_MAX {
                return Err(SplitError::TooLarge { what: "an element", limit: ELEMENT_MAX });
            }
            self.partial.extend_from_slice(&chunk[start..]);
        }
        self.offset += chunk.len() as u64;
        Ok(())
    }

    /// The envelope, once the page has ended; an error if it ended early or held no array of events.
    pub fn finish(self) -> Result<Page, SplitError> {
        if self.whole {
            return Ok(Page { envelope: self.envelope, records: 0 });
        }
        let whole = self.at == At::End || (self.at == At::Scalar && self.open.is_empty());
        if !whole {
            return Err(SplitError::CutShort(self.offset));
        }
        if !self.found {
            let place =
                if self.path.is_empty() { "at its top".into() } else { format!("under `{}`", self.path.join(".")) };
            return Err(SplitError::Malformed { at: self.offset, problem: format!("it has no array {place}") });
        }
        Ok(Page { envelope: self.envelope, records: self.elements })
    }

    fn envelope_byte(&mut self, i: usize, byte: u8) -> Result<(), SplitError> {
        if self.envelope.len() >= ENVELOPE_MAX {
            return Err(SplitError::TooLarge { what: "the envelope", limit: ENVELOPE_MAX });
        }
        let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        if !space || matches!(self.at, At::String { .. }) {
            self.envelope.push(byte);
        }
        match self.at {
            At::String { key, escaped: true } => self.at = At::String { key, escaped: false },
            At::String { key, escaped: false } => match byte {
                b'\\' => self.at = At::String { key, escaped: true },
                b'"' if key => {
                    self.note_key();
                    self.at = At::Colon;
                }
                b'"' => self.value_ended(),
                _ => {}
            },
            _ if space => {
                if self.at == At::Scalar {
                    self.value_ended();
                }
            }
            At::Value | At::FirstItem => match byte {
                b']' if self.at == At::FirstItem => self.close(i, byte, false)?,
                b'{' | b'[' => self.open_value(i, byte)?,
                b'"' => self.at = At::String { key: false, escaped: false },
                b'}' | b']' | b',' | b':' => return Err(self.wrong(i, "a value is missing")),
                _ => {
                    // Some servers write an empty array as `null`. Whether that will do is for the plugin to say: it finds
                    // it in the envelope.
                    self.found |= byte == b'n'
                        && self.on_path
                        && !self.path.is_empty()
                        && self.open.len() == self.matched + 1
                        && self.matched + 1 == self.path.len();
                    self.at = At::Scalar;
                }
            },
            At::FirstKey | At::Key => match byte {
                b'"' => {
                    self.key_start = self.envelope.len() - 1;
                    self.at = At::String { key: true, escaped: false };
                }
                b'}' if self.at == At::FirstKey => self.close(i, byte, false)?,
                _ => return Err(self.wrong(i, "expected a key")),
            },
            At::Colon if byte == b':' => self.at = At::Value,
            At::Colon => return Err(self.wrong(i, "expected `:`")),
            At::Scalar | At::AfterValue => match byte {
                b',' => match self.open.last() {
                    Some(b'{') => self.at = At::Key,
                    Some(_) => self.at = At::Value,
                    None => return Err(self.wrong(i, "text after the document")),
                },
                b'}' | b']' => self.close(i, byte, false)?,
                _ if self.at == At::Scalar => {}
                _ => return Err(self.wrong(i, "expected `,` or a closing bracket")),
            },
            At::End => return Err(self.wrong(i, "text after the document")),
            At::Element { .. } | At::InElement | At::InElementString { .. } | At::AfterElement => {}
        }
        Ok(())
    }

    /// A key has ended: is the value behind it the next step of the path?
    fn note_key(&mut self) {
        self.on_path = self.open.len() == self.matched + 1
            && self.path.get(self.matched).is_some_and(|wanted| {
                let key = &self.envelope[self.key_start..];
                key[1..key.len() - 1] == *wanted.as_bytes()
                    || serde_json::from_slice::<String>(key).is_ok_and(|key| key == *wanted)
            });
    }

    fn open_value(&mut self, i: usize, bracket: u8) -> Result<(), SplitError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.wrong(i, "nested too deeply"));
        }
        let at_root = self.open.is_empty();
        let array_here = bracket == b'['
            && if self.path.is_empty() {
                at_root
            } else {
                self.on_path && !at_root && self.matched + 1 == self.path.len()
            };
        if array_here && self.found {
            return Err(self.wrong(i, "the array of events stands there twice"));
        }
        if bracket == b'{' && self.on_path && !at_root {
            self.matched += 1;
        }
        self.on_path = false;
        self.open.push(bracket);
        self.at = match bracket {
            _ if array_here => At::Element { first: true },
            b'{' => At::FirstKey,
            _ => At::FirstItem,
        };
        self.found |= array_here;
        Ok(())
    }

    /// The array of events has ended.
    fn end_array(&mut self) {
        self.envelope.push(b']');
        self.open.pop();
        self.value_ended();
    }

    fn close(&mut self, i: usize, bracket: u8, in_element: bool) -> Result<(), SplitError> {
        let open = if in_element { &mut self.element_open } else { &mut self.open };
        let matches = matches!((open.pop(), bracket), (Some(b'{'), b'}') | (Some(b'['), b']'));
        if !matches {
            return Err(self.wrong(i, "a bracket closes what was not opened"));
        }
        if !in_element {
            self.matched = self.matched.min(self.open.len().saturating_sub(1));
            self.value_ended();
        }
        Ok(())
    }

    fn value_ended(&mut self) {
        self.on_path = false;
        self.at = if self.open.is_empty() { At::End } else { At::AfterValue };
    }

    fn finish_element(&mut self, rest: &[u8], element: &mut dyn FnMut(&[u8])) -> Result<(), SplitError> {
        if self.partial.len() + rest.len() > ELEMENT_MAX {
            return Err(SplitError::TooLarge { what: "an element", limit: ELEMENT_MAX });
        }
        self.elements += 1;
        if self.partial.is_empty() {
            element(rest);
        } else {
            self.partial.extend_from_slice(rest);
            element(&self.partial);
            self.partial.clear();
        }
        Ok(())
    }

    fn wrong(&self, i: usize, problem: &str) -> SplitError {
        SplitError::Malformed { at: self.offset + i as u64, problem: problem.to_owned() }
    }
}

/// What is left of a page whose elements have been handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The page with its array of events empty.
    pub envelope: Vec<u8>,
    /// How many elements there were.
    pub records: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn split(path: &'static [&'static str], page: &[u8], chunk: usize) -> Result<(Vec<String>, String), SplitError> {
        let mut splitter = Splitter::new(path);
        let mut elements = Vec::new();
        for piece in page.chunks(chunk) {
            splitter.push(piece, &mut |raw| elements.push(String::from_utf8_lossy(raw).into_owned()))?;
        }
        let page = splitter.finish()?;
        assert_eq!(page.records, elements.len() as u64);
        Ok((elements, String::from_utf8(page.envelope).unwrap()))
    }

    #[test]
    fn elements_come_out_byte_for_byte_and_the_rest_is_the_envelope() {
        let page = br#" {"a":[1,{"data":[9]}], "data" : [ {"x": "]}\"" } , 7 ,"s",[],null] ,"nextToken":"t"} "#;
        for chunk in 1..page.len() {
            let (elements, envelope) = split(&["data"], page, chunk).unwrap();
            assert_eq!(elements, [r#"{"x": "]}\"" }"#, "7", r#""s""#, "[]", "null"]);
            assert_eq!(envelope, r#"{"a":[1,{"data":[9]}],"data":[],"nextToken":"t"}"#);
        }
    }

    #[test]
    fn the_array_may_be_the_page_or_lie_deep() {
        assert_eq!(split(&[], b"[1,2]", 1).unwrap().0, ["1", "2"]);
        assert_eq!(
            split(&["result", "events"], br#"{"events":[1],"result":{"x":{"events":[2]},"events":[3]}}"#, 4).unwrap().0,
            ["3"]
        );
        assert_eq!(split(&["d\u{e9}"], "{\"d\\u00e9\":[3]}".as_bytes(), 4).unwrap().0, ["3"]);
    }

    #[test]
    fn a_page_that_is_not_whole_is_an_error() {
        let page = br#"{"data":[{"a":1},{"a":2}],"next":null}"#;
        for cut in 0..page.len() {
            assert!(matches!(split(&["data"], &page[..cut], 5), Err(SplitError::CutShort(_))), "cut at {cut}");
        }
        for bad in [
            "{\"data\":[1 2]}",
            "{\"data\":[1,]}",
            "{\"data\":[,1]}",
            "{\"data\":[{]}}",
            "{\"data\":[1]}}",
            "{\"data\":[1]} x",
            "{\"data\":[1],\"data\":[2]}",
            "{\"other\":[1]}",
            "[1]",
            "{\"data\":{}}",
            "{\"data\":0}",
            "<html>",
            "{\"data\":[1}",
        ] {
            assert!(
                matches!(
                    split(&["data"], bad.as_bytes(), 3),
                    Err(SplitError::Malformed { .. } | SplitError::CutShort(_))
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn limits_hold() {
        let page = format!("[\"{}\"]", "x".repeat(ELEMENT_MAX));
        assert!(matches!(split(&[], page.as_bytes(), 1 << 20), Err(SplitError::TooLarge { .. })));
        let deep = "[".repeat(300);
        assert!(split(&[], deep.as_bytes(), 7).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("(data|[a-c\"\\\\]{1,3})", inner, 0..4).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_json_parser(rest in any_json(), data in prop::collection::vec(any_json(), 0..6), chunk in 1usize..40, pretty: bool) {
            let page = json!({ "a": rest.clone(), "data": data, "z": rest });
            let text = if pretty { serde_json::to_string_pretty(&page) } else { serde_json::to_string(&page) }.unwrap();
            let (elements, envelope) = split(&["data"], text.as_bytes(), chunk).unwrap();
            let parsed: Vec<Value> = elements.iter().map(|e| serde_json::from_str(e).unwrap()).collect();
            prop_assert_eq!(parsed, data);
            prop_assert_eq!(serde_json::from_str::<Value>(&envelope).unwrap(), json!({ "a": rest.clone(), "data": [], "z": rest }));
        }

        #[test]
        fn no_bytes_panic_and_chunks_do_not_matter(page in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}[],:\"\\ 1ad".to_vec())], 0..60), chunk in 1usize..60) {
            let run = |chunk| split(&["a"], &page, chunk).ok();
            prop_assert_eq!(run(chunk), run(60));
        }
    }
}
