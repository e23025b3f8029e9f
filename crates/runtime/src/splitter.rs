//! Hands out the elements of a page's array while the page streams in.
//!
//! A page is a JSON document with one array of events somewhere, `{"data":[…],"nextToken":"…"}`. The splitter is
//! pushed bytes in chunks of any size and hands out each element as the exact bytes received; everything else ends up
//! in a small *envelope*, the same document with the array left empty. Memory is the largest element plus the
//! envelope, whatever the page's size: an element that is longer than the limit is handed out in pieces as it streams by.
//!
//! It checks the structure around elements. Inside of them it counts brackets, whatever their kind and depth: what an element
//! is, nobody but its reader says, and no element makes a page unusable whose end can be found.

use thiserror::Error;

/// Longest element handed out whole, bytes, if nothing else is said. The largest audit events known are some hundred KiB.
pub const ELEMENT_MAX: usize = 64 << 20;
/// Longest envelope accepted, bytes.
pub const ENVELOPE_MAX: usize = 4 << 20;
/// Deepest nesting accepted around elements: what `serde_json` accepts.
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
    /// What is around the elements is larger than anything an audit API sends.
    #[error("{what} larger than {limit} bytes")]
    TooLarge {
        /// `the envelope` or `the answer`.
        what: &'static str,
        /// The limit, bytes.
        limit: usize,
    },
}

/// What the splitter hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element<'a> {
    /// All of an element.
    Whole(&'a [u8]),
    /// The next bytes of one that is longer than the limit.
    Piece {
        /// What this chunk has of it.
        bytes: &'a [u8],
        /// Whether they are its last.
        last: bool,
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
#[allow(clippy::struct_excessive_bools, reason = "each is about something else")]
pub struct Splitter {
    path: &'static [&'static str],
    at: At,
    /// Open brackets of the envelope.
    open: Vec<u8>,
    /// How many brackets are open inside the element.
    element_open: u64,
    /// How many keys of `path` lead to where we are; only meaningful while `open.len() == matched`.
    matched: usize,
    /// Whether the value that comes next is at `path[..=matched]`.
    on_path: bool,
    key_start: usize,
    found: bool,
    envelope: Vec<u8>,
    /// The part of an element that earlier chunks brought.
    partial: Vec<u8>,
    /// Longest element that is handed out whole.
    limit: usize,
    /// The element is longer: what earlier chunks brought of it has been handed out.
    in_pieces: bool,
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
            element_open: 0,
            matched: 0,
            on_path: true,
            key_start: 0,
            found: false,
            envelope: Vec::new(),
            partial: Vec::new(),
            limit: ELEMENT_MAX,
            in_pieces: false,
            offset: 0,
            elements: 0,
            whole: false,
        }
    }

    /// The same, but elements longer than `limit` bytes come in pieces.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// A splitter that splits nothing: the envelope is the answer, whatever it is.
    pub fn whole() -> Self {
        Self { whole: true, ..Self::new(&[]) }
    }

    /// Takes the next bytes and calls `element` with each element they complete, and with what they hold of longer ones.
    pub fn push(&mut self, chunk: &[u8], element: &mut dyn FnMut(Element<'_>)) -> Result<(), SplitError> {
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
                        } else if self.element_open == 0 {
                            self.finish_element(&chunk[start..=i], element);
                            At::AfterElement
                        } else {
                            At::InElement
                        };
                    }
                },
                At::InElement => match byte {
                    b'"' if self.element_open == 0 => return Err(self.wrong(i, "a quote in a bare value")),
                    b'"' => self.at = At::InElementString { escaped: false },
                    b'{' | b'[' if self.element_open == 0 => {
                        return Err(self.wrong(i, "a bracket in a bare value"));
                    }
                    b'{' | b'[' => self.element_open += 1,
                    b'}' | b']' | b',' if self.element_open == 0 => {
                        // A bare value (number, word) ends where the array goes on.
                        self.finish_element(&chunk[start..i], element);
                        self.at = At::AfterElement;
                        continue;
                    }
                    b'}' | b']' => {
                        self.element_open -= 1;
                        if self.element_open == 0 {
                            self.finish_element(&chunk[start..=i], element);
                            self.at = At::AfterElement;
                        }
                    }
                    b' ' | b'\t' | b'\n' | b'\r' if self.element_open == 0 => {
                        self.finish_element(&chunk[start..i], element);
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
                                self.element_open = 1;
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
            self.keep(&chunk[start..], element);
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
                b']' if self.at == At::FirstItem => self.close(i, byte)?,
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
                b'}' if self.at == At::FirstKey => self.close(i, byte)?,
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
                b'}' | b']' => self.close(i, byte)?,
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

    fn close(&mut self, i: usize, bracket: u8) -> Result<(), SplitError> {
        let matches = matches!((self.open.pop(), bracket), (Some(b'{'), b'}') | (Some(b'['), b']'));
        if !matches {
            return Err(self.wrong(i, "a bracket closes what was not opened"));
        }
        self.matched = self.matched.min(self.open.len().saturating_sub(1));
        self.value_ended();
        Ok(())
    }

    fn value_ended(&mut self) {
        self.on_path = false;
        self.at = if self.open.is_empty() { At::End } else { At::AfterValue };
    }

    /// Keeps the bytes of an element whose end is still to come, or hands them out if it has grown too long.
    fn keep(&mut self, bytes: &[u8], element: &mut dyn FnMut(Element<'_>)) {
        if !self.in_pieces && self.partial.len() + bytes.len() <= self.limit {
            return self.partial.extend_from_slice(bytes);
        }
        if !self.in_pieces {
            self.in_pieces = true;
            element(Element::Piece { bytes: &std::mem::take(&mut self.partial), last: false });
        }
        element(Element::Piece { bytes, last: false });
    }

    fn finish_element(&mut self, rest: &[u8], element: &mut dyn FnMut(Element<'_>)) {
        self.elements += 1;
        if !self.in_pieces && self.partial.is_empty() && rest.len() <= self.limit {
            return element(Element::Whole(rest));
        }
        self.keep(rest, element);
        if std::mem::take(&mut self.in_pieces) {
            element(Element::Piece { bytes: &[], last: true });
        } else {
            element(Element::Whole(&self.partial));
            self.partial.clear();
            // One long record is no reason to hold so much for all that follow.
            self.partial.shrink_to(1 << 20);
        }
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
            splitter.push(piece, &mut |element| match element {
                Element::Whole(raw) => elements.push(String::from_utf8_lossy(raw).into_owned()),
                Element::Piece { .. } => panic!("the limit is larger"),
            })?;
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

    /// Elements handed out whole, those that came in pieces, and how many there were.
    fn split_at(limit: usize, page: &[u8], chunk: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>, u64) {
        let mut splitter = Splitter::new(&["data"]).limit(limit);
        let (mut whole, mut long, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
        for piece in page.chunks(chunk) {
            splitter
                .push(piece, &mut |element| match element {
                    Element::Whole(raw) => whole.push(raw.to_vec()),
                    Element::Piece { bytes, last } => {
                        assert!(bytes.len() <= chunk.max(limit), "no more is held than it must be");
                        pieces.extend_from_slice(bytes);
                        if last {
                            long.push(std::mem::take(&mut pieces));
                        }
                    }
                })
                .unwrap();
        }
        (whole, long, splitter.finish().unwrap().records)
    }

    #[test]
    fn an_element_over_the_limit_streams_by_and_its_neighbours_come_whole() {
        let long = format!("{{\"x\":\"{}\"}}", "]}".repeat(100));
        let page = format!("{{\"data\":[1,{{\"a\":2}},{long},{{\"b\":3}}, {long}]}}");
        for chunk in [1, 7, 50, page.len()] {
            let (whole, pieces, records) = split_at(20, page.as_bytes(), chunk);
            assert_eq!(whole, [&b"1"[..], b"{\"a\":2}", b"{\"b\":3}"], "{chunk}");
            assert_eq!((pieces, records), (vec![long.clone().into_bytes(); 2], 5));
        }
        let exact = format!("{{\"data\":[{long}]}}");
        assert_eq!(split_at(long.len(), exact.as_bytes(), 9).0.len(), 1);
        assert_eq!(split_at(long.len() - 1, exact.as_bytes(), 9).1.len(), 1);
    }

    #[test]
    fn no_depth_and_no_pairing_inside_an_element_makes_its_page_unusable() {
        for element in [format!("{}{}", "[".repeat(200_000), "]".repeat(200_000)), "{\"a\":[1}}".into(), "[}".into()] {
            let page = format!("{{\"data\":[{{\"n\":1}},{element},{{\"n\":2}}]}}");
            let (elements, _) = split(&["data"], page.as_bytes(), 1000).unwrap();
            assert_eq!(elements, ["{\"n\":1}", element.as_str(), "{\"n\":2}"]);
        }
        let deep = "{\"a\":".repeat(300);
        assert!(matches!(split(&["data"], deep.as_bytes(), 7), Err(SplitError::Malformed { .. })), "around elements");
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
