//! Reads what a table names out of a raw event.

use super::{Entity, Leaf, View, at, text};
use crate::attributes::is_email;
use crate::pattern::{Captures, Template, same_word};
use crate::table::{Derived, EntitySpec, Path, Primary, Provider};
use std::borrow::Cow;
use vrl::value::{ObjectMap, Value};

impl<'e> View<'e> {
    /// Reads what the table names. Of a list of entities, takes the one that the event is about.
    pub(crate) fn read(table: &'static Provider, raw: &'e ObjectMap) -> Self {
        let Some(primary) = &table.primary else { return Self::read_at(table, raw, None) };
        let there: Vec<Entity<'e>> = primary
            .places
            .iter()
            .map(|spec| entity(spec, raw))
            .take_while(|entity| entity.leaves().iter().any(Option::is_some))
            .collect();
        let places = in_order(primary, &there);
        let view = |place: usize| {
            let mut view = Self::read_at(table, raw, there.get(place));
            let others = there.iter().enumerate().filter(|(other, _)| *other != place);
            view.further = others.map(|(_, other)| other.clone()).collect();
            for (name, wanted) in &primary.others {
                if let Some(other) = view.further.iter().find(|other| is_of(other, wanted)) {
                    view.entities.push((name, other.clone()));
                }
            }
            view
        };
        match places[..] {
            [] => Self::read_at(table, raw, None),
            // Most events have one: no need to look for its row twice.
            [only] => view(only),
            _ => places
                .iter()
                .map(|place| view(*place))
                .find(|view| view.row(table).0.is_some())
                .unwrap_or_else(|| view(0)),
        }
    }

    fn read_at(table: &'static Provider, raw: &'e ObjectMap, primary: Option<&Entity<'e>>) -> Self {
        let mut view = Self {
            facts: Vec::with_capacity(16),
            entities: Vec::with_capacity(table.entities.len() + 2),
            further: Vec::new(),
        };
        for (name, spec) in &table.entities {
            if table.primary.as_ref().is_some_and(|primary| primary.entity == *name) {
                view.entities.extend(primary.map(|entity| (name.as_str(), entity.clone())));
            } else {
                view.entities.push((name, entity(spec, raw)));
            }
        }
        view.read_facts(table, raw);
        view.derive(table);
        view.show(table, raw);
        view.tell_types(table);
        view.find_actor(table);
        view
    }

    fn read_facts(&mut self, table: &'static Provider, raw: &'e ObjectMap) {
        for (name, paths) in &table.facts {
            let none = table.no_fact.get(name).map_or(&[][..], |words| &words.0);
            let counts = |leaf: &Leaf<'_>| !none.iter().any(|word| same_word(word, &leaf.text));
            if let Some(leaf) = paths.0.iter().find_map(|path| leaf(raw, path).filter(counts)) {
                self.facts.push((name, leaf));
            }
        }
        for (name, path) in &table.flags {
            if let Some(Value::Boolean(flag)) = at(raw, &path.0) {
                let text = Cow::Borrowed(if *flag { "true" } else { "false" });
                self.facts.push((name, Leaf { text, path: Some(&path.0), also: Vec::new() }));
            }
        }
    }

    fn derive(&mut self, table: &'static Provider) {
        for (name, derived) in &table.derived {
            let text = self.lookup(&derived.from).and_then(|text| derived_text(self, derived, text));
            if let Some(text) = text.filter(|text| !text.is_empty()).map(str::to_owned) {
                self.facts.push((name, Leaf::derived(text)));
            }
        }
        for (name, parts) in &table.composed {
            if self.fact(name).is_none()
                && let Some(text) = Template::join(&parts.0, |name| self.lookup(name))
            {
                self.facts.push((name, Leaf::derived(text)));
            }
        }
    }

    /// What is shown where a derived text is.
    fn show(&mut self, table: &'static Provider, raw: &'e ObjectMap) {
        for (name, by) in &table.shown_by {
            let told = self.fact(name).map(|fact| fact.text.clone());
            let none = table.no_fact.get(name).map_or(&[][..], |words| &words.0);
            // Two paths may say the same, or that there is nothing to show.
            let says_so = |leaf: &Leaf<'_>| {
                told.as_ref().is_some_and(|told| *told == leaf.text)
                    || none.iter().any(|word| same_word(word, &leaf.text))
            };
            let paths = table.facts.get(name).map_or(&[][..], |paths| &paths.0);
            let shown = paths.iter().filter_map(|path| leaf(raw, path)).filter(says_so).filter_map(|leaf| leaf.path);
            if let Some((_, leaf)) = self.facts.iter_mut().find(|(known, _)| known == by) {
                leaf.also.extend(shown);
            }
        }
    }

    /// Types that another text tells.
    fn tell_types(&mut self, table: &'static Provider) {
        for (name, spec) in &table.entities {
            let Some(by) = &spec.type_by else { continue };
            let told = self.lookup(&by.fact).and_then(|told| {
                let word = by.words.iter().find(|(word, _)| same_word(word, told));
                word.map(|(_, kind)| kind.as_str()).or(by.words.is_empty().then_some(told))
            });
            if let Some(told) = told.map(str::to_owned)
                && let Some((_, entity)) = self.entities.iter_mut().find(|(known, _)| known == name)
            {
                entity.kind.get_or_insert(Leaf::derived(told));
            }
        }
    }

    /// The actor, where it may be one entity or another, and what it acted through.
    fn find_actor(&mut self, table: &'static Provider) {
        let known = |name: &String| self.entity(name).filter(|entity| entity.is_known()).cloned();
        let found: Vec<Entity<'e>> = table.actors.iter().filter_map(known).collect();
        self.entities.extend(["actor", "app"].into_iter().zip(found));
    }
}

/// The places of the list, those of preferred types first.
fn in_order(primary: &Primary, there: &[Entity<'_>]) -> Vec<usize> {
    let preferred = |place: &usize| {
        there.get(*place).is_some_and(|entity| primary.prefer.iter().any(|wanted| is_of(entity, wanted)))
    };
    let (mut first, rest): (Vec<usize>, Vec<usize>) = (0..there.len()).partition(preferred);
    first.extend(rest);
    first
}

fn is_of(entity: &Entity<'_>, wanted: &str) -> bool {
    entity.kind.as_ref().is_some_and(|kind| same_word(wanted, &kind.text))
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
        Some(suffix) => without_suffix(view, text, suffix).or(derived.or_whole.then_some(text)),
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
        name: spec.name.0.iter().find_map(|path| leaf(raw, path)),
        full_name: spec.full_name.iter().filter_map(|path| leaf(raw, path)).collect(),
        org: read(&spec.org),
        kind: read(&spec.kind),
        user_type: email.as_ref().and(spec.user_type_with_email.as_deref()).or(spec.user_type.as_deref()),
        tags: spec.tags.iter().filter_map(|(tag, path)| Some((tag.as_str(), leaf(raw, path)?))).collect(),
        email,
    }
}

fn leaf<'e>(raw: &'e ObjectMap, path: &'static Path) -> Option<Leaf<'e>> {
    Some(Leaf { text: text(at(raw, &path.0)?)?, path: Some(&path.0), also: Vec::new() })
}
