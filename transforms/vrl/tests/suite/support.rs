//! Events and an emitter that remembers.

use bytes::Bytes;
use headwater_contracts::{Emit, Event, Identity, Origin, OwnQueryPolicy, Port, Timestamp, Transform};
use headwater_vrl::{Compiler, Program, ProgramError, Remap, RemapOptions, Tables, locate_in};
use serde_json::Value as Json;
use std::sync::Arc;

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn event(raw: &str) -> Event {
    let raw = Bytes::copy_from_slice(raw.as_bytes());
    Event {
        origin: Arc::new(Origin {
            source: "contracts".to_owned(),
            provider: "pactflow".into(),
            stream: "acme.pactflow.io".to_owned(),
            own_query_policy: OwnQueryPolicy::Tag,
            simulated: false,
            read_by: None,
        }),
        id: "e-1".to_owned(),
        identity: Identity::of(&[&raw]),
        time: Some(time("2026-01-01T00:00:00Z")),
        observed: time("2026-01-02T03:04:05.678Z"),
        own_query: true,
        suspicious: None,
        late: None,
        raw,
        value: None,
        encoded: None,
        metadata: None,
        index: 0,
    }
}

pub(crate) fn compiler() -> Compiler {
    Compiler::new(Vec::new(), Tables::default())
}

pub(crate) fn program(text: &str) -> Program {
    compiler().compile(text).unwrap_or_else(|problems| panic!("{}", headwater_vrl::render("p.vrl", text, &problems)))
}

pub(crate) fn problems(text: &str) -> Vec<ProgramError> {
    compiler().compile(text).expect_err("this must not compile")
}

pub(crate) fn remap(text: &str) -> Remap {
    Remap::new("shape", program(text), locate_in("p.vrl", text), RemapOptions::default())
}

/// What became of the events.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) next: Vec<(Port, Event)>,
    pub(crate) dropped: Vec<Event>,
    pub(crate) failed: Vec<(Event, String)>,
}

impl Emit for Seen {
    fn next(&mut self, port: Port, event: Event) {
        self.next.push((port, event));
    }

    fn drop(&mut self, event: &Event) {
        self.dropped.push(event.clone());
    }

    fn fail(&mut self, event: Event, reason: String) {
        self.failed.push((event, reason));
    }
}

impl Seen {
    pub(crate) fn of(transform: &dyn Transform, events: Vec<Event>) -> Self {
        let mut seen = Self::default();
        transform.run(events, &mut seen);
        seen
    }

    /// The JSON of the events that went on.
    pub(crate) fn json(&self) -> Vec<Json> {
        self.next.iter().map(|(_, event)| json(event)).collect()
    }
}

pub(crate) fn json(event: &Event) -> Json {
    serde_json::from_slice(&written(event)).unwrap()
}

pub(crate) fn written(event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    event.write_json(&mut out).unwrap();
    out
}

/// Runs `text` over the raw event and gives the one result.
pub(crate) fn result(text: &str, raw: &str) -> Json {
    let seen = Seen::of(&remap(text), vec![event(raw)]);
    assert!(seen.failed.is_empty(), "{}", seen.failed[0].1);
    let [only] = seen.json().try_into().unwrap();
    only
}

/// Runs `text` over the raw event and gives the reason it fails with.
pub(crate) fn failure(text: &str, raw: &str) -> String {
    let seen = Seen::of(&remap(text), vec![event(raw)]);
    assert!(seen.next.is_empty() && seen.dropped.is_empty(), "it must fail");
    let [(_, reason)] = seen.failed.try_into().ok().unwrap();
    reason
}
