use crate::support::{compiler, remap, time};
use headwater_contracts::Transform;
use headwater_vrl::{
    Route, RouteRule, TestCase, TestCondition, TestGraph, TestInput, TestOutput, TestResult, locate_in, run_test,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// parse ─► split ─► split.admin ─► tag;  split._unmatched ─► nothing
struct Pipeline(BTreeMap<&'static str, (Box<dyn Transform>, Vec<&'static str>)>);

impl TestGraph for Pipeline {
    fn transform(&self, name: &str) -> Option<&dyn Transform> {
        self.0.get(name).map(|(transform, _)| transform.as_ref())
    }

    fn consumers(&self, output: &str) -> Vec<String> {
        self.0.iter().filter(|(_, (_, inputs))| inputs.contains(&output)).map(|(name, _)| (*name).to_owned()).collect()
    }
}

fn pipeline() -> Pipeline {
    let admin = ".role == \"admin\"";
    let rule = RouteRule {
        name: "admin".to_owned(),
        condition: compiler().compile_condition(admin).unwrap(),
        locate: locate_in("p.yaml", admin),
    };
    let parse: Box<dyn Transform> = Box::new(remap(".n = to_int!(.n)\nif .n == 0 { abort }"));
    let split: Box<dyn Transform> = Box::new(Route::new("split", vec![rule], true));
    let tag: Box<dyn Transform> = Box::new(remap(".tag = %headwater.provider\n.seen = %headwater.observed_time"));
    Pipeline(BTreeMap::from([
        ("parse", (parse, vec!["source"])),
        ("split", (split, vec!["parse", "parse"])),
        ("tag", (tag, vec!["split.admin"])),
    ]))
}

fn input(raw: Value) -> TestInput {
    TestInput { insert_at: "parse".to_owned(), raw: raw.to_string().into(), metadata: json!({"provider": "mural"}) }
}

fn output(extract_from: &str, conditions: &[&str]) -> TestOutput {
    let conditions = conditions.iter().map(|text| TestCondition {
        condition: compiler().compile_condition(text).unwrap(),
        locate: locate_in("tests.yaml", text),
    });
    TestOutput { extract_from: extract_from.to_owned(), conditions: conditions.collect() }
}

fn run(inputs: Vec<TestInput>, outputs: Vec<TestOutput>, silent: &[&str]) -> TestResult {
    let no_outputs_from = silent.iter().map(|name| (*name).to_owned()).collect();
    let case = TestCase { name: "t".to_owned(), inputs, outputs, no_outputs_from };
    run_test(&case, &pipeline(), time("2026-03-04T05:06:07Z"))
}

#[test]
fn events_flow_through_ports_and_conditions_hold() {
    let result = run(
        vec![input(json!({"n": "1", "role": "admin"}))],
        vec![
            output("parse", &[".n == 1"]),
            output(
                "tag",
                &[
                    "assert_eq!(.tag, \"mural\")\nassert!(.n == 1)",
                    ".seen == t'2026-03-04T05:06:07Z'",
                    "%headwater.id != \"\"",
                ],
            ),
        ],
        &["split._unmatched"],
    );
    assert_eq!(result, TestResult { name: "t".to_owned(), failures: vec![] });
    assert!(result.passed());
}

#[test]
fn a_condition_must_hold_for_one_of_the_events() {
    let inputs = || vec![input(json!({"n": "1"})), input(json!({"n": "2"}))];
    assert!(run(inputs(), vec![output("parse", &[".n == 1", ".n == 2"])], &[]).passed());
    let failed = run(inputs(), vec![output("parse", &[".n == 1", ".n == 3"])], &[]);
    assert_eq!(
        failed.failures,
        [
            "output `parse`, condition 2: is false at tests.yaml:1:1\n    {\n      \"n\": 1\n    }\n    {\n      \"n\": 2\n    }"
        ]
    );
}

#[test]
fn a_failed_assertion_says_where_and_shows_the_event() {
    let result = run(
        vec![input(json!({"n": "1", "role": "admin"}))],
        vec![output("tag", &["assert!(.n == 1)\nassert_eq!(.tag, \"ä\", \"wrong tag\")"])],
        &[],
    );
    let [failure] = result.failures.try_into().unwrap();
    assert!(failure.starts_with("output `tag`, condition 1: fails at tests.yaml:2:1: wrong tag\n    {\n"), "{failure}");
    assert!(failure.contains("\"tag\": \"mural\""), "{failure}");
}

#[test]
fn silence_is_noticed_with_its_reason_and_so_is_noise() {
    let silent = run(
        vec![input(json!({"n": "x"})), input(json!({"n": 0}))],
        vec![output("parse", &["true"])],
        &["split._unmatched"],
    );
    let [failure] = silent.failures.try_into().unwrap();
    assert!(failure.starts_with("no event came out of `parse`\n  transform `parse` rejected event `"), "{failure}");
    assert!(failure.contains("p.vrl:1:6") && failure.contains("\n  transform `parse` dropped event `"), "{failure}");

    let noisy = run(vec![input(json!({"n": 5}))], vec![], &["split._unmatched", "tag"]);
    let [failure] = noisy.failures.try_into().unwrap();
    assert!(failure.starts_with("nothing may come out of `split._unmatched`, but 1 did:\n    {"), "{failure}");
}

#[test]
fn a_test_that_shows_nothing_fails() {
    assert_eq!(run(vec![], vec![], &["tag"]).failures.len(), 1);
    assert_eq!(run(vec![input(json!({"n": 1}))], vec![], &[]).failures.len(), 1);
    let mut lost = input(json!({}));
    lost.insert_at = "prase".to_owned();
    assert_eq!(run(vec![lost], vec![], &["tag"]).failures, ["input 1: there is no transform `prase`"]);
    let mut wrong = input(json!({}));
    wrong.metadata = json!({"provder": "x"});
    let failures = run(vec![wrong], vec![], &["tag"]).failures;
    assert!(failures[0].contains("did you mean `provider`?"), "{failures:?}");
}
