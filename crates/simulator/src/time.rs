//! Instants as milliseconds since the epoch, and how the providers write them.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, Timelike, Utc, Weekday};
use std::io::Write;

pub(crate) const SECOND: i64 = 1000;
pub(crate) const HOUR: i64 = 3600 * SECOND;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Seconds of a scenario field, in milliseconds.
pub(crate) fn seconds(seconds: u32) -> i64 {
    i64::from(seconds) * SECOND
}

/// Days of a scenario field, in milliseconds.
pub(crate) fn days(days: u32) -> i64 {
    i64::from(days) * DAY
}

/// The instant; the epoch for what no calendar holds.
pub(crate) fn instant(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// Appends `yyyy-mm-dd<separator>HH:MM:SS.mmm` for the wall clock `offset_hours` east of UTC.
pub(crate) fn write_civil(out: &mut Vec<u8>, ms: i64, offset_hours: i64, separator: char) {
    let t = instant(ms + offset_hours * HOUR).naive_utc();
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}{separator}{:02}:{:02}:{:02}.{:03}",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute(),
        t.second(),
        t.and_utc().timestamp_subsec_millis(),
    );
}

/// Hours east of UTC in Melbourne: 11 from the first Sunday of October, 02:00 standard time, to the first Sunday of
/// April, 03:00 summer time; otherwise 10. The rule in force since 2008.
pub(crate) fn melbourne_offset(ms: i64) -> i64 {
    let year = instant(ms + 10 * HOUR).year();
    // Both changes happen at 16:00 UTC of the Saturday before.
    let change = |month| {
        NaiveDate::from_weekday_of_month_opt(year, month, Weekday::Sun, 1)
            .and_then(|sunday| (sunday - Duration::days(1)).and_hms_opt(16, 0, 0))
            .map_or(0, |at| at.and_utc().timestamp_millis())
    };
    if ms < change(4) || ms >= change(10) { 11 } else { 10 }
}

/// Reads what a client may send: RFC 3339, `yyyy-mm-dd HH:MM:SS`, or a bare date (its first instant), the last two UTC.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    let civil = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .ok()
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))?;
    Some(civil.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn melbourne_changes_its_offset_where_the_law_says() {
        let offset = |text| melbourne_offset(parse(text).unwrap());
        assert_eq!(offset("2024-04-06T15:59:59Z"), 11);
        assert_eq!(offset("2024-04-06T16:00:00Z"), 10);
        assert_eq!(offset("2024-10-05T15:59:59Z"), 10);
        assert_eq!(offset("2024-10-05T16:00:00Z"), 11);
        assert_eq!(offset("2023-12-31T13:30:00Z"), 11);
        assert_eq!(offset("2025-07-01T00:00:00Z"), 10);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(ms in 0i64..4_000_000_000_000) {
            for (offset, zone) in [(0, "Z"), (10, "+10:00"), (11, "+11:00")] {
                let mut out = Vec::new();
                write_civil(&mut out, ms, offset, 'T');
                prop_assert_eq!(parse(&(String::from_utf8(out).unwrap() + zone)), Some(ms));
            }
            let mut out = Vec::new();
            write_civil(&mut out, ms, 0, ' ');
            prop_assert_eq!(parse(std::str::from_utf8(&out).unwrap()), Some(ms));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
