//! Events to Avro. Pure.

use crate::misfit::{Misfit, bytes, double, float, instant, text};
use apache_avro::{
    Schema, Uuid,
    schema::{FixedSchema, NamesRef, RecordField, RecordSchema, ResolvedSchema, UnionSchema, UuidSchema},
    types::Value as Avro,
    writer::datum::GenericDatumWriter,
};
use chrono::NaiveDate;
use vrl::value::{ObjectMap, Value};

/// A record's schema.
#[derive(Debug)]
pub(crate) struct AvroSchema {
    schema: Schema,
}

impl AvroSchema {
    /// Reads a schema; `Err` says what is wrong with it, and in which line if it is no JSON.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let json: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("is no JSON: {error}"))?;
        let schema = Schema::parse(&json).map_err(|error| format!("is no Avro schema: {error}"))?;
        if !matches!(schema, Schema::Record(_)) {
            return Err(format!("is {}, and an event is a record", name(&schema)));
        }
        ResolvedSchema::new(&schema).map_err(|error| format!("is no Avro schema: {error}"))?;
        supported(&schema)?;
        Ok(Self { schema })
    }

    /// The record's full name.
    pub(crate) fn name(&self) -> String {
        self.schema.name().map(|name| name.fullname(None)).unwrap_or_default()
    }

    /// Whether the record has a field of this name.
    pub(crate) fn has(&self, field: &str) -> bool {
        matches!(&self.schema, Schema::Record(record) if record.lookup.contains_key(field))
    }

    /// The event's datum, with `extra` in place of the member of its name; `Err` names the field that it does not fit.
    pub(crate) fn encode(&self, event: &ObjectMap, extra: Option<(&str, Value)>) -> Result<Vec<u8>, String> {
        let cannot = |error: apache_avro::Error| format!("cannot be written as Avro: {error}");
        let names = ResolvedSchema::new(&self.schema).map_err(cannot)?;
        let Schema::Record(record) = &self.schema else { return Err("the schema is no record".to_owned()) };
        let member = |field: &str| match &extra {
            Some((name, value)) if *name == field => Some(value),
            _ => event.get(field),
        };
        let datum = fill(record, member, names.get_names()).map_err(|misfit| misfit.to_string())?;
        let writer = GenericDatumWriter::builder(&self.schema).resolved_schemata(names).build().map_err(cannot)?;
        writer.write_value_to_vec(datum).map_err(cannot)
    }
}

/// A record of the members that `member` finds.
fn fill<'v>(
    record: &RecordSchema,
    member: impl Fn(&str) -> Option<&'v Value>,
    names: &NamesRef<'_>,
) -> Result<Avro, Misfit> {
    let fields = record.fields.iter().map(|field| {
        let found = member(&field.name).filter(|value| !value.is_null() || null(&field.schema).is_some());
        let value = match found {
            Some(value) => fit(value, &field.schema, names),
            None => absent(field, member(&field.name), names),
        };
        Ok((field.name.clone(), value.map_err(|misfit| misfit.below(&field.name))?))
    });
    Ok(Avro::Record(fields.collect::<Result<_, Misfit>>()?))
}

/// What stands for a member that is absent, or null where the schema has no null.
fn absent(field: &RecordField, found: Option<&Value>, names: &NamesRef<'_>) -> Result<Avro, Misfit> {
    let misfit = || Misfit::new(name(&field.schema), found);
    match &field.default {
        Some(default) if !default.is_null() => {
            let default = Avro::try_from(default.clone());
            default.and_then(|default| default.resolve_with_names(&field.schema, names)).map_err(|_| misfit())
        }
        _ => null(&field.schema).ok_or_else(misfit),
    }
}

/// The schema's null, if it has one.
fn null(schema: &Schema) -> Option<Avro> {
    match schema {
        Schema::Null => Some(Avro::Null),
        Schema::Union(union) => {
            let at = union.variants().iter().position(|variant| *variant == Schema::Null)?;
            Some(Avro::Union(u32::try_from(at).ok()?, Box::new(Avro::Null)))
        }
        _ => None,
    }
}

fn fit(value: &Value, schema: &Schema, names: &NamesRef<'_>) -> Result<Avro, Misfit> {
    let fitted = match (schema, value) {
        (Schema::Ref { name }, _) => match names.get(name) {
            Some(schema) => return fit(value, schema, names),
            None => None,
        },
        (Schema::Union(union), _) => return choose(value, union, names),
        (Schema::Record(record), Value::Object(object)) => return fill(record, |field| object.get(field), names),
        (Schema::Map(map), Value::Object(object)) => {
            let members = object.iter().map(|(key, value)| {
                let fitted = fit(value, &map.types, names).map_err(|misfit| misfit.below(key))?;
                Ok((key.to_string(), fitted))
            });
            Some(Avro::Map(members.collect::<Result<_, Misfit>>()?))
        }
        (Schema::Array(array), Value::Array(items)) => {
            let items = items.iter().enumerate();
            let items = items.map(|(at, value)| fit(value, &array.items, names).map_err(|misfit| misfit.at(at)));
            Some(Avro::Array(items.collect::<Result<_, Misfit>>()?))
        }
        (_, Value::Object(_) | Value::Array(_)) => None,
        (Schema::Null, Value::Null) => Some(Avro::Null),
        (Schema::Boolean, Value::Boolean(truth)) => Some(Avro::Boolean(*truth)),
        (Schema::Int, Value::Integer(number)) => i32::try_from(*number).ok().map(Avro::Int),
        (Schema::Long, Value::Integer(number)) => Some(Avro::Long(*number)),
        (Schema::Float, _) => float(value).map(Avro::Float),
        (Schema::Double, _) => double(value).map(Avro::Double),
        (Schema::String, _) => text(value).map(|text| Avro::String(text.into_owned())),
        (Schema::Bytes, _) => bytes(value).map(Avro::Bytes),
        (Schema::Fixed(FixedSchema { size, .. }), _) => {
            bytes(value).filter(|bytes| bytes.len() == *size).map(|bytes| Avro::Fixed(*size, bytes))
        }
        (Schema::Enum(symbols), _) => text(value).and_then(|text| {
            let at = symbols.symbols.iter().position(|symbol| *symbol == text)?;
            Some(Avro::Enum(u32::try_from(at).ok()?, text.into_owned()))
        }),
        (Schema::Uuid(_), _) => text(value).and_then(|text| Uuid::parse_str(&text).ok()).map(Avro::Uuid),
        _ => time(value, schema),
    };
    fitted.ok_or_else(|| Misfit::new(name(schema), Some(value)))
}

/// Avro's types of time. Numbers are milliseconds since 1970, as OCSF has them, for each type of instant.
fn time(value: &Value, schema: &Schema) -> Option<Avro> {
    let milliseconds = || match value {
        Value::Integer(milliseconds) => Some(*milliseconds),
        other => instant(other).map(|time| time.timestamp_millis()),
    };
    let finer = |per_millisecond: i64| match value {
        Value::Integer(milliseconds) => milliseconds.checked_mul(per_millisecond),
        other if per_millisecond == 1000 => instant(other).map(|time| time.timestamp_micros()),
        other => instant(other)?.timestamp_nanos_opt(),
    };
    match (schema, value) {
        (Schema::TimestampMillis, _) => milliseconds().map(Avro::TimestampMillis),
        (Schema::TimestampMicros, _) => finer(1000).map(Avro::TimestampMicros),
        (Schema::TimestampNanos, _) => finer(1_000_000).map(Avro::TimestampNanos),
        (Schema::LocalTimestampMillis, _) => milliseconds().map(Avro::LocalTimestampMillis),
        (Schema::LocalTimestampMicros, _) => finer(1000).map(Avro::LocalTimestampMicros),
        (Schema::LocalTimestampNanos, _) => finer(1_000_000).map(Avro::LocalTimestampNanos),
        (Schema::Date, Value::Integer(days)) => i32::try_from(*days).ok().map(Avro::Date),
        (Schema::Date, _) => {
            let day: NaiveDate = text(value)?.parse().ok()?;
            i32::try_from(day.signed_duration_since(NaiveDate::default()).num_days()).ok().map(Avro::Date)
        }
        (Schema::TimeMillis, Value::Integer(time)) => i32::try_from(*time).ok().map(Avro::TimeMillis),
        (Schema::TimeMicros, Value::Integer(time)) => Some(Avro::TimeMicros(*time)),
        _ => None,
    }
}

/// The first variant that the value fits; whole numbers try whole ones first.
fn choose(value: &Value, union: &UnionSchema, names: &NamesRef<'_>) -> Result<Avro, Misfit> {
    let whole = |schema: &Schema| matches!((value, schema), (Value::Integer(_), Schema::Int | Schema::Long));
    let variants = || union.variants().iter().zip(0..);
    let ordered = variants().filter(|(schema, _)| whole(schema)).chain(variants().filter(|(schema, _)| !whole(schema)));
    let mut misfits = Vec::new();
    for (schema, at) in ordered {
        match fit(value, schema, names) {
            Ok(fitted) => return Ok(Avro::Union(at, Box::new(fitted))),
            Err(_) if *schema == Schema::Null => {}
            Err(misfit) => misfits.push(misfit),
        }
    }
    // With one type beside null it is plain what was meant, and so what is wrong inside of it.
    match <[Misfit; 1]>::try_from(misfits) {
        Ok([misfit]) => Err(misfit),
        Err(_) => Err(Misfit::new(format!("one of {}", names_of(union)), Some(value))),
    }
}

/// A schema in a word or two.
fn name(schema: &Schema) -> String {
    let named = |kind: &str, name: &apache_avro::schema::Name| format!("the {kind} `{}`", name.fullname(None));
    match schema {
        Schema::Null => "null".into(),
        Schema::Boolean => "a boolean".into(),
        Schema::Int => "an int, a whole number of 32 bits".into(),
        Schema::Long => "a long, a whole number".into(),
        Schema::Float => "a float".into(),
        Schema::Double => "a double".into(),
        Schema::Bytes => "bytes (a text)".into(),
        Schema::String => "a string".into(),
        Schema::Array(array) => format!("an array whose elements are {}", name(&array.items)),
        Schema::Map(map) => format!("a map whose values are {}", name(&map.types)),
        Schema::Union(union) => format!("one of {}", names_of(union)),
        Schema::Record(record) => named("record", &record.name),
        Schema::Enum(symbols) => format!("one of {}", symbols.symbols.join(", ")),
        Schema::Fixed(fixed) => format!("a text of {} bytes", fixed.size),
        Schema::Decimal(_) | Schema::BigDecimal => "a decimal".into(),
        Schema::Uuid(UuidSchema::String | UuidSchema::Bytes | UuidSchema::Fixed(_)) => "a UUID".into(),
        Schema::Date => "a date (a text such as 2026-01-31, or days since 1970)".into(),
        Schema::TimeMillis | Schema::TimeMicros => "a time of day as a number".into(),
        Schema::Duration(_) => "a duration".into(),
        Schema::Ref { name } => named("type", name),
        _ => "a timestamp (milliseconds since 1970, or RFC 3339)".into(),
    }
}

fn names_of(union: &UnionSchema) -> String {
    union.variants().iter().map(name).collect::<Vec<_>>().join(" or ")
}

/// `Err` names a type that no event can fill.
fn supported(schema: &Schema) -> Result<(), String> {
    match schema {
        Schema::Decimal(_) | Schema::BigDecimal | Schema::Duration(_) => {
            Err(format!("holds {}, which events have no value for: write it as a string", name(schema)))
        }
        Schema::Array(array) => supported(&array.items),
        Schema::Map(map) => supported(&map.types),
        Schema::Union(union) => union.variants().iter().try_for_each(supported),
        Schema::Record(record) => record.fields.iter().try_for_each(|field| {
            supported(&field.schema).map_err(|problem| format!("at `{}.{}` {problem}", record.name.name(), field.name))
        }),
        _ => Ok(()),
    }
}
