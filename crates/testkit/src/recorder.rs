//! A sink that remembers, for comparing what was sent with what there was.

use crate::saboteur::{Saboteur, Strike};
use async_trait::async_trait;
use headwater_contracts::{Delivery, Event, Sink, SinkError};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

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
}

/// Everything that has arrived, by event id, in order. Clones share it; it outlives incarnations.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<HashMap<String, Vec<Arrived>>>>);

impl Recorder {
    /// A copy of what has arrived.
    pub fn arrived(&self) -> HashMap<String, Vec<Arrived>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A sink that records here, as long as the saboteur lets it.
    pub fn sink(&self, saboteur: Saboteur) -> Box<dyn Sink> {
        Box::new(RecordingSink { recorder: self.clone(), saboteur })
    }
}

struct RecordingSink {
    recorder: Recorder,
    saboteur: Saboteur,
}

#[async_trait]
impl Sink for RecordingSink {
    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        let strike = self.saboteur.step();
        if strike != Strike::Before {
            let mut all = self.recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
            for event in events {
                all.entry(event.id.clone()).or_default().push(Arrived {
                    raw: event.raw.to_vec(),
                    own_query: event.own_query,
                    suspicious: event.suspicious.is_some(),
                    late: event.late.is_some(),
                });
            }
        }
        match strike {
            Strike::No => Ok(Delivery::default()),
            Strike::Before | Strike::After => Err(SinkError::Fatal("killed by the test".into())),
        }
    }
}
