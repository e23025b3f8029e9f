//! Events that leave together with the ledger's word on them.

use crate::{ConfigError, Identity, KafkaCluster, Origin, Timestamp};
use bytes::Bytes;
use std::sync::Arc;

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

/// Where records wait for the ledger's commit of the events they are of, and leave in the same transaction: readers see an
/// event exactly if the ledger knows it. What is staged and never committed is never seen.
pub trait Outbox: Send + Sync + 'static {
    /// Stages the records of one event of a stream, in lane order.
    fn stage(&self, origin: &Arc<Origin>, identity: Identity, record: Outgoing);

    /// Whether records for this cluster can wait here.
    fn check(&self, cluster: &KafkaCluster) -> Result<(), ConfigError>;

    /// Largest record that the cluster takes in a topic, in bytes, or why that cannot be told now. Blocking.
    fn max_record_bytes(&self, topic: &str) -> Result<usize, String>;
}
