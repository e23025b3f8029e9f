//! Values that people write in YAML, and the options that every source and every sink takes.

use crate::{Timestamp, Tls};
use chrono::{NaiveDate, TimeDelta};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{borrow::Cow, fmt, str::FromStr, time::Duration};
use url::Url;

/// Longest period: what can be added to any instant of today without leaving the calendar.
const LONGEST: TimeDelta = TimeDelta::days(36_525);

/// A duration such as `500ms`, `30s`, `5m`, `1h30m`, `7d`, `2w`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub TimeDelta);

impl Period {
    /// `n` seconds.
    pub const fn seconds(n: i64) -> Self {
        Self(TimeDelta::seconds(n))
    }

    /// `n` minutes.
    pub const fn minutes(n: i64) -> Self {
        Self(TimeDelta::minutes(n))
    }

    /// `n` hours.
    pub const fn hours(n: i64) -> Self {
        Self(TimeDelta::hours(n))
    }

    /// `n` days.
    pub const fn days(n: i64) -> Self {
        Self(TimeDelta::days(n))
    }

    /// The same for `std`; periods are never negative.
    pub fn to_std(self) -> Duration {
        self.0.to_std().unwrap_or_default()
    }

    /// How often it passes in a day, rounded up.
    pub fn times_a_day(self) -> u64 {
        let (day, ms) = (TimeDelta::days(1).num_milliseconds(), self.0.num_milliseconds().max(1));
        day.unsigned_abs().div_ceil(ms.unsigned_abs())
    }

    /// Reads `1h30m`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut total = TimeDelta::zero();
        let mut rest = text.trim();
        let problem =
            || format!("`{text}` is not a duration: write a number and a unit, such as `30s`, `5m`, `1h30m` or `7d`");
        let too_long = || format!("`{text}` is too long: at most 100 years");
        if rest.is_empty() {
            return Err(problem());
        }
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits == 0 {
                return Err(problem());
            }
            let number: i64 = rest[..digits].parse().map_err(|_| too_long())?;
            rest = &rest[digits..];
            let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let step = match &rest[..letters] {
                "ms" => TimeDelta::try_milliseconds(number),
                "s" => TimeDelta::try_seconds(number),
                "m" => TimeDelta::try_minutes(number),
                "h" => TimeDelta::try_hours(number),
                "d" => TimeDelta::try_days(number),
                "w" => TimeDelta::try_weeks(number),
                _ => return Err(problem()),
            };
            total = step
                .and_then(|step| total.checked_add(&step))
                .filter(|total| *total <= LONGEST)
                .ok_or_else(too_long)?;
            rest = rest[letters..].trim_start();
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Period {
    /// The largest units that say it exactly: `26h`, `1d2h30m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ms = self.0.num_milliseconds();
        if ms == 0 {
            return f.write_str("0s");
        }
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
            if ms / size != 0 {
                write!(f, "{}{unit}", ms / size)?;
                ms %= size;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A duration such as `30s`, `5m`, `1h30m`, `7d`.", "examples": ["5m"], "pattern": r"^(\d+(ms|s|m|h|d|w) ?)+$" })
    }
}

/// A size such as `64KiB`, `10MiB`, `1GB`, or plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// `n` times 1024 bytes.
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// `n` times 1024 KiB.
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }

    /// Reads `10MiB`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let problem = || {
            format!("`{text}` is not a size: write bytes, or a number and a unit, such as `64KiB`, `10MiB` or `1GB`")
        };
        let trimmed = text.trim();
        let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = trimmed[..digits].parse().map_err(|_| problem())?;
        let unit: u64 = match trimmed[digits..].trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "GiB" => 1 << 30,
            _ => return Err(problem()),
        };
        number.checked_mul(unit).map(Self).ok_or_else(problem)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `10MiB`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
                ByteSize::parse(text).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "A size such as `64KiB`, `10MiB`, or plain bytes.", "examples": ["10MiB"], "oneOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": r"^\d+ ?([kKMG]i?B|B)?$" }] })
    }
}

/// Where a first run begins: RFC 3339, a date (midnight UTC), `earliest` (whatever the provider still holds), `now`, or an age such as `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// Everything the provider still holds.
    Earliest,
    /// Nothing from before the first run.
    Now,
    /// This long before the first run.
    Ago(Period),
    /// From this instant on.
    At(Timestamp),
}

impl Default for StartAt {
    fn default() -> Self {
        Self::Ago(Period::days(7))
    }
}

impl StartAt {
    /// The instant meant, on a first run at `now`. `earliest` is the epoch.
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Earliest => Timestamp::UNIX_EPOCH,
            Self::Now => now,
            Self::Ago(period) => now - period.0,
            Self::At(instant) => instant,
        }
    }
}

impl<'de> Deserialize<'de> for StartAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl FromStr for StartAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "earliest" => Self::Earliest,
            "now" => Self::Now,
            other => match instant(other) {
                Some(instant) => Self::At(instant),
                None => Self::Ago(Period::parse(other).map_err(|_| {
                    format!(
                        "`{other}` is neither a time nor an age: write a date such as `2026-01-31`, a time such as \
                         `2026-01-31T08:00:00Z`, an age such as `7d`, `earliest`, or `now`"
                    )
                })?),
            },
        })
    }
}

/// RFC 3339, or a date: its midnight in UTC.
fn instant(text: &str) -> Option<Timestamp> {
    let midnight = || text.parse::<NaiveDate>().ok().filter(|_| text.len() == "2026-01-31".len());
    text.parse().ok().or_else(|| midnight().and_then(|date| date.and_hms_opt(0, 0, 0)).map(|time| time.and_utc()))
}

impl JsonSchema for StartAt {
    fn schema_name() -> Cow<'static, str> {
        "StartAt".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "RFC 3339 time, a date (midnight UTC), `earliest`, `now`, or an age such as `7d`.", "examples": ["7d"] })
    }
}

/// So many requests per so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Number of requests.
    #[schemars(example = 30)]
    pub requests: u32,
    /// In this time.
    #[schemars(example = "1m")]
    pub per: Period,
}

/// Re-reads the last `span` of the log once per `every`, to find events that appeared late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rescan {
    /// How often.
    #[schemars(example = "1h")]
    pub every: Period,
    /// How far back.
    #[schemars(example = "24h")]
    pub span: Period,
}

/// Backoff between attempts: doubling from `initial` to `max`, with jitter, without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// First wait. Default: `1s`.
    #[schemars(example = "1s")]
    pub initial: Period,
    /// Longest wait. Default: `5m`.
    #[schemars(example = "5m")]
    pub max: Period,
}

impl Default for Retry {
    fn default() -> Self {
        Self { initial: Period::seconds(1), max: Period::minutes(5) }
    }
}

/// The options that every audit source takes, beside its own. Absent ones take the plugin's defaults.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SourceOptions {
    /// Where the first run begins. Default: `7d`.
    pub start_at: Option<StartAt>,
    /// Time between two polls of a stream that is caught up.
    pub poll_interval: Option<Period>,
    /// How much of what was read before each poll reads again, to find events that appeared late.
    pub overlap: Option<Period>,
    /// How long after its time an event may appear before its range counts as complete.
    pub settle: Option<Period>,
    /// Longer re-reads, less often.
    pub rescan: Option<Vec<Rescan>>,
    /// Events per page.
    pub page_size: Option<u32>,
    /// Ceiling for requests to this endpoint, shared by all components that use its host.
    pub rate_limit: Option<RateLimit>,
    /// Backoff between attempts.
    pub retry: Option<Retry>,
    /// Longest wait for an answer to begin, and for each further piece of it. Over twice this time, a page has to come with
    /// 512 bytes a second at least. Default: `60s`.
    pub timeout: Option<Period>,
    /// Longest record that is delivered. A longer one goes to the dead letters alone: all of it, in a file beside them. Default:
    /// `64MiB`.
    #[serde(deserialize_with = "longest")]
    pub max_event_bytes: Option<ByteSize>,
    /// How far the server's clock and this machine's may be apart. While they are further apart, events are read and delivered, but
    /// no progress is kept and nothing is forgotten. Default: `5m`.
    pub max_clock_skew: Option<Period>,
    /// HTTP proxy.
    pub proxy: Option<Url>,
    /// TLS towards the endpoint.
    pub tls: Option<Tls>,
}

/// A limit that leaves room for records.
fn longest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteSize>, D::Error> {
    let size = Option::<ByteSize>::deserialize(deserializer)?;
    match size {
        Some(size) if size < ByteSize::kib(4) => {
            Err(D::Error::custom("must be at least `4KiB`: records that are longer are not delivered"))
        }
        size => Ok(size),
    }
}

impl SourceOptions {
    /// Names of these options in YAML.
    pub const KEYS: &'static [&'static str] = &[
        "start_at",
        "poll_interval",
        "overlap",
        "settle",
        "rescan",
        "page_size",
        "rate_limit",
        "retry",
        "timeout",
        "max_event_bytes",
        "max_clock_skew",
        "proxy",
        "tls",
    ];
}

/// How a sink gathers events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchOptions {
    /// Most events in one delivery. Default: 1000.
    #[schemars(example = 1000)]
    pub max_events: usize,
    /// Most raw bytes in one delivery. Default: `1MiB`.
    #[schemars(example = "1MiB")]
    pub max_bytes: ByteSize,
    /// Longest wait for more events once there is one. Default: `1s`. What is there goes at once when
    /// reading waits for it.
    #[schemars(example = "1s")]
    pub timeout: Period,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { max_events: 1000, max_bytes: ByteSize::mib(1), timeout: Period::seconds(1) }
    }
}

/// What happens to events that a destination refuses for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnReject {
    /// They go to the dead letters with the destination's reason.
    #[default]
    DeadLetter,
    /// The run stops; nothing is skipped.
    Block,
}

/// The options that every sink takes, beside its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SinkOptions {
    /// How events are gathered.
    pub batch: BatchOptions,
    /// Backoff between attempts.
    pub retry: Retry,
    /// What happens to refused events.
    pub on_reject: OnReject,
}

impl SinkOptions {
    /// Names of these options in YAML.
    pub const KEYS: &'static [&'static str] = &["batch", "retry", "on_reject"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_start_is_a_time_a_date_an_age_or_a_word() {
        let at = |text: &str| text.parse::<Timestamp>().map(StartAt::At).map_err(|error| error.to_string());
        assert_eq!("2026-01-31".parse(), at("2026-01-31T00:00:00Z"));
        assert_eq!("2026-01-31T08:00:00+01:00".parse(), at("2026-01-31T07:00:00Z"));
        assert_eq!("7d".parse(), Ok(StartAt::Ago(Period::days(7))));
        assert_eq!("now".parse(), Ok(StartAt::Now));
        for wrong in ["", "2026-1-31", "2026-02-30", "31.01.2026", "2026", "yesterday"] {
            let problem = wrong.parse::<StartAt>().unwrap_err();
            assert!(problem.contains("2026-01-31"), "{wrong}: {problem}");
        }
    }

    #[test]
    fn durations_and_sizes_read_as_people_write_them() {
        assert_eq!(Period::parse("1h30m"), Ok(Period::minutes(90)));
        assert_eq!(Period::parse("7d"), Ok(Period::days(7)));
        assert!(Period::parse("7").is_err() && Period::parse("d").is_err() && Period::parse("").is_err());
        assert!(Period::parse("99999999999999999d").is_err());
        assert_eq!(ByteSize::parse("10MiB"), Ok(ByteSize::mib(10)));
        assert!(ByteSize::parse("10 parsecs").is_err());
        let options =
            |size: &str| serde_json::from_str::<SourceOptions>(&format!("{{\"max_event_bytes\":\"{size}\"}}"));
        assert_eq!(options("1MiB").unwrap().max_event_bytes, Some(ByteSize::mib(1)));
        assert!(options("1KiB").is_err());
        assert_eq!(Period::hours(26).to_string(), "1d2h");
    }

    proptest! {
        #[test]
        fn a_printed_period_reads_back(ms in 0i64..10_000_000_000) {
            let period = Period(TimeDelta::milliseconds(ms));
            prop_assert_eq!(Period::parse(&period.to_string()), Ok(period));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            let _ = Period::parse(&text);
            let _ = ByteSize::parse(&text);
        }
    }
}
