//! The names of the samples, as the listing endpoints have them: some with a label, and one action in two spellings.

use serde_json::{Value, json};

pub(super) fn platforms() -> Value {
    json!([
        { "name": "CoreServices", "label": "Access Management" },
        { "name": "Runtime Manager", "label": "Runtime Manager" },
        { "name": "api-platform-api", "label": "API Manager" },
        { "name": "Flex Mesh" },
    ])
}

pub(super) fn object_types() -> Value {
    json!([
        { "name": "User", "platforms": ["CoreServices"] },
        { "name": "Team", "platforms": ["CoreServices"] },
        { "name": "Connected Application", "platforms": ["CoreServices"] },
        { "name": "Application", "platforms": ["Runtime Manager"] },
        { "name": "policy", "platforms": ["api-platform-api"], "label": "Policy" },
        { "name": "Gateway Fleet", "platforms": ["Flex Mesh"] },
    ])
}

pub(super) fn actions() -> Value {
    json!([
        { "name": "Login", "objectTypes": ["User"] },
        { "name": "Login - Token", "objectTypes": ["Connected Application"] },
        { "name": "Edit", "objectTypes": ["Team"] },
        { "name": "edit", "objectTypes": ["User"] },
        { "name": "Deploy", "objectTypes": ["Application"] },
        { "name": "create", "objectTypes": ["policy"], "label": "Create" },
        { "name": "delete", "objectTypes": ["policy"], "label": "Delete" },
        { "name": "Quarantine", "objectTypes": ["Gateway Fleet"] },
    ])
}
