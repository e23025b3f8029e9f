use crate::mmdb_writer::mmdb;
use crate::support::{Seen, event};
use headwater_vrl::{
    ColumnType, Compiler, ProgramError, Remap, RemapOptions, TableError, TableSpec, Tables, locate_in,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;

const USERS: &str = "id,email,team,since\n\
    1,ana@acme.example,blue,2024-01-01\n\
    2,Bo@acme.example,blue,2025-06-01\n\
    3,cy@acme.example,red,2026-01-01\n";

fn csv(path: &Path, content: &str) -> TableSpec {
    std::fs::write(path, content).unwrap();
    TableSpec::Csv { path: path.to_owned(), delimiter: b',', headers: true, schema: BTreeMap::new() }
}

fn load(tables: impl IntoIterator<Item = (&'static str, TableSpec)>) -> Result<Tables, Vec<TableError>> {
    Tables::load(tables.into_iter().map(|(name, spec)| (name.to_owned(), spec)).collect())
}

fn users(folder: &TempDir) -> Tables {
    load([("users", csv(&folder.path().join("users.csv"), USERS))]).unwrap()
}

fn enrich(tables: &Tables, text: &str) -> Remap {
    let program = Compiler::new(Vec::new(), tables.clone()).compile(text).unwrap_or_else(|p| panic!("{p:?}"));
    Remap::new("enrich", program, locate_in("p.vrl", text), RemapOptions::default())
}

fn ask(tables: &Tables, expression: &str, raw: &str) -> Result<Value, String> {
    let seen = Seen::of(&enrich(tables, &format!(".found = {expression}")), vec![event(raw)]);
    match seen.failed.first() {
        Some((_, reason)) => Err(reason.clone()),
        None => Ok(seen.json()[0]["found"].clone()),
    }
}

fn refused(tables: &Tables, text: &str) -> ProgramError {
    Compiler::new(Vec::new(), tables.clone()).compile(text).expect_err(text).remove(0)
}

#[test]
fn one_row_or_an_error() {
    let folder = TempDir::new().unwrap();
    let tables = users(&folder);
    let get = |expression: &str| ask(&tables, expression, r#"{"who":"2"}"#);
    assert_eq!(
        get(r#"get_enrichment_table_record!("users", {"id": .who})"#).unwrap(),
        json!({"id": "2", "email": "Bo@acme.example", "team": "blue", "since": "2025-06-01"})
    );
    assert_eq!(
        get(r#"get_enrichment_table_record!("users", {"id": "3", "team": "red"}, select: ["email"])"#).unwrap(),
        json!({"email": "cy@acme.example"})
    );
    let none = get(r#"get_enrichment_table_record!("users", {"id": "9"})"#).unwrap_err();
    assert!(none.ends_with("no row of enrichment table `users` matches"), "{none}");
    assert!(none.contains("p.vrl:1:10"), "{none}");
    let two = get(r#"get_enrichment_table_record!("users", {"team": "blue"})"#).unwrap_err();
    assert!(two.ends_with("more than one row of enrichment table `users` matches"), "{two}");
}

#[test]
fn all_rows_perhaps_none() {
    let folder = TempDir::new().unwrap();
    let tables = users(&folder);
    let find = |condition: &str| {
        ask(&tables, &format!(r#"find_enrichment_table_records!("users", {condition}, select: ["id"])"#), "{}").unwrap()
    };
    assert_eq!(find(r#"{"team": "blue"}"#), json!([{"id": "1"}, {"id": "2"}]));
    assert_eq!(find(r#"{"team": "green"}"#), json!([]));
    assert_eq!(find("{}").as_array().unwrap().len(), 3);
    // A number is no string, as in Vector.
    assert_eq!(find(r#"{"id": 1}"#), json!([]));
}

#[test]
fn case_counts_unless_told_otherwise() {
    let folder = TempDir::new().unwrap();
    let tables = users(&folder);
    let find = |rest: &str| {
        let call = format!(r#"find_enrichment_table_records!("users", {{"email": "bo@ACME.example"}}{rest})"#);
        ask(&tables, &call, "{}").unwrap().as_array().unwrap().len()
    };
    assert_eq!(find(""), 0);
    assert_eq!(find(", case_sensitive: true"), 0);
    assert_eq!(find(", case_sensitive: false"), 1);
}

#[test]
fn ranges_of_time_include_their_ends_and_may_be_open() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.csv");
    std::fs::write(&path, USERS).unwrap();
    let typed = BTreeMap::from([("since".to_owned(), ColumnType::Date(None))]);
    for schema in [BTreeMap::new(), typed] {
        let tables =
            load([("users", TableSpec::Csv { path: path.clone(), delimiter: b',', headers: true, schema })]).unwrap();
        let ids = |condition: &str| {
            let call = format!(r#"find_enrichment_table_records!("users", {condition}, select: ["id"])"#);
            let found = ask(&tables, &call, "{}").unwrap();
            found.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ids(r#"{"since": {"from": t'2024-01-01T00:00:00Z', "to": t'2025-06-01T00:00:00Z'}}"#), ["1", "2"]);
        assert_eq!(ids(r#"{"since": {"from": t'2025-06-01T00:00:01Z'}}"#), ["3"]);
        assert_eq!(ids(r#"{"team": "blue", "since": {"to": t'2024-12-31T00:00:00Z'}}"#), ["1"]);
    }
    let tables = load([("users", csv(&path, USERS))]).unwrap();
    let wrong = ask(&tables, r#"find_enrichment_table_records!("users", {"since": {"from": .x}})"#, r#"{"x":1}"#);
    assert!(wrong.unwrap_err().contains("must be timestamps, this is integer"));
}

#[test]
fn columns_have_the_types_of_the_schema() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, "id;ok;rate\n7;yes;0.5\n").unwrap();
    let schema = [("id", ColumnType::Integer), ("ok", ColumnType::Boolean), ("rate", ColumnType::Float)];
    let schema = schema.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    let tables = load([("t", TableSpec::Csv { path, delimiter: b';', headers: true, schema })]).unwrap();
    assert_eq!(
        ask(&tables, r#"get_enrichment_table_record!("t", {"id": 7})"#, "{}").unwrap(),
        json!({"id": 7, "ok": true, "rate": 0.5})
    );
}

#[test]
fn files_that_are_no_tables_are_all_named_with_the_line() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut typed = csv(&file("typed.csv"), "a,b\n1,2\nx,4\n");
    if let TableSpec::Csv { schema, .. } = &mut typed {
        schema.insert("a".to_owned(), ColumnType::Integer);
    }
    std::fs::write(file("geo.mmdb"), "nothing of the kind").unwrap();
    let errors = load([
        ("gone", TableSpec::Csv { path: file("gone.csv"), delimiter: b',', headers: true, schema: BTreeMap::new() }),
        ("ragged", csv(&file("ragged.csv"), "a,b\n1,2\n3\n")),
        ("twice", csv(&file("twice.csv"), "a,b,a\n")),
        ("typed", typed),
        ("geo", TableSpec::Mmdb { path: file("geo.mmdb") }),
    ])
    .unwrap_err();
    let problem = |table: &str| errors.iter().find(|error| error.table == table).unwrap().to_string();
    assert_eq!(errors.len(), 5);
    assert!(problem("gone").contains("gone.csv"));
    assert!(problem("ragged").contains("line: 3"), "{}", problem("ragged"));
    assert!(problem("twice").contains("column `a` appears twice"));
    assert!(problem("typed").contains("line 3, column `a`: `x` is no integer"), "{}", problem("typed"));
    assert!(problem("geo").contains("nvalid"), "{}", problem("geo"));
}

#[test]
fn mistakes_are_found_when_compiling() {
    let folder = TempDir::new().unwrap();
    let tables = users(&folder);
    let check = |text: &str, part: &str| {
        let problem = refused(&tables, text);
        let all = format!("{} {:?} {:?}", problem.message, problem.labels, problem.notes);
        assert!(all.contains(part), "{text}: {all}");
        assert!(text[problem.offset.clone()].contains("_enrichment_table_record"), "{problem:?}");
    };
    check(".a = get_enrichment_table_record!(\"user\", {\"id\": 1})", "did you mean `users`?");
    check(".a = get_enrichment_table_record!(\"geo\", {\"id\": 1})", "tables: users");
    check(".a = get_enrichment_table_record!(\"users\", {\"emial\": 1})", "did you mean `email`?");
    check(
        ".a = find_enrichment_table_records!(\"users\", {\"id\": 1}, select: [\"mail\"])",
        "there is no column `mail`",
    );
    check(".a = find_enrichment_table_records!(\"users\", {\"id\": 1}, select: [1])", "array of column names");
    let fallible = refused(&tables, ".a = get_enrichment_table_record(\"users\", {\"id\": 1})");
    assert_eq!(fallible.code, 103, "{fallible:?}");
    let none = refused(&Tables::default(), ".a = get_enrichment_table_record!(\"users\", {\"id\": 1})");
    assert!(format!("{none:?}").contains("no `enrichment_tables`"));
}

#[test]
fn programs_see_what_a_reload_brings() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("users.csv");
    let tables = users(&folder);
    let remap = enrich(&tables, r#".team = get_enrichment_table_record!("users", {"id": "1"}).team"#);
    let team = || Seen::of(&remap, vec![event("{}")]).json().first().map(|json| json["team"].clone());
    assert_eq!(team(), Some(json!("blue")));

    std::fs::write(&path, "team,id\ngreen,1\n").unwrap();
    tables.reload().unwrap();
    assert_eq!(team(), Some(json!("green")));

    std::fs::write(&path, "team,key\ngold,1\n").unwrap();
    let error = tables.reload().unwrap_err().remove(0);
    assert!(error.to_string().contains("there is no column `id`"), "{error}");
    assert_eq!(team(), Some(json!("green")), "the old content stays");
}

fn geo(folder: &TempDir) -> Tables {
    let path = folder.path().join("geo.mmdb");
    let networks = [
        ("81.2.69.0".parse().unwrap(), 24, json!({"country": {"iso_code": "GB", "eu": false}, "asn": 20712})),
        ("10.0.0.0".parse().unwrap(), 8, json!({"country": {"iso_code": "ZZ"}, "tags": ["private"], "lat": 1.5})),
    ];
    std::fs::write(&path, mmdb(&networks)).unwrap();
    load([("geo", TableSpec::Mmdb { path })]).unwrap()
}

#[test]
fn an_address_is_found_in_its_network() {
    let folder = TempDir::new().unwrap();
    let tables = geo(&folder);
    let get = |ip: &str, rest: &str| {
        let call = format!(r#"get_enrichment_table_record!("geo", {{"ip": .ip}}{rest})"#);
        ask(&tables, &call, &json!({"ip": ip}).to_string())
    };
    assert_eq!(get("81.2.69.142", "").unwrap(), json!({"country": {"iso_code": "GB", "eu": false}, "asn": 20712}));
    assert_eq!(get("10.1.2.3", "").unwrap(), json!({"country": {"iso_code": "ZZ"}, "tags": ["private"], "lat": 1.5}));
    assert_eq!(
        get("81.2.69.1", r#", select: ["country.iso_code", "none"]"#).unwrap(),
        json!({"country": {"iso_code": "GB"}})
    );
    for unknown in ["192.0.2.1", "no address"] {
        assert!(get(unknown, "").unwrap_err().ends_with("no row of enrichment table `geo` matches"));
    }
    let many = r#"find_enrichment_table_records!("geo", {"ip": "10.0.0.1"}, ["country"])"#;
    assert_eq!(ask(&tables, many, "{}").unwrap(), json!([{"country": {"iso_code": "ZZ"}}]));
}

#[test]
fn an_mmdb_table_is_asked_by_address_only() {
    let folder = TempDir::new().unwrap();
    let tables = geo(&folder);
    for condition in [r#"{"host": .a}"#, "{}", r#"{"ip": .a, "b": 1}"#, r#"{"ip": {"from": now(), "to": now()}}"#] {
        let problem = refused(&tables, &format!(".a = get_enrichment_table_record!(\"geo\", {condition})"));
        assert!(format!("{problem:?}").contains("by address only"), "{problem:?}");
    }
}

#[test]
fn columns_without_a_header_line_are_numbered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain.csv");
    std::fs::write(&path, "u1,Ana\nu2,Ben\n").unwrap();
    let spec = TableSpec::Csv { path, delimiter: b',', headers: false, schema: BTreeMap::new() };
    let tables = load([("users", spec)]).unwrap();
    let compiler = headwater_vrl::Compiler::new(Vec::new(), tables);
    let found = r#". = get_enrichment_table_record!("users", { "0": "u2" })."1""#;
    let program = compiler.compile(found).unwrap();
    let none = headwater_vrl::Metas::parse(b"{}").unwrap();
    let locate = headwater_vrl::locate_in("p.vrl", found);
    let now = headwater_contracts::Timestamp::UNIX_EPOCH;
    let run = headwater_vrl::run_program("p", &program, locate, vec!["{}".into()], &none, now).unwrap();
    assert_eq!(String::from_utf8(run.output).unwrap(), "\"Ben\"\n");
}
