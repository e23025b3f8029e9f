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
    /// Digest of the filter that all this was read with; `None` for everything.
    pub(crate) filter: Option<String>,
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
        clocks.into_iter().max().flatten()
    }

    /// Reads a committed state. One that cannot be read counts as none.
    pub(crate) fn read(value: Option<&Value>) -> Self {
        value.and_then(|value| Self::deserialize(value).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_a_broken_one_counts_as_none() {
        let time = Timestamp::from_timestamp_millis(1_700_000_000_123);
        let sweep = time.map(|time| Sweep { began: time, from: time, to: time, reached: time });
        let state = State { read_to: time, kept: time, sweep, ..State::default() };
        assert_eq!(State::read(Some(&serde_json::to_value(&state).unwrap())), state);
        assert_eq!(State::read(Some(&serde_json::json!({ "rescans": 7 }))), State::default());
    }
}
