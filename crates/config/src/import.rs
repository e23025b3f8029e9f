//! Sources that read files: `type: file`.

use crate::{
    Diagnostic, Diagnostics, Entry, ImportSpec, Node, SourceSpec, component::Workshop, consumer::is_kafka,
    document::Document, keys::ImportKeys, suggest,
};

/// The value of `type`.
pub(crate) const FILE: &str = "file";

/// Whether a source is one that reads files.
pub(crate) fn is_file(entry: &Entry) -> bool {
    entry.value.get("type").and_then(Node::scalar).is_some_and(|kind| kind.text == FILE)
}

impl Workshop<'_> {
    /// Decodes a source that reads files, and finds the source whose events they are among `sources`.
    pub(crate) fn import(
        &self,
        entry: &Entry,
        document: &Document,
        sources: &[SourceSpec],
        diagnostics: &mut Diagnostics,
    ) -> Option<ImportSpec> {
        let name = format!("source `{}`", entry.key);
        let keys: ImportKeys = self.tagged(entry, &name, diagnostics)?;
        let mut wrong = |key: &str, problem: String, hint: Option<String>| {
            let span = &entry.value.find(key).0.span;
            diagnostics.push(Diagnostic::at(span, format!("`{key}` of {name}: {problem}")).maybe_hint(hint));
            None
        };
        let Some(source) = sources.iter().find(|source| source.name == keys.source) else {
            return match document.sources.iter().find(|other| other.key == keys.source) {
                Some(other) if is_file(other) => {
                    let problem = format!("`{}` reads files itself", keys.source);
                    wrong("source", problem, Some("name the source that reads the provider's API".to_owned()))
                }
                Some(other) if is_kafka(other) => {
                    let problem = format!("`{}` reads topics", keys.source);
                    wrong("source", problem, Some("name the source that reads the provider's API".to_owned()))
                }
                // It is there, and wrong in itself: that is reported.
                Some(_) => None,
                None => {
                    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
                    let hint = suggest::hint(&keys.source, "sources", &names).unwrap_or_else(|| {
                        "add the source that reads the provider's API: its record of what was delivered is what keeps events from being delivered twice".to_owned()
                    });
                    wrong("source", format!("there is no source `{}`", keys.source), Some(hint))
                }
            };
        };
        let provider = source.built.provider;
        if let Some(said) = keys.provider.as_deref().filter(|said| *said != provider) {
            let known = self.registry.source_types();
            return if known.contains(&said) {
                let problem = format!("`{said}`, and source `{}` is of provider `{provider}`", keys.source);
                wrong("provider", problem, Some("name a source of this provider under `source`".to_owned()))
            } else {
                wrong("provider", format!("there is no provider `{said}`"), suggest::hint(said, "providers", &known))
            };
        }
        let streams = source.built.source.streams();
        let stream = match (keys.stream, streams.as_slice()) {
            (Some(stream), _) if streams.contains(&stream) => stream,
            (None, [only]) => only.clone(),
            (Some(stream), _) => {
                let names: Vec<&str> = streams.iter().map(String::as_str).collect();
                let problem = format!("source `{}` has no stream `{stream}`", keys.source);
                return wrong("stream", problem, suggest::hint(&stream, "streams", &names));
            }
            (None, _) => {
                let problem = format!("source `{}` has several streams", keys.source);
                return wrong("stream", problem, Some(format!("say which one: {}", streams.join(", "))));
            }
        };
        Some(ImportSpec {
            name: entry.key.clone(),
            path: entry.span.file.resolve(&keys.path),
            source: keys.source,
            stream,
            format: keys.format,
            columns: keys.columns,
            without: keys.without,
            span: entry.value.find("path").0.span.clone(),
        })
    }
}
