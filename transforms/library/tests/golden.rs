//! `normalize.vrl` makes of every golden raw event the golden OCSF event.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{End, Schemas, builtin, compile_for, goldens};
use headwater_contracts::OcsfVersion;
use serde_json::{Value as Json, json};

/// Equality as the normalization contract has it: the text of `metadata.debug` is free, and `unmapped` may hold more
/// than expected if that is equal to the raw event at its path.
fn check(name: &str, mut actual: Json, mut expected: Json, raw: &Json) {
    let mut take = |pointer: &str, key: &str| {
        let taken =
            |event: &mut Json| event.pointer_mut(pointer).and_then(Json::as_object_mut).and_then(|map| map.remove(key));
        (taken(&mut actual), taken(&mut expected))
    };
    let (debug, expected_debug) = take("/metadata", "debug");
    assert_eq!(debug.is_some(), expected_debug.is_some(), "{name}: metadata.debug is {debug:?}");
    let (unmapped, expected_unmapped) = take("", "unmapped");
    assert_eq!(actual, expected, "{name}");
    let mut leaves = Vec::new();
    walk(&unmapped.clone().unwrap_or(Json::Null), &mut String::new(), &mut leaves);
    for (path, value) in leaves {
        let allowed = [expected_unmapped.as_ref(), Some(raw)].into_iter().flatten();
        assert!(
            allowed.filter_map(|json| json.pointer(&path)).any(|there| *there == value),
            "{name}: unmapped{path} is {value}"
        );
    }
    let mut leaves = Vec::new();
    walk(&expected_unmapped.unwrap_or(Json::Null), &mut String::new(), &mut leaves);
    for (path, value) in leaves {
        let there = unmapped.as_ref().and_then(|json| json.pointer(&path));
        assert_eq!(there, Some(&value), "{name}: unmapped{path}");
    }
}

fn walk(json: &Json, path: &mut String, leaves: &mut Vec<(String, Json)>) {
    let below: Vec<(String, &Json)> = match json {
        Json::Object(map) => {
            map.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Json::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        Json::Null => return,
        leaf => return leaves.push((path.clone(), leaf.clone())),
    };
    for (key, value) in below {
        let length = path.len();
        path.push('/');
        path.push_str(&key);
        walk(value, path, leaves);
        path.truncate(length);
    }
}

#[test]
fn every_golden_event_comes_out_as_written() {
    let normalize = builtin("normalize.vrl");
    let schemas = Schemas::load();
    let goldens = goldens();
    assert!(goldens.len() >= 40, "{} golden cases", goldens.len());
    for golden in goldens {
        let actual = normalize.run_raw(&golden.raw, &golden.meta);
        assert_eq!(schemas.problems(&actual), Vec::<String>::new(), "{}", golden.name);
        for key in ["class_uid", "activity_id", "type_uid"] {
            assert_eq!(actual[key], golden.entry[key], "{}: {key}", golden.name);
        }
        let raw = serde_json::from_str(&golden.raw).unwrap();
        check(&golden.name, actual, golden.expected, &raw);
    }
}

#[test]
fn the_unmapped_rest_of_the_golden_events_is_exactly_the_expected_one() {
    let normalize = builtin("normalize.vrl");
    for golden in goldens() {
        let actual = normalize.run_raw(&golden.raw, &golden.meta);
        assert_eq!(actual["unmapped"], golden.expected["unmapped"], "{}", golden.name);
    }
}

#[test]
fn an_observed_time_may_be_a_timestamp() {
    let normalize = builtin("normalize.vrl");
    let golden = goldens().into_iter().next().unwrap();
    let source =
        ". = .event\n%headwater.observed_time = t'2026-01-15T00:00:00Z'\nnormalize_ocsf(provider: %headwater.provider)";
    let with_timestamp = common::compile(source);
    let event = json!({ "event": serde_json::from_str::<Json>(&golden.raw).unwrap() });
    let mut meta = golden.meta.clone();
    meta["raw"] = golden.raw.as_str().into();
    let End::Next(actual) = with_timestamp.run(event.into(), &meta) else { panic!("dropped") };
    assert_eq!(actual, normalize.run_raw(&golden.raw, &golden.meta));
}

#[test]
fn the_output_validates_after_enrichment_too() {
    let (normalize, enrich) = (builtin("normalize.vrl"), builtin("enrich.vrl"));
    let schemas = Schemas::load();
    let mut without_endpoint = 0;
    for golden in goldens() {
        let normalized = normalize.run_raw(&golden.raw, &golden.meta);
        without_endpoint += usize::from(normalized.get("src_endpoint").is_none());
        let End::Next(enriched) = enrich.run(normalized.clone().into(), &golden.meta) else { panic!("dropped") };
        assert_eq!(schemas.problems(&enriched), Vec::<String>::new(), "{}", golden.name);
        let mut rest = enriched.clone();
        let observables = rest.as_object_mut().unwrap().remove("observables");
        assert_eq!(rest, normalized, "enrichment only adds");
        for observable in observables.as_ref().and_then(Json::as_array).into_iter().flatten() {
            let pointer = format!("/{}", observable["name"].as_str().unwrap().replace('.', "/"));
            assert_eq!(normalized.pointer(&pointer), Some(&observable["value"]), "{}", golden.name);
        }
    }
    assert!(without_endpoint > 0, "no golden event lacks src_endpoint");
}

#[test]
fn enrichment_collects_who_and_where_from() {
    let enrich = builtin("enrich.vrl");
    let event = json!({ "actor": { "user": { "name": "Ana", "email_addr": "ana@example.com" } }, "src_endpoint": { "ip": "203.0.113.7" } });
    let End::Next(enriched) = enrich.run(event.into(), &json!({})) else { panic!("dropped") };
    let found: Vec<_> = enriched["observables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["type_id"].as_i64().unwrap(), one["value"].as_str().unwrap()))
        .collect();
    assert_eq!(found, [(4, "Ana"), (5, "ana@example.com"), (2, "203.0.113.7")]);
    assert_eq!(enrich.run(json!({ "a": 1 }).into(), &json!({})), End::Next(json!({ "a": 1 })));
    assert_eq!(enrich.run(json!("text").into(), &json!({})), End::Next(json!("text")));
}

#[test]
fn only_own_queries_are_dropped_and_only_if_they_shall_be() {
    let drop = builtin("drop_own_queries.vrl");
    let event = json!({ "type": "Audit", "own_query": true });
    let check = |meta: Json, dropped: bool| {
        let end = drop.run(event.clone().into(), &meta);
        assert_eq!(end, if dropped { End::Dropped } else { End::Next(event.clone()) }, "{meta}");
    };
    check(json!({ "own_query": true, "own_query_policy": "suppress" }), true);
    check(json!({ "own_query": true }), true);
    check(json!({ "own_query": true, "own_query_policy": "tag" }), false);
    check(json!({ "own_query": false, "own_query_policy": "suppress" }), false);
    check(json!({ "own_query": "true", "own_query_policy": "suppress" }), false);
    check(json!({ "own_query": 1 }), false);
    check(json!({ "own_query": null, "suspicious": "a one-time User-Agent used twice" }), false);
    check(json!({}), false);
}

/// What `version` makes of a raw event.
fn written(golden: &common::Golden, version: OcsfVersion) -> Json {
    compile_for(headwater_library::builtin("normalize.vrl").unwrap(), version).run_raw(&golden.raw, &golden.meta)
}

#[test]
fn a_later_release_differs_in_its_number_alone() {
    for golden in goldens() {
        let mut expected = written(&golden, OcsfVersion::default());
        for version in [OcsfVersion::V1_7, OcsfVersion::V1_8] {
            expected["metadata"]["version"] = version.as_str().into();
            assert_eq!(written(&golden, version), expected, "{}", golden.name);
        }
    }
}

#[test]
fn release_1_5_has_none_of_what_1_6_brought_and_all_else() {
    let mut seen = std::collections::BTreeSet::new();
    for golden in goldens() {
        let mut expected = written(&golden, OcsfVersion::default());
        expected["metadata"]["version"] = "1.5.0".into();
        if expected.as_object_mut().unwrap().remove("raw_data_hash").is_some() {
            seen.insert("hash");
        }
        if expected["http_request"]["http_method"] == "PATCH" {
            seen.insert("patch");
            expected["http_request"].as_object_mut().unwrap().remove("http_method");
            expected["unmapped"]["http_request"]["http_method"] = "PATCH".into();
        }
        for pointer in ["/user", "/actor/user"] {
            let Some(user) = expected.pointer_mut(pointer).and_then(Json::as_object_mut) else { continue };
            if user.remove("programmatic_credentials").is_some() {
                seen.insert("credentials");
            }
            if user.get("type_id") == Some(&4.into()) {
                seen.insert("service");
                user.insert("type_id".into(), 99.into());
                assert_eq!(user["type"], "Service", "{}", golden.name);
            }
        }
        assert_eq!(written(&golden, OcsfVersion::V1_5), expected, "{}", golden.name);
    }
    // The golden events have all of it, so that each rule is put to the test.
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["credentials", "hash", "patch", "service"]);
}
