//! Reads the times that providers write.
//!
//! | shape    | read as                                                                                       |
//! |----------|-----------------------------------------------------------------------------------------------|
//! | ISO 8601 | date, `T` or blank, time, 0 to 9 fraction digits, `Z`, `+hh:mm`, `+hhmm`; no zone means UTC     |
//! | number   | epoch: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds   |
//!
//! Always truncated to milliseconds, towards the past.

use chrono::{DateTime, NaiveDate};

/// An instant as a provider wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant {
    /// Milliseconds since the epoch.
    pub(crate) ms: i64,
    /// Minutes east of UTC, if the text says.
    pub(crate) offset_minutes: Option<i32>,
}

/// Reads `text`; `None` if it is no time.
pub(crate) fn parse(text: &str) -> Option<Instant> {
    let text = text.trim_ascii();
    let instant = iso(text).or_else(|| epoch(text).map(|ms| Instant { ms, offset_minutes: None }))?;
    // Beyond chrono's range no consumer can show it.
    DateTime::from_timestamp_millis(instant.ms).map(|_| instant)
}

fn iso(text: &str) -> Option<Instant> {
    let date = text.get(..19)?;
    let bytes = date.as_bytes();
    let separators = [(4, b"-" as &[u8]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
    if !separators.iter().all(|(at, allowed)| allowed.contains(&bytes[*at])) {
        return None;
    }
    let number = |from: usize, to: usize| digits(date.get(from..to)?);
    // A leap second is the last millisecond of its minute and one second more.
    let (second, leap) = match number(17, 19)? {
        60 => (59, 1000),
        second => (second, 0),
    };
    let day = NaiveDate::from_ymd_opt(number(0, 4)?.try_into().ok()?, number(5, 7)?, number(8, 10)?)?;
    let local = day.and_hms_opt(number(11, 13)?, number(14, 16)?, second)?.and_utc().timestamp_millis() + leap;

    let mut rest = &text[19..];
    let mut fraction_ms = 0;
    if let Some(after) = rest.strip_prefix('.') {
        let length = after.bytes().take_while(u8::is_ascii_digit).count();
        if length > 9 {
            return None;
        }
        let mut place = 100;
        for digit in after.bytes().take(length.min(3)) {
            fraction_ms += i64::from(digit - b'0') * place;
            place /= 10;
        }
        rest = &after[length..];
    }
    let offset_minutes = match rest {
        "" => None,
        zone => Some(offset(zone)?),
    };
    let ms = local + fraction_ms - i64::from(offset_minutes.unwrap_or(0)) * 60_000;
    Some(Instant { ms, offset_minutes })
}

/// The minutes east of UTC that a zone stands for.
fn offset(text: &str) -> Option<i32> {
    let (sign, clock) = match *text.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => (1, &text[1..]),
        [b'-', ..] => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = match clock.len() {
        5 => clock.split_once(':')?,
        4 => (clock.get(..2)?, clock.get(2..)?),
        _ => return None,
    };
    let (hours, minutes) = (i32::try_from(digits(hours)?).ok()?, i32::try_from(digits(minutes)?).ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn epoch(text: &str) -> Option<i64> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if whole.is_empty() || whole.len() > 19 || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let ns_per_unit: i128 = match whole {
        ..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let mut ns = whole * ns_per_unit;
    let mut place = ns_per_unit / 10;
    for digit in fraction.bytes() {
        ns += i128::from(digit - b'0') * place;
        place /= 10;
    }
    let ns = if negative { -ns } else { ns };
    i64::try_from(ns.div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_shape_of_the_contract_is_read() {
        let check = |text: &str, ms: i64, offset_minutes: Option<i32>| {
            assert_eq!(parse(text), Some(Instant { ms, offset_minutes }), "{text}");
        };
        check("2019-12-10T09:15:24.864+11:00", 1_575_929_724_864, Some(660));
        check("2019-12-10T09:15:24.864+1100", 1_575_929_724_864, Some(660));
        check("2022-02-02T08:01:00.000Z", 1_643_788_860_000, Some(0));
        check("2022-02-02 08:01:00", 1_643_788_860_000, None);
        check("2022-02-02T08:01:00.123456789Z", 1_643_788_860_123, Some(0));
        check("1969-12-31T23:59:59.9999Z", -1, Some(0));
        check("2016-12-31T23:59:60Z", 1_483_228_800_000, Some(0));
        check("1718000360", 1_718_000_360_000, None);
        check("1718000360.9999", 1_718_000_360_999, None);
        check("1697302800000", 1_697_302_800_000, None);
        check("1697302800000999", 1_697_302_800_000, None);
        check("1697302800000999999", 1_697_302_800_000, None);
        check("-1", -1000, None);
        check("-0.0001", -1, None);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "soon",
            "2022-02-02",
            "2022-13-02T08:01:00Z",
            "2022-02-02T08:01:00+99:00",
            "1e9",
            "2022-02-02T08:01:00Zx",
            "--1",
            "99999999999999999999",
            "٢٠٢٢-02-02T08:01:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_chrono_writes_is_read_back(ms in -62_135_596_800_000i64..253_402_300_799_999, minutes in -839i32..=839) {
            let zone = chrono::FixedOffset::east_opt(minutes * 60).unwrap();
            let there = DateTime::from_timestamp_millis(ms).unwrap().with_timezone(&zone);
            let text = there.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            prop_assume!(text.len() >= 24 && !text.starts_with(['-', '+']));
            let offset_minutes = Some(minutes);
            prop_assert_eq!(parse(&text), Some(Instant { ms, offset_minutes }));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn nothing_that_resembles_a_time_makes_it_panic(text in "[-0-9TZ:+. é]{0,40}") {
            let _ = parse(&text);
        }
    }
}
