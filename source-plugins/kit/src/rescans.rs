//! When the re-scans of a stream were last done, and how far back the next ones must begin.

use headwater_contracts::{Rescan, Timestamp};
use serde::{Deserialize, Serialize};

/// When each re-scan was last done. Part of a stream's state: its fields are a file format.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rescans(Vec<Rescanned>);

/// When one was last done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rescanned {
    every_ms: i64,
    span_ms: i64,
    at: Timestamp,
}

impl Rescanned {
    fn new(rescan: &Rescan, at: Timestamp) -> Self {
        Self { every_ms: rescan.every.0.num_milliseconds(), span_ms: rescan.span.0.num_milliseconds(), at }
    }

    fn is(&self, rescan: &Rescan) -> bool {
        *self == Self::new(rescan, self.at)
    }
}

impl Rescans {
    /// When `rescan` was last done. A new one counts as never done.
    pub fn last(&self, rescan: &Rescan) -> Option<Timestamp> {
        self.0.iter().find(|done| done.is(rescan)).map(|done| done.at)
    }

    /// When the last one of all was done.
    pub fn latest(&self) -> Option<Timestamp> {
        self.0.iter().map(|done| done.at).max()
    }

    /// Where `rescan` begins if it is done now. After a pause that is further back than its span, so that what appears
    /// up to `span` less `every` late is found even then.
    pub fn begin(&self, rescan: &Rescan, now: Timestamp) -> Timestamp {
        let regular = now - rescan.span.0;
        let known_late = (rescan.span.0 - rescan.every.0).max(chrono::TimeDelta::zero());
        self.last(rescan).map_or(regular, |done| regular.min(done - known_late))
    }

    /// Notes that `rescan` was done at `at`.
    pub fn done(&mut self, rescan: &Rescan, at: Timestamp) {
        self.0.retain(|old| !old.is(rescan));
        self.0.push(Rescanned::new(rescan, at));
    }

    /// Notes that a scan which began at `at` did these; forgets those that are not `configured` any more.
    pub fn complete(&mut self, done: &[Rescan], configured: &[Rescan], at: Timestamp) {
        let fresh: Vec<Rescanned> = done.iter().map(|rescan| Rescanned::new(rescan, at)).collect();
        self.0.retain(|old| {
            configured.iter().any(|rescan| old.is(rescan))
                && !fresh.iter().any(|new| (new.every_ms, new.span_ms) == (old.every_ms, old.span_ms))
        });
        self.0.splice(0..0, fresh);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::Period;

    #[test]
    fn a_rescan_begins_its_span_back_and_further_after_a_pause() {
        let at = |hours: i64| Timestamp::from_timestamp(1_700_000_000 + hours * 3600, 0).unwrap();
        let (daily, weekly) = (
            Rescan { every: Period::hours(24), span: Period::hours(48) },
            Rescan { every: Period::days(7), span: Period::days(30) },
        );
        let mut rescans = Rescans::default();
        assert_eq!((rescans.last(&daily), rescans.begin(&daily, at(100))), (None, at(52)));
        rescans.complete(&[daily, weekly], &[daily, weekly], at(100));
        assert_eq!(rescans.begin(&daily, at(124)), at(76));
        assert_eq!(rescans.begin(&daily, at(200)), at(76), "what appeared in the pause is found");
        rescans.complete(&[daily], &[daily], at(200));
        assert_eq!((rescans.last(&daily), rescans.last(&weekly)), (Some(at(200)), None));
        let text = serde_json::to_string(&rescans).unwrap();
        assert_eq!(serde_json::from_str::<Rescans>(&text).unwrap(), rescans);
    }
}
