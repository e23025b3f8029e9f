//! The contract of a source plugin: sans-IO.
//!
//! A plugin is pure: it plans scans, builds requests, reads pages, tells identities. The runtime sends, waits,
//! authenticates, retries, and keeps the ledger, once for all sources.
//!
//! ```text
//! plan(view) ──► Scan ──request()──► [runtime: budget, credentials, HTTP] ──► record(raw) for every element
//!                 ▲                                                             │
//!                 └──────────── Next::More ◄───────── page(end) ◄───────────────┘
//!                                        └─► Complete: coverage, state · Restart · Split
//! ```

use crate::{
    ConfigError, Coverage, Echo, Identity, Import, OwnRequests, PageEnd, ReadError, Rejection, Request, Span,
    Timestamp, Vocabulary,
};
use serde_json::Value;

/// What a plugin may know when it plans: the committed ledger of one stream, and the time.
#[derive(Debug)]
pub struct StreamView<'a> {
    /// Name of the stream, one of [`Source::streams`].
    pub stream: &'a str,
    /// The server's clock, as far as it is known (`Date` of the last answer, carried on by our own). Ahead of it while it is behind what
    /// the ledger speaks of, and the clocks disagree.
    pub now: Timestamp,
    /// Where the first run begins: `start_at`, resolved once and kept for ever.
    pub start: Timestamp,
    /// Whether no scan has been completed since the run began: a person who starts headwater expects it to look now.
    /// A plugin whose provider counts calls may keep to its own pace all the same.
    pub first: bool,
    /// What complete scans have covered.
    pub coverage: &'a Coverage,
    /// What the plugin last had committed; `None` on a first run. Its fields are a file format.
    pub state: Option<&'a Value>,
    /// When each of the last requests of this stream was sent, ascending, for as far back as the plugin's
    /// [`Source::budget_window`] asks. For budgets that outlive a restart.
    pub calls: &'a [Timestamp],
}

/// What to do now.
#[derive(Default)]
pub struct Plan {
    /// Scans that are due, run one after the other in this order. After the last, the plugin is asked again: an
    /// empty list means caught up.
    pub scans: Vec<Box<dyn Scan>>,
    /// When to ask again if no scan is due.
    pub wake: Option<Timestamp>,
    /// Ranges that the provider no longer holds and that were never read. Reported loudly.
    pub gaps: Vec<Gap>,
    /// Remarks for the person who runs this: what was held back, and why. Each text is logged once.
    pub notes: Vec<String>,
}

/// A range that can no longer be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The range.
    pub span: Span,
    /// Why, and what to do about it.
    pub reason: String,
}

/// One audit API.
pub trait Source: Send + Sync + 'static {
    /// Names of the remote logs this source reads. Stable across restarts: the ledger is keyed by them.
    fn streams(&self) -> Vec<String>;

    /// The scans that are due. Pure: same view, same plan.
    fn plan(&self, view: &StreamView<'_>) -> Plan;

    /// Identities of events older than this may be forgotten: no scan will meet them again.
    fn horizon(&self, now: Timestamp) -> Timestamp;

    /// Requests that a stream costs on a day on which nothing happens: what the settings alone ask for. Pages of events, and what is
    /// asked again after failures, come on top.
    fn requests_per_day(&self) -> u64;

    /// How long the provider keeps a record, as far as is known.
    fn retention(&self) -> chrono::Duration;

    /// How far back the ledger surely knows what was delivered, with these settings: reading can begin anew there, and is exact. At
    /// most as far as [`Source::horizon`] goes.
    fn look_back(&self) -> chrono::Duration {
        self.retention()
    }

    /// The latest reading of a clock in a committed state. One of a time still to come shows that a clock was wrong, and the
    /// state is not used.
    fn latest(&self, _state: &Value) -> Option<Timestamp> {
        None
    }

    /// How far back [`StreamView::calls`] must reach.
    fn budget_window(&self) -> chrono::Duration {
        chrono::Duration::zero()
    }

    /// Whether the provider records requests for pages. If it does not, they need not be remembered; logins always are.
    fn leaves_echoes(&self) -> bool {
        true
    }

    /// Whether several customers share the endpoint, so that only the credential says whose log a stream is.
    fn shares_endpoint(&self) -> bool {
        false
    }

    /// What works and will hardly do what its author expects, each at its option: warnings before anything runs.
    fn remarks(&self) -> Vec<ConfigError> {
        Vec::new()
    }

    /// Told before a run that answers one question and keeps nothing: from then on the source plans as few requests for it as
    /// its API allows. `true` if it reads the newest records first, so that whoever asks for these may stop it.
    fn look_up(&mut self, _lookup: Lookup) -> bool {
        false
    }

    /// A reader for a file of this stream's records; `state` is what the stream's last scan had committed. `None` if there
    /// is nothing to import.
    fn import(&self, _stream: &str, _state: Option<&Value>) -> Option<Box<dyn Import>> {
        None
    }

    /// What its log can be asked for: how the provider is asked for its names, and which of them these settings hold. A person
    /// asks; reading never depends on it.
    fn vocabulary(&self) -> Vocabulary {
        Vocabulary::default()
    }

    /// Whether its scans deliver records beyond `max_event_bytes` shortened ([`Scan::trimmed`]), rather than not at all.
    fn shortens(&self) -> bool {
        false
    }

    /// How long an own request may wait for its echo before it is forgotten.
    fn echo_window(&self) -> chrono::Duration {
        chrono::Duration::days(1)
    }
}

/// What a person asks a log for, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookup {
    /// From when to when.
    pub range: Span,
    /// How many of the newest records are enough; `None` if all are asked for, or more may have to be read to find them.
    pub newest: Option<usize>,
    /// When it is asked.
    pub at: Timestamp,
}

/// An element of a page, as far as the runtime must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The provider's id, or the fingerprint's hex where it has none.
    pub id: String,
    /// Its identity.
    pub identity: Identity,
    /// When it happened, if it says so readably.
    pub time: Option<Timestamp>,
    /// The time that it shows where that lies outside of what was asked for, so that it has no `time` here. Another page may show
    /// it in its place, as the same event.
    pub stray: Option<Timestamp>,
    /// Whether our own reading caused it.
    pub echo: Echo,
    /// `false` for a record that another scan is responsible for (outside this scan's range): it counts as read and
    /// suppressed.
    pub wanted: bool,
}

impl Record {
    /// One that is wanted, and that our own reading did not cause.
    pub fn foreign(id: impl Into<String>, identity: Identity, time: Option<Timestamp>) -> Self {
        Self { id: id.into(), identity, time, stray: None, echo: Echo::Foreign, wanted: true }
    }

    /// One whose time lies outside of what was asked for.
    pub fn stray(id: impl Into<String>, identity: Identity, time: Timestamp, wanted: bool) -> Self {
        Self { stray: Some(time), wanted, ..Self::foreign(id, identity, None) }
    }
}

/// An element that is not a record. It goes to the dead letters, identified by its bytes; the page goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong with it.
    pub reason: String,
}

/// Where a scan goes after a page.
pub enum Next {
    /// Ask for the next page.
    More,
    /// The whole range has been read.
    Complete,
    /// The chain broke (expired token, moved rows): the scan has gone back to its start and asks for the first page
    /// again. Identities make the repetition cheap and exact. The reason is logged.
    Restart(String),
    /// This range must be read in pieces: these scans replace this one, in order.
    Split(Vec<Box<dyn Scan>>),
}

/// One complete read of a range of a stream, page by page: a state machine without sockets.
///
/// For each page the runtime calls `request`, then either `record` for every element as it streams in and `page` at
/// the end, or `rejected`. A page that breaks off is asked for again: `request` is then called again, and its
/// elements pass `record` again.
pub trait Scan: Send {
    /// The range that completing this scan covers. Asked when it is complete.
    fn span(&self) -> Span;

    /// Path of object keys to the array of elements in a page; empty if the page is the array.
    fn elements(&self) -> &'static [&'static str];

    /// Whether the answer to the next request is handed to `page` as it is, whatever its shape: a question about the account,
    /// not a page of the log. Then `elements` does not count.
    fn whole(&self) -> bool {
        false
    }

    /// The request for the page the scan stands at.
    fn request(&mut self) -> Request;

    /// Reads one element: one JSON value, as received but for what no parser can hold ([`crate::json::view`]). `sent` are the own requests not matched so far.
    fn record(&mut self, raw: &[u8], sent: &OwnRequests) -> Result<Record, Unreadable>;

    /// Reads the end of a page.
    fn page(&mut self, end: &PageEnd<'_>) -> Result<Next, ReadError>;

    /// Reads an answer that is no page. The default for most APIs is [`Rejection::classify`].
    fn rejected(&mut self, rejection: &Rejection) -> Result<Next, ReadError>;

    /// Hears of an answer that says it is a page and cannot be split into elements. The default passes the error on; a scan
    /// for something that is merely useful may go on without it.
    fn unusable(&mut self, error: ReadError) -> Result<Next, ReadError> {
        Err(error)
    }

    /// What to deliver instead of an element, of which [`Scan::record`] has passed a [`crate::json::view`], for an API whose records can grow without
    /// bound; `None`, nearly always, delivers it as it is. It must say that something was left out.
    fn trimmed(&self, _raw: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Remarks on what the last page held, for the person who runs this. Each text is logged once.
    fn remarks(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// What to commit with everything read up to the last page; `None` leaves the stream's state as it is. Asked after
    /// each page (progress within a scan) and at its end.
    fn state(&self) -> Option<Value>;

    /// One line for a person: what this scan reads.
    fn describe(&self) -> String;

    /// How much of the range has been read, 0 to 1, if it can be told.
    fn progress(&self) -> Option<f64> {
        None
    }
}
