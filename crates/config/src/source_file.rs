//! Texts that people wrote, and places in them.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A text that diagnostics can point into: a YAML file, a VRL file, or a program compiled into the binary.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    name: String,
    base: PathBuf,
    text: String,
    lines: Vec<usize>,
}

impl SourceFile {
    /// `name` is what diagnostics show; `base` is the folder that relative paths in the text start from.
    /// A byte order mark at the start is no part of the text.
    pub fn new(name: impl Into<String>, base: impl Into<PathBuf>, text: &str) -> Arc<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Arc::new(Self { name: name.into(), base: base.into(), text, lines })
    }

    /// What diagnostics call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `path`, from the folder of this file if it is relative.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// Line and column of a byte offset; an offset past the end is the end.
    pub fn locate(&self, offset: usize) -> Location {
        let offset = self.floor(offset);
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Location { file: self.name.clone(), line: line.max(1), column }
    }

    /// The text of a line, counted from 1, without its end.
    pub fn line(&self, line: usize) -> &str {
        let Some(start) = line.checked_sub(1).and_then(|index| self.lines.get(index)) else { return "" };
        let end = self.lines.get(line).map_or(self.text.len(), |next| next - 1);
        self.text.get(*start..end).unwrap_or("").trim_end_matches('\r')
    }

    /// The start of the character at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// A place for a person: `pipeline.yaml:14:5`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Name of the file, as given on the command line.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A piece of a text, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The text.
    pub file: Arc<SourceFile>,
    /// First byte.
    pub start: usize,
    /// First byte after it.
    pub end: usize,
}

impl Span {
    /// `start..end` of `file`.
    pub fn new(file: &Arc<SourceFile>, start: usize, end: usize) -> Self {
        Self { file: Arc::clone(file), start, end: end.max(start) }
    }

    /// Where it begins.
    pub fn location(&self) -> Location {
        self.file.locate(self.start)
    }

    /// The text it covers.
    pub fn text(&self) -> &str {
        self.file.text().get(self.start..self.end).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_end_anyhow() {
        let file = SourceFile::new("a.yaml", "", "\u{feff}é: 1\r\nbé: 2");
        assert_eq!(file.locate(0).to_string(), "a.yaml:1:1");
        assert_eq!(file.locate(2).to_string(), "a.yaml:1:2");
        assert_eq!(file.locate(7).to_string(), "a.yaml:2:1");
        assert_eq!(file.locate(999).to_string(), "a.yaml:2:6");
        assert_eq!((file.line(1), file.line(2), file.line(3), file.line(0)), ("é: 1", "bé: 2", "", ""));
    }
}
