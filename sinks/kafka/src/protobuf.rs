//! Events to Protobuf. Pure.

use crate::misfit::{Misfit, bytes, double, float, instant, text};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Syntax, Value as Proto,
    prost::Message as _,
};
use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};
use std::collections::HashMap;
use vrl::value::{ObjectMap, Value};

/// Readers of Protobuf take this many messages inside each other, and no more.
const DEEPEST: usize = 100;

/// A message's schema.
#[derive(Debug)]
pub(crate) struct ProtobufSchema {
    message: MessageDescriptor,
    /// Which message of the file it is, as the wire format says it.
    index: Vec<u8>,
}

impl ProtobufSchema {
    /// Reads a file called `file`, and takes `message` of it, or its first one. `Err` says what is wrong, and where.
    pub(crate) fn parse(file: &str, source: &str, message: Option<&str>) -> Result<Self, String> {
        // Its `Debug` form names file, line and column.
        let wrong = |error: protox::Error| format!("is no Protobuf schema: {error:?}");
        let mut resolver = ChainFileResolver::new();
        resolver.add(GoogleFileResolver::new());
        resolver.add(Only { name: file.to_owned(), source: source.to_owned() });
        let mut compiler = Compiler::with_file_resolver(resolver);
        let pool: DescriptorPool = compiler.open_file(file).map_err(wrong)?.descriptor_pool();
        let descriptor = pool.get_file_by_name(file).ok_or("is no Protobuf schema")?;
        let message = match message {
            None => descriptor.messages().next().ok_or("has no message")?,
            Some(name) => pool
                .get_message_by_name(name)
                .filter(|message| message.parent_file() == descriptor && !message.is_map_entry())
                .ok_or_else(|| {
                    let known: Vec<_> = descriptor.messages().map(|message| message.full_name().to_owned()).collect();
                    let known = if known.is_empty() { "none at all".to_owned() } else { known.join(", ") };
                    format!("has no message `{name}` (with its package); it has: {known}")
                })?,
        };
        let index = message_index(&message);
        Ok(Self { message, index })
    }

    /// The message's full name.
    pub(crate) fn name(&self) -> String {
        self.message.full_name().to_owned()
    }

    /// Whether the message has a field of this name.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.message.get_field_by_name(field).is_some()
    }

    /// The event's message after its index, with `extra` in place of the member of its name; `Err` names the field that it does not fit.
    pub(crate) fn encode(&self, event: &ObjectMap, extra: Option<(&str, Value)>) -> Result<Vec<u8>, String> {
        let member = |field: &FieldDescriptor| match &extra {
            Some((name, value)) if *name == field.name() => Some(value),
            _ => by_name(event, field),
        };
        let message = fill(&self.message, member, 1).map_err(|misfit| misfit.to_string())?;
        let mut out = self.index.clone();
        message.encode(&mut out).map_err(|error| format!("cannot be written as Protobuf: {error}"))?;
        Ok(out)
    }
}

/// The one file that there is.
struct Only {
    name: String,
    source: String,
}

impl FileResolver for Only {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == self.name { File::from_source(name, &self.source) } else { Err(protox::Error::file_not_found(name)) }
    }
}

/// Confluent's wire format: the path of places from the file to the message, with its length before it, as zigzag varints; `[0]`
/// is written as a single 0. Places count what the file's author wrote, so that the hidden types of maps do not count.
fn message_index(message: &MessageDescriptor) -> Vec<u8> {
    let mut path = Vec::new();
    let mut at = Some(message.clone());
    while let Some(message) = at {
        let siblings: Vec<_> = match message.parent_message() {
            Some(parent) => parent.child_messages().filter(|child| !child.is_map_entry()).collect(),
            None => message.parent_file().messages().collect(),
        };
        path.insert(0, siblings.iter().position(|sibling| *sibling == message).unwrap_or_default());
        at = message.parent_message();
    }
    let mut out = Vec::new();
    if path == [0] {
        return vec![0];
    }
    for number in std::iter::once(path.len()).chain(path) {
        // Zigzag of a number that is not negative.
        let mut rest = number << 1;
        while rest > 0x7f {
            #[expect(clippy::cast_possible_truncation, reason = "seven bits")]
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(u8::try_from(rest).unwrap_or_default());
    }
    out
}

fn by_name<'v>(object: &'v ObjectMap, field: &FieldDescriptor) -> Option<&'v Value> {
    object.get(field.name()).or_else(|| object.get(field.json_name()))
}

/// A message of the members that `member` finds; null is as good as absent.
fn fill<'v>(
    message: &MessageDescriptor,
    member: impl Fn(&FieldDescriptor) -> Option<&'v Value>,
    depth: usize,
) -> Result<DynamicMessage, Misfit> {
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let Some(value) = member(&field).filter(|value| !value.is_null()) else {
            if field.is_required() {
                return Err(Misfit::new(name(&field.kind()), None).below(field.name()));
            }
            continue;
        };
        if let Some(other) = taken(&filled, &field) {
            let only = format!("only one of `{other}` and `{}`", field.name());
            return Err(Misfit::new(only, Some(value)).below(field.name()));
        }
        filled.set_field(&field, fit_field(value, &field, depth).map_err(|misfit| misfit.below(field.name()))?);
    }
    Ok(filled)
}

/// The field of the same `oneof` that has a value already.
fn taken(message: &DynamicMessage, field: &FieldDescriptor) -> Option<String> {
    let oneof = field.containing_oneof()?;
    oneof.fields().find(|other| other != field && message.has_field(other)).map(|other| other.name().to_owned())
}

fn fit_field(value: &Value, field: &FieldDescriptor, depth: usize) -> Result<Proto, Misfit> {
    let kind = field.kind();
    match value {
        Value::Object(object) if field.is_map() => {
            let entry = kind.as_message().ok_or_else(|| Misfit::new("a map", Some(value)))?;
            let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            let members = object.iter().map(|(key, value)| {
                let key_fits = map_key(key, &key_kind).ok_or_else(|| {
                    Misfit::new(format!("a key that is {}", name(&key_kind)), Some(&Value::from(key.as_str())))
                });
                let both = key_fits.and_then(|key| Ok((key, fit(value, &value_kind, depth + 1)?)));
                both.map_err(|misfit| misfit.below(key))
            });
            Ok(Proto::Map(members.collect::<Result<HashMap<_, _>, Misfit>>()?))
        }
        _ if field.is_map() => Err(Misfit::new("a map", Some(value))),
        Value::Array(items) if field.is_list() => {
            let items = items.iter().enumerate();
            let items = items.map(|(at, value)| fit(value, &kind, depth).map_err(|misfit| misfit.at(at)));
            Ok(Proto::List(items.collect::<Result<_, Misfit>>()?))
        }
        _ if field.is_list() => Err(Misfit::new(format!("an array whose elements are {}", name(&kind)), Some(value))),
        _ => fit(value, &kind, depth),
    }
}

fn fit(value: &Value, kind: &Kind, depth: usize) -> Result<Proto, Misfit> {
    let integer = match value {
        Value::Integer(number) => Some(*number),
        _ => None,
    };
    let fitted = match kind {
        Kind::Message(message) => return fit_message(value, message, depth + 1).map(Proto::Message),
        Kind::Bool => match value {
            Value::Boolean(truth) => Some(Proto::Bool(*truth)),
            _ => None,
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer.and_then(|n| n.try_into().ok()).map(Proto::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer.map(Proto::I64),
        Kind::Uint32 | Kind::Fixed32 => integer.and_then(|n| n.try_into().ok()).map(Proto::U32),
        Kind::Uint64 | Kind::Fixed64 => integer.and_then(|n| n.try_into().ok()).map(Proto::U64),
        Kind::Float => float(value).map(Proto::F32),
        Kind::Double => double(value).map(Proto::F64),
        Kind::String => text(value).map(|text| Proto::String(text.into_owned())),
        Kind::Bytes => bytes(value).map(|bytes| Proto::Bytes(bytes.into())),
        Kind::Enum(names) => match integer.map(i32::try_from) {
            // Enums of proto3 are open: they take numbers that they have no name for.
            Some(Ok(n)) if names.parent_file().syntax() != Syntax::Proto2 || names.get_value(n).is_some() => Some(n),
            Some(_) => None,
            None => text(value).and_then(|text| Some(names.get_value_by_name(&text)?.number())),
        }
        .map(Proto::EnumNumber),
    };
    fitted.ok_or_else(|| Misfit::new(name(kind), Some(value)))
}

fn fit_message(value: &Value, message: &MessageDescriptor, depth: usize) -> Result<DynamicMessage, Misfit> {
    let misfit = || Misfit::new(name(&Kind::Message(message.clone())), Some(value));
    let one = |field: &str, value: &Value| {
        let field = message.get_field_by_name(field).ok_or_else(misfit)?;
        let mut filled = DynamicMessage::new(message.clone());
        filled.set_field(&field, fit_field(value, &field, depth)?);
        Ok(filled)
    };
    if depth > DEEPEST {
        return Err(Misfit::new(format!("at most {DEEPEST} messages inside each other"), Some(value)));
    }
    match message.full_name() {
        "google.protobuf.Timestamp" => {
            let time = instant(value).filter(|time| (1..=9999).contains(&chrono::Datelike::year(time)));
            let time = time.ok_or_else(misfit)?;
            let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default();
            let mut filled = DynamicMessage::new(message.clone());
            filled.set_field_by_name("seconds", Proto::I64(time.timestamp()));
            filled.set_field_by_name("nanos", Proto::I32(nanos));
            Ok(filled)
        }
        "google.protobuf.Struct" => one("fields", value),
        "google.protobuf.ListValue" => one("values", value),
        "google.protobuf.Value" => match value {
            Value::Null => {
                let mut filled = DynamicMessage::new(message.clone());
                filled.set_field_by_name("null_value", Proto::EnumNumber(0));
                Ok(filled)
            }
            Value::Boolean(_) => one("bool_value", value),
            Value::Integer(_) | Value::Float(_) => one("number_value", value),
            Value::Object(_) => one("struct_value", value),
            Value::Array(_) => one("list_value", value),
            _ => one("string_value", value),
        },
        "google.protobuf.DoubleValue"
        | "google.protobuf.FloatValue"
        | "google.protobuf.Int64Value"
        | "google.protobuf.UInt64Value"
        | "google.protobuf.Int32Value"
        | "google.protobuf.UInt32Value"
        | "google.protobuf.BoolValue"
        | "google.protobuf.StringValue"
        | "google.protobuf.BytesValue" => one("value", value),
        _ => match value {
            Value::Object(object) => fill(message, |field| by_name(object, field), depth),
            _ => Err(misfit()),
        },
    }
}

fn map_key(key: &str, kind: &Kind) -> Option<MapKey> {
    match kind {
        Kind::String => Some(MapKey::String(key.to_owned())),
        Kind::Bool => key.parse().ok().map(MapKey::Bool),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => key.parse().ok().map(MapKey::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => key.parse().ok().map(MapKey::I64),
        Kind::Uint32 | Kind::Fixed32 => key.parse().ok().map(MapKey::U32),
        Kind::Uint64 | Kind::Fixed64 => key.parse().ok().map(MapKey::U64),
        _ => None,
    }
}

/// A type in a word or two.
fn name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "a timestamp (milliseconds since 1970, or RFC 3339; years 1 to 9999)".into(),
            name => format!("the message `{name}`"),
        },
        Kind::Enum(names) => {
            let symbols: Vec<_> = names.values().map(|value| value.name().to_owned()).collect();
            format!("one of {}", symbols.join(", "))
        }
        Kind::String => "a string".into(),
        Kind::Bytes => "bytes (a text)".into(),
        Kind::Bool => "a bool".into(),
        Kind::Double => "a double".into(),
        Kind::Float => "a float".into(),
        Kind::Uint32 | Kind::Fixed32 => "a uint32".into(),
        Kind::Uint64 | Kind::Fixed64 => "a uint64".into(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "an int32".into(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "an int64".into(),
    }
}
