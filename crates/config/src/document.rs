//! Many files to one set of sections.

use crate::{
    Content, Diagnostic, Diagnostics, Entry, LoadOptions, Node, SourceFile, Span, interpolate::interpolate, parse,
    suggest,
};
use headwater_contracts::files::read_file;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The keys at the top of a file.
pub(crate) const SECTIONS: &[&str] = &[
    "state",
    "api",
    "telemetry",
    "dead_letter",
    "ocsf_version",
    "sources",
    "transforms",
    "enrichment_tables",
    "sinks",
    "tests",
];

/// Whether a key at the top is only there to be referred to: a place for anchors.
pub(crate) fn is_home(key: &str) -> bool {
    key.starts_with("x-") || key.starts_with('.')
}

/// Sections of other programs' configurations, and what says the same here.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["data_dir"], "the folder of the ledger is `state: { type: file, path: .. }`"),
    (
        &["secret", "secrets"],
        "a secret stands where it is used: `token: { env: NAME }`, `{ file: .. }` or `{ exec: [..] }`",
    ),
    (&["acknowledgements"], "it is not needed: an event counts only when its sinks have acknowledged it"),
    (&["healthchecks"], "`headwater check` reaches every endpoint before a run"),
    (&["log_schema", "schema"], "the fields of events are the business of transforms"),
    (&["timezone"], "it is not needed: a time without a zone is UTC"),
    (&["enrichment"], "tables are in `enrichment_tables`"),
    (&["receivers", "inputs", "input", "source"], "what is read is in `sources`"),
    (&["processors", "pipeline", "filters", "transform"], "what happens to events is in `transforms`"),
    (&["exporters", "outputs", "output", "sink"], "where events go is in `sinks`, each with its `inputs`"),
    (&["service", "pipelines"], "components are wired by their `inputs`"),
    (&["extensions"], "health and metrics are served by `api: { address: 127.0.0.1:8686 }`"),
    (&["anchors", "templates", "common", "defaults"], "a place for anchors has a name that begins with `x-`"),
];

/// The sections of all files, merged; components in the order read.
#[derive(Default)]
pub(crate) struct Document {
    pub(crate) state: Option<Entry>,
    pub(crate) api: Option<Entry>,
    pub(crate) telemetry: Option<Entry>,
    pub(crate) dead_letter: Option<Entry>,
    pub(crate) ocsf_version: Option<Entry>,
    pub(crate) sources: Vec<Entry>,
    pub(crate) transforms: Vec<Entry>,
    pub(crate) tables: Vec<Entry>,
    pub(crate) sinks: Vec<Entry>,
    pub(crate) tests: Vec<Node>,
    /// Whether every file could be read: if not, what is missing may stand in one that could not.
    pub(crate) whole: bool,
    /// Start of the first file, for what is missing altogether.
    pub(crate) start: Option<Span>,
}

/// The files that `paths` mean: a folder is the `.yaml` and `.yml` files in it, by name.
pub(crate) fn files(paths: &[PathBuf], diagnostics: &mut Diagnostics) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        match folder(path) {
            Ok(found) if found.is_empty() => {
                let problem = Diagnostic::new(format!("there is no configuration in the folder `{}`", path.display()));
                diagnostics.push(problem.hint("its files end in `.yaml` or `.yml`"));
            }
            Ok(found) => files.extend(found),
            Err(error) => {
                diagnostics.push(Diagnostic::new(format!("cannot read the folder `{}`: {error}", path.display())));
            }
        }
    }
    files
}

fn folder(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "yaml" || end == "yml") && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads one file; `shown` is what its author called it.
pub(crate) fn open(path: &Path, shown: &str) -> Result<Arc<SourceFile>, Diagnostic> {
    let bytes = read_file(path).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::NotFound if shown == "pipeline.yaml" => {
                "there is no such file in this folder: name the configuration (`headwater run FILE`; `-c FILE` with other commands), or begin with the \
                 one of the README"
            }
            ErrorKind::NotFound => "there is no such file: check the path, and where it begins",
            ErrorKind::PermissionDenied => "let the user that headwater runs as read it",
            ErrorKind::IsADirectory | ErrorKind::InvalidInput => "check the path",
            _ => "check the path and its permissions",
        };
        Diagnostic::new(format!("cannot read `{shown}`: {error}")).hint(hint)
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Diagnostic::new(format!("`{shown}` is not UTF-8 text: byte {at} is wrong")).hint("save it as UTF-8")
    })?;
    Ok(SourceFile::new(path.display().to_string(), path.parent().unwrap_or(Path::new("")), &text))
}

impl Document {
    /// Adds the sections of one file.
    pub(crate) fn add(&mut self, file: &Arc<SourceFile>, options: &LoadOptions<'_>, diagnostics: &mut Diagnostics) {
        self.add_file(file, Some(options), diagnostics);
    }

    /// Adds the sections of one file as they are written: no variable is put in.
    pub(crate) fn add_as_written(&mut self, file: &Arc<SourceFile>, diagnostics: &mut Diagnostics) {
        self.add_file(file, None, diagnostics);
    }

    fn add_file(&mut self, file: &Arc<SourceFile>, options: Option<&LoadOptions<'_>>, diagnostics: &mut Diagnostics) {
        let start = Span::new(file, 0, 0);
        self.start.get_or_insert(start.clone());
        let before = diagnostics.len();
        let Some(mut root) = parse(file, diagnostics) else {
            // An empty file says nothing; a broken one could have said anything.
            self.whole &= diagnostics.len() == before;
            return;
        };
        if let Some(options) = options {
            interpolate(&mut root, options, diagnostics);
        }
        if root.entries().is_empty() && !matches!(root.content, Content::Mapping(_)) {
            let problem =
                Diagnostic::at(&root.span, format!("expected a mapping of sections, found {}", root.describe()));
            diagnostics.push(problem.hint(format!("sections: {}", SECTIONS.join(", "))));
            self.whole = false;
            return;
        }
        let Content::Mapping(sections) = root.content else { return };
        for section in sections {
            self.section(section, diagnostics);
        }
    }

    fn section(&mut self, section: Entry, diagnostics: &mut Diagnostics) {
        match section.key.as_str() {
            "state" => once(&mut self.state, section, diagnostics),
            "api" => once(&mut self.api, section, diagnostics),
            "telemetry" => once(&mut self.telemetry, section, diagnostics),
            "dead_letter" => once(&mut self.dead_letter, section, diagnostics),
            "ocsf_version" => once(&mut self.ocsf_version, section, diagnostics),
            "sources" => components(&mut self.sources, section, diagnostics),
            "transforms" => components(&mut self.transforms, section, diagnostics),
            "enrichment_tables" => components(&mut self.tables, section, diagnostics),
            "sinks" => components(&mut self.sinks, section, diagnostics),
            "tests" => match section.value.content {
                Content::Sequence(tests) => self.tests.extend(tests),
                _ if section.value.is_null() => {}
                _ => {
                    let problem = format!("`tests` takes a list of tests, found {}", section.value.describe());
                    diagnostics.push(Diagnostic::at(&section.value.span, problem));
                }
            },
            home if is_home(home) => {}
            other => {
                let elsewhere = ELSEWHERE.iter().find(|(names, _)| names.contains(&other));
                let hint = elsewhere.map(|(_, hint)| (*hint).to_owned());
                diagnostics.push(
                    Diagnostic::at(&section.span, format!("unknown section `{other}`"))
                        .maybe_hint(hint.or_else(|| suggest::hint(other, "sections", SECTIONS))),
                );
            }
        }
    }
}

fn once(slot: &mut Option<Entry>, section: Entry, diagnostics: &mut Diagnostics) {
    match slot {
        None => *slot = Some(section),
        Some(first) => diagnostics.push(
            Diagnostic::at(&section.span, format!("`{}` stands in two files", section.key))
                .hint("keep one of them")
                .note("the first one", &first.span),
        ),
    }
}

fn components(all: &mut Vec<Entry>, section: Entry, diagnostics: &mut Diagnostics) {
    match section.value.content {
        Content::Mapping(entries) => all.extend(entries),
        _ if section.value.is_null() => {}
        _ => {
            let found = section.value.describe();
            let problem = format!("`{}` takes a mapping from names to components, found {found}", section.key);
            diagnostics.push(Diagnostic::at(&section.value.span, problem).hint("write `name: { type: .. }`"));
        }
    }
}
