//! The classes, captions and type ids of OCSF that the provider tables use: `tables/ocsf.yaml`.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// `class_uid` of Base Event, the last resort.
pub(crate) const BASE_EVENT: u16 = 0;
/// `class_uid` of API Activity, the fallback of everything that has an actor and an operation.
pub(crate) const API_ACTIVITY: u16 = 6003;
/// `activity_id` 0 in every class.
pub(crate) const UNKNOWN: u8 = 0;
/// `activity_id` 99 in every class.
pub(crate) const OTHER: u8 = 99;

/// A class and one of its activities, written `3004/3` in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Code {
    /// `class_uid`.
    pub(crate) class: u16,
    /// `activity_id`.
    pub(crate) activity: u8,
}

impl Code {
    /// The code of `class` and `activity`.
    pub(crate) const fn new(class: u16, activity: u8) -> Self {
        Self { class, activity }
    }

    /// `type_uid`.
    pub(crate) fn type_uid(self) -> i64 {
        i64::from(self.class) * 100 + i64::from(self.activity)
    }
}

impl TryFrom<String> for Code {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(class, activity)| Some(Self { class: class.parse().ok()?, activity: activity.parse().ok()? }));
        parsed.ok_or_else(|| format!("`{text}` is no class and activity such as `3004/3`"))
    }
}

/// Where a class has its `actor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ActorPlace {
    /// In the class itself.
    Class,
    /// In the profile `host`.
    Host,
}

/// One event class.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Class {
    /// `class_name`.
    pub(crate) name: String,
    /// `category_uid`.
    pub(crate) category: u8,
    /// Where `actor` comes from.
    pub(crate) actor: ActorPlace,
    /// Whether the class has `src_endpoint` and `http_request`.
    pub(crate) network: bool,
    activities: BTreeMap<u8, String>,
}

impl Class {
    /// The caption of `activity`; `None` if the class has no such activity.
    pub(crate) fn activity(&self, activity: u8) -> Option<&str> {
        match activity {
            UNKNOWN => Some("Unknown"),
            OTHER => Some("Other"),
            listed => self.activities.get(&listed).map(String::as_str),
        }
    }
}

/// The schema's part that the normalizer needs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schema {
    /// `metadata.version`.
    pub(crate) version: String,
    /// `category_name` by `category_uid`.
    pub(crate) categories: BTreeMap<u8, String>,
    /// Class by `class_uid`.
    pub(crate) classes: BTreeMap<u16, Class>,
    /// `user.type_id` by caption.
    pub(crate) user_types: BTreeMap<String, u8>,
    /// `entity.type_id` by caption.
    pub(crate) entity_types: BTreeMap<String, u8>,
    /// `auth_protocol_id` by caption.
    pub(crate) auth_protocols: BTreeMap<String, u8>,
}

/// The schema. It is compiled in, and a test reads it, so that it cannot fail to parse at run time.
#[expect(clippy::expect_used, reason = "compiled in, and read by a test")]
pub(crate) static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| serde_yaml_ng::from_str(include_str!("../tables/ocsf.yaml")).expect("tables/ocsf.yaml"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_category_and_the_two_common_activities() {
        for class in SCHEMA.classes.values() {
            assert!(SCHEMA.categories.contains_key(&class.category), "{}", class.name);
            assert_eq!(class.activity(UNKNOWN), Some("Unknown"));
            assert_eq!(class.activity(OTHER), Some("Other"));
            assert_eq!(class.activity(77), None);
        }
    }

    #[test]
    fn a_code_is_a_class_and_an_activity() {
        let code = Code::try_from("3004/13".to_owned()).unwrap();
        assert_eq!(code.type_uid(), 300_413);
        for wrong in ["3004", "3004/", "/3", "x/3", "3004/1000"] {
            assert!(Code::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
