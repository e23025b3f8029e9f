//! The raw event as a mapping table sees it: named facts, and entities with uid, name, e-mail, organization, type.

mod read;

use crate::pattern::{Captures, Template, same_word};
use crate::table::{Chosen, Provider, Rule, Selector};
use std::borrow::Cow;
use vrl::value::{ObjectMap, Value};

/// A scalar of the raw event, as text.
#[derive(Debug, Clone)]
pub(crate) struct Leaf<'e> {
    pub(crate) text: Cow<'e, str>,
    /// Where it stands; `None` if it is derived from something that is shown elsewhere.
    pub(crate) path: Option<&'static [String]>,
    /// Further leaves that are shown where this one is.
    pub(crate) also: Vec<&'static [String]>,
}

impl<'e> Leaf<'e> {
    /// A text that stands nowhere in the event.
    pub(crate) fn derived(text: impl Into<Cow<'e, str>>) -> Self {
        Self { text: text.into(), path: None, also: Vec::new() }
    }
}

/// A person, group or thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entity<'e> {
    pub(crate) uid: Option<Leaf<'e>>,
    pub(crate) name: Option<Leaf<'e>>,
    /// Parts of the full name.
    pub(crate) full_name: Vec<Leaf<'e>>,
    /// Only an address that the schema accepts.
    pub(crate) email: Option<Leaf<'e>>,
    pub(crate) org: Option<Leaf<'e>>,
    pub(crate) kind: Option<Leaf<'e>>,
    /// The caption of its type of user where the source does not say.
    pub(crate) user_type: Option<&'static str>,
    /// Tags by name.
    pub(crate) tags: Vec<(&'static str, Leaf<'e>)>,
}

impl<'e> Entity<'e> {
    /// An e-mail address without a name is also the name.
    pub(crate) fn name(&self) -> Option<&Leaf<'e>> {
        self.name.as_ref().or(self.email.as_ref())
    }

    /// Whether it can be told from others.
    pub(crate) fn is_known(&self) -> bool {
        self.uid.is_some() || self.name().is_some()
    }

    /// All its leaves that a user has one of, in a fixed order.
    pub(crate) fn leaves(&self) -> [Option<&Leaf<'e>>; 5] {
        [self.uid.as_ref(), self.name.as_ref(), self.email.as_ref(), self.org.as_ref(), self.kind.as_ref()]
    }
}

/// The raw event through the table of its provider.
#[derive(Debug)]
pub(crate) struct View<'e> {
    facts: Vec<(&'static str, Leaf<'e>)>,
    entities: Vec<(&'static str, Entity<'e>)>,
    /// What stands beside the entity that the event is about, in the same list.
    pub(crate) further: Vec<Entity<'e>>,
}

impl<'e> View<'e> {
    /// The fact `name`.
    pub(crate) fn fact(&self, name: &str) -> Option<&Leaf<'e>> {
        self.facts.iter().find(|(known, _)| *known == name).map(|(_, leaf)| leaf)
    }

    /// The entity `name`.
    pub(crate) fn entity(&self, name: &str) -> Option<&Entity<'e>> {
        self.entities.iter().find(|(known, _)| *known == name).map(|(_, entity)| entity)
    }

    /// All entities.
    pub(crate) fn entities(&self) -> impl Iterator<Item = &Entity<'e>> {
        self.entities.iter().map(|(_, entity)| entity)
    }

    /// The text of a fact, `operation`, or of an entity's field, `affected.type`.
    pub(crate) fn lookup(&self, name: &str) -> Option<&str> {
        if let Some(leaf) = self.fact(name) {
            return Some(&leaf.text);
        }
        let (entity, field) = name.split_once('.')?;
        let entity = self.entity(entity)?;
        let leaf = match field {
            "uid" => entity.uid.as_ref(),
            "name" => entity.name(),
            "email" => entity.email.as_ref(),
            "org" => entity.org.as_ref(),
            "type" => entity.kind.as_ref(),
            _ => None,
        };
        leaf.map(|leaf| leaf.text.as_ref())
    }

    /// The first row of `table` that matches, and what it captured.
    pub(crate) fn row(&self, table: &'static Provider) -> (Option<&'static Rule>, Captures<'static, '_>) {
        let subjects: Vec<Option<&str>> = table.subjects.iter().map(|name| self.lookup(name)).collect();
        let mut captures = Captures::new();
        for rule in &table.rules {
            captures.clear();
            let all = rule.conditions.iter().all(|(subject, patterns)| {
                subjects[*subject].is_some_and(|text| patterns.iter().any(|one| one.matches(text, &mut captures)))
            });
            if all {
                return (Some(rule), captures);
            }
        }
        captures.clear();
        (None, captures)
    }

    /// `template` filled with captures, facts and fields; `None` if something it names is not there.
    pub(crate) fn fill(&self, template: &Template, captures: &Captures<'_, '_>) -> Option<String> {
        let mut text = String::new();
        let captured = |name: &str| captures.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        template.fill(&mut text, |name| captured(name).or_else(|| self.lookup(name))).then_some(text)
    }

    /// The entity that a row chooses, if it can be told from others.
    pub(crate) fn choose(&self, chosen: &'static Chosen, captures: &Captures<'_, '_>) -> Option<Entity<'e>> {
        let first = |selectors: &[Selector]| selectors.iter().find_map(|selector| self.select(selector)).cloned();
        match chosen {
            Chosen::First(selectors) => first(&selectors.0),
            Chosen::Made(made) => {
                let captured = |template: &Option<Template>| {
                    template.as_ref().and_then(|one| self.fill(one, captures)).map(Leaf::derived)
                };
                let known = first(&made.from.0).unwrap_or_default();
                let uid = known.uid.clone().or_else(|| captured(&made.uid));
                let name = known.name.clone().or_else(|| captured(&made.name));
                let entity = Entity { uid, name, kind: Some(Leaf::derived(made.kind.as_str())), ..known };
                entity.is_known().then_some(entity)
            }
        }
    }

    fn select(&self, selector: &Selector) -> Option<&Entity<'e>> {
        let entity = self.entity(&selector.entity).filter(|entity| entity.is_known())?;
        let of_kind = selector
            .kind
            .as_ref()
            .is_none_or(|wanted| entity.kind.as_ref().is_some_and(|kind| same_word(wanted, &kind.text)));
        of_kind.then_some(entity)
    }
}

/// What stands at a path.
pub(crate) fn at<'e>(raw: &'e ObjectMap, path: &[String]) -> Option<&'e Value> {
    let (first, below) = path.split_first()?;
    below.iter().try_fold(raw.get(first.as_str())?, |value, step| match value {
        Value::Object(map) => map.get(step.as_str()),
        Value::Array(items) => items.get(index(items, step)?),
        _ => None,
    })
}

/// The element that a step of a path names: its number, or `[only]` if there is no other.
pub(crate) fn index(items: &[Value], step: &str) -> Option<usize> {
    if step == "[only]" { (items.len() == 1).then_some(0) } else { step.parse().ok() }
}

/// A scalar as text: strings verbatim, numbers in decimal. Not empty ones, and not true or false, which identify nothing.
pub(crate) fn text(value: &Value) -> Option<Cow<'_, str>> {
    let text: Cow<'_, str> = match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Bytes(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
        Value::Integer(number) => number.to_string().into(),
        Value::Float(number) => number.to_string().into(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}
