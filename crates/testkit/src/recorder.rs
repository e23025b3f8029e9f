//! A sink that remembers, for comparing what was sent with what there was.

use crate::saboteur::{Saboteur, Strike};
use async_trait::async_trait;
use headwater_contracts::{Delivery, Event, Sink, SinkError};
use headwater_ledger::Filed;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What an arrival is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The first with this id.
    First,
    /// A copy, explained: an earlier incarnation was killed after delivering it and before committing it.
    Again,
    /// A copy, unexplained: the ledger held the event when this incarnation began, or this incarnation delivered it twice.
    Repeated,
}

/// An event as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// The provider's bytes.
    pub raw: Vec<u8>,
    /// Whether it was marked as an own query.
    pub own_query: bool,
    /// The remark on an imitation, if any.
    pub suspicious: bool,
    /// Whether it was marked as late.
    pub late: bool,
    /// Whether it should have come at all.
    pub arrival: Arrival,
    /// Which incarnation delivered it, from 1.
    incarnation: usize,
}

#[derive(Debug, Default)]
struct Memory {
    arrived: HashMap<String, Vec<Arrived>>,
    /// Arrived, and not seen in the ledger yet.
    open: HashMap<Key, Filed>,
    /// What the ledger has been seen to hold; it must not come again, also once the ledger has forgotten it.
    settled: HashSet<Key>,
    incarnation: usize,
    /// Whether another content under the same id is another arrival.
    by_content: bool,
}

/// An event's id, and its bytes if they count.
type Key = (String, Option<Vec<u8>>);

/// Everything that has arrived, by event id, in order. Clones share it; it outlives incarnations.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Memory>>);

impl Recorder {
    /// One for a source whose events may change under their ids: each content may arrive once.
    pub fn by_content() -> Self {
        Self(Arc::new(Mutex::new(Memory { by_content: true, ..Memory::default() })))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of what has arrived.
    pub fn arrived(&self) -> HashMap<String, Vec<Arrived>> {
        self.memory().arrived.clone()
    }

    /// Begins an incarnation: notes which arrived events the ledger holds by now, which `known` tells, and returns a sink
    /// that records here, as long as the saboteur lets it.
    pub fn sink(&self, saboteur: Saboteur, known: impl FnOnce(&[Filed]) -> Vec<bool>) -> Box<dyn Sink> {
        let mut memory = self.memory();
        memory.incarnation += 1;
        let (keys, filed): (Vec<_>, Vec<_>) = memory.open.drain().unzip();
        let held = known(&filed);
        for ((key, filed), held) in keys.into_iter().zip(filed).zip(held) {
            if held {
                memory.settled.insert(key);
            } else {
                memory.open.insert(key, filed);
            }
        }
        Box::new(RecordingSink { recorder: self.clone(), saboteur, incarnation: memory.incarnation })
    }
}

struct RecordingSink {
    recorder: Recorder,
    saboteur: Saboteur,
    incarnation: usize,
}

#[async_trait]
impl Sink for RecordingSink {
    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        let strike = self.saboteur.step();
        if strike != Strike::Before {
            let mut memory = self.recorder.memory();
            let Memory { arrived, open, settled, by_content, .. } = &mut *memory;
            for event in events {
                let copies = arrived.entry(event.id.clone()).or_default();
                let key = (event.id.clone(), by_content.then(|| event.raw.to_vec()));
                let arrival = match copies.iter().rfind(|copy| !*by_content || copy.raw == event.raw) {
                    None => {
                        let time = event.time.map_or(0, |time| time.timestamp_millis());
                        open.insert(key, Filed { time, identity: event.identity });
                        Arrival::First
                    }
                    Some(last) if last.incarnation == self.incarnation || settled.contains(&key) => Arrival::Repeated,
                    Some(_) => Arrival::Again,
                };
                copies.push(Arrived {
                    raw: event.raw.to_vec(),
                    own_query: event.own_query,
                    suspicious: event.suspicious.is_some(),
                    late: event.late.is_some(),
                    arrival,
                    incarnation: self.incarnation,
                });
            }
        }
        match strike {
            Strike::No => Ok(Delivery::default()),
            Strike::Before | Strike::After => Err(SinkError::Fatal("killed by the test".into())),
        }
    }
}
