//! One source of a configuration, for a question to its log.

use crate::{
    Content, Diagnostic, Diagnostics, Entry, LoadOptions, Node, Registry, SourceFile, SourceSpec,
    component::Workshop,
    decode::Decoder,
    document::{Document, files, open},
    interpolate::interpolate,
    parse, suggest,
};
use std::{path::PathBuf, sync::Arc};

/// Reads the source `name` of a configuration; the rest of it may be wrong. `filter`, a mapping in YAML, stands in for the
/// source's own `filter`, key by key; its problems are shown where it stands.
pub fn read_source(
    paths: &[PathBuf],
    name: &str,
    filter: Option<&Arc<SourceFile>>,
    registry: &Registry,
    options: LoadOptions<'_>,
) -> Result<SourceSpec, Diagnostics> {
    let mut diagnostics = Diagnostics::default();
    let mut document = Document { whole: true, ..Document::default() };
    for path in files(paths, &mut diagnostics) {
        match open(&path, &path.display().to_string()) {
            Ok(file) => document.add(&file, &options, &mut diagnostics),
            Err(problem) => diagnostics.push(problem),
        }
    }
    let Some(position) = document.sources.iter().position(|entry| entry.key == name) else {
        let names: Vec<&str> = document.sources.iter().map(|entry| entry.key.as_str()).collect();
        let problem = Diagnostic::new(format!("there is no source `{name}` in the configuration"));
        diagnostics.push(problem.maybe_hint(suggest::hint(name, "sources", &names)));
        return Err(diagnostics);
    };
    let mut entry = document.sources.swap_remove(position);
    if let Some(file) = filter {
        let before = diagnostics.len();
        match parse(file, &mut diagnostics) {
            Some(mut node) => {
                interpolate(&mut node, &options, &mut diagnostics);
                replace(&mut entry, node, &mut diagnostics);
            }
            None if diagnostics.len() == before => {}
            None => return Err(diagnostics),
        }
    }
    let workshop = Workshop { registry, decoder: Decoder::new(options) };
    let source = workshop.source(&entry, &mut diagnostics);
    match source {
        Some(source) if diagnostics.is_empty() => Ok(source),
        _ => Err(diagnostics),
    }
}

/// Puts the keys of `wanted` into the source's `filter`.
fn replace(source: &mut Entry, wanted: Node, diagnostics: &mut Diagnostics) {
    let span = wanted.span.clone();
    let Content::Mapping(wanted) = wanted.content else {
        diagnostics.push(Diagnostic::at(&span, "a filter is `key: value`").hint("write `actions: [LOGIN, LOGOUT]`"));
        return;
    };
    let Content::Mapping(keys) = &mut source.value.content else { return };
    if !keys.iter().any(|entry| entry.key == "filter") {
        let value =
            Node { id: crate::node::NodeId::fresh(), span: span.clone(), content: Content::Mapping(Vec::new()) };
        keys.push(Entry { id: value.id, key: "filter".into(), span, value });
    }
    for filter in keys.iter_mut().filter(|entry| entry.key == "filter") {
        if let Content::Mapping(own) = &mut filter.value.content {
            own.retain(|own| wanted.iter().all(|entry| entry.key != own.key));
            own.extend(wanted.iter().cloned());
        }
    }
}
