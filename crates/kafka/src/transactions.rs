//! Transactions of one producer, one after the other: the next begins once it is known how the last one ended.

use crate::{BATCH_SIZE, Producer, Verdict, explain, refused, send, topic::obstacle, verdict};
use futures::FutureExt as _;
use headwater_contracts::{KafkaCluster, Staged};
use rdkafka::{
    TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryFuture, FutureRecord, Producer as _},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    thread,
    time::{Duration, Instant},
};
use thiserror::Error;

/// Longest wait for one answer of the cluster, before it is asked again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Attempts at what an unreachable cluster does not answer, before whoever waits is told.
const ATTEMPTS: usize = 6;
/// Attempts that something left over from an earlier one may meet.
const AGAIN: usize = 50;
/// Pause between these.
const AFTERMATH: Duration = Duration::from_millis(50);
/// Pause where an answer is about to come.
const AT_ONCE: Duration = Duration::from_millis(1);
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
    /// The cluster refuses these records, by their places, each for itself; it takes the others. Nobody sees any of it.
    #[error("{} records are refused", .0.len())]
    Records(BTreeMap<usize, String>),
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
    brokers: String,
    /// One whose end is not known: it is ended before another begins.
    open: Option<Open<S>>,
    /// Whether the last one was undone: the client may still be throwing away what was on its way, and does not tell that from what
    /// is handed over next (`rd_kafka_purge` of an abort does not block). So what is to be committed next is looked at first.
    undone: bool,
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
    deliveries: Vec<Sent>,
    /// By topic, bytes that may be on their way to it together.
    waiting: HashMap<&'a str, usize>,
}

/// Something that was handed over.
struct Sent {
    /// Its place among the records of events, if it is one.
    place: Option<usize>,
    topic: String,
    delivery: DeliveryFuture,
    /// What became of it, once that is known.
    fate: Option<Result<(), KafkaError>>,
}

impl Sent {
    fn new(place: Option<usize>, topic: &str, delivery: DeliveryFuture) -> Self {
        Self { place, topic: topic.to_owned(), delivery, fate: None }
    }

    /// What became of it. The client knows by now, and tells it from another thread.
    fn fate(&mut self) -> Option<&Result<(), KafkaError>> {
        let asked = Instant::now();
        while self.fate.is_none() {
            self.fate = (&mut self.delivery).now_or_never().map(|answer| match answer {
                Ok(Ok(_)) => Ok(()),
                Ok(Err((error, _))) => Err(error),
                Err(_) => Err(KafkaError::Canceled),
            });
            if self.fate.is_none() {
                if asked.elapsed() > PATIENCE {
                    return None;
                }
                thread::sleep(AT_ONCE);
            }
        }
        self.fate.as_ref()
    }

    fn is_taken(&mut self) -> bool {
        matches!(self.fate(), Some(Ok(())))
    }
}

/// How an attempt has ended that is over.
enum Told {
    Committed,
    /// It would have been, but for what was left out.
    Taken,
    /// Of this one, which travelled alone, it is known now.
    Refused(usize, String),
    /// These were refused together: not each of them has to be at fault.
    Suspects(Vec<usize>),
    /// What was to undo an earlier attempt has met this one.
    Again,
}

/// Why a transaction is not committed.
enum Uncommitted {
    /// It was undone.
    Aborted(KafkaError),
    /// Anything else.
    Failed(TransactionError),
}

impl<'a> Filling<'a> {
    /// Adds the record at a place. A topic that takes little at once gets no more than that at once.
    fn record(&mut self, place: usize, staged: &'a Staged) -> Result<(), KafkaError> {
        let record = &staged.record;
        let size = record.size();
        if self.waiting.get(record.topic.as_str()).is_some_and(|waiting| waiting + size > staged.most) {
            self.flush()?;
        }
        let delivery = queue(|| send(self.producer, record))?;
        *self.waiting.entry(&record.topic).or_default() += size;
        self.deliveries.push(Sent::new(Some(place), &record.topic, delivery));
        Ok(())
    }

    /// Adds the record at a place; `alone`, nothing else is on its way with it.
    fn one(&mut self, place: usize, staged: &'a Staged, alone: bool) -> Result<(), KafkaError> {
        if alone {
            self.flush()?;
        }
        self.record(place, staged)?;
        if alone { self.flush() } else { Ok(()) }
    }

    /// Waits until the cluster has answered for everything so far.
    fn flush(&mut self) -> Result<(), KafkaError> {
        self.waiting.clear();
        self.producer.flush(PATIENCE)
    }

    /// Adds a record of a partition; without a value, a tombstone.
    pub fn entry(&mut self, topic: &str, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<(), KafkaError> {
        let delivery = queue(|| {
            let mut message = FutureRecord::<[u8], [u8]>::to(topic).partition(partition).key(key);
            if let Some(value) = value {
                message = message.payload(value);
            }
            match self.producer.send_result(message) {
                Ok(delivery) => Ok(Some(delivery)),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(None),
                Err((error, _)) => Err(error),
            }
        })?;
        self.deliveries.push(Sent::new(None, topic, delivery));
        Ok(())
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
            (BATCH_SIZE, "65536"),
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
            tracing::warn!("{} does not answer yet: {error}", cluster.bootstrap_servers);
        }
        Ok(Self { producer, brokers: cluster.bootstrap_servers.clone(), open: None, undone: false })
    }

    /// Ends what an earlier step left open, and says how. Comes before a step is planned: it may change what there is.
    pub fn resolve(&mut self) -> Result<Option<Ended<S>>, TransactionError> {
        let Some(ending) = self.open.as_ref().map(|open| open.ending) else { return Ok(None) };
        let step = self.open.as_ref().map(|open| open.step.clone());
        match ending {
            Ending::Commit => match self.commit(&BTreeSet::new()) {
                Ok(()) => Ok(step.map(Ended::Committed)),
                Err(Uncommitted::Failed(error)) => Err(error),
                Err(Uncommitted::Aborted(error)) => Err(unavailable("commit", &error)),
            },
            Ending::Abort => self.abort().map(|()| step.map(Ended::Aborted)),
        }
    }

    /// Sends records and what `fill` adds in one transaction, and commits it. After [`TransactionError::Unavailable`] it may or may not
    /// have happened, which [`resolve`](Self::resolve) finds out; after any other error nobody sees any of it.
    ///
    /// A cluster that refuses a record refuses those that travel with it, and undoes the transaction. So those that were refused are
    /// sent again in another one, each alone, until it is known which the cluster does not take.
    pub fn transact(
        &mut self,
        step: S,
        records: &[&Staged],
        fill: impl Fn(&mut Filling<'_>) -> Result<(), KafkaError>,
    ) -> Result<(), TransactionError> {
        let doubtful = records.iter().enumerate().filter(|(_, staged)| staged.doubt.is_some());
        let mut alone: BTreeSet<usize> = doubtful.map(|(place, _)| place).collect();
        let mut refused = BTreeMap::new();
        let mut attempts = 0;
        loop {
            let told = self.attempt(&step, records, &alone, &refused, &fill)?;
            match told {
                Told::Committed => return Ok(()),
                Told::Taken => return Err(TransactionError::Records(refused)),
                Told::Refused(place, reason) => drop(refused.insert(place, reason)),
                Told::Suspects(suspects) => alone.extend(suspects),
                Told::Again if attempts < AGAIN => {
                    attempts += 1;
                    thread::sleep(AFTERMATH);
                }
                Told::Again => return Err(self.unanswered()),
            }
        }
    }

    /// Sends what is not refused, those of `alone` each for itself. Commits it only if nothing is refused: the events of what is are to be
    /// kept first.
    fn attempt(
        &mut self,
        step: &S,
        records: &[&Staged],
        alone: &BTreeSet<usize>,
        refused: &BTreeMap<usize, String>,
        fill: &impl Fn(&mut Filling<'_>) -> Result<(), KafkaError>,
    ) -> Result<Told, TransactionError> {
        self.producer.begin_transaction().map_err(|error| failed(&error))?;
        self.open = Some(Open { ending: Ending::Abort, step: step.clone() });
        let producer = self.producer.clone();
        let mut filling = Filling { producer: &producer, deliveries: Vec::new(), waiting: HashMap::new() };
        // Whose answer is waited for, as nothing else is on its way.
        let mut lonely = None;
        let mut filled = Ok(());
        for (place, staged) in records.iter().enumerate().filter(|(place, _)| !refused.contains_key(place)) {
            lonely = alone.contains(&place).then_some(place);
            filled = filling.one(place, staged, lonely.is_some());
            if filled.is_err() || lonely.is_some() && !filling.deliveries.last_mut().is_some_and(Sent::is_taken) {
                break;
            }
            lonely = None;
        }
        if filled.is_ok() && lonely.is_none() {
            filled = fill(&mut filling);
        }
        let mut deliveries = filling.deliveries;
        let error = match filled {
            Err(error) => Some(error),
            Ok(()) if lonely.is_some() => None,
            Ok(()) if refused.is_empty() && !self.undone => {
                return self.commit_taken(records, deliveries);
            }
            Ok(()) => match producer.flush(PATIENCE) {
                Ok(()) if deliveries.iter_mut().all(Sent::is_taken) => {
                    if refused.is_empty() {
                        return self.commit_taken(records, deliveries);
                    }
                    self.abort()?;
                    return Ok(Told::Taken);
                }
                flushed => flushed.err(),
            },
        };
        // It ends here, whatever becomes known of it meanwhile.
        let ended = self.abort();
        let judged = self.judge(records, &mut deliveries, lonely, error.as_ref());
        ended.and(judged)
    }

    /// Commits what was handed over.
    fn commit_taken(&mut self, records: &[&Staged], mut deliveries: Vec<Sent>) -> Result<Told, TransactionError> {
        self.open.iter_mut().for_each(|open| open.ending = Ending::Commit);
        let topics: BTreeSet<String> = deliveries.iter().map(|sent| sent.topic.clone()).collect();
        match self.commit(&topics) {
            Ok(()) => Ok(Told::Committed),
            Err(Uncommitted::Failed(error)) => Err(error),
            Err(Uncommitted::Aborted(error)) => self.judge(records, &mut deliveries, None, Some(&error)),
        }
    }

    fn unanswered(&self) -> TransactionError {
        TransactionError::Unavailable { doing: "write", reason: format!("no answer from {} in time", self.brokers) }
    }

    /// What the answers say of an attempt that was undone.
    fn judge(
        &self,
        records: &[&Staged],
        deliveries: &mut [Sent],
        lonely: Option<usize>,
        error: Option<&KafkaError>,
    ) -> Result<Told, TransactionError> {
        let topics: BTreeSet<String> = deliveries.iter().map(|sent| sent.topic.clone()).collect();
        let mut suspects = Vec::new();
        let (mut said, mut purged) = (None, false);
        for sent in deliveries {
            let (place, topic) = (sent.place, sent.topic.clone());
            let Some(Err(error)) = sent.fate() else { continue };
            match (verdict(error), place) {
                (Verdict::Rejected, Some(place)) if lonely == Some(place) => {
                    return Ok(Told::Refused(place, refusal(records[place], &self.brokers, error)));
                }
                (Verdict::Rejected, Some(place)) => suspects.push(place),
                (Verdict::Rejected, None) => {
                    return Err(TransactionError::Refused(explain(&topic, &self.brokers, error)));
                }
                _ if is_of_others(error) => purged |= error.rdkafka_error_code() == Some(RDKafkaErrorCode::PurgeQueue),
                _ => drop(said.get_or_insert_with(|| explain(&topic, &self.brokers, error))),
            }
        }
        if !suspects.is_empty() {
            return Ok(Told::Suspects(suspects));
        }
        match (said, error) {
            (Some(reason), _) => Err(TransactionError::Unavailable { doing: "commit", reason }),
            // A transaction takes nothing any more once a record of it has failed, and this is all that has.
            (None, Some(error)) if purged && error.rdkafka_error_code() == Some(RDKafkaErrorCode::State) => {
                Ok(Told::Again)
            }
            (None, Some(error)) => match (verdict(error), lonely) {
                (Verdict::Rejected, Some(place)) => {
                    Ok(Told::Refused(place, refusal(records[place], &self.brokers, error)))
                }
                (Verdict::Rejected, None) => Err(TransactionError::Refused(error.to_string())),
                _ if is_stale(error) => Err(TransactionError::Fenced(error.to_string())),
                _ => Err(match failed(error) {
                    TransactionError::Unavailable { doing, reason } => {
                        TransactionError::Unavailable { doing, reason: self.obstacle(&topics).unwrap_or(reason) }
                    }
                    error => error,
                }),
            },
            (None, None) if purged => Ok(Told::Again),
            (None, None) => Err(self.unanswered()),
        }
    }

    /// Ends the transaction; its records are for `topics`.
    fn commit(&mut self, topics: &BTreeSet<String>) -> Result<(), Uncommitted> {
        let mut attempts = 0;
        loop {
            let error = match self.producer.commit_transaction(PATIENCE) {
                Ok(()) => {
                    (self.open, self.undone) = (None, false);
                    return Ok(());
                }
                Err(KafkaError::Transaction(error)) => error,
                Err(error) => return Err(Uncommitted::Failed(failed(&error))),
            };
            if error.is_fatal() {
                return Err(Uncommitted::Failed(failed(&KafkaError::Transaction(error))));
            }
            if error.txn_requires_abort() {
                self.open.iter_mut().for_each(|open| open.ending = Ending::Abort);
                self.abort().map_err(Uncommitted::Failed)?;
                return Err(Uncommitted::Aborted(KafkaError::Transaction(error)));
            }
            attempts += 1;
            let why = self.obstacle(topics).unwrap_or_else(|| error.to_string());
            if attempts == ATTEMPTS || !error.is_retriable() {
                return Err(Uncommitted::Failed(TransactionError::Unavailable { doing: "commit", reason: why }));
            }
            tracing::warn!("a transaction is not committed yet: {why}");
        }
    }

    /// What keeps these topics from being written to, if the cluster says so, or does not answer at all.
    fn obstacle(&self, topics: &BTreeSet<String>) -> Option<String> {
        let obstacles = topics.iter().map(|topic| obstacle(self.producer.client(), topic, &self.brokers));
        obstacles.into_iter().flatten().next()
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
        (self.open, self.undone) = (None, true);
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

/// Whether it says nothing of what was sent itself: that something else failed.
fn is_of_others(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let of_others = [Code::PurgeQueue, Code::PurgeInflight, Code::InvalidDifferentRecord, Code::State];
    error.rdkafka_error_code().is_some_and(|code| of_others.contains(&code))
}

fn refusal(staged: &Staged, brokers: &str, error: &KafkaError) -> String {
    refused(&staged.record, staged.doubt.as_deref(), brokers, error)
}
