//! Records to events. Pure.

use bytes::Bytes;
use headwater_contracts::{Event, Identity, Origin, ReadBy, Timestamp};
use headwater_kafka::Carried;
use rdkafka::message::{Headers, Message};
use std::sync::Arc;

/// The provider id of records that name none.
const PROVIDER: &str = "kafka";

/// What a record is.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// An event.
    Event(Event),
    /// None: why not.
    Unreadable(Event, String),
    /// The end of a key: no value.
    Tombstone,
}

/// Reads the records of one partition.
pub(crate) struct Parser {
    pub(crate) read_by: ReadBy,
    /// The last event's: most records of a partition share one.
    pub(crate) last: Option<Arc<Origin>>,
}

impl Parser {
    /// Reads a record. `now` is when.
    pub(crate) fn parse(&mut self, message: &impl Message, now: Timestamp) -> Parsed {
        let Some(payload) = message.payload() else { return Parsed::Tombstone };
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let carried = match message.headers() {
            Some(headers) => Carried::read(headers.iter().filter_map(|header| Some((header.key, header.value?)))),
            None => Carried::default(),
        };
        let place = format!("{topic}/{partition}/{offset}");
        // A record that says where it was read says when it happened, or that nobody knows.
        let written = message.timestamp().to_millis().and_then(Timestamp::from_timestamp_millis);
        let time = if carried.source.is_some() { carried.time } else { written };
        let identity = [b"kafka", topic.as_bytes(), &partition.to_le_bytes(), &offset.to_le_bytes()];
        let event = Event {
            origin: self.origin(topic, &carried),
            id: carried.id.unwrap_or_else(|| place.clone()),
            identity: Identity::of(&identity),
            time,
            observed: carried.observed.unwrap_or(now),
            own_query: carried.own_query,
            suspicious: carried.suspicious.map(Into::into),
            late: carried.late,
            raw: Bytes::copy_from_slice(payload),
            value: None,
            encoded: None,
            metadata: None,
            index: 0,
        };
        match is_json(payload) {
            Ok(()) => Parsed::Event(event),
            Err(problem) => Parsed::Unreadable(event, format!("the record {place} is no JSON: {problem}")),
        }
    }

    fn origin(&mut self, topic: &str, carried: &Carried) -> Arc<Origin> {
        let source = carried.source.as_deref().unwrap_or(&self.read_by.component);
        let provider = carried.provider.as_deref().unwrap_or(PROVIDER);
        let stream = carried.stream.as_deref().unwrap_or(topic);
        let same = |last: &&Arc<Origin>| {
            last.source == source
                && last.provider == provider
                && last.stream == stream
                && last.own_query_policy == carried.own_query_policy
                && last.simulated == carried.simulated
        };
        if let Some(same) = self.last.as_ref().filter(same) {
            return same.clone();
        }
        let origin = Arc::new(Origin {
            source: source.to_owned(),
            provider: provider.to_owned().into(),
            stream: stream.to_owned(),
            own_query_policy: carried.own_query_policy,
            simulated: carried.simulated,
            read_by: Some(self.read_by.clone()),
        });
        self.last.insert(origin).clone()
    }
}

fn is_json(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    serde_json::from_str::<&serde_json::value::RawValue>(text).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)] // a test's way to say that it failed
mod tests {
    use super::*;
    use headwater_contracts::{Outgoing, OwnQueryPolicy};
    use headwater_testkit::sink_suite;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    fn parser() -> Parser {
        Parser { read_by: ReadBy { component: "raw".into(), stream: "audit/3".into() }, last: None }
    }

    fn message(value: Option<&[u8]>, headers: &[(String, Bytes)]) -> OwnedMessage {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(&value[..]) }));
        let time = rdkafka::Timestamp::CreateTime(1_760_000_000_123);
        OwnedMessage::new(value.map(<[u8]>::to_vec), None, "audit".into(), time, 3, 7, Some(headers))
    }

    /// The headers that the sink writes, written here as it does.
    fn headers(event: &Event) -> Vec<(String, Bytes)> {
        let mut all = vec![("audit_provider".to_owned(), Bytes::from(event.origin.provider.to_string()))];
        all.extend(Carried::headers(event).into_iter().map(|(name, value)| (name.to_owned(), value.into())));
        Outgoing { topic: String::new(), key: None, value: Bytes::new(), headers: all, time: event.observed }.headers
    }

    #[test]
    fn what_the_first_tier_knew_is_what_the_second_knows() {
        let mut first = sink_suite::event("e-1", "text", false);
        let mut origin = (*first.origin).clone();
        (origin.provider, origin.own_query_policy) = ("pactflow".into(), OwnQueryPolicy::Tag);
        first.origin = Arc::new(origin);
        first.own_query = true;
        first.suspicious = Some("hm".into());
        first.late = Some(headwater_contracts::Period::hours(26).0);
        for time in [first.time, None] {
            first.time = time;
            let Parsed::Event(second) =
                parser().parse(&message(Some(&first.raw), &headers(&first)), Timestamp::UNIX_EPOCH)
            else {
                panic!("an event")
            };
            assert_eq!(second.origin.lane(), ("raw", "audit/3"));
            let origin = Origin { read_by: None, ..(*second.origin).clone() };
            let known = |event: &Event| {
                format!(
                    "{} {:?} {} {} {:?} {:?} {:?}",
                    event.id, event.time, event.observed, event.own_query, event.suspicious, event.late, event.raw
                )
            };
            assert_eq!((known(&second), &origin), (known(&first), &*first.origin));
        }
    }

    #[test]
    fn another_writers_record_is_known_by_its_place() {
        let Parsed::Event(event) = parser().parse(&message(Some(b"{}"), &[]), Timestamp::UNIX_EPOCH) else { panic!() };
        assert_eq!((&*event.origin.provider, &*event.origin.stream, &*event.id), ("kafka", "audit", "audit/3/7"));
        assert_eq!(event.time.unwrap().timestamp_millis(), 1_760_000_000_123);
        assert_eq!(event.observed, Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn what_is_no_json_says_where_it_stands() {
        for odd in [&b"{"[..], b"", b"\"\xff\"", b"{} {}"] {
            let Parsed::Unreadable(_, reason) = parser().parse(&message(Some(odd), &[]), Timestamp::UNIX_EPOCH) else {
                panic!("{odd:?}")
            };
            assert!(reason.starts_with("the record audit/3/7 is no JSON: "), "{reason}");
        }
        assert!(matches!(parser().parse(&message(None, &[]), Timestamp::UNIX_EPOCH), Parsed::Tombstone));
    }
}
