//! Metadata that a program asks for and no event has: VRL takes them for null, and a condition on one never holds.

use crate::facts::{NAMES, ROOT};
use crate::problem::ProgramError;
use crate::tables::nearest;
use std::collections::BTreeSet;
use std::ops::Range;
use vrl::compiler::ProgramInfo;
use vrl::path::{OwnedSegment, OwnedTargetPath, PathPrefix};

/// A warning for each place where `program` asks for such a name.
pub(crate) fn unknown_facts(program: &str, info: &ProgramInfo) -> Vec<ProgramError> {
    let set: BTreeSet<&str> = info.target_assignments.iter().filter_map(|path| fields(path).first().copied()).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for path in &info.target_queries {
        let fields = fields(path);
        let (asked, message, hint) = match fields.as_slice() {
            [ROOT, name, ..] if !NAMES.contains(name) => (
                format!("%{ROOT}.{name}"),
                "is always null: there is no such metadata",
                nearest(name, NAMES.into_iter()).map(|near| format!("hint: did you mean `%{ROOT}.{near}`?")),
            ),
            [ROOT, name, inside, ..] => (
                format!("%{ROOT}.{name}.{inside}"),
                "is always null",
                Some(format!("hint: `%{ROOT}.{name}` is one value, with nothing inside")),
            ),
            // Programs may put whatever they like beside it, and later ones read that.
            [root, ..] if *root != ROOT && !set.contains(root) && strsim::damerau_levenshtein(root, ROOT) <= 2 => (
                format!("%{root}"),
                "is null unless a program has set it",
                Some(format!("hint: did you mean `%{ROOT}`?")),
            ),
            _ => continue,
        };
        if !seen.insert(asked.clone()) {
            continue;
        }
        for place in places(program, &asked) {
            let mut warning = ProgramError::warning(place, format!("`{asked}` {message}"));
            warning.notes.extend(hint.clone());
            if fields.first() == Some(&ROOT) {
                let names: Vec<String> = NAMES.iter().map(|name| format!("`{name}`")).collect();
                warning.notes.push(format!("metadata below `%{ROOT}`: {}", names.join(", ")));
            }
            found.push(warning);
        }
    }
    found.sort_by_key(|warning| warning.offset.start);
    found
}

/// The names at the beginning of a path into the metadata; none of one into the event.
fn fields(path: &OwnedTargetPath) -> Vec<&str> {
    if path.prefix != PathPrefix::Metadata {
        return Vec::new();
    }
    let names = path.path.segments.iter().map_while(|segment| match segment {
        OwnedSegment::Field(name) => Some(name.as_str()),
        OwnedSegment::Index(_) => None,
    });
    names.collect()
}

/// Where `asked` stands in the program, comments left out; its beginning, where it is written in another way.
fn places(program: &str, asked: &str) -> Vec<Range<usize>> {
    let is_code = |at: usize| {
        let line = program[..at].rfind('\n').map_or(0, |end| end + 1);
        !program[line..at].trim_start().starts_with('#')
    };
    let ends = |end: usize| !program[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let found = program.match_indices(asked).map(|(at, _)| at..at + asked.len());
    let mut found: Vec<Range<usize>> = found.filter(|place| is_code(place.start) && ends(place.end)).collect();
    if found.is_empty() {
        found.push(0..0);
    }
    found
}
