//! From a node to a typed value, with every error of it, not only the first.

use crate::{
    Diagnostic, Diagnostics, Entry, LoadOptions, Node, NodeId, Place, Span, State,
    decode_error::{DecodeError, Problem},
    deserializer::De,
    secret, suggest,
};
use headwater_contracts::from_file;
use serde::de::DeserializeOwned;
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

/// Decodes nodes. Remembers the secrets it has read, so that none is fetched twice.
pub struct Decoder<'a> {
    options: LoadOptions<'a>,
    secrets: RefCell<HashMap<NodeId, Result<String, String>>>,
    files: RefCell<BTreeSet<PathBuf>>,
    places: RefCell<Vec<Place>>,
}

/// What is decoded, for messages.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Such as "source `pactflow`".
    pub name: &'a str,
    /// Where to point for what is missing.
    pub span: &'a Span,
    /// Keys that must be there; those that the type demands are found anyway, one after the other.
    pub required: &'a [String],
    /// Keys that are missing because they were misspelt, which has been reported.
    pub misspelt: &'a [String],
}

impl<'a> Subject<'a> {
    /// Nothing is known about its keys.
    pub fn new(name: &'a str, span: &'a Span) -> Self {
        Self { name, span, required: &[], misspelt: &[] }
    }
}

impl<'a> Decoder<'a> {
    /// A decoder that reads secrets as `options` says.
    pub fn new(options: LoadOptions<'a>) -> Self {
        Self { options, secrets: RefCell::default(), files: RefCell::default(), places: RefCell::default() }
    }

    pub(crate) fn secret(&self, node: &Node) -> Result<String, String> {
        if let Some(known) = self.secrets.borrow().get(&node.id) {
            return known.clone();
        }
        let found = secret::resolve(node, &self.options);
        self.files.borrow_mut().extend(secret::file(node));
        self.secrets.borrow_mut().insert(node.id, found.clone());
        found
    }

    /// A path that `node` names, from the folder of its file; `kind` is one of [`from_file`]'s names.
    pub(crate) fn path(&self, node: &Node, written: &str, kind: &str) -> String {
        let path = |written: &str| node.span.file.resolve(Path::new(written));
        if written.is_empty() {
            return String::new();
        }
        match kind {
            from_file::TEMPLATE if Path::new(written).is_relative() => {
                // Percent signs of the folder are no placeholders.
                let folder = path("").to_string_lossy().replace('%', "%%");
                return Path::new(&folder).join(written).to_string_lossy().into_owned();
            }
            from_file::FILE => drop(self.files.borrow_mut().insert(path(written))),
            from_file::PLACE => {
                self.places.borrow_mut().push(Place { written: written.into(), path: path(written) });
            }
            _ => {}
        }
        path(written).to_string_lossy().into_owned()
    }

    /// Files that were read, or named to be read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().iter().cloned().collect()
    }

    /// What is written, the ledger among it.
    pub(crate) fn places(&self, state: &State) -> Vec<Place> {
        let mut places = self.places.borrow().clone();
        if let State::File { path } = state
            && places.iter().all(|place| place.path != *path)
        {
            places.push(Place { written: "./state".into(), path: path.clone() });
        }
        places
    }

    fn decode<T: DeserializeOwned>(&self, node: &Node, ignored: &HashSet<NodeId>) -> Result<T, DecodeError> {
        T::deserialize(De { node, decoder: self, ignored }).map_err(|error| error.or_at(node))
    }

    /// Decodes `node`, or reports all that is wrong with it: what is wrong is taken out, and the rest is tried again.
    /// What is then missing is not reported, for it was there.
    pub fn decode_all<T: DeserializeOwned>(
        &self,
        node: &Node,
        subject: Subject<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<T> {
        let mut ignored = HashSet::new();
        let mut typos: Vec<String> = subject.misspelt.to_vec();
        loop {
            let error = match self.decode(node, &ignored) {
                Ok(value) => {
                    let complete = missing_required(node, subject, &typos, diagnostics);
                    return Some(value).filter(|_| complete && ignored.is_empty());
                }
                Err(error) => error,
            };
            // `decode` always blames a node; a root that cannot be taken out ends the search.
            let blame = error.blame.clone()?;
            let at_root = blame.id == node.id;
            let report = match &error.problem {
                Problem::MissingKey(key) if at_root => {
                    missing_required(node, subject, &typos, diagnostics);
                    !taken_out(node, key, &ignored)
                        && !typos.iter().any(|typo| typo == key)
                        && !subject.required.iter().any(|required| required == key)
                }
                Problem::MissingKey(key) => {
                    let inner = node_by_id(node, blame.id);
                    !inner.is_some_and(|inner| taken_out(inner, key, &ignored)) && !typos.iter().any(|typo| typo == key)
                }
                Problem::UnknownKey { key, known } => {
                    typos.extend(suggest::closest(key, known.iter().copied()).map(ToOwned::to_owned));
                    true
                }
                _ => !blame.unset,
            };
            if report {
                diagnostics.push(diagnostic(node, &error, subject, if at_root { subject.span } else { &blame.span }));
            }
            if at_root || !ignored.insert(blame.id) {
                return None;
            }
        }
    }
}

/// Reports the required keys that are not there. Whether all are.
fn missing_required(node: &Node, subject: Subject<'_>, typos: &[String], diagnostics: &mut Diagnostics) -> bool {
    let missing: Vec<&String> = subject.required.iter().filter(|key| node.entry(key).is_none()).collect();
    for key in &missing {
        if !typos.contains(key) {
            diagnostics.push(missing_key(key, subject.name, subject.span));
        }
    }
    missing.is_empty()
}

/// A key that must be there and is not.
pub(crate) fn missing_key(key: &str, subject: &str, span: &Span) -> Diagnostic {
    Diagnostic::at(span, format!("missing key `{key}` in {subject}")).hint(format!("add `{key}: ..`"))
}

/// Whether the key is in the mapping and was taken out of it as wrong.
fn taken_out(node: &Node, key: &str, ignored: &HashSet<NodeId>) -> bool {
    node.entry(key).is_some_and(|entry| ignored.contains(&entry.id) || ignored.contains(&entry.value.id))
}

fn node_by_id(node: &Node, id: NodeId) -> Option<&Node> {
    if node.id == id {
        return Some(node);
    }
    let below = node.entries().iter().find_map(|entry| node_by_id(&entry.value, id));
    below.or_else(|| node.items().iter().find_map(|item| node_by_id(item, id)))
}

/// The way to the mapping that holds this key.
fn path_to_key(node: &Node, id: NodeId) -> Option<String> {
    if node.entries().iter().any(|entry: &Entry| entry.id == id) {
        return Some(String::new());
    }
    let join = |step: &str, rest: String| if rest.is_empty() { step.to_owned() } else { format!("{step}.{rest}") };
    let below = node.entries().iter().find_map(|entry| Some(join(&entry.key, path_to_key(&entry.value, id)?)));
    below.or_else(|| {
        node.items().iter().enumerate().find_map(|(index, item)| Some(join(&index.to_string(), path_to_key(item, id)?)))
    })
}

fn diagnostic(root: &Node, error: &DecodeError, subject: Subject<'_>, span: &Span) -> Diagnostic {
    let id = error.blame.as_ref().map(|blame| blame.id);
    let name = subject.name;
    let inside = |path: Option<String>| match path.filter(|path| !path.is_empty()) {
        Some(path) => format!("`{path}` of {name}"),
        None => name.to_owned(),
    };
    match &error.problem {
        Problem::UnknownKey { key, known } => {
            let place = inside(id.and_then(|id| path_to_key(root, id)));
            Diagnostic::at(span, format!("unknown key `{key}` in {place}"))
                .maybe_hint(suggest::hint(key, "keys", known))
        }
        Problem::MissingKey(key) => missing_key(key, &inside(id.and_then(|id| root.path_to(id))), span),
        Problem::UnknownValue { value, known } => {
            let place = inside(id.and_then(|id| root.path_to(id)));
            Diagnostic::at(span, format!("unknown value `{value}` for {place}"))
                .maybe_hint(suggest::hint(value, "values", known))
        }
        Problem::Other(text) => value_problem(span, &inside(id.and_then(|id| root.path_to(id))), text),
    }
}

/// `problem` about `place`; what it says on what to write instead becomes the hint.
pub(crate) fn value_problem(span: &Span, place: &str, problem: &str) -> Diagnostic {
    match problem.split_once(": write ") {
        Some((problem, advice)) => Diagnostic::at(span, format!("{place}: {problem}")).hint(format!("write {advice}")),
        None => Diagnostic::at(span, format!("{place}: {problem}")),
    }
}
