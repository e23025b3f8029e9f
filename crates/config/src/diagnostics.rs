//! Problems for the person who wrote the file: what, where, and what to do. Collected, sorted, shown all at once.

use crate::{Span, mask};
use std::fmt::{self, Write as _};

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong; lower-case, names in backticks, never a secret.
    pub message: String,
    /// Where; `None` if it is about no place in a file.
    pub span: Option<Span>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that matter, each with a word on why.
    pub notes: Vec<(String, Span)>,
}

impl Diagnostic {
    /// A problem without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, hint: None, notes: Vec::new() }
    }

    /// A problem at `span`.
    pub fn at(span: &Span, message: impl Into<String>) -> Self {
        Self { span: Some(span.clone()), ..Self::new(message) }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what to do about it, if there is something.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// With another place that matters.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>, span: &Span) -> Self {
        self.notes.push((text.into(), span.clone()));
        self
    }

    fn render(&self, out: &mut String, paint: Paint) {
        let _ = writeln!(out, "{}: {}", paint.error("error"), self.message);
        let Some(span) = &self.span else {
            if let Some(hint) = &self.hint {
                let _ = writeln!(out, "  = {}: {hint}", paint.hint("hint"));
            }
            return;
        };
        let hint = self.hint.as_ref().map(|hint| format!("{}: {hint}", paint.hint("hint")));
        excerpt(out, span, "-->", '^', hint.as_deref(), paint);
        for (text, span) in &self.notes {
            excerpt(out, span, ":::", '-', Some(text), paint);
        }
    }
}

/// Place, line, and a row of `mark` under the span with `label` behind it.
fn excerpt(out: &mut String, span: &Span, arrow: &str, mark: char, label: Option<&str>, paint: Paint) {
    let place = span.location();
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    let line = mask::shown(&span.file, place.line);
    let _ = writeln!(out, "{gutter}{} {place}", paint.frame(arrow));
    let _ = writeln!(out, "{} {}", paint.frame(&format!("{number} |")), line.text);
    let first = span.text().split('\n').next().unwrap_or("").trim_end();
    let start = line.column(place.column - 1);
    let end = line.column(place.column - 1 + first.chars().count());
    // Tabs stay tabs so that the marks stand under what they mean on any terminal.
    let indent: String = line.text.chars().take(start).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let width = end.saturating_sub(start).max(1);
    let marks: String = std::iter::repeat_n(mark, width).collect();
    let label = label.map(|label| format!(" {label}")).unwrap_or_default();
    let _ = writeln!(out, "{} {indent}{}{label}", paint.frame(&format!("{gutter} |")), paint.error(&marks));
}

/// Colours, or none.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
    fn error(self, text: &str) -> String {
        self.with("1;31", text)
    }
    fn hint(self, text: &str) -> String {
        self.with("1;32", text)
    }
    fn frame(self, text: &str) -> String {
        self.with("34", text)
    }
}

/// All the problems found in a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    names: Vec<String>,
}

impl Diagnostics {
    /// No problems yet, in a configuration made of the files called so.
    pub fn for_files(names: Vec<String>) -> Self {
        Self { items: Vec::new(), names }
    }

    /// Adds one. The same problem at the same place counts once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if !self.items.contains(&diagnostic) {
            self.items.push(diagnostic);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// All of them: those without a place first, then by file, in the order given, and by place.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut items: Vec<&Diagnostic> = self.items.iter().collect();
        items.sort_by_key(|item| {
            item.span.as_ref().map(|span| {
                let name = span.file.name();
                let rank = self.names.iter().position(|known| known == name).unwrap_or(usize::MAX);
                (rank, name.to_owned(), span.start)
            })
        });
        items
    }

    /// As text for a terminal, closing with the number of problems.
    pub fn render(&self, colour: bool) -> String {
        let paint = Paint(colour);
        let mut out = String::new();
        for item in self.sorted() {
            item.render(&mut out, paint);
            out.push('\n');
        }
        let count = match self.items.len() {
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        };
        let place = match self.names.as_slice() {
            [] => String::new(),
            [name] => format!(" in {name}"),
            [first, rest @ ..] => format!(" in {first} and {} more", rest.len()),
        };
        let _ = writeln!(out, "{}: {count}{place}", paint.error("error"));
        out
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceFile;

    #[test]
    fn a_problem_is_shown_where_it_was_written() {
        let file = SourceFile::new("pipeline.yaml", "", "a:\n    page_sise: 100\n");
        let mut diagnostics = Diagnostics::for_files(vec!["pipeline.yaml".into()]);
        let problem =
            Diagnostic::at(&Span::new(&file, 7, 16), "unknown key `page_sise`").hint("did you mean `page_size`?");
        diagnostics.push(problem.clone());
        diagnostics.push(problem);
        assert_eq!(
            diagnostics.to_string(),
            "error: unknown key `page_sise`\n --> pipeline.yaml:2:5\n2 |     page_sise: 100\n  |     ^^^^^^^^^ hint: did you mean `page_size`?\n\nerror: 1 problem in pipeline.yaml\n"
        );
    }
}
