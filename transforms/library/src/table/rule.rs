//! Rows: which events, and what they are.

use super::{Chosen, List, Path};
use crate::ocsf::{API_ACTIVITY, Code, OTHER};
use crate::pattern::{Pattern, Template};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Facts, or fields of entities, and what each must match, all of them.
pub(crate) type When = BTreeMap<String, List<Pattern>>;

/// One row: which events, and what they are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default)]
    pub(super) when: When,
    /// The same, with the position of the name in [`super::Provider::subjects`].
    #[serde(skip)]
    pub(crate) conditions: Vec<(usize, Vec<Pattern>)>,
    /// Class and activity.
    pub(crate) is: Code,
    /// What it is if that class lacks a required attribute; `6003/99` if not said.
    #[serde(default = "other_call")]
    pub(crate) or: Code,
    pub(crate) user: Option<Chosen>,
    pub(crate) group: Option<Chosen>,
    pub(crate) entity: Option<Chosen>,
    pub(crate) web_resource: Option<Chosen>,
    pub(crate) app: Option<Chosen>,
    #[serde(default)]
    pub(crate) privileges: Vec<Template>,
    /// Where the event itself names privileges.
    pub(crate) privileges_in: Option<Listed>,
    pub(crate) status_detail: Option<String>,
    /// `auth_protocol` of Authentication, by its caption.
    pub(crate) auth_protocol: Option<String>,
}

impl Rule {
    /// What this name must match; nothing if it does not matter.
    pub(crate) fn compared_with(&self, name: &str) -> &[Pattern] {
        self.when.get(name).map_or(&[], |list| list.0.as_slice())
    }

    /// All that it chooses.
    pub(super) fn chosen(&self) -> impl Iterator<Item = &Chosen> {
        [&self.user, &self.group, &self.entity, &self.web_resource, &self.app].into_iter().flatten()
    }
}

fn other_call() -> Code {
    Code::new(API_ACTIVITY, OTHER)
}

/// Texts somewhere in the event: plain ones, and those under certain keys of objects; in lists, too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    pub(crate) at: Path,
    pub(crate) keys: Vec<String>,
}

/// What tells the outcome.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusRow {
    pub(crate) when: When,
    pub(crate) is: Outcome,
}

/// `status_id` 1 and 2. Without evidence it is 0, or 99 with the source's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Outcome {
    Success,
    Failure,
}
