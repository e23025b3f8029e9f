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

/// Reads the envelope. Of the link only the `from` in its query counts: its host may be another one. Only what is absent, null or
/// empty is no link; one of an odd shape leads on, nobody knows where to.
pub(crate) fn next(envelope: &[u8]) -> Result<Link, ReadError> {
    let page = headwater_source_kit::envelope(
        envelope,
        "events",
        "check that `endpoint` is the address of a PactFlow account",
    )?;
    // A link is an object with an address, one of several such objects, or the address itself.
    let next = match page.get("_links") {
        None | Some(Value::Null) => return Ok(Link::End),
        Some(Value::Array(links)) if links.is_empty() => return Ok(Link::End),
        Some(links @ Value::Object(_)) => links.get("next"),
        Some(_) => return Ok(Link::Unnamed),
    };
    let next = match next {
        Some(Value::Array(links)) => links.first(),
        next => next,
    };
    let href = match next {
        Some(Value::Object(link)) => link.get("href"),
        next => next,
    };
    let href = match href {
        None if next.is_some_and(|next| next.as_object().is_some_and(|link| !link.is_empty())) => {
            return Ok(Link::Unnamed);
        }
        None | Some(Value::Null) => return Ok(Link::End),
        Some(Value::String(href)) if href.is_empty() => return Ok(Link::End),
        Some(Value::String(href)) => href,
        Some(_) => return Ok(Link::Unnamed),
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
        check(r#"{"next":"https://a/audit?from=b"}"#, from("b"));
        check(r#"{"next":[{"href":"https://a/audit?from=b"}]}"#, from("b"));
        for none in ["[]", r#"{"next":{}}"#, r#"{"next":[]}"#, r#"{"next":""}"#, r#"{"next":{"href":null}}"#] {
            check(none, Link::End);
        }
        check(r#"{"next":{"href":""}}"#, Link::End);
        for odd in [r#""x""#, r#"{"next":2}"#, r#"{"next":true}"#, r#"{"next":{"url":"x"}}"#, r#"{"next":{"href":7}}"#]
        {
            check(odd, Link::Unnamed);
        }
        check(r#"{"next":{"href":"https://a/audit?from="}}"#, Link::Unnamed);
    }

    #[test]
    fn what_is_no_page_is_an_error() {
        for body in ["<html>", "[]", r#"{"error":"x"}"#, r#"{"events":null}"#] {
            assert!(next(body.as_bytes()).is_err(), "{body}");
        }
    }
}
