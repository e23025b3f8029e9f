//! What an option looks like, from its schema: for hints, and to stand in for a variable that is not set.

use serde_json::Value;

/// Options inside options that are shown.
const DEPTH_MAX: usize = 4;
/// Keys that are shown of a mapping whose keys may all be left out.
const KEYS_MAX: usize = 3;

/// The schema of the option at `path` (`a.b.0`) below `root`.
pub(crate) fn find<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let mut steps = path.split('.').filter(|step| !step.is_empty());
    steps.try_fold(root, |part, step| below(root, part, step))
}

/// Whether the option is a secret, or may be one.
pub(crate) fn is_secret(root: &Value, part: &Value) -> bool {
    is(root, part, &|part| part.get("$ref") == Some(&Value::from("#/$defs/Secret")), 0)
}

/// The schema of the option `step`, a key or a position, in `part`.
pub(crate) fn below<'a>(root: &'a Value, part: &'a Value, step: &str) -> Option<&'a Value> {
    below_within(root, part, step, 0)
}

fn below_within<'a>(root: &'a Value, part: &'a Value, step: &str, depth: usize) -> Option<&'a Value> {
    if depth > 16 {
        return None;
    }
    let own = part.get("properties").and_then(|properties| properties.get(step));
    let item = || part.get("items").filter(|_| step.parse::<usize>().is_ok());
    let other = || part.get("additionalProperties").filter(|more| more.is_object());
    own.or_else(item)
        .or_else(other)
        .or_else(|| alternatives(root, part).find_map(|part| below_within(root, part, step, depth + 1)))
}

/// What `part` refers to, and its branches but for null.
fn alternatives<'a>(root: &'a Value, part: &'a Value) -> impl Iterator<Item = &'a Value> {
    let target = part.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
    let branches = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|word| part.get(word).and_then(Value::as_array));
    let branches = branches.flatten().filter(|branch| branch.get("type") != Some(&Value::from("null")));
    target.and_then(|pointer| root.pointer(pointer)).into_iter().chain(branches)
}

/// Whether the option is a URL.
pub(crate) fn is_url(root: &Value, part: &Value) -> bool {
    is(root, part, &|part| part.get("format") == Some(&Value::from("uri")), 0)
}

/// Whether the option's text holds the whole answer: a mapping, a list, a choice, or a form that has an example.
pub(crate) fn is_shape(root: &Value, part: &Value) -> bool {
    let shape = |part: &Value| {
        ["properties", "items", "examples", "enum", "const"].iter().any(|word| part.get(word).is_some())
            || part.get("additionalProperties").is_some_and(Value::is_object)
    };
    is(root, part, &shape, 0)
}

fn is(root: &Value, part: &Value, test: &dyn Fn(&Value) -> bool, depth: usize) -> bool {
    test(part) || depth < 16 && alternatives(root, part).any(|part| is(root, part, test, depth + 1))
}

/// An example in YAML, in one line.
pub(crate) fn show(root: &Value, part: &Value) -> String {
    written(root, part, 0)
}

fn written(root: &Value, part: &Value, depth: usize) -> String {
    if depth > DEPTH_MAX {
        return "..".to_owned();
    }
    let first = |word: &str| part.get(word).and_then(Value::as_array).and_then(|values| values.first());
    if let Some(value) = first("examples").or_else(|| part.get("const")).or_else(|| first("enum")) {
        return plain(value);
    }
    if let Some(properties) = part.get("properties").and_then(Value::as_object) {
        let required: Vec<&str> =
            part.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        // In the order in which they are declared, where there is one.
        let some = || properties.keys().take(KEYS_MAX).map(String::as_str).collect();
        let shown: Vec<&str> = if required.is_empty() { some() } else { required };
        let key = |key: &str| Some(format!("{key}: {}", written(root, properties.get(key)?, depth + 1)));
        let keys: Vec<String> = shown.into_iter().filter_map(key).collect();
        return if keys.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", keys.join(", ")) };
    }
    if let Some(value) = part.get("additionalProperties").filter(|more| more.is_object()) {
        return format!("{{ name: {} }}", written(root, value, depth + 1));
    }
    if let Some(item) = part.get("items") {
        return format!("[{}]", written(root, item, depth + 1));
    }
    if part.get("format") == Some(&Value::from("uri")) {
        return "https://host.example".to_owned();
    }
    if let Some(part) = alternatives(root, part).next() {
        return written(root, part, depth + 1);
    }
    let kind = part.get("type").map(|kind| kind.as_array().and_then(|kinds| kinds.first()).unwrap_or(kind));
    match kind.and_then(Value::as_str) {
        Some("integer") => "10".to_owned(),
        Some("number") => "0.5".to_owned(),
        Some("boolean") => "true".to_owned(),
        _ => "..".to_owned(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::{SinkOptions, SourceOptions, Telemetry};
    use schemars::JsonSchema;

    fn shown<T: JsonSchema>(path: &str) -> String {
        let root = crate::registry::generator().into_root_schema_for::<T>().to_value();
        show(&root, find(&root, path).unwrap())
    }

    #[test]
    fn options_are_shown_as_they_are_written() {
        assert_eq!(shown::<SourceOptions>("rate_limit"), "{ requests: 30, per: 1m }");
        assert_eq!(shown::<SourceOptions>("rescan"), "[{ every: 1h, span: 24h }]");
        assert_eq!(shown::<SourceOptions>("rescan.0.every"), "1h");
        assert_eq!(shown::<SourceOptions>("start_at"), "7d");
        assert_eq!(shown::<SinkOptions>("batch.max_bytes"), "1MiB");
        assert_eq!(shown::<SinkOptions>("on_reject"), "dead_letter");
        assert_eq!(shown::<Telemetry>("headers"), "{ name: { env: NAME } }");
        assert_eq!(shown::<Telemetry>("endpoint"), "https://host.example");
        assert_eq!(shown::<Telemetry>(""), "{ endpoint: https://host.example }");
    }
}
