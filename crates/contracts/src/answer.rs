//! What an answer says of itself: whether it calls itself an error, what it is if it is not JSON, and its first bytes in a form
//! that is safe to show.

use serde_json::{Map, Value};
use std::borrow::Cow;

/// Longest part of an answer in a message, characters.
const EXCERPT: usize = 100;

/// Members of a page that describe the page. An error may stand there as well as beside the records.
const ABOUT_THE_PAGE: [&str; 5] = ["meta", "metadata", "response", "result", "status"];

/// Members that say which page this is and whether another follows. They stand in the page or in one of [`ABOUT_THE_PAGE`].
const ABOUT_PAGES: [&str; 4] = ["pagination", "paging", "page", "pageInfo"];

/// The text of a peer as it may be shown: at most `most` characters, on one line, and without characters that steer a terminal
/// or hide what is written.
pub fn shown(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(most) {
        match c {
            '\n' | '\r' | '\t' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push(' '),
            c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The beginning of a body, in quotes; what is neither UTF-8 nor UTF-16 is replaced.
pub fn excerpt(body: &[u8]) -> String {
    let beginning = &body[..body.len().min(EXCERPT * 4)];
    let text = text_of(beginning);
    let more = if body.len() > beginning.len() || text.chars().nth(EXCERPT).is_some() { ".." } else { "" };
    format!("`{}`{more}", shown(text.trim(), EXCERPT))
}

/// A body as text: UTF-16 too, whose null bytes would otherwise tear apart what must be hidden.
fn text_of(body: &[u8]) -> Cow<'_, str> {
    let unit: fn([u8; 2]) -> u16 = match body {
        [0xff, 0xfe, ..] | [1..=255, 0, 1..=255, 0, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] | [0, 1..=255, 0, 1..=255, ..] => u16::from_be_bytes,
        _ => return String::from_utf8_lossy(body),
    };
    let units: Vec<u16> = body.as_chunks().0.iter().map(|bytes| unit(*bytes)).collect();
    String::from_utf16_lossy(&units).trim_start_matches('\u{feff}').to_owned().into()
}

/// Names what came in place of JSON in UTF-8; `None` if `body` may be the beginning of that.
pub fn instead_of_json(content_type: &str, body: &[u8]) -> Option<&'static str> {
    let text = body.trim_ascii_start();
    match body {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] => Some("text in UTF-16 instead of UTF-8."),
        [0x1f, 0x8b, ..] => Some("gzip that no `Content-Encoding` announces."),
        _ if text.starts_with(b"<?xml") && !content_type.contains("html") => {
            Some("XML instead of JSON: is `endpoint` the API's address?")
        }
        _ if text.starts_with(b"<")
            || (content_type.contains("text/html") && !matches!(text.first(), None | Some(b'{' | b'['))) =>
        {
            Some("HTML instead of JSON: is `endpoint` the API's address, and does the credential still work?")
        }
        _ => None,
    }
}

/// What a page says is wrong, if it calls itself an error, or a part of what was asked for: `envelope` is the page without its records, of which there were
/// `records`. A page that says so may be empty because of the error, so it proves nothing.
pub fn complaint(envelope: &[u8], records: u64) -> Option<String> {
    let Ok(Value::Object(page)) = serde_json::from_slice(envelope) else { return None };
    let said = |name: &str, value: &Value| format!("{name}: {}", excerpt(value.to_string().as_bytes()));
    let about = ABOUT_THE_PAGE.iter().filter_map(|key| page.get(*key)?.as_object());
    let complaint = std::iter::once(&page).chain(about).find_map(|members| {
        let (name, value) = members.iter().find(|(name, value)| complains(name, value, records == 0))?;
        Some(json_message(members).unwrap_or_else(|| said(name, value)))
    });
    let failed = || page.get("_shards")?.get("failed").filter(|failed| !is_fine(failed));
    complaint.or_else(|| Some(said("_shards.failed", failed()?)))
}

/// The member of a page that says that another follows, in none of the ways that the APIs have: `hasMore: true` and the like.
pub fn promises_more(envelope: &[u8]) -> Option<String> {
    let Ok(Value::Object(page)) = serde_json::from_slice(envelope) else { return None };
    let about: Vec<_> = ABOUT_THE_PAGE.iter().filter_map(|key| page.get(*key)?.as_object()).collect();
    let objects = || std::iter::once(&page).chain(about.iter().copied());
    let pages = objects().flat_map(|members| ABOUT_PAGES.iter().filter_map(|key| members.get(*key)?.as_object()));
    let promises = |members: &Map<String, Value>| {
        let is_true = |value: &Value| *value == Value::Bool(true) || *value == "true";
        let promising = ["more", "hasmore", "moreavailable", "hasnext", "hasnextpage"];
        members
            .iter()
            .find(|(name, value)| promising.contains(&&*plain(name)) && is_true(value))
            .map(|(name, _)| name.clone())
    };
    objects().chain(pages).find_map(promises)
}

/// The letters and digits of a name, in lower case: one spelling of all.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The warnings of a page, in its own words. They may be of anything, a parameter that is to go among it, so they are no reason
/// to doubt what was read: a server that always gives one would let no scan be complete. They are to be shown.
pub fn warnings(envelope: &[u8]) -> Option<String> {
    let Ok(Value::Object(page)) = serde_json::from_slice(envelope) else { return None };
    let about = ABOUT_THE_PAGE.iter().filter_map(|key| page.get(*key)?.as_object());
    std::iter::once(&page).chain(about).find_map(|members| {
        let (_, value) =
            members.iter().find(|(name, value)| is_one_of(name, &["warning", "warnings"]) && !is_fine(value))?;
        Some(message(value).unwrap_or_else(|| excerpt(value.to_string().as_bytes())))
    })
}

/// Whether a member says that its object is an error, or not all of the answer.
fn complains(name: &str, value: &Value, beside_no_data: bool) -> bool {
    let name = plain(name);
    let refused = value.as_u64().is_some_and(|status| status >= 400);
    match name.as_str() {
        "ok" | "success" | "succeeded" | "complete" | "iscomplete" => *value == Value::Bool(false) || *value == "false",
        "status" | "result" => {
            let bad =
                ["error", "fail", "failed", "failure", "partial", "incomplete", "timeout", "timed_out", "degraded"];
            refused || value.as_str().is_some_and(|word| is_one_of(word, &bad))
        }
        "statuscode" | "httpstatus" => refused,
        "code" | "message" | "msg" | "detail" => refused || (beside_no_data && !is_fine(value)),
        "fault" | "faultstring" | "exception" | "failures" => !is_fine(value),
        "partial" | "ispartial" | "partialresult" | "partialresults" | "incomplete" | "isincomplete"
        | "incompleteresult" | "incompleteresults" | "timedout" | "truncated" | "istruncated" | "terminatedearly"
        | "stale" | "degraded" => *value == Value::Bool(true) || *value == "true",
        name => name.starts_with("error") && !is_fine(value),
    }
}

/// Whether a member for errors says that there is none.
fn is_fine(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => {
            number.as_f64().is_some_and(|number| number == 0.0 || (200.0..300.0).contains(&number))
        }
        Value::String(text) => is_one_of(text.trim(), &["", "0", "200", "ok", "success", "none", "null", "false"]),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|one| word.eq_ignore_ascii_case(one))
}

/// The message inside the body of an error, whatever its shape: problem details, `errors`, `error`, `message`, `error_msg`.
pub(crate) fn message(body: &Value) -> Option<String> {
    match body {
        Value::String(text) => Some(text.clone()),
        Value::Array(_) => words(body),
        Value::Object(members) => json_message(members),
        _ => None,
    }
}

fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Array(items) => {
            let texts: Vec<String> = items.iter().filter_map(message).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        }
        Value::Object(map) if map.values().all(Value::is_array) && !map.is_empty() => Some(
            map.iter()
                .map(|(key, list)| format!("{key}: {}", message(list).unwrap_or_default()))
                .collect::<Vec<_>>()
                .join("; "),
        ),
        Value::Object(map) => json_message(map),
        _ => None,
    }
}

fn json_message(map: &Map<String, Value>) -> Option<String> {
    let main = ["detail", "title", "message", "error_msg", "error_description", "error", "errors"]
        .iter()
        .find_map(|key| map.get(*key).and_then(words))?;
    // OAuth 2.0 has a word for programs beside the text for people.
    let word =
        map.get("error").and_then(Value::as_str).filter(|word| map.contains_key("error_description") && *word != main);
    let main = word.map_or_else(|| main.clone(), |word| format!("{word}: {main}"));
    let reference = map.get("reference").or_else(|| map.get("errorId")).and_then(Value::as_str);
    Some(match reference {
        Some(reference) => format!("{main} (reference {reference})"),
        None => main,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_that_calls_itself_an_error_says_so_in_every_spelling() {
        let check = |page: &str, records: u64, expected: Option<&str>| {
            assert_eq!(complaint(page.as_bytes(), records).as_deref(), expected, "{page}");
        };
        check(r#"{"errors":[{"message":"degraded"}],"data":[]}"#, 0, Some("degraded"));
        check(r#"{"errors":[{"message":"degraded"}],"data":[]}"#, 7, Some("degraded"));
        check(r#"{"message":"out of order","errorId":"e1","data":[]}"#, 0, Some("out of order (reference e1)"));
        check(r#"{"error_msg":"no","list":[],"total":0}"#, 0, Some("no"));
        check(r#"{"errorMessage":"no","list":[]}"#, 0, Some("errorMessage: `\"no\"`"));
        check(r#"{"ok":false,"error":"invalid_auth","data":[]}"#, 3, Some("invalid_auth"));
        check(r#"{"ok":false,"data":[]}"#, 3, Some("ok: `false`"));
        check(r#"{"success":false,"events":[]}"#, 0, Some("success: `false`"));
        check(r#"{"status":"ERROR","events":[]}"#, 0, Some("status: `\"ERROR\"`"));
        check(r#"{"status":503,"title":"away","events":[]}"#, 0, Some("away"));
        check(r#"{"code":"E1","message":"no","data":[]}"#, 0, Some("no"));
        check(r#"{"meta":{"errors":["part of it is missing"]},"data":[]}"#, 9, Some("part of it is missing"));
        check(r#"{"error":"invalid_client","error_description":"unknown"}"#, 0, Some("invalid_client: unknown"));
    }

    #[test]
    fn a_page_that_is_a_part_of_the_answer_says_so() {
        for (member, said) in [
            (r#""partial":true"#, "partial: `true`"),
            (r#""truncated":true"#, "truncated: `true`"),
            (r#""isTruncated":"true""#, r#"isTruncated: `"true"`"#),
            (r#""failures":[{"shard":2}]"#, r#"failures: `[{"shard":2}]`"#),
            (r#""timed_out":true,"_shards":{"failed":2}"#, "timed_out: `true`"),
            (r#""incomplete":"true""#, r#"incomplete: `"true"`"#),
            (r#""incomplete_results":true"#, "incomplete_results: `true`"),
            (r#""meta":{"isPartial":true}"#, "isPartial: `true`"),
            (r#""status":"partial""#, "status: `\"partial\"`"),
            (r#""terminated_early":true"#, "terminated_early: `true`"),
            (r#""complete":false"#, "complete: `false`"),
            (r#""_shards":{"total":5,"failed":2}"#, "_shards.failed: `2`"),
            (r#""partial":true,"message":"a shard is away""#, "a shard is away"),
        ] {
            let page = format!(r#"{{"data":[],{member}}}"#);
            for records in [0, 7] {
                assert_eq!(complaint(page.as_bytes(), records).as_deref(), Some(said), "{page}");
            }
        }
        for fine in [
            r#""_shards":{"failed":0}"#,
            r#""complete":true,"failed":3"#,
            r#""partial":false,"timed_out":false,"incomplete":null"#,
            r#""partial":"no""#,
            r#""partial":3"#,
        ] {
            assert_eq!(complaint(format!(r#"{{"data":[],{fine}}}"#).as_bytes(), 0), None, "{fine}");
        }
    }

    #[test]
    fn a_page_that_promises_another_says_so() {
        for (member, said) in [
            (r#""hasMore":true"#, Some("hasMore")),
            (r#""meta":{"has_more":"true"}"#, Some("has_more")),
            (r#""meta":{"pagination":{"hasNext":true}}"#, Some("hasNext")),
            (r#""pageInfo":{"hasNextPage":true}"#, Some("hasNextPage")),
            (r#""hasMore":false"#, None),
            (r#""more":3,"mores":true"#, None),
        ] {
            let page = format!(r#"{{"data":[],{member}}}"#);
            assert_eq!(promises_more(page.as_bytes()).as_deref(), said, "{page}");
        }
    }

    #[test]
    fn warnings_are_words_and_no_complaint() {
        for (member, said) in [
            (r#""warnings":["shard 3 timed out","x"]"#, Some("shard 3 timed out; x")),
            (r#""meta":{"warnings":[{"message":"old"}]}"#, Some("old")),
            (r#""warning":"old""#, Some("old")),
            (r#""warnings":[17]"#, Some("`[17]`")),
            (r#""warnings":[]"#, None),
            (r#""warnings":null"#, None),
            (r#""warnings":"none""#, None),
        ] {
            let page = format!(r#"{{"data":[],{member}}}"#);
            assert_eq!(warnings(page.as_bytes()).as_deref(), said, "{page}");
            assert_eq!(complaint(page.as_bytes(), 0), None, "{page}");
        }
    }

    #[test]
    fn a_page_that_says_that_nothing_is_wrong_is_a_page() {
        for page in [
            r#"{"data":[],"nextToken":null}"#,
            r#"{"data":[],"error":null,"errors":[],"errorCode":0,"error_msg":"","ok":true,"success":"true"}"#,
            r#"{"code":200,"message":"OK","data":[]}"#,
            r#"{"code":0,"message":"success","data":[]}"#,
            r#"{"data":[],"meta":{"pagination":{"count":0}}}"#,
            r#"{"status":"ok","status_code":200,"data":[]}"#,
            r#"{"events":[],"_links":{"self":{"title":"x"}}}"#,
            "[]",
            "<html>",
        ] {
            assert_eq!(complaint(page.as_bytes(), 0), None, "{page}");
        }
        // A remark beside records.
        assert_eq!(complaint(br#"{"message":"42 found","code":"E0","data":[]}"#, 42), None);
    }

    #[test]
    fn what_came_instead_of_json_is_named() {
        let check = |content_type: &str, body: &[u8], expected: Option<&str>| {
            let named = instead_of_json(content_type, body).and_then(|text| text.split(' ').next());
            assert_eq!(named, expected, "{}", String::from_utf8_lossy(body));
        };
        check("application/json", b"\n <!doctype html>", Some("HTML"));
        check("text/html", b"Please log in", Some("HTML"));
        check("text/html", br#"{"data":[]}"#, None);
        check("text/html", b"[]", None);
        check("text/html", b" ", None);
        check("application/json", b"<?xml version=\"1.0\"?>", Some("XML"));
        check("application/json", b"\xff\xfe{\0", Some("text"));
        check("application/json", b"\0{\0}", Some("text"));
        check("application/json", b"\x1f\x8b\x08", Some("gzip"));
        check("application/json", b"{", None);
        check("", b"", None);
    }

    #[test]
    fn what_is_shown_steers_no_terminal() {
        let shown = excerpt("\u{1b}[2J\u{202e}a\r\nb\u{9b}\0".as_bytes());
        assert_eq!(shown, r"`\u{1b}[2J\u{202e}a  b\u{9b}\u{0}`");
        assert_eq!(excerpt("ä".repeat(101).as_bytes()), format!("`{}`..", "ä".repeat(100)));
    }

    #[test]
    fn utf_16_is_shown_as_text() {
        let text = "\u{feff}key {\"ä\"}";
        for (skipped, text) in [(0, text), (1, text)] {
            let units = || text.encode_utf16().skip(skipped);
            let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
            assert_eq!(excerpt(&little), "`key {\"ä\"}`");
            assert_eq!(excerpt(&big), "`key {\"ä\"}`");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..600), records: u64) {
            let text = excerpt(&body);
            prop_assert!(text.chars().all(|c| !c.is_control()));
            let _ = (complaint(&body, records), warnings(&body), instead_of_json("", &body));
        }
    }
}
