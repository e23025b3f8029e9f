//! Records that wait for the commit of their events.

use crate::{Filed, StreamKey};
use headwater_contracts::{ConfigError, Identity, KafkaCluster, Origin, Outbox, Outgoing};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool, atomic::Ordering},
};

/// The outbox: per lane, records in their order.
#[derive(Debug)]
pub struct Stage {
    cluster: KafkaCluster,
    waiting: Mutex<HashMap<StreamKey, Vec<(Identity, Outgoing)>>>,
    joined: AtomicBool,
}

impl Stage {
    /// An empty one, for records of this cluster.
    pub fn new(cluster: KafkaCluster) -> Self {
        Self { cluster, waiting: Mutex::default(), joined: AtomicBool::new(false) }
    }

    /// The cluster.
    pub fn cluster(&self) -> &KafkaCluster {
        &self.cluster
    }

    /// Whether a sink leaves records here: without one, nobody needs transactions.
    pub fn is_joined(&self) -> bool {
        self.joined.load(Ordering::SeqCst)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<StreamKey, Vec<(Identity, Outgoing)>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out the records of these events, in lane order.
    pub fn take(&self, stream: &StreamKey, settled: &[Filed]) -> Vec<(Identity, Outgoing)> {
        let identities: HashSet<&Identity> = settled.iter().map(|filed| &filed.identity).collect();
        let mut waiting = self.waiting();
        let Some(staged) = waiting.get_mut(stream) else { return Vec::new() };
        let (taken, left) = std::mem::take(staged).into_iter().partition(|(identity, _)| identities.contains(identity));
        *staged = left;
        taken
    }

    /// Puts back what was taken and did not leave.
    pub fn put_back(&self, stream: &StreamKey, records: Vec<(Identity, Outgoing)>) {
        let mut waiting = self.waiting();
        let staged = waiting.entry(stream.clone()).or_default();
        let later = std::mem::replace(staged, records);
        staged.extend(later);
    }
}

impl Outbox for Stage {
    fn stage(&self, origin: &Arc<Origin>, identity: Identity, record: Outgoing) {
        let (source, stream) = origin.lane();
        let stream = StreamKey { source: source.to_owned(), stream: stream.to_owned() };
        self.waiting().entry(stream).or_default().push((identity, record));
    }

    fn check(&self, cluster: &KafkaCluster) -> Result<(), ConfigError> {
        if self.cluster.is_same(cluster) {
            self.joined.store(true, Ordering::SeqCst);
            return Ok(());
        }
        let problem = format!(
            "`exactly_once` is possible on one cluster only, that of `state` or of the topics that are read, `{}`: a transaction \
             cannot span two",
            self.cluster.bootstrap_servers
        );
        Err(ConfigError::new("bootstrap_servers", problem))
    }

    fn max_record_bytes(&self, topic: &str) -> Result<usize, String> {
        headwater_kafka::max_record_bytes(&self.cluster, topic)
    }
}
