//! What headwater knows of an event beside its bytes, in the headers of a record: one tier writes them, the next reads them.
//!
//! | header | `%headwater` | absent |
//! |---|---|---|
//! | `audit_provider` | `.provider` | another writer's record |
//! | `headwater_source` | `.source` | |
//! | `headwater_stream` | `.stream` | |
//! | `headwater_id` | `.id` | |
//! | `headwater_time` | `.time`, RFC 3339 | the event has none |
//! | `headwater_observed_time` | `.observed_time`, RFC 3339 | |
//! | `headwater_own_query` | `.own_query`: `true` | it is none |
//! | `headwater_own_query_policy` | `.own_query_policy` | `suppress` |
//! | `headwater_simulated` | `.simulated`: `true` | it is real |
//! | `headwater_suspicious` | `.suspicious` | nothing to remark |
//! | `headwater_late` | `.late`, milliseconds | it is not |

use headwater_contracts::{Event, OwnQueryPolicy, Timestamp};

/// The header that every record of ours has.
const PROVIDER: &str = "audit_provider";
/// The header of `provider:id`, which every record of ours has.
const EVENT_ID: &str = "event_id";

/// What the headers of a record say of its event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// The provider id.
    pub provider: Option<String>,
    /// The source component of the tier that read it from the provider.
    pub source: Option<String>,
    /// Its stream.
    pub stream: Option<String>,
    /// The provider's id of the event.
    pub id: Option<String>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// When it was read from the provider.
    pub observed: Option<Timestamp>,
    /// Whether that reading caused it.
    pub own_query: bool,
    /// What is to be done with such events.
    pub own_query_policy: OwnQueryPolicy,
    /// Whether a built-in simulator made it up.
    pub simulated: bool,
    /// A remark on a record that imitates headwater's own.
    pub suspicious: Option<String>,
    /// How late it appeared.
    pub late: Option<chrono::TimeDelta>,
}

impl Carried {
    /// The header of an event that a simulator made up, whatever else there is.
    pub const SIMULATED: &str = "headwater_simulated";

    /// The headers of an event that goes on as its provider's bytes, but for `audit_provider`.
    pub fn headers(event: &Event) -> Vec<(&'static str, String)> {
        let origin = &event.origin;
        let policy = Some(origin.own_query_policy).filter(|policy| *policy != OwnQueryPolicy::default());
        let all = [
            ("headwater_source", Some(origin.source.clone())),
            ("headwater_stream", Some(origin.stream.clone())),
            ("headwater_id", Some(event.id.clone())),
            ("headwater_time", event.time.map(written)),
            ("headwater_observed_time", Some(written(event.observed))),
            ("headwater_own_query", event.own_query.then(|| "true".to_owned())),
            ("headwater_own_query_policy", policy.map(|policy| policy.as_str().to_owned())),
            (Self::SIMULATED, origin.simulated.then(|| "true".to_owned())),
            ("headwater_suspicious", event.suspicious.as_ref().map(ToString::to_string)),
            ("headwater_late", event.late.map(|late| late.num_milliseconds().to_string())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Reads headers. What cannot be read is as if it were not there: anybody may write to a topic.
    pub fn read<'h>(headers: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> Self {
        let mut carried = Self::default();
        let mut event_id = None;
        for (name, value) in headers {
            let Ok(value) = std::str::from_utf8(value) else { continue };
            let text = || Some(value.to_owned());
            match name {
                PROVIDER => carried.provider = text(),
                EVENT_ID => event_id = Some(value),
                "headwater_source" => carried.source = text(),
                "headwater_stream" => carried.stream = text(),
                "headwater_id" => carried.id = text(),
                "headwater_time" => carried.time = value.parse().ok(),
                "headwater_observed_time" => carried.observed = value.parse().ok(),
                "headwater_own_query" => carried.own_query = value == "true",
                "headwater_own_query_policy" => {
                    let all = [OwnQueryPolicy::Suppress, OwnQueryPolicy::Tag, OwnQueryPolicy::Forward];
                    let said = all.into_iter().find(|policy| policy.as_str() == value);
                    carried.own_query_policy = said.unwrap_or_default();
                }
                Self::SIMULATED => carried.simulated = value == "true",
                "headwater_suspicious" => carried.suspicious = text(),
                "headwater_late" => {
                    carried.late = value.parse().ok().and_then(chrono::TimeDelta::try_milliseconds);
                }
                _ => {}
            }
        }
        // A record of the JSON encoding has no more than this.
        let of_provider = carried.provider.as_deref().and_then(|provider| event_id?.strip_prefix(provider));
        let named = of_provider.and_then(|id| id.strip_prefix(':')).map(str::to_owned);
        carried.id = carried.id.or(named);
        carried
    }
}

/// Reads back as the same instant, to the nanosecond, also of years that RFC 3339 does not know.
fn written(time: Timestamp) -> String {
    format!("{time:?}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test's way to say that it failed
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> Carried {
        Carried::read(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn times_come_back_as_they_were() {
        for text in ["2026-01-02T03:04:05.000000001Z", "+12026-01-02T03:04:05.123Z", "-0044-03-15T12:00:00Z"] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(read(&[("headwater_time", &written(time))]).time, Some(time), "{text}");
        }
    }

    #[test]
    fn records_of_the_json_encoding_name_provider_and_id() {
        let carried = read(&[("audit_provider", "mural"), ("event_id", "mural:a:b")]);
        assert_eq!((carried.provider.as_deref(), carried.id.as_deref()), (Some("mural"), Some("a:b")));
        assert_eq!(read(&[("audit_provider", "mural"), ("event_id", "muralist:b")]).id, None);
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let odd = read(&[
            ("headwater_time", "soon"),
            ("headwater_late", "99999999999999999999"),
            ("headwater_own_query", "yes"),
        ]);
        assert_eq!(odd, Carried::default());
        assert_eq!(Carried::read([("audit_provider", &[0xff][..])]), Carried::default());
    }
}
