//! What a stream remembers between scans. Its fields are a file format.

use crate::unit::Unit;
use headwater_contracts::{Rescan, Timestamp};
use headwater_source_kit::Rescans;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The committed state of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// What the log's oldest entry told.
    pub(crate) probe: Option<Probed>,
    /// The watermark: everything before this has been read once.
    pub(crate) watermark: Option<Timestamp>,
    /// How far the last window reached. Before the watermark while the server's clock is behind what it was.
    pub(crate) read_to: Option<Timestamp>,
    /// The server's clock when the last window was complete.
    pub(crate) polled: Option<Timestamp>,
    /// The last window ended before the present: the next follows at once.
    pub(crate) behind: bool,
    /// How many days the next window reads at most; 0 is 1.
    pub(crate) days: u32,
    /// When each re-scan was last done.
    pub(crate) rescans: Rescans,
    /// Digest of the filter that the watermark speaks of; `None` for all events.
    pub(crate) filter: Option<String>,
    /// Whose token headwater reads with, as its own records show it.
    pub(crate) owner: Option<Owner>,
    /// When the list of event types was asked for, and whether it had the one that the filter names.
    pub(crate) types: Option<Types>,
    /// A `page_size` that the server refused; replaced by a small one until the option changes.
    pub(crate) page_size_refused: Option<u32>,
    /// Records of own reads were so large that small pages are asked for.
    pub(crate) heavy: bool,
    /// How many records a page holds, where own reads are recorded; `None` where none was met.
    pub(crate) page_records: Option<u64>,
}

/// What the log's oldest entry told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probed {
    /// The server's clock then.
    pub(crate) at: Timestamp,
    /// The unit of its time; `None` if the log was empty.
    pub(crate) unit: Option<Unit>,
    /// Its time.
    pub(crate) oldest: Option<Timestamp>,
}

/// The owner of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) operator_id: String,
    pub(crate) token_name: String,
}

/// What is known of the list of event types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Types {
    /// The server's clock when it was asked for.
    pub(crate) at: Timestamp,
    /// A type that the filter names and the list has not.
    pub(crate) unknown: Option<String>,
}

/// Longest window, in days.
const DAYS_MAX: u32 = 32;

impl State {
    /// A window was read. Where one page held it, the next one may be longer.
    pub(crate) fn window_was(&mut self, short: bool) {
        self.days = if short { self.days.max(1).saturating_mul(2).min(DAYS_MAX) } else { 1 };
    }

    /// The latest reading of the server's clock in it.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        let asked = [self.probe.map(|probe| probe.at), self.types.as_ref().map(|types| types.at)];
        let read = [self.watermark, self.read_to, self.polled, self.rescans.latest()];
        asked.into_iter().chain(read).max().flatten()
    }

    /// Reads a committed state. One that cannot be read counts as none: reading again is exact, because the ledger
    /// knows what was delivered.
    pub(crate) fn read(value: Option<&Value>) -> Self {
        value.and_then(|value| Self::deserialize(value).ok()).unwrap_or_default()
    }

    /// When `rescan` was last done.
    pub(crate) fn rescanned(&self, rescan: &Rescan) -> Option<Timestamp> {
        self.rescans.last(rescan)
    }

    /// Notes that `rescan` was done at `at`.
    pub(crate) fn rescan_done(&mut self, rescan: &Rescan, at: Timestamp) {
        self.rescans.done(rescan, at);
    }

    /// Takes note of a probe. If times are written otherwise than before, what was asked since the last probe may have
    /// been asked wrongly: the watermark goes back to it.
    pub(crate) fn probed(&mut self, probe: Probed) {
        if let Some(before) = self.probe
            && let (Some(old), Some(new)) = (before.unit, probe.unit)
            && old != new
        {
            self.watermark = self.watermark.map(|watermark| watermark.min(before.at));
            self.read_to = self.read_to.map(|read_to| read_to.min(before.at));
            self.behind = self.watermark.is_some();
        }
        // Whether reads are recorded, and so that small pages are needed, is tried anew.
        self.heavy = false;
        self.page_records = None;
        // An empty log says nothing of the unit: what was known stays known.
        let unit = probe.unit.or(self.probe.and_then(|before| before.unit));
        self.probe = Some(Probed { unit, ..probe });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_718_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_state_reads_back_and_a_broken_one_counts_as_none() {
        let mut state = State { watermark: Some(at(5)), heavy: true, ..State::default() };
        state.probed(Probed { at: at(0), unit: Some(Unit::Milliseconds), oldest: Some(at(-9)) });
        assert_eq!(State::read(Some(&serde_json::to_value(&state).unwrap())), state);
        assert_eq!(State::read(Some(&serde_json::json!({ "rescans": 7 }))), State::default());
        assert_eq!(State::read(None), State::default());
    }

    #[test]
    fn another_unit_takes_the_watermark_back_to_the_last_time_that_it_was_looked_at() {
        let mut state = State { watermark: Some(at(90)), read_to: Some(at(90)), ..State::default() };
        let probe = |seconds, unit| Probed { at: at(seconds), unit, oldest: None };
        state.probed(probe(10, Some(Unit::Seconds)));
        state.probed(probe(20, None));
        assert_eq!((state.watermark, state.probe.unwrap().unit), (Some(at(90)), Some(Unit::Seconds)));
        state.probed(probe(80, Some(Unit::Milliseconds)));
        assert_eq!((state.watermark, state.read_to, state.behind), (Some(at(20)), Some(at(20)), true));
    }
}
