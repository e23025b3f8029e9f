//! Credentials written as plain text must not travel into a log with the line that a diagnostic shows.

const SENSITIVE: &[&str] =
    &["token", "password", "secret", "api_key", "passphrase", "private_key", "authorization", "cookie"];

/// A key that has one of these is likely to be meant for one of those.
const ALIKE: &[&str] = &["tok", "pass", "pwd", "secr", "apikey", "cred"];

/// Ends of keys that name where a credential is, and not the credential.
const NAMES: &[&str] = &["_file", "_endpoint", "_url", "_id"];

/// `line`, with the plain values of keys that hold credentials, or are misspelled so that they might, as asterisks: as many as there
/// were characters, so that columns stay. The same for the user and password of a URL. References (`${X}`, `{ env: X }`) stay readable.
pub(crate) fn masked(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut out = chars.clone();
    let mut at = 0;
    while at < chars.len() {
        if chars[at] != ':' || !chars.get(at + 1).is_none_or(|c| c.is_whitespace()) || !sensitive(&chars[..at]) {
            at += 1;
            continue;
        }
        let start = (at + 1..chars.len()).find(|i| !chars[*i].is_whitespace()).unwrap_or(chars.len());
        let (from, end) = value(&chars, start);
        let text: String = chars[from..end].iter().collect();
        if !text.starts_with(['{', '#', '&', '*', '|', '>']) && !only_references(&text) {
            out[from..end].fill('*');
        }
        at = end.max(at + 1);
    }
    user_info(&chars, &mut out);
    out.into_iter().collect()
}

/// Hides what stands before the `@` of a URL's authority (RFC 3986 section 3.2), and its query.
fn user_info(chars: &[char], out: &mut [char]) {
    for start in (3..chars.len()).filter(|at| chars[at - 3..*at] == [':', '/', '/']) {
        let ends = |c: &char| matches!(c, '/' | '?' | '#' | '"' | '\'') || c.is_whitespace();
        let authority = chars[start..].iter().position(ends).map_or(chars.len(), |length| start + length);
        if let Some(at) = chars[start..authority].iter().rposition(|c| *c == '@') {
            out[start..start + at].fill('*');
        }
        let is_end = |c: &char| matches!(c, '"' | '\'' | ',' | '}' | ']') || c.is_whitespace();
        let end = chars[start..].iter().position(is_end).map_or(chars.len(), |length| start + length);
        if let Some(at) = chars[start..end].iter().position(|c| *c == '?') {
            out[start + at + 1..end].fill('*');
        }
    }
}

/// Whether the key that ends here is one of a credential.
fn sensitive(before: &[char]) -> bool {
    let word: String = before
        .iter()
        .rev()
        .skip_while(|c| matches!(c, '"' | '\'' | ' '))
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect();
    let start = word.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').map_or(0, |i| i + 1);
    // `rfind` gives the start of an ASCII or longer separator; step to the next boundary.
    let key = word.get(start..).unwrap_or(&word).to_ascii_lowercase().replace('-', "_");
    let is = |name: &&str| key == **name || key.ends_with(&format!("_{name}"));
    let alike = |word: &str, name: &str| strsim::damerau_levenshtein(word, name) <= 2;
    let might_be = |name: &&str| alike(&key, name) || key.split('_').any(|word| alike(word, name));
    SENSITIVE.iter().any(is)
        || !NAMES.iter().any(|end| key.ends_with(end))
            && (ALIKE.iter().any(|part| key.contains(part)) || SENSITIVE.iter().any(might_be))
}

/// Bounds of the value that begins at `start`: inside its quotes, or up to what ends a plain scalar.
fn value(chars: &[char], start: usize) -> (usize, usize) {
    let Some(first) = chars.get(start) else { return (start, start) };
    if matches!(first, '"' | '\'') {
        let mut end = start + 1;
        while end < chars.len() && chars[end] != *first {
            end += if chars[end] == '\\' && *first == '"' { 2 } else { 1 };
        }
        return (start + 1, end.min(chars.len()));
    }
    let mut end = start;
    let mut depth = 0_usize;
    while end < chars.len() {
        match chars[end] {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' | ']' if depth == 0 => break,
            '#' if depth == 0 && end > start && chars[end - 1].is_whitespace() => break,
            _ => {}
        }
        end += 1;
    }
    while end > start && chars[end - 1].is_whitespace() {
        end -= 1;
    }
    (start, end)
}

/// Whether the text is one `${NAME}` or `${NAME:?message}`: a default would be a credential in plain text.
fn only_references(text: &str) -> bool {
    let text = text.trim();
    text.strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|inside| !inside.contains(":-") && !inside.contains('}'))
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn plain_credentials_are_hidden_and_references_are_not() {
        let check = |line: &str, expected: &str| assert_eq!(masked(line), expected);
        check("  token: abc", "  token: ***");
        check("  p: { client_secret: \"a b\", page_sise: 1 }", "  p: { client_secret: \"***\", page_sise: 1 }");
        check("token: ${TOKEN}", "token: ${TOKEN}");
        check("token: ${TOKEN:-abc}", "token: *************");
        check("token: { env: X }", "token: { env: X }");
        check("key_file: a.pem", "key_file: a.pem");
        check("é_token: x", "é_token: *");
        check("a: { token: x }", "a: { token: * }");
        check("token: [x]", "token: **]");
        check("token:", "token:");
        check("'password' : 'x", "'password' : '*");
        // Misspelled.
        check("tokn: abc, page_sise: 1", "tokn: ***, page_sise: 1");
        for key in ["tokem", "toekn", "client_secrt", "apikey", "passwd", "api_kye", "user_pasword"] {
            check(&format!("{key}: abc"), &format!("{key}: ***"));
        }
        check("token_endpoint: https://a/t, client_id: b", "token_endpoint: https://a/t, client_id: b");
        check("topic: audit", "topic: audit");
        check("endpoint: http://user:pa@ss@host/p@th", "endpoint: http://**********@host/p@th");
        check("endpoint: 'https://host/p@th'", "endpoint: 'https://host/p@th'");
        check("{ endpoint: \"https://host/?a=b&c\", x: ? }", "{ endpoint: \"https://host/?*****\", x: ? }");
        check("headers: { Authorization: \"Basic abc\" }", "headers: { Authorization: \"*********\" }");
    }
}
