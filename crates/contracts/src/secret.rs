//! A string that never prints.

use crate::mask;
use serde::{Deserialize, Deserializer, de};
use std::fmt;

/// What stands for a credential that is not read: in a demonstration, and where a configuration is only looked at.
pub const STAND_INS: [&str; 2] = ["simulated", "unresolved"];

/// A credential. `Debug`, `Display` and logs show `***`; only [`Secret::expose`] gives the text, and only the
/// HTTP client calls it. From its making on, [`mask`](mask::mask) hides the text wherever it turns up.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What a deserializer is told that it reads: one that knows the name may look at the text.
    pub const NAME: &'static str = "headwater::Secret";

    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        mask::learn(&text);
        Self(text)
    }

    /// The text itself. For the place that sends it, and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// For `#[serde(deserialize_with)]`: the name of a user or client, which may stand where a secret may and is none. It is shown.
    pub fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Option::deserialize(deserializer).map(|name| name.map(Self))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The loader has resolved `{ env: X }`, `{ file: .. }` and `{ exec: [..] }` to a string by the time this runs.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret")
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Secret, D::Error> {
                String::deserialize(deserializer).map(Secret::new)
            }
        }
        deserializer.deserialize_newtype_struct(Self::NAME, Visitor)
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A secret: a plain string, or where to read it.",
            "examples": ["{ env: NAME }"],
            "oneOf": [
                { "type": "string" },
                { "type": "object", "properties": { "env": { "type": "string" } }, "required": ["env"], "additionalProperties": false },
                { "type": "object", "properties": { "file": { "type": "string" } }, "required": ["file"], "additionalProperties": false },
                { "type": "object", "properties": { "exec": { "type": "array", "items": { "type": "string" }, "minItems": 1 } }, "required": ["exec"], "additionalProperties": false }
            ]
        })
    }
}
