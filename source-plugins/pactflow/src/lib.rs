//! PactFlow audit log: `GET {endpoint}/audit`, oldest first.
//!
//! | what | on the wire |
//! |---|---|
//! | credentials | `Authorization: Bearer TOKEN`; a token has its owner's permissions and may expire or be regenerated |
//! | page | HAL: `{"events": [..], "_links": {"self": {"href"}, "next": {"href"}}}`; `next` may be absent at the end |
//! | position | `from=UUID`, keyset; whether that event itself comes back is not stated, both are handled |
//! | other parameters | `since` (not on old on-premises versions), `pageSize` 1 to 100; default size unknown |
//! | event id | `uuid`: 22 characters, case-sensitive, opaque, not sortable |
//! | time | `timestamp`: RFC 3339 with milliseconds and any numeric offset, which changes with daylight saving |
//! | order | ascending by time; an event may become visible minutes after a later-stamped one |
//! | retention | 90 days |
//! | throttle | none documented; 429 and 503 with `Retry-After` are obeyed |
//! | errors | problem details, or one of four older shapes, or HTML |
//! | side effect | **every read of the log is itself an event**, so "follow `next` until it is gone" need not end |
//!
//! Facts: the vendor's announcement of the audit API, its API portal ("Getting Started", "Authentication and
//! Authorization", "Errors", "Pagination"), its on-premises release notes up to 2.2.0, and the audit schema in the
//! vendor's own client. Where they contradict each other or are silent, the reading here is right under both.
//!
//! How fast: every page read is a record, so small pages stretch the intervals (`Pace`), and a page too small for any
//! interval costs the tail its overlap.
//!
//! How it reads: one kind of scan, from a known event to the server's clock at the scan's first answer. Where it
//! begins makes it a tail (a little before the last poll) or a re-scan (further back). Known events are *milestones*,
//! kept in the stream's state; identities in the ledger make the overlap exact.

mod config;
mod echo;
mod import;
mod page;
mod record;
mod scan;
mod source;
mod state;

pub use config::{OnCursorLost, OwnIdentity, PactflowConfig};

/// Events expire after this long. Source: the vendor's announcement of the audit API.
const RETENTION: chrono::TimeDelta = chrono::TimeDelta::days(90);
