//! One partition of the ledger topic: what it says, and the producer that alone may change it.

use super::book::{Book, Entry};
use crate::{Commit, LedgerError, StreamKey};
use headwater_contracts::{KafkaCluster, Outgoing};
use headwater_kafka::{Context, Producer, Verdict, verdict};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryFuture, FutureRecord, Producer as _},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    thread,
    time::Duration,
};

/// Longest wait for one answer of the cluster, before it is asked again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Attempts at what an unreachable cluster does not answer, before whoever waits is told.
const ATTEMPTS: usize = 6;
/// Pause where the producer's queue is full.
const FULL: Duration = Duration::from_millis(5);

/// A partition that is ours.
pub(super) struct Shard {
    topic: String,
    partition: i32,
    producer: Producer,
    pub(super) books: Books,
    /// A transaction whose end is not known: it is ended before another begins.
    open: Option<Open>,
    /// Steps that turned out to have been committed after whoever asked for them was told that nobody knew.
    arrived: HashMap<StreamKey, Commit>,
}

/// A transaction under way.
struct Open {
    ending: Ending,
    entries: Vec<Entry>,
    /// The step it is of.
    step: Option<(StreamKey, Commit)>,
}

/// How a transaction is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Commit,
    Abort,
}

/// What a partition says, by stream.
pub(super) type Books = BTreeMap<StreamKey, Book>;

impl Shard {
    /// Takes a partition over: whoever held it before can commit nothing any more, and what they committed is read.
    pub(super) fn take_over(cluster: &KafkaCluster, topic: &str, partition: i32) -> Result<Self, LedgerError> {
        // Without the group: whoever shares the topic shares its partitions, or fences.
        let id = format!("headwater-{topic}-{partition}");
        let options = [
            ("transactional.id", id.as_str()),
            ("linger.ms", "5"),
            ("compression.type", "lz4"),
            // Sizes are the topics' matter, and were compared with it.
            ("message.max.bytes", "1000000000"),
        ];
        let producer = headwater_kafka::producer(cluster, &options).map_err(|error| LedgerError::Cluster {
            topic: topic.to_owned(),
            reason: format!("`{}`: {}", error.field, error.problem),
        })?;
        let mut attempts = 0;
        while let Err(error) = producer.init_transactions(PATIENCE) {
            attempts += 1;
            let retriable = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
            if !retriable || attempts == ATTEMPTS {
                return Err(unavailable(topic, "begin", &error));
            }
            tracing::warn!("the ledger's cluster does not answer yet: {error}");
        }
        let books = read(cluster, topic, &[partition])?;
        Ok(Self { topic: topic.to_owned(), partition, producer, books, open: None, arrived: HashMap::new() })
    }

    /// Ends what an earlier step left open. Comes before a step is planned: it may change what there is.
    pub(super) fn resolve(&mut self) -> Result<(), LedgerError> {
        match self.open.as_ref().map(|open| open.ending) {
            Some(Ending::Commit) => {
                let step = self.open.as_mut().and_then(|open| open.step.take());
                let ended = self.commit(&mut Vec::new());
                match (step, ended.is_ok()) {
                    (Some((stream, commit)), true) => drop(self.arrived.insert(stream, commit)),
                    (step, _) => self.open.iter_mut().for_each(|open| open.step.clone_from(&step)),
                }
                ended
            }
            Some(Ending::Abort) => self.abort(),
            None => Ok(()),
        }
    }

    /// Whether this step has arrived by now, though it was not known to. Asked once.
    pub(super) fn has_arrived(&mut self, stream: &StreamKey, commit: &Commit) -> bool {
        self.arrived.remove(stream).as_ref() == Some(commit)
    }

    /// Writes records and entries in one transaction, and takes the entries in. After [`LedgerError::Unavailable`] it may
    /// or may not have happened, which [`resolve`](Self::resolve) finds out; after any other error nobody sees any of it.
    pub(super) fn transact(
        &mut self,
        step: Option<(&StreamKey, &Commit)>,
        records: &[Outgoing],
        entries: Vec<Entry>,
    ) -> Result<(), LedgerError> {
        self.producer.begin_transaction().map_err(|error| self.failed(&error))?;
        let step = step.map(|(stream, commit)| (stream.clone(), commit.clone()));
        self.open = Some(Open { ending: Ending::Abort, entries, step });
        let mut deliveries = Vec::with_capacity(records.len());
        if let Err(error) = self.write(records, &mut deliveries) {
            self.abort()?;
            return Err(match verdict(&error) {
                Verdict::Rejected => LedgerError::Cluster { topic: self.topic.clone(), reason: error.to_string() },
                Verdict::Retry | Verdict::Fenced => unavailable(&self.topic, "write", &error),
            });
        }
        self.open.iter_mut().for_each(|open| open.ending = Ending::Commit);
        self.commit(&mut deliveries)
    }

    fn write(&self, records: &[Outgoing], deliveries: &mut Vec<DeliveryFuture>) -> Result<(), KafkaError> {
        for record in records {
            deliveries.push(queue(|| headwater_kafka::send(&self.producer, record))?);
        }
        for entry in self.open.iter().flat_map(|open| &open.entries) {
            let key = entry.key();
            queue(|| {
                let mut message = FutureRecord::<[u8], [u8]>::to(&self.topic).partition(self.partition).key(&key[..]);
                if let Some(value) = &entry.value {
                    message = message.payload(&value[..]);
                }
                match self.producer.send_result(message) {
                    Ok(delivery) => Ok(Some(delivery)),
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(None),
                    Err((error, _)) => Err(error),
                }
            })?;
        }
        Ok(())
    }

    /// Ends the transaction; `deliveries` tell why it could not be.
    fn commit(&mut self, deliveries: &mut Vec<DeliveryFuture>) -> Result<(), LedgerError> {
        let mut attempts = 0;
        loop {
            let error = match self.producer.commit_transaction(PATIENCE) {
                Ok(()) => return self.take_in(),
                Err(KafkaError::Transaction(error)) => error,
                Err(error) => return Err(self.failed(&error)),
            };
            if error.is_fatal() {
                return Err(self.failed(&KafkaError::Transaction(error)));
            }
            if error.txn_requires_abort() {
                let refused = deliveries.drain(..).find_map(refusal);
                self.open.iter_mut().for_each(|open| open.ending = Ending::Abort);
                self.abort()?;
                return Err(match refused {
                    Some(reason) => LedgerError::Cluster { topic: self.topic.clone(), reason },
                    None => unavailable(&self.topic, "commit", &KafkaError::Transaction(error)),
                });
            }
            attempts += 1;
            if attempts == ATTEMPTS || !error.is_retriable() {
                return Err(unavailable(&self.topic, "commit", &KafkaError::Transaction(error)));
            }
            tracing::warn!("the ledger's transaction is not committed yet: {error}");
        }
    }

    /// What was committed is what there is.
    fn take_in(&mut self) -> Result<(), LedgerError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        for entry in &open.entries {
            let book = self.books.entry(entry.stream.clone()).or_default();
            book.take(&entry.part, entry.value.as_deref()).map_err(|reason| damaged(&self.topic, entry, &reason))?;
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        let mut attempts = 0;
        while let Err(error) = self.producer.abort_transaction(PATIENCE) {
            attempts += 1;
            let retriable = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
            if !retriable {
                return Err(self.failed(&error));
            }
            if attempts == ATTEMPTS {
                return Err(unavailable(&self.topic, "abort", &error));
            }
        }
        self.open = None;
        Ok(())
    }

    fn failed(&self, error: &KafkaError) -> LedgerError {
        let fatal = matches!(error, KafkaError::Transaction(error) if error.is_fatal());
        if fatal || verdict(error) == Verdict::Fenced {
            return LedgerError::Fenced {
                topic: self.topic.clone(),
                partition: self.partition,
                reason: error.to_string(),
            };
        }
        unavailable(&self.topic, "commit", error)
    }
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

/// Reads partitions to their end: what committed transactions have written.
pub(super) fn read(cluster: &KafkaCluster, topic: &str, partitions: &[i32]) -> Result<Books, LedgerError> {
    let mut config = headwater_kafka::client(cluster)
        .map_err(|error| LedgerError::Cluster { topic: topic.to_owned(), reason: error.to_string() })?;
    config
        .set("group.id", "headwater-ledger-reader")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest");
    let failed = |error: &KafkaError| unavailable(topic, "read", error);
    let consumer: BaseConsumer<Context> =
        BaseConsumer::from_config_and_context(&config, Context::new(cluster)).map_err(|error| failed(&error))?;
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).map_err(|error| failed(&error))?;
    }
    consumer.assign(&assignment).map_err(|error| failed(&error))?;
    let mut books = Books::new();
    let mut open: BTreeSet<i32> = partitions.iter().copied().collect();
    let mut silent = 0;
    while !open.is_empty() {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => {
                silent = 0;
                let Some(entry) = Entry::parse(message.key().unwrap_or_default(), message.payload()) else {
                    return Err(LedgerError::Cluster {
                        topic: topic.to_owned(),
                        reason: format!(
                            "the record at offset {} of partition {} is no part of a ledger: is this topic used for something \
                             else?",
                            message.offset(),
                            message.partition()
                        ),
                    });
                };
                let book = books.entry(entry.stream.clone()).or_default();
                book.take(&entry.part, entry.value.as_deref()).map_err(|reason| damaged(topic, &entry, &reason))?;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error)) if verdict(&error) == Verdict::Retry && silent < ATTEMPTS => {
                silent += 1;
                thread::sleep(Duration::from_millis(100));
            }
            Some(Err(error)) => return Err(failed(&error)),
            None if silent < ATTEMPTS => silent += 1,
            None => return Err(failed(&KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))),
        }
    }
    Ok(books)
}

fn unavailable(topic: &str, doing: &'static str, error: &KafkaError) -> LedgerError {
    LedgerError::Unavailable { topic: topic.to_owned(), doing, reason: error.to_string() }
}

fn damaged(topic: &str, entry: &Entry, reason: &str) -> LedgerError {
    LedgerError::Cluster {
        topic: topic.to_owned(),
        reason: format!("the record `{}` cannot be read: {reason}", String::from_utf8_lossy(&entry.key())),
    }
}
