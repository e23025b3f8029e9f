//! From a node to a typed value, with every error of it, not only the first.

use crate::{
    Content, Diagnostic, Diagnostics, Entry, LoadOptions, Node, NodeId, Place, SIMULATED, Span, State, address,
    conceal,
    decode_error::{DecodeError, Problem, WrongType},
    deserializer::De,
    environment::set_and_empty,
    example,
    interpolate::empty_names,
    registry::generator,
    secret::{self, Remark},
    suggest,
};
use headwater_contracts::from_file;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
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
    /// What is odd about the secrets read last, and where.
    remarks: RefCell<Vec<(NodeId, Remark)>>,
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
        let (secrets, files, places, remarks) = Default::default();
        Self { options, secrets, files, places, remarks }
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

    /// Looks at the text of a secret: it may be none, or an odd one.
    pub(crate) fn look(&self, node: &Node, text: &str) -> Result<(), String> {
        let remarks = secret::look(text)?;
        self.remarks.borrow_mut().extend(remarks.into_iter().map(|remark| (node.id, remark)));
        Ok(())
    }

    fn decode<T: DeserializeOwned>(&self, node: &Node, ignored: &HashSet<NodeId>) -> Result<T, DecodeError> {
        self.remarks.borrow_mut().clear();
        T::deserialize(De { node, decoder: self, ignored }).map_err(|error| error.or_at(node))
    }

    /// Reports what is odd about the secrets that the last decoding has read.
    fn report_remarks(&self, node: &Node, subject: Subject<'_>, diagnostics: &mut Diagnostics) {
        for (id, remark) in self.remarks.borrow().iter() {
            let (Some(path), Some(secret)) = (node.path_to(*id), node_by_id(node, *id)) else { continue };
            // A header's value is sent as it is.
            if *remark == Remark::Scheme && path.split('.').any(|key| key == "headers") {
                continue;
            }
            let place = if path.is_empty() { subject.name.to_owned() } else { format!("`{path}` of {}", subject.name) };
            let (problem, hint) = remark.words();
            diagnostics.push(Diagnostic::at(&secret.span, format!("{place} {problem}")).hint(hint).warning());
        }
    }

    /// Decodes `node`, or reports all that is wrong with it: what is wrong is taken out, and the rest is tried again.
    /// What is then missing is not reported, for it was there. What stands in for a variable is made to fit.
    pub fn decode_all<T: DeserializeOwned + JsonSchema>(
        &self,
        node: &Node,
        subject: Subject<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<T> {
        let schema = generator().into_root_schema_for::<T>().to_value();
        for secret in conceal::secrets(node, &schema) {
            diagnostics.hide(&secret);
        }
        let mut fitted = node.clone();
        let mut tried = HashSet::new();
        let mut ignored = HashSet::new();
        let mut typos: Vec<String> = subject.misspelt.to_vec();
        loop {
            let node = &fitted;
            let error = match self.decode(node, &ignored) {
                Ok(value) => {
                    self.report_remarks(node, subject, diagnostics);
                    let complete = missing_required(node, subject, &typos, diagnostics);
                    return Some(value).filter(|_| complete && ignored.is_empty());
                }
                Err(error) => error,
            };
            // `decode` always blames a node; a root that cannot be taken out ends the search.
            let blame = error.blame.clone()?;
            if tried.insert(blame.id) && self.fit(&mut fitted, blame.id, &schema) {
                continue;
            }
            let node = &fitted;
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
                let span = if at_root { subject.span } else { &blame.span };
                diagnostics.push(diagnostic(node, &error, subject, span, &schema));
            }
            if at_root || !ignored.insert(blame.id) {
                return None;
            }
        }
    }

    /// Puts something in that the option takes, where what is wrong stands in for a variable that is not set, or is empty. Whether
    /// it did.
    fn fit(&self, root: &mut Node, id: NodeId, schema: &Value) -> bool {
        let Some(path) = root.path_to(id) else { return false };
        let Some(part) = example::find(schema, &path) else { return false };
        let text = if example::is_url(schema, part) {
            format!("https://{SIMULATED}.example")
        } else {
            example::show(schema, part)
        };
        let Some(node) = node_by_id_mut(root, id) else { return false };
        match &mut node.content {
            Content::Scalar(scalar) if scalar.stand_in => {
                for name in empty_names(scalar, &self.options) {
                    self.options.environment.missing(&set_and_empty(&name));
                }
                scalar.text = text;
                scalar.plain = true;
                true
            }
            _ => false,
        }
    }
}

fn node_by_id_mut(node: &mut Node, id: NodeId) -> Option<&mut Node> {
    if node.id == id {
        return Some(node);
    }
    match &mut node.content {
        Content::Mapping(entries) => entries.iter_mut().find_map(|entry| node_by_id_mut(&mut entry.value, id)),
        Content::Sequence(items) => items.iter_mut().find_map(|item| node_by_id_mut(item, id)),
        Content::Scalar(_) => None,
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

fn diagnostic(root: &Node, error: &DecodeError, subject: Subject<'_>, span: &Span, schema: &Value) -> Diagnostic {
    let id = error.blame.as_ref().map(|blame| blame.id);
    let name = subject.name;
    let inside = |path: Option<&str>| match path.filter(|path| !path.is_empty()) {
        Some(path) => format!("`{path}` of {name}"),
        None => name.to_owned(),
    };
    let path = id.and_then(|id| root.path_to(id));
    let place = inside(path.as_deref());
    match &error.problem {
        Problem::UnknownKey { key, known } => {
            let place = inside(id.and_then(|id| path_to_key(root, id)).as_deref());
            Diagnostic::at(span, format!("unknown key `{key}` in {place}"))
                .maybe_hint(suggest::hint(key, "keys", known))
        }
        Problem::MissingKey(key) => missing_key(key, &place, span),
        Problem::UnknownValue { value, known } => {
            let parent = id.and_then(|id| path_to_key(root, id));
            // As another tool nests it: `encoding: { codec: json }`.
            if let Some((parent, key)) = parent
                .filter(|_| suggest::closest(value, known.iter().copied()).is_none())
                .as_deref()
                .and_then(|path| Some((path, path.rsplit('.').next()?)))
            {
                let inner = root.find(parent).0.get(value).and_then(Node::text);
                let name = inner.and_then(|inner| known.iter().find(|name| **name == inner)).or(known.first());
                let problem = format!("{}: expected a name, found a mapping", inside(Some(parent)));
                let listed = known.join(", ");
                return Diagnostic::at(span, problem)
                    .maybe_hint(name.map(|name| format!("write `{key}: {name}` (values: {listed})")));
            }
            Diagnostic::at(span, format!("unknown value `{value}` for {place}"))
                .maybe_hint(suggest::hint(value, "values", known))
        }
        Problem::WrongType(WrongType { wanted, found, quoted }) => {
            let problem = Diagnostic::at(span, format!("{place}: expected {wanted}, found {found}"));
            if *quoted { problem.hint("remove the quotes") } else { problem.maybe_hint(shape(schema, path.as_deref())) }
        }
        Problem::Other(text) => {
            let part = example::find(schema, path.as_deref().unwrap_or_default());
            let scalar = id.and_then(|id| node_by_id(root, id)).and_then(Node::scalar);
            match (part, scalar) {
                (Some(part), Some(scalar)) if example::is_url(schema, part) => {
                    let (problem, hint) = address::problem(scalar, &example::show(schema, part));
                    Diagnostic::at(span, format!("{place}: {problem}")).hint(hint)
                }
                _ => value_problem(span, &place, text),
            }
        }
    }
}

/// What the option at `path` looks like, where that is more than a number or a word.
fn shape(schema: &Value, path: Option<&str>) -> Option<String> {
    let path = path?;
    let part = example::find(schema, path).filter(|part| example::is_shape(schema, part))?;
    let key = path.rsplit('.').find(|step| step.parse::<usize>().is_err()).filter(|key| !key.is_empty());
    let in_list = path.rsplit('.').next().is_some_and(|step| step.parse::<usize>().is_ok());
    let shown = example::show(schema, part);
    Some(match key {
        Some(key) if !in_list => format!("write `{key}: {shown}`"),
        _ => format!("write `{shown}`"),
    })
}

/// `problem` about `place`; what it says on what to write instead becomes the hint.
pub(crate) fn value_problem(span: &Span, place: &str, problem: &str) -> Diagnostic {
    let cut = [": write ", "; write "].into_iter().find_map(|word| problem.split_once(word));
    match cut {
        Some((problem, advice)) => Diagnostic::at(span, format!("{place}: {problem}")).hint(format!("write {advice}")),
        None => Diagnostic::at(span, format!("{place}: {problem}")),
    }
}
