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
    /// Paths whose text may be an object written as JSON: it is read as that.
    #[serde(default)]
    pub(crate) json_texts: Vec<String>,
    /// Texts that mean that a fact is absent, by its name.
    #[serde(default)]
    pub(crate) absent: BTreeMap<String, String>,
    /// Where a list has the entity that an event is about, among others.
    pub(crate) primary: Option<Primary>,
    /// The entities that may be the actor: the first that is known is. One that is known beside it is the application.
    #[serde(default)]
    pub(crate) actors: Vec<String>,
    /// The fact that `api.service.name` shows; the product's name if not said or absent.
    pub(crate) service: Option<String>,
    /// What an event is that no row matches.
    pub(crate) otherwise: Option<Rule>,
    /// Texts derived from a fact.
    #[serde(default)]
    pub(crate) derived: BTreeMap<String, Derived>,
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

/// The entity that an event is about, where it is one of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Primary {
    /// Where the list is.
    pub(crate) list: Path,
    /// The entity that stands for it, with paths below an element.
    pub(crate) entity: String,
    /// Types that come first; else the first element that a row matches.
    pub(crate) prefer: Vec<String>,
    /// Further entities: the first other element of this type.
    #[serde(default)]
    pub(crate) others: BTreeMap<String, String>,
    /// The entity's paths at each place in the list.
    #[serde(skip)]
    pub(crate) places: Vec<EntitySpec>,
}

/// Elements of such a list that are looked at.
const PLACES: usize = 16;

/// A part of a fact, or facts put together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Derived {
    /// The fact.
    #[serde(default)]
    pub(crate) from: String,
    /// Parts put together; one that lacks a filling is left out, and without the first there is nothing.
    #[serde(default)]
    pub(crate) parts: Vec<Template>,
    /// Whether a text that does not end in `without_suffix` counts as a whole.
    #[serde(default)]
    pub(crate) or_whole: bool,
    /// What stands before the first of these; the whole text if there is none.
    pub(crate) before_first: Option<String>,
    /// What stands after the last of these; the whole text if there is none.
    pub(crate) after_last: Option<String>,
    /// The text without this ending, and nothing if it does not end so.
    pub(crate) without_suffix: Option<Template>,
}

/// A person, group or thing in the raw event: where its fields are, below `at`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntitySpec {
    #[serde(default)]
    at: Path,
    pub(crate) uid: Option<Path>,
    pub(crate) name: Option<Path>,
    pub(crate) email: Option<Path>,
    /// Name of the organization it belongs to.
    pub(crate) org: Option<Path>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<Path>,
    /// Where the source does not tell the kind of user: the caption if there is an e-mail address.
    pub(crate) user_type_with_email: Option<String>,
    /// Where the source does not tell the kind of user: the caption.
    pub(crate) user_type: Option<String>,
    /// Names that tell a kind of user of their own.
    #[serde(default)]
    pub(crate) user_type_names: Vec<String>,
    /// What becomes `metadata.tags`, by the tag's name.
    #[serde(default)]
    pub(crate) tags: Vec<(String, Path)>,
}

impl EntitySpec {
    /// All its paths below `at`.
    fn below(&mut self, at: &Path) {
        for field in
            [&mut self.uid, &mut self.name, &mut self.email, &mut self.org, &mut self.kind].into_iter().flatten()
        {
            *field = at.join(field);
        }
        for (_, path) in &mut self.tags {
            *path = at.join(path);
        }
    }
}

/// Where the outcome is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Status {
    /// Endings of the operation that mean Failure.
    #[serde(default)]
    pub(crate) failure_suffixes: Vec<String>,
    /// Texts in one of the facts `failure_in` that mean Failure.
    #[serde(default)]
    pub(crate) failure_words: Vec<String>,
    #[serde(default)]
    pub(crate) failure_in: Vec<String>,
    /// A member that is true for Failure, false for Success.
    pub(crate) failed: Option<Path>,
    /// Facts that mean Failure if the event has one and nothing else tells.
    #[serde(default)]
    pub(crate) failure_facts: Vec<String>,
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
    pub(crate) app: Option<Chosen>,
    /// Where the names of privileges are: an object or a list with `name`, `permissions` or plain texts.
    pub(crate) privileges_at: Option<Path>,
    /// `auth_protocol_id` and `auth_protocol`.
    pub(crate) auth_protocol: Option<(u8, String)>,
    #[serde(default)]
    pub(crate) privileges: Vec<Template>,
    pub(crate) status_detail: Option<String>,
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
    /// An entity of this uid, taken from what the row captured.
    Captured {
        uid: Template,
        #[serde(rename = "type")]
        kind: String,
    },
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

impl Provider {
    /// Reads a table and checks that every name in it is known.
    fn parse(yaml: &str) -> Result<Self, String> {
        let mut table: Self = serde_yaml_ng::from_str(yaml).map_err(|error| error.to_string())?;
        for spec in table.entities.values_mut() {
            let at = std::mem::take(&mut spec.at);
            spec.below(&at);
        }
        if let Some(primary) = &mut table.primary {
            let spec = table
                .entities
                .get(&primary.entity)
                .ok_or_else(|| format!("table `{}`: no entity `{}`", table.id, primary.entity))?;
            for place in 0..PLACES {
                let mut at_place = spec.clone();
                at_place.below(&primary.list.join(&Path(vec![place.to_string()])));
                primary.places.push(at_place);
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
            self.check_names(derived.parts.iter().flat_map(Template::names), &[])?;
            if derived.parts.is_empty() && !self.facts.contains_key(&derived.from) {
                return Err(format!("`{name}` is derived from `{}`, which is no fact", derived.from));
            }
            self.check_names(derived.without_suffix.iter().flat_map(Template::names), &[])?;
        }
        self.check_names(self.message.iter().flat_map(Template::names), &[])?;
        for caption in
            self.user_types.values().chain(self.entities.values().filter_map(|e| e.user_type_with_email.as_ref()))
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
        let names = self.status.failure_in.iter().chain(&self.status.failure_facts).chain(&self.service);
        self.check_names(names.chain(self.absent.keys()).map(String::as_str), &[])?;
        self.actors.iter().try_for_each(|actor| self.check_entity(actor))?;
        for caption in self.entities.values().filter_map(|entity| entity.user_type.as_ref()) {
            SCHEMA.user_types.get(caption).ok_or_else(|| format!("`{caption}` is no type of user"))?;
        }
        self.rules.iter().chain(&self.otherwise).try_for_each(|rule| self.check_rule(rule))
    }

    fn check_rule(&self, rule: &Rule) -> Result<(), String> {
        for code in [rule.is, rule.or] {
            let class = SCHEMA.classes.get(&code.class).ok_or_else(|| format!("no class {}", code.class))?;
            class.activity(code.activity).ok_or_else(|| format!("no activity {} in {}", code.activity, class.name))?;
        }
        self.check_names(rule.when.keys().map(String::as_str), &[])?;
        let captured: Vec<&str> = rule.when.values().flat_map(|list| &list.0).flat_map(Pattern::names).collect();
        self.check_names(rule.privileges.iter().flat_map(Template::names), &captured)?;
        for chosen in [&rule.user, &rule.group, &rule.entity, &rule.web_resource, &rule.app].into_iter().flatten() {
            match chosen {
                Chosen::Captured { uid, .. } => self.check_names(uid.names(), &captured)?,
                Chosen::First(list) => list.0.iter().try_for_each(|one| self.check_entity(&one.entity))?,
            }
        }
        Ok(())
    }

    fn check_entity(&self, name: &str) -> Result<(), String> {
        let other = self.primary.as_ref().is_some_and(|primary| primary.others.contains_key(name));
        (other || self.entities.contains_key(name)).then_some(()).ok_or_else(|| format!("no entity `{name}`"))
    }

    fn check_names<'n>(&self, names: impl IntoIterator<Item = &'n str>, captured: &[&str]) -> Result<(), String> {
        for name in names {
            let entity = |(entity, field): (&str, &str)| {
                (self.entities.contains_key(entity) || (entity == "actor" && !self.actors.is_empty()))
                    && ["uid", "name", "email", "org", "type"].contains(&field)
            };
            let known = captured.contains(&name)
                || self.facts.contains_key(name)
                || self.derived.contains_key(name)
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
            assert!(provider.entities.contains_key("actor") || !provider.actors.is_empty(), "{}", provider.id);
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
