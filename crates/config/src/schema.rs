//! The JSON Schema of a configuration, for editors.

use crate::{
    Api, KafkaSource, KafkaState, Registry,
    consumer::KAFKA,
    import::FILE,
    keys::{
        CsvKeys, DeadLetterKeys, FileStateKeys, FilterKeys, ImportKeys, MmdbKeys, Names, RemapKeys, RouteKeys, TestKeys,
    },
    registry::generator,
};
use headwater_contracts::{OcsfVersion, SinkOptions, SourceOptions, Telemetry};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// JSON Schema 2020-12 of a whole configuration with the plugins of `registry`.
pub fn json_schema(registry: &Registry) -> Value {
    let mut generator = generator();
    let inputs = generator.subschema_for::<Names>().to_value();
    let g = &mut generator;
    let source_options = SourceOptions::json_schema(g).to_value();
    let sink_options = SinkOptions::json_schema(g).to_value();
    let inputs = json!({ "properties": { "inputs": inputs } });
    let needs_inputs = json!({ "required": ["inputs"] });
    let sources = registry.sources.iter().map(|(kind, plugin)| {
        let own = (plugin.schema)(g).to_value();
        tagged(kind, &[&own, &source_options])
    });
    let mut sources: Vec<Value> = sources.collect();
    sources.push(tagged(FILE, &[&keys::<ImportKeys>(g)]));
    sources.push(tagged(KAFKA, &[&keys::<KafkaSource>(g)]));
    let sinks = registry.sinks.iter().map(|(kind, plugin)| {
        let own = (plugin.schema)(g).to_value();
        tagged(kind, &[&inputs, &own, &sink_options])
    });
    let sinks: Vec<Value> = sinks.collect();
    let transform = |kind: &str, own: Value| tagged(kind, &[&inputs, &needs_inputs, &own]);
    let transforms = vec![
        transform("remap", keys::<RemapKeys>(g)),
        transform("filter", keys::<FilterKeys>(g)),
        transform("route", keys::<RouteKeys>(g)),
    ];
    let tables = vec![tagged("csv", &[&keys::<CsvKeys>(g)]), tagged("mmdb", &[&keys::<MmdbKeys>(g)])];
    let states = vec![tagged("file", &[&keys::<FileStateKeys>(g)]), tagged("kafka", &[&keys::<KafkaState>(g)])];
    let dead_letter = json!({ "anyOf": [{ "type": "string" }, keys::<DeadLetterKeys>(g)] });
    let test = g.subschema_for::<TestKeys>().to_value();
    let api = keys::<Api>(g);
    let telemetry = keys::<Telemetry>(g);
    let ocsf_version = g.subschema_for::<OcsfVersion>().to_value();
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "headwater pipeline",
        "type": "object",
        "additionalProperties": false,
        "patternProperties": { r"^(x-|\.)": { "description": "A place for anchors (`&name`) that other places refer to." } },
        "properties": {
            "state": described(one_of(states), "Where the ledger is. Default: a folder `./state`."),
            "api": described(api, "The HTTP API: health, metrics and the page. Omit to switch it off."),
            "telemetry": described(telemetry, "headwater's own metrics and traces, by OTLP. Omit to switch them off."),
            "dead_letter": described(dead_letter, "Where rejected events go: `{ path: .. }`, or a sink's name."),
            "ocsf_version": described(ocsf_version, "The release of OCSF that `normalize.vrl` writes. Default: `1.6.0`."),
            "sources": described(named(sources), "What is read."),
            "transforms": described(named(transforms), "What happens to events on their way."),
            "enrichment_tables": described(named(tables), "Tables that VRL programs look things up in."),
            "sinks": described(named(sinks), "Where events go."),
            "tests": { "type": "array", "items": test, "description": "Unit tests of the transforms." },
        },
        "$defs": generator.take_definitions(true),
    });
    allow_references(&mut root);
    if let Some(definitions) = root.get_mut("$defs").and_then(Value::as_object_mut) {
        definitions.insert(
            REFERENCE.to_owned(),
            json!({ "type": "string", "pattern": r"\$\{", "description": "A text with references to environment variables." }),
        );
    }
    root
}

const REFERENCE: &str = "EnvironmentReference";

fn keys<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

fn described(mut schema: Value, text: &str) -> Value {
    schema["description"] = text.into();
    schema
}

/// Any mapping of component names to one of these.
fn named(kinds: Vec<Value>) -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": { "pattern": "^[A-Za-z0-9_-]+$" },
        "additionalProperties": one_of(kinds),
    })
}

fn one_of(kinds: Vec<Value>) -> Value {
    // Without a plugin nothing is valid.
    if kinds.is_empty() { Value::Bool(false) } else { json!({ "oneOf": kinds }) }
}

/// `type: kind` and the keys of all `parts`, in one closed mapping.
fn tagged(kind: &str, parts: &[&Value]) -> Value {
    let mut properties = Map::new();
    let mut required = vec![Value::from("type")];
    let mut whole = Map::new();
    properties.insert("type".into(), json!({ "const": kind }));
    for part in parts {
        for (key, value) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
            properties.entry(key.clone()).or_insert_with(|| value.clone());
        }
        required.extend(part.get("required").and_then(Value::as_array).into_iter().flatten().cloned());
        for word in ["description", "oneOf", "anyOf", "allOf", "$ref"] {
            if let Some(value) = part.get(word) {
                whole.entry(word).or_insert_with(|| value.clone());
            }
        }
    }
    whole.insert("type".into(), "object".into());
    whole.insert("properties".into(), properties.into());
    whole.insert("required".into(), required.into());
    // Keys of a flattened enum stand in its branches, which only `unevaluatedProperties` looks into.
    whole.insert("unevaluatedProperties".into(), false.into());
    whole.into()
}

/// Lets `${VAR}` stand wherever a number, a boolean, a name out of a list or a text of a certain form is expected.
fn allow_references(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(allow_references),
        Value::Object(map) => {
            if let Some(Value::Array(branches)) = map.get("oneOf")
                && !branches.iter().all(is_tagged)
                && !map.contains_key("anyOf")
            {
                // A reference may look like several branches at once.
                let mut branches = branches.clone();
                branches.push(reference());
                map.remove("oneOf");
                map.insert("anyOf".into(), branches.into());
            }
            for (word, value) in map.iter_mut() {
                match word.as_str() {
                    // These hold values, not schemas.
                    "const" | "enum" | "default" | "examples" | "required" | "propertyNames" => {}
                    _ => allow_references(value),
                }
            }
            if !takes_reference(map) {
                return;
            }
            let description = map.remove("description");
            let strict = std::mem::take(map);
            map.insert("anyOf".into(), json!([strict, reference()]));
            if let Some(text) = description {
                map.insert("description".into(), text);
            }
        }
        _ => {}
    }
}

fn reference() -> Value {
    json!({ "$ref": format!("#/$defs/{REFERENCE}") })
}

/// Whether a branch is for one `type` only.
fn is_tagged(branch: &Value) -> bool {
    branch.pointer("/properties/type/const").is_some()
}

/// Whether a schema demands something of a scalar that a reference does not look like.
fn takes_reference(map: &Map<String, Value>) -> bool {
    let names: Vec<&str> = match map.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => return map.get("enum").is_some_and(Value::is_array),
    };
    let narrowed = ["pattern", "format", "enum", "minLength", "maxLength"].iter().any(|word| map.contains_key(*word));
    names.iter().any(|name| matches!(*name, "integer" | "number" | "boolean"))
        || (names.contains(&"string") && narrowed)
}
