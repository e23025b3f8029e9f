//! A ledger that forgets when it is dropped.

use crate::record::{Row, lies_in};
use crate::{Commit, Commits, Filed, Ledger, LedgerError, Stage, StreamKey, StreamRecord};
use headwater_contracts::{Outbox, OwnRequest, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A ledger in memory: for reads that must leave no trace (`query`) and for tests. Keeps every promise of
/// [`Ledger`] but durability.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    streams: Mutex<BTreeMap<StreamKey, Kept>>,
    stage: Option<Arc<Stage>>,
}

#[derive(Debug)]
struct Kept {
    row: Row,
    settled: BTreeSet<Filed>,
    own_requests: BTreeMap<String, OwnRequest>,
    calls: BTreeSet<(Timestamp, String)>,
}

impl Kept {
    fn record(&self) -> StreamRecord {
        let calls = self.calls.iter().map(|(sent, _)| *sent).collect();
        self.row.clone().record(self.own_requests.values().cloned().collect(), calls)
    }
}

impl MemoryLedger {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one, for a pipeline that needs none: all that it reads are topics, whose offsets are kept in their cluster.
    pub fn beside(stage: Arc<Stage>) -> Self {
        Self { streams: Mutex::default(), stage: Some(stage) }
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<StreamKey, Kept>> {
        // Every step below leaves the map whole, so a panic elsewhere takes nothing from it.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, stream: &StreamKey, work: impl FnOnce(&mut Kept) -> T) -> Result<T, LedgerError> {
        self.streams().get_mut(stream).map(work).ok_or_else(|| LedgerError::Io {
            path: PathBuf::from("memory"),
            doing: "write",
            reason: crate::file::not_loaded(stream),
        })
    }
}

impl Ledger for MemoryLedger {
    fn load(&self, stream: &StreamKey, start: Timestamp) -> Result<StreamRecord, LedgerError> {
        let mut streams = self.streams();
        let kept = streams.entry(stream.clone()).or_insert_with(|| Kept {
            row: Row::new(0, start),
            settled: BTreeSet::new(),
            own_requests: BTreeMap::new(),
            calls: BTreeSet::new(),
        });
        Ok(kept.record())
    }

    fn known(&self, stream: &StreamKey, identities: &[Filed]) -> Result<Vec<bool>, LedgerError> {
        let streams = self.streams();
        let kept = streams.get(stream);
        Ok(identities.iter().map(|filed| kept.is_some_and(|kept| kept.settled.contains(filed))).collect())
    }

    fn record_request(&self, stream: &StreamKey, request: &OwnRequest) -> Result<(), LedgerError> {
        self.write(stream, |kept| {
            if let Some(before) = kept.own_requests.insert(request.id.clone(), request.clone()) {
                kept.calls.remove(&(crate::record::to_ms(before.sent), before.id));
            }
            kept.calls.insert((crate::record::to_ms(request.sent), request.id.clone()));
        })
    }

    fn streams(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError> {
        let streams = self.streams();
        Ok(streams.iter().map(|(key, kept)| (key.clone(), kept.record(), kept.row.identities)).collect())
    }

    fn outbox(&self, sink: &str) -> Option<Arc<dyn Outbox>> {
        self.stage.as_ref().map(|stage| stage.outbox(sink))
    }
}

impl Commits for MemoryLedger {
    fn commit(&self, stream: &StreamKey, commit: &Commit) -> Result<(), LedgerError> {
        self.write(stream, |kept| {
            if let Some(start) = commit.anew {
                let off = kept.row.cut_off(commit);
                let gone = |filed: &&Filed| off.is_some_and(|off| lies_in(filed, off));
                let gone = kept.settled.iter().filter(gone).count() as u64;
                kept.row.begin_anew(start, gone);
            }
            let fresh: Vec<Filed> =
                commit.settled.iter().filter(|filed| kept.settled.insert(**filed)).copied().collect();
            let gaps = kept.row.newly_covered(commit);
            let in_gaps = |filed: &&Filed| gaps.iter().any(|gap| lies_in(filed, *gap));
            let found = if gaps.is_empty() { 0 } else { kept.settled.iter().filter(in_gaps).count() as u64 };
            kept.row.apply(commit, &fresh, found);
            for id in &commit.consumed {
                kept.own_requests.remove(id);
            }
            if let Some(before) = commit.forget_before {
                let before = before.timestamp_millis();
                kept.settled.retain(|filed| filed.time == 0 || filed.time >= before);
            }
            if let Some(before) = commit.forget_requests_before {
                let before = crate::record::to_ms(before);
                kept.calls.retain(|(sent, _)| *sent >= before);
                kept.own_requests.retain(|_, request| crate::record::to_ms(request.sent) >= before);
            }
            kept.row.identities = kept.settled.len() as u64;
        })
    }
}
