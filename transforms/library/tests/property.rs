//! Whatever comes in, `normalize.vrl` gives exactly one valid OCSF event, and no leaf of the raw event is lost.
//! 2,000 cases per property; the environment variable `PROPTEST_CASES` raises it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Compiled, End, Schemas, builtin, goldens};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};
use std::sync::LazyLock;

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::load);
static NORMALIZE: LazyLock<Compiled> = LazyLock::new(|| builtin("normalize.vrl"));
static ENRICH: LazyLock<Compiled> = LazyLock::new(|| builtin("enrich.vrl"));
static GOLDENS: LazyLock<Vec<(String, Json)>> = LazyLock::new(|| {
    goldens().into_iter().map(|golden| (golden.provider, serde_json::from_str(&golden.raw).unwrap())).collect()
});

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Any scalar, the odd ones often.
fn leaf() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,20}".prop_map(Into::into),
        prop_oneof![
            Just(""),
            Just(" "),
            Just("USER"),
            Just("WORKSPACE"),
            Just("MURAL"),
            Just("SIGN_IN_FAILURE"),
            Just("SUCCESS"),
            Just("SERVICE"),
            Just("ENVIRONMENT_UPDATE"),
            Just("404"),
            Just("None"),
            Just("Anypoint Staff"),
            Just("permissions change"),
            Just("{\"subaction\":\"Add\",\"properties\":[{\"id\":\"x\"}]}"),
            Just("CREATE_USER"),
            Just("DELETE_WORKSPACE"),
            Just("a@b.c"),
            Just("[email protected]"),
            Just("10.0.0.1, ::1"),
            Just("host, other"),
            Just("PUT"),
            Just("get"),
            Just("/admin/users/7/roles/8"),
            Just("/admin/teams/7"),
            Just("::"),
            Just("2022-02-02 08:01:00"),
            Just("1643788860"),
            Just("{\"password\":\"x\"}"),
            Just("é\u{1f600}\u{0}"),
        ]
        .prop_map(Into::into),
    ]
}

fn tree() -> impl Strategy<Value = Json> {
    leaf().prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((key(), inner), 0..5).prop_map(|pairs| Json::Object(pairs.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_.-]{1,8}",
        prop_oneof![
            Just("id"),
            Just("action"),
            Just("actor"),
            Just("affected"),
            Just("type"),
            Just("payload"),
            Just("params"),
            Just("name"),
            Just("ip"),
            Just("password"),
            Just("uuid"),
            Just("_uuid"),
            Just("x_name"),
            Just("resource_name"),
            Just("resourceId"),
            Just("userId"),
            Just("eventType"),
            Just("endTime"),
            Just("duration"),
            Just("responseCode"),
            Just("user_email"),
            Just("db_user_id"),
            Just("timestamp"),
            Just("date"),
            Just("path"),
            Just("operator"),
            Just("event_type"),
            Just("event_time"),
            Just("http_request"),
            Just("http_response"),
            Just("status_code"),
            Just("uri"),
            Just("body"),
            Just("token_name"),
            Just("platform"),
            Just("subaction"),
            Just("objects"),
            Just("objectType"),
            Just("userName"),
            Just("clientId"),
            Just("failed"),
            Just("failedCause"),
            Just("payload"),
            Just("properties"),
        ]
        .prop_map(str::to_owned),
    ]
}

/// A golden event with some of its parts replaced, dropped or added.
fn mutated() -> impl Strategy<Value = (String, Json)> {
    let edit = (any::<prop::sample::Index>(), 0..4u8, key(), tree());
    (any::<prop::sample::Index>(), prop::collection::vec(edit, 0..6)).prop_map(|(which, edits)| {
        let (provider, mut event) = which.get(&GOLDENS).clone();
        for (place, kind, key, value) in edits {
            let mut objects = Vec::new();
            pointers(&event, &mut String::new(), &mut objects);
            let (pointer, keys) = place.get(&objects).clone();
            let Some(Json::Object(map)) = event.pointer_mut(&pointer) else { continue };
            let chosen = (!keys.is_empty()).then(|| place.get(&keys).clone());
            match (kind, chosen) {
                (0, Some(chosen)) => drop(map.remove(&chosen)),
                (1 | 2, Some(chosen)) => drop(map.insert(chosen, value)),
                _ => drop(map.insert(key, value)),
            }
        }
        (provider, event)
    })
}

fn pointers(json: &Json, path: &mut String, objects: &mut Vec<(String, Vec<String>)>) {
    if let Json::Object(map) = json {
        objects.push((path.clone(), map.keys().cloned().collect()));
        for (key, value) in map {
            let length = path.len();
            path.push('/');
            path.push_str(&key.replace('~', "~0").replace('/', "~1"));
            pointers(value, path, objects);
            path.truncate(length);
        }
    }
}

fn meta() -> impl Strategy<Value = Map<String, Json>> {
    prop::collection::vec(
        (
            prop_oneof![
                Just("stream"),
                Just("id"),
                Just("observed_time"),
                Just("late"),
                Just("own_query"),
                Just("suspicious")
            ],
            leaf(),
        ),
        0..5,
    )
    .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The leaves of `json` with their paths: neither null nor empty.
fn leaves(json: &Json, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, Json)>) {
    match json {
        Json::Object(map) => {
            for (key, value) in map {
                path.push(key.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        Json::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                path.push(at.to_string());
                leaves(value, path, found);
                path.pop();
            }
        }
        Json::Null => {}
        Json::String(text) if text.is_empty() => {}
        leaf => found.push((path.clone(), leaf.clone())),
    }
}

fn at<'j>(json: &'j Json, path: &[String]) -> Option<&'j Json> {
    path.iter().try_fold(json, |json, step| match json {
        Json::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

fn text(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        // As the event value has it: integers beyond 64 bits are floats there.
        Json::Number(number) if !number.is_i64() => number.as_f64().unwrap().to_string(),
        other => other.to_string(),
    }
}

/// Runs the event and checks all that must hold for any event.
fn check(provider: &str, event: &Json, mut meta: Map<String, Json>) -> Result<(), TestCaseError> {
    meta.insert("provider".into(), provider.into());
    let raw = event.to_string();
    let out = NORMALIZE.run_raw(&raw, &Json::Object(meta.clone()));
    prop_assert_eq!(SCHEMAS.problems(&out), Vec::<String>::new(), "{}\n{}", event, out);
    prop_assert_eq!(out.get("raw_data_hash").is_some(), out["raw_data"] == raw);

    // What a secret became is not to be found, so look for the leaves of the redacted record.
    let mut redacted: Json = serde_json::from_str(out["raw_data"].as_str().unwrap()).unwrap();
    // An object written as JSON is read as that object.
    if provider == "anypoint"
        && let Some(Ok(object @ Json::Object(_))) =
            redacted.get("payload").and_then(Json::as_str).map(serde_json::from_str)
    {
        redacted["payload"] = object;
    }
    if event.is_object() {
        let mut mapped = out.clone();
        for key in ["raw_data", "unmapped", "message"] {
            mapped.as_object_mut().unwrap().remove(key);
        }
        let (mut shown, mut expected) = (Vec::new(), Vec::new());
        leaves(&mapped, &mut Vec::new(), &mut shown);
        leaves(&redacted, &mut Vec::new(), &mut expected);
        let shown: Vec<String> = shown.iter().map(|(_, leaf)| text(leaf)).collect();
        for (path, leaf) in expected {
            let unmapped = at(&out["unmapped"], &path).is_some_and(|there| text(there) == text(&leaf));
            let mapped = shown.contains(&text(&leaf)) || represented(provider, &path, &leaf, &out);
            prop_assert!(unmapped || mapped, "lost {:?} = {}\n{}\n{}", path, leaf, event, out);
        }
        let mut rest = Vec::new();
        leaves(&out["unmapped"], &mut Vec::new(), &mut rest);
        for (path, leaf) in rest {
            prop_assert_eq!(at(&redacted, &path).map(text), Some(text(&leaf)), "invented {:?}\n{}", path, out);
        }
    }

    let End::Next(enriched) = ENRICH.run(out.into(), &Json::Object(meta)) else { panic!("dropped") };
    prop_assert_eq!(SCHEMAS.problems(&enriched), Vec::<String>::new(), "{}\n{}", event, enriched);
    Ok(())
}

/// The leaves that an attribute represents in other words.
fn represented(provider: &str, path: &[String], leaf: &Json, out: &Json) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (provider, path.as_slice()) {
        // A type of user or entity by its caption: `USER` is `User`, `APIKEY` is `Service`.
        ("mural", ["actor" | "affected" | "origin" | "destination", "type"]) => {
            let caption = match text(leaf).to_ascii_uppercase().as_str() {
                "USER" => "User",
                "APIKEY" => "Service",
                "COMPANY" => "Organization",
                _ => return false,
            };
            ["/actor/user/type", "/user/type", "/entity/type"]
                .iter()
                .any(|place| out.pointer(place).is_some_and(|there| there == caption))
        }
        // An instant as a number, an outcome by its caption, a sentence as the message.
        ("solace_cloud", ["startTime"]) => out["start_time"].is_i64(),
        ("solace_cloud", ["endTime"]) => out["end_time"].is_i64(),
        ("solace_cloud", ["status"]) => out["status_id"] == 1 || out["status_id"] == 2,
        ("solace_cloud", ["description" | "shortDescription"]) => out["message"] == text(leaf),
        ("solace_cloud", ["source"]) => {
            let mut shown = Vec::new();
            leaves(&out["src_endpoint"], &mut Vec::new(), &mut shown);
            let parts = text(leaf);
            let mut parts = parts.split(',').map(str::trim_ascii).filter(|part| !part.is_empty()).peekable();
            parts.peek().is_some() && parts.all(|part| shown.iter().any(|(_, there)| there == part))
        }
        // Path and query.
        ("api7", ["http_request", "uri"]) => {
            let url = &out["http_request"]["url"];
            let path = url["path"].as_str().unwrap_or_default();
            let uri = text(leaf);
            let (before, after) = uri.split_once('?').unwrap_or((&uri, ""));
            path == before && url["query_string"].as_str().unwrap_or_default() == after
        }
        // First and last name are one.
        ("api7", ["operator", "first_name" | "last_name"]) => ["/actor/user/full_name", "/user/full_name"]
            .iter()
            .filter_map(|place| out.pointer(place).and_then(Json::as_str))
            .any(|full| full.contains(&text(leaf))),
        // The end of the event code, or its absence there.
        ("anypoint", ["subaction"] | ["payload", "subaction"]) => {
            let code = out["metadata"]["event_code"].as_str().unwrap_or_default();
            text(leaf).trim_ascii().eq_ignore_ascii_case("None") || code.ends_with(&format!("/{}", text(leaf)))
        }
        // A type by its caption, or in the event code.
        ("anypoint", ["objects", _, "objectType"]) => {
            let caption = match text(leaf).to_ascii_lowercase().as_str() {
                "user" => "User",
                "connected application" => "Service",
                "policy" | "api policy" => "Policy",
                "team" | "role" | "group" => "Group",
                "organization" | "business group" | "bus. group" => "Organization",
                _ => "",
            };
            let code = out["metadata"]["event_code"].as_str().unwrap_or_default();
            code.contains(&format!("/{}", text(leaf)))
                || ["/user/type", "/entity/type"]
                    .iter()
                    .any(|place| out.pointer(place).is_some_and(|there| there == caption))
        }
        ("anypoint", ["failed"]) => out["status_id"] == if *leaf == json!(true) { 2 } else { 1 },
        // A list of addresses is taken apart.
        (_, [.., last]) if last.to_lowercase().contains("ip") => {
            let mut shown = Vec::new();
            leaves(&out["src_endpoint"], &mut Vec::new(), &mut shown);
            let parts = text(leaf);
            let mut parts = parts.split(',').map(str::trim_ascii).filter(|part| !part.is_empty()).peekable();
            parts.peek().is_some() && parts.all(|part| shown.iter().any(|(_, there)| there == part))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_changed_golden_event_is_one_valid_event_and_loses_nothing((provider, event) in mutated(), meta in meta()) {
        check(&provider, &event, meta)?;
    }

    #[test]
    fn any_json_from_any_provider_is_one_valid_event_and_loses_nothing(
        provider in prop_oneof![Just("pactflow"), Just("mural"), Just("solace_cloud"), Just("api7"), Just("anypoint"), Just("acme"), Just("")],
        event in tree(),
        meta in meta(),
    ) {
        check(provider, &event, meta)?;
    }

    #[test]
    fn nothing_at_all_is_needed_from_the_metadata(event in tree(), headwater in tree()) {
        let End::Next(out) = NORMALIZE.run(event.clone().into(), &headwater) else { panic!("dropped") };
        prop_assert_eq!(SCHEMAS.problems(&out), Vec::<String>::new(), "{}\n{}\n{}", event, headwater, out);
    }
}
