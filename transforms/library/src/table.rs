//! The mapping table of a provider, as written in `tables/<provider>.yaml`. What the keys mean is in `README.md`.

use crate::ocsf::{Code, SCHEMA};
use crate::pattern::{Pattern, Template};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// One table per provider. A new provider adds its line here.
const TABLES: &[&str] = &[
    include_str!("../tables/mural.yaml"),
    include_str!("../tables/pactflow.yaml"),
    include_str!("../tables/api7.yaml"),
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

/// A path of object keys into the raw event, written with dots.
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
    /// Texts of the event, by name, with the paths to try in turn.
    pub(crate) facts: BTreeMap<String, List<Path>>,
    /// Texts derived from a fact.
    #[serde(default)]
    pub(crate) derived: BTreeMap<String, Derived>,
    /// What stands for a fact that is not there.
    #[serde(default)]
    pub(crate) composed: BTreeMap<String, Template>,
    pub(crate) entities: BTreeMap<String, EntitySpec>,
    /// The source's word for a kind of user, and the caption it stands for.
    #[serde(default)]
    pub(crate) user_types: BTreeMap<String, String>,
    /// The source's word for a kind of entity, and the caption it stands for.
    #[serde(default)]
    pub(crate) entity_types: BTreeMap<String, String>,
    pub(crate) status: Status,
    pub(crate) resources: Option<Resources>,
    /// Parts of `message`; one that lacks a filling is left out, and without the first there is no message.
    pub(crate) message: Vec<Template>,
    /// The first that matches decides.
    pub(crate) rules: Vec<Rule>,
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

/// Where `metadata.tenant_uid` comes from.
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
    /// What stands before the first of these; the whole text if there is none.
    pub(crate) before_first: Option<String>,
    /// What stands after the first of these; nothing if there is none.
    pub(crate) after_first: Option<String>,
    /// What stands after one of these words and a blank, and nothing if the text does not begin with one.
    #[serde(default)]
    pub(crate) after_word: Vec<String>,
    /// Where this is shown, the rest of the fact is, too: it is not among the unmapped.
    #[serde(default)]
    pub(crate) shows_fact: bool,
    /// What stands after the last of these; the whole text if there is none.
    pub(crate) after_last: Option<String>,
    /// The text without this ending, and nothing if it does not end so.
    pub(crate) without_suffix: Option<Template>,
}

/// A person, group or thing in the raw event: where its fields are, below `at`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntitySpec {
    #[serde(default)]
    at: Path,
    pub(crate) uid: Option<Path>,
    /// The first of these that is there.
    pub(crate) name: Option<List<Path>>,
    /// Parts of the full name.
    #[serde(default)]
    pub(crate) full_name: Vec<Path>,
    pub(crate) email: Option<Path>,
    /// Name of the organization it belongs to.
    pub(crate) org: Option<Path>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<Path>,
    /// A derived fact that is its type.
    pub(crate) type_from: Option<String>,
    /// The name of the token it acted with.
    pub(crate) token: Option<Path>,
    /// The program it acted through: `actor.app_name`.
    pub(crate) app: Option<Path>,
    /// Where the source does not tell the kind of user: the caption.
    pub(crate) user_type: Option<String>,
    /// The same, if there is an e-mail address.
    pub(crate) user_type_with_email: Option<String>,
}

/// Where the outcome is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Status {
    /// Endings of the operation that mean Failure.
    #[serde(default)]
    pub(crate) failure_suffixes: Vec<String>,
    /// The fact that is an HTTP status: below 400 Success, else Failure.
    pub(crate) http_code: Option<String>,
    /// The fact that says why it failed, if it did.
    pub(crate) error: Option<String>,
    /// What any other operation means.
    pub(crate) otherwise: Outcome,
}

/// `status_id` 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Outcome {
    Unknown,
    Success,
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

/// One row: which events, and what they are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Facts and what each must match, all of them.
    when: BTreeMap<String, List<Pattern>>,
    /// The same, with the position of the name in [`Provider::subjects`].
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
    #[serde(default)]
    pub(crate) privileges: Vec<Template>,
    /// Privileges named in the record: a list, and the key of each of its objects that names one.
    pub(crate) privileges_in: Option<Listed>,
    pub(crate) status_detail: Option<String>,
    /// `auth_protocol` of Authentication, by its caption.
    pub(crate) auth_protocol: Option<String>,
}

/// Values of a key of the objects in a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    pub(crate) list: Path,
    pub(crate) key: String,
}

fn other_call() -> Code {
    Code::new(crate::ocsf::API_ACTIVITY, crate::ocsf::OTHER)
}

/// Who or what a row is about.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Chosen {
    // First, because a list of two would also do as the two fields of the other.
    /// The first of these entities that has a uid or a name.
    First(List<Selector>),
    /// An entity of this type: the first of these that has a uid or a name, and what it lacks, taken from what the row
    /// captured.
    Captured {
        #[serde(default)]
        first: Selectors,
        uid: Option<Template>,
        name: Option<Template>,
        #[serde(rename = "type")]
        kind: String,
    },
}

/// Entities to try in turn.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Selectors(pub(crate) Vec<Selector>);

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

impl Provider {
    /// Reads a table and checks that every name in it is known.
    fn parse(yaml: &str) -> Result<Self, String> {
        let mut table: Self = serde_yaml_ng::from_str(yaml).map_err(|error| error.to_string())?;
        for spec in table.entities.values_mut() {
            let names = spec.name.iter_mut().flat_map(|list| &mut list.0).chain(&mut spec.full_name);
            let others = [&mut spec.uid, &mut spec.email, &mut spec.org, &mut spec.kind];
            for field in names.chain(others.into_iter().flatten()) {
                *field = spec.at.join(field);
            }
        }
        table.check().map_err(|problem| format!("table `{}`: {problem}", table.id))?;
        let names: BTreeSet<&String> = table.rules.iter().flat_map(|rule| rule.when.keys()).collect();
        table.subjects = names.into_iter().cloned().collect();
        for rule in &mut table.rules {
            let position = |name: &String| table.subjects.iter().position(|known| known == name);
            let conditions = rule.when.iter().filter_map(|(name, list)| Some((position(name)?, list.0.clone())));
            rule.conditions = conditions.collect();
        }
        Ok(table)
    }

    fn check(&self) -> Result<(), String> {
        for (name, derived) in &self.derived {
            if !self.facts.contains_key(&derived.from) {
                return Err(format!("`{name}` is derived from `{}`, which is no fact", derived.from));
            }
            self.check_names(derived.without_suffix.iter().flat_map(Template::names), &[])?;
        }
        self.check_names(self.composed.values().flat_map(Template::names), &[])?;
        // The user that the class shows, whoever that is.
        self.check_names(self.message.iter().flat_map(Template::names), &["user.name", "user.uid"])?;
        let typed = self.entities.values().filter_map(|spec| spec.type_from.as_deref());
        let outcome = [&self.status.http_code, &self.status.error].into_iter().flatten().map(String::as_str);
        self.check_names(typed.chain(outcome), &[])?;
        for caption in self
            .user_types
            .values()
            .chain(self.entities.values().flat_map(|e| [&e.user_type_with_email, &e.user_type]).flatten())
        {
            SCHEMA.user_types.get(caption).ok_or_else(|| format!("`{caption}` is no type of user"))?;
        }
        for caption in self.entity_types.values() {
            SCHEMA.entity_types.get(caption).ok_or_else(|| format!("`{caption}` is no type of entity"))?;
        }
        match &self.resources {
            Some(Resources::Entity { entity }) => self.check_entity(entity)?,
            Some(Resources::Keys { uid_type, .. }) => self.check_names([uid_type.as_str()], &[])?,
            None => {}
        }
        self.rules.iter().try_for_each(|rule| self.check_rule(rule))
    }

    fn check_rule(&self, rule: &Rule) -> Result<(), String> {
        for code in [rule.is, rule.or] {
            let class = SCHEMA.classes.get(&code.class).ok_or_else(|| format!("no class {}", code.class))?;
            class.activity(code.activity).ok_or_else(|| format!("no activity {} in {}", code.activity, class.name))?;
        }
        if let Some(caption) = &rule.auth_protocol {
            SCHEMA.auth_protocols.get(caption).ok_or_else(|| format!("`{caption}` is no authentication protocol"))?;
        }
        self.check_names(rule.when.keys().map(String::as_str), &[])?;
        let captured: Vec<&str> = rule.when.values().flat_map(|list| &list.0).flat_map(Pattern::names).collect();
        self.check_names(rule.privileges.iter().flat_map(Template::names), &captured)?;
        for chosen in [&rule.user, &rule.group, &rule.entity, &rule.web_resource].into_iter().flatten() {
            match chosen {
                Chosen::Captured { first, uid, name, .. } => {
                    first.0.iter().try_for_each(|one| self.check_entity(&one.entity))?;
                    self.check_names([uid, name].into_iter().flatten().flat_map(Template::names), &captured)?;
                }
                Chosen::First(list) => list.0.iter().try_for_each(|one| self.check_entity(&one.entity))?,
            }
        }
        Ok(())
    }

    fn check_entity(&self, name: &str) -> Result<(), String> {
        self.entities.contains_key(name).then_some(()).ok_or_else(|| format!("no entity `{name}`"))
    }

    fn check_names<'n>(&self, names: impl IntoIterator<Item = &'n str>, captured: &[&str]) -> Result<(), String> {
        for name in names {
            let entity = |(entity, field): (&str, &str)| {
                self.entities.contains_key(entity) && ["uid", "name", "email", "org", "type"].contains(&field)
            };
            let known = captured.contains(&name)
                || self.facts.contains_key(name)
                || self.derived.contains_key(name)
                || self.composed.contains_key(name)
                || name.split_once('.').is_some_and(entity);
            if !known {
                return Err(format!("`{name}` is neither a fact nor a field of an entity"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_table_is_sound() {
        for table in TABLES {
            let provider = Provider::parse(table).unwrap();
            assert!(provider.entities.contains_key("actor"), "{}", provider.id);
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_an_error() {
        let check = |from: &str, to: &str, problem: &str| {
            let table = TABLES[0].replacen(from, to, 1);
            let error = Provider::parse(&table).unwrap_err();
            assert!(error.contains(problem), "{error}");
        };
        check("{ operation: SIGN_OUT }", "{ operatoin: SIGN_OUT }", "`operatoin` is neither");
        check("is: 3002/2", "is: 3002/77", "no activity 77 in Authentication");
        check("is: 3002/2", "is: 3003/2", "no class 3003");
        check("APIKEY: Service", "APIKEY: Robot", "`Robot` is no type of user");
        check("resources: { entity: affected }", "resources: { entity: afected }", "no entity `afected`");
        check("{affected.name|affected.uid}", "{affected.nam}", "`affected.nam` is neither");
    }
}
