//! The ledger in a compacted topic of Kafka, after Kafka Connect's exactly-once sources (KIP-618): progress, identities and
//! the events themselves change in one transaction, and whoever takes a partition over fences the one who held it.

mod book;
mod shard;
mod stage;

use crate::{Commit, Commits, Filed, Kept, Ledger, LedgerError, StreamKey, StreamRecord};
use book::Entry;
use futures_executor::block_on;
use headwater_contracts::{KafkaCluster, Outbox, OwnRequest, Staged, Timestamp};
use headwater_kafka::{Context, Group, Producer, Verdict, verdict};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureRecord, Producer as _},
};
use shard::{Books, Shard};
pub use stage::Stage;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

/// What ends the name of a stream's archive of imports: it lives with its stream.
const ARCHIVE: &str = " (imports)";
/// Longest wait for the cluster, before whoever waits is told.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for the cluster to speak of the topic at all.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// Where a ledger is kept in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaPlace {
    /// The cluster.
    pub cluster: KafkaCluster,
    /// The topic. Made with `partitions`, compacted, if there is none.
    pub topic: String,
    /// Instances of the same group share the streams.
    pub group: String,
    /// This instance's name in the group, if it has a lasting one.
    pub instance: Option<String>,
    /// Partitions of a new topic: the most instances that can share its streams.
    pub partitions: i32,
    /// Settled events that are worth a transaction.
    pub transaction_events: usize,
    /// Where an instance dies, hangs or is cut off, another has its streams within this time.
    pub session_timeout: Duration,
}

impl KafkaPlace {
    /// The group whose instances share the topic's partitions, and so the streams.
    pub fn group(&self) -> Group {
        Group {
            cluster: self.cluster.clone(),
            id: format!("headwater-{}", self.group),
            topics: vec![self.topic.clone()],
            instance: self.instance.clone(),
            session_timeout: self.session_timeout,
        }
    }
}

/// The ledger in a compacted topic, for as long as its share of the partitions is the same. Holds the identities of its streams in
/// memory, about 80 bytes each.
pub struct KafkaLedger {
    place: KafkaPlace,
    /// Partitions of the topic.
    partitions: i32,
    /// Those that are ours; taken over once a stream of theirs is loaded, since that takes a second.
    shards: RwLock<BTreeMap<i32, Arc<Slot>>>,
    /// Own requests are written outside of transactions: they are durable before the request is sent, whatever
    /// becomes of what it brings.
    requests: RwLock<Producer>,
    stage: Arc<Stage>,
    fenced: AtomicBool,
    closed: AtomicBool,
}

/// A partition of ours.
#[derive(Default)]
struct Slot {
    /// Held for as long as a transaction lasts.
    shard: Mutex<Option<Shard>>,
    /// What the partition says; empty before it is taken over.
    books: Arc<RwLock<Books>>,
}

impl Slot {
    fn shard(&self) -> MutexGuard<'_, Option<Shard>> {
        // A panic within a transaction leaves it open, which the next step sees to.
        self.shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn books(&self) -> RwLockReadGuard<'_, Books> {
        self.books.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KafkaLedger {
    /// Connects, and makes the topic if there is none. Owns no partition yet. Blocking.
    pub fn open(place: KafkaPlace) -> Result<Self, LedgerError> {
        let cannot = |reason: String| LedgerError::Cluster { topic: place.topic.clone(), reason };
        let requests = producer(&place).map_err(cannot)?;
        let partitions = partitions(&place, &requests)?;
        let stage = Arc::new(Stage::new(place.cluster.clone()));
        Ok(Self {
            place,
            partitions,
            shards: RwLock::default(),
            requests: RwLock::new(requests),
            stage,
            fenced: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// Makes these partitions ours. Each is taken over when its first stream is loaded.
    pub fn own(&self, partitions: &BTreeSet<i32>) {
        let shards = partitions.iter().map(|partition| (*partition, Arc::default())).collect();
        *self.shards.write().unwrap_or_else(PoisonError::into_inner) = shards;
    }

    /// Takes the partitions of these streams over, those that are ours, all at once: when each stream is loaded it would be one after the
    /// other, and takes a second each. One that cannot be had now is tried again then. Blocking.
    pub fn prepare(&self, streams: &[StreamKey]) {
        let by_partition: BTreeMap<i32, &StreamKey> =
            streams.iter().map(|stream| (self.partition(stream), stream)).collect();
        std::thread::scope(|threads| {
            for stream in by_partition.into_values() {
                let Ok(slot) = self.slot(stream) else { continue };
                threads.spawn(move || {
                    if let Err(error) = self.taken_over(stream, &slot, |_| Ok(())) {
                        tracing::debug!("taking over `{}` of `{}`: {error}", stream.stream, stream.source);
                    }
                });
            }
        });
    }

    /// Makes all of it ours, for a command: while an instance of the group runs, it is refused. Blocking.
    pub fn own_all(&self) -> Result<(), LedgerError> {
        let members = headwater_kafka::members(&self.place.group()).map_err(|reason| self.cluster_error(reason))?;
        if !members.is_empty() {
            return Err(self.cluster_error(format!(
                "it is in use by {} instances of group `{}` ({}): stop them first",
                members.len(),
                self.place.group,
                members.join(", ")
            )));
        }
        self.own(&(0..self.partitions).collect());
        Ok(())
    }

    /// Fences whoever had the partition before, and reads what they committed.
    fn take_over(&self, partition: i32, slot: &Slot) -> Result<Shard, LedgerError> {
        let shard = Shard::take_over(&self.place.cluster, &self.place.topic, partition, slot.books.clone())?;
        let stray = slot.books().keys().find(|stream| self.partition(stream) != partition).cloned();
        stray.map_or(Ok(shard), |stray| Err(self.strayed(&stray)))
    }

    /// Fails if a stream that has no beginning where it belongs has one elsewhere.
    fn begins_nowhere_else(&self, stream: &StreamKey) -> Result<(), LedgerError> {
        let here = self.partition(stream);
        let others: Vec<i32> = (0..self.partitions).filter(|partition| *partition != here).collect();
        let books = shard::read(&self.place.cluster, &self.place.topic, &others, None)?;
        if books.get(stream).is_some_and(book::Book::exists) { Err(self.strayed(stream)) } else { Ok(()) }
    }

    fn strayed(&self, stream: &StreamKey) -> LedgerError {
        self.cluster_error(format!(
            "stream `{}` of `{}` is kept in a partition where it is not looked for: the topic has been given more partitions \
             (it has {}). Begin with a new topic, or make this one anew with as many as there were",
            stream.stream, stream.source, self.partitions
        ))
    }

    /// Where records wait that are to leave with its commits.
    pub fn stage(&self) -> Arc<Stage> {
        self.stage.clone()
    }

    /// Gives all partitions up, for good: what is still under way comes to nothing, and what is staged goes with this ledger.
    pub fn close(&self) {
        self.shards.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether another instance has taken a partition of ours.
    pub fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::SeqCst)
    }

    /// What the topic says, without owning any of it: for a look. Blocking.
    pub fn look(&self) -> Result<Vec<(StreamKey, StreamRecord, Vec<Filed>)>, LedgerError> {
        let partitions: Vec<i32> = (0..self.partitions).collect();
        let books: Books = shard::read(&self.place.cluster, &self.place.topic, &partitions, None)?;
        let seen = books.into_iter().filter_map(|(key, book)| Some((key, book.record()?, book.settled())));
        Ok(seen.collect())
    }

    fn partition(&self, stream: &StreamKey) -> i32 {
        // FNV-1a (RFC draft eastlake-fnv), 32 bits: must never change, or streams would be looked for elsewhere.
        let of = stream.stream.strip_suffix(ARCHIVE).unwrap_or(&stream.stream);
        let name = stream.source.bytes().chain([0]).chain(of.bytes());
        let hash = name.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        i32::try_from(hash % self.partitions.unsigned_abs().max(1)).unwrap_or_default()
    }

    fn slot(&self, stream: &StreamKey) -> Result<Arc<Slot>, LedgerError> {
        let partition = self.partition(stream);
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        shards.get(&partition).cloned().ok_or_else(|| self.not_ours(stream))
    }

    /// Does something with the partition of a stream, which is taken over first if it has not been yet.
    fn taken_over<T>(
        &self,
        stream: &StreamKey,
        slot: &Slot,
        then: impl FnOnce(&mut Shard) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut shard = slot.shard();
        if shard.is_none() {
            *shard = Some(self.judge(self.take_over(self.partition(stream), slot))?);
        }
        let Some(shard) = shard.as_mut() else { return Err(self.never_loaded(stream)) };
        self.judge(shard.resolve())?;
        self.judge(then(shard))
    }

    fn judge<T>(&self, done: Result<T, LedgerError>) -> Result<T, LedgerError> {
        if matches!(done, Err(LedgerError::Fenced { .. })) {
            self.fenced.store(true, Ordering::SeqCst);
        }
        done
    }

    fn not_ours(&self, stream: &StreamKey) -> LedgerError {
        LedgerError::Fenced {
            topic: self.place.topic.clone(),
            partition: self.partition(stream),
            reason: format!("stream `{}` of `{}` is not this instance's", stream.stream, stream.source),
        }
    }

    fn never_loaded(&self, stream: &StreamKey) -> LedgerError {
        self.cluster_error(crate::file::not_loaded(stream))
    }

    fn cluster_error(&self, reason: String) -> LedgerError {
        LedgerError::Cluster { topic: self.place.topic.clone(), reason }
    }
}

impl Ledger for KafkaLedger {
    fn load(&self, stream: &StreamKey, start: Timestamp) -> Result<StreamRecord, LedgerError> {
        let slot = self.slot(stream)?;
        self.taken_over(stream, &slot, |shard| {
            if slot.books().get(stream).is_some_and(book::Book::exists) {
                return Ok(());
            }
            self.begins_nowhere_else(stream)?;
            let entry = Entry::beginning(stream, start).map_err(|reason| self.cluster_error(reason))?;
            shard.transact(&[entry])
        })?;
        let record = slot.books().get(stream).and_then(book::Book::record);
        record.ok_or_else(|| self.cluster_error("the stream has no beginning: this is a bug".to_owned()))
    }

    fn known(&self, stream: &StreamKey, identities: &[Filed]) -> Result<Vec<bool>, LedgerError> {
        let slot = self.slot(stream)?;
        let books = slot.books();
        let book = books.get(stream);
        Ok(identities.iter().map(|filed| book.is_some_and(|book| book.knows(filed))).collect())
    }

    fn record_request(&self, stream: &StreamKey, request: &OwnRequest) -> Result<(), LedgerError> {
        let entry = Entry::request(stream, request).map_err(|reason| self.cluster_error(reason))?;
        let (key, value) = (entry.key(), entry.value.clone().unwrap_or_default());
        let message = FutureRecord::<[u8], [u8]>::to(&self.place.topic).partition(self.partition(stream));
        let message = message.key(&key[..]).payload(&value[..]);
        let requests = self.requests.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Err((error, _)) = block_on(requests.send(message, PATIENCE)) {
            if verdict(&error) == Verdict::Fenced {
                // One that lost count cannot go on; a new one counts anew.
                let new = producer(&self.place).map_err(|reason| self.cluster_error(reason))?;
                *self.requests.write().unwrap_or_else(PoisonError::into_inner) = new;
            }
            let (topic, reason) = (self.place.topic.clone(), error.to_string());
            return Err(LedgerError::Unavailable { topic, doing: "write", reason });
        }
        // Another instance's stream learns of it when it is next taken over.
        let Ok(slot) = self.slot(stream) else { return Ok(()) };
        let mut books = shard::write(&slot.books);
        let Some(book) = books.get_mut(stream) else { return Ok(()) };
        book.take(&entry.part, entry.value.as_deref()).map_err(|reason| self.cluster_error(reason))
    }

    fn streams(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError> {
        let shards = self.shards.read().unwrap_or_else(PoisonError::into_inner);
        let mut streams = Vec::new();
        for slot in shards.values() {
            let books = slot.books();
            let rows = books.iter().filter_map(|(key, book)| Some((key.clone(), book.record()?, book.identities())));
            streams.extend(rows);
        }
        streams.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        Ok(streams)
    }

    fn owns(&self, stream: &StreamKey) -> bool {
        let partition = self.partition(stream);
        self.shards.read().unwrap_or_else(PoisonError::into_inner).contains_key(&partition)
    }

    fn outbox(&self, sink: &str) -> Option<Arc<dyn Outbox>> {
        Some(self.stage.outbox(sink))
    }
}

impl Commits for KafkaLedger {
    fn commit(&self, stream: &StreamKey, commit: &Commit) -> Result<(), LedgerError> {
        let slot = self.slot(stream)?;
        let mut shard = slot.shard();
        let Some(shard) = shard.as_mut() else { return Err(self.never_loaded(stream)) };
        self.judge(shard.resolve())?;
        // A step that waited while the share changed: its records may be staged anew elsewhere.
        if self.closed.load(Ordering::SeqCst) {
            return Err(self.not_ours(stream));
        }
        if shard.has_arrived(stream, commit) {
            self.stage.forget(stream, &commit.settled);
            return Ok(());
        }
        let planned = slot.books().get(stream).map(|book| book.plan(stream, commit));
        let entries = planned.ok_or_else(|| self.never_loaded(stream))?.map_err(|reason| self.cluster_error(reason))?;
        let failed = shard.failed();
        let send = |staged: &[&Staged]| shard.send(Some((stream, commit)), staged, &entries);
        let done = self.stage.leave(stream, &commit.settled, send, failed);
        self.judge(done.and_then(|()| shard.take_in(&entries)))
    }

    fn commit_events(&self) -> usize {
        self.place.transaction_events
    }
}

impl Kept for KafkaLedger {
    fn all(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError> {
        let seen = self.look()?.into_iter();
        Ok(seen.map(|(key, record, settled)| (key, record, settled.len() as u64)).collect())
    }

    fn identities(&self, stream: &StreamKey, visit: &mut dyn FnMut(Filed)) -> Result<(), LedgerError> {
        let slot = self.slot(stream)?;
        self.taken_over(stream, &slot, |_| Ok(()))?;
        let settled = slot.books().get(stream).map(book::Book::settled);
        settled.unwrap_or_default().into_iter().for_each(visit);
        Ok(())
    }

    fn forget(&self, stream: &StreamKey) -> Result<bool, LedgerError> {
        let slot = self.slot(stream)?;
        self.taken_over(stream, &slot, |shard| {
            let book = slot.books().get(stream).filter(|book| book.exists()).map(|book| book.forget(stream));
            let Some(entries) = book else { return Ok(false) };
            shard.transact(&entries).map(|()| true)
        })
    }
}

/// One for what is written outside of transactions.
fn producer(place: &KafkaPlace) -> Result<Producer, String> {
    let timeout = PATIENCE.as_millis().to_string();
    let options = [("message.timeout.ms", timeout.as_str()), ("linger.ms", "0")];
    headwater_kafka::producer(&place.cluster, &options).map_err(|error| format!("`{}`: {}", error.field, error.problem))
}

/// How many partitions the topic has; it is made if there is none.
fn partitions(place: &KafkaPlace, client: &Producer) -> Result<i32, LedgerError> {
    if let Some(count) = count(place, client)? {
        check_compaction(place)?;
        return Ok(count);
    }
    make(place)?;
    for _ in 0..50 {
        if let Some(count) = count(place, client)? {
            return Ok(count);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let reason = "it was created, and its partitions have not appeared".to_owned();
    Err(LedgerError::Cluster { topic: place.topic.clone(), reason })
}

/// How many partitions the topic has; `None` if there is no such topic yet.
fn count(place: &KafkaPlace, client: &Producer) -> Result<Option<i32>, LedgerError> {
    let known = client.client().fetch_metadata(Some(&place.topic), FIRST_WORD).map_err(|e| unreachable(place, &e))?;
    let there = known.topics().first().filter(|known| known.error().is_none() && !known.partitions().is_empty());
    let count = there.map(|there| i32::try_from(there.partitions().len())).transpose();
    count.map_err(|error| LedgerError::Cluster { topic: place.topic.clone(), reason: error.to_string() })
}

/// Makes the topic. That it is there by now is fine: two instances may begin at once.
fn make(place: &KafkaPlace) -> Result<(), LedgerError> {
    let cannot = |reason: String| LedgerError::Cluster { topic: place.topic.clone(), reason };
    if !headwater_kafka::administrable(&place.cluster) {
        let reason = "the topic does not exist, and with `oauthbearer` it cannot be made from here: create it with \
                      `cleanup.policy=compact`";
        return Err(cannot(reason.to_owned()));
    }
    let config = headwater_kafka::client(&place.cluster).map_err(|error| cannot(error.to_string()))?;
    let admin: AdminClient<Context> = headwater_kafka::create(&place.cluster, &config, Context::new(&place.cluster))
        .map_err(|error| cannot(error.to_string()))?;
    let new =
        NewTopic::new(&place.topic, place.partitions, TopicReplication::Fixed(-1)).set("cleanup.policy", "compact");
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let made = block_on(admin.create_topics([&new], &options)).map_err(|error| unreachable(place, &error))?;
    match made.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
            let advice = "create it with `cleanup.policy=compact`, or allow this user to";
            Err(cannot(format!("the topic does not exist and cannot be created: {code}; {advice}")))
        }
        _ => Ok(()),
    }
}

fn unreachable(place: &KafkaPlace, error: &KafkaError) -> LedgerError {
    LedgerError::Unavailable {
        topic: place.topic.clone(),
        doing: "find",
        reason: format!("{error}; is {} right, and the cluster up?", place.cluster.bootstrap_servers),
    }
}

/// A topic that deletes by age or size would forget what was delivered.
fn check_compaction(place: &KafkaPlace) -> Result<(), LedgerError> {
    if !headwater_kafka::administrable(&place.cluster) {
        return Ok(());
    }
    let said = headwater_kafka::topic_option(&place.cluster, &place.topic, "cleanup.policy");
    let policy =
        said.map_err(|reason| LedgerError::Unavailable { topic: place.topic.clone(), doing: "find", reason })?;
    if policy == "compact" {
        return Ok(());
    }
    Err(LedgerError::Cluster {
        topic: place.topic.clone(),
        reason: format!(
            "its `cleanup.policy` is `{policy}`: the ledger would be forgotten, and all be delivered again. Set it to `compact`"
        ),
    })
}
