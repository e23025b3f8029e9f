//! What a JSON Schema says about the keys of a mapping.

use serde_json::Value;

/// The keys of a plugin's own options.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Their names, in the order of the struct.
    pub(crate) keys: Vec<String>,
    /// Those that must be there.
    pub(crate) required: Vec<String>,
    /// Whether other keys are taken too (a flattened map).
    pub(crate) open: bool,
}

impl Shape {
    /// Reads a root schema.
    pub(crate) fn of(schema: &Value) -> Self {
        let mut shape = Self::default();
        shape.add(schema, schema, true, 0);
        shape
    }

    /// `sure` is whether all of `part` applies: a branch of `anyOf` demands nothing.
    fn add(&mut self, root: &Value, part: &Value, sure: bool, depth: usize) {
        if depth > 16 {
            return;
        }
        if let Some(name) = part.get("$ref").and_then(Value::as_str)
            && let Some(target) = name.strip_prefix('#').and_then(|pointer| root.pointer(pointer))
        {
            self.add(root, target, sure, depth + 1);
        }
        for key in part.get("properties").and_then(Value::as_object).into_iter().flat_map(|map| map.keys()) {
            if !self.keys.contains(key) {
                self.keys.push(key.clone());
            }
        }
        if sure {
            let required = part.get("required").and_then(Value::as_array).into_iter().flatten();
            self.required.extend(required.filter_map(Value::as_str).map(ToOwned::to_owned));
        }
        self.open |=
            part.get("additionalProperties").is_some_and(|more| more.is_object() || more == &Value::Bool(true));
        for (word, sure) in [("allOf", sure), ("anyOf", false), ("oneOf", false)] {
            for branch in part.get(word).and_then(Value::as_array).into_iter().flatten() {
                self.add(root, branch, sure, depth + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_found_wherever_a_schema_puts_them() {
        let shape = Shape::of(&json!({
            "properties": { "a": {}, "b": {} }, "required": ["a"],
            "oneOf": [{ "$ref": "#/$defs/x" }, { "properties": { "d": {} } }],
            "$defs": { "x": { "properties": { "c": {} }, "required": ["c"] } }
        }));
        assert_eq!(
            shape,
            Shape { keys: ["a", "b", "c", "d"].map(Into::into).to_vec(), required: vec!["a".into()], open: false }
        );
        assert!(Shape::of(&json!({ "additionalProperties": { "type": "string" } })).open);
        assert!(!Shape::of(&json!({ "additionalProperties": false })).open);
    }
}
