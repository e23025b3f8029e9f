//! When re-scans were done, and where the next one begins.

use chrono::TimeDelta;
use headwater_contracts::{Rescan, Timestamp};
use serde::{Deserialize, Serialize};

/// When a re-scan was last done. Its fields are a file format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescanned {
    /// Its interval, in milliseconds.
    pub every_ms: i64,
    /// Its span, in milliseconds.
    pub span_ms: i64,
    /// The server's clock when it began.
    pub at: Timestamp,
}

impl Rescanned {
    /// `rescan` was done at `at`.
    pub fn new(rescan: &Rescan, at: Timestamp) -> Self {
        Self { every_ms: rescan.every.0.num_milliseconds(), span_ms: rescan.span.0.num_milliseconds(), at }
    }

    /// Whether it is this re-scan; one with other figures is another.
    pub fn is(&self, rescan: &Rescan) -> bool {
        *self == Self::new(rescan, self.at)
    }

    /// When `rescan` was last done, as `all` tell; `None` for a new one.
    pub fn last(all: &[Self], rescan: &Rescan) -> Option<Timestamp> {
        all.iter().find(|done| done.is(rescan)).map(|done| done.at)
    }
}

/// Where `rescan` begins if it is done now and was `last` done then. After a pause that is further back than its span, so
/// that what appears up to `span` less `every` late is found even then.
pub fn rescan_begin(rescan: &Rescan, last: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let regular = now - rescan.span.0;
    let known_late = (rescan.span.0 - rescan.every.0).max(TimeDelta::zero());
    last.map_or(regular, |last| regular.min(last - known_late))
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::Period;

    #[test]
    fn after_a_pause_a_re_scan_reaches_further_back() {
        let rescan = Rescan { every: Period::hours(1), span: Period::hours(24) };
        let now = Timestamp::from_timestamp(1_700_000_000, 0).unwrap();
        let ago = |hours| now - TimeDelta::hours(hours);
        assert_eq!(rescan_begin(&rescan, None, now), ago(24));
        assert_eq!(rescan_begin(&rescan, Some(ago(1)), now), ago(24));
        assert_eq!(rescan_begin(&rescan, Some(ago(10)), now), ago(33));
        let done = [Rescanned::new(&rescan, ago(3))];
        assert_eq!(Rescanned::last(&done, &rescan), Some(ago(3)));
        assert_eq!(Rescanned::last(&done, &Rescan { every: Period::hours(2), ..rescan }), None);
    }
}
