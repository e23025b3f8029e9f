//! `type: file`: exports that people have, by the real binary. Whichever comes first, the file or the API, and however often the
//! process is killed: each event is delivered once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::naive_bytecount,
    reason = "a test fails by panicking"
)]

use crate::support::{Headwater, run, stderr, stdout};
use headwater_contracts::Clock;
use headwater_runtime::SystemClock;
use headwater_simulator::{ANYPOINT_ORGANIZATIONS, Kind, Provider, Scenario, Simulator};
use headwater_testkit::source_suite::EVENTS_PER_KILL;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Output,
    sync::Arc,
};

fn simulator(provider: Provider, events: u32) -> Simulator {
    let scenario = Scenario::new().seed(23).history(5, events).pactflow(|options| options.default_page_size = 50);
    Simulator::start(provider, scenario, Arc::new(SystemClock)).unwrap()
}

/// A pipeline from the simulator's last [days](hours), and from files if `import` says so, to a file.
fn pipeline(simulator: &Simulator, provider: Provider, import: &str) -> String {
    let credential = simulator.credential();
    let keys = match provider {
        Provider::PactFlow | Provider::Api7 => format!("token: \"{credential}\""),
        Provider::SolaceCloud => format!("token: \"{credential}\", min_call_interval: 0s"),
        Provider::Mural => format!("api_key: \"{credential}\", min_call_interval: 0s"),
        _ => {
            let (id, secret) = credential.split_once(':').unwrap();
            let organization = ANYPOINT_ORGANIZATIONS[0];
            format!("organization_ids: [{organization}], auth: {{ client_id: \"{id}\", client_secret: \"{secret}\" }}")
        }
    };
    let inputs = if import.is_empty() { "[in]" } else { "[in, exports]" };
    let import = if import.is_empty() { String::new() } else { format!("  exports: {{ type: file, {import} }}\n") };
    format!(
        "state: {{ type: file, path: state }}\n\
         sources:\n  in: {{ type: {provider}, endpoint: \"{}\", {keys}, start_at: {}h, rate_limit: {{ requests: 1000000, per: 1s }}, retry: {{ initial: 10ms, max: 50ms }} }}\n{import}\
         transforms:\n  drop_own_queries: {{ type: remap, inputs: {inputs}, file: 'builtin:drop_own_queries.vrl' }}\n\
         sinks:\n  out: {{ type: file, path: out.ndjson, inputs: [drop_own_queries] }}\n",
        simulator.url(),
        hours(provider),
    )
}

/// How far back a source reads. Mural publishes at 06:00 UTC what is a day old, so that two days can be a few minutes of events.
fn hours(provider: Provider) -> i64 {
    if provider == Provider::Mural { 60 } else { 48 }
}

fn write_pipeline(dir: &Path, simulator: &Simulator, provider: Provider, import: &str) {
    fs::write(dir.join("pipeline.yaml"), pipeline(simulator, provider, import)).unwrap();
}

fn once(dir: &Path) -> Output {
    let done = run(dir, &["run", "--once", "--log", "warn"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    done
}

/// What has been delivered, one behind the other.
fn delivered(dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("out.ndjson")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How often each record occurs: no two forms of one count as the same.
fn counted<'a>(records: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.to_string()).or_default() += 1;
    }
    counts
}

/// Everything that the API shows now: what a person exports. Anypoint's truth does not say whose record it is, so there it
/// is a question to the API.
fn exported(dir: &Path, simulator: &Simulator, provider: Provider) -> Vec<Value> {
    if provider == Provider::Anypoint {
        write_pipeline(dir, simulator, provider, "");
        let asked = run(dir, &["query", "in", "--since", "30d", "--format", "json"]);
        assert_eq!(asked.status.code(), Some(0), "{}", stderr(&asked));
        let records =
            stdout(&asked).lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
        // Logins of this program: dropped or not, as the ledger knows them or does not.
        let us = simulator.credential().split(':').next().unwrap().to_owned();
        return records.into_iter().filter(|record| record["clientId"] != us.as_str()).collect();
    }
    let now = simulator.now();
    let truths = simulator.ledger().events();
    let shown = truths.iter().filter(|truth| truth.visible_at <= now).filter_map(|truth| truth.form_at(now));
    shown.map(|raw| serde_json::from_slice(raw).unwrap()).collect()
}

fn ndjson(records: &[Value]) -> String {
    records.iter().flat_map(|record| [record.to_string(), "\n".to_owned()]).collect()
}

/// A table with a column for each member, those inside `nested` members each in one of their own.
fn csv(records: &[Value], columns: &[&str]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns).unwrap();
    for record in records {
        let cells = columns.iter().map(|column| match record.pointer(&format!("/{}", column.replace('.', "/"))) {
            None | Some(Value::Null) => String::new(),
            // As JSON, text that is JSON stays text.
            Some(value) if *column == "payload" => value.to_string(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        });
        writer.write_record(cells).unwrap();
    }
    writer.into_inner().unwrap()
}

const API7_COLUMNS: &[&str] = &[
    "event_time",
    "id",
    "operator",
    "source",
    "token_name",
    "event_type",
    "resource_id",
    "resource_name",
    "ip_address",
    "error_message",
    "http_request.method",
    "http_request.uri",
    "http_request.user_agent",
    "http_request.body",
    "http_response.status_code",
    "http_response.body",
];

const ANYPOINT_COLUMNS: &[&str] = &[
    "timestamp",
    "platform",
    "action",
    "subaction",
    "objects",
    "payload",
    "userId",
    "userName",
    "clientId",
    "clientName",
    "organizationId",
    "failed",
    "failedCause",
    "anypointTransactionId",
];

/// A record without what a table cannot tell from nothing.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let members = map.iter().map(|(key, value)| (key.clone(), plain(value)));
            Value::Object(members.filter(|(_, value)| !value.is_null() && value != "").collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Imports and reads, in this order or the other, and again: everything exported is delivered once, and what else the API
/// shows.
fn check(provider: Provider, file: &str, write: fn(&[Value]) -> Vec<u8>) {
    for import_first in [true, false] {
        let what = format!("{provider}, {file}, {}", if import_first { "import first" } else { "API first" });
        let simulator = simulator(provider, 400);
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let began = SystemClock.now();
        let import = format!("path: {file}, source: in, provider: {provider}");
        if !import_first {
            write_pipeline(dir, &simulator, provider, "");
            once(dir);
            assert!(!delivered(dir).is_empty(), "{what}");
        }
        let read_before = delivered(dir).len();
        let records = exported(dir, &simulator, provider);
        fs::write(dir.join(file), write(&records)).unwrap();
        write_pipeline(dir, &simulator, provider, &import);
        let done = once(dir);
        assert!(stderr(&done).contains("exports/"), "{what}: {}", stderr(&done));

        let events = delivered(dir);
        assert!(read_before < records.len() / 2 && records.len() > 100, "{what}: {read_before} of {}", records.len());
        let as_table = file.contains("csv");
        let form = |value: &Value| if as_table { plain(value) } else { value.clone() };
        let (found, wanted): (Vec<Value>, Vec<Value>) =
            (events.iter().map(form).collect(), records.iter().map(form).collect());
        let (found, wanted) = (counted(&found), counted(&wanted));
        let own: BTreeSet<String> =
            simulator.ledger().events().into_iter().filter(|t| t.kind == Kind::OwnCollector).map(|t| t.id).collect();
        for (record, count) in &wanted {
            let value: Value = serde_json::from_str(record).unwrap();
            let id = value.get("uuid").or_else(|| value.get("id")).and_then(Value::as_str).unwrap_or_default();
            // Own readings: dropped.
            let count = if own.contains(id) { &0 } else { count };
            assert_eq!(found.get(record).unwrap_or(&0), count, "{what}: {record}");
        }
        if provider != Provider::Anypoint {
            assert!(found.values().all(|count| *count == 1), "{what}");
        }

        // A file proves no completeness: nothing before the source's own beginning is called covered.
        let ledger = run(dir, &["ledger", "show", "--format", "json"]);
        for line in stdout(&ledger).lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            for range in row["coverage"].as_array().unwrap() {
                let from: headwater_contracts::Timestamp = range["from"].as_str().unwrap().parse().unwrap();
                assert!(from > began - chrono::TimeDelta::hours(hours(provider) + 8), "{what}: {row}");
            }
        }

        // The same file again, then as a part of another: nothing of it is new.
        once(dir);
        let records_and_old = [records.clone(), records].concat();
        if provider != Provider::Anypoint {
            fs::write(dir.join(file), write(&records_and_old)).unwrap();
            once(dir);
        }
        let again = delivered(dir).iter().map(form).collect::<Vec<_>>();
        let (again, before) = (counted(&again), found);
        let old = |counts: &BTreeMap<String, usize>| {
            counts.iter().filter(|(r, _)| wanted.contains_key(*r)).map(|(r, c)| (r.clone(), *c)).collect::<Vec<_>>()
        };
        assert_eq!(old(&again), old(&before), "{what}: once more");
    }
}

#[test]
fn lines_of_any_provider_are_delivered_once_before_and_after_the_api() {
    std::thread::scope(|scope| {
        for provider in Provider::ALL {
            scope.spawn(|| check(*provider, "export.ndjson", |records| ndjson(records).into_bytes()));
        }
    });
}

#[test]
fn documents_are_delivered_once_before_and_after_the_api() {
    check(Provider::Api7, "export.json", |records| Value::from(records).to_string().into_bytes());
    check(Provider::SolaceCloud, "export.json", |records| {
        json!({ "data": records, "meta": { "pagination": { "count": records.len() } } }).to_string().into_bytes()
    });
}

#[test]
fn tables_are_delivered_once_before_and_after_the_api() {
    check(Provider::Api7, "export.csv", |records| csv(records, API7_COLUMNS));
    check(Provider::Anypoint, "export.csv", |records| csv(records, ANYPOINT_COLUMNS));
    // As the console shows them.
    check(Provider::Anypoint, "newest-first.csv", |records| {
        csv(&records.iter().rev().cloned().collect::<Vec<_>>(), ANYPOINT_COLUMNS)
    });
}

#[test]
fn killing_an_import_loses_nothing() {
    let kills = std::env::var("HEADWATER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    // Far more than is written before the last kill.
    let simulator = simulator(Provider::Api7, 2_000 * kills);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let records = exported(dir, &simulator, Provider::Api7);
    fs::write(dir.join("export.ndjson"), ndjson(&records)).unwrap();
    write_pipeline(dir, &simulator, Provider::Api7, "path: export.ndjson, source: in");
    let mut dice = StdRng::seed_from_u64(5);
    let written = || fs::metadata(dir.join("out.ndjson")).map_or(0, |file| file.len());
    let mut alive = 0;
    for _ in 0..kills {
        let until = written() + dice.random_range(1..400_000);
        let mut headwater = Headwater::start(dir, &["run", "--once", "--log", "error"]);
        while written() < until && headwater.child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        alive += u32::from(headwater.child.try_wait().unwrap().is_none());
        headwater.child.kill().unwrap();
        headwater.child.wait().unwrap();
    }
    once(dir);
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for event in delivered(dir) {
        *copies.entry(event["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let lost: Vec<&Value> =
        records.iter().filter(|record| !copies.contains_key(record["id"].as_str().unwrap())).collect();
    let doubles: usize = copies.values().map(|copies| copies - 1).sum();
    println!(
        "{kills} kills, {alive} of them at work: {} events, {} lost, {doubles} doubles (each from a kill between acknowledgement and commit)",
        copies.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "{lost:?}");
    assert!(alive > kills / 2, "most kills strike");
    assert!(doubles <= kills as usize * EVENTS_PER_KILL, "{doubles} doubles");
}

#[test]
fn what_cannot_be_read_goes_to_the_dead_letters_once_and_a_torn_file_stops_nothing() {
    let simulator = simulator(Provider::Api7, 300);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let records = exported(dir, &simulator, Provider::Api7);
    fs::write(dir.join("a.ndjson"), format!("{}nonsense\n{{\"no\":\"id\"}}\n", ndjson(&records[..150]))).unwrap();
    let whole = Value::from(records[150..].to_vec()).to_string();
    fs::write(dir.join("b.ndjson"), &whole.as_bytes()[..whole.len() - 40]).unwrap();
    fs::rename(dir.join("b.ndjson"), dir.join("b.json")).unwrap();
    write_pipeline(dir, &simulator, Provider::Api7, "path: '?.*json', source: in");
    for _ in 0..2 {
        let done = run(dir, &["run", "--once", "--log", "warn"]);
        assert_eq!(done.status.code(), Some(1), "{}", stderr(&done));
        let said = stderr(&done);
        assert!(said.contains("b.json`: it ends in the middle") && said.contains("gave up on in/"), "{said}");
    }
    let letters: String = fs::read_dir(dir.join("state/dead-letter"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(letters.lines().count(), 2, "{letters}");
    assert!(letters.contains("a.ndjson, line 151") && letters.contains("a.ndjson, line 152"), "{letters}");
    let events = delivered(dir);
    assert!(counted(&events).values().all(|count| *count == 1));
    // All but the record that was torn, and that one if it is young enough for the API.
    assert!(events.len() >= records.len() - 1, "{} of {}", events.len(), records.len());
}

/// Of each provider, a record between two others that no parser can hold: byte for byte in the output, or as a dead letter.
#[test]
fn whatever_a_record_holds_its_neighbours_are_imported() {
    for &provider in Provider::ALL {
        let simulator = simulator(provider, 20);
        let dir = tempfile::tempdir().unwrap();
        let all = exported(dir.path(), &simulator, provider);
        let _ = fs::remove_dir_all(dir.path().join("state"));
        let records: Vec<String> = all.iter().take(3).map(ToString::to_string).collect();
        let with = |member: &str| format!("{},\"chosen\":{member}}}", records[1].strip_suffix('}').unwrap());
        let deep = with(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
        let number = with("1e999").replace(&id_of(&all[1]), "number-1");
        let escape = with(r#""\u12G4""#);
        let long = with(&format!("\"{}\"", "x".repeat(2 << 20))).replace(&id_of(&all[1]), "long-1");
        let lines = [&records[0], &deep, &number, &escape, &long, &records[2]].map(|line| format!("{line}\n"));
        let array = format!("[{}]", lines.concat().trim_end().replace('\n', ","));
        for (name, text) in [("e.ndjson", lines.concat()), ("e.json", array)] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), text).unwrap();
            let pipeline = pipeline(&simulator, provider, &format!("source: in, path: {name}"));
            let pipeline = pipeline.replace("endpoint: \"", "max_event_bytes: 1MiB, endpoint: \"");
            fs::write(dir.path().join("pipeline.yaml"), pipeline).unwrap();
            once(dir.path());
            let out = fs::read_to_string(dir.path().join("out.ndjson")).unwrap_or_default();
            for line in [&records[0], &deep, &number, &records[2]] {
                assert_eq!(out.lines().filter(|one| one == line).count(), 1, "{provider} {name}: {line:.200}");
            }
            let letters = fs::read_to_string(dir.path().join("state/dead-letter/dead-letter.ndjson")).unwrap();
            let letters: Vec<Value> = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let reasons: Vec<&str> = letters.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
            assert!(reasons.iter().any(|reason| reason.contains("this is no escape of JSON")), "{reasons:?}");
            assert!(letters.iter().any(|letter| letter["raw"] == escape.as_str()));
            // API7's longer ones are delivered, with their bodies cut.
            if provider == Provider::Api7 {
                assert!(out.lines().any(|line| line.len() > 2 << 20));
                continue;
            }
            let letter = letters.iter().find(|letter| letter["raw_file"].is_string()).unwrap();
            let file = dir.path().join("state/dead-letter").join(letter["raw_file"].as_str().unwrap());
            assert_eq!(fs::read_to_string(file).unwrap(), long);
        }
    }
}

/// The text of a record's id. Anypoint's have none: what cannot occur.
fn id_of(record: &Value) -> String {
    let id = record.get("uuid").or_else(|| record.get("id")).and_then(Value::as_str);
    id.unwrap_or("no such text").to_owned()
}

#[test]
fn a_wrong_import_is_explained_where_it_is_written() {
    let simulator = simulator(Provider::Api7, 50);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    fs::write(dir.join("a.ndjson"), "").unwrap();
    fs::write(dir.join("poor.csv"), "id,event_time\n").unwrap();
    fs::write(dir.join("console.csv"), "Time,Product,Type,Action,Object,User,Parent,Payload\n").unwrap();
    fs::write(dir.join("other.ndjson"), "{\"uuid\":\"a\"}\n").unwrap();
    let check = |simulator: &Simulator, provider: Provider, import: &str, expected: &[&str]| {
        write_pipeline(dir, simulator, provider, import);
        for command in [&["validate"][..], &["run", "--once"]] {
            let refused = run(dir, command);
            assert_eq!(refused.status.code(), Some(78), "{import}: {}", stderr(&refused));
            for text in expected.iter().chain(&["pipeline.yaml:4:"]) {
                assert!(stderr(&refused).contains(text), "{import}: `{text}` in {}", stderr(&refused));
            }
        }
    };
    let api7 = Provider::Api7;
    check(
        &simulator,
        api7,
        "path: gone.csv, source: in",
        &["`path` of source `exports`", "gone.csv", "there is no such file"],
    );
    check(&simulator, api7, "path: '*.json', source: in", &["no file matches"]);
    check(
        &simulator,
        api7,
        "path: poor.csv, source: in",
        &["poor.csv`: line 1", "no column for `event_type`", "list it under `without`"],
    );
    check(
        &simulator,
        api7,
        "path: console.csv, source: in",
        &["line 1", "no column for `id`", "`columns: { Time: event_time }`"],
    );
    check(
        &simulator,
        api7,
        "path: other.ndjson, source: in",
        &["line 1", "has no `id`", "check `source` and `format`"],
    );
    check(&simulator, api7, "path: a.ndjson, source: inn", &["there is no source `inn`", "did you mean `in`?"]);
    check(&simulator, api7, "path: a.ndjson, source: exports", &["reads files itself"]);
    check(
        &simulator,
        api7,
        "path: a.ndjson, source: in, provider: api6",
        &["there is no provider `api6`", "did you mean `api7`?"],
    );
    check(&simulator, api7, "path: a.ndjson, source: in, provider: mural", &["of provider `api7`"]);
    check(&simulator, api7, "path: a.ndjson, source: in, stream: x", &["has no stream `x`"]);
    check(&simulator, api7, "path: a.ndjson, source: in, format: xml", &["xml"]);
    check(&simulator, api7, "path: a.ndjson, sauce: in", &["unknown key `sauce`"]);
    let anypoint = self::simulator(Provider::Anypoint, 10);
    check(
        &anypoint,
        Provider::Anypoint,
        "path: console.csv, source: in",
        &["line 1", "`Time`, is none of", "names in place of ids"],
    );
    let mural = self::simulator(Provider::Mural, 10);
    check(&mural, Provider::Mural, "path: console.csv, source: in", &["no CSV export of this provider is known"]);

    // A poor table all the same, on a person's word; and a question goes to the API, not to a file.
    let without =
        "event_type, operator, source, token_name, resource_id, ip_address, error_message, http_request, http_response";
    write_pipeline(dir, &simulator, api7, &format!("path: poor.csv, source: in, without: [{without}]"));
    assert_eq!(run(dir, &["validate"]).status.code(), Some(0));
    let asked = run(dir, &["query", "exports", "--since", "1d"]);
    assert_eq!(asked.status.code(), Some(78));
    assert!(stderr(&asked).contains("reads files"), "{}", stderr(&asked));
    let schema = stdout(&run(dir, &["schema"]));
    assert!(schema.contains("Files that people exported from a provider"));
}

#[test]
fn a_page_that_is_not_all_of_its_answer_is_named() {
    let parts = [
        (Provider::Anypoint, r#"{"data":[],"total":7}"#, "0 of 7 records"),
        (Provider::Api7, r#"{"list":[],"total":"7"}"#, "0 of 7 records"),
        (Provider::Mural, r#"{"data":[],"nextToken":"a"}"#, "`nextToken`"),
        (Provider::PactFlow, r#"{"events":[],"_links":{"next":{"href":"/audit?from=a"}}}"#, "a link to the page"),
        (Provider::SolaceCloud, r#"{"data":[],"meta":{"pagination":{"pageNumber":1,"totalPages":3}}}"#, "page 1 of 3"),
        (Provider::SolaceCloud, r#"{"data":[],"meta":{"pagination":{"count":3}}}"#, "0 of 3 events"),
    ];
    for (provider, page, expected) in parts {
        let simulator = simulator(provider, 1);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("page.json"), page).unwrap();
        write_pipeline(folder.path(), &simulator, provider, "path: page.json, source: in");
        let said = stderr(&run(folder.path(), &["run", "--once"]));
        assert!(said.contains("`page.json` is one page of several") && said.contains(expected), "{provider:?}: {said}");
    }
}
