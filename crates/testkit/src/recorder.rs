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
    open: HashMap<String, Filed>,
    /// Ids of what the ledger has been seen to hold; it must not come again, also once the ledger has forgotten it.
    settled: HashSet<String>,
    incarnation: usize,
}

/// Everything that has arrived, by event id, in order. Clones share it; it outlives incarnations.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<Memory>>);

impl Recorder {
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
        let (ids, filed): (Vec<_>, Vec<_>) = memory.open.drain().unzip();
        let held = known(&filed);
        for ((id, filed), held) in ids.into_iter().zip(filed).zip(held) {
            if held {
                memory.settled.insert(id);
            } else {
                memory.open.insert(id, filed);
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
            let Memory { arrived, open, settled, .. } = &mut *memory;
            for event in events {
                let copies = arrived.entry(event.id.clone()).or_default();
                let arrival = match copies.last() {
                    None => {
                        let time = event.time.map_or(0, |time| time.timestamp_millis());
                        open.insert(event.id.clone(), Filed { time, identity: event.identity });
                        Arrival::First
                    }
                    Some(last) if last.incarnation == self.incarnation || settled.contains(&event.id) => {
                        Arrival::Repeated
                    }
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
