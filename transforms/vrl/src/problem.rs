//! What the compiler has to say about a program, with byte ranges that the caller can re-base to the user's file.

use headwater_contracts::{visible, visible_lines};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use vrl::diagnostic::{Diagnostic, DiagnosticList, Note};

/// Says where a byte offset of a program is in what the user wrote, as `file:line:column`.
pub type Locate = Arc<dyn Fn(usize) -> String + Send + Sync>;

/// Whether the program can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but part of it has no effect or is deprecated.
    Warning,
}

/// A remark on a part of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Byte range in the program.
    pub offset: Range<usize>,
    /// The remark.
    pub message: String,
}

/// A problem that the compiler found in a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramError {
    /// Byte range in the program, on character borders and within it; may be empty.
    pub offset: Range<usize>,
    /// What is wrong, in a few words.
    pub message: String,
    /// VRL's number for this kind of problem, as in `E103`; 0 for headwater's own rules.
    pub code: usize,
    /// Error or warning.
    pub severity: Severity,
    /// Remarks on parts of the program; the first is about [`Self::offset`].
    pub labels: Vec<Label>,
    /// Hints and addresses of documentation, one line each.
    pub notes: Vec<String>,
}

impl ProgramError {
    /// An error of headwater's own about the whole of `program`.
    pub(crate) fn whole(program: &str, message: &str, hint: &str) -> Self {
        let start = program.len() - program.trim_start().len();
        let line_end = program[start..].find('\n').map_or(program.len(), |end| start + end);
        Self {
            offset: start..line_end,
            message: message.to_owned(),
            code: 0,
            severity: Severity::Error,
            labels: Vec::new(),
            notes: vec![format!("hint: {hint}")],
        }
    }

    /// A warning of headwater's own.
    pub(crate) fn warning(offset: Range<usize>, message: String) -> Self {
        Self { offset, message, code: 0, severity: Severity::Warning, labels: Vec::new(), notes: Vec::new() }
    }

    fn of(diagnostic: Diagnostic, program: &str) -> Self {
        let severity = if diagnostic.is_problem() { Severity::Error } else { Severity::Warning };
        // The primary label is the place; the compiler does not always list it first.
        let (primary, others): (Vec<_>, Vec<_>) = diagnostic.labels.into_iter().partition(|label| label.primary);
        let labels: Vec<Label> = primary
            .into_iter()
            .chain(others)
            .map(|label| Label {
                offset: within(program, label.span.start()..label.span.end()),
                message: label.message.trim().to_owned(),
            })
            .collect();
        let (message, code) = unwrapped(&diagnostic.message, diagnostic.code);
        let hint =
            hint(code, labels.first().map_or("", |label| label.message.as_str())).map(|hint| format!("hint: {hint}"));
        Self {
            offset: labels.first().map_or(0..0, |label| label.offset.clone()),
            message,
            code,
            severity,
            labels,
            notes: hint
                .into_iter()
                .chain(
                    diagnostic
                        .notes
                        .iter()
                        .filter(|note| !matches!(note, Note::SeeRepl))
                        .map(|note| note.to_string().trim_end().to_owned())
                        .filter(|note| !note.is_empty()),
                )
                .collect(),
        }
    }
}

/// What a function says of its arguments comes wrapped in an error of its call, number and all.
fn unwrapped(message: &str, code: usize) -> (String, usize) {
    let inner = message.split_once("error[E").and_then(|(_, rest)| rest.split_once(']'));
    match inner.and_then(|(number, rest)| Some((number.parse().ok()?, rest.trim_matches([' ', ':', '"'])))) {
        Some((number, rest)) if !rest.is_empty() => (rest.to_owned(), number),
        _ => (message.to_owned(), code),
    }
}

/// What to do about kinds of problems that the compiler only names.
fn hint(code: usize, label: &str) -> Option<&'static str> {
    match code {
        100 => Some(
            "handle the error: `result, err = ..` and look at `err`, `.. ?? \"default\"`, or `name!(..)` to let the event fail",
        ),
        203 if label.contains("\"Equals\"") => Some("`=` assigns, `==` compares"),
        203 | 204 => Some("look before this for a `)`, `]`, `}`, quote or line break that is missing"),
        315 => Some("a condition and `%headwater` cannot be changed; `==` compares"),
        _ => None,
    }
}

/// All of `list`, in order of position.
pub(crate) fn all(list: DiagnosticList, program: &str) -> Vec<ProgramError> {
    let mut problems: Vec<_> = list.into_iter().map(|diagnostic| ProgramError::of(diagnostic, program)).collect();
    problems.sort_by_key(|problem| problem.offset.start);
    problems
}

/// `range`, moved onto character borders of `program`. At the end of input the compiler points past the text.
fn within(program: &str, range: Range<usize>) -> Range<usize> {
    let start = program.floor_char_boundary(range.start);
    start..program.ceil_char_boundary(range.end.max(start))
}

/// A place in a text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Position {
    /// The place of byte `offset` of `text`; the end of the text if it lies beyond.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

/// A [`Locate`] for a program that is a file of its own.
pub fn locate_in(file: &str, program: &str) -> Locate {
    let file = file.to_owned();
    let program = program.to_owned();
    Arc::new(move |offset| {
        let Position { line, column } = Position::of(&program, offset);
        format!("{file}:{line}:{column}")
    })
}

/// The problems of a program that is a file of its own, each with its line and a caret, for a terminal.
pub fn render(file: &str, program: &str, problems: &[ProgramError]) -> String {
    let mut out = String::new();
    for problem in problems {
        render_one(&mut out, file, program, problem);
    }
    out
}

fn render_one(out: &mut String, file: &str, program: &str, problem: &ProgramError) {
    let word = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let code = if problem.code == 0 { String::new() } else { format!("[E{:03}]", problem.code) };
    let at = Position::of(program, problem.offset.start);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{word}{code}: {}", visible(&problem.message));
    let _ = writeln!(out, "  --> {}:{}:{}", visible(file), at.line, at.column);
    if problem.labels.is_empty() {
        underline(out, program, &problem.offset, "");
    }
    for label in &problem.labels {
        underline(out, program, &label.offset, &label.message);
    }
    for note in &problem.notes {
        let _ = writeln!(out, "  = {}", visible_lines(note));
    }
}

fn underline(out: &mut String, program: &str, range: &Range<usize>, message: &str) {
    let at = Position::of(program, range.start);
    let line = program.split('\n').nth(at.line - 1).unwrap_or_default().trim_end_matches('\r');
    let width = program
        .get(range.clone())
        .and_then(|text| text.lines().next())
        .map_or(1, |text| visible_lines(text).chars().count());
    // A tab before the caret must be a tab below, or the caret stands elsewhere.
    let before: String = line.chars().take(at.column - 1).collect();
    let indent: String = visible_lines(&before).chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let number = at.line.to_string();
    let _ = writeln!(out, "{number} | {}", visible_lines(line));
    let (gutter, marks) = (" ".repeat(number.len()), "^".repeat(width.max(1)));
    let _ = writeln!(out, "{gutter} | {indent}{marks} {}", visible(message));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_ends_are_clamped() {
        let text = "ä = 1\nx = \"€\" + y\n";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 3), Position { line: 1, column: 3 });
        let plus = text.find('+').unwrap();
        assert_eq!(Position::of(text, plus), Position { line: 2, column: 9 });
        assert_eq!(Position::of(text, 999), Position { line: 3, column: 1 });
        assert_eq!(within("ä", 1..9), 0..2);
        assert_eq!(within("", 3..4), 0..0);
    }

    #[test]
    fn what_a_function_says_is_unwrapped() {
        let unwrapped = |message: &str| unwrapped(message, 610);
        assert_eq!(
            unwrapped("function compilation error: error[E401] invalid enum variant\""),
            ("invalid enum variant".to_owned(), 401)
        );
        assert_eq!(unwrapped("unhandled error"), ("unhandled error".to_owned(), 610));
        assert_eq!(unwrapped("error[E"), ("error[E".to_owned(), 610));
    }

    #[test]
    fn a_locator_says_file_line_and_column() {
        assert_eq!(locate_in("a.vrl", "x\n  y")(4), "a.vrl:2:3");
    }
}
