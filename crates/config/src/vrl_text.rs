//! A VRL program or condition, and where each of its bytes was written.

use crate::{Diagnostic, Location, Node, SourceFile, Span, offsets::OffsetMap};
use std::{ops::Range, sync::Arc};

/// A VRL text. Compiling it is the business of the VRL stage, which reports its errors with [`VrlText::problem`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VrlText {
    text: String,
    file: Arc<SourceFile>,
    offsets: OffsetMap,
}

impl VrlText {
    /// A program that is a whole file: `file` is that file, or `builtin:NAME` for a shipped one.
    pub fn whole(file: Arc<SourceFile>) -> Self {
        Self { text: file.text().to_owned(), offsets: OffsetMap::identity(0), file }
    }

    /// A program written inside YAML. `None` if the node is no text.
    pub(crate) fn inline(node: &Node) -> Option<Self> {
        let scalar = node.scalar().filter(|_| !node.is_null())?;
        Some(Self { text: scalar.text.clone(), file: Arc::clone(&node.span.file), offsets: scalar.offsets.clone() })
    }

    /// The program.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Name of the file it stands in, or `builtin:NAME`.
    pub fn file(&self) -> &str {
        self.file.name()
    }

    /// Where the byte at `offset` of the program was written.
    pub fn locate(&self, offset: usize) -> Location {
        self.span(offset..offset).location()
    }

    /// Where a piece of the program, in bytes, was written.
    pub fn span(&self, range: Range<usize>) -> Span {
        let length = self.text.len();
        let at = |offset: usize| self.offsets.file_offset(offset.min(length)).unwrap_or(0);
        // The end follows the last byte: past a line end the next byte stands behind the stripped indentation.
        let end = if range.end > range.start { at(range.end - 1) + 1 } else { at(range.start) };
        Span::new(&self.file, at(range.start), end)
    }

    /// A problem with a piece of the program, shown where the user wrote it.
    pub fn problem(&self, range: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(&self.span(range), message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Diagnostics, parse};

    #[test]
    fn offsets_lead_to_the_line_and_column_of_the_file() {
        let yaml = "a: |\n  .x = 1\n\n    .é = BAD\nb: .x == BAD\nc: '.x == ''BAD'''\nd: \".x ==\\t\\u0041 BAD\"\ne: >-\n  .x ==\n  BAD\nf: |2\n\n    .x\n  BAD\n";
        let node = parse(&SourceFile::new("p.yaml", "", yaml), &mut Diagnostics::default()).unwrap();
        let check = |key: &str, expected: &str| {
            let text = VrlText::inline(node.get(key).unwrap()).unwrap();
            let at = text.text().find("BAD").unwrap();
            assert_eq!(text.locate(at).to_string(), expected, "{key}");
            assert_eq!(text.span(at..at + 3).text(), "BAD", "{key}");
        };
        check("a", "p.yaml:4:10");
        check("b", "p.yaml:5:10");
        check("c", "p.yaml:6:13");
        check("d", "p.yaml:7:19");
        check("e", "p.yaml:10:3");
        check("f", "p.yaml:14:3");
        let whole = VrlText::whole(SourceFile::new("builtin:n.vrl", "", "a\n BAD"));
        assert_eq!(whole.locate(3).to_string(), "builtin:n.vrl:2:2");
    }
}
