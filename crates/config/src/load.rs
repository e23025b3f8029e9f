//! Files to a pipeline.

use crate::{
    DeadLetter, Diagnostic, Diagnostics, Entry, LoadOptions, Pipeline, Registry, SourceFile, Span, State, address,
    component::Workshop,
    consumer::is_kafka,
    decode::Decoder,
    document::{Document, files, open},
    import::is_file,
    transform::is_name,
    wiring::Wiring,
};
use std::{collections::HashMap, path::PathBuf, sync::Arc};

/// What was read: as much of the pipeline as is fine, and everything that is not.
pub struct Loaded {
    /// The pipeline; components that are wrong are left out.
    pub pipeline: Pipeline,
    /// The problems. Whoever compiles the VRL texts of the pipeline adds theirs before [`Loaded::finish`].
    pub diagnostics: Diagnostics,
}

impl Loaded {
    /// The pipeline, if nothing is wrong; warnings do not count.
    pub fn finish(self) -> Result<Pipeline, Diagnostics> {
        if self.diagnostics.has_errors() { Err(self.diagnostics) } else { Ok(self.pipeline) }
    }
}

/// Reads files and folders of files, and checks everything but what VRL texts say.
pub fn load(paths: &[PathBuf], registry: &Registry, options: LoadOptions<'_>) -> Result<Pipeline, Diagnostics> {
    read(paths, registry, options).finish()
}

/// As [`load`], with the pipeline also where there are problems: to find those of its VRL texts too.
pub fn read(paths: &[PathBuf], registry: &Registry, options: LoadOptions<'_>) -> Loaded {
    let mut unread = Diagnostics::default();
    let paths = files(paths, &mut unread);
    let names = paths.iter().map(|path| path.display().to_string()).collect();
    let mut opened = Vec::new();
    for path in &paths {
        match open(path, &path.display().to_string()) {
            Ok(file) => opened.push(file),
            Err(problem) => unread.push(problem),
        }
    }
    let mut diagnostics = Diagnostics::for_files(names);
    let whole = unread.is_empty();
    for problem in unread.sorted() {
        diagnostics.push(problem.clone());
    }
    read_files(&opened, whole, registry, options, diagnostics)
}

/// As [`read`], of texts that have been read already.
pub fn read_texts(texts: &[Arc<SourceFile>], registry: &Registry, options: LoadOptions<'_>) -> Loaded {
    let names = texts.iter().map(|file| file.name().to_owned()).collect();
    read_files(texts, true, registry, options, Diagnostics::for_files(names))
}

fn read_files(
    opened: &[Arc<SourceFile>],
    whole: bool,
    registry: &Registry,
    options: LoadOptions<'_>,
    mut diagnostics: Diagnostics,
) -> Loaded {
    let mut document = Document { whole, ..Document::default() };
    for file in opened {
        document.add(file, &options, &mut diagnostics);
    }
    let pipeline = pipeline(&document, registry, options, &mut diagnostics);
    Loaded { pipeline, diagnostics }
}

fn pipeline(
    document: &Document,
    registry: &Registry,
    options: LoadOptions<'_>,
    diagnostics: &mut Diagnostics,
) -> Pipeline {
    let workshop = Workshop { registry, decoder: Decoder::new(options) };
    for (section, entries) in [("source", &document.sources), ("sink", &document.sinks)] {
        for entry in entries {
            address::warn(&entry.value, &format!("{section} `{}`", entry.key), diagnostics);
        }
    }
    for (name, section) in [("`telemetry`", &document.telemetry), ("`state`", &document.state)] {
        if let Some(section) = section {
            address::warn(&section.value, name, diagnostics);
        }
    }
    if document.whole {
        nothing_to_do(document, diagnostics);
    }
    let state = document.state.as_ref().and_then(|entry| workshop.state(entry, diagnostics));
    let api = document.api.as_ref().and_then(|entry| workshop.api(entry, diagnostics));
    let telemetry = document.telemetry.as_ref().and_then(|entry| workshop.telemetry(entry, diagnostics));
    let dead_letter = document.dead_letter.as_ref().and_then(|entry| workshop.dead_letter(entry, diagnostics));
    let state = state.unwrap_or_else(|| State::File { path: document.default_state() });
    let dead_letter = dead_letter.unwrap_or_else(|| document.default_dead_letter(&state));
    let ocsf_version = document.ocsf_version.as_ref().and_then(|entry| workshop.ocsf_version(entry, diagnostics));
    // A graph with a file missing would look full of holes.
    let mut unheard = Diagnostics::default();
    let wiring = Wiring::new(document, &dead_letter, if document.whole { diagnostics } else { &mut unheard });
    tables_twice(document, diagnostics);
    let (topics, others): (Vec<&Entry>, Vec<&Entry>) = document.sources.iter().partition(|entry| is_kafka(entry));
    let (files, asked): (Vec<&Entry>, Vec<&Entry>) = others.into_iter().partition(|entry| is_file(entry));
    let sources: Vec<_> = asked.into_iter().filter_map(|entry| workshop.source(entry, diagnostics)).collect();
    let imports =
        files.into_iter().filter_map(|entry| workshop.import(entry, document, &sources, diagnostics)).collect();
    let mut consumers = Vec::new();
    for entry in topics {
        consumers.extend(workshop.consumer(entry, &consumers, diagnostics));
    }
    let mut transforms: Vec<_> =
        document.transforms.iter().filter_map(|entry| workshop.transform(entry, diagnostics)).collect();
    let mut sinks: Vec<_> = document.sinks.iter().filter_map(|entry| workshop.sink(entry, diagnostics)).collect();
    for transform in &mut transforms {
        transform.inputs = wiring.inputs(&transform.name);
    }
    for sink in &mut sinks {
        sink.inputs = wiring.inputs(&sink.name);
    }
    let enrichment_tables = document.tables.iter().filter_map(|entry| workshop.table(entry, diagnostics)).collect();
    let tests = document.tests.iter().filter_map(|node| workshop.unit_test(node, &wiring, diagnostics)).collect();
    let letters_to = if let DeadLetter::Sink(name) = &dead_letter { Some(name.clone()) } else { None };
    let graph = wiring.graph(letters_to);
    Pipeline {
        files: workshop.decoder.files(),
        places: workshop.decoder.places(&state),
        state,
        api,
        telemetry,
        dead_letter,
        ocsf_version: ocsf_version.unwrap_or_default(),
        sources,
        imports,
        consumers,
        transforms,
        enrichment_tables,
        sinks,
        tests,
        order: wiring.order(),
        graph,
    }
}

fn nothing_to_do(document: &Document, diagnostics: &mut Diagnostics) {
    let mut missing = |section: &str, example: &str| {
        let problem = format!("there are no `{section}`: nothing to do");
        let problem = match &document.start {
            Some(start) => Diagnostic::at(start, problem),
            None => Diagnostic::new(problem),
        };
        diagnostics.push(problem.hint(format!("add {example}")));
    };
    if document.sources.is_empty() {
        missing("sources", "`sources: { name: { type: .. } }`");
    }
    if document.sinks.is_empty() {
        missing("sinks", "`sinks: { name: { type: console, inputs: [..] } }`");
    }
}

fn tables_twice(document: &Document, diagnostics: &mut Diagnostics) {
    let mut seen: HashMap<&str, &Span> = HashMap::new();
    for table in &document.tables {
        if !is_name(&table.key) {
            let problem =
                Diagnostic::at(&table.span, format!("`{}` cannot be the name of an enrichment table", table.key));
            diagnostics.push(problem.hint("use letters, digits, `_` and `-`"));
        }
        match seen.get(table.key.as_str()) {
            Some(first) => {
                let problem = format!("two enrichment tables are called `{}`", table.key);
                diagnostics
                    .push(Diagnostic::at(&table.span, problem).hint("rename one of them").note("the first one", first));
            }
            None => {
                seen.insert(&table.key, &table.span);
            }
        }
    }
}
