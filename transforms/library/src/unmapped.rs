//! What no attribute represents, at its own path.

use crate::view;
use vrl::value::{ObjectMap, Value};

/// A leaf of the raw event that an attribute represents: a path of keys from the mapping table, and one key more where
/// the table names the object only.
pub(crate) type Used = (&'static [String], Option<String>);

/// The raw event without the leaves `used`, without nulls and empty texts, and without what that leaves empty.
/// Of an array no element is left out, so that every leaf keeps its path.
pub(crate) fn rest(mut raw: ObjectMap, used: &[Used]) -> ObjectMap {
    for (path, key) in used {
        remove(&mut raw, path, key.as_deref());
    }
    raw.retain(|_, value| prune(value));
    raw
}

fn remove(map: &mut ObjectMap, path: &[String], key: Option<&str>) {
    let (last, above) = match (key, path) {
        (Some(key), path) => (key, path),
        (None, [above @ .., last]) => (last.as_str(), above),
        (None, []) => return,
    };
    let Some((first, below)) = above.split_first() else {
        map.remove(last);
        return;
    };
    let Some(mut place) = map.get_mut(first.as_str()) else { return };
    for step in below {
        let next = match place {
            Value::Object(map) => map.get_mut(step.as_str()),
            // Only members of objects are taken out: every other leaf keeps its path.
            Value::Array(items) => view::index(items, step).and_then(|index| items.get_mut(index)),
            _ => None,
        };
        let Some(next) = next else { return };
        place = next;
    }
    if let Value::Object(map) = place {
        map.remove(last);
    }
}

/// Removes the empty parts of `value`; whether anything is left of it.
fn prune(value: &mut Value) -> bool {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| prune(value));
            !map.is_empty()
        }
        Value::Array(items) => items.iter().any(has_leaf),
        scalar => has_leaf(scalar),
    }
}

fn has_leaf(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bytes(bytes) => !bytes.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Object(map) => map.values().any(has_leaf),
        Value::Array(items) => items.iter().any(has_leaf),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> ObjectMap {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn used_leaves_and_empty_parts_are_gone_and_the_rest_is_at_its_path() {
        let path: &'static [String] = Vec::leak(vec!["a".to_owned(), "b".to_owned()]);
        let parent: &'static [String] = &path[..1];
        let raw = object(
            r#"{"a":{"b":1,"c":2,"d":null},"e":"","f":[null,{"g":""}],"h":[null,{"i":1}],"j":{"k":{}},"l":false}"#,
        );
        let used = [(path, None), (parent, Some("c".to_owned())), (parent, Some("absent".to_owned()))];
        assert_eq!(rest(raw, &used), object(r#"{"h":[null,{"i":1}],"l":false}"#));
    }
}
