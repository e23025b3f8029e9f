//! One event as a program sees it: `.` and `%`.

use crate::facts::{self, Facts, ROOT};
use headwater_contracts::{Event, json};
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
    /// Null where the record cannot be read; `unreadable` says why then.
    value: OnceCell<Value>,
    unreadable: OnceCell<String>,
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
            unreadable: OnceCell::new(),
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

    /// Why the program could not have `.`, if it asked for it in vain. What it did then counts for nothing: it has seen null in place
    /// of an event.
    pub(crate) fn unreadable(&self) -> Option<&str> {
        self.unreadable.get().map(String::as_str)
    }

    /// Whether the program has changed `.`.
    pub(crate) fn changed(&self) -> bool {
        self.changed
    }

    fn value(&self) -> &Value {
        self.value.get_or_init(|| {
            parse(&self.event.raw).unwrap_or_else(|reason| {
                self.unreadable.get_or_init(|| reason);
                Value::Null
            })
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

/// Reads JSON; the error says why nobody could. Escapes of half a surrogate pair, which JSON's grammar allows and Unicode does not,
/// read as U+FFFD: nobody can hide a record by a crafted name.
fn parse(raw: &[u8]) -> Result<Value, String> {
    // Of bytes, sonic-rs hands strings out before it has looked whether they are UTF-8. And it recurses.
    let read = |raw: &[u8]| -> Option<Value> {
        let text = str::from_utf8(raw).ok().filter(|_| !json::is_deep(raw))?;
        sonic_rs::from_str(text).ok()
    };
    let mended = || read(&json::mended(raw)?);
    read(raw).or_else(mended).ok_or_else(|| {
        let problem = match json::look(raw) {
            Ok(looked) => looked.obstacle(raw).unwrap_or_else(|| "no parser can read it".to_owned()),
            Err(flaw) => format!("it is no JSON: {flaw}"),
        };
        format!("the record cannot be read: {problem}")
    })
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
    }

    #[test]
    fn what_cannot_be_read_says_what_and_where() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for (raw, what) in [
            (r#"{"a":1e999}"#, "byte 5: the number `1e999`"),
            (r#"{"a":"\u12G4"}"#, "byte 6: this is no escape"),
            (&format!("{{\"a\":{}}}", "9".repeat(400)), "byte 5: the number `99999999999999999999..`"),
            (deep.as_str(), "100001 levels deep"),
            (r#"{"name":"\ud800""#, "it ends in the middle"),
        ] {
            let reason = parse(raw.as_bytes()).unwrap_err();
            assert!(reason.contains(what), "{reason}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").unwrap_err().contains("byte 6: this is not UTF-8"));
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
            prop_assert_eq!(parse(&text).is_ok(), serde_json::from_slice::<Value>(&text).is_ok());
        }

        #[test]
        fn what_could_be_read_before_reads_the_same(text in any::<String>()) {
            let raw = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(json::mended(raw.as_bytes()), None);
            prop_assert_eq!(parse(raw.as_bytes()), Ok(Value::from(text)));
        }

        #[test]
        fn any_units_can_be_read(units in prop::collection::vec(any::<u16>(), 0..20)) {
            let escapes: Vec<String> = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let raw = format!("\"{}\"", escapes.concat());
            prop_assert_eq!(parse(raw.as_bytes()), Ok(Value::from(String::from_utf16_lossy(&units))));
        }

        #[test]
        fn no_bytes_panic(raw in prop::collection::vec(prop::sample::select(b"\\ud8c0f\"n".to_vec()), 0..40)) {
            let _ = parse(&raw);
        }
    }
}
