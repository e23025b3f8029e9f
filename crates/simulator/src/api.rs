//! What a simulated provider adds to the frame: one implementation per API.

use crate::dice::Dice;
use crate::faults::{ErrorBody, RetryAfter};
use crate::log::{Entry, Log};

/// A request, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// When it arrived, by the server's clock, ms.
    pub(crate) now: i64,
    /// Path as sent.
    pub(crate) path: String,
    /// Raw query.
    pub(crate) query: String,
    /// Query parameters, decoded, in order.
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) accept: String,
    pub(crate) authorization: String,
    /// `X-API-KEY`.
    pub(crate) api_key: String,
    pub(crate) cookie: String,
    pub(crate) user_agent: String,
    /// Body of a `POST`.
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// The last value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What comes before the events; the whole body if there are none.
    pub(crate) prefix: Vec<u8>,
    /// Indices of the events, rendered as of `as_of` and separated by commas.
    pub(crate) items: Vec<usize>,
    pub(crate) suffix: Vec<u8>,
    /// The state of the events that is shown, ms.
    pub(crate) as_of: i64,
}

impl Reply {
    /// A body without events.
    pub(crate) fn text(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            prefix: body,
            items: Vec::new(),
            suffix: Vec::new(),
            as_of: 0,
        }
    }

    /// An error.
    pub(crate) fn error(status: u16, shape: ErrorBody, message: &str, call: &Call) -> Self {
        let (content_type, body) = shape.write(status, message, &call.accept);
        Self::text(status, content_type, body)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `Retry-After`, if it says anything.
    pub(crate) fn retry_after(self, retry_after: RetryAfter, now: i64) -> Self {
        match retry_after.header(now) {
            Some(value) => self.header("retry-after", value),
            None => self,
        }
    }
}

/// What does not change about a provider while it is simulated.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The credential that opens the log, as a client configures it.
    pub(crate) credential: String,
    /// A valid credential that may not read the log.
    pub(crate) unprivileged_credential: String,
    /// What comes after the origin in the endpoint a client configures.
    pub(crate) context_path: String,
    /// Path of the audit log, with the context path.
    pub(crate) audit_path: String,
    /// `(usual, all)`: the number of samples, and with the odd ones behind them.
    pub(crate) samples: (usize, usize),
    /// Events older than this, in ms, are gone.
    pub(crate) retention: i64,
}

/// One simulated provider.
pub(crate) trait Api: Send {
    /// What is always so.
    fn facts(&self) -> &Facts;

    /// Whether a request asks for the audit log.
    fn is_audit(&self, method: &str, path: &str) -> bool {
        method == "GET" && path == self.facts().audit_path
    }

    /// The id of an event as the provider spells it, and back.
    fn id(&self, key: u128) -> String;

    /// The key of an id.
    fn key(&self, id: &str) -> Option<u128>;

    /// When an event of `time` becomes visible; `dice` are the event's own.
    fn visible_at(&self, time: i64, dice: &mut Dice) -> i64;

    /// Appends the JSON of an event, as it is shown at `as_of`.
    fn render(&self, entry: &Entry, as_of: i64, out: &mut Vec<u8>);

    /// Every instant from which on the event is shown in another form, the first included.
    fn versions(&self, entry: &Entry) -> Vec<i64> {
        vec![entry.visible_at]
    }

    /// Further events that come with one that happens.
    fn companions(&mut self, _: &Entry) -> Vec<Entry> {
        Vec::new()
    }

    /// Answers a request for the audit log, and records it as the provider does.
    fn audit(&mut self, log: &mut Log, call: &Call) -> Reply;

    /// A request for the audit log has been refused before it got through.
    fn refused(&mut self, log: &mut Log, call: &Call);

    /// Answers any other `POST`.
    fn post(&mut self, _: &mut Log, _: &Call) -> Reply {
        Reply::text(405, "text/plain", Vec::new())
    }

    /// Answers any other `GET`, and records it as the provider does.
    fn other(&mut self, log: &mut Log, call: &Call) -> Reply;

    /// Whether the provider records who reads the audit log, whoever it is.
    fn records_readings(&self) -> bool {
        true
    }
}
