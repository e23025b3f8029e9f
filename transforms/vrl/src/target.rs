//! One event as a program sees it: `.` and `%`.

use crate::facts::{self, Facts, ROOT};
use headwater_contracts::Event;
use std::cell::OnceCell;
use vrl::compiler::{SecretTarget, Target};
use vrl::path::{OwnedSegment, OwnedTargetPath, PathPrefix};
use vrl::value::{ObjectMap, Value};

/// An event under a program. Nothing is parsed or built before the program asks for it, and what was there before is
/// kept from the first change on, so that a program that fails or aborts leaves no trace.
#[derive(Debug)]
pub(crate) struct EventTarget {
    /// Without its value and metadata while it is in here.
    event: Event,
    /// Whether a transform before this one had made a value.
    had_value: bool,
    value: OnceCell<Value>,
    metadata: Option<Value>,
    value_before: Option<Value>,
    metadata_before: Option<Value>,
    metadata_changed: bool,
    changed: bool,
    facts: Facts,
    /// All of `%`, for the rare program that asks for it as a whole.
    whole: OnceCell<Value>,
}

/// What a metadata path leads to.
enum Place<'p> {
    /// One field of `%headwater`.
    Fact(&'p str),
    /// `%`, `%headwater`, or something deeper inside a fact.
    Whole,
    /// What programs have put there.
    Users,
}

impl EventTarget {
    pub(crate) fn new(mut event: Event) -> Self {
        let value = event.value.take();
        let metadata = event.metadata.take();
        Self {
            event,
            had_value: value.is_some(),
            value: value.map_or_else(OnceCell::new, OnceCell::from),
            metadata,
            value_before: None,
            metadata_before: None,
            metadata_changed: false,
            changed: false,
            facts: Facts::default(),
            whole: OnceCell::new(),
        }
    }

    /// The event as the program left it. If the program has not changed `.`, and nothing before it has, the event
    /// still is the provider's bytes.
    pub(crate) fn into_result(mut self) -> Event {
        if self.had_value || self.changed {
            self.event.value = self.value.into_inner();
        }
        self.event.metadata = self.metadata;
        self.event
    }

    /// The event as it was before the program.
    pub(crate) fn into_original(mut self) -> Event {
        if self.had_value {
            self.event.value = self.value_before.or_else(|| self.value.into_inner());
        }
        self.event.metadata = if self.metadata_changed { self.metadata_before } else { self.metadata };
        self.event
    }

    /// Whether the program has changed `.`.
    pub(crate) fn changed(&self) -> bool {
        self.changed
    }

    fn value(&self) -> &Value {
        self.value.get_or_init(|| {
            // What is no JSON is shown as the text it is.
            parse(&self.event.raw).unwrap_or_else(|| Value::Bytes(self.event.raw.clone()))
        })
    }

    /// `.` to be changed. Always there; an option only because the cell says so.
    fn value_mut(&mut self) -> Option<&mut Value> {
        self.value();
        if !self.changed {
            self.changed = true;
            if self.had_value {
                self.value_before = self.value.get().cloned();
            }
        }
        self.value.get_mut()
    }

    fn metadata_mut(&mut self) -> &mut Value {
        if !self.metadata_changed {
            self.metadata_changed = true;
            self.metadata_before.clone_from(&self.metadata);
        }
        self.whole.take();
        self.metadata.get_or_insert_with(|| Value::Object(ObjectMap::new()))
    }

    fn whole(&self) -> &Value {
        self.whole.get_or_init(|| {
            let mut all = match &self.metadata {
                Some(Value::Object(map)) => map.clone(),
                _ => ObjectMap::new(),
            };
            all.insert(ROOT.into(), facts::object(&self.event));
            Value::Object(all)
        })
    }
}

/// Reads JSON. Escapes of half a surrogate pair, which JSON's grammar allows and Unicode does not, read as U+FFFD: nobody
/// can hide a record by a crafted name.
fn parse(raw: &[u8]) -> Option<Value> {
    // Of bytes, sonic-rs hands strings out before it has looked whether they are UTF-8.
    let read = |raw: &[u8]| sonic_rs::from_str(str::from_utf8(raw).ok()?).ok();
    read(raw).or_else(|| read(&without_lone_surrogates(raw)?))
}

/// The JSON with every `\u` escape of half a surrogate pair replaced; `None` if there is none.
fn without_lone_surrogates(raw: &[u8]) -> Option<Vec<u8>> {
    let mut mended: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
        at += match (rest, unit(rest), rest.get(6..).and_then(unit)) {
            (_, Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (_, Some(0xd800..=0xdfff), _) => {
                // As long as what it replaces.
                let mended = mended.get_or_insert_with(|| raw.to_vec());
                mended.get_mut(at..at + 6)?.copy_from_slice(b"\\ufffd");
                6
            }
            // Whatever is escaped, it begins no escape itself.
            ([b'\\', ..], ..) => 2,
            _ => 1,
        };
    }
    mended
}

/// The UTF-16 unit that an escape at the beginning stands for.
fn unit(json: &[u8]) -> Option<u16> {
    let digits = json.get(..6)?.strip_prefix(b"\\u").filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn place(path: &[OwnedSegment]) -> Place<'_> {
    match path {
        [OwnedSegment::Field(root), OwnedSegment::Field(name)] if root.as_str() == ROOT => Place::Fact(name.as_str()),
        [OwnedSegment::Field(root), ..] if root.as_str() != ROOT => Place::Users,
        _ => Place::Whole,
    }
}

/// The compiler refuses programs that change it; this is for functions that reach around the compiler.
fn read_only() -> String {
    format!("`%{ROOT}` is read-only")
}

impl Target for EventTarget {
    fn target_insert(&mut self, path: &OwnedTargetPath, value: Value) -> Result<(), String> {
        match path.prefix {
            PathPrefix::Event => {
                self.value_mut().map(|root| root.insert(&path.path, value));
            }
            PathPrefix::Metadata if matches!(place(&path.path.segments), Place::Users) => {
                self.metadata_mut().insert(&path.path, value);
            }
            PathPrefix::Metadata => return Err(read_only()),
        }
        Ok(())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.value().get(&path.path),
            PathPrefix::Metadata => match place(&path.path.segments) {
                Place::Fact(name) => self.facts.get(&self.event, name),
                Place::Whole => self.whole().get(&path.path),
                Place::Users => self.metadata.as_ref().and_then(|metadata| metadata.get(&path.path)),
            },
        })
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
        match path.prefix {
            PathPrefix::Event => Ok(self.value_mut().and_then(|root| root.get_mut(&path.path))),
            PathPrefix::Metadata if matches!(place(&path.path.segments), Place::Users) => {
                Ok(self.metadata_mut().get_mut(&path.path))
            }
            PathPrefix::Metadata => Err(read_only()),
        }
    }

    fn target_remove(&mut self, path: &OwnedTargetPath, compact: bool) -> Result<Option<Value>, String> {
        match path.prefix {
            // Removing what is not there changes nothing.
            PathPrefix::Event if self.value().get(&path.path).is_none() => Ok(None),
            PathPrefix::Event => Ok(self.value_mut().and_then(|root| root.remove(&path.path, compact))),
            PathPrefix::Metadata if matches!(place(&path.path.segments), Place::Users) => {
                Ok(self.metadata_mut().remove(&path.path, compact))
            }
            PathPrefix::Metadata => Err(read_only()),
        }
    }
}

/// Programs are given no secrets.
impl SecretTarget for EventTarget {
    fn get_secret(&self, _: &str) -> Option<&str> {
        None
    }

    fn insert_secret(&mut self, _: &str, _: &str) {}

    fn remove_secret(&mut self, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mended(raw: &str) -> Option<String> {
        without_lone_surrogates(raw.as_bytes()).map(|raw| String::from_utf8(raw).unwrap())
    }

    #[test]
    fn half_a_surrogate_pair_does_not_hide_a_record() {
        let name = |raw: &str| {
            let value = parse(raw.as_bytes()).unwrap();
            value.as_object().and_then(|all| all.get("name")).and_then(Value::as_bytes).cloned()
        };
        assert_eq!(name(r#"{"name":"a\ud800b"}"#), Some("a\u{fffd}b".into()));
        assert_eq!(name(r#"{"name":"\uDFFF"}"#), Some("\u{fffd}".into()));
        assert_eq!(name(r#"{"name":"\ud83d\ud83d\ude00\ude00"}"#), Some("\u{fffd}😀\u{fffd}".into()));
        assert_eq!(name(r#"{"name":"\ud800\n\\ud800"}"#), Some("\u{fffd}\n\\ud800".into()));
        assert_eq!(name(r#"{"name":"\\\ud800"}"#), Some("\\\u{fffd}".into()));
        assert_eq!(parse(br#"{"name":"\ud800""#), None);
    }

    #[test]
    fn only_what_stands_alone_is_replaced() {
        assert_eq!(mended(r"\ud800"), Some(r"\ufffd".into()));
        for whole in ["", "\\", r"\u", r"\ud80", r"\\ud800", r"\ud83d\ude00", r"\u+d80", "ud800", "\u{e000}"] {
            assert_eq!(mended(whole), None, "{whole}");
        }
    }

    /// Any JSON, nested, with numbers and texts of every kind.
    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn two_libraries_read_and_write_the_same(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let read = parse(text.as_bytes()).unwrap();
            prop_assert_eq!(&read, &serde_json::from_str::<Value>(&text).unwrap());
            prop_assert_eq!(sonic_rs::to_string(&read).unwrap(), serde_json::to_string(&read).unwrap());
        }

        #[test]
        fn broken_json_is_broken_for_both(value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut text = serde_json::to_vec(&value).unwrap();
            let at = at.index(text.len());
            text[at] = byte;
            prop_assert_eq!(parse(&text).is_some(), serde_json::from_slice::<Value>(&text).is_ok());
        }

        #[test]
        fn what_could_be_read_before_reads_the_same(text in any::<String>()) {
            let raw = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(mended(&raw), None);
            prop_assert_eq!(parse(raw.as_bytes()), Some(Value::from(text)));
        }

        #[test]
        fn any_units_can_be_read(units in prop::collection::vec(any::<u16>(), 0..20)) {
            let escapes: Vec<String> = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let raw = format!("\"{}\"", escapes.concat());
            prop_assert_eq!(parse(raw.as_bytes()), Some(Value::from(String::from_utf16_lossy(&units))));
        }

        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(prop::sample::select(b"\\ud8c0f\"n".to_vec()), 0..40)) {
            let _ = parse(&raw);
        }
    }
}
