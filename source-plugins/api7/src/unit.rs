//! Seconds or milliseconds: the API does not say which its times are.

use chrono::TimeDelta;
use headwater_contracts::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From here on a number can only be milliseconds: as seconds it would be in the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// The unit of times in requests and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
}

impl Unit {
    /// The unit that a time is written in.
    pub(crate) fn of(value: i64) -> Self {
        if value.abs() >= MILLISECONDS_FROM { Self::Milliseconds } else { Self::Seconds }
    }

    /// One of it.
    pub(crate) fn one(self) -> TimeDelta {
        TimeDelta::milliseconds(self.millis())
    }

    fn millis(self) -> i64 {
        match self {
            Self::Seconds => 1000,
            Self::Milliseconds => 1,
        }
    }

    /// `time`, as requests write it; what is less than a unit is cut off.
    pub(crate) fn number(self, time: Timestamp) -> i64 {
        time.timestamp_millis().div_euclid(self.millis())
    }

    /// The whole unit that `time` lies in.
    pub(crate) fn floor(self, time: Timestamp) -> Timestamp {
        Timestamp::from_timestamp_millis(self.number(time) * self.millis()).unwrap_or(time)
    }
}

/// The instant that a number in a record means.
pub(crate) fn instant(value: i64) -> Option<Timestamp> {
    match Unit::of(value) {
        Unit::Seconds => Timestamp::from_timestamp(value, 0),
        Unit::Milliseconds => Timestamp::from_timestamp_millis(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_published_times_tell_their_unit() {
        assert_eq!(Unit::of(1_718_000_000), Unit::Seconds);
        assert_eq!(Unit::of(1_718_000_180_123), Unit::Milliseconds);
        assert_eq!(instant(1_718_000_000), instant(1_718_000_000_000));
    }

    proptest! {
        #[test]
        fn what_is_sent_reads_back_as_the_whole_unit(ms in MILLISECONDS_FROM..4_000_000_000_000) {
            let time = Timestamp::from_timestamp_millis(ms).unwrap();
            for unit in [Unit::Seconds, Unit::Milliseconds] {
                let floor = unit.floor(time);
                prop_assert_eq!(instant(unit.number(time)), Some(floor));
                prop_assert!(floor <= time && time < floor + unit.one());
            }
        }

        #[test]
        fn no_number_panics(value: i64) {
            let _ = instant(value);
        }
    }
}
