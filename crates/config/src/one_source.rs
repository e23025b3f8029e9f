//! One source of a configuration, for a question to its log.

use crate::{
    Content, Diagnostic, Diagnostics, Entry, LoadOptions, Node, Registry, Severity, SourceFile, SourceSpec,
    component::Workshop,
    decode::Decoder,
    document::{Document, files, open},
    interpolate::interpolate_value,
    parse, suggest,
};
use std::{path::PathBuf, sync::Arc};

/// What a question says of the source it is put to.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The source's name in the configuration.
    pub source: &'a str,
    /// A mapping in YAML that stands in for the source's own `filter`, key by key.
    pub filter: Option<&'a Arc<SourceFile>>,
}

/// Why there is no source to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSource {
    /// The question is wrong: it names no source there is, or its filter is none.
    Question(Diagnostics),
    /// The configuration is.
    Configuration(Diagnostics),
}

/// Reads one source of a configuration. The other components may be wrong, and their variables unset.
///
/// # Errors
/// All that is wrong with the files, with the source, and with the question, whose filter's problems are shown where they
/// stand in it.
pub fn read_source(
    paths: &[PathBuf],
    question: Question<'_>,
    registry: &Registry,
    options: LoadOptions<'_>,
) -> Result<SourceSpec, NoSource> {
    let mut problems = Diagnostics::default();
    let document = read(paths, &mut problems);
    let found = document.sources.iter().find(|entry| entry.key == question.source);
    let Some(mut entry) = found.cloned() else {
        if problems.has_errors() {
            // It may stand in what could not be read.
            return Err(NoSource::Configuration(problems));
        }
        return Err(NoSource::Question(unknown(question.source, &document.sources)));
    };
    interpolate_value(&mut entry.value, &options, &mut problems);
    if let Some(file) = question.filter {
        let mut wrong = Diagnostics::default();
        set_filter(&mut entry, file, registry, &options, &mut wrong);
        if wrong.has_errors() {
            return Err(NoSource::Question(wrong));
        }
    }
    let workshop = Workshop { registry, decoder: Decoder::new(options) };
    let source = workshop.source(&entry, &mut problems);
    match source {
        Some(source) if !problems.has_errors() => Ok(source),
        _ if question.filter.is_some_and(|file| only_in(file, &problems)) => Err(NoSource::Question(problems)),
        _ => Err(NoSource::Configuration(problems)),
    }
}

fn read(paths: &[PathBuf], problems: &mut Diagnostics) -> Document {
    let mut document = Document { whole: true, ..Document::default() };
    for path in files(paths, problems) {
        match open(&path, &path.display().to_string()) {
            Ok(file) => document.add_as_written(&file, problems),
            Err(problem) => problems.push(problem),
        }
    }
    document
}

fn unknown(name: &str, sources: &[Entry]) -> Diagnostics {
    let names: Vec<&str> = sources.iter().map(|entry| entry.key.as_str()).collect();
    let problem = Diagnostic::new(format!("there is no source `{name}` in the configuration"));
    let mut problems = Diagnostics::default();
    problems.push(problem.maybe_hint(suggest::hint(name, "sources", &names)));
    problems
}

/// Whether there are problems, and all of them stand in `file`.
fn only_in(file: &Arc<SourceFile>, problems: &Diagnostics) -> bool {
    let inside = |problem: &&Diagnostic| problem.span.as_ref().is_some_and(|span| Arc::ptr_eq(&span.file, file));
    let all = problems.sorted();
    let mut errors = all.iter().filter(|problem| problem.severity == Severity::Error).peekable();
    errors.peek().is_some() && errors.all(inside)
}

/// Puts the keys that `file` holds into the source's `filter`.
fn set_filter(
    source: &mut Entry,
    file: &Arc<SourceFile>,
    registry: &Registry,
    options: &LoadOptions<'_>,
    problems: &mut Diagnostics,
) {
    let Some(mut wanted) = parse(file, problems) else { return };
    interpolate_value(&mut wanted, options, problems);
    let kind = source.value.get("type").and_then(Node::scalar).map(|scalar| scalar.text.clone());
    let plugin = kind.as_deref().and_then(|kind| registry.sources.get(kind));
    if let (Some(kind), Some(plugin)) = (kind, plugin)
        && !plugin.shape.keys.iter().any(|key| key == "filter")
    {
        let problem = Diagnostic::at(&wanted.span, format!("the API of `{kind}` cannot filter"));
        problems.push(problem.hint("leave `--filter` out, and say with `--where` which events to show"));
        return;
    }
    replace(source, wanted, problems);
}

/// Puts the keys of `wanted` into the source's `filter`.
fn replace(source: &mut Entry, wanted: Node, problems: &mut Diagnostics) {
    let span = wanted.span.clone();
    let Content::Mapping(wanted) = wanted.content else {
        problems.push(Diagnostic::at(&span, "a filter is `key: value`").hint("write `actions: [LOGIN, LOGOUT]`"));
        return;
    };
    let Content::Mapping(keys) = &mut source.value.content else { return };
    if !keys.iter().any(|entry| entry.key == "filter") {
        let value =
            Node { id: crate::node::NodeId::fresh(), span: span.clone(), content: Content::Mapping(Vec::new()) };
        keys.push(Entry { id: value.id, key: "filter".into(), span, value });
    }
    for filter in keys.iter_mut().filter(|entry| entry.key == "filter") {
        if filter.value.is_null() {
            filter.value.content = Content::Mapping(Vec::new());
        }
        if let Content::Mapping(own) = &mut filter.value.content {
            own.retain(|own| wanted.iter().all(|entry| entry.key != own.key));
            own.extend(wanted.iter().cloned());
        }
    }
}
