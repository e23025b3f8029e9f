//! The envelope of a page: whether there is more, and where.

use headwater_contracts::ReadError;
use serde_json::Value;
use url::form_urlencoded;

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Nothing: the end of the log.
    End,
    /// The page that starts at this event.
    From(String),
    /// There is more, but the link does not say from which event on.
    Unnamed,
}

/// Reads the envelope. Of the link only the `from` in its query counts: its host may be another one.
pub(crate) fn next(envelope: &[u8]) -> Result<Link, ReadError> {
    let page = headwater_source_kit::envelope(
        envelope,
        "events",
        "check that `endpoint` is the address of a PactFlow account",
    )?;
    let Some(href) = page.pointer("/_links/next/href").and_then(Value::as_str) else {
        return Ok(Link::End);
    };
    let query = href.split('#').next().and_then(|address| address.split_once('?')).map_or("", |(_, query)| query);
    let from = form_urlencoded::parse(query.as_bytes()).find(|(name, value)| name == "from" && !value.is_empty());
    Ok(from.map_or(Link::Unnamed, |(_, uuid)| Link::From(uuid.into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_event_is_taken_from_the_link() {
        let check = |links: &str, expected: Link| {
            assert_eq!(next(format!(r#"{{"events":[],"_links":{links}}}"#).as_bytes()).unwrap(), expected, "{links}");
        };
        let from = |uuid: &str| Link::From(uuid.to_owned());
        check("{}", Link::End);
        check("null", Link::End);
        check(r#"{"next":null}"#, Link::End);
        check(r#"{"next":{"href":"http://evil.example/x/audit?from=a-_B%3D&size=2#f"}}"#, from("a-_B="));
        check(r#"{"next":{"href":"/audit?pageSize=2&from=b"}}"#, from("b"));
        check(r#"{"next":{"href":"https://a/audit?pageNumber=2"}}"#, Link::Unnamed);
        check(r#"{"next":{"href":"https://a/audit?from="}}"#, Link::Unnamed);
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        for body in ["<html>", "[]", r#"{"error":"x"}"#, r#"{"events":null}"#] {
            assert!(next(body.as_bytes()).is_err(), "{body}");
        }
    }
}
