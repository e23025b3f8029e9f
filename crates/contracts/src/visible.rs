//! Texts from outside as a terminal may have them.

use std::{borrow::Cow, fmt::Write as _};

/// Whether a character is one that people see. Those that are not can move the cursor, change colours and titles, begin a line, or turn
/// the direction of what follows: C0 and C1 controls, DEL, line and paragraph separators, and what directs bidirectional text (UAX #9).
pub fn is_visible(c: char) -> bool {
    let directs = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !directs && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// `text` on one line, with `\u{1b}` in the place of a character that is not to be seen.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// The same for a text of lines, which keeps its line ends and tabs.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, keeps: fn(char) -> bool) -> Cow<'_, str> {
    let shows = |c: char| is_visible(c) || keeps(c);
    if text.chars().all(shows) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if shows(c) {
            out.push(c);
        } else {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_its_number() {
        assert_eq!(visible("a\u{1b}[31m\n\u{9b}1m\u{7f}\t"), r"a\u{1b}[31m\u{a}\u{9b}1m\u{7f}\u{9}");
        assert_eq!(visible("\u{202e}x\u{2028}\u{2066}\u{200f}\u{61c}"), r"\u{202e}x\u{2028}\u{2066}\u{200f}\u{61c}");
        assert_eq!(visible_lines("a\n\tb\r"), "a\n\tb\\u{d}");
        assert!(matches!(visible("Zoë 漢字 👩‍👩‍👧"), Cow::Borrowed(_)));
    }
}
