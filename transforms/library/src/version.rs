//! Releases of OCSF other than the one the tables are written for.
//!
//! Later minor releases only add, so an event of 1.6.0 is one of 1.7.0 and 1.8.0 with another number. 1.5.0 lacks what is
//! taken out or rewritten here (changes between the tags 1.5.0 and 1.6.0 of the schema's repository). Below 1.5.0 the
//! classes lose `actor` or `resources`: not supported.

use crate::attributes::fixed;
use headwater_contracts::OcsfVersion;
use vrl::value::{ObjectMap, Value};

/// Rewrites an event of 1.6.0.
pub(crate) fn rewrite(version: OcsfVersion, event: &mut ObjectMap) {
    if version == OcsfVersion::default() {
        return;
    }
    if version == OcsfVersion::V1_5 {
        without_1_6(event);
    }
    if let Some(Value::Object(metadata)) = event.get_mut("metadata") {
        metadata.insert("version".into(), fixed(version.as_str()));
    }
}

/// Takes out what 1.6.0 brought, and loses nothing of the record: `PATCH` goes to `unmapped`, and what is left out can be
/// made again from `raw_data`.
fn without_1_6(event: &mut ObjectMap) {
    event.remove("raw_data_hash");
    if let Some(Value::Object(metadata)) = event.get_mut("metadata") {
        metadata.remove("is_truncated");
        metadata.remove("untruncated_size");
    }
    for (name, value) in event.iter_mut().filter(|(name, _)| name.as_str() != "unmapped") {
        users(name, value);
    }
    let method = match event.get_mut("http_request") {
        Some(Value::Object(request)) if request.get("http_method") == Some(&fixed("PATCH")) => {
            request.remove("http_method")
        }
        _ => None,
    };
    if let Some(method) = method {
        let unmapped = object(event.entry("unmapped".into()).or_insert_with(|| Value::Object(ObjectMap::new())));
        let request = unmapped.map(|map| map.entry("http_request".into()).or_insert(Value::Object(ObjectMap::new())));
        if let Some(request) = request.and_then(object) {
            request.insert("http_method".into(), method);
        }
    }
}

fn object(value: &mut Value) -> Option<&mut ObjectMap> {
    if let Value::Object(map) = value { Some(map) } else { None }
}

/// Rewrites every `user` in the value that is under `name`.
fn users(name: &str, value: &mut Value) {
    match value {
        Value::Object(map) => {
            if name == "user" {
                map.remove("programmatic_credentials");
                if map.get("type_id") == Some(&Value::Integer(4)) {
                    map.insert("type_id".into(), Value::Integer(99));
                }
            }
            for (name, value) in map.iter_mut() {
                users(name, value);
            }
        }
        Value::Array(list) => {
            for value in list {
                users(name, value);
            }
        }
        _ => {}
    }
}
