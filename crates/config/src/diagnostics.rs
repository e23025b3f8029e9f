//! Problems for the person who wrote the file: what, where, and what to do. Collected, sorted, shown all at once.

use crate::{Span, mask};
use headwater_contracts::{mask::MASK, visible, visible_lines};
use std::fmt::{self, Write as _};

/// Whether the configuration can be used all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    #[default]
    Error,
    /// It can, and probably does something else than what was meant.
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// An error, or a warning.
    pub severity: Severity,
    /// What is wrong; lower-case, names in backticks, never a secret.
    pub message: String,
    /// Where; `None` if it is about no place in a file.
    pub span: Option<Span>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that matter, each with a word on why.
    pub notes: Vec<(String, Span)>,
    /// What else helps, below the places: a text of one or more lines each.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// A problem without a place.
    pub fn new(message: impl Into<String>) -> Self {
        let severity = Severity::Error;
        Self { severity, message: message.into(), span: None, hint: None, notes: Vec::new(), help: Vec::new() }
    }

    /// A problem at `span`.
    pub fn at(span: &Span, message: impl Into<String>) -> Self {
        Self { span: Some(span.clone()), ..Self::new(message) }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// With something else that helps.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
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

    fn render(&self, out: &mut String, paint: Paint, secrets: &[String]) {
        let safe = |text: &str| {
            let hidden = secrets.iter().fold(text.to_owned(), |text, secret| hidden(&text, secret));
            visible(&hidden).into_owned()
        };
        let _ = writeln!(out, "{}: {}", paint.word(self.severity), safe(&self.message));
        let hint = self.hint.as_ref().map(|hint| format!("{}: {}", paint.hint("hint"), safe(hint)));
        match &self.span {
            Some(span) => excerpt(out, span, "-->", '^', hint.as_deref(), paint.of(self.severity), secrets),
            None => hint.iter().for_each(|hint| below(out, hint, paint)),
        }
        for (text, span) in &self.notes {
            excerpt(out, span, ":::", '-', Some(&safe(text)), paint.of(self.severity), secrets);
        }
        for text in &self.help {
            below(out, &visible_lines(text), paint);
        }
    }
}

/// In one line, for a log.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(span) = &self.span {
            write!(f, "{}: ", visible(&span.location().to_string()))?;
        }
        f.write_str(&visible(&self.message))?;
        for text in self.hint.iter().chain(&self.help) {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            write!(f, "; {}", visible(&lines.collect::<Vec<_>>().join(" ")))?;
        }
        Ok(())
    }
}

/// Secrets that are shorter occur in any line by chance.
pub(crate) const SECRET_MIN: usize = 5;

/// `text` without the secret.
fn hidden(text: &str, secret: &str) -> String {
    if secret.chars().count() < SECRET_MIN { text.to_owned() } else { text.replace(secret, MASK) }
}

/// A text below the places, its lines under each other.
fn below(out: &mut String, text: &str, paint: Paint) {
    for (number, line) in text.lines().enumerate() {
        let _ = if number == 0 { writeln!(out, "  {} {line}", paint.frame("=")) } else { writeln!(out, "    {line}") };
    }
}

/// Place, line, and a row of `mark` under the span with `label` behind it.
fn excerpt(
    out: &mut String,
    span: &Span,
    arrow: &str,
    mark: char,
    label: Option<&str>,
    paint: Paint,
    secrets: &[String],
) {
    let place = span.location();
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    let line = mask::shown(&span.file, place.line, secrets);
    let _ = writeln!(out, "{gutter}{} {}", paint.frame(arrow), visible(&place.to_string()));
    let _ = writeln!(out, "{} {}", paint.frame(&format!("{number} |")), line.text);
    let first = span.text().split('\n').next().unwrap_or("").trim_end();
    let start = line.column(place.column - 1);
    let end = line.column(place.column - 1 + first.chars().count());
    // Tabs stay tabs so that the marks stand under what they mean on any terminal.
    let indent: String = line.text.chars().take(start).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let width = end.saturating_sub(start).max(1);
    let marks: String = std::iter::repeat_n(mark, width).collect();
    let label = label.map(|label| format!(" {label}")).unwrap_or_default();
    let _ = writeln!(out, "{} {indent}{}{label}", paint.frame(&format!("{gutter} |")), paint.strong(&marks));
}

/// Colours, or none.
#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
    severity: Severity,
}

impl Paint {
    fn of(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }
    fn with(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
    fn word(self, severity: Severity) -> String {
        self.of(severity).strong(severity.word())
    }
    fn strong(self, text: &str) -> String {
        self.with(if self.severity == Severity::Error { "1;31" } else { "1;33" }, text)
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
    /// Credentials that stand in the files as plain text: no line of one is shown with them.
    secrets: Vec<String>,
}

impl Diagnostics {
    /// No problems yet, in a configuration made of the files called so.
    pub fn for_files(names: Vec<String>) -> Self {
        Self { names, ..Self::default() }
    }

    /// Adds one. The same problem at the same place counts once.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if !self.items.contains(&diagnostic) {
            self.items.push(diagnostic);
        }
    }

    /// Never shows `secret`, wherever it stands in a file.
    pub(crate) fn hide(&mut self, secret: &str) {
        if !self.secrets.iter().any(|known| known == secret) {
            self.secrets.push(secret.to_owned());
        }
    }

    /// Whether there is none, not even a warning.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether one is an error: the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many there are, warnings among them.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes out those that `keep` does not keep.
    pub fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.items.retain(keep);
    }

    /// Changes each of them.
    pub fn amend(&mut self, change: impl FnMut(&mut Diagnostic)) {
        self.items.iter_mut().for_each(change);
    }

    fn count(&self, severity: Severity) -> usize {
        self.items.iter().filter(|item| item.severity == severity).count()
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
        let paint = Paint { colour, severity: Severity::Error };
        let mut out = String::new();
        for item in self.sorted() {
            item.render(&mut out, paint, &self.secrets);
            out.push('\n');
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let counted = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let (worst, count) = match (errors, warnings) {
            (0, 0) => return out,
            (0, n) => (Severity::Warning, counted(n, "warning")),
            (n, 0) => (Severity::Error, counted(n, "problem")),
            (n, m) => (Severity::Error, format!("{} and {}", counted(n, "problem"), counted(m, "warning"))),
        };
        let place = match self.names.as_slice() {
            [] => String::new(),
            [name] => format!(" in {}", visible(name)),
            [first, rest @ ..] => format!(" in {} and {} more", visible(first), rest.len()),
        };
        let _ = writeln!(out, "{}: {count}{place}", paint.word(worst));
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

    #[test]
    fn a_warning_is_called_so_counts_apart_and_fits_in_a_line() {
        let file = SourceFile::new("p.yaml", "", "a: 1\n");
        let warning = Diagnostic::at(&Span::new(&file, 0, 1), "odd").hint("write b").help("such as\n  b: 1").warning();
        assert_eq!(warning.to_string(), "p.yaml:1:1: odd; write b; such as b: 1");
        let mut diagnostics = Diagnostics::for_files(vec!["p.yaml".into()]);
        diagnostics.push(warning);
        assert!(!diagnostics.has_errors() && !diagnostics.is_empty());
        assert_eq!(
            diagnostics.to_string(),
            "warning: odd\n --> p.yaml:1:1\n1 | a: 1\n  | ^ hint: write b\n  = such as\n      b: 1\n\nwarning: 1 warning in p.yaml\n"
        );
        diagnostics.push(Diagnostic::new("wrong"));
        assert!(
            diagnostics.has_errors() && diagnostics.to_string().ends_with("error: 1 problem and 1 warning in p.yaml\n")
        );
    }
}
