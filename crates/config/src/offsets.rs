//! From an offset inside a scalar's value back to the offset in the file it was written in.
//!
//! A value and the text it was written as differ by indentation (block scalars), escapes (quoted scalars) and folding
//! (multi-line plain and `>` scalars). Both run in the same order, so walking them side by side pairs each character.

/// Where a value's bytes stand in a file. Exact for everything but stripped white space.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OffsetMap {
    /// (offset in the value, offset in the file), ascending; between two entries both advance together.
    runs: Vec<(usize, usize)>,
}

impl OffsetMap {
    /// The value is the file's text from `start` on.
    pub(crate) fn identity(start: usize) -> Self {
        Self { runs: vec![(0, start)] }
    }

    /// Pairs `value` with `written`, which starts at `start` in the file and includes the quotes of a quoted scalar.
    pub(crate) fn align(value: &str, written: &str, start: usize) -> Self {
        let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''));
        let mut map = Self::default();
        let mut at = quote.map_or(0, char::len_utf8);
        let rest = |at: usize| written.get(at..).unwrap_or("");
        for (offset, wanted) in value.char_indices() {
            if quote == Some('"') {
                // A backslash before a line end continues the line: neither is part of the value.
                while let Some(folded) = rest(at).strip_prefix("\\\n").or_else(|| rest(at).strip_prefix("\\\r\n")) {
                    at = written.len() - folded.trim_start().len();
                }
            }
            if !wanted.is_whitespace() {
                at = written.len() - rest(at).trim_start().len();
            }
            map.pair(offset, start + at);
            let Some(found) = rest(at).chars().next() else { continue };
            if quote == Some('"') && found == '\\' {
                at += escape_length(rest(at));
            } else if quote == Some('\'') && rest(at).starts_with("''") {
                at += 2;
            } else if wanted == found {
                at += found.len_utf8();
            } else if wanted.is_whitespace() && found.is_whitespace() {
                at = written.len() - rest(at).trim_start().len();
            }
        }
        map.pair(value.len(), start + at);
        map
    }

    fn pair(&mut self, value: usize, file: usize) {
        if self.file_offset(value) != Some(file) {
            self.runs.push((value, file));
        }
    }

    /// The offset in the file; `None` only for an empty map.
    pub(crate) fn file_offset(&self, value: usize) -> Option<usize> {
        let run = self.runs.partition_point(|(offset, _)| *offset <= value).checked_sub(1)?;
        self.runs.get(run).map(|(offset, file)| file + (value - offset))
    }
}

/// Length of the escape sequence at the start of `text`.
fn escape_length(text: &str) -> usize {
    let digits = match text.as_bytes().get(1) {
        Some(b'x') => 2,
        Some(b'u') => 4,
        Some(b'U') => 8,
        _ => 0,
    };
    let end = text.chars().take(2 + digits).map(char::len_utf8).sum::<usize>();
    end.min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The character of `written` that the character `wanted` of `value` came from.
    fn check(value: &str, written: &str, wanted: char, expected: usize) {
        let map = OffsetMap::align(value, written, 100);
        let offset = value.find(wanted).unwrap();
        assert_eq!(map.file_offset(offset), Some(100 + expected), "{wanted} of {value:?} in {written:?}");
    }

    #[test]
    fn every_style_leads_back_to_the_file() {
        check("plain text", "plain text", 't', 6);
        check("it's X", "'it''s X'", 'X', 7);
        check("a\nX", r#""a\nX""#, 'X', 4);
        check("éX", r#""\u00e9X""#, 'X', 7);
        check("a X", "a\n     X", 'X', 7);
        check("one\n  two\nX", "one\n        two\n      X\n", 'X', 22);
        check("ab X", "\"ab \\\n   X\"", 'X', 9);
        check("\n\nX", "X", 'X', 0);
    }
}
