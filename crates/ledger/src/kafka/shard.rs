//! One partition of the ledger topic: what it says, and the producer that alone may change it.

use super::book::{Book, Entry, Part};
use crate::{Commit, LedgerError, StreamKey};
use headwater_contracts::{ConfigError, KafkaCluster, Staged};
use headwater_kafka::{Context, Ended, TransactionError, Transactions, Verdict, verdict};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
    thread,
    time::Duration,
};

/// Longest wait for a record, before it is asked for again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Attempts at what an unreachable cluster does not answer, before whoever waits is told.
const ATTEMPTS: usize = 6;

/// A partition that is ours.
pub(super) struct Shard {
    topic: String,
    partition: i32,
    transactions: Transactions<Step>,
    /// Apart from the rest: what is known can be asked while a transaction waits for the cluster.
    books: Arc<RwLock<Books>>,
    /// Steps that turned out to have been committed after whoever asked for them was told that nobody knew.
    arrived: HashMap<StreamKey, Commit>,
}

/// What a transaction is for: what the partition then says, and who asked for it.
#[derive(Clone)]
struct Step {
    entries: Vec<Entry>,
    asked: Option<(StreamKey, Commit)>,
}

/// What a partition says, by stream.
pub(super) type Books = BTreeMap<StreamKey, Book>;

impl Shard {
    /// Takes a partition over: whoever held it before can commit nothing any more, and what they committed is read into `books`.
    pub(super) fn take_over(
        cluster: &KafkaCluster,
        topic: &str,
        partition: i32,
        books: Arc<RwLock<Books>>,
    ) -> Result<Self, LedgerError> {
        // Without the group: whoever shares the topic shares its partitions, or fences.
        let id = format!("headwater-{topic}-{partition}");
        let failed = |error| of_transaction(topic, partition, error);
        let mut transactions = Transactions::take_over(cluster, &id).map_err(failed)?;
        // Where a partition ends is not certain while its leader changes; what we have just written is behind all that was committed.
        let text = format!("{:016x}", RandomState::new().build_hasher().finish());
        let mark = Entry::mark(&text);
        let written = transactions.transact(Step { entries: Vec::new(), asked: None }, &[], |transaction| {
            transaction.entry(topic, partition, &mark.key(), mark.value.as_deref())
        });
        written.map_err(failed)?;
        *write(&books) = read(cluster, topic, &[partition], Some(&text))?;
        Ok(Self { topic: topic.to_owned(), partition, transactions, books, arrived: HashMap::new() })
    }

    /// Ends what an earlier step left open. Comes before a step is planned: it may change what there is.
    pub(super) fn resolve(&mut self) -> Result<(), LedgerError> {
        let ended = self.transactions.resolve().map_err(|error| of_transaction(&self.topic, self.partition, error))?;
        let Some(Ended::Committed(Step { entries, asked })) = ended else { return Ok(()) };
        self.take_in(&entries)?;
        self.arrived.extend(asked);
        Ok(())
    }

    /// Whether this step has arrived by now, though it was not known to. Asked once.
    pub(super) fn has_arrived(&mut self, stream: &StreamKey, commit: &Commit) -> bool {
        self.arrived.remove(stream).as_ref() == Some(commit)
    }

    /// Writes entries in a transaction, and takes them in. After [`LedgerError::Unavailable`] it may
    /// or may not have happened, which [`resolve`](Self::resolve) finds out; after any other error nobody sees any of it.
    pub(super) fn transact(&mut self, entries: &[Entry]) -> Result<(), LedgerError> {
        self.send(None, &[], entries).map_err(self.failed())?;
        self.take_in(entries)
    }

    /// Writes records and entries in one transaction; the entries are to be [taken in](Self::take_in).
    pub(super) fn send(
        &mut self,
        asked: Option<(&StreamKey, &Commit)>,
        records: &[&Staged],
        entries: &[Entry],
    ) -> Result<(), TransactionError> {
        let asked = asked.map(|(stream, commit)| (stream.clone(), commit.clone()));
        self.transactions.transact(Step { entries: entries.to_vec(), asked }, records, |transaction| {
            entries.iter().try_for_each(|entry| {
                transaction.entry(&self.topic, self.partition, &entry.key(), entry.value.as_deref())
            })
        })
    }

    /// What an error of a transaction means for the partition.
    pub(super) fn failed(&self) -> impl Fn(TransactionError) -> LedgerError + use<> {
        let (topic, partition) = (self.topic.clone(), self.partition);
        move |error| of_transaction(&topic, partition, error)
    }

    /// What was committed is what there is.
    pub(super) fn take_in(&mut self, entries: &[Entry]) -> Result<(), LedgerError> {
        let mut books = write(&self.books);
        for entry in entries {
            let book = books.entry(entry.stream.clone()).or_default();
            let place = format!("partition {}, just written", self.partition);
            book.take(&entry.part, entry.value.as_deref())
                .map_err(|reason| damaged(&self.topic, &place, entry, &reason))?;
        }
        Ok(())
    }
}

fn of_transaction(topic: &str, partition: i32, error: TransactionError) -> LedgerError {
    let topic = topic.to_owned();
    match error {
        TransactionError::Unavailable { doing, reason } => LedgerError::Unavailable { topic, doing, reason },
        TransactionError::Fenced(reason) => LedgerError::Fenced { topic, partition, reason },
        TransactionError::Refused(reason) => LedgerError::Cluster { topic, reason },
        // Without records of events nobody is to be told of one.
        error @ TransactionError::Records(_) => LedgerError::Cluster { topic, reason: error.to_string() },
    }
}

pub(super) fn write(books: &RwLock<Books>) -> RwLockWriteGuard<'_, Books> {
    books.write().unwrap_or_else(PoisonError::into_inner)
}

/// Reads partitions to their end: what committed transactions have written. With a `mark` the end is nowhere before it.
pub(super) fn read(
    cluster: &KafkaCluster,
    topic: &str,
    partitions: &[i32],
    mark: Option<&str>,
) -> Result<Books, LedgerError> {
    let refused = |error: ConfigError| LedgerError::Cluster { topic: topic.to_owned(), reason: error.to_string() };
    let mut config = headwater_kafka::client(cluster).map_err(refused)?;
    config
        .set("group.id", "headwater-ledger-reader")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest");
    let failed = |error: &KafkaError| unavailable(topic, "read", error);
    let consumer: BaseConsumer<Context> =
        headwater_kafka::create(cluster, &config, Context::new(cluster)).map_err(refused)?;
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning).map_err(|error| failed(&error))?;
    }
    consumer.assign(&assignment).map_err(|error| failed(&error))?;
    let mut books = Books::new();
    let mut open: BTreeSet<i32> = partitions.iter().copied().collect();
    let (mut silent, mut marked) = (0, mark.is_none());
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
                if entry.part == Part::Mark {
                    marked |= entry.value.as_deref() == mark.map(str::as_bytes);
                    continue;
                }
                let place = format!("partition {}, offset {}", message.partition(), message.offset());
                let book = books.entry(entry.stream.clone()).or_default();
                book.take(&entry.part, entry.value.as_deref())
                    .map_err(|reason| damaged(topic, &place, &entry, &reason))?;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) if marked => drop(open.remove(&partition)),
            // The leader does not know yet what it has; it says so again when it does.
            Some(Err(KafkaError::PartitionEOF(_))) => {}
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

/// `place`: the partition and offset of the record.
fn damaged(topic: &str, place: &str, entry: &Entry, reason: &str) -> LedgerError {
    LedgerError::Cluster {
        topic: topic.to_owned(),
        reason: format!(
            "the record `{}` ({place}) cannot be read: {reason}. Something else has written to this topic, or a later version of headwater has. \
             Run that version, restore the topic, or name another `state.topic` to start over",
            String::from_utf8_lossy(&entry.key())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_does_not_decode_is_named_by_topic_partition_and_offset() {
        let entry = Entry::parse(br#"["audit","main","row"]"#, Some(b"{\"number\":")).unwrap();
        let reason = Book::default().take(&entry.part, entry.value.as_deref()).unwrap_err();
        let said = damaged("headwater-ledger", "partition 3, offset 41", &entry, &reason).to_string();
        for word in ["`headwater-ledger`", "partition 3, offset 41", "audit", "row", "EOF"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}
