//! Events that no row matches are counted, so that operators see what a table lacks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::{Value as Json, json};
use std::sync::Mutex;

/// Notes which counters were asked for.
#[derive(Default)]
struct Counters(Mutex<Vec<String>>);

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        self.0.lock().unwrap().push(format!("{}{{{}}}", key.name(), labels.join(",")));
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn counted(provider: &str, event: &Json) -> Vec<String> {
    let normalize = common::builtin("normalize.vrl");
    let counters = Counters::default();
    metrics::with_local_recorder(&counters, || normalize.run_raw(&event.to_string(), &json!({ "provider": provider })));
    counters.0.into_inner().unwrap()
}

#[test]
fn only_events_that_no_row_matches_are_counted() {
    let actor = json!({ "id": "u1" });
    assert_eq!(
        counted("mural", &json!({ "action": "ABORT_VOTING_SESSION", "actor": actor })),
        ["normalize_fallback_total{provider=mural,event_code=ABORT_VOTING_SESSION}"]
    );
    assert_eq!(counted("mural", &json!({})), ["normalize_fallback_total{provider=mural,event_code=}"]);
    assert_eq!(counted("acme", &json!({})), ["normalize_fallback_total{provider=acme,event_code=}"]);
    // Listed, though its activity is Other.
    assert_eq!(counted("mural", &json!({ "action": "ACCESS_DENIED", "actor": actor })), Vec::<String>::new());
}

/// What MuleSoft's article on the log names as events worth a look.
const OF_THE_ARTICLE: [&str; 21] = [
    "user created",
    "user deleted",
    "environment created",
    "business group created",
    "role assigned to a group",
    "application deployed to Production",
    "API published",
    "API deprecated",
    "API version approved",
    "application stopped",
    "repeated failed logins",
    "API policy removed",
    "policy modified",
    "user team created",
    "vCores added to an environment",
    "API added to a public portal",
    "contract revoked",
    "contract activated",
    "application created",
    "API definition changed",
    "asset pushed to Exchange",
];

#[test]
fn every_event_of_the_article_has_a_golden_case_and_a_row() {
    let goldens: Vec<_> = common::goldens().into_iter().filter(|golden| golden.entry["shows"].is_string()).collect();
    for event in OF_THE_ARTICLE {
        assert!(goldens.iter().any(|golden| golden.entry["shows"] == event), "{event}");
    }
    let page = include_str!("../../../docs/anypoint-events.md");
    for golden in goldens {
        let case = golden.name.strip_prefix("anypoint/").unwrap();
        let row = page.lines().find(|line| line.ends_with(&format!("| {} | `{case}` |", golden.entry["type_uid"])));
        assert!(
            row.is_some_and(|row| row.starts_with(&format!("| {} |", golden.entry["shows"].as_str().unwrap()))),
            "{case}"
        );
        let (shows, words) = (golden.entry["shows"].as_str().unwrap(), golden.entry["words"].as_str().unwrap());
        assert!(OF_THE_ARTICLE.contains(&shows), "{}: {shows}", golden.name);
        assert!(words.starts_with("documented: ") || words.starts_with("not public: "), "{}: {words}", golden.name);
        let raw = serde_json::from_str(&golden.raw).unwrap();
        assert_eq!(counted(&golden.provider, &raw), Vec::<String>::new(), "{}", golden.name);
    }
}
