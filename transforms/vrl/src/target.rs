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
            serde_json::from_slice(&self.event.raw).unwrap_or_else(|_| Value::Bytes(self.event.raw.clone()))
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
