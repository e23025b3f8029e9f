//! The durable record of what has been read: per stream its coverage, cursor, delivered identities and own requests.
//!
//! One rule: nothing enters the ledger before every sink has acknowledged it, and what enters together enters
//! atomically. Blocking: the runtime calls it from its blocking pool.
//!
//! | store | for |
//! |---|---|
//! | [`FileLedger`] | production: one file, survives crashes, full disks and torn writes |
//! | [`KafkaLedger`] | production: a compacted topic, shared by many instances; exactly once to topics of that cluster |
//! | [`MemoryLedger`] | reads that leave no trace, and tests |

mod again;
mod consumer;
mod file;
mod kafka;
mod memory;
mod record;

pub use again::{Again, Found, Purpose};
pub use consumer::{Consumer, Fed, Feed, OffsetsError, Opened};
pub use file::FileLedger;
pub use kafka::{KafkaLedger, KafkaPlace, Stage};
pub use memory::MemoryLedger;

use headwater_contracts::{Coverage, Event, Identity, Outbox, OwnRequest, Span, Tally, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{path::PathBuf, sync::Arc};
use thiserror::Error;

/// The `start` of a stream whose first run does not know the time yet: its row is there for identities and own requests, and a
/// [commit](Commit::anew) sets the start once the time is known. Before 1970, so that nothing is ever left out because of it.
pub const UNTOLD: Timestamp = match Timestamp::from_timestamp_millis(-1) {
    Some(untold) => untold,
    None => Timestamp::UNIX_EPOCH,
};

/// Names one remote log: the source component and its stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamKey {
    /// The component's name in the pipeline.
    pub source: String,
    /// The stream's name, one of the source's.
    pub stream: String,
}

/// An identity with the event time it is filed under, milliseconds since the epoch (0 if the event has none). The
/// same event always has the same time, so both together are the key; filing by time keeps commits of recent
/// events next to each other on disk, however long the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filed {
    /// Event time, ms.
    pub time: i64,
    /// The identity.
    pub identity: Identity,
}

/// What the ledger knows of a stream, but for the identities.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamRecord {
    /// Where its first run began; [`UNTOLD`] as long as that is not known.
    pub start: Timestamp,
    /// What complete scans have covered.
    pub coverage: Coverage,
    /// The source plugin's own state.
    pub state: Option<Value>,
    /// Identities of events before this may have been forgotten; those of later ones have not. At first 1970: none have. `None`: an
    /// earlier version kept this stream, and did not note it.
    pub forgotten: Option<Timestamp>,
    /// Own requests that no record has been matched with, ascending by `sent`.
    pub own_requests: Vec<OwnRequest>,
    /// When requests were sent, matched or not, ascending, as far back as the last `forget_requests_before`.
    pub calls: Vec<Timestamp>,
    /// The account since the stream's first run.
    pub tally: Tally,
    /// Whether all that is to be read of it has been read. A reading that goes up to the present never is complete.
    pub complete: bool,
}

/// One atomic step of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Commit {
    /// First of all: the stream begins anew, here. Coverage from here on and the plugin's state are gone; identities, requests and
    /// the account stay.
    pub anew: Option<Timestamp>,
    /// Events settled: delivered, dropped by rule, or dead-lettered.
    pub settled: Vec<Filed>,
    /// Ids of own requests whose echo is among them.
    pub consumed: Vec<String>,
    /// The plugin's new state, if it changed.
    pub state: Option<Value>,
    /// A range that a complete scan has read. The store counts the events settled in it, now and before.
    pub covered: Option<Span>,
    /// The stream begins here from now on, if that is earlier than where it began.
    pub start: Option<Timestamp>,
    /// Forget identities of events older than this. The store may take its time over it: until it has, they stay
    /// known, which is true. What was never settled is never known.
    pub forget_before: Option<Timestamp>,
    /// Forget own requests and calls sent before this.
    pub forget_requests_before: Option<Timestamp>,
    /// Added to the stream's account.
    pub tally: Tally,
}

/// Why the ledger could not do it. None of these loses what had been committed.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Another process has it open.
    #[error("the ledger `{}` is in use by another process; two runs on one state would each deliver the same events. Stop the other one, or give this one its own `state.path`", path.display())]
    InUse {
        /// The ledger's file.
        path: PathBuf,
    },
    /// The disk is full. Nothing half-done is left behind, and the same call succeeds once there is space; until
    /// then every call may answer this.
    #[error("no space left for the ledger `{}`: reading stops until there is; nothing is lost", path.display())]
    Full {
        /// The ledger's file.
        path: PathBuf,
    },
    /// The file cannot be created, opened, read or written.
    #[error("cannot {doing} the ledger `{}`: {reason}", path.display())]
    Io {
        /// The ledger's file.
        path: PathBuf,
        /// `open`, `read`, `write`.
        doing: &'static str,
        /// The system's reason, and what to do.
        reason: String,
    },
    /// The cluster of the ledger does not answer, or not now. The same call succeeds once it does.
    #[error("cannot {doing} the ledger in topic `{topic}`: {reason}")]
    Unavailable {
        /// The ledger's topic.
        topic: String,
        /// `find`, `begin`, `read`, `write`, `commit`, `abort`.
        doing: &'static str,
        /// What the client says.
        reason: String,
    },
    /// Another instance has taken the stream over. Nothing of the step is to be seen by anybody.
    #[error("the ledger's partition {partition} of topic `{topic}` belongs to another instance now: {reason}")]
    Fenced {
        /// The ledger's topic.
        topic: String,
        /// Its partition.
        partition: i32,
        /// What the client says.
        reason: String,
    },
    /// Records that were to leave with the step are refused, each for itself. The same step succeeds without them, once their events
    /// are kept elsewhere.
    #[error("the cluster refuses {} records, the first: {}", .0.len(), .0.first().map_or("", |refusal| refusal.reason.as_str()))]
    Refused(Vec<Refusal>),
    /// A consumer's offsets cannot be kept.
    #[error(transparent)]
    Offsets(#[from] OffsetsError),
    /// The cluster refuses, or what the topic holds is no ledger: a person has to look.
    #[error("the ledger in topic `{topic}`: {reason}")]
    Cluster {
        /// The ledger's topic.
        topic: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// An event whose record the cluster will never take.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The event.
    pub event: Event,
    /// The sink whose record it is.
    pub sink: String,
    /// Why.
    pub reason: String,
}

impl LedgerError {
    /// Whether the same call succeeds later, without anybody giving anything up.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Unavailable { .. } | Self::Offsets(OffsetsError::Unavailable { .. }))
    }
}

/// The store behind the guarantees. `commit` and `record_request` are durable when they return.
///
/// A stream exists from its first [`load`](Ledger::load) on; writing to one that was never loaded is an error.
///
/// After an error of `commit`, repeat the same commit, or give the stream up and `load` it again. A failing disk
/// can leave open whether a commit arrived; the store finds out, and never applies the repeated one twice.
pub trait Ledger: Commits {
    /// The record of a stream; a new stream is created, durably, with `start` as its beginning.
    fn load(&self, stream: &StreamKey, start: Timestamp) -> Result<StreamRecord, LedgerError>;

    /// For each identity, in the order given, whether it has been settled already.
    fn known(&self, stream: &StreamKey, identities: &[Filed]) -> Result<Vec<bool>, LedgerError>;

    /// Writes down a request that is about to be sent. One with the same id replaces what was written before: when it
    /// was sent is known better once the server has shown its clock. Writing the same one down again changes nothing.
    fn record_request(&self, stream: &StreamKey, request: &OwnRequest) -> Result<(), LedgerError>;

    /// Every stream with its record and the number of identities kept.
    fn streams(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError>;

    /// Whether this process is the one to read a stream. Where many share a ledger, one of them is.
    fn owns(&self, stream: &StreamKey) -> bool {
        let _ = stream;
        true
    }

    /// Where a sink leaves records that are to change together with the ledger; `None`: it has no such place.
    fn outbox(&self, sink: &str) -> Option<Arc<dyn Outbox>> {
        let _ = sink;
        None
    }
}

/// A ledger that outlives its process, as a whole: for those who look at it, compare it, or begin anew.
pub trait Kept: Ledger {
    /// Every stream with its record and the number of identities kept, also those that nobody has loaded.
    fn all(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError>;

    /// Visits the identities kept of a stream, by ascending time; of one that is not there, none. After an error, what was visited
    /// is right.
    fn identities(&self, stream: &StreamKey, visit: &mut dyn FnMut(Filed)) -> Result<(), LedgerError>;

    /// Forgets a stream, with all that is known of it: its next run is a first one. `false` if there is no such stream.
    fn forget(&self, stream: &StreamKey) -> Result<bool, LedgerError>;
}

/// Where the steps of a lane are kept: all that a lane needs of a ledger, and all that a consumer of topics has of one.
pub trait Commits: Send + Sync + 'static {
    /// Applies one step, all of it or nothing.
    fn commit(&self, stream: &StreamKey, commit: &Commit) -> Result<(), LedgerError>;

    /// Settled events that are worth a commit: beyond it, a commit's fixed cost is small beside that of its events.
    fn commit_events(&self) -> usize {
        500
    }
}
