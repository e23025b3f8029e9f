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
    /// How many partitions the next closing sweep reads at once; 0 is 1.
    pub(crate) stride: u32,
    /// A `maxResults` that the server refused; replaced by a smaller one until the option changes.
    pub(crate) page_size_refused: Option<u32>,
}

/// Most partitions of one closing sweep: eight days. A longer chain of tokens costs more when it breaks.
pub(crate) const STRIDE_MAX: u32 = 32;
/// Pages from which on a closing sweep counts as long.
const LONG: u32 = 4;

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

    /// A closing sweep took so many pages for each of its token chains: the next one reads more at once where there was
    /// little, and less where there was much.
    pub(crate) fn swept_in(&mut self, pages: u32) {
        let stride = self.stride.max(1);
        self.stride = match pages {
            0..=1 => stride.saturating_mul(2).min(STRIDE_MAX),
            2..LONG => stride,
            _ => stride.div_ceil(2),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_sweeps_grow_while_there_is_little_and_shrink_where_there_is_much() {
        let mut state = State::default();
        let strides: Vec<u32> = [1, 1, 1, 1, 1, 1, 2, 9, 9, 9, 9, 9, 9]
            .map(|pages| {
                state.swept_in(pages);
                state.stride
            })
            .to_vec();
        assert_eq!(strides, [2, 4, 8, 16, 32, 32, 32, 16, 8, 4, 2, 1, 1]);
    }

    #[test]
    fn a_state_reads_back_and_a_broken_one_counts_as_none() {
        let time = Timestamp::from_timestamp_millis(1_700_000_000_123).unwrap();
        let mut state = State { origin: Some(time), ..State::default() };
        state.partitions.insert(crate::window::partition_of(time), Swept { at: time, closed: true });
        assert_eq!(State::read(Some(&serde_json::to_value(&state).unwrap())), state);
        assert_eq!(State::read(Some(&serde_json::json!({ "partitions": [1] }))), State::default());
    }
}
