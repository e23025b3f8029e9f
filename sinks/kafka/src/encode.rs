//! Events to records. Pure.

use crate::{CloudEvents, Encoding, cloud_events::attributes, key::Key};
use bytes::Bytes;
use headwater_contracts::{Event, Outgoing};
use headwater_kafka::Carried;
use headwater_sink_kit::{Facts, Template, line, shortened};
use std::borrow::Cow;
use vrl::value::Value;

/// What a record takes up beside its key, value and headers: the batch's head and the record's own lengths
/// (<https://kafka.apache.org/documentation/#messageformat>), generously.
const OVERHEAD: usize = 256;

/// How events become records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Encoder {
    pub(crate) topic: Template,
    pub(crate) key: Key,
    pub(crate) headers: Vec<(String, Template)>,
    pub(crate) cloud_events: Option<CloudEvents>,
    pub(crate) encoding: Encoding,
    /// Largest record, bytes.
    pub(crate) max: usize,
}

impl Encoder {
    /// The event's record; `Err` says why it cannot be one.
    pub(crate) fn encode(&self, event: &Event) -> Result<Outgoing, String> {
        let facts = Facts::of(event)?;
        let topic = self.topic.fill(&facts)?.into_owned();
        check_topic(&topic)?;
        let key = self.key.of(&facts)?;
        let ce = self.cloud_events.map(|_| attributes(&facts, key.as_deref())).unwrap_or_default();
        let headers = self.headers(&facts, &ce)?;
        let lengths = headers.iter().map(|(name, value)| name.len() + value.len() + 10).sum::<usize>();
        let room = self.max.saturating_sub(OVERHEAD + lengths + key.as_ref().map_or(0, String::len));
        let value = self.value(event, &facts, &ce, room)?;
        Ok(Outgoing { topic, key: key.map(Bytes::from), value: value.into(), headers, time: facts.time() })
    }

    fn headers(&self, event: &Facts<'_>, ce: &[(&str, String)]) -> Result<Vec<(String, Bytes)>, String> {
        let structured = self.cloud_events == Some(CloudEvents::Structured);
        let mut headers = Vec::with_capacity(6 + self.headers.len() + ce.len());
        let mut add =
            |name: &str, value: Cow<'_, str>| headers.push((name.to_owned(), Bytes::from(value.into_owned())));
        let content_type =
            if structured { "application/cloudevents+json; charset=UTF-8" } else { "application/json; charset=utf-8" };
        add("content-type", content_type.into());
        add("audit_provider", event.provider().into());
        for (name, path) in [
            ("ocsf_version", &["metadata", "version"][..]),
            ("ocsf_class_uid", &["class_uid"]),
            ("ocsf_type_uid", &["type_uid"]),
        ] {
            if let Some(value) = event.text(path).filter(|_| event.class().is_some()) {
                add(name, value);
            }
        }
        add("event_id", event.event_id().into());
        if !structured {
            for (name, value) in ce {
                add(&format!("ce_{name}"), value.into());
            }
        }
        if self.encoding == Encoding::Raw {
            // What the bytes do not say, a second tier needs to make of them what this one would.
            for (name, value) in Carried::headers(event.event()) {
                add(name, value.into());
            }
        }
        for (name, template) in &self.headers {
            add(name, template.fill(event)?);
        }
        Ok(headers)
    }

    fn value(&self, event: &Event, facts: &Facts<'_>, ce: &[(&str, String)], room: usize) -> Result<Vec<u8>, String> {
        if self.encoding == Encoding::Raw {
            let size = event.raw.len();
            return if size <= room { Ok(event.raw.to_vec()) } else { Err(too_large(size, room)) };
        }
        let mut whole = Vec::new();
        if self.cloud_events == Some(CloudEvents::Structured) {
            whole = self.json(facts.value(), ce)?;
        } else {
            // The provider's own bytes where no transform has looked.
            line(event, &mut whole)?;
        }
        if whole.len() <= room {
            return Ok(whole);
        }
        let fits = |value: &Value| self.json(value, ce).is_ok_and(|json| json.len() <= room);
        let least = shortened(facts, whole.len(), fits).ok_or_else(|| too_large(whole.len(), room))?;
        self.json(&least, ce)
    }

    fn json(&self, value: &Value, ce: &[(&str, String)]) -> Result<Vec<u8>, String> {
        let cannot = |error: sonic_rs::Error| format!("cannot be written as JSON: {error}");
        if self.cloud_events != Some(CloudEvents::Structured) {
            return sonic_rs::to_vec(value).map_err(cannot);
        }
        let mut out = b"{".to_vec();
        for (name, attribute) in ce {
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            sonic_rs::to_writer(&mut out, attribute).map_err(cannot)?;
            out.push(b',');
        }
        out.extend_from_slice(b"\"datacontenttype\":\"application/json\",\"data\":");
        sonic_rs::to_writer(&mut out, value).map_err(cannot)?;
        out.push(b'}');
        Ok(out)
    }
}

fn too_large(size: usize, room: usize) -> String {
    format!(
        "the event is too large for a Kafka record: {size} bytes, and there is room for {room}. Raise `max_record_bytes`, \
         and `max.message.bytes` of the topic"
    )
}

/// Kafka's rule for names of topics.
fn check_topic(topic: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.is_empty() || topic.len() > 249 || topic == "." || topic == ".." || !topic.chars().all(legal) {
        return Err(format!(
            "`{topic}` cannot be the name of a topic: up to 249 of the characters A-Z, a-z, 0-9, `.`, `_` and `-`"
        ));
    }
    Ok(())
}
