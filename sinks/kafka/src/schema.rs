//! A schema, of either kind, and the wire format of its records.

use crate::{avro::AvroSchema, protobuf::ProtobufSchema};
use headwater_contracts::files::read_text;
use std::path::Path;
use vrl::value::{ObjectMap, Value};

/// The field, at the top of a schema, that takes the whole event as JSON.
pub(crate) const WHOLE: &str = "event_json";

/// OCSF events: what consumers ask for, typed, and the whole event in [`WHOLE`].
const SHIPPED_AVRO: &str = include_str!("../schemas/ocsf-event.avsc");
const SHIPPED_PROTOBUF: &str = include_str!("../schemas/ocsf-event.proto");

/// How records with a schema are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Avro,
    Protobuf,
}

impl Format {
    /// Its name at a schema registry.
    pub(crate) fn registry_name(self) -> &'static str {
        match self {
            Self::Avro => "AVRO",
            Self::Protobuf => "PROTOBUF",
        }
    }

    /// The records' media type: the one of CloudEvents' Kafka binding (section 3.2.4), and the one of IANA.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Avro => "application/avro",
            Self::Protobuf => "application/protobuf",
        }
    }
}

/// What events are written by.
#[derive(Debug)]
pub(crate) struct Schema {
    kind: Kind,
    text: String,
    shipped: bool,
}

#[derive(Debug)]
enum Kind {
    Avro(AvroSchema),
    Protobuf(ProtobufSchema),
}

impl Schema {
    /// The one that comes with headwater.
    pub(crate) fn shipped(format: Format) -> Result<Self, String> {
        let (name, text) = match format {
            Format::Avro => ("ocsf-event.avsc", SHIPPED_AVRO),
            Format::Protobuf => ("ocsf-event.proto", SHIPPED_PROTOBUF),
        };
        Ok(Self { shipped: true, ..Self::parse(format, name, text, None)? })
    }

    /// One of the user's. `Err` says what is wrong with the file, and where.
    pub(crate) fn read(format: Format, path: &Path, message: Option<&str>) -> Result<Self, String> {
        let text = read_text(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        Self::parse(format, &name, &text, message).map_err(|problem| format!("`{}` {problem}", path.display()))
    }

    /// One that comes as text; `Err` continues a sentence whose subject is the schema.
    pub(crate) fn parse(format: Format, name: &str, text: &str, message: Option<&str>) -> Result<Self, String> {
        let kind = match format {
            Format::Avro if message.is_some() => return Err("is Avro, where no `message` is to be chosen".to_owned()),
            Format::Avro => Kind::Avro(AvroSchema::parse(text)?),
            Format::Protobuf => Kind::Protobuf(ProtobufSchema::parse(name, text, message)?),
        };
        Ok(Self { kind, text: text.to_owned(), shipped: false })
    }

    /// The text, as a registry keeps it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The full name of the record or message.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            Kind::Avro(schema) => schema.name(),
            Kind::Protobuf(schema) => schema.name(),
        }
    }

    /// The event's record: a zero, the schema's id, for Protobuf the message's index, and what the schema makes of the event, whose
    /// JSON is `json`. `Err` names the field that the event does not fit.
    pub(crate) fn encode(
        &self,
        id: u32,
        event: &Value,
        json: impl FnOnce() -> Result<Vec<u8>, String>,
    ) -> Result<Vec<u8>, String> {
        let Value::Object(event) = event else {
            return Err("the event is no JSON object, and a schema has fields".to_owned());
        };
        let none = ObjectMap::new();
        // The members of a provider's own record would only share the names of OCSF's.
        let event = if self.shipped && !event.contains_key("class_uid") { &none } else { event };
        let has_whole = match &self.kind {
            Kind::Avro(schema) => schema.has(WHOLE),
            Kind::Protobuf(schema) => schema.has(WHOLE),
        };
        let whole = if has_whole { Some((WHOLE, Value::from(bytes::Bytes::from(json()?)))) } else { None };
        let body = match &self.kind {
            Kind::Avro(schema) => schema.encode(event, whole),
            Kind::Protobuf(schema) => schema.encode(event, whole),
        }?;
        let mut record = Vec::with_capacity(5 + body.len());
        record.push(0);
        record.extend_from_slice(&id.to_be_bytes());
        record.extend_from_slice(&body);
        Ok(record)
    }
}
