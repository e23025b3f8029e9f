//! `headwater vrl` and `test`: programs on events, without a run.

use super::*;

#[test]
fn the_pipeline_says_which_release_of_ocsf_it_writes() {
    let version = |line: &str| {
        let dir = folder(&format!("{line}\n{}", text("pipeline.yaml")));
        fs::write(dir.path().join("event.ndjson"), "{\"uuid\":\"a\",\"timestamp\":\"2026-01-01T00:00:00Z\"}\n")
            .unwrap();
        let args = ["vrl", "builtin:normalize.vrl", "--input", "event.ndjson", "--config", "pipeline.yaml"];
        let done = run(dir.path(), &args);
        let written = serde_json::from_slice::<Value>(&done.stdout).unwrap_or_default();
        (written["metadata"]["version"].as_str().map(str::to_owned), stderr(&done))
    };
    for (line, expected) in [("", "1.6.0"), ("ocsf_version: 1.5.0", "1.5.0"), ("ocsf_version: 1.8.0", "1.8.0")] {
        let (found, problems) = version(line);
        assert_eq!(found.as_deref(), Some(expected), "{line}: {problems}");
    }
    let (found, problems) = version("ocsf_version: 1.4.0");
    assert_eq!(found, None);
    assert!(problems.contains("pipeline.yaml:1:15") && problems.contains("`1.5.0`"), "{problems}");
}

/// Equality as the normalization contract has it: the text of `metadata.debug` is free, and `unmapped` may hold more
/// than expected if that is equal to the raw event at its path.
fn check_normalized(name: &str, mut actual: Value, mut expected: Value, raw: &Value) {
    let take = |event: &mut Value, pointer: &str, key: &str| {
        event.pointer_mut(pointer).and_then(Value::as_object_mut).and_then(|map| map.remove(key))
    };
    let debugs = [&mut actual, &mut expected].map(|event| take(event, "/metadata", "debug").is_some());
    assert_eq!(debugs[0], debugs[1], "{name}: metadata.debug");
    let [found, wanted] = [&mut actual, &mut expected].map(|event| take(event, "", "unmapped").unwrap_or_default());
    assert_eq!(actual, expected, "{name}");
    for (path, value) in leaves(&wanted, "") {
        assert_eq!(found.pointer(&path), Some(&value), "{name}: unmapped{path}");
    }
    for (path, value) in leaves(&found, "") {
        let allowed = [&wanted, raw].into_iter().filter_map(|json| json.pointer(&path)).any(|there| *there == value);
        assert!(allowed, "{name}: unmapped{path} is {value}");
    }
}

fn leaves(json: &Value, path: &str) -> Vec<(String, Value)> {
    match json {
        Value::Object(map) => {
            let below = |(key, value): (&String, &Value)| {
                leaves(value, &format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")))
            };
            map.iter().flat_map(below).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, value)| leaves(value, &format!("{path}/{index}"))).collect()
        }
        Value::Null => Vec::new(),
        leaf => vec![(path.to_owned(), leaf.clone())],
    }
}

#[test]
fn vrl_runs_the_shipped_program_on_the_golden_events() {
    for (provider, least) in [("pactflow", 2), ("mural", 2), ("solace_cloud", 8), ("api7", 8), ("anypoint", 8)] {
        let dir = repository("tests/golden").join(provider);
        let cases: Vec<String> =
            entries(&dir).iter().filter_map(|name| name.strip_suffix(".raw.json").map(str::to_owned)).collect();
        assert!(cases.len() >= least, "{provider} has {} cases", cases.len());
        for case in cases {
            let (raw, meta) = (format!("{case}.raw.json"), format!("{case}.meta.json"));
            let done = run(&dir, &["vrl", "builtin:normalize.vrl", "--input", &raw, "--metadata", &meta]);
            assert_code(&done, Some(0));
            assert_eq!(stdout(&done).lines().count(), 1, "{provider}/{case}: one line for one event");
            let read = |name: &str| serde_json::from_slice::<Value>(&fs::read(dir.join(name)).unwrap()).unwrap();
            let actual = serde_json::from_slice(&done.stdout).unwrap();
            check_normalized(&format!("{provider}/{case}"), actual, read(&format!("{case}.ocsf.json")), &read(&raw));
        }
    }
}

#[test]
fn vrl_tells_drops_and_failures_apart() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events"), "{\"n\":1}\n{\"n\":2}\n{\"n\":\"x\"}\n").unwrap();
    fs::write(dir.path().join("double.vrl"), "if .n == 1 { abort }\n.n = to_int!(.n) * 2\n").unwrap();
    let done = run(dir.path(), &["vrl", "double.vrl", "--input", "events"]);
    assert_code(&done, FAILED);
    assert_eq!(stdout(&done), "{\"n\":4}\n");
    assert!(stderr(&done).contains("event 1: dropped"), "{}", stderr(&done));
    assert!(stderr(&done).contains("event 3: ") && stderr(&done).contains("double.vrl:2:"), "{}", stderr(&done));
    fs::write(dir.path().join("wrong.vrl"), ".n = upcaze(.n)\n").unwrap();
    let done = run(dir.path(), &["vrl", "wrong.vrl", "--input", "events"]);
    assert_code(&done, CONFIG);
    assert!(stderr(&done).contains("wrong.vrl:1:6"), "{}", stderr(&done));
}

#[test]
fn vrl_says_what_it_was_not_given() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events"), "{\"n\":1}\nnonsense\n").unwrap();
    let done = run(dir.path(), &["vrl", "builtin:normalize.vrl", "--input", "events"]);
    assert_code(&done, FAILED);
    let said = stderr(&done);
    assert!(
        said.contains("event 2: ") && said.contains("it is no JSON: byte 0") && !said.contains("event 1"),
        "{said}"
    );
    assert!(stderr(&done).contains("--metadata"), "{}", stderr(&done));
}
