//! Events that leave together with the ledger's word on them.

use crate::{ConfigError, Event, KafkaCluster, Timestamp};
use bytes::Bytes;

/// A record on its way to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The topic.
    pub topic: String,
    /// The record's key; `None`: any partition will do.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Bytes,
    /// Its headers, in order.
    pub headers: Vec<(String, Bytes)>,
    /// Its `CreateTime`.
    pub time: Timestamp,
}

impl Outgoing {
    /// What it takes up in a batch of its own, bytes: generously.
    pub fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 10).sum::<usize>();
        self.value.len() + self.key.as_ref().map_or(0, Bytes::len) + headers + 256
    }
}

/// A record that waits for the commit of its event.
#[derive(Debug, Clone)]
pub struct Staged {
    /// The event, for the dead letters, should the cluster refuse its record.
    pub event: Event,
    /// The record.
    pub record: Outgoing,
    /// Why the cluster may refuse it, as far as its topic's settings tell. The cluster decides: such a record travels alone, so that
    /// a refusal is its own.
    pub doubt: Option<String>,
    /// Most bytes that the topic takes at once.
    pub most: usize,
}

/// Where a sink's records wait for the ledger's commit of the events they are of, and leave in the same transaction: readers see an
/// event exactly if the ledger knows it. What is staged and never committed is never seen.
pub trait Outbox: Send + Sync + 'static {
    /// Stages a record of an event, in the order of its lane.
    fn stage(&self, staged: Staged);

    /// Whether records for this cluster can wait here.
    fn check(&self, cluster: &KafkaCluster) -> Result<(), ConfigError>;
}
