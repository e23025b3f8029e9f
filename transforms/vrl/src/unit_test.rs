//! The engine of `headwater test`: Vector's unit tests, run on the transforms that a pipeline runs.

use crate::compiler::Condition;
use crate::event_json::event_with_metadata;
use crate::machine::Machine;
use crate::problem::Locate;
use crate::target::EventTarget;
use bytes::Bytes;
use headwater_contracts::{Emit, Event, Port, Timestamp, Transform};
use std::collections::{BTreeMap, BTreeSet};

/// The transforms of a pipeline and how they are wired, free of cycles.
pub trait TestGraph {
    /// The transform with this name.
    fn transform(&self, name: &str) -> Option<&dyn Transform>;
    /// Names of the transforms that have `output` (`component` or `component.port`) among their inputs.
    fn consumers(&self, output: &str) -> Vec<String>;
}

/// One test.
#[derive(Clone)]
pub struct TestCase {
    /// Its name.
    pub name: String,
    /// Events put in.
    pub inputs: Vec<TestInput>,
    /// What must come out.
    pub outputs: Vec<TestOutput>,
    /// Outputs that nothing may come out of.
    pub no_outputs_from: Vec<String>,
}

/// An event put into a transform.
#[derive(Debug, Clone)]
pub struct TestInput {
    /// The transform.
    pub insert_at: String,
    /// The event's bytes: the raw string given, or the JSON value given, encoded.
    pub raw: Bytes,
    /// Its metadata, as [`event_with_metadata`] takes them; null for none.
    pub metadata: serde_json::Value,
}

/// What must come out of an output.
#[derive(Clone)]
pub struct TestOutput {
    /// The output: `component` or `component.port`.
    pub extract_from: String,
    /// Each must hold for at least one event that came out, as in Vector.
    pub conditions: Vec<TestCondition>,
}

/// A condition and where it stands.
#[derive(Clone)]
pub struct TestCondition {
    /// The compiled condition: a boolean, often by way of `assert!` and `assert_eq!`.
    pub condition: Condition,
    /// Where in the user's file a byte of it is.
    pub locate: Locate,
}

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// The test.
    pub name: String,
    /// What went wrong; empty if it passed.
    pub failures: Vec<String>,
}

impl TestResult {
    /// Whether everything was as the test says.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Runs one test. `now` is the observed time of events whose metadata has none.
pub fn run_test(case: &TestCase, graph: &dyn TestGraph, now: Timestamp) -> TestResult {
    let mut flow = Flow::watching(case);
    let mut failures = Vec::new();
    for (number, input) in case.inputs.iter().enumerate() {
        match event_with_metadata(input.raw.clone(), &input.metadata, now) {
            Ok(event) => {
                if let Err(problem) = flow.insert(graph, &input.insert_at, vec![event]) {
                    failures.push(format!("input {}: {problem}", number + 1));
                }
            }
            Err(problem) => failures.push(format!("input {}: {problem}", number + 1)),
        }
    }
    if case.inputs.is_empty() {
        failures.push("the test has no `inputs`, so it shows nothing".to_owned());
    }
    if case.outputs.is_empty() && case.no_outputs_from.is_empty() {
        failures.push("the test has neither `outputs` nor `no_outputs_from`, so it shows nothing".to_owned());
    }
    for output in &case.outputs {
        flow.check(output, &mut failures);
    }
    for output in &case.no_outputs_from {
        flow.check_silent(output, &mut failures);
    }
    TestResult { name: case.name.clone(), failures }
}

/// What has come out where.
struct Flow {
    watched: BTreeMap<String, Vec<Event>>,
    /// Drops and failures, told when an expected event is missing.
    remarks: Vec<String>,
}

impl Flow {
    fn watching(case: &TestCase) -> Self {
        let names = case.outputs.iter().map(|output| &output.extract_from).chain(&case.no_outputs_from);
        Self { watched: names.map(|name| (name.clone(), Vec::new())).collect(), remarks: Vec::new() }
    }

    /// Runs the events through the transform `name` and all after it.
    fn insert(&mut self, graph: &dyn TestGraph, name: &str, events: Vec<Event>) -> Result<(), String> {
        let transform = graph.transform(name).ok_or_else(|| format!("there is no transform `{name}`"))?;
        let ports = transform.ports();
        let mut collected = Collected::default();
        transform.run(events, &mut collected);
        let remarks = collected.remarks.into_iter().map(|remark| format!("transform `{name}` {remark}"));
        self.remarks.extend(remarks);
        for (port, events) in collected.ports {
            let output = match ports.get(port).map(String::as_str) {
                Some("") => name.to_owned(),
                Some(port) => format!("{name}.{port}"),
                None => return Err(format!("transform `{name}` used port {port}, which it does not have")),
            };
            if let Some(seen) = self.watched.get_mut(&output) {
                seen.extend(events.iter().cloned());
            }
            // A consumer that lists an output twice still is one consumer.
            for consumer in graph.consumers(&output).into_iter().collect::<BTreeSet<_>>() {
                self.insert(graph, &consumer, events.clone())?;
            }
        }
        Ok(())
    }

    fn seen(&self, output: &str) -> &[Event] {
        self.watched.get(output).map_or(&[], Vec::as_slice)
    }

    fn check(&self, output: &TestOutput, failures: &mut Vec<String>) {
        let name = &output.extract_from;
        let events = self.seen(name);
        if events.is_empty() {
            let mut failure = format!("no event came out of `{name}`");
            for remark in &self.remarks {
                failure.push_str("\n  ");
                failure.push_str(remark);
            }
            failures.push(failure);
            return;
        }
        for (number, condition) in output.conditions.iter().enumerate() {
            if let Some(failure) = unmet(condition, events) {
                failures.push(format!("output `{name}`, condition {}: {failure}", number + 1));
            }
        }
    }

    fn check_silent(&self, output: &str, failures: &mut Vec<String>) {
        let events = self.seen(output);
        if !events.is_empty() {
            let count = events.len();
            failures.push(format!("nothing may come out of `{output}`, but {count} did:{}", shown(events)));
        }
    }
}

/// Why no event meets the condition, if none does.
fn unmet(condition: &TestCondition, events: &[Event]) -> Option<String> {
    let mut machine = Machine::new();
    let mut reasons = Vec::new();
    for event in events {
        let mut target = EventTarget::new(event.clone());
        let reason = match machine.test(&condition.condition, &mut target) {
            Ok(true) => return None,
            Ok(false) => format!("is false at {}", (condition.locate)(0)),
            Err(trouble) => trouble.describe("fails", &condition.locate),
        };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Some(format!("{}{}", reasons.join("\n  "), shown(events)))
}

/// The events, indented, one after the other.
fn shown(events: &[Event]) -> String {
    let mut out = String::new();
    for event in events {
        for line in pretty(event).lines() {
            out.push_str("\n    ");
            out.push_str(line);
        }
    }
    out
}

fn pretty(event: &Event) -> String {
    let text = match &event.value {
        Some(value) => serde_json::to_string_pretty(value).ok(),
        None => serde_json::from_slice::<serde_json::Value>(&event.raw)
            .and_then(|json| serde_json::to_string_pretty(&json))
            .ok(),
    };
    text.unwrap_or_else(|| String::from_utf8_lossy(&event.raw).into_owned())
}

/// What one transform made of some events.
#[derive(Default)]
struct Collected {
    ports: BTreeMap<Port, Vec<Event>>,
    remarks: Vec<String>,
}

impl Emit for Collected {
    fn next(&mut self, port: Port, event: Event) {
        self.ports.entry(port).or_default().push(event);
    }

    fn drop(&mut self, event: &Event) {
        self.remarks.push(format!("dropped event `{}`", event.id));
    }

    fn fail(&mut self, event: Event, reason: String) {
        self.remarks.push(format!("rejected event `{}`: {reason}", event.id));
    }
}
