//! Credentials that stand in a file as plain text: none is shown with the line that a diagnostic points at.

use crate::{Node, example, secret};
use serde_json::Value;

/// The texts in `node` that stand where its schema has a secret, whatever their shape: what is there by mistake may be one.
pub(crate) fn secrets(node: &Node, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(node, schema, schema, &mut found);
    found
}

fn walk(node: &Node, root: &Value, part: &Value, found: &mut Vec<String>) {
    if example::is_secret(root, part) && !secret::is_reference(node) {
        return texts(node, found);
    }
    for entry in node.entries() {
        if let Some(part) = example::below(root, part, &entry.key) {
            walk(&entry.value, root, part, found);
        }
    }
    for item in node.items() {
        if let Some(part) = example::below(root, part, "0") {
            walk(item, root, part, found);
        }
    }
}

/// A key that is longer is no slip of `env`, `file` or `exec`.
const KEY_MAX: usize = 8;

fn texts(node: &Node, found: &mut Vec<String>) {
    for entry in node.entries() {
        found.extend(Some(entry.key.clone()).filter(|key| key.len() > KEY_MAX));
        texts(&entry.value, found);
    }
    for item in node.items() {
        texts(item, found);
    }
    // What a variable has brought is nowhere in the file.
    found.extend(node.scalar().filter(|scalar| scalar.written.is_none()).map(|scalar| scalar.text.clone()));
}
