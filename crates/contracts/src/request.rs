//! What a source asks for, and what it is told of the answer.

use crate::{
    ReadError, Timestamp,
    answer::{self, complaint, excerpt, instead_of_json, shown},
};
use std::time::Duration;

/// HTTP methods that audit APIs use for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`, for APIs whose query travels in a body.
    Post,
}

impl Method {
    /// `GET` or `POST`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One request, relative to the source's endpoint. The runtime adds origin, credentials and `User-Agent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path below the endpoint, starting with `/`.
    pub path: String,
    /// Query parameters, not encoded; the runtime percent-encodes everything but unreserved characters.
    pub query: Vec<(String, String)>,
    /// `Accept`.
    pub accept: &'static str,
    /// JSON body of a `POST`.
    pub body: Option<serde_json::Value>,
}

impl Request {
    /// `GET path`, accepting JSON.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::Get, path: path.into(), query: Vec::new(), accept: "application/json", body: None }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sets `Accept`.
    #[must_use]
    pub fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }
}

/// The end of a page whose elements have all been handed to [`crate::Scan::record`].
#[derive(Debug, Clone, Copy)]
pub struct PageEnd<'a> {
    /// The page without its elements: the array is left as `[]`. JSON. All of the answer if the scan asked for it whole
    /// ([`crate::Scan::whole`]); then it may be anything.
    pub envelope: &'a [u8],
    /// Number of elements.
    pub records: u64,
    /// The server's clock when the request was sent, as the `Date` of its answer shows it, or our best estimate where it has none;
    /// as far ahead of it as [`crate::StreamView::now`] was. What happens later need not be on the page.
    pub server_time: Timestamp,
}

/// An answer that is no page: any status but 200, or 200 with an error in it.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, in either form.
    pub retry_after: Option<Duration>,
    /// `Content-Type`, empty if none.
    pub content_type: String,
    /// The first 64 KiB of the body; of a page that calls itself an error, what is not its records.
    pub body: Vec<u8>,
}

impl Rejection {
    /// What any JSON API means by this status; `denied_hint` says what a person should do about 401 and 403.
    pub fn classify(&self, denied_hint: &str) -> ReadError {
        let reason = self.reason();
        match self.status {
            429 => ReadError::Throttled { retry_after: self.retry_after, reason },
            503 if self.retry_after.is_some() => ReadError::Throttled { retry_after: self.retry_after, reason },
            201..=299 => {
                ReadError::Transient(format!("{reason}: no page of the log, which comes with status 200 only"))
            }
            401 | 403 => ReadError::Denied(format!("{reason}; {denied_hint}")),
            407 => ReadError::Denied(format!(
                "{reason}: the proxy asks for a credential; write it into the proxy's address, as `http://user:password@host:port`"
            )),
            300..=399 => ReadError::Denied(format!(
                "{reason}: a redirect, which is refused so that credentials stay with the configured endpoint; check `endpoint` and the credentials"
            )),
            // The 200 of a page that calls itself an error.
            200 | 408 | 425 | 500..=599 => ReadError::Transient(reason),
            _ => ReadError::Malformed(reason),
        }
    }

    /// The status and what the body says, for a person. Every text of an answer that is shown passes here or through
    /// [`excerpt`].
    pub fn reason(&self) -> String {
        let status = self.status;
        let with = if status == 200 { " with an error" } else { "" };
        if let Some(message) = self.message() {
            return format!("HTTP {status}{with}: {message}");
        }
        if self.body.trim_ascii().is_empty() {
            return format!("HTTP {status}{with}");
        }
        let what = if instead_of_json(&self.content_type, &self.body).is_some() { " that is not JSON" } else { "" };
        format!("HTTP {status}{with}, a body{what}: {}", excerpt(&self.body))
    }

    /// The message inside the error body, whatever its shape: problem details, `errors`, `error`, `message`,
    /// `error_msg`, or plain text. At most 300 characters; `None` for HTML and empty bodies.
    pub fn message(&self) -> Option<String> {
        let text = match serde_json::from_slice::<serde_json::Value>(&self.body) {
            Ok(_) if self.status == 200 => complaint(&self.body, 0)?,
            Ok(body) => answer::message(&body)?,
            Err(_) => {
                let text = std::str::from_utf8(&self.body).ok()?.trim();
                if text.is_empty() || instead_of_json(&self.content_type, &self.body).is_some() {
                    return None;
                }
                text.to_owned()
            }
        };
        Some(shown(&text, 300))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(status: u16, body: &str) -> Rejection {
        Rejection { status, retry_after: None, content_type: String::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn every_known_error_shape_gives_its_message() {
        let check = |body: &str, expected: Option<&str>| {
            assert_eq!(rejection(400, body).message().as_deref(), expected, "{body}");
        };
        check(r#"{"errors":["a","b"]}"#, Some("a; b"));
        check(r#"{"error":"a"}"#, Some("a"));
        check(r#"{"errors":{"name":["is missing"]}}"#, Some("name: is missing"));
        check(r#"{"error":{"message":"a"},"reference":"r1"}"#, Some("a (reference r1)"));
        check(r#"{"title":"t","status":400,"detail":"d","errors":[{"detail":"x"}]}"#, Some("d"));
        check(r#"{"error_msg":"a"}"#, Some("a"));
        check("plain", Some("plain"));
        check("<html>no</html>", None);
        check("", None);
        check("17", None);
        check("a\u{1b}[2Jb", Some(r"a\u{1b}[2Jb"));
    }

    #[test]
    fn the_reason_names_what_came() {
        let reason = |status, body: &str| rejection(status, body).reason();
        assert_eq!(reason(500, ""), "HTTP 500");
        assert_eq!(reason(403, r#"{"message":"no"}"#), "HTTP 403: no");
        assert_eq!(reason(200, r#"{"ok":false,"error":"no","data":[]}"#), "HTTP 200 with an error: no");
        assert_eq!(reason(502, "<html>no</html>"), "HTTP 502, a body that is not JSON: `<html>no</html>`");
    }

    #[test]
    fn the_status_says_what_to_do() {
        let class = |status| rejection(status, "").classify("ask an administrator").class();
        assert_eq!(class(429), "throttled");
        assert_eq!(class(503), "transient");
        assert_eq!(class(401), "denied");
        assert_eq!(class(302), "denied");
        assert_eq!(class(407), "denied");
        for no_page in [200, 202, 204, 206] {
            assert_eq!(class(no_page), "transient");
        }
        assert_eq!(class(400), "malformed");
    }
}
