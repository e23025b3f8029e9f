//! Events to records. Pure.

use crate::{CloudEvents, cloud_events::attributes, key::Key, subjects::Subjects};
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
#[derive(Debug)]
pub(crate) struct Encoder {
    pub(crate) topic: Template,
    pub(crate) key: Key,
    pub(crate) headers: Vec<(String, Template)>,
    pub(crate) cloud_events: Option<CloudEvents>,
    pub(crate) codec: Codec,
    /// Largest record, bytes.
    pub(crate) max: usize,
}

/// How values are written.
#[derive(Debug)]
pub(crate) enum Codec {
    /// The event as the transforms left it.
    Json,
    /// The provider's bytes.
    Raw,
    /// The event by a schema.
    Schema(Box<Subjects>),
}

impl Encoder {
    /// The subject whose schema the event's record needs; `None` if it needs none, `Err` as [`Encoder::encode`] has it.
    pub(crate) fn subject(&self, event: &Event) -> Result<Option<String>, String> {
        let Codec::Schema(subjects) = &self.codec else { return Ok(None) };
        let facts = Facts::of(event)?;
        let topic = self.topic.fill(&facts)?;
        check_topic(&topic)?;
        subjects.subject(&facts, &topic).map(Some)
    }

    /// Whether all events have the same subject, or none.
    pub(crate) fn subject_is_fixed(&self) -> bool {
        match &self.codec {
            Codec::Schema(subjects) => subjects.is_fixed() && self.topic.fixed().is_some(),
            Codec::Json | Codec::Raw => true,
        }
    }

    /// The event's record; `Err` says why it cannot be one.
    pub(crate) fn encode(&self, event: &Event) -> Result<Outgoing, String> {
        let facts = Facts::of(event)?;
        let topic = self.topic.fill(&facts)?.into_owned();
        check_topic(&topic)?;
        let key = self.key.of(&facts)?;
        let ce = self.cloud_events.map(|_| attributes(&facts, key.as_deref())).unwrap_or_default();
        let headers = self.headers(&facts, &ce);
        let lengths = headers.iter().map(|(name, value)| name.len() + value.len() + 10).sum::<usize>();
        let room = self.max.saturating_sub(OVERHEAD + lengths + key.as_ref().map_or(0, String::len));
        let value = self.value(event, &facts, &topic, &ce, room)?;
        Ok(Outgoing { topic, key: key.map(Bytes::from), value: value.into(), headers, time: facts.time() })
    }

    /// The event as a dead letter shows it, should the cluster refuse its record later: the record, where that is its JSON.
    pub(crate) fn shown(&self, event: &Event, record: &Outgoing) -> Option<Bytes> {
        event.value.as_ref()?;
        if matches!(self.codec, Codec::Json) && self.cloud_events != Some(CloudEvents::Structured) {
            return Some(record.value.clone());
        }
        let mut json = Vec::new();
        line(event, &mut json).ok().map(|()| json.into())
    }

    fn headers(&self, event: &Facts<'_>, ce: &[(&str, String)]) -> Vec<(String, Bytes)> {
        let structured = self.cloud_events == Some(CloudEvents::Structured);
        let mut headers = Vec::with_capacity(6 + self.headers.len() + ce.len());
        let mut add =
            |name: &str, value: Cow<'_, str>| headers.push((name.to_owned(), Bytes::from(value.into_owned())));
        let content_type = match &self.codec {
            Codec::Schema(subjects) => subjects.format.media_type(),
            _ if structured => "application/cloudevents+json; charset=UTF-8",
            _ => "application/json; charset=utf-8",
        };
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
        if matches!(self.codec, Codec::Raw) {
            // What the bytes do not say, a second tier needs to make of them what this one would.
            for (name, value) in Carried::headers(event.event()) {
                add(name, value.into());
            }
        } else if event.event().origin.simulated {
            add(Carried::SIMULATED, "true".into());
        }
        for (name, template) in &self.headers {
            // One that the event has no value for says nothing.
            if let Ok(value) = template.fill(event) {
                add(name, value);
            }
        }
        headers
    }

    fn value(
        &self,
        event: &Event,
        facts: &Facts<'_>,
        topic: &str,
        ce: &[(&str, String)],
        room: usize,
    ) -> Result<Vec<u8>, String> {
        match &self.codec {
            Codec::Json => {}
            Codec::Raw if event.raw.len() <= room => return Ok(event.raw.to_vec()),
            Codec::Raw => return Err(too_large(event.raw.len(), room)),
            Codec::Schema(subjects) => return self.by_schema(event, facts, subjects, topic, room),
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

    fn by_schema(
        &self,
        event: &Event,
        facts: &Facts<'_>,
        subjects: &Subjects,
        topic: &str,
        room: usize,
    ) -> Result<Vec<u8>, String> {
        let (id, schema) = subjects.schema(&subjects.subject(facts, topic)?)?;
        let json = || {
            let mut json = Vec::new();
            line(event, &mut json).map(|()| json)
        };
        let whole = schema.encode(id, facts.value(), json)?;
        if whole.len() <= room {
            return Ok(whole);
        }
        let shorter = |value: &Value| schema.encode(id, value, || self.json(value, &[]));
        let fits = |value: &Value| shorter(value).is_ok_and(|record| record.len() <= room);
        let least = shortened(facts, json()?.len(), fits).ok_or_else(|| too_large(whole.len(), room))?;
        shorter(&least)
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
