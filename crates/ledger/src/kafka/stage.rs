//! Records that wait for the commit of their events.

use crate::{Filed, StreamKey};
use headwater_contracts::{ConfigError, Identity, KafkaCluster, Origin, Outbox, Outgoing};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The outbox: per stream, records in lane order.
#[derive(Debug)]
pub(super) struct Stage {
    cluster: KafkaCluster,
    waiting: Mutex<HashMap<StreamKey, Vec<(Identity, Outgoing)>>>,
}

impl Stage {
    pub(super) fn new(cluster: KafkaCluster) -> Self {
        Self { cluster, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<StreamKey, Vec<(Identity, Outgoing)>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out the records of these events, in lane order.
    pub(super) fn take(&self, stream: &StreamKey, settled: &[Filed]) -> Vec<(Identity, Outgoing)> {
        let identities: HashSet<&Identity> = settled.iter().map(|filed| &filed.identity).collect();
        let mut waiting = self.waiting();
        let Some(staged) = waiting.get_mut(stream) else { return Vec::new() };
        let (taken, left) = std::mem::take(staged).into_iter().partition(|(identity, _)| identities.contains(identity));
        *staged = left;
        taken
    }

    /// Puts back what was taken and did not leave.
    pub(super) fn put_back(&self, stream: &StreamKey, records: Vec<(Identity, Outgoing)>) {
        let mut waiting = self.waiting();
        let staged = waiting.entry(stream.clone()).or_default();
        let later = std::mem::replace(staged, records);
        staged.extend(later);
    }
}

impl Outbox for Stage {
    fn stage(&self, origin: &Arc<Origin>, identity: Identity, record: Outgoing) {
        let stream = StreamKey { source: origin.source.clone(), stream: origin.stream.clone() };
        self.waiting().entry(stream).or_default().push((identity, record));
    }

    fn check(&self, cluster: &KafkaCluster) -> Result<(), ConfigError> {
        if self.cluster.is_same(cluster) {
            return Ok(());
        }
        let problem = format!(
            "`exactly_once` is possible on the cluster of the ledger only, `{}` in `state`: a transaction cannot span two",
            self.cluster.bootstrap_servers
        );
        Err(ConfigError::new("bootstrap_servers", problem))
    }

    fn max_record_bytes(&self, topic: &str) -> Result<usize, String> {
        headwater_kafka::max_record_bytes(&self.cluster, topic)
    }
}
