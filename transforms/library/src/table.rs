//! The mapping table of a provider, as written in `tables/<provider>.yaml`. What the keys mean is in `README.md`.

mod check;
mod entity;
mod rule;

pub(crate) use self::entity::{Chosen, EntitySpec, Primary, Selector};
pub(crate) use self::rule::{Outcome, Rule, StatusRow};

use crate::pattern::Template;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One table per provider. A new provider adds its line here.
const TABLES: &[&str] = &[
    include_str!("../tables/mural.yaml"),
    include_str!("../tables/pactflow.yaml"),
    include_str!("../tables/solace_cloud.yaml"),
    include_str!("../tables/api7.yaml"),
    include_str!("../tables/anypoint.yaml"),
];

/// The tables. They are compiled in, and a test reads them, so that they cannot fail to parse at run time.
#[expect(clippy::expect_used, reason = "compiled in, and read by a test")]
static PROVIDERS: LazyLock<Vec<Provider>> =
    LazyLock::new(|| TABLES.iter().map(|table| Provider::parse(table).expect("a provider's table")).collect());

/// All providers that have a table.
pub(crate) fn providers() -> impl Iterator<Item = &'static Provider> {
    PROVIDERS.iter()
}

/// The table of the provider `id`.
pub(crate) fn provider(id: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.id == id)
}

/// A path into the raw event, written with dots: keys of objects, numbers of elements of lists, `[only]` for the element
/// of a list that has no other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Path(pub(crate) Vec<String>);

impl From<String> for Path {
    fn from(text: String) -> Self {
        Self(text.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect())
    }
}

impl Path {
    fn join(&self, below: &Self) -> Self {
        Self(self.0.iter().chain(&below.0).cloned().collect())
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> From<OneOrMany<T>> for List<T> {
    fn from(value: OneOrMany<T>) -> Self {
        Self(match value {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        })
    }
}

/// A list that may be written as its only element.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "OneOrMany<T>", bound = "T: Deserialize<'de>")]
pub(crate) struct List<T>(pub(crate) Vec<T>);

// Not derived: that would ask for a default of the elements.
impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A provider's table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    /// Its id, as in `%headwater.provider`.
    #[serde(rename = "provider")]
    pub(crate) id: String,
    pub(crate) product: Product,
    /// `metadata.log_provider`.
    #[serde(rename = "log_provider")]
    pub(crate) log: String,
    pub(crate) log_version: Option<String>,
    /// `cloud.provider`; also switches the profile `cloud` on.
    pub(crate) cloud: Option<String>,
    #[serde(default)]
    pub(crate) tenant: Tenant,
    /// Keys whose text may be an object written as JSON: it is read as that.
    #[serde(default)]
    pub(crate) json_texts: Vec<String>,
    /// Texts of the event, by name, with the paths to try in turn.
    pub(crate) facts: BTreeMap<String, List<Path>>,
    /// Members that are true or false: facts that are `true` or `false`.
    #[serde(default)]
    pub(crate) flags: BTreeMap<String, Path>,
    /// Words that a fact does not count as: it is absent then.
    #[serde(default)]
    pub(crate) no_fact: BTreeMap<String, List<String>>,
    /// Texts derived from a fact.
    #[serde(default)]
    pub(crate) derived: BTreeMap<String, Derived>,
    /// What stands for a fact that is not there: parts put together. One that lacks a filling is left out, and without
    /// the first there is nothing.
    #[serde(default)]
    pub(crate) composed: BTreeMap<String, List<Template>>,
    /// A fact that has no attribute of its own, and the derived or composed one that shows it.
    #[serde(default)]
    pub(crate) shown_by: BTreeMap<String, String>,
    /// What people ask the provider's log for, and the text that the rows tell it by.
    #[serde(default)]
    pub(crate) names: BTreeMap<String, String>,
    pub(crate) entities: BTreeMap<String, EntitySpec>,
    /// Where a list has the entity that an event is about, among others.
    pub(crate) primary: Option<Primary>,
    /// The entities that may be the actor: the first that is known is `actor`, the second is `app`.
    #[serde(default)]
    pub(crate) actors: Vec<String>,
    /// The source's word for a kind of user, and the caption it stands for.
    #[serde(default)]
    pub(crate) user_types: BTreeMap<String, String>,
    /// The source's word for a kind of entity, and the caption it stands for.
    #[serde(default)]
    pub(crate) entity_types: BTreeMap<String, String>,
    /// What tells the outcome; the first that matches decides.
    #[serde(default)]
    pub(crate) status: Vec<StatusRow>,
    pub(crate) resources: Option<Resources>,
    /// Parts of `message` where the event has no sentence; as in `composed`.
    pub(crate) message: Vec<Template>,
    /// The first that matches decides.
    pub(crate) rules: Vec<Rule>,
    /// What an event is that no row matches.
    pub(crate) otherwise: Option<Rule>,
    /// The names that rows compare, each once, so that an event looks each up once.
    #[serde(skip)]
    pub(crate) subjects: Vec<String>,
}

/// `metadata.product`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Product {
    pub(crate) vendor_name: String,
    pub(crate) name: String,
}

/// Where `metadata.tenant_uid` comes from, if the event does not say.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tenant {
    /// The log does not say.
    #[default]
    None,
    /// `%headwater.stream`.
    Stream,
}

/// A part of a fact.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Derived {
    /// The fact.
    pub(crate) from: String,
    /// What stands after the first of these; nothing if there is none.
    pub(crate) after_first: Option<String>,
    /// What stands after one of these words and a blank; nothing if the text does not begin with one.
    #[serde(default)]
    pub(crate) after_word: Vec<String>,
    /// What stands before the first of these; the whole text if there is none.
    pub(crate) before_first: Option<String>,
    /// What stands after the last of these; the whole text if there is none.
    pub(crate) after_last: Option<String>,
    /// The text without this ending, and nothing if it does not end so.
    pub(crate) without_suffix: Option<Template>,
    /// Whether a text that does not end in `without_suffix` counts as a whole.
    #[serde(default)]
    pub(crate) or_whole: bool,
}

/// Where `resources` of API Activity come from.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Resources {
    /// One entity.
    Entity { entity: String },
    /// The keys of an object: `<t>_uuid` is the uid of a `t`, `<t>_name` its name, `uid` the uid of what the fact
    /// `uid_type` calls it.
    Keys { keys_of: Path, uid_suffix: String, name_suffix: String, uid: String, uid_type: String, except: Vec<String> },
}
