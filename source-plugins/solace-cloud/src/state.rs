//! What a stream remembers between scans. Its fields are a file format.

use chrono::TimeDelta;
use headwater_contracts::Timestamp;
use headwater_source_kit::Rescans;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The committed state of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// Digest of the filter that everything below was read with; `None` without one.
    pub(crate) filter: Option<String>,
    /// The latest start read by a complete scan, but never one that had not settled.
    pub(crate) low: Option<Timestamp>,
    /// `low` as of the last scan that looked back as far as `overlap` says.
    pub(crate) wide_low: Option<Timestamp>,
    /// When that scan ended, by the server's clock, and how many requests it took.
    pub(crate) wide_ended: Option<Timestamp>,
    pub(crate) wide_requests: u32,
    /// The server's clock when the last complete scan began, and when it ended.
    pub(crate) polled: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    /// End of the range that the last complete scan covered.
    pub(crate) covered: Option<Timestamp>,
    /// A scan that has not completed yet.
    pub(crate) open: Option<Open>,
    /// When each re-scan was last done.
    pub(crate) rescans: Rescans,
    /// A `pageSize` that the server refused; not sent again until the option changes.
    pub(crate) page_size_refused: Option<u32>,
    /// The token has been checked since the last scan: somebody has just started headwater and waits.
    pub(crate) checked: bool,
    /// What the token may read.
    pub(crate) rights: Rights,
    /// Whose records there are.
    pub(crate) users: Users,
}

/// How far an interrupted scan has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    /// The server's clock when it, or the one that it goes on for, began.
    pub(crate) began: Timestamp,
    /// Everything that had started by then and was visible when it began has been read.
    pub(crate) reached: Timestamp,
}

/// What the token may read, as far as the API tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rights {
    /// The API does not tell.
    #[default]
    Unknown,
    /// The records of the whole organization.
    Organization,
    /// Its owner's records only.
    Own,
}

/// Whose records have been read, to notice a log that shows one person's only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Users {
    /// The first one.
    pub(crate) one: Option<String>,
    /// There was another one.
    pub(crate) others: bool,
    /// Records counted, and the time they span.
    pub(crate) records: u32,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
}

/// So many records of one person over so long a time are more than chance in an organization.
const LONELY_RECORDS: u32 = 100;
const LONELY_TIME: TimeDelta = TimeDelta::days(7);

impl Users {
    /// Takes note of a record that had not been read before.
    pub(crate) fn see(&mut self, user: &str, time: Timestamp) {
        if self.others {
            return;
        }
        self.records = self.records.saturating_add(1);
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = self.last.max(Some(time));
        self.others = self.one.get_or_insert_with(|| user.to_owned()) != user;
    }

    /// Whether all records of a long period are one person's.
    pub(crate) fn lonely(&self) -> bool {
        let long = matches!((self.first, self.last), (Some(first), Some(last)) if last - first >= LONELY_TIME);
        !self.others && long && self.records >= LONELY_RECORDS
    }
}

impl State {
    /// The latest reading of the server's clock in it.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        let open = self.open.map(|open| open.began);
        let clocks = [self.wide_ended, self.polled, self.ended, self.covered, open, self.rescans.latest()];
        clocks.into_iter().max().flatten()
    }

    /// Reads a committed state. One that cannot be read counts as none: reading again is exact, because the ledger
    /// knows what was delivered.
    pub(crate) fn read(value: Option<&Value>) -> Self {
        value.and_then(|value| Self::deserialize(value).ok()).unwrap_or_default()
    }

    /// Everything of the stream that had settled by then has been read by some scan; `None` before the first page.
    pub(crate) fn read_to(&self) -> Option<Timestamp> {
        self.polled.max(self.open.map(|open| open.reached))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000 + hours * 3600, 0).unwrap()
    }

    #[test]
    fn a_state_reads_back_and_a_broken_one_counts_as_none() {
        let mut state =
            State { low: Some(at(1)), open: Some(Open { began: at(3), reached: at(2) }), ..State::default() };
        state.users.see("u", at(0));
        assert_eq!(State::read(Some(&serde_json::to_value(&state).unwrap())), state);
        assert_eq!(State::read(Some(&serde_json::json!({ "low": [1] }))), State::default());
        assert_eq!(state.read_to(), Some(at(2)));
    }

    #[test]
    fn one_person_alone_is_suspicious_after_a_while_only() {
        let mut users = Users::default();
        for n in 0..200 {
            users.see("u", at(n));
            assert_eq!(users.lonely(), n >= 168, "{n}");
        }
        users.see("v", at(201));
        assert!(!users.lonely());
    }
}
