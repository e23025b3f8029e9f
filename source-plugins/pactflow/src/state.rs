//! What a stream remembers between scans. Its fields are a file format.

use headwater_contracts::{Rescan, Timestamp};
use headwater_source_kit::Rescans;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Milestones closer than this add nothing.
const LEAST_DISTANCE: chrono::TimeDelta = chrono::TimeDelta::seconds(30);

/// The committed state of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// Events from which reading can start, ascending by time. Dense near the present, sparse far back.
    pub(crate) milestones: Vec<Milestone>,
    /// The server's clock when the last complete scan began: everything visible before was read then.
    pub(crate) polled: Option<Timestamp>,
    /// Where the range ends that the last complete scan covered; at or before `polled`.
    pub(crate) covered: Option<Timestamp>,
    /// The server's clock when the last complete scan ended: the next tail waits from then on.
    pub(crate) ended: Option<Timestamp>,
    /// The last complete scan ended where the log led in a circle, not at the present.
    pub(crate) circled: bool,
    /// New records that a full page brings, where two full pages in a row have shown it.
    pub(crate) page_records: Option<u64>,
    /// A scan that has not completed yet.
    pub(crate) open: Option<Open>,
    /// When each re-scan was last done.
    pub(crate) rescans: Rescans,
    /// A `pageSize` that the server refused; not sent again until the option changes.
    pub(crate) page_size_refused: Option<u32>,
}

/// An event that was read, acknowledged and committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Milestone {
    pub(crate) uuid: String,
    pub(crate) time: Timestamp,
}

/// How far an interrupted scan has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    /// Where the range begins that it will cover.
    pub(crate) from: Timestamp,
    /// The server's clock when it began.
    pub(crate) polled: Timestamp,
    /// Time of the last event of its last committed page.
    pub(crate) reached: Timestamp,
}

impl State {
    /// The latest reading of the server's clock in it.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        let open = self.open.as_ref().map(|open| open.polled);
        [self.polled, self.covered, self.ended, open, self.rescans.latest()].into_iter().max().flatten()
    }

    /// Reads a committed state. One that cannot be read counts as none: reading from the start again is exact,
    /// because the ledger knows what was delivered.
    pub(crate) fn read(value: Option<&Value>) -> Self {
        value.and_then(|value| Self::deserialize(value).ok()).unwrap_or_default()
    }

    /// Everything of the stream up to here has been read by some scan; `None` before the first page.
    pub(crate) fn read_to(&self) -> Option<Timestamp> {
        let last = if self.circled { self.covered } else { self.polled };
        last.max(self.open.as_ref().map(|open| open.reached))
    }

    /// The latest time at which the next scan may begin so that it misses nothing that appeared up to `back` late;
    /// without `back`, nothing that is later than the last event read.
    pub(crate) fn cutoff(&self, back: Option<chrono::TimeDelta>) -> Option<Timestamp> {
        match (&self.open, back) {
            (Some(open), Some(back)) => Some(open.reached.min(open.polled - back)),
            (Some(open), None) => Some(open.reached),
            (None, Some(back)) => self.polled.map(|polled| polled - back),
            (None, None) => self.polled.max(self.polled.and(self.newest())),
        }
    }

    /// Time of the latest event from which reading can start.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.milestones.last().map(|last| last.time)
    }

    /// What is older than this may have been delivered and forgotten; `None` before the first complete scan.
    pub(crate) fn forgotten(&self, now: Timestamp) -> Option<Timestamp> {
        let ended = self.ended.max(self.polled).filter(|_| self.polled.is_some())?;
        let last_read = self.newest().map_or(ended, |newest| newest.max(ended)) + crate::scan::AHEAD;
        Some(crate::source::horizon(now.max(ended)).min(last_read))
    }

    /// Learns how many new records a page brings. Two pages in a row that lead on and bring as many are full; a page that
    /// brings more than was thought possible is proof, too. The first page of a chain may repeat one event.
    pub(crate) fn learn_page(&mut self, fresh: u64, before: Option<u64>, leads_on: bool) {
        let repeated = u64::from(before.is_none());
        let full = fresh > 0 && leads_on && before == Some(fresh);
        if full || self.page_records.is_some_and(|known| fresh > known + repeated) {
            self.page_records = Some(fresh);
        }
    }

    /// When `rescan` is due next; `None` before the first complete scan, which reads everything anyway.
    pub(crate) fn rescan_due(&self, rescan: &Rescan, every: chrono::TimeDelta) -> Option<Timestamp> {
        let polled = self.polled?;
        Some(self.rescans.last(rescan).map_or(polled, |done| done + every))
    }

    /// Adds a milestone and forgets those that no scan will want.
    pub(crate) fn pass(&mut self, milestone: Milestone, now: Timestamp) {
        self.milestones.retain(|known| known.uuid != milestone.uuid);
        let place = self.milestones.partition_point(|known| known.time <= milestone.time);
        self.milestones.insert(place, milestone);
        self.thin(now);
    }

    /// Keeps a milestone if its distance to the one before is a sixteenth of its age or more, and the newest: a scan
    /// that wants to begin some time ago reads at most an eighth more than it must, and 90 days take less than 200.
    fn thin(&mut self, now: Timestamp) {
        let newest = self.milestones.last().map(|last| last.uuid.clone());
        let mut kept: Option<Timestamp> = None;
        self.milestones.retain(|known| {
            let distance = LEAST_DISTANCE.max((now - known.time) / 16);
            let wanted = known.time > now - crate::RETENTION
                && (kept.is_none_or(|kept| known.time - kept >= distance) || Some(&known.uuid) == newest.as_ref());
            if wanted {
                kept = Some(known.time);
            }
            wanted
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_state_that_cannot_be_read_counts_as_none() {
        assert_eq!(State::read(Some(&serde_json::json!({ "milestones": 7 }))), State::default());
        assert_eq!(State::read(None), State::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn milestones_stay_few_and_never_leave_a_wide_hole(step in 1i64..5000) {
            let mut state = State::default();
            let mut now = 0;
            for n in 0..3000 {
                now = n * step;
                state.pass(Milestone { uuid: n.to_string(), time: at(now) }, at(now));
                prop_assert!(state.milestones.len() < 200);
            }
            prop_assert_eq!(state.milestones.last().unwrap().time, at(now));
            prop_assert!(state.milestones.is_sorted_by_key(|known| known.time));
            for pair in state.milestones.windows(2) {
                let age = at(now) - pair[0].time;
                let hole = pair[1].time - pair[0].time;
                prop_assert!(hole <= chrono::TimeDelta::seconds(60 + 2 * step) + age / 8, "{} {}", age, hole);
            }
            prop_assert_eq!(State::read(Some(&serde_json::to_value(&state).unwrap())), state);
        }
    }
}
