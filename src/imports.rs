//! The files of `type: file` sources: a look at their beginnings before anything runs, and what the runtime is told of them.

use crate::Failure;
use headwater_config::{Diagnostic, Diagnostics, ImportSpec, Pipeline};
use headwater_runtime::{
    ImportSpec as Spec,
    export::{Reading, files, preflight},
};

/// Reports every file that is not there or not what it is said to be.
pub(crate) fn look(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    for import in &pipeline.imports {
        let Some(source) = pipeline.sources.iter().find(|source| source.name == import.source) else { continue };
        let mut wrong = |problem: String| {
            let problem = format!("`path` of source `{}`: {problem}", import.name);
            diagnostics.push(Diagnostic::at(&import.span, problem));
        };
        let paths = match files(&import.path) {
            Ok(paths) => paths,
            Err(problem) => {
                wrong(problem);
                continue;
            }
        };
        for path in paths {
            let reader = source.built.source.import(&import.stream, None);
            let looked = reader
                .ok_or_else(|| "records of this source cannot be imported".to_owned())
                .and_then(|mut reader| preflight(&path, &reading(import), reader.as_mut()));
            if let Err(problem) = looked {
                wrong(format!("`{}`: {problem}", path.display()));
            }
        }
    }
}

/// What the runtime is told.
pub(crate) fn spec(import: ImportSpec) -> Result<Spec, Failure> {
    let files =
        files(&import.path).map_err(|problem| Failure::run(format!("`{}`: {problem}", import.path.display())))?;
    let reading = reading(&import);
    Ok(Spec { name: import.name, source: import.source, stream: import.stream, files, reading })
}

fn reading(import: &ImportSpec) -> Reading {
    Reading { format: import.format, columns: import.columns.clone(), without: import.without.clone() }
}
