//! What goes wrong, and when.

use crate::dice::Dice;
use crate::time::seconds;
use serde::{Deserialize, Serialize};

/// A fault and the requests it befalls. Requests to the audit log are counted from 0, whatever their answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// Which requests.
    pub when: When,
    /// What happens to them.
    pub fault: Fault,
}

/// Which requests a fault befalls. Each of them ends, so that a patient client gets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// `count` requests, from the one with number `first` on.
    Requests {
        /// Number of the first, from 0.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Requests that arrive within `for_s` seconds, beginning `after_s` seconds after the start, by the server's clock.
    During {
        /// Seconds from the start of the simulator to the start of the trouble.
        after_s: u32,
        /// Seconds until it heals.
        for_s: u32,
    },
    /// `per_mille` of 1000 requests, chosen by the seed, among the first `within`; never two in a row by one rule.
    Sometimes {
        /// Share, of 1000.
        per_mille: u16,
        /// No request with this number or a higher one.
        within: u64,
    },
}

impl When {
    /// Whether request `number`, arriving `since_start` ms after the start, is befallen by rule number `rule`.
    pub(crate) fn applies(self, seed: u64, rule: u64, number: u64, since_start: i64) -> bool {
        match self {
            Self::Requests { first, count } => number.checked_sub(first).is_some_and(|n| n < count),
            Self::During { after_s, for_s } => (0..seconds(for_s)).contains(&(since_start - seconds(after_s))),
            Self::Sometimes { per_mille, within } => {
                let hit = |n: u64| Dice::new(&[seed, 0xfa, rule, n]).chance(per_mille);
                // The predecessor is looked at alone, not its own predecessors: a share a little below `per_mille`.
                number < within && hit(number) && !number.checked_sub(1).is_some_and(hit)
            }
        }
    }
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// An error status.
    Status {
        /// HTTP status.
        status: u16,
        /// Shape of the body.
        body: ErrorBody,
        /// `Retry-After`.
        retry_after: RetryAfter,
    },
    /// 302 to `/login`.
    Redirect {
        /// To the trap on another origin instead of the provider's own.
        elsewhere: bool,
    },
    /// 200 with an HTML page.
    Html,
    /// 200 with a page that calls itself an error.
    Complaint {
        /// Whether half of the page's records come along; none otherwise.
        records: bool,
    },
    /// The connection breaks in the middle of the body.
    CutBody,
    /// The body ends in the middle, and HTTP says that is all.
    ShortBody,
    /// The body stops in the middle and the connection stays open.
    Stall {
        /// Milliseconds of real time until the connection breaks; `None` waits for the client to go away.
        close_after_ms: Option<u64>,
    },
    /// The whole body, a KiB at a time.
    Trickle {
        /// Milliseconds of real time between two pieces.
        pause_ms: u64,
    },
    /// The request is received and never answered.
    Hang,
}

impl Fault {
    /// An error status without `Retry-After`.
    pub fn status(status: u16, body: ErrorBody) -> Self {
        Self::Status { status, body, retry_after: RetryAfter::None }
    }

    /// Whether an answer does not end until the client goes away.
    pub fn hangs(self) -> bool {
        matches!(self, Self::Hang | Self::Stall { close_after_ms: None })
    }

    /// Too many requests.
    pub fn throttle(retry_after: RetryAfter) -> Self {
        Self::Status { status: 429, body: ErrorBody::Negotiated, retry_after }
    }
}

/// How an answer says when to come again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    /// Not at all.
    #[default]
    None,
    /// In seconds.
    Seconds(u32),
    /// As an HTTP date, this many seconds ahead.
    Date(u32),
}

impl RetryAfter {
    /// The header's value at `now` (ms).
    pub(crate) fn header(self, now: i64) -> Option<String> {
        match self {
            Self::None => None,
            Self::Seconds(seconds) => Some(seconds.to_string()),
            Self::Date(ahead) => Some(http_date(now + seconds(ahead))),
        }
    }
}

/// An instant as in the `Date` header.
pub(crate) fn http_date(ms: i64) -> String {
    httpdate::fmt_http_date(crate::time::instant(ms).into())
}

/// The shapes of error bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorBody {
    /// `Problem` if the client accepts `application/problem+json`, else `Errors`.
    #[default]
    Negotiated,
    /// `application/problem+json`.
    Problem,
    /// `{"errors": ["..."]}`
    Errors,
    /// `{"error": "..."}`
    Error,
    /// `{"errors": {"name": ["..."]}}`
    ErrorsMap,
    /// `{"error": {"message": "..."}, "reference": "..."}`
    ErrorMessage,
    /// `{"code": "...", "message": "..."}`
    CodeMessage,
    /// `{"error_msg": "..."}` (API7)
    ErrorMsg,
    /// `{"message": "..."}` (API7)
    Message,
    /// An HTML page.
    Html,
    /// Plain text.
    Plain,
    /// No body.
    Empty,
}

impl ErrorBody {
    /// Every shape that is not one provider's own.
    pub const ALL: [Self; 10] = [
        Self::Negotiated,
        Self::Problem,
        Self::Errors,
        Self::Error,
        Self::ErrorsMap,
        Self::ErrorMessage,
        Self::CodeMessage,
        Self::Html,
        Self::Plain,
        Self::Empty,
    ];

    /// Content type and body for `status`, saying `message`, to a client that sent `accept`.
    pub(crate) fn write(self, status: u16, message: &str, accept: &str) -> (&'static str, Vec<u8>) {
        use serde_json::json;
        let hal = "application/hal+json;charset=utf-8";
        let (content_type, value) = match self {
            Self::Negotiated => {
                let shape = if accept.contains("application/problem+json") { Self::Problem } else { Self::Errors };
                return shape.write(status, message, accept);
            }
            Self::Problem => (
                "application/problem+json;charset=utf-8",
                json!({
                    "title": message, "type": format!("https://problems.example/{status}"), "status": status,
                    "instance": "/audit", "errors": [{ "detail": message, "pointer": "#/" }],
                }),
            ),
            Self::Errors => (hal, json!({ "errors": [message] })),
            Self::Error => (hal, json!({ "error": message })),
            Self::ErrorsMap => (hal, json!({ "errors": { "request": [message] } })),
            Self::ErrorMessage => (hal, json!({ "error": { "message": message }, "reference": "bQ7x2MzKp" })),
            Self::CodeMessage => ("application/json", json!({ "code": format!("E_{status}"), "message": message })),
            Self::ErrorMsg => ("application/json", json!({ "error_msg": message })),
            Self::Message => ("application/json", json!({ "message": message })),
            Self::Html => {
                let page = format!("<!DOCTYPE html><html><body><h1>{status}</h1><p>{message}</p></body></html>");
                return ("text/html; charset=utf-8", page.into_bytes());
            }
            Self::Plain => return ("text/plain", message.as_bytes().to_vec()),
            Self::Empty => return ("text/plain", Vec::new()),
        };
        (content_type, value.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sometimes_is_never_twice_in_a_row_and_ends() {
        let when = When::Sometimes { per_mille: 500, within: 200 };
        let hits: Vec<bool> = (0..400).map(|n| when.applies(9, 0, n, 0)).collect();
        assert!(hits.iter().filter(|hit| **hit).count() > 20);
        assert!(hits.windows(2).all(|pair| pair != [true, true]));
        assert!(hits[200..].iter().all(|hit| !hit));
    }

    #[test]
    fn an_outage_has_a_first_and_a_last_moment() {
        let when = When::During { after_s: 10, for_s: 5 };
        let at = |ms| when.applies(1, 0, 0, ms);
        assert_eq!([at(9_999), at(10_000), at(14_999), at(15_000)], [false, true, true, false]);
        let when = When::Requests { first: 2, count: 2 };
        assert_eq!((0..5).map(|n| when.applies(1, 0, n, 0)).collect::<Vec<_>>(), [false, false, true, true, false]);
    }
}
