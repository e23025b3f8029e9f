//! What to look at where the syntax of YAML breaks.

use crate::Span;

/// A blank that only looks like one.
pub(crate) fn is_odd_blank(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{2000}'..='\u{200b}' | '\u{202f}' | '\u{205f}' | '\u{2060}' | '\u{3000}' | '\u{feff}')
}

/// The place to look at, and what to look for. The parser often notices a line or more behind the mistake: `span` is where it did,
/// `flow` the byte where the outermost `{` or `[` begins that is open there.
pub(crate) fn advice(span: Span, flow: Option<usize>, info: &str) -> (Span, &'static str) {
    let line = span.location().line;
    let around = [span.file.line(line), span.file.line(line.saturating_sub(1))];
    let indent = |text: &str| text.chars().take_while(|c| c.is_whitespace() || is_odd_blank(*c)).collect::<String>();
    let value = |text: &str| text.split_once(": ").map(|(_, value)| value.trim_start().to_owned()).unwrap_or_default();
    if around.iter().any(|line| indent(line).contains('\t')) || info.contains("tab") {
        return (span, "indent with blanks: YAML does not take tabs");
    }
    if around.iter().any(|line| indent(line).contains(is_odd_blank)) {
        return (span, "a line here is indented with a no-break space: replace it by ordinary blanks");
    }
    if let Some((start, end, bare)) = reference(&span, flow) {
        let hint = match bare {
            Bare::InFlow => {
                "put quotes around a text with `${..}` inside `{ }` or `[ ]`: `{ address: \"127.0.0.1:${PORT}\" }`"
            }
            Bare::BehindQuotes => "put one pair of quotes around the whole text: `\"${HOST}:${PORT}\"`",
            Bare::WithColon => "put quotes around a text with `${..}` that contains `: `: `\"${NAME:?say: why}\"`",
        };
        return (Span::new(&span.file, start, end), hint);
    }
    let hint = if info.contains("unexpected character")
        || around.iter().any(|line| value(line).starts_with(['@', '`', '%', '&', '*', '!', '|', '>']))
    {
        "put quotes around a text that begins with a character that YAML keeps for itself"
    } else if info.contains("',' or") || info.contains("illegal placement") {
        "something before this is not closed: look for a missing `,`, `}` or `]`"
    } else if info.contains("mapping values are not allowed") {
        "put quotes around a text that contains `: `, and begin the keys of one mapping in the same column"
    } else if info.contains("quot") || info.contains("scalar") || info.contains("escape") {
        "look for a quote that is not closed, or for a backslash inside `\".. \"`: `'..'` takes it as it is"
    } else {
        "begin the keys of one mapping in the same column: look at the indentation of this line and the one above"
    };
    (span, hint)
}

/// How a reference to a variable stands where YAML does not take it.
#[derive(Clone, Copy, PartialEq)]
enum Bare {
    /// Outside of quotes, inside of `{ }` or `[ ]`: its brace begins a mapping.
    InFlow,
    /// Behind a text in quotes, which ends the value.
    BehindQuotes,
    /// With a `: ` inside, which begins a mapping.
    WithColon,
}

/// The first such reference between the beginning of what is open and the end of the line where reading stopped, in bytes.
fn reference(span: &Span, flow: Option<usize>) -> Option<(usize, usize, Bare)> {
    let text = span.file.text();
    let end = text[span.start..].find('\n').map_or(text.len(), |end| span.start + end);
    let line_start = |at: usize| text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let above = line_start(line_start(span.start).saturating_sub(1));
    let start = flow.map_or(above, |flow| flow.min(above));
    let (mut depth, mut quote, mut behind, mut fresh) = (0_usize, None, false, true);
    let mut chars = text[start..end].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let at = start + at;
        if let Some(open) = quote {
            if c == '\\' && open == '"' || c == '\'' && open == c && next == Some(c) {
                chars.next();
            } else if c == open {
                (quote, behind) = (None, true);
            }
            continue;
        }
        if text[at..end].starts_with("${") {
            let close = text[at..end].find('}').map_or(end, |close| at + close + 1);
            let bare = if depth > 0 {
                Some(Bare::InFlow)
            } else if behind {
                Some(Bare::BehindQuotes)
            } else {
                text[at..close].contains(": ").then_some(Bare::WithColon)
            };
            if let Some(bare) = bare {
                return Some((at, close, bare));
            }
        }
        match c {
            '\n' => (fresh, behind) = (true, false),
            '#' if text[..at].ends_with(|c: char| c.is_whitespace()) => {
                while chars.next_if(|(_, c)| *c != '\n').is_some() {}
            }
            '"' | '\'' if fresh => (quote, fresh) = (Some(c), false),
            '{' | '[' if fresh || depth > 0 => (depth, fresh) = (depth + 1, true),
            '}' | ']' if depth > 0 => depth -= 1,
            ',' if depth > 0 => (fresh, behind) = (true, false),
            ':' | '-' | '?' if next.is_none_or(char::is_whitespace) || behind => (fresh, behind) = (true, false),
            c if c.is_whitespace() => {}
            _ => fresh = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::{Diagnostics, SourceFile, parse};
    use proptest::prelude::*;

    fn problems(text: &str) -> String {
        let mut diagnostics = Diagnostics::default();
        let _ = parse(&SourceFile::new("a.yaml", "", text), &mut diagnostics);
        diagnostics.to_string()
    }

    #[test]
    fn broken_syntax_is_explained() {
        let check = |text: &str, expected: &str| {
            let problems = problems(text);
            assert!(problems.contains(expected), "{text:?}: {problems}");
        };
        check("api: { address: 127.0.0.1:${PORT} }\n", "quotes around a text with `${..}`");
        check("a:\n\tb: 1\n", "tabs");
        check("a:\n\u{a0}\u{a0}b: 1\n", "no-break space");
        check("a: 1\n\u{a0}b: 1\n", "no-break space");
        check("a: @b\n", "begins with a character");
        check("a: { b: 1, c: @d }\n", "begins with a character");
        check("a: b: c\n", "contains `: `");
        check("a: [1\nb: 2", "is not closed");
        check("a: \"b\n", "quote that is not closed");
        check("a:\n    b: 1\n  c: 2\n", "same column");
    }

    #[test]
    fn a_bare_reference_is_found_wherever_it_stands() {
        let check = |text: &str, bare: &str, hint: &str| {
            let at = text.find(bare).unwrap();
            let line_start = text[..at].rfind('\n').map_or(0, |end| end + 1);
            let place = format!("{}:{}", text[..at].matches('\n').count() + 1, at - line_start + 1);
            let problems = problems(text);
            assert!(problems.contains(&format!("--> a.yaml:{place}\n")), "{text:?}: {problems}");
            assert!(problems.contains(hint), "{text:?}: {problems}");
        };
        let flow = "inside `{ }` or `[ ]`";
        check("a: { b: \"${A}\", c: ${B} }\n", "${B", flow);
        check("a: { b: '${A}', c: ${B} }\n", "${B", flow);
        check("a: { b: 'it''s ${A}', c: ${B} }\n", "${B", flow);
        check("a: { b: \"\\\"${A}\", c: x${B} }\n", "${B", flow);
        check("a: [\"${A}\", ${B}]\n", "${B", flow);
        check("a: [x, ${B:-1}, y]\n", "${B", flow);
        check("a:\n  - { b: \"${A}\", c: ${B} }\n", "${B", flow);
        check("a: {\n  b: \"${A}\",\n  c: 1,\n  d: ${B},\n  e: 1 }\n", "${B", flow);
        check("{\"a\":\"${A}\",\"b\":${B}}\n", "${B", flow);
        check("a: { b: [\"${A}\"], c: ${B} }\n", "${B", flow);
        check("a: {} # \"\nb: { c: ${B} }\n", "${B", flow);
        let behind = "one pair of quotes around the whole text";
        check("a: \"${A}\" ${B}\n", "${B", behind);
        check("a: '${A}'${B}\nb: 1\n", "${B", behind);
        check("a:\n  - \"${A}\"/${B}\n", "${B", behind);
        check("a: ${A:?say: why}\n", "${A:?", "contains `: `");
        // What is in quotes is no mistake, and neither is a plain value.
        for other in ["a: { b: \"${A}\", c: 1\nd: 2\n", "a: ${A}\nb: \"x\n", "a: { b: '${A}' c: 1 }\n"] {
            let problems = problems(other);
            assert!(problems.contains("broken YAML") && !problems.contains("around"), "{other:?}: {problems}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(?s)[a-c:\\-# {}\\[\\]'\"\\\\,\\n$\u{e9}]{0,60}") {
            let _ = problems(&text);
        }
    }
}
