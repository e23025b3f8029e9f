//! Transactions of one producer, one after the other: the next begins once it is known how the last one ended.

use crate::{Producer, Verdict, send, verdict};
use headwater_contracts::{KafkaCluster, Outgoing};
use rdkafka::{
    Message, TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryFuture, FutureRecord, Producer as _},
};
use std::{thread, time::Duration};
use thiserror::Error;

/// Longest wait for one answer of the cluster, before it is asked again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Attempts at what an unreachable cluster does not answer, before whoever waits is told.
const ATTEMPTS: usize = 6;
/// Pause where the producer's queue is full.
const FULL: Duration = Duration::from_millis(5);

/// Why a transaction did not happen, or is not known to have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransactionError {
    /// The cluster does not answer, or not now. Whether it happened shows [`Transactions::resolve`].
    #[error("{reason}")]
    Unavailable {
        /// `begin`, `write`, `commit`, `abort`.
        doing: &'static str,
        /// What the client says.
        reason: String,
    },
    /// Somebody else has taken over, and nobody sees any of it.
    #[error("{0}")]
    Fenced(String),
    /// The cluster refuses what it holds, and will do so again: a person has to look. Nobody sees any of it.
    #[error("{0}")]
    Refused(String),
}

/// How a transaction ended that was left open, and what it was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended<S> {
    /// Everybody sees it.
    Committed(S),
    /// Nobody does.
    Aborted(S),
}

/// The transactions of one transactional id. Each is for a step `S`, which comes back when it is known how it ended.
pub struct Transactions<S> {
    producer: Producer,
    /// One whose end is not known: it is ended before another begins.
    open: Option<Open<S>>,
}

struct Open<S> {
    ending: Ending,
    step: S,
}

/// How a transaction is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Commit,
    Abort,
}

/// A transaction that is being filled.
pub struct Filling<'a> {
    producer: &'a Producer,
    deliveries: Vec<DeliveryFuture>,
}

impl Filling<'_> {
    /// Adds a record.
    pub fn record(&mut self, record: &Outgoing) -> Result<(), KafkaError> {
        let delivery = queue(|| send(self.producer, record))?;
        self.deliveries.push(delivery);
        Ok(())
    }

    /// Adds a record of a partition; without a value, a tombstone.
    pub fn entry(&mut self, topic: &str, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<(), KafkaError> {
        queue(|| {
            let mut message = FutureRecord::<[u8], [u8]>::to(topic).partition(partition).key(key);
            if let Some(value) = value {
                message = message.payload(value);
            }
            match self.producer.send_result(message) {
                Ok(delivery) => Ok(Some(delivery)),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(None),
                Err((error, _)) => Err(error),
            }
        })
        .map(drop)
    }

    /// Adds offsets of a consumer's group. They are refused if the group has shared its partitions anew since `group` was
    /// true.
    pub fn offsets(&mut self, offsets: &TopicPartitionList, group: &ConsumerGroupMetadata) -> Result<(), KafkaError> {
        let mut attempts = 0;
        loop {
            match self.producer.send_offsets_to_transaction(offsets, group, PATIENCE) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && attempts < ATTEMPTS => {
                    attempts += 1;
                    tracing::debug!("offsets are not taken yet: {error}");
                }
                done => return done,
            }
        }
    }
}

impl<S: Clone> Transactions<S> {
    /// Takes a transactional id over: whoever used it before can commit nothing any more, and what they left open has ended.
    /// Blocking, as all here.
    pub fn take_over(cluster: &KafkaCluster, id: &str) -> Result<Self, TransactionError> {
        let options = [
            ("transactional.id", id),
            ("linger.ms", "5"),
            ("compression.type", "lz4"),
            // Sizes are the topics' matter, and were compared with it.
            ("message.max.bytes", "1000000000"),
        ];
        let producer = crate::producer(cluster, &options)
            .map_err(|error| TransactionError::Refused(format!("`{}`: {}", error.field, error.problem)))?;
        let mut attempts = 0;
        while let Err(error) = producer.init_transactions(PATIENCE) {
            attempts += 1;
            let retriable = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
            if !retriable || attempts == ATTEMPTS {
                return Err(unavailable("begin", &error));
            }
            tracing::warn!("the cluster does not answer yet: {error}");
        }
        Ok(Self { producer, open: None })
    }

    /// Ends what an earlier step left open, and says how. Comes before a step is planned: it may change what there is.
    pub fn resolve(&mut self) -> Result<Option<Ended<S>>, TransactionError> {
        let Some(ending) = self.open.as_ref().map(|open| open.ending) else { return Ok(None) };
        let step = self.open.as_ref().map(|open| open.step.clone());
        match ending {
            Ending::Commit => self.commit(&mut Vec::new()).map(|()| step.map(Ended::Committed)),
            Ending::Abort => self.abort().map(|()| step.map(Ended::Aborted)),
        }
    }

    /// Fills a transaction and commits it. After [`TransactionError::Unavailable`] it may or may not have happened, which
    /// [`resolve`](Self::resolve) finds out; after any other error nobody sees any of it.
    pub fn transact(
        &mut self,
        step: S,
        fill: impl FnOnce(&mut Filling<'_>) -> Result<(), KafkaError>,
    ) -> Result<(), TransactionError> {
        self.producer.begin_transaction().map_err(|error| failed(&error))?;
        self.open = Some(Open { ending: Ending::Abort, step });
        let mut filling = Filling { producer: &self.producer, deliveries: Vec::new() };
        let filled = fill(&mut filling);
        let mut deliveries = filling.deliveries;
        if let Err(error) = filled {
            self.abort()?;
            return Err(match verdict(&error) {
                Verdict::Rejected => TransactionError::Refused(error.to_string()),
                Verdict::Retry | Verdict::Fenced if is_stale(&error) => TransactionError::Fenced(error.to_string()),
                Verdict::Retry | Verdict::Fenced => unavailable("write", &error),
            });
        }
        self.open.iter_mut().for_each(|open| open.ending = Ending::Commit);
        self.commit(&mut deliveries)
    }

    /// Ends the transaction; `deliveries` tell why it could not be.
    fn commit(&mut self, deliveries: &mut Vec<DeliveryFuture>) -> Result<(), TransactionError> {
        let mut attempts = 0;
        loop {
            let error = match self.producer.commit_transaction(PATIENCE) {
                Ok(()) => {
                    self.open = None;
                    return Ok(());
                }
                Err(KafkaError::Transaction(error)) => error,
                Err(error) => return Err(failed(&error)),
            };
            if error.is_fatal() {
                return Err(failed(&KafkaError::Transaction(error)));
            }
            if error.txn_requires_abort() {
                let refused = deliveries.drain(..).find_map(refusal);
                self.open.iter_mut().for_each(|open| open.ending = Ending::Abort);
                self.abort()?;
                return Err(match refused {
                    Some(reason) => TransactionError::Refused(reason),
                    None => unavailable("commit", &KafkaError::Transaction(error)),
                });
            }
            attempts += 1;
            if attempts == ATTEMPTS || !error.is_retriable() {
                return Err(unavailable("commit", &KafkaError::Transaction(error)));
            }
            tracing::warn!("a transaction is not committed yet: {error}");
        }
    }

    fn abort(&mut self) -> Result<(), TransactionError> {
        let mut attempts = 0;
        while let Err(error) = self.producer.abort_transaction(PATIENCE) {
            attempts += 1;
            let retriable = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
            if !retriable {
                return Err(failed(&error));
            }
            if attempts == ATTEMPTS {
                return Err(unavailable("abort", &error));
            }
        }
        self.open = None;
        Ok(())
    }
}

/// Whether a group refuses offsets because it has shared its partitions anew.
pub fn is_stale(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::IllegalGeneration | Code::UnknownMemberId | Code::FencedInstanceId | Code::RebalanceInProgress)
    )
}

fn failed(error: &KafkaError) -> TransactionError {
    let fatal = matches!(error, KafkaError::Transaction(error) if error.is_fatal());
    if fatal || verdict(error) == Verdict::Fenced {
        return TransactionError::Fenced(error.to_string());
    }
    unavailable("commit", error)
}

fn unavailable(doing: &'static str, error: &KafkaError) -> TransactionError {
    TransactionError::Unavailable { doing, reason: error.to_string() }
}

/// Hands a record over, waiting while the queue is full.
fn queue(mut send: impl FnMut() -> Result<Option<DeliveryFuture>, KafkaError>) -> Result<DeliveryFuture, KafkaError> {
    loop {
        match send()? {
            Some(delivery) => return Ok(delivery),
            None => thread::sleep(FULL),
        }
    }
}

/// Why the cluster took a record for good as none of its own, if it did.
fn refusal(delivery: DeliveryFuture) -> Option<String> {
    match futures::FutureExt::now_or_never(delivery)? {
        Ok(Err((error, message))) if verdict(&error) == Verdict::Rejected => {
            Some(format!("topic `{}` refuses a record: {error}", message.topic()))
        }
        _ => None,
    }
}
