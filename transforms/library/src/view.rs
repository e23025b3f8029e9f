//! The raw event as a mapping table sees it: named facts, and entities with uid, name, e-mail, organization, type.

use crate::attributes::is_email;
use crate::pattern::{Captures, Template};
use crate::table::{Chosen, Derived, EntitySpec, Path, Provider, Rule, Selector};
use std::borrow::Cow;
use vrl::value::{ObjectMap, Value};

/// A scalar of the raw event, as text.
#[derive(Debug, Clone)]
pub(crate) struct Leaf<'e> {
    pub(crate) text: Cow<'e, str>,
    /// Where it stands; `None` if it is derived from something that is shown elsewhere.
    pub(crate) path: Option<&'static [String]>,
}

/// A person, group or thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entity<'e> {
    pub(crate) uid: Option<Leaf<'e>>,
    pub(crate) name: Option<Leaf<'e>>,
    /// Only an address that the schema accepts.
    pub(crate) email: Option<Leaf<'e>>,
    pub(crate) org: Option<Leaf<'e>>,
    pub(crate) kind: Option<Leaf<'e>>,
    /// Parts of the full name.
    pub(crate) full_name: Vec<Leaf<'e>>,
    /// The caption of its type of user where the source does not say.
    pub(crate) user_type: Option<&'static str>,
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

    /// All its leaves, in a fixed order.
    pub(crate) fn leaves(&self) -> [Option<&Leaf<'e>>; 5] {
        [self.uid.as_ref(), self.name.as_ref(), self.email.as_ref(), self.org.as_ref(), self.kind.as_ref()]
    }
}

/// The raw event through the table of its provider.
#[derive(Debug)]
pub(crate) struct View<'e> {
    facts: Vec<(&'static str, Leaf<'e>)>,
    entities: Vec<(&'static str, Entity<'e>)>,
}

impl<'e> View<'e> {
    /// Reads what the table names.
    pub(crate) fn read(table: &'static Provider, raw: &'e ObjectMap) -> Self {
        let mut view = Self { facts: Vec::with_capacity(16), entities: Vec::with_capacity(table.entities.len()) };
        for (name, spec) in &table.entities {
            view.entities.push((name, entity(spec, raw)));
        }
        for (name, paths) in &table.facts {
            if let Some(leaf) = paths.0.iter().find_map(|path| leaf(raw, path)) {
                view.facts.push((name, leaf));
            }
        }
        for (name, derived) in &table.derived {
            let text = view.lookup(&derived.from).and_then(|text| derived_text(&view, derived, text));
            if let Some(text) = text.filter(|text| !text.is_empty()).map(str::to_owned) {
                let path = view.fact(&derived.from).filter(|_| derived.shows_fact).and_then(|fact| fact.path);
                view.facts.push((name, Leaf { text: Cow::Owned(text), path }));
            }
        }
        for (name, template) in &table.composed {
            if view.fact(name).is_none()
                && let Some(text) = view.fill(template, &Captures::new())
            {
                view.facts.push((name, Leaf { text: Cow::Owned(text), path: None }));
            }
        }
        for (name, spec) in &table.entities {
            let Some(kind) = spec.type_from.as_deref().and_then(|fact| view.lookup(fact)).map(str::to_owned) else {
                continue;
            };
            if let Some((_, entity)) = view.entities.iter_mut().find(|(known, _)| known == name) {
                entity.kind = Some(Leaf { text: Cow::Owned(kind), path: None });
            }
        }
        view
    }

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
        let derived = |text: Cow<'e, str>| Some(Leaf { text, path: None });
        match chosen {
            Chosen::Captured { first, uid, name, kind } => {
                let captured = |template: &Option<Template>| {
                    template.as_ref().and_then(|one| self.fill(one, captures)).and_then(|text| derived(text.into()))
                };
                let known = first.0.iter().find_map(|selector| self.select(selector)).cloned().unwrap_or_default();
                let uid = known.uid.clone().or_else(|| captured(uid));
                let name = known.name.clone().or_else(|| captured(name));
                let entity = Entity { uid, name, kind: derived(kind.as_str().into()), ..known };
                entity.is_known().then_some(entity)
            }
            Chosen::First(selectors) => selectors.0.iter().find_map(|selector| self.select(selector)).cloned(),
        }
    }

    fn select(&self, selector: &Selector) -> Option<&Entity<'e>> {
        let entity = self.entity(&selector.entity).filter(|entity| entity.is_known())?;
        let of_kind = selector.kind.as_ref().is_none_or(|wanted| {
            entity.kind.as_ref().is_some_and(|kind| crate::pattern::same_word(wanted, &kind.text))
        });
        of_kind.then_some(entity)
    }
}

/// The part of a fact's text that `derived` names.
fn derived_text<'v>(view: &View<'_>, derived: &Derived, text: &'v str) -> Option<&'v str> {
    let mut text = text;
    if let Some(mark) = &derived.after_first {
        text = text.split_once(mark.as_str())?.1;
    }
    if !derived.after_word.is_empty() {
        let (word, rest) = text.trim_ascii().split_once(' ')?;
        derived.after_word.iter().find(|one| one.eq_ignore_ascii_case(word))?;
        text = rest.trim_ascii();
    }
    let text = derived.before_first.as_deref().map_or(text, |mark| text.split(mark).next().unwrap_or(text));
    let text = derived.after_last.as_deref().map_or(text, |mark| text.rsplit(mark).next().unwrap_or(text));
    match &derived.without_suffix {
        Some(suffix) => without_suffix(view, text, suffix),
        None => Some(text),
    }
}

fn without_suffix<'v>(view: &View<'_>, text: &'v str, suffix: &Template) -> Option<&'v str> {
    let suffix = view.fill(suffix, &Captures::new())?;
    let at = text.len().checked_sub(suffix.len())?;
    let (stem, end) = (text.get(..at)?, text.get(at..)?);
    end.eq_ignore_ascii_case(&suffix).then_some(stem)
}

fn entity<'e>(spec: &'static EntitySpec, raw: &'e ObjectMap) -> Entity<'e> {
    let read = |path: &'static Option<Path>| path.as_ref().and_then(|path| leaf(raw, path));
    let email = read(&spec.email).filter(|leaf| is_email(&leaf.text));
    Entity {
        uid: read(&spec.uid),
        name: spec.name.as_ref().and_then(|list| list.0.iter().find_map(|path| leaf(raw, path))),
        full_name: spec.full_name.iter().filter_map(|path| leaf(raw, path)).collect(),
        org: read(&spec.org),
        kind: read(&spec.kind),
        user_type: email.as_ref().and(spec.user_type_with_email.as_deref()).or(spec.user_type.as_deref()),
        email,
    }
}

pub(crate) fn leaf<'e>(raw: &'e ObjectMap, path: &'static Path) -> Option<Leaf<'e>> {
    let (last, above) = path.0.split_last()?;
    let mut map = raw;
    for step in above {
        match map.get(step.as_str())? {
            Value::Object(below) => map = below,
            _ => return None,
        }
    }
    Some(Leaf { text: text(map.get(last.as_str())?)?, path: Some(&path.0) })
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
