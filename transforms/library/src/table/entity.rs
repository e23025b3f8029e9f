//! People, groups and things: where they are in the raw event, and how a row names them.

use super::{List, Path};
use crate::pattern::Template;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A person, group or thing in the raw event: where its fields are, below `at`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntitySpec {
    #[serde(default)]
    at: Path,
    pub(crate) uid: Option<Path>,
    /// The first of these that is there.
    #[serde(default)]
    pub(crate) name: List<Path>,
    /// Parts of the full name.
    #[serde(default)]
    pub(crate) full_name: Vec<Path>,
    pub(crate) email: Option<Path>,
    /// Name of the organization it belongs to.
    pub(crate) org: Option<Path>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<Path>,
    /// Where another text tells the type.
    pub(crate) type_by: Option<TypeBy>,
    /// Where the source does not tell the kind of user: the caption.
    pub(crate) user_type: Option<String>,
    /// The same, if there is an e-mail address.
    pub(crate) user_type_with_email: Option<String>,
    /// What becomes `metadata.tags`, each after the tag's name.
    #[serde(default)]
    pub(crate) tags: Vec<(String, Path)>,
}

impl EntitySpec {
    /// Puts `at` before the paths of its fields.
    pub(super) fn resolve(&mut self) {
        let at = std::mem::take(&mut self.at);
        self.move_below(&at);
    }

    /// The same entity with all its paths below `at`.
    pub(super) fn below(&self, at: &Path) -> Self {
        let mut moved = self.clone();
        moved.move_below(at);
        moved
    }

    fn move_below(&mut self, at: &Path) {
        let lists = self.name.0.iter_mut().chain(&mut self.full_name).chain(self.tags.iter_mut().map(|(_, path)| path));
        let single = [&mut self.uid, &mut self.email, &mut self.org, &mut self.kind].into_iter().flatten();
        for path in lists.chain(single) {
            *path = at.join(path);
        }
    }
}

/// A text that tells a type.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TypeBy {
    /// The fact, or the field of an entity.
    pub(crate) fact: String,
    /// Its words, and the type that each stands for. No other word tells a type; without any, the text is the type.
    #[serde(default)]
    pub(crate) words: BTreeMap<String, String>,
}

/// The entity that an event is about, where it is one of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Primary {
    /// Where the list is.
    pub(crate) list: Path,
    /// The entity that stands for it, with paths below an element.
    pub(crate) entity: String,
    /// Types that come first; else the first element that a row matches.
    #[serde(default)]
    pub(crate) prefer: Vec<String>,
    /// Further entities: the first other element of this type.
    #[serde(default)]
    pub(crate) others: BTreeMap<String, String>,
    /// The entity at each place in the list.
    #[serde(skip)]
    pub(crate) places: Vec<EntitySpec>,
}

impl Primary {
    /// Elements of the list that are looked at. The rest stays among the unmapped, as all that no attribute shows.
    pub(super) const PLACES: usize = 16;
}

/// Who or what a row is about.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Chosen {
    /// The first of these entities that has a uid or a name.
    First(List<Selector>),
    /// An entity that the row itself tells something about.
    Made(Made),
}

/// An entity of a type: the first of these that has a uid or a name; what it lacks comes from what the row captured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Made {
    #[serde(default)]
    pub(crate) from: List<Selector>,
    pub(crate) uid: Option<Template>,
    pub(crate) name: Option<Template>,
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// An entity, `affected`; or an entity if it is of a type, `affected:USER`.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Selector {
    pub(crate) entity: String,
    pub(crate) kind: Option<String>,
}

impl From<String> for Selector {
    fn from(text: String) -> Self {
        match text.split_once(':') {
            Some((entity, kind)) => Self { entity: entity.to_owned(), kind: Some(kind.to_owned()) },
            None => Self { entity: text, kind: None },
        }
    }
}
