//! Logs that keep their readers' places themselves: topics. Their offsets take the ledger's place.

use crate::{Commits, LedgerError};
use headwater_contracts::Event;
use std::{collections::BTreeMap, sync::Arc};
use thiserror::Error;
use tokio::sync::mpsc;

/// What this instance reads of topics, as long as its share of their partitions is the same.
pub trait Consumer: Send + Sync + 'static {
    /// The partitions that are ours, each a stream of its own.
    fn streams(&self) -> Vec<String>;

    /// Takes a partition over from whoever read it before, finds the place to go on from, and reads. Once for each stream, but
    /// for errors that [pass](LedgerError::passes), after which it may be tried again. Blocking.
    fn open(&self, stream: &str) -> Result<Opened, LedgerError>;
}

/// A partition that is being read.
pub struct Opened {
    /// What is read. Dropped, the reading ends.
    pub feed: Feed,
    /// Where the lane's steps are kept; the state of a step is the offset to go on from.
    pub commits: Arc<dyn Commits>,
    /// What was lost before it could be read, if anything was.
    pub gap: Option<String>,
}

/// What a partition's reading brings, in order; it waits while nobody takes it.
pub type Feed = mpsc::Receiver<Fed>;

/// A piece of it.
#[derive(Debug)]
pub enum Fed {
    /// Records.
    Batch {
        /// The events of those that are some.
        events: Vec<Event>,
        /// Those that cannot be read, and why.
        unreadable: Vec<(Event, String)>,
        /// Those that are passed by, counted by rule.
        dropped: BTreeMap<String, u64>,
        /// The offset behind all of them.
        next: i64,
    },
    /// Nothing has come for a moment: what is settled may be committed.
    Quiet,
    /// All that there is has been read.
    CaughtUp,
    /// Nothing can be read now, and why.
    Stalled(String),
}

/// Why a consumer's offsets cannot be kept. What is committed stays so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OffsetsError {
    /// The cluster does not answer, or not now. The same call succeeds once it does.
    #[error("cannot {doing} the offset of `{partition}` in group `{group}`: {reason}")]
    Unavailable {
        /// Topic and partition.
        partition: String,
        /// The group.
        group: String,
        /// `begin`, `read`, `write`, `commit`, `abort`.
        doing: &'static str,
        /// What the client says.
        reason: String,
    },
    /// Another instance reads the partition now. Nothing of the step is to be seen by anybody.
    #[error("`{partition}` belongs to another instance of group `{group}` now: {reason}")]
    Fenced {
        /// Topic and partition.
        partition: String,
        /// The group.
        group: String,
        /// What the client says.
        reason: String,
    },
    /// The cluster refuses, and will do so again: a person has to look.
    #[error("group `{group}` cannot go on with `{partition}`: {reason}")]
    Refused {
        /// Topic and partition.
        partition: String,
        /// The group.
        group: String,
        /// What is wrong, and what to do.
        reason: String,
    },
}
