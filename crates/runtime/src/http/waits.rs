//! When a server wants to be asked again. There is one standard and there are many habits.

use headwater_contracts::Timestamp;
use reqwest::header::HeaderMap;
use std::time::Duration;

/// Longest wait that `Retry-After` is believed.
const LONGEST: Duration = Duration::from_hours(24);
/// Longest wait that other headers are believed: what looks longer is some other number, and the backoff does.
const LONGEST_RESET: Duration = Duration::from_hours(1);
/// Numbers beyond this are instants: seconds since 1970.
const INSTANT: f64 = 1e9;

/// `Retry-After` and its relatives; of a 429, also when the limit is said to end.
pub(super) fn wait(headers: &HeaderMap, status: u16, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let asked = text("retry-after").and_then(|value| retry_after(value, now));
    let millis = || ["retry-after-ms", "x-ms-retry-after-ms"].iter().find_map(|name| text(name)?.parse::<f64>().ok());
    let asked = asked.or_else(|| seconds(millis()? / 1000.0)).map(|wait| wait.min(LONGEST));
    asked.or_else(|| {
        if status != 429 {
            return None;
        }
        let names = ["x-ratelimit-reset-after", "x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset"];
        let plain = names.iter().find_map(|name| reset(text(name)?, now));
        plain.or_else(|| reset(structured(text("ratelimit")?)?, now))
    })
}

/// `Retry-After` as RFC 9110 section 10.2.3 has it, seconds or an HTTP date; also with a fraction, or as an instant in seconds or
/// smaller units.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(number) = value.parse::<f64>() {
        return seconds(if number > INSTANT { until(number, now).max(0.0) } else { number });
    }
    let at = date(value)?;
    Some((at - now).to_std().unwrap_or_default())
}

/// `X-RateLimit-Reset`: an instant, or, where that would be in 1970, seconds from now.
fn reset(value: &str, now: Timestamp) -> Option<Duration> {
    let wait = match value.parse::<f64>() {
        Ok(number) if number > INSTANT => until(number, now),
        Ok(number) => number,
        Err(_) => (date(value)? - now).num_milliseconds() as f64 / 1000.0,
    };
    // The server's clock is known to a second. What has passed says nothing.
    seconds(wait).map(|wait| wait + Duration::from_secs(1)).filter(|wait| *wait <= LONGEST_RESET)
}

/// The `reset` of `RateLimit: limit=100, remaining=0, reset=50`, or `t` of `"default";r=0;t=50`.
fn structured(value: &str) -> Option<&str> {
    let parts = value.split([',', ';']).filter_map(|part| part.trim().split_once('='));
    parts.into_iter().find(|(name, _)| matches!(*name, "reset" | "t")).map(|(_, value)| value)
}

fn date(value: &str) -> Option<Timestamp> {
    let http = httpdate::parse_http_date(value).ok().map(Timestamp::from);
    http.or_else(|| value.parse().ok())
}

/// Seconds from now to an instant in seconds, milli-, micro- or nanoseconds since 1970.
fn until(instant: f64, now: Timestamp) -> f64 {
    let scale = match instant {
        number if number > 1e17 => 1e9,
        number if number > 1e14 => 1e6,
        number if number > 1e11 => 1e3,
        _ => 1.0,
    };
    instant / scale - now.timestamp_millis() as f64 / 1000.0
}

/// `None` for what is negative, no number, or beyond all bounds.
fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn now() -> Timestamp {
        Timestamp::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn waits(status: u16, headers: &[(&str, &str)]) -> Option<f64> {
        let header =
            |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        wait(&headers.iter().map(header).collect(), status, now()).map(|wait| wait.as_secs_f64())
    }

    #[test]
    fn a_reset_is_an_instant_in_any_unit_or_a_wait() {
        let check = |value: &str, expected: Option<f64>| {
            for name in ["x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset"] {
                let waited = waits(429, &[(name, value)]);
                let near = |expected: f64| waited.is_some_and(|waited| (waited - expected).abs() < 0.01);
                assert!(expected.map_or(waited.is_none(), near), "{name}: {value}: {waited:?}");
            }
        };
        for thirty in ["1700000030", "1700000030.0", "1700000030000", "1700000030000000", "1700000030000000000", "30"] {
            check(thirty, Some(31.0));
        }
        check("Tue, 14 Nov 2023 22:13:50 GMT", Some(31.0));
        check("2023-11-14T22:13:50Z", Some(31.0));
        check("0.5", Some(1.5));
        for odd in
            ["1600000000", "1600000000000", "soon", "", "-1", "NaN", "inf", "1e400", "150933900", "1700007200", "9e18"]
        {
            check(odd, None);
        }
    }

    #[test]
    fn other_forms_of_a_reset_are_read_and_only_429_has_one() {
        assert_eq!(waits(429, &[("ratelimit", "limit=100, remaining=0, reset=50")]), Some(51.0));
        assert_eq!(waits(429, &[("ratelimit", "\"default\";r=0;t=50")]), Some(51.0));
        assert_eq!(waits(429, &[("x-ratelimit-reset", "soon"), ("x-ratelimit-reset-after", "2.5")]), Some(3.5));
        assert_eq!(waits(429, &[("retry-after", "3"), ("x-ratelimit-reset", "30")]), Some(3.0));
        assert_eq!(waits(429, &[("retry-after", "soon"), ("x-ratelimit-reset", "30")]), Some(31.0));
        assert_eq!(waits(200, &[("x-ratelimit-reset", "30")]), None);
    }

    #[test]
    fn retry_after_reads_every_form() {
        let check = |value: &str, expected: Option<f64>| {
            assert_eq!(waits(503, &[("retry-after", value)]), expected, "{value}");
        };
        check("120", Some(120.0));
        check(" 1.5 ", Some(1.5));
        check("Tue, 14 Nov 2023 22:14:20 GMT", Some(60.0));
        check("Tue, 14 Nov 2023 22:00:00 GMT", Some(0.0));
        check("1700000060", Some(60.0));
        check("1700000060000", Some(60.0));
        check("1600000000", Some(0.0));
        check("86400000", Some(86_400.0));
        check("99999999999", Some(86_400.0));
        for odd in ["soon", "-1", "", "NaN"] {
            check(odd, None);
        }
        assert_eq!(waits(503, &[("retry-after-ms", "1500")]), Some(1.5));
        assert_eq!(waits(503, &[("x-ms-retry-after-ms", "1500")]), Some(1.5));
    }
}
