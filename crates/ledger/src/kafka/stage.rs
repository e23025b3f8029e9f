//! Records that wait for the commit of their events.

use crate::{Filed, LedgerError, Refusal, StreamKey};
use headwater_contracts::{ConfigError, Identity, KafkaCluster, Outbox, Staged};
use headwater_kafka::TransactionError;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool, atomic::Ordering},
};

/// The outbox of all sinks: per lane, records in their order.
#[derive(Debug)]
pub struct Stage {
    cluster: KafkaCluster,
    waiting: Mutex<HashMap<StreamKey, Vec<Waiting>>>,
    joined: AtomicBool,
}

#[derive(Debug)]
struct Waiting {
    staged: Staged,
    /// Whose record it is.
    sink: Arc<str>,
}

/// The outbox of one sink.
struct Door {
    stage: Arc<Stage>,
    sink: Arc<str>,
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

    /// Where this sink leaves its records.
    pub fn outbox(self: &Arc<Self>, sink: &str) -> Arc<dyn Outbox> {
        Arc::new(Door { stage: self.clone(), sink: sink.into() })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<StreamKey, Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out the records of these events, in lane order: they have left already.
    pub fn forget(&self, stream: &StreamKey, settled: &[Filed]) {
        self.take(stream, settled);
    }

    fn take(&self, stream: &StreamKey, settled: &[Filed]) -> Vec<Waiting> {
        let identities: HashSet<&Identity> = settled.iter().map(|filed| &filed.identity).collect();
        let mut waiting = self.waiting();
        let Some(staged) = waiting.get_mut(stream) else { return Vec::new() };
        let (taken, left) =
            std::mem::take(staged).into_iter().partition(|one| identities.contains(&one.staged.event.identity));
        *staged = left;
        taken
    }

    /// Lets the records of these events leave by `send`. After an error they wait here again, but for those that the cluster refuses:
    /// the error names their events, and the same step succeeds without them.
    pub fn leave(
        &self,
        stream: &StreamKey,
        settled: &[Filed],
        send: impl FnOnce(&[&Staged]) -> Result<(), TransactionError>,
        failed: impl FnOnce(TransactionError) -> LedgerError,
    ) -> Result<(), LedgerError> {
        let taken = self.take(stream, settled);
        let staged: Vec<&Staged> = taken.iter().map(|one| &one.staged).collect();
        let Err(error) = send(&staged) else { return Ok(()) };
        let TransactionError::Records(mut reasons) = error else {
            self.put_back(stream, taken);
            return Err(failed(error));
        };
        let mut refusals = Vec::new();
        let mut left = Vec::new();
        for (index, one) in taken.into_iter().enumerate() {
            match reasons.remove(&index) {
                Some(reason) => refusals.push(Refusal { event: one.staged.event, sink: one.sink.to_string(), reason }),
                None => left.push(one),
            }
        }
        self.put_back(stream, left);
        Err(LedgerError::Refused(refusals))
    }

    fn put_back(&self, stream: &StreamKey, records: Vec<Waiting>) {
        let mut waiting = self.waiting();
        let staged = waiting.entry(stream.clone()).or_default();
        let later = std::mem::replace(staged, records);
        staged.extend(later);
    }
}

impl Outbox for Door {
    fn stage(&self, staged: Staged) {
        let (source, stream) = staged.event.origin.lane();
        let stream = StreamKey { source: source.to_owned(), stream: stream.to_owned() };
        self.stage.waiting().entry(stream).or_default().push(Waiting { staged, sink: self.sink.clone() });
    }

    fn check(&self, cluster: &KafkaCluster) -> Result<(), ConfigError> {
        if self.stage.cluster.is_same(cluster) {
            self.stage.joined.store(true, Ordering::SeqCst);
            return Ok(());
        }
        let problem = format!(
            "`exactly_once` is possible on one cluster only, that of `state` or of the topics that are read, `{}`: a transaction \
             cannot span two",
            self.stage.cluster.bootstrap_servers
        );
        Err(ConfigError::new("bootstrap_servers", problem))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Test code: a panic is how it fails.
mod tests {
    use super::*;
    use chrono::DateTime;
    use headwater_contracts::{Event, Origin, Outgoing, OwnQueryPolicy};
    use std::collections::BTreeMap;

    fn staged(number: u8) -> Staged {
        let origin = Origin {
            source: "a".into(),
            provider: "p".into(),
            stream: "s".into(),
            own_query_policy: OwnQueryPolicy::default(),
            read_by: None,
            simulated: false,
        };
        let time = DateTime::UNIX_EPOCH;
        let event = Event {
            origin: origin.into(),
            id: number.to_string(),
            identity: Identity::of(&[&[number]]),
            time: None,
            observed: time,
            own_query: false,
            suspicious: None,
            late: None,
            raw: "{}".into(),
            value: None,
            encoded: None,
            metadata: None,
            index: 0,
        };
        let record = Outgoing { topic: "t".into(), key: None, value: "{}".into(), headers: vec![], time };
        Staged { event, record, doubt: None, most: usize::MAX }
    }

    #[test]
    fn what_is_refused_leaves_with_its_sink_and_the_rest_waits() {
        let stage = Arc::new(Stage::new(KafkaCluster::default()));
        let outbox = stage.outbox("soc");
        (1..=3).for_each(|number| outbox.stage(staged(number)));
        let stream = StreamKey { source: "a".into(), stream: "s".into() };
        let settled = [1, 2, 3].map(|number| Filed { time: 0, identity: staged(number).event.identity });
        let failed = |error: TransactionError| LedgerError::Cluster { topic: "l".into(), reason: error.to_string() };
        let leave = |fails: Result<(), TransactionError>| {
            let mut seen = Vec::new();
            let send = |staged: &[&Staged]| {
                seen = staged.iter().map(|one| one.event.id.clone()).collect();
                fails
            };
            let left = stage.leave(&stream, &settled, send, failed);
            (seen, left)
        };
        let (seen, left) = leave(Err(TransactionError::Records(BTreeMap::from([(1, "too old".into())]))));
        assert_eq!(seen, ["1", "2", "3"]);
        let LedgerError::Refused(refusals) = left.unwrap_err() else { unreachable!("it names records") };
        let named: Vec<_> =
            refusals.iter().map(|r| (r.event.id.as_str(), r.sink.as_str(), r.reason.as_str())).collect();
        assert_eq!(named, [("2", "soc", "too old")]);
        let (seen, left) = leave(Err(TransactionError::Fenced("gone".into())));
        assert!(seen == ["1", "3"] && matches!(left, Err(LedgerError::Cluster { .. })));
        assert_eq!(leave(Ok(())).0, ["1", "3"]);
        assert_eq!(leave(Ok(())).0, <[&str; 0]>::default());
    }
}
