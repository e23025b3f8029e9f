//! What looks like a credential in a line that is not read as YAML.

use super::{contains_credentials, sensitive};
use std::ops::Range;

/// Functions of VRL that take keys.
const KEYED: &[&str] = &["encrypt", "decrypt", "encrypt_ip", "decrypt_ip", "hmac"];

/// What is to be hidden in a line of YAML or VRL, in bytes.
pub(super) fn hidden(line: &str) -> Vec<Range<usize>> {
    let mut hidden = [values(line), in_urls(line), program(line)].concat();
    hidden.retain(|range| !range.is_empty());
    hidden
}

/// The values of keys for credentials, and all of those in a flow mapping of headers.
fn values(line: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut headers_to = 0;
    let mut at = 0;
    while let Some(colon) = line[at..].find([':', '=']).map(|found| at + found) {
        at = colon + 1;
        let is_pair = line[colon..].starts_with('=') || line[at..].chars().next().is_none_or(char::is_whitespace);
        if !is_pair || line[at..].starts_with('=') {
            continue;
        }
        let start = at + line[at..].len() - line[at..].trim_start().len();
        let name = key(&line[..colon]);
        let is_flow = line[start..].starts_with('{');
        if contains_credentials(name) && is_flow {
            headers_to = line[start..].find('}').map_or(line.len(), |end| start + end);
            continue;
        }
        if !sensitive(name) && colon >= headers_to {
            continue;
        }
        let (from, end) = value(line, start);
        let text = &line[from..end];
        let is_reference =
            is_flow && ["env", "file", "exec"].iter().any(|word| text[1..].trim_start().starts_with(word));
        if !is_reference && !text.starts_with(['#', '&', '*', '|', '>']) && !only_references(text) {
            hidden.push(from..end);
            at = end;
        }
    }
    hidden
}

/// The word that a text ends with.
fn key(before: &str) -> &str {
    let before = before.trim_end_matches(['"', '\'', ' ', '\\', ':', '!', '?']);
    let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
    start.map_or(before, |at| before[at..].trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_' && c != '-'))
}

/// Bounds of the value that begins at `start`: inside its quotes, or up to what ends a plain scalar.
fn value(line: &str, start: usize) -> (usize, usize) {
    let rest = &line[start..];
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let length = quoted(&rest[1..], quote);
        return (start + 1, start + 1 + length);
    }
    let mut depth = 0_usize;
    let mut end = line.len();
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' | ']' if depth == 0 => {
                end = start + at;
                break;
            }
            '#' if depth == 0 && at > 0 && rest[..at].ends_with(char::is_whitespace) => {
                end = start + at;
                break;
            }
            _ => {}
        }
    }
    (start, start + line[start..end].trim_end().len())
}

/// How long a quoted text is to its end.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if c == quote => return at,
            _ => {}
        }
    }
    text.len()
}

/// User and password of a URL (RFC 3986 section 3.2), and what its query calls a credential.
pub(super) fn in_urls(text: &str) -> Vec<Range<usize>> {
    let mut hidden = without_scheme(text);
    for (scheme, _) in text.match_indices("://") {
        let start = scheme + 3;
        let ends = |c: char| matches!(c, '"' | '\'') || c.is_whitespace();
        let end = text[start..].find(ends).map_or(text.len(), |length| start + length);
        let authority = text[start..end].find(['/', '?', '#']).map_or(end, |length| start + length);
        if let Some(at) = text[start..authority].rfind('@') {
            hidden.push(start..start + at);
        }
        let Some(query) = text[authority..end].find('?').map(|at| authority + at + 1) else { continue };
        let mut at = query;
        for pair in text[query..end].split('&') {
            let value = pair.find('=').map_or(pair.len(), |equals| equals + 1);
            let name = pair[..value].trim_end_matches('=');
            if sensitive(name) || ["key", "sig", "signature", "code"].contains(&name) {
                hidden.push(at + value..at + pair.len());
            }
            at += pair.len() + 1;
        }
    }
    hidden
}

/// User and password of an address without a scheme, as curl takes proxies.
fn without_scheme(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut start = 0;
    for word in text.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '{' | '[' | '(')) {
        let before = word.rfind('@').map_or("", |at| &word[..at]);
        if !word.contains("://") && before.split_once(':').is_some_and(|(_, password)| !password.is_empty()) {
            hidden.push(start..start + before.len());
        }
        start += word.len();
    }
    hidden
}

/// Literals in a program: of functions that take keys, and whatever is assigned to a name for a credential.
pub(super) fn program(text: &str) -> Vec<Range<usize>> {
    let mut hidden = in_urls(text);
    for name in KEYED {
        for (found, _) in text.match_indices(name) {
            let rest = text[found + name.len()..].trim_start_matches(['!', ' ']);
            let start = text.len() - rest.len();
            if !rest.starts_with('(') || text[..found].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let arguments = &rest[..rest.find('\n').unwrap_or(rest.len())];
            hidden.extend(literals(arguments).into_iter().map(|range| start + range.start..start + range.end));
        }
    }
    hidden.extend(values(text).into_iter().filter(|range| text[..range.start].ends_with(['"', '\''])));
    hidden
}

/// Quoted texts, but for names of algorithms. A program within a YAML text has a backslash before each quote.
fn literals(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find(['"', '\'']).map(|found| at + found + 1) {
        let quote = if text[..open].ends_with('"') { '"' } else { '\'' };
        let end = text[open..].find(quote).map_or(text.len(), |found| open + found);
        let literal = text[open..end].trim_end_matches('\\');
        let is_name = literal.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-');
        if !is_name || literal.len() > 24 {
            hidden.push(open..open + literal.len());
        }
        at = (end + 1).min(text.len());
    }
    hidden
}

/// Whether the text is one `${NAME}` or `${NAME:?message}`, with a scheme before it or not: a default would be a credential in plain text.
pub(super) fn only_references(text: &str) -> bool {
    let text = text.trim();
    let text = text
        .split_once(' ')
        .filter(|(scheme, _)| scheme.chars().all(char::is_alphabetic))
        .map_or(text, |(_, rest)| rest);
    text.is_empty()
        || text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'))
            .is_some_and(|inside| !inside.contains(":-") && !inside.contains('}'))
}
