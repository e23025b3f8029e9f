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
