//! Partitions of time, and dates in both of the API's spellings.

use crate::config::DateFormat;
use chrono::{NaiveDateTime, SubsecRound, TimeDelta};
use headwater_contracts::Timestamp;

/// Length of a partition.
pub(crate) const PARTITION: TimeDelta = TimeDelta::hours(6);

/// Start of the partition that holds `time`.
pub(crate) fn partition_of(time: Timestamp) -> Timestamp {
    let length = PARTITION.num_seconds();
    Timestamp::from_timestamp(time.timestamp().div_euclid(length) * length, 0).unwrap_or(time)
}

/// `time` without its fraction of a second: what requests can say.
pub(crate) fn whole_second(time: Timestamp) -> Timestamp {
    time.trunc_subsecs(0)
}

/// A date as requests write it.
pub(crate) fn written(time: Timestamp, format: DateFormat) -> String {
    let pattern = match format {
        DateFormat::Iso => "%Y-%m-%dT%H:%M:%SZ",
        DateFormat::Legacy => "%Y-%m-%d %H:%M:%S",
    };
    time.format(pattern).to_string()
}

/// A date as records write it: RFC 3339, or the older form, which means UTC without saying so.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let pattern = if text.contains('T') { "%Y-%m-%dT%H:%M:%S%.f" } else { "%Y-%m-%d %H:%M:%S%.f" };
    NaiveDateTime::parse_from_str(text, pattern).ok().map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_spellings_read_as_the_same_instant(ms in 0i64..4_000_000_000_000) {
            let time = Timestamp::from_timestamp_millis(ms).unwrap();
            prop_assert_eq!(instant(&time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()), Some(time));
            prop_assert_eq!(instant(&time.format("%Y-%m-%d %H:%M:%S%.3f").to_string()), Some(time));
            let second = whole_second(time);
            prop_assert_eq!(instant(&written(time, DateFormat::Iso)), Some(second));
            prop_assert_eq!(instant(&written(time, DateFormat::Legacy)), Some(second));
        }

        #[test]
        fn every_instant_lies_in_its_partition(ms in 0i64..4_000_000_000_000) {
            let time = Timestamp::from_timestamp_millis(ms).unwrap();
            let start = partition_of(time);
            prop_assert!(start <= time && time < start + PARTITION);
            prop_assert_eq!(partition_of(start), start);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = instant(&text);
        }
    }
}
