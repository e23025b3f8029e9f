//! When each re-scan of a stream was last done.

use headwater_contracts::{Rescan, Timestamp};
use serde::{Deserialize, Serialize};

/// A re-scan, and when it was last done. For a plugin's state: its fields are a file format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescanned {
    /// [`Rescan::every`], in milliseconds.
    pub every_ms: i64,
    /// [`Rescan::span`], in milliseconds.
    pub span_ms: i64,
    /// By the server's clock.
    pub at: Timestamp,
}

impl Rescanned {
    /// `rescan`, done at `at`.
    pub fn new(rescan: &Rescan, at: Timestamp) -> Self {
        Self { every_ms: rescan.every.0.num_milliseconds(), span_ms: rescan.span.0.num_milliseconds(), at }
    }

    /// Whether it is about `rescan`.
    pub fn is(&self, rescan: &Rescan) -> bool {
        self.every_ms == rescan.every.0.num_milliseconds() && self.span_ms == rescan.span.0.num_milliseconds()
    }

    /// Where `rescan`, last done at `done`, begins if it is done now. After a pause that is further back than its span, so
    /// that what appears up to `span` less `every` late is found even then.
    pub fn begin(rescan: &Rescan, done: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let regular = now - rescan.span.0;
        let known_late = (rescan.span.0 - rescan.every.0).max(chrono::TimeDelta::zero());
        done.map_or(regular, |done| regular.min(done - known_late))
    }
}
