//! Two that write to one place: the second would wait for ever, or write into what the first keeps.

use headwater_config::{DeadLetter, Diagnostic, Diagnostics, Pipeline, SIMULATED, State};
use headwater_contracts::Timestamp;
use headwater_ledger::FileLedger;
use headwater_sink_file::DeadLetterFile;
use std::path::{Component, Path, PathBuf};

/// Instants that no two placeholders of strftime show alike, Unix seconds: templates that agree at each are one.
const INSTANTS: [i64; 3] = [981_173_106, 1_574_964_419, 1_919_387_852];

/// Something else that is written, or read, and its places at the instants.
struct Other {
    what: String,
    places: Vec<PathBuf>,
}

/// Reports sinks that write to the same file, or to one of the ledger, of the dead letters, or that a source reads.
pub(crate) fn refuse(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    let mut others = of_headwater(pipeline);
    for import in &pipeline.imports {
        others.push(Other::fixed(format!("source `{}` reads it", import.name), &import.path));
    }
    let mut written: Vec<(usize, Vec<PathBuf>)> = Vec::new();
    for (number, sink) in pipeline.sinks.iter().enumerate() {
        let instants = INSTANTS.iter().filter_map(|at| Timestamp::from_timestamp(*at, 0));
        let places: Option<Vec<PathBuf>> = instants.map(|at| sink.sink.file_at(at).map(|path| normal(&path))).collect();
        // What stands in for a variable that is not set is the same for all.
        let Some(places) =
            places.filter(|places| !places.iter().any(|path| path.to_string_lossy().contains(SIMULATED)))
        else {
            continue;
        };
        let shown = shown(&places);
        if let Some((first, _)) = written.iter().find(|(_, other)| meet(other, &places)) {
            let first = &pipeline.sinks[*first];
            let message = format!("sinks `{}` and `{}` write to one file{shown}", first.name, sink.name);
            let problem = Diagnostic::at(&sink.span, message).hint("give each a `path` of its own");
            diagnostics.push(problem.note("the other one", &first.span));
        }
        for other in others.iter().filter(|other| meet(&other.places, &places)) {
            let message = format!("sink `{}` writes to a file that is taken{shown}: {}", sink.name, other.what);
            diagnostics.push(Diagnostic::at(&sink.span, message).hint("give the sink another `path`"));
        }
        written.push((number, places));
    }
}

/// What headwater keeps itself.
fn of_headwater(pipeline: &Pipeline) -> Vec<Other> {
    let mut all = Vec::new();
    if let State::File { path } = &pipeline.state {
        all.extend(FileLedger::FILES.map(|file| Other::fixed("it is the ledger's".to_owned(), &path.join(file))));
    }
    if let DeadLetter::Path(folder) = &pipeline.dead_letter {
        all.push(Other::fixed("dead letters are kept there".to_owned(), &DeadLetterFile::place(folder)));
    }
    all
}

impl Other {
    fn fixed(what: String, path: &Path) -> Self {
        Self { what, places: vec![normal(path); INSTANTS.len()] }
    }
}

/// Whether two are in each other's way at each instant: they are one file, or one needs a folder where the other writes a file.
fn meet(one: &[PathBuf], other: &[PathBuf]) -> bool {
    one.iter().zip(other).all(|(one, other)| one.starts_with(other) || other.starts_with(one))
}

/// The path, where it does not change with the time.
fn shown(places: &[PathBuf]) -> String {
    match places {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => format!(", `{}`", first.display()),
        _ => String::new(),
    }
}

/// A path as there is one for each file: absolute, without `.` and `..`, links followed as far as there are folders.
fn normal(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = whole.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, real)) = there else { return whole };
    let below = whole.strip_prefix(above).unwrap_or(Path::new(""));
    below.components().fold(real, |mut path, part| {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_path() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        for written in ["a/x", "./a/./x", "link/x", "a/b/../x", "none/../a/x"] {
            assert_eq!(normal(&dir.path().join(written)), real.join("a/x"), "{written}");
        }
    }
}
