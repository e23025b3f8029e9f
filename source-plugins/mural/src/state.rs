//! What a stream remembers between sweeps. Its fields are a file format.

use headwater_contracts::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The committed state of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// From here on every range is this stream's to read; what left the look-back unread has been reported.
    pub(crate) origin: Option<Timestamp>,
    /// Partitions by their start, as far back as can be read.
    pub(crate) partitions: BTreeMap<Timestamp, Swept>,
    /// Digest of the actions that partitions were swept for; `None` for all actions.
    pub(crate) filter: Option<String>,
    /// A closing sweep in pieces that is not complete.
    pub(crate) partial: Option<Partial>,
    /// A `maxResults` that the server refused; replaced by a smaller one until the option changes.
    pub(crate) page_size_refused: Option<u32>,
}

/// What is known of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swept {
    /// The server's clock when its last complete sweep was planned.
    pub(crate) at: Timestamp,
    /// Whether that, or an earlier one, was after it had settled.
    pub(crate) closed: bool,
}

/// How far a closing sweep in pieces has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Partial {
    /// Start of the partition.
    pub(crate) partition: Timestamp,
    /// Everything of it before this has been read after it had settled.
    pub(crate) to: Timestamp,
}

impl State {
    /// The latest reading of the server's clock in it.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        self.partitions.values().map(|swept| swept.at).max()
    }

    /// Reads a committed state. One that cannot be read counts as none: reading again is exact, because the ledger
    /// knows what was delivered.
    pub(crate) fn read(value: Option<&Value>) -> Self {
        value.and_then(|value| Self::deserialize(value).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_a_broken_one_counts_as_none() {
        let time = Timestamp::from_timestamp_millis(1_700_000_000_123).unwrap();
        let mut state = State { origin: Some(time), ..State::default() };
        state.partitions.insert(crate::window::partition_of(time), Swept { at: time, closed: true });
        assert_eq!(State::read(Some(&serde_json::to_value(&state).unwrap())), state);
        assert_eq!(State::read(Some(&serde_json::json!({ "partitions": [1] }))), State::default());
    }
}
