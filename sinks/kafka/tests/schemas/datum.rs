//! An Avro decoder of the tests' own, from the specification: it shares no code with what wrote the data. Values come as the
//! JSON that an event has for them.

use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// A datum by its schema's JSON; all of it must be used up.
pub(crate) fn decode(schema: &Value, mut bytes: &[u8]) -> Value {
    let value = read(schema, &mut bytes, &names(schema));
    assert!(bytes.is_empty(), "{} bytes are left", bytes.len());
    value
}

/// The schemas that have names, wherever they stand.
pub(crate) fn names(schema: &Value) -> HashMap<String, Value> {
    let mut found = HashMap::new();
    let below: Vec<&Value> = match schema {
        Value::Object(object) => {
            if let (Some(name), Some(_)) =
                (object.get("name").and_then(Value::as_str), object.get("type").and_then(Value::as_str))
            {
                found.insert(name.to_owned(), schema.clone());
            }
            object.values().collect()
        }
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    // A field has a name too; one that is called like a type must not take its place.
    for (name, schema) in below.into_iter().flat_map(names) {
        if schema.get("fields").or(schema.get("symbols")).or(schema.get("size")).is_some() {
            found.insert(name, schema);
        }
    }
    found
}

fn read(schema: &Value, bytes: &mut &[u8], names: &HashMap<String, Value>) -> Value {
    if let Some(variants) = schema.as_array() {
        let at = usize::try_from(long(bytes)).unwrap();
        return read(&variants[at], bytes, names);
    }
    let kind = schema["type"].as_str().or(schema.as_str()).unwrap();
    match kind {
        "null" => Value::Null,
        "boolean" => json!(take(bytes, 1)[0] == 1),
        "int" | "long" => json!(long(bytes)),
        "float" => json!(f32::from_le_bytes(take(bytes, 4).try_into().unwrap())),
        "double" => json!(f64::from_le_bytes(take(bytes, 8).try_into().unwrap())),
        "string" | "bytes" => json!(text(bytes)),
        "fixed" => json!(String::from_utf8(take(bytes, schema["size"].as_u64().unwrap() as usize).to_vec()).unwrap()),
        "enum" => schema["symbols"][usize::try_from(long(bytes)).unwrap()].clone(),
        "array" => {
            let mut items = Vec::new();
            for _ in blocks(bytes) {
                items.push(read(&schema["items"], bytes, names));
            }
            end(bytes, !items.is_empty());
            Value::Array(items)
        }
        "map" => {
            let mut members = Map::new();
            for _ in blocks(bytes) {
                let key = text(bytes);
                members.insert(key, read(&schema["values"], bytes, names));
            }
            end(bytes, !members.is_empty());
            Value::Object(members)
        }
        "record" => {
            let fields = schema["fields"].as_array().unwrap().iter();
            let fields =
                fields.map(|field| (field["name"].as_str().unwrap().to_owned(), read(&field["type"], bytes, names)));
            Value::Object(fields.collect())
        }
        name => read(&names[name], bytes, names),
    }
}

/// The count of the first block, or none: the writer makes one block of all.
fn blocks(bytes: &mut &[u8]) -> std::ops::Range<i64> {
    0..long(bytes)
}

/// The count that ends the blocks; none of them has said so already.
fn end(bytes: &mut &[u8], some: bool) {
    if some {
        assert_eq!(long(bytes), 0);
    }
}

fn text(bytes: &mut &[u8]) -> String {
    let length = usize::try_from(long(bytes)).unwrap();
    String::from_utf8(take(bytes, length).to_vec()).unwrap()
}

fn long(bytes: &mut &[u8]) -> i64 {
    let number = varint(bytes);
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// An unsigned number, seven bits a byte; also Protobuf's.
pub(crate) fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = take(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

/// The first bytes.
pub(crate) fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}
