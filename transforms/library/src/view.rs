//! The raw event as a mapping table sees it: named facts, and entities with uid, name, e-mail, organization, type.

use crate::attributes::is_email;
use crate::pattern::{Captures, Template, same_word};
use crate::table::{Chosen, EntitySpec, Path, Provider, Rule, Selector};
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
    /// The caption of its type of user where the source does not say.
    pub(crate) user_type: Option<&'static str>,
    /// A type of user that is in no list of captions.
    pub(crate) own_type: Option<&'static str>,
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
    /// The application that acted for the actor.
    pub(crate) app: Option<Entity<'e>>,
    /// Leaves of facts that the event code shows, and of those that say the same, or that there is none.
    pub(crate) same: Vec<&'static [String]>,
}

impl<'e> View<'e> {
    /// Reads what the table names, and finds the row that matches.
    pub(crate) fn read(table: &'static Provider, raw: &'e ObjectMap) -> Self {
        let Some(primary) = &table.primary else { return Self::read_at(table, raw, None) };
        let kinds: Vec<Option<String>> = primary
            .places
            .iter()
            .map_while(|spec| {
                let there = entity(spec, raw);
                let any = there.leaves().iter().any(Option::is_some);
                any.then(|| there.kind.map(|kind| kind.text.into_owned()))
            })
            .collect();
        let is = |kind: &Option<String>, wanted: &String| kind.as_ref().is_some_and(|kind| same_word(wanted, kind));
        let preferred =
            |place: &usize| kinds.get(*place).is_some_and(|kind| primary.prefer.iter().any(|one| is(kind, one)));
        let (first, rest): (Vec<usize>, Vec<usize>) = (0..kinds.len()).partition(preferred);
        let places: Vec<usize> = first.into_iter().chain(rest).collect();
        let at = |place: usize| {
            let mut view = Self::read_at(table, raw, Some(place));
            for (name, wanted) in &primary.others {
                let other = (0..kinds.len())
                    .find(|other| *other != place && kinds.get(*other).is_some_and(|kind| is(kind, wanted)));
                if let Some(spec) = other.and_then(|other| primary.places.get(other)) {
                    view.entities.push((name, entity(spec, raw)));
                }
            }
            view
        };
        // Most events have one object.
        if let [only] = places[..] {
            return at(only);
        }
        places
            .iter()
            .map(|place| at(*place))
            .find(|view| view.row(table).0.is_some())
            .unwrap_or_else(|| if kinds.is_empty() { Self::read_at(table, raw, None) } else { at(0) })
    }

    fn read_at(table: &'static Provider, raw: &'e ObjectMap, place: Option<usize>) -> Self {
        let mut view = Self {
            facts: Vec::with_capacity(16),
            entities: Vec::with_capacity(table.entities.len()),
            app: None,
            same: Vec::new(),
        };
        for (name, spec) in &table.entities {
            let primary = table.primary.as_ref().filter(|primary| primary.entity == *name);
            let spec = match primary {
                Some(primary) => place.and_then(|place| primary.places.get(place)),
                None => Some(spec),
            };
            if let Some(spec) = spec {
                view.entities.push((name, entity(spec, raw)));
            }
        }
        let known = |name: &String| view.entity(name).filter(|entity| entity.is_known()).cloned();
        let actors: Vec<Entity<'e>> = table.actors.iter().filter_map(known).collect();
        let mut actors = actors.into_iter();
        if let Some(actor) = actors.next() {
            view.app = actors.next();
            view.entities.push(("actor", actor));
        }
        for (name, paths) in &table.facts {
            let absent = table.absent.get(name);
            let mut found: Option<Leaf<'e>> = None;
            for leaf in paths.0.iter().filter_map(|path| leaf(raw, path)) {
                let says_nothing = absent.is_some_and(|absent| same_word(absent, &leaf.text));
                match &found {
                    None if !says_nothing => found = Some(leaf),
                    Some(first) if !says_nothing && first.text != leaf.text => {}
                    _ => view.same.extend(leaf.path.filter(|_| absent.is_some())),
                }
            }
            if let Some(leaf) = found {
                view.same.extend(leaf.path.filter(|_| absent.is_some()));
                view.facts.push((name, leaf));
            }
        }
        for (name, derived) in &table.derived {
            if !derived.parts.is_empty() {
                let mut text = String::new();
                let lookup = |name: &str| view.lookup(name);
                let mut parts = derived.parts.iter();
                if parts.next().is_some_and(|first| first.fill(&mut text, lookup)) {
                    for part in parts {
                        part.fill(&mut text, lookup);
                    }
                    view.facts.push((name, Leaf { text: Cow::Owned(text), path: None }));
                }
                continue;
            }
            let text = view.lookup(&derived.from).and_then(|text| {
                let text = derived.before_first.as_deref().map_or(text, |mark| text.split(mark).next().unwrap_or(text));
                let text = derived.after_last.as_deref().map_or(text, |mark| text.rsplit(mark).next().unwrap_or(text));
                match &derived.without_suffix {
                    Some(suffix) => without_suffix(&view, text, suffix).or(derived.or_whole.then_some(text)),
                    None => Some(text),
                }
            });
            if let Some(text) = text.filter(|text| !text.is_empty()).map(str::to_owned) {
                view.facts.push((name, Leaf { text: Cow::Owned(text), path: None }));
            }
        }
        // The event code shows them; without one they stay among the unmapped.
        if view.fact("event_code").is_none() {
            view.same.clear();
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
            Chosen::Captured { uid, kind } => {
                let uid = self.fill(uid, captures)?;
                Some(Entity { uid: derived(uid.into()), kind: derived(kind.as_str().into()), ..Entity::default() })
            }
            Chosen::First(selectors) => selectors.0.iter().find_map(|selector| self.select(selector)).cloned(),
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
        name: read(&spec.name),
        org: read(&spec.org),
        kind: read(&spec.kind),
        user_type: email.as_ref().and(spec.user_type_with_email.as_deref()).or(spec.user_type.as_deref()),
        own_type: read(&spec.name)
            .and_then(|name| spec.user_type_names.iter().find(|own| **own == name.text).map(String::as_str)),
        tags: spec.tags.iter().filter_map(|(tag, path)| Some((tag.as_str(), leaf(raw, path)?))).collect(),
        email,
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

fn leaf<'e>(raw: &'e ObjectMap, path: &'static Path) -> Option<Leaf<'e>> {
    Some(Leaf { text: text(at(raw, &path.0)?)?, path: Some(&path.0) })
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
