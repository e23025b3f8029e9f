//! Runs shipped programs as the pipeline does, and reads the golden files.
#![allow(dead_code, reason = "each test binary uses its part")]

use headwater_contracts::OcsfVersion;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::{CompileConfig, Program, TargetValueRef, TimeZone, compile_with_external, state::ExternalEnv};
use vrl::value::{Secrets, Value};

/// A compiled program.
pub(crate) struct Compiled(Program);

/// What became of an event.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    Next(Json),
    Dropped,
}

pub(crate) fn builtin(name: &str) -> Compiled {
    compile(headwater_library::builtin(name).expect("a shipped program"))
}

pub(crate) fn compile(source: &str) -> Compiled {
    compile_for(source, OcsfVersion::default())
}

/// A program that writes OCSF of this release.
pub(crate) fn compile_for(source: &str, version: OcsfVersion) -> Compiled {
    let mut functions = vrl::stdlib::all();
    functions.extend(headwater_library::functions(version));
    match compile_with_external(source, &functions, &ExternalEnv::default(), CompileConfig::default()) {
        Ok(compiled) => {
            assert!(compiled.warnings.is_empty(), "{:?}", compiled.warnings);
            Compiled(compiled.program)
        }
        Err(diagnostics) => panic!("{diagnostics:?}"),
    }
}

impl Compiled {
    /// Runs over one event. `headwater` becomes `%headwater`.
    pub(crate) fn run(&self, event: Value, headwater: &Json) -> End {
        let mut event = event;
        let mut metadata = Value::from(serde_json::json!({ "headwater": headwater }));
        let mut secrets = Secrets::default();
        let mut target = TargetValueRef { value: &mut event, metadata: &mut metadata, secrets: &mut secrets };
        let utc = TimeZone::Named("UTC".parse().unwrap());
        match Runtime::default().resolve(&mut target, &self.0, &utc) {
            Ok(_) => End::Next(serde_json::to_value(&event).unwrap()),
            Err(Terminate::Abort(_)) => End::Dropped,
            Err(other) => panic!("the program failed: {other:?}"),
        }
    }

    /// Runs over the event `raw`, which is also `%headwater.raw`.
    pub(crate) fn run_raw(&self, raw: &str, headwater: &Json) -> Json {
        let mut headwater = headwater.clone();
        headwater["raw"] = raw.into();
        match self.run(serde_json::from_str(raw).unwrap(), &headwater) {
            End::Next(event) => event,
            End::Dropped => panic!("dropped"),
        }
    }

    pub(crate) fn program(&self) -> &Program {
        &self.0
    }
}

/// A golden case: raw event, `%headwater` without `raw`, expected OCSF event.
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) raw: String,
    pub(crate) meta: Json,
    pub(crate) expected: Json,
    /// The entry of `index.json`.
    pub(crate) entry: Json,
}

fn tests_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn json(path: &str) -> Json {
    let path = tests_dir().join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The golden cases of the providers that have a table.
pub(crate) fn goldens() -> Vec<Golden> {
    let providers = headwater_library::providers();
    let index = json("golden/index.json");
    let entries = index.as_array().unwrap().iter();
    entries
        .filter(|entry| providers.contains(&entry["provider"].as_str().unwrap()))
        .map(|entry| {
            let provider = entry["provider"].as_str().unwrap().to_owned();
            let name = format!("{provider}/{}", entry["case"].as_str().unwrap());
            let raw = std::fs::read_to_string(tests_dir().join(format!("golden/{name}.raw.json"))).unwrap();
            Golden {
                raw: raw.trim_end_matches('\n').to_owned(),
                meta: json(&format!("golden/{name}.meta.json")),
                expected: json(&format!("golden/{name}.ocsf.json")),
                entry: entry.clone(),
                name,
                provider,
            }
        })
        .collect()
}

/// The OCSF schemas, by class and profiles.
pub(crate) struct Schemas(BTreeMap<String, jsonschema::Validator>);

/// Schema file stems by `class_uid`.
const STEMS: [(i64, &str); 9] = [
    (0, "base_event"),
    (3001, "account_change"),
    (3002, "authentication"),
    (3004, "entity_management"),
    (3005, "user_access"),
    (3006, "group_management"),
    (6001, "web_resources_activity"),
    (6002, "application_lifecycle"),
    (6003, "api_activity"),
];

impl Schemas {
    pub(crate) fn load() -> Self {
        let mut schemas = BTreeMap::new();
        for file in std::fs::read_dir(tests_dir().join("ocsf-schemas")).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            if let Some(stem) = name.strip_suffix(".schema.json") {
                let schema = json(&format!("ocsf-schemas/{name}"));
                schemas.insert(stem.to_owned(), jsonschema::validator_for(&schema).unwrap());
            }
        }
        Self(schemas)
    }

    /// Everything wrong with an OCSF event: schema, arithmetic, captions.
    pub(crate) fn problems(&self, event: &Json) -> Vec<String> {
        let class = event["class_uid"].as_i64().unwrap_or(-1);
        let Some((_, stem)) = STEMS.iter().find(|(uid, _)| *uid == class) else {
            return vec![format!("no class {class}")];
        };
        let profiles = event["metadata"]["profiles"].as_array().into_iter().flatten();
        let key = profiles.fold((*stem).to_owned(), |key, profile| key + "." + profile.as_str().unwrap_or("?"));
        let Some(schema) = self.0.get(&key) else {
            return vec![format!("no schema {key}")];
        };
        let mut problems: Vec<String> =
            schema.iter_errors(event).map(|error| format!("{key}: {}: {error}", error.instance_path())).collect();
        problems.extend(arithmetic(event));
        problems
    }
}

fn arithmetic(event: &Json) -> Vec<String> {
    let mut problems = Vec::new();
    let number = |name: &str| event[name].as_i64().unwrap_or(-1);
    if number("type_uid") != number("class_uid") * 100 + number("activity_id") {
        problems.push(format!("type_uid is {}", event["type_uid"]));
    }
    if number("category_uid") != number("class_uid") / 1000 {
        problems.push(format!("category_uid is {}", event["category_uid"]));
    }
    let type_name = event["type_name"].as_str().unwrap_or_default();
    let caption =
        type_name.strip_prefix(event["class_name"].as_str().unwrap_or("?")).and_then(|rest| rest.strip_prefix(": "));
    let caption = caption.unwrap_or("?");
    match number("activity_id") {
        99 if caption != "Other" => problems.push(format!("type_name is {type_name}")),
        0 if caption != "Unknown" => problems.push(format!("type_name is {type_name}")),
        99 => {}
        _ if event["activity_name"] == caption => {}
        _ => problems.push(format!("activity_name is {} with {type_name}", event["activity_name"])),
    }
    let siblings = [
        ("status_id", "status", [(0, "Unknown"), (1, "Success"), (2, "Failure")].as_slice()),
        ("severity_id", "severity", &[(1, "Informational"), (2, "Low")]),
    ];
    for (id, name, captions) in siblings {
        if number(id) != 99 && !captions.iter().any(|(known, caption)| *known == number(id) && event[name] == *caption)
        {
            problems.push(format!("{name} is {} with {id} {}", event[name], event[id]));
        }
    }
    problems
}
