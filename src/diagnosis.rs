//! What the VRL compiler has to say, at the place where the program was written: the same in a file and inside YAML.

use headwater_config::{Diagnostic, VrlText};
use headwater_vrl::{ProgramError, Severity};

/// A problem of `text` as a diagnostic, with all the compiler's help.
pub(crate) fn diagnosis(text: &VrlText, error: &ProgramError) -> Diagnostic {
    let code = if error.code == 0 { String::new() } else { format!(" (VRL E{:03})", error.code) };
    let mut labels = error.labels.iter().filter(|label| !label.message.is_empty());
    let message = match labels.next() {
        Some(label) if label.message.starts_with(&error.message) => format!("{}{code}", label.message),
        Some(label) if !error.message.contains(&label.message) => format!("{}: {}{code}", error.message, label.message),
        _ => format!("{}{code}", error.message),
    };
    let mut problem = text.problem(error.offset.clone(), message);
    if error.severity == Severity::Warning {
        problem = problem.warning();
    }
    let mut help: Vec<String> = Vec::new();
    for label in labels {
        // What has no place of its own stands at the start of the program.
        let elsewhere = label.offset != error.offset && !label.offset.is_empty();
        match label.message.strip_prefix("did you mean ") {
            Some(_) => problem = problem.hint(label.message.replace('"', "`")),
            None if elsewhere => {
                let span = text.span(label.offset.clone());
                match problem.notes.last_mut() {
                    Some((said, same)) if *same == span => {
                        said.push(' ');
                        said.push_str(&label.message);
                    }
                    _ => problem = problem.note(label.message.clone(), &span),
                }
            }
            None => help.push(label.message.clone()),
        }
    }
    for note in &error.notes {
        match (note.strip_prefix("hint: "), help.last_mut()) {
            (Some(hint), _) if problem.hint.is_none() => problem = problem.hint(hint),
            // The lines of an example.
            (None, Some(last)) if note.starts_with(' ') => {
                last.push('\n');
                last.push_str(note);
            }
            _ => help.push(note.clone()),
        }
    }
    help.into_iter().fold(problem, Diagnostic::help)
}
