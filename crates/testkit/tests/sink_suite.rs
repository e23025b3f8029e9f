//! The sink suite itself: a correct sink passes, and every planted bug is caught by the check that is there for it.
#![allow(clippy::unwrap_used, clippy::panic)] // Test code: a panic is how it fails.

use async_trait::async_trait;
use headwater_contracts::{Delivery, Event, Rejected, Sink, SinkError};
use headwater_testkit::sink_suite::{Arrival, Destination, Outage, Violation, event, sink_contract, sink_violations};
use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Clone, Copy, PartialEq)]
enum Bug {
    None,
    DropsLastEvent,
    DropsLastEventWhenTold,
    AcknowledgesBeforeFlush,
    Reorders,
    RepeatsSilently,
    SwallowsRejection,
    RejectsTheWholeBatch,
    RejectsNeighbours,
    NamesTheWrongEvent,
    CorruptsUnicode,
    CutsLongEvents,
    EscapesLineBreaksTwice,
    ForgetsADroppedAttempt,
    AcknowledgesWhileDown,
    SkipsWhatItSentBeforeARetry,
    GivesUpWhenDown,
    OverwritesOnStart,
    IgnoresTheTransforms,
    InventsOnEmptyBatch,
    Hangs,
}

/// A far side in memory.
#[derive(Default)]
struct Far {
    held: Vec<Arrival>,
    outage: Option<Outage>,
    refused: Option<String>,
}

struct Fake {
    bug: Bug,
    far: Arc<Mutex<Far>>,
    buffer: Vec<Arrival>,
    sent_before_retry: usize,
    attempted: bool,
}

impl Fake {
    fn far(&self) -> MutexGuard<'_, Far> {
        self.far.lock().unwrap()
    }

    fn encode(&self, event: &Event) -> Arrival {
        let mut json = Vec::new();
        match self.bug {
            Bug::IgnoresTheTransforms => json.extend_from_slice(&event.raw),
            _ => event.write_json(&mut json).unwrap(),
        }
        let mut arrival =
            Arrival::from_json(&json).unwrap_or_else(|| Arrival { id: "unreadable".to_owned(), text: String::new() });
        match self.bug {
            Bug::CorruptsUnicode => arrival.text = arrival.text.chars().filter(char::is_ascii).collect(),
            Bug::CutsLongEvents => arrival.text = arrival.text.chars().take(1000).collect(),
            Bug::EscapesLineBreaksTwice => arrival.text = arrival.text.replace('\n', "\\n"),
            _ => {}
        }
        arrival
    }

    fn put(&mut self, arrivals: Vec<Arrival>) {
        if self.bug == Bug::AcknowledgesBeforeFlush {
            self.buffer.extend(arrivals);
            while self.buffer.len() > 10 {
                let next = self.buffer.remove(0);
                self.far().held.push(next);
            }
        } else {
            self.far().held.extend(arrivals);
        }
    }
}

#[async_trait]
impl Sink for Fake {
    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        if self.bug == Bug::Hangs && events.is_empty() {
            std::future::pending::<()>().await;
        }
        if self.bug == Bug::ForgetsADroppedAttempt && self.attempted {
            // Takes the attempt that was dropped for one that went through.
            self.attempted = false;
            return Ok(Delivery::default());
        }
        self.attempted = true;
        tokio::task::yield_now().await;
        let mut arrivals: Vec<Arrival> = events.iter().map(|event| self.encode(event)).collect();
        let outage = self.far().outage;
        if let Some(outage) = outage
            && self.bug != Bug::AcknowledgesWhileDown
        {
            if outage == Outage::Halfway {
                arrivals.truncate(events.len() / 2);
                self.sent_before_retry = arrivals.len();
                self.far().held.extend(arrivals);
                self.far().outage = Some(Outage::Down);
            }
            self.attempted = false;
            return Err(match self.bug {
                Bug::GivesUpWhenDown => SinkError::Fatal("the far side is down".to_owned()),
                _ => SinkError::Retry { reason: "the far side is down".to_owned(), after: None },
            });
        }
        if outage.is_some() {
            return Ok(Delivery::default());
        }
        match self.bug {
            Bug::DropsLastEvent => arrivals.truncate(events.len().saturating_sub(1)),
            Bug::Reorders => arrivals.reverse(),
            Bug::RepeatsSilently => arrivals = arrivals.iter().flat_map(|a| [a.clone(), a.clone()]).collect(),
            Bug::SkipsWhatItSentBeforeARetry => {
                // One too many.
                let skip = if self.sent_before_retry > 0 { self.sent_before_retry + 1 } else { 0 };
                arrivals.drain(..skip);
                self.sent_before_retry = 0;
            }
            Bug::InventsOnEmptyBatch if arrivals.is_empty() => {
                arrivals.push(Arrival { id: "heartbeat".to_owned(), text: String::new() });
            }
            _ => {}
        }
        tokio::task::yield_now().await;
        let refused = self.far().refused.clone();
        let refused = events.iter().position(|event| Some(&event.id) == refused.as_ref());
        let mut rejected = Vec::new();
        if let Some(index) = refused {
            let name = |index| Rejected { index, reason: "refused by the far side".to_owned() };
            arrivals.remove(index);
            match self.bug {
                Bug::SwallowsRejection => {}
                Bug::NamesTheWrongEvent => rejected.push(name(index + 1)),
                Bug::RejectsTheWholeBatch => {
                    arrivals.clear();
                    rejected.extend((0..events.len()).map(name));
                }
                Bug::RejectsNeighbours => {
                    // As a broker does that refuses a whole request.
                    let around = index.saturating_sub(1)..events.len().min(index + 2);
                    arrivals.drain(around.start..around.end - 1);
                    rejected.extend(around.map(name));
                }
                _ => rejected.push(name(index)),
            }
        }
        if self.bug == Bug::DropsLastEventWhenTold && !rejected.is_empty() {
            arrivals.pop();
        }
        self.put(arrivals);
        self.attempted = false;
        Ok(Delivery { rejected })
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        let rest = std::mem::take(&mut self.buffer);
        self.far().held.extend(rest);
        Ok(())
    }
}

struct FarSide {
    bug: Bug,
    far: Arc<Mutex<Far>>,
    hooks: bool,
}

#[async_trait]
impl Destination for FarSide {
    fn sink(&mut self) -> Box<dyn Sink> {
        if self.bug == Bug::OverwritesOnStart {
            self.far.lock().unwrap().held.clear();
        }
        let far = Arc::clone(&self.far);
        Box::new(Fake { bug: self.bug, far, buffer: Vec::new(), sent_before_retry: 0, attempted: false })
    }

    async fn arrivals(&mut self) -> Vec<Arrival> {
        self.far.lock().unwrap().held.clone()
    }

    async fn break_down(&mut self, outage: Outage) -> bool {
        self.far.lock().unwrap().outage = Some(outage);
        self.hooks
    }

    async fn recover(&mut self) {
        self.far.lock().unwrap().outage = None;
    }

    async fn refuse(&mut self, id: &str) -> bool {
        self.far.lock().unwrap().refused = Some(id.to_owned());
        self.hooks
    }
}

fn far_side(bug: Bug, hooks: bool) -> impl FnMut() -> FarSide {
    move || FarSide { bug, far: Arc::default(), hooks }
}

#[tokio::test]
async fn a_correct_sink_passes_with_and_without_hooks() {
    sink_contract(far_side(Bug::None, true)).await;
    sink_contract(far_side(Bug::None, false)).await;
}

#[tokio::test(start_paused = true)]
async fn every_planted_bug_is_caught_by_its_check() {
    let cases = [
        (Bug::DropsLastEvent, "everything arrives", "lost"),
        (Bug::DropsLastEventWhenTold, "rejection", "lost"),
        (Bug::AcknowledgesBeforeFlush, "everything arrives", "lost"),
        (Bug::Reorders, "everything arrives", "out of order"),
        (Bug::RepeatsSilently, "everything arrives", "repeated"),
        (Bug::SwallowsRejection, "rejection", "expected the rejected events [3], got []"),
        (Bug::RejectsTheWholeBatch, "rejection", "expected the rejected events [3]"),
        (Bug::RejectsNeighbours, "rejection", "expected the rejected events [3], got [2, 3, 4]"),
        (Bug::NamesTheWrongEvent, "rejection", "expected the rejected events [3]"),
        (Bug::CorruptsUnicode, "awkward events", "changed"),
        (Bug::CutsLongEvents, "awkward events", "changed"),
        (Bug::EscapesLineBreaksTwice, "awkward events", "changed"),
        (Bug::ForgetsADroppedAttempt, "dropped midway", "lost"),
        (Bug::AcknowledgesWhileDown, "far side down", "while the far side was down"),
        (Bug::SkipsWhatItSentBeforeARetry, "far side breaks halfway", "lost"),
        (Bug::GivesUpWhenDown, "far side down", "not fatal"),
        (Bug::OverwritesOnStart, "new sink", "lost"),
        (Bug::IgnoresTheTransforms, "everything arrives", "invented"),
        (Bug::InventsOnEmptyBatch, "empty batch", "invented"),
        (Bug::Hangs, "empty batch", "does not return"),
    ];
    for (bug, check, words) in cases {
        let found = sink_violations(far_side(bug, true)).await;
        let caught = |v: &Violation| v.check == check && v.problem.contains(words);
        assert!(found.iter().any(caught), "expected `{check}` to say `{words}`, found {found:?}");
    }
}

#[test]
fn a_transformed_event_carries_its_text_in_the_value_only() {
    let transformed = event("a", "b", true);
    assert_eq!(Arrival::from_json(&transformed.raw), None);
    let mut json = Vec::new();
    transformed.write_json(&mut json).unwrap();
    assert_eq!(Arrival::from_json(&json), Some(Arrival { id: "a".to_owned(), text: "b".to_owned() }));
}
