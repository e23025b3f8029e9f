//! Sources and sinks: the keys of a component split into those that all share and those of its plugin.

use crate::{
    Diagnostic, Diagnostics, Entry, Node, Registry, SinkSpec, SourceSpec, Span, address,
    consumer::KAFKA,
    decode::{Decoder, Subject, missing_key, value_problem},
    decode_error::scrub,
    import::FILE,
    shape::Shape,
    suggest,
};
use headwater_contracts::{ConfigError, SinkOptions, SourceOptions};

/// What the builders of components share.
pub(crate) struct Workshop<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) decoder: Decoder<'a>,
}

/// The `type` of a component, if it is one of `known`; what is wrong with it otherwise is reported.
pub(crate) fn kind<'k>(entry: &Entry, what: &str, known: &[&'k str], diagnostics: &mut Diagnostics) -> Option<&'k str> {
    let node = &entry.value;
    let subject = format!("{what} `{}`", entry.key);
    if node.entries().is_empty() && node.scalar().is_none_or(|_| !node.is_null()) && !is_mapping(node) {
        let problem = format!("{subject} takes a mapping, found {}", node.describe());
        diagnostics.push(Diagnostic::at(&node.span, problem).hint("write `{ type: .. }`"));
        return None;
    }
    let Some(value) = node.get("type") else {
        diagnostics.push(missing_key("type", &subject, &entry.span).hint(format!("types: {}", known.join(", "))));
        return None;
    };
    let text = value.scalar().map(|scalar| scalar.text.as_str()).unwrap_or_default();
    let found = known.iter().find(|kind| **kind == text);
    if found.is_none() && !value.scalar().is_some_and(|scalar| scalar.unset) {
        let problem = format!("unknown {what} type {}", value.describe());
        diagnostics.push(Diagnostic::at(&value.span, problem).maybe_hint(suggest::hint(text, "types", known)));
    }
    found.copied()
}

fn is_mapping(node: &Node) -> bool {
    matches!(node.content, crate::Content::Mapping(_))
}

/// Reports keys that nobody takes. Returns the known keys that were probably meant.
pub(crate) fn unknown_keys(node: &Node, subject: &str, known: &[&str], diagnostics: &mut Diagnostics) -> Vec<String> {
    let mut meant = Vec::new();
    for entry in node.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let free = || known.iter().copied().filter(|key| node.entry(key).is_none());
        meant.extend(suggest::closest(&entry.key, free()).map(ToOwned::to_owned));
        let reads_nothing = entry.key == "inputs" && subject.starts_with("source");
        let hint = if reads_nothing {
            Some("remove it: a source reads no component; others name it in their `inputs`".to_owned())
        } else {
            suggest::hint(&entry.key, "keys", known)
        };
        let problem = format!("unknown key `{}` in {subject}", entry.key);
        diagnostics.push(Diagnostic::at(&entry.span, problem).maybe_hint(hint));
    }
    meant
}

/// A component's keys, split.
struct Split {
    own: Node,
    common: Node,
    misspelt: Vec<String>,
}

fn split(
    node: &Node,
    subject: &str,
    shape: &Shape,
    fixed: &[&str],
    common: &[&str],
    diagnostics: &mut Diagnostics,
) -> Split {
    let own_keys = shape.keys.iter().map(String::as_str);
    let known: Vec<&str> = own_keys.chain(fixed.iter().copied()).chain(common.iter().copied()).collect();
    let misspelt = if shape.open { Vec::new() } else { unknown_keys(node, subject, &known, diagnostics) };
    let is_own = |key: &str| shape.keys.iter().any(|own| own == key);
    let is_shared = |key: &str| fixed.contains(&key) || common.contains(&key);
    Split {
        own: node.subset(|key| is_own(key) || (shape.open && !is_shared(key))),
        common: node.subset(|key| common.contains(&key)),
        misspelt,
    }
}

impl Workshop<'_> {
    /// Builds a source, or reports everything that is wrong with it.
    pub(crate) fn source(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<SourceSpec> {
        let known = [self.registry.source_types(), vec![FILE, KAFKA]].concat();
        let kind = kind(entry, "source", &known, diagnostics)?;
        if kind == FILE {
            let problem = format!("source `{}` reads files, and has no log to ask", entry.key);
            diagnostics.push(Diagnostic::at(&entry.span, problem).hint("ask the source whose events they are"));
            return None;
        }
        if kind == KAFKA {
            let problem = format!("source `{}` reads topics, and has no log to ask", entry.key);
            diagnostics
                .push(Diagnostic::at(&entry.span, problem).hint("ask the source whose events stand in the topics"));
            return None;
        }
        let plugin = self.registry.sources.get(kind)?;
        let name = format!("source `{}`", entry.key);
        let parts = split(&entry.value, &name, &plugin.shape, &["type"], SourceOptions::KEYS, diagnostics);
        let subject =
            Subject { required: &plugin.shape.required, misspelt: &parts.misspelt, ..Subject::new(&name, &entry.span) };
        let options: Option<SourceOptions> =
            self.decoder.decode_all(&parts.common, Subject::new(&name, &entry.span), diagnostics);
        let proxy = options.as_ref().and_then(|options| options.proxy.as_ref()).filter(|proxy| !proxy.has_host());
        if let (Some(_), Some(value)) = (proxy, entry.value.get("proxy")) {
            // `proxy:3128` has a scheme for the parser.
            let problem = format!("`proxy` of {name}: {} is not a URL", value.describe());
            let shown = value.scalar().map_or("host:3128", |scalar| scalar.shown());
            diagnostics.push(Diagnostic::at(&value.span, problem).hint(format!("write `http://{shown}`")));
            return None;
        }
        let built = (plugin.build)(&self.decoder, &parts.own, subject, options.as_ref(), diagnostics)?;
        let built = built.map_err(|error| report(&error, entry, &name, diagnostics)).ok()?;
        let (name, span, keys) = (entry.key.clone(), entry.span.clone(), entry.value.clone());
        Some(SourceSpec { name, kind, options: options?, built, span, keys })
    }

    /// Builds a sink, or reports everything that is wrong with it. Its inputs are for the wiring to fill in.
    pub(crate) fn sink(&self, entry: &Entry, diagnostics: &mut Diagnostics) -> Option<SinkSpec> {
        let kind = kind(entry, "sink", &self.registry.sink_types(), diagnostics)?;
        let plugin = self.registry.sinks.get(kind)?;
        let name = format!("sink `{}`", entry.key);
        let parts = split(&entry.value, &name, &plugin.shape, &["type", "inputs"], SinkOptions::KEYS, diagnostics);
        let subject =
            Subject { required: &plugin.shape.required, misspelt: &parts.misspelt, ..Subject::new(&name, &entry.span) };
        let options: Option<SinkOptions> =
            self.decoder.decode_all(&parts.common, Subject::new(&name, &entry.span), diagnostics);
        let sink = (plugin.build)(&self.decoder, &parts.own, subject, options.is_some(), diagnostics)?;
        let sink = sink.map_err(|error| report(&error, entry, &name, diagnostics)).ok()?;
        for remark in sink.remarks().iter().filter_map(|remark| located(remark, entry, &name)) {
            diagnostics.push(remark.warning());
        }
        let (name, span) = (entry.key.clone(), entry.span.clone());
        Some(SinkSpec { name, kind, options: options?, inputs: Vec::new(), sink, span })
    }
}

/// Reports what a plugin found wrong.
fn report(error: &ConfigError, entry: &Entry, subject: &str, diagnostics: &mut Diagnostics) {
    if let Some(problem) = located(error, entry, subject) {
        diagnostics.push(problem);
    }
}

/// What is to be said of an option, at the option, or at the component. `None` where it follows from a variable that is not set.
pub(crate) fn located(error: &ConfigError, entry: &Entry, subject: &str) -> Option<Diagnostic> {
    let (node, found) = entry.value.find(&error.field);
    if node.scalar().is_some_and(|scalar| scalar.unset) {
        return None;
    }
    let at_component = node.id == entry.value.id;
    let span: &Span = if at_component { &entry.span } else { &node.span };
    let place = match error.field.as_str() {
        "" => subject.to_owned(),
        field if found => format!("`{field}` of {subject}"),
        field => format!("`{field}` (not given) of {subject}"),
    };
    let problem = value_problem(span, &place, &hidden(&error.problem, &entry.value));
    let is_url = ["endpoint", "url"].iter().any(|key| error.field.ends_with(key));
    let meant = node.scalar().filter(|_| found && is_url).and_then(address::meant);
    Some(match meant {
        Some(meant) => problem.hint(format!("write `{meant}`")),
        None => problem,
    })
}

/// `text` without values of environment variables. Values of one or two characters occur in any text by chance.
fn hidden(text: &str, node: &Node) -> String {
    let below = node.entries().iter().map(|entry| &entry.value).chain(node.items());
    let text = below.fold(text.to_owned(), |text, node| hidden(&text, node));
    match node.scalar() {
        Some(scalar) if scalar.text.len() > 2 => scrub(text, scalar),
        _ => text,
    }
}
