//! Every folder in `examples/` with a `pipeline.yaml` is a pipeline that is valid, passes its own tests, and delivers what
//! its README says, unless that is to a server. The questions in `examples/queries` are the business of `query.rs`.
//!
//! Folders are found, not listed: a new example is covered by what holds for all of them. `expectations` adds what one
//! promises beyond that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use crate::support::{self, run, stderr, stdout};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread::JoinHandle,
};

/// What one example's run has produced: stdout as `-`, every new file by its path below the folder, as events; and as
/// `syslog` the messages that it has sent, as texts.
type Produced = BTreeMap<String, Vec<Value>>;

fn examples_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn examples() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(examples_folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir() && !path.ends_with("queries"));
    found.sort();
    assert!(found.len() >= 5, "{found:?}");
    found
}

fn name(example: &Path) -> String {
    example.file_name().unwrap().to_string_lossy().into_owned()
}

/// A copy to run in.
fn copy(example: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(example).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    dir
}

/// `headwater ARGS` without the credentials of whoever runs the tests.
fn bare(dir: &Path, args: &[&str]) -> Output {
    support::without_credentials(&mut support::command(dir, args)).output().unwrap()
}

/// Files below `dir`, by path.
fn files(dir: &Path, below: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = Path::new(below).join(entry.file_name()).to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() { found.extend(files(dir, &path)) } else { found.push(path) }
    }
    found
}

/// The lines of a file, unpacked with the tool that everyone has.
fn lines(path: &Path) -> String {
    if path.extension().is_some_and(|extension| extension == "gz") {
        let unpacked = Command::new("gzip").arg("-dc").arg(path).output().expect("gzip");
        assert!(unpacked.status.success(), "{}: {}", path.display(), stderr(&unpacked));
        return stdout(&unpacked);
    }
    fs::read_to_string(path).unwrap()
}

fn events(origin: &str, lines: &str) -> Vec<Value> {
    assert!(lines.is_empty() || lines.ends_with('\n'), "{origin} ends with a whole line");
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{origin}: {e}: {line}"))).collect()
}

/// A receiver in the place of the one that an example sends syslog to, without its TLS.
fn syslog_receiver(dir: &Path) -> Option<JoinHandle<Vec<Value>>> {
    let path = dir.join("pipeline.yaml");
    let pipeline = fs::read_to_string(&path).unwrap();
    if !pipeline.contains("type: syslog") {
        return None;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lines = pipeline.lines().map(|line| match line.trim_start() {
        "mode: tls" => "    mode: tcp".to_owned(),
        option if option.starts_with("address:") => format!("    address: {address}"),
        _ => line.to_owned(),
    });
    fs::write(&path, lines.map(|line| line + "\n").collect::<String>()).unwrap();
    Some(std::thread::spawn(move || {
        let (mut stream, mut text) = (listener.accept().unwrap().0, String::new());
        stream.read_to_string(&mut text).unwrap();
        let (mut received, mut rest) = (Vec::new(), text.as_str());
        while let Some((length, frames)) = rest.split_once(' ') {
            let (message, after) = frames.split_at(length.parse().unwrap());
            received.push(Value::from(message));
            rest = after;
        }
        assert!(rest.is_empty(), "a torn frame: {rest}");
        received
    }))
}

/// The closing table: per stream, `read`, `delivered`, and what was dropped by which rule.
fn table(printed: &str) -> BTreeMap<String, (u64, u64, BTreeMap<String, u64>)> {
    let rows = printed.lines().skip_while(|line| !line.starts_with("stream  ")).skip(1);
    rows.map(|row| {
        let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let number = |index: usize| cells[index].parse().unwrap_or_else(|_| panic!("{row}"));
        let rules = cells[3].split(", ").filter_map(|rule| {
            let (count, name) = rule.split_once(' ')?;
            Some((name.to_owned(), count.parse().unwrap()))
        });
        (cells[0].to_owned(), (number(1), number(2), rules.collect()))
    })
    .collect()
}

#[test]
fn every_example_is_valid_and_explained() {
    for example in examples() {
        let name = name(&example);
        let done = bare(&example, &["validate"]);
        assert!(done.status.success(), "{name}:\n{}", stderr(&done));
        let readme = fs::read_to_string(example.join("README.md")).unwrap();
        assert!(readme.starts_with(&format!("# {name}\n")), "{name}: the README names it");
        assert!(readme.contains("headwater run --simulate --once"), "{name}: the README says how to run it");
    }
}

#[test]
fn second_tiers_are_valid() {
    let done = bare(&examples_folder().join("kafka-two-tiers"), &["validate", "normalize.yaml"]);
    assert!(done.status.success(), "{}", stderr(&done));
}

#[test]
fn every_examples_unit_tests_pass() {
    for example in examples() {
        let (name, dir) = (name(&example), copy(&example));
        let done = run(dir.path(), &["test"]);
        assert!(done.status.success(), "{name}:\n{}", stderr(&done));
        assert!(stderr(&done).ends_with(" passed, 0 failed\n"), "{name}:\n{}", stderr(&done));
        let promised = fs::read_to_string(example.join("README.md")).unwrap().contains("headwater test");
        assert_eq!(promised, !stderr(&done).starts_with("0 passed"), "{name}: tests where the README promises them");
    }
}

/// Whether its events go to a server; `tests/real` runs those for which it has one.
fn needs_a_server(example: &Path) -> bool {
    let pipeline = fs::read_to_string(example.join("pipeline.yaml")).unwrap();
    pipeline.lines().any(|line| matches!(line.trim(), "type: otlp" | "type: kafka"))
}

#[test]
fn every_example_delivers_what_it_promises() {
    // Side by side: most of their time is spent waiting for a throttled simulator.
    std::thread::scope(|scope| {
        for example in examples().into_iter().filter(|example| !needs_a_server(example)) {
            scope.spawn(move || delivers(&example));
        }
    });
}

fn delivers(example: &Path) {
    let (name, dir) = (name(example), copy(example));
    let before = files(dir.path(), "");
    let syslog = syslog_receiver(dir.path());
    let done = bare(dir.path(), &["run", "--simulate", "--once"]);
    assert_eq!(done.status.code(), Some(0), "{name}:\n{}", stderr(&done));
    let mut produced = Produced::from([("-".to_owned(), events(&name, &stdout(&done)))]);
    for file in files(dir.path(), "").into_iter().filter(|file| !before.contains(file)) {
        assert!(file.contains(".ndjson"), "{name} leaves `{file}` behind");
        let found = events(&file, &lines(&dir.path().join(&file)));
        assert!(!found.is_empty(), "{name}: `{file}` is empty");
        produced.insert(file, found);
    }
    if let Some(syslog) = syslog {
        produced.insert("syslog".to_owned(), syslog.join().unwrap());
    }
    let table = table(&stderr(&done));
    let delivered: u64 = table.values().map(|(_, delivered, _)| delivered).sum();
    let written: u64 = produced.values().map(|events| events.len() as u64).sum();
    assert!(delivered > 500 && written >= delivered, "{name}: {delivered} delivered, {written} written");
    expectations(&name, &produced, &table);
}

fn labelled(event: &Value, label: &str) -> bool {
    event["metadata"]["labels"].as_array().is_some_and(|labels| labels.iter().any(|one| one == label))
}

fn expectations(name: &str, produced: &Produced, table: &BTreeMap<String, (u64, u64, BTreeMap<String, u64>)>) {
    let delivered: u64 = table.values().map(|(_, delivered, _)| delivered).sum();
    let dropped = |rule: &str| table.values().filter_map(|(_, _, rules)| rules.get(rule)).sum::<u64>();
    let normalized = |events: &[Value]| {
        for event in events {
            assert_eq!(event["metadata"]["version"], "1.6.0", "{name}: {event}");
            let number = |key: &str| event[key].as_u64().unwrap_or_else(|| panic!("{name}: {key}: {event}"));
            assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"), "{name}: {event}");
        }
    };
    let classes = |events: &[Value]| {
        let mut classes: Vec<u64> = events.iter().filter_map(|event| event["class_uid"].as_u64()).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    };
    match name {
        "quickstart" => {
            assert_eq!(table.len(), 2, "both sources");
            assert_eq!(produced["-"].len() as u64, delivered);
            normalized(&produced["-"]);
            let found = classes(&produced["-"]);
            for class in [3002, 3004, 3005, 3006, 6001, 6003] {
                assert!(found.contains(&class), "class {class} is among {found:?}");
            }
            assert!(dropped("drop_own_queries") > 0);
        }
        "file-archive" => {
            let (raw, ocsf): (Vec<_>, Vec<_>) = produced
                .iter()
                .filter(|(file, _)| *file != "-")
                .partition(|(file, _)| file.starts_with("archive/raw-"));
            assert!(raw.iter().all(|(file, _)| file.ends_with(".ndjson.gz")), "{raw:?}");
            let archived: Vec<&Value> = raw.iter().flat_map(|(_, events)| *events).collect();
            let [(file, ocsf)] = ocsf[..] else { panic!("one file of events: {:?}", produced.keys()) };
            assert_eq!(file, "events/audit.ndjson");
            normalized(ocsf);
            assert!(produced["-"].is_empty());
            assert_eq!(archived.len() as u64, delivered, "the archive has everything");
            let own = archived.len() - ocsf.len();
            assert!(own > 0, "headwater's own queries are in the archive only");
            // Each OCSF event carries the bytes that are in the archive.
            let ids = |event: &Value| event.get("uuid").or_else(|| event.get("id")).cloned();
            let archived: BTreeMap<String, &Value> =
                archived.iter().filter_map(|event| Some((ids(event)?.as_str()?.to_owned(), *event))).collect();
            for event in ocsf {
                let id = event["metadata"]["uid"].as_str().unwrap_or_else(|| panic!("{event}"));
                let raw: Value = serde_json::from_str(event["raw_data"].as_str().unwrap()).unwrap();
                if event.get("raw_data_hash").is_some() {
                    assert_eq!(archived.get(id).copied(), Some(&raw));
                }
            }
        }
        "route-by-severity" => {
            let (alerts, rest) = (&produced["alerts.ndjson"], &produced["rest.ndjson"]);
            assert_eq!((alerts.len() + rest.len()) as u64, delivered);
            let alert = |event: &Value| event["status"] == "Failure" || event["severity_id"].as_u64() >= Some(3);
            assert!(alerts.iter().all(alert) && !rest.iter().any(alert));
            assert!(rest.iter().all(|event| event["activity_name"] != "Read"));
            assert!(dropped("changes_only") > 0, "reading is dropped by the filter, and counted");
            normalized(alerts);
            normalized(rest);
        }
        "enrich-users" => {
            let department = |event: &Value| event["enrichments"][0]["data"]["department"].as_str().map(str::to_owned);
            let of = |email: &str| {
                let found: Vec<_> =
                    produced["-"].iter().filter(|event| event["actor"]["user"]["email_addr"] == email).collect();
                assert!(!found.is_empty(), "events by {email}");
                found.iter().map(|event| department(event)).collect::<Vec<_>>()
            };
            assert!(of("ana@example.com").iter().all(|found| found.as_deref() == Some("Platform")));
            assert!(of("hugo@example.com").iter().all(|found| found.as_deref() == Some("Payments")));
            assert!(of("jun@example.com").iter().all(Option::is_none), "jun is not in the table");
            normalized(&produced["-"]);
        }
        "own-queries-tagged" => {
            let own = produced["-"].iter().filter(|event| labelled(event, "own_query")).count();
            assert!(own > 0 && own < produced["-"].len() / 10, "{own} of {} are labelled", produced["-"].len());
            assert_eq!(dropped("drop_own_queries"), 0);
            assert_eq!(produced["-"].len() as u64, delivered);
            normalized(&produced["-"]);
        }
        "papertrail" => {
            assert_eq!(produced["syslog"].len() as u64, delivered);
            for message in produced["syslog"].iter().map(|message| message.as_str().unwrap()) {
                assert!(
                    message.contains(" headwater anypoint - ocsf-") && message.contains("[ocsf@32473 "),
                    "{message}"
                );
                assert!(!message.ends_with('}'), "a sentence: {message}");
            }
        }
        "detections" => {
            normalized(&produced["events.ndjson"]);
            let folder = examples_folder().join(name);
            crate::detections::hold(&folder, &produced["events.ndjson"], &produced["syslog"]);
        }
        "syslog-tls" => {
            assert_eq!(produced["syslog"].len() as u64, delivered);
            let events: Vec<Value> = produced["syslog"]
                .iter()
                .map(|message| {
                    let message = message.as_str().unwrap();
                    let (header, body) = message.split_once("] {").unwrap_or_else(|| panic!("{message}"));
                    let event: Value = serde_json::from_str(&format!("{{{body}")).unwrap();
                    assert_eq!(header.starts_with("<108>"), event["status"] == "Failure", "{message}");
                    event
                })
                .collect();
            normalized(&events);
        }
        "import-export" => {
            assert_eq!(table["last_year/acme.pactflow.io"].0, 4, "one of them is there twice");
            assert_eq!(table["last_year/acme.pactflow.io"].1, 3);
            let old = produced["-"]
                .iter()
                .filter(|event| event["metadata"]["uid"].as_str().is_some_and(|id| id.starts_with("Exported2025")));
            assert_eq!(old.count(), 3);
            normalized(&produced["-"]);
        }
        _ => {}
    }
}
