//! `headwater list`: what can be asked for, from the provider itself; and how `check` and `validate --online` use it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use crate::support::{run, stderr, stdout};
use headwater_runtime::SystemClock;
use headwater_simulator::{ANYPOINT_ORGANIZATIONS, Provider, Scenario, Simulator};
use serde_json::Value;
use std::{fs, process::Output, sync::Arc};

const FAILED: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(2);

fn simulator(provider: Provider, scenario: Scenario) -> Simulator {
    Simulator::start(provider, scenario.seed(11).history(2, 40), Arc::new(SystemClock)).unwrap()
}

/// The source `in` at this simulator, with these keys besides.
fn source(provider: Provider, simulator: &Simulator, credential: &str, more: &str) -> String {
    let own = match provider {
        Provider::PactFlow | Provider::Api7 => format!("    token: '{credential}'\n"),
        Provider::SolaceCloud => format!("    token: '{credential}'\n    min_call_interval: 0s\n"),
        Provider::Anypoint => {
            let (id, secret) = credential.split_once(':').unwrap();
            let organizations = ANYPOINT_ORGANIZATIONS[..2].join(", ");
            format!(
                "    organization_ids: [{organizations}]\n    auth: {{ client_id: '{id}', client_secret: '{secret}' }}\n"
            )
        }
        _ => format!("    api_key: '{credential}'\n    min_call_interval: 0s\n"),
    };
    format!(
        "sources:\n  in:\n    type: {provider}\n    endpoint: '{}'\n{own}    own_queries: forward\n    rate_limit: {{ requests: 1000000, per: 1s }}\n    retry: {{ initial: 10ms, max: 50ms }}\n{more}sinks:\n  out: {{ type: blackhole, inputs: [in] }}\n",
        simulator.url()
    )
}

/// A folder whose `pipeline.yaml` has this source.
fn folder(provider: Provider, simulator: &Simulator, more: &str) -> tempfile::TempDir {
    holding(&source(provider, simulator, simulator.credential(), more))
}

fn holding(pipeline: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pipeline.yaml"), pipeline).unwrap();
    dir
}

fn assert_code(output: &Output, code: Option<i32>) {
    assert_eq!(output.status.code(), code, "{}{}", stdout(output), stderr(output));
}

/// `headwater list in --format json`, which must end well: its lines, and what it said besides.
fn names(dir: &tempfile::TempDir) -> (Vec<Value>, String) {
    let output = run(dir.path(), &["list", "in", "--format", "json"]);
    assert_code(&output, Some(0));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "it leaves nothing");
    let lines = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, stderr(&output))
}

fn of<'a>(names: &'a [Value], kind: &str) -> Vec<&'a str> {
    names.iter().filter(|name| name["kind"] == kind).map(|name| name["name"].as_str().unwrap()).collect()
}

fn one<'a>(names: &'a [Value], name: &str) -> &'a Value {
    names.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no `{name}` in {names:?}"))
}

/// The lines of stderr that are warnings, with what belongs to each.
fn warnings(output: &Output) -> String {
    let said = stderr(output);
    let begin = said.find("warning:").unwrap_or(said.len());
    said[begin..].to_owned()
}

#[test]
fn anypoint_lists_platforms_types_actions_and_the_tree_of_business_groups() {
    let simulator = simulator(Provider::Anypoint, Scenario::new());
    let dir = folder(Provider::Anypoint, &simulator, "");
    let (names, said) = names(&dir);
    assert!(!said.contains("warning"), "{said}");
    assert_eq!(of(&names, "platform"), ["api-platform-api", "CoreServices", "Flex Mesh", "Runtime Manager"]);
    assert!(of(&names, "object type").contains(&"Connected Application"));
    assert_eq!(one(&names, "api-platform-api")["label"], "API Manager");
    assert_eq!(one(&names, "policy")["of"], serde_json::json!(["api-platform-api"]));
    assert_eq!(one(&names, "edit")["also_written"], serde_json::json!(["Edit"]));
    let [root, first, _] = ANYPOINT_ORGANIZATIONS;
    assert_eq!(of(&names, "organization")[..2], [root, first]);
    assert_eq!(one(&names, first)["of"], serde_json::json!([root]));
    assert!(names.iter().all(|name| name["known_to"] == "provider"), "{names:?}");

    let output = run(dir.path(), &["list", "in"]);
    let shown = stdout(&output);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("kind") && lines[0].ends_with("known to"), "{shown}");
    let create = lines.iter().find(|line| line.starts_with("action") && line.contains(" create ")).unwrap();
    assert!(create.contains("Create") && create.contains("policy"), "the name and the label stand together: {shown}");
    // Each list of each organization, once, and one login.
    let asked = simulator.ledger().requests();
    let of = |part: &str| asked.iter().filter(|request| request.path.contains(part)).count();
    assert_eq!((of("/actions"), of("/hierarchy"), of("/query"), of("/oauth2/token")), (4, 4, 0, 2), "two runs");
}

#[test]
fn solace_cloud_lists_its_event_types_within_their_categories() {
    for wraps in [false, true] {
        let simulator = simulator(Provider::SolaceCloud, Scenario::new().solace_cloud(|s| s.wraps_categories = wraps));
        let (names, _) = names(&folder(Provider::SolaceCloud, &simulator, ""));
        assert_eq!(of(&names, "category"), ["DISTRIBUTED_TRACING", "IAM", "SERVICE"]);
        let login = one(&names, "LOGIN");
        assert_eq!((&login["of"][0], &login["label"]), (&"IAM".into(), &"User login".into()));
        assert_eq!(simulator.ledger().requests().len(), 1);
    }
}

#[test]
fn api7_lists_its_event_types_and_if_it_may_not_headwater_names_those_it_knows() {
    let free = simulator(Provider::Api7, Scenario::new());
    let (listed, said) = names(&folder(Provider::Api7, &free, ""));
    assert!(listed.len() > 3 && listed.iter().all(|name| name["known_to"] == "provider"), "{listed:?}");
    assert!(!said.contains("warning"), "{said}");

    let forbidden = simulator(Provider::Api7, Scenario::new().api7(|a| a.event_types_forbidden = true));
    let (known, said) = names(&folder(Provider::Api7, &forbidden, ""));
    assert!(of(&known, "event type").contains(&"Add *") && known.iter().all(|name| name["known_to"] == "headwater"));
    assert!(said.contains("warning: event types: HTTP 403") && said.contains("iam:GetAudit"), "{said}");
    assert!(said.contains("headwater's mapping table"), "{said}");
}

#[test]
fn providers_that_list_nothing_are_not_asked() {
    for (provider, kind, name) in
        [(Provider::Mural, "action", "CREATE_MURAL"), (Provider::PactFlow, "resource", "pacts_for_verification")]
    {
        let simulator = simulator(provider, Scenario::new());
        let dir = folder(provider, &simulator, "");
        let (names, said) = names(&dir);
        assert!(of(&names, kind).contains(&name), "{names:?}");
        assert!(said.contains(&format!("the API of `{provider}` lists none")), "{said}");
        assert!(stdout(&run(dir.path(), &["list", "in"])).contains(name));
        assert!(simulator.ledger().requests().is_empty());
    }
}

#[test]
fn a_refusal_says_which_right_is_missing() {
    for (provider, right) in
        [(Provider::Anypoint, "Audit Log Viewer"), (Provider::SolaceCloud, "Retrieve my organization's audit logs")]
    {
        let simulator = simulator(provider, Scenario::new());
        let guest = simulator.unprivileged_credential();
        for (credential, status) in [(guest, "403"), (&*simulator.credential().replace("sim", "bad"), "401")] {
            let dir = holding(&source(provider, &simulator, credential, ""));
            let output = run(dir.path(), &["list", "in"]);
            assert_code(&output, FAILED);
            let said = stderr(&output);
            assert!(said.contains("error: ") && said.contains(status) && said.contains(right), "{said}");
            assert!(!said.contains(credential), "{said}");
            let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
            assert!(errors.len() == 1 && errors[0].contains(right), "one reason is said once: {said}");
        }
    }
}

#[test]
fn a_source_that_is_not_there_is_a_wrong_command_line() {
    let simulator = simulator(Provider::PactFlow, Scenario::new());
    let dir = folder(Provider::PactFlow, &simulator, "");
    let output = run(dir.path(), &["list", "inn"]);
    assert_code(&output, USAGE);
    assert!(stderr(&output).contains("no source `inn`") && stderr(&output).contains("did you mean `in`?"));
    assert_code(&run(dir.path(), &["list"]), USAGE);
}

#[test]
fn names_of_simulators_need_no_credentials() {
    let yaml = "sources:\n  s: { type: solace_cloud, token: '${NOT_SET_ANYWHERE}' }\nsinks: {}\n";
    let output = run(holding(yaml).path(), &["list", "s", "--simulate"]);
    assert_code(&output, Some(0));
    assert!(stdout(&output).contains("SERVICE_SHOW_PASSWORD"), "{}", stdout(&output));
}

#[test]
fn a_name_that_the_provider_does_not_list_is_a_warning_at_its_place() {
    let check = |provider: Provider, more: &str, expected: &[&str]| {
        let simulator = simulator(provider, Scenario::new());
        let dir = folder(provider, &simulator, more);
        for args in [&["check"][..], &["validate", "--online"]] {
            let output = run(dir.path(), args);
            assert_code(&output, Some(0));
            let warned = warnings(&output);
            for part in expected {
                assert!(warned.contains(part), "{args:?}: {part}:\n{}", stderr(&output));
            }
            let problems = warned.lines().filter(|line| line.starts_with("warning: source `in` asks")).count();
            assert_eq!(problems, expected.iter().filter(|part| part.starts_with("source")).count(), "{warned}");
            let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["pipeline.yaml"], "it leaves nothing");
        }
        let before = simulator.ledger().requests().len();
        let offline = run(dir.path(), &["validate"]);
        assert!(offline.status.success() && warnings(&offline).is_empty(), "{}", stderr(&offline));
        assert_eq!(simulator.ledger().requests().len(), before, "`validate` alone asks nobody");
    };
    check(
        Provider::Anypoint,
        "    filter:\n      platforms: [API Manager, CoreServices]\n      actions:\n        - Login\n        - Delpoy\n        - edit\n",
        &[
            "source `in` asks for the platform `API Manager`, which the provider does not list",
            "did you mean `api-platform-api`, whose label is `API Manager`?",
            "source `in` asks for the action `Delpoy`, which the provider does not list",
            "pipeline.yaml:14:11",
            "did you mean `Deploy`?",
            "source `in` asks for the action `edit`, and the provider has `Edit` as well",
        ],
    );
    check(
        Provider::SolaceCloud,
        "    filter: { event_category: SERVICE, event_type: LOGIN }\n",
        &["source `in` asks for the event type `LOGIN` of `SERVICE`, and the provider lists it for `IAM`"],
    );
    check(
        Provider::Api7,
        "    filter: { event_type: Nonsense }\n",
        &["source `in` asks for the event type `Nonsense`, which the provider does not list"],
    );
    check(
        Provider::Mural,
        "    filter: { actions: [SIGN_IN_FALIURE, SOMETHING_NEW, CREATE_MURAL] }\n",
        &["source `in` asks for the action `SIGN_IN_FALIURE`, which headwater does not know", "`SIGN_IN_FAILURE`?"],
    );
    check(Provider::SolaceCloud, "    filter: { event_category: IAM, event_type: LOGIN }\n", &[]);
}

#[test]
fn a_source_without_names_is_not_asked_for_any() {
    let simulator = simulator(Provider::SolaceCloud, Scenario::new());
    let dir = folder(Provider::SolaceCloud, &simulator, "");
    let output = run(dir.path(), &["validate", "--online"]);
    assert_code(&output, Some(0));
    assert!(stderr(&output).contains("no source filters by a name"), "{}", stderr(&output));
    assert!(simulator.ledger().requests().is_empty());
}

#[test]
fn names_that_cannot_be_compared_are_a_warning_with_the_reason() {
    let simulator = simulator(Provider::SolaceCloud, Scenario::new());
    let guest = simulator.unprivileged_credential();
    let filter = "    filter: { event_category: IAM }\n";
    let dir = holding(&source(Provider::SolaceCloud, &simulator, guest, filter));
    let output = run(dir.path(), &["validate", "--online"]);
    assert_code(&output, Some(0));
    let warned = warnings(&output);
    assert!(warned.contains("are not compared with categories and event types: HTTP 403"), "{warned}");
    // Where the log itself cannot be read, that is said once.
    let output = run(dir.path(), &["check"]);
    assert_code(&output, FAILED);
    assert!(
        stdout(&output).contains("HTTP 403") && !stderr(&output).contains("are not compared"),
        "{}",
        stderr(&output)
    );
}
