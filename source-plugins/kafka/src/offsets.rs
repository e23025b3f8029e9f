//! The place of a partition's reader: the group's offset, which changes in the transaction of what the records became. Where no
//! sink needs transactions, it is committed once they are delivered.

use crate::{consumer::Turn, lag::Lag};
use headwater_contracts::Staged;
use headwater_kafka::{Assigned, Ended, Membership, TransactionError, Transactions, is_stale};
use headwater_ledger::{Commit, Commits, LedgerError, OffsetsError, Stage, StreamKey};
use rdkafka::{Offset, TopicPartitionList, error::KafkaError};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering};

/// Where the steps of one partition's lane are kept.
pub(crate) struct Offsets {
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) membership: Arc<Membership>,
    pub(crate) assigned: Arc<Assigned>,
    pub(crate) stage: Arc<Stage>,
    pub(crate) turn: Arc<Turn>,
    pub(crate) lag: Arc<Lag>,
    /// Events that are worth a step.
    pub(crate) worth: usize,
    pub(crate) state: Mutex<State>,
}

/// What is known of the steps.
#[derive(Default)]
pub(crate) struct State {
    /// `None`: no sink needs them.
    pub(crate) transactions: Option<Transactions<Commit>>,
    /// A step that turned out to have been committed after whoever asked for it was told that nobody knew.
    arrived: Option<Commit>,
}

impl State {
    pub(crate) fn new(transactions: Option<Transactions<Commit>>) -> Self {
        Self { transactions, arrived: None }
    }
}

impl Commits for Offsets {
    fn commit(&self, stream: &StreamKey, commit: &Commit) -> Result<(), LedgerError> {
        // A panic within a transaction leaves it open, which the next step sees to.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(transactions) = &mut state.transactions {
            let ended = transactions.resolve().map_err(|error| self.of_transaction(error))?;
            if let Some(Ended::Committed(step)) = ended {
                state.arrived = Some(step);
            }
        }
        // A step that waited while the share changed: its records may be staged anew elsewhere.
        if self.turn.closed.load(Ordering::SeqCst) {
            return Err(self.fenced("the group has shared its partitions anew".to_owned()));
        }
        let next = commit.state.as_ref().and_then(Value::as_i64);
        let arrived = state.arrived.take().as_ref() == Some(commit);
        if arrived {
            self.stage.forget(stream, &commit.settled);
        } else {
            match &mut state.transactions {
                Some(transactions) => self.transact(transactions, stream, commit, next)?,
                None => self.deliver(next)?,
            }
        }
        if let Some(next) = next {
            self.lag.committed(next);
        }
        Ok(())
    }

    fn commit_events(&self) -> usize {
        self.worth
    }
}

impl Offsets {
    /// The records of the step, and the offset behind what they were made of, in one transaction.
    fn transact(
        &self,
        transactions: &mut Transactions<Commit>,
        stream: &StreamKey,
        commit: &Commit,
        next: Option<i64>,
    ) -> Result<(), LedgerError> {
        let send = |staged: &[&Staged]| {
            transactions.transact(commit.clone(), staged, |transaction| match (next, &self.assigned.metadata) {
                (Some(next), Some(group)) => transaction.offsets(&self.offset(next)?, group),
                _ => Ok(()),
            })
        };
        self.stage.leave(stream, &commit.settled, send, |error| self.of_transaction(error))
    }

    /// The offset alone: what it stands for is delivered.
    pub(crate) fn deliver(&self, next: Option<i64>) -> Result<(), LedgerError> {
        let Some(next) = next else { return Ok(()) };
        self.membership.commit(&self.topic, self.partition, next).map_err(|error| self.of_client("commit", &error))
    }

    fn offset(&self, next: i64) -> Result<TopicPartitionList, KafkaError> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.topic, self.partition, Offset::Offset(next))?;
        Ok(offsets)
    }

    /// What an error of the group's coordinator means.
    pub(crate) fn of_client(&self, doing: &'static str, error: &KafkaError) -> LedgerError {
        if is_stale(error) {
            return self.fenced(error.to_string());
        }
        self.of_transaction(TransactionError::Unavailable { doing, reason: error.to_string() })
    }

    fn fenced(&self, reason: String) -> LedgerError {
        self.of_transaction(TransactionError::Fenced(reason))
    }

    /// What an error of a transaction means for the partition.
    pub(crate) fn of_transaction(&self, error: TransactionError) -> LedgerError {
        let (partition, group) = (format!("{}/{}", self.topic, self.partition), self.group.clone());
        let error = match error {
            TransactionError::Unavailable { doing, reason } => {
                OffsetsError::Unavailable { partition, group, doing, reason }
            }
            TransactionError::Fenced(reason) => {
                self.turn.fenced.store(true, Ordering::SeqCst);
                OffsetsError::Fenced { partition, group, reason }
            }
            TransactionError::Refused(reason) => OffsetsError::Refused { partition, group, reason },
            // Without records of events nobody is to be told of one.
            error @ TransactionError::Records(_) => {
                OffsetsError::Refused { partition, group, reason: error.to_string() }
            }
        };
        error.into()
    }
}
