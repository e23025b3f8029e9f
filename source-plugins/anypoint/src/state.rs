//! What a stream remembers between windows. Its fields are a file format.

use headwater_contracts::Timestamp;
use headwater_source_kit::Rescans;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The committed state of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// Everything before this has been read once.
    pub(crate) read_to: Option<Timestamp>,
    /// The server's clock when the window that ended there was planned.
    pub(crate) read_at: Option<Timestamp>,
    /// The server's clock when the last tail was complete; `None` while there is more to catch up with.
    pub(crate) caught_up: Option<Timestamp>,
    /// From here on the ledger knows everything that was delivered.
    pub(crate) kept: Option<Timestamp>,
    /// When each re-scan was last done.
    pub(crate) rescans: Rescans,
    /// The re-scan under way.
    pub(crate) sweep: Option<Sweep>,
    /// What has been read of the newest events while there is more to catch up with.
    pub(crate) ahead: Option<Ahead>,
    /// How many days the next window reads that catches up; 0 is 1.
    pub(crate) days: u32,
    /// A number of days that the server refused.
    pub(crate) days_refused: Option<u32>,
    /// Digest of the filter that all this was read with; `None` for everything.
    pub(crate) filter: Option<String>,
}

/// Longest window, in days.
const DAYS_MAX: u32 = 32;
/// Pages with records up to which a window was short, and beyond which it was long.
const SHORT: u32 = 1;
const LONG: u32 = 5;

/// A range before the present that was read before what lies between it and `read_to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ahead {
    /// Where it begins, and ends.
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// The server's clock when the window that ended there was planned, or where that ended if it did not reach so far.
    pub(crate) at: Timestamp,
    /// Whether the catching up has come on since: where requests are few, both take turns.
    pub(crate) came_on: bool,
}

/// A re-scan under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// The server's clock when it began.
    pub(crate) began: Timestamp,
    /// Where its range begins, and ends.
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Everything of it before this has been read.
    pub(crate) reached: Timestamp,
}

impl State {
    /// The latest reading of the server's clock in it.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        let clocks =
            [self.read_to, self.read_at, self.caught_up, self.sweep.map(|sweep| sweep.began), self.rescans.latest()];
        let ahead = self.ahead.as_ref().map(|ahead| ahead.to.max(ahead.at));
        clocks.into_iter().chain([ahead]).max().flatten()
    }

    /// Reads a committed state. One that cannot be read counts as none.
    pub(crate) fn read(value: Option<&Value>) -> Self {
        value.and_then(|value| Self::deserialize(value).ok()).unwrap_or_default()
    }

    /// A window that catches up had so many pages with records: the next one is longer where there was little, and shorter where
    /// there was much.
    pub(crate) fn caught_up_by(&mut self, pages: u32) {
        let days = self.days.max(1);
        let most = self.days_refused.map_or(DAYS_MAX, |refused| (refused / 2).clamp(1, DAYS_MAX));
        self.days = match pages {
            0..=SHORT => days.saturating_mul(2),
            2..=LONG => days,
            _ => days.div_ceil(2),
        }
        .min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_while_there_is_little_and_shrink_where_there_is_much() {
        let mut state = State::default();
        let mut days = |pages| {
            state.caught_up_by(pages);
            state.days
        };
        assert_eq!([0, 1, 0, 0, 0, 0, 3, 6, 90].map(&mut days), [2, 4, 8, 16, 32, 32, 32, 16, 8]);
        assert_eq!([90; 4].map(&mut days), [4, 2, 1, 1]);
        state.days_refused = Some(4);
        assert_eq!(
            [0; 3].map(|pages| {
                state.caught_up_by(pages);
                state.days
            }),
            [2, 2, 2]
        );
    }

    #[test]
    fn a_state_reads_back_and_a_broken_one_counts_as_none() {
        let time = Timestamp::from_timestamp_millis(1_700_000_000_123);
        let sweep = time.map(|time| Sweep { began: time, from: time, to: time, reached: time });
        let state = State { read_to: time, kept: time, sweep, ..State::default() };
        assert_eq!(State::read(Some(&serde_json::to_value(&state).unwrap())), state);
        assert_eq!(State::read(Some(&serde_json::json!({ "rescans": 7 }))), State::default());
    }
}
