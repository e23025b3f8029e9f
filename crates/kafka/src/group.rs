//! Who reads what: instances of one group share the partitions of topics by Kafka's own group protocol. The records
//! themselves are read elsewhere.

use crate::{Context, client, create};
use headwater_contracts::{ConfigError, KafkaCluster};
use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    collections::BTreeSet,
    error::Error,
    mem,
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How often the group's business is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Longest wait for the cluster's word on a group.
const ANSWER: Duration = Duration::from_secs(30);

/// How often an instance that is fenced joins again, within this time: two processes under one name would fence each other for ever.
const FENCED_MOST: usize = 2;
/// See there.
const FENCED_WITHIN: Duration = Duration::from_mins(5);

/// A group, and our place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The cluster.
    pub cluster: KafkaCluster,
    /// `group.id`.
    pub id: String,
    /// The topics whose partitions are shared.
    pub topics: Vec<String>,
    /// This instance's name in the group, if it has a lasting one.
    pub instance: Option<String>,
    /// Another instance has taken over from one that was silent for so long.
    pub session_timeout: Duration,
}

/// What the group has given to this instance.
#[derive(Clone)]
pub enum Seat {
    /// The group is making up its mind.
    Waiting,
    /// These partitions.
    Assigned(Arc<Assigned>),
    /// Nothing any more: why.
    Lost(String),
}

/// An assignment. Each is one of its own, also where it names the same partitions: between two, another instance may have had
/// them.
pub struct Assigned {
    /// Topics and partitions.
    pub partitions: BTreeSet<(String, i32)>,
    /// What the group calls us as long as the assignment is valid: offsets that come with it are refused afterwards.
    pub metadata: Option<ConsumerGroupMetadata>,
}

/// The hosts of the group's instances that run now. Blocking.
pub fn members(group: &Group) -> Result<Vec<String>, String> {
    let config = client(&group.cluster).map_err(|error| error.to_string())?;
    let made = create(&group.cluster, &config, Context::new(&group.cluster));
    let consumer: BaseConsumer<Context> = made.map_err(|error| error.to_string())?;
    let groups = consumer.fetch_group_list(Some(&group.id), ANSWER).map_err(|error| error.to_string())?;
    let members = groups.groups().iter().flat_map(rdkafka::groups::GroupInfo::members);
    Ok(members.map(|member| member.client_host().to_owned()).collect())
}

/// This instance's seat in the group. Dropped, the others share what it had.
pub struct Membership {
    seat: watch::Receiver<Seat>,
    shared: Arc<Shared>,
    consumer: Arc<Mutex<Arc<BaseConsumer<Callbacks>>>>,
    leave: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Shared {
    seat: watch::Sender<Seat>,
    /// Whether what was revoked is let go of.
    released: Mutex<bool>,
    release: Condvar,
    /// Longest wait for it: after that the group goes on without us, and we are fenced.
    patience: Duration,
    /// Whether something has failed since this was last asked.
    troubled: AtomicBool,
}

impl Membership {
    /// Joins the group.
    pub fn join(group: &Group) -> Result<Self, ConfigError> {
        let (seat, receiver) = watch::channel(Seat::Waiting);
        let shared = Arc::new(Shared {
            seat,
            released: Mutex::new(true),
            release: Condvar::new(),
            patience: group.session_timeout,
            troubled: AtomicBool::new(false),
        });
        let consumer = Arc::new(Mutex::new(Arc::new(member(group, &shared)?)));
        let leave = Arc::new(AtomicBool::new(false));
        let belonging = Belonging {
            group: group.clone(),
            shared: shared.clone(),
            consumer: consumer.clone(),
            leave: leave.clone(),
        };
        let thread = thread::Builder::new().name("kafka-group".to_owned()).spawn(move || belonging.keep());
        let thread = Some(thread.map_err(|error| ConfigError::new("", error.to_string()))?);
        Ok(Self { seat: receiver, shared, consumer, leave, thread })
    }

    /// What is this instance's, now and whenever it changes.
    pub fn seat(&self) -> watch::Receiver<Seat> {
        self.seat.clone()
    }

    /// Whether something has failed since this was last asked: a broker does not answer, say. It may have passed already.
    pub fn is_troubled(&self) -> bool {
        self.shared.troubled.swap(false, Ordering::SeqCst)
    }

    /// Says that what was assigned before is let go of: the group waits for it.
    pub fn release(&self) {
        *self.shared.released.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.release.notify_all();
    }

    /// Says that what is assigned is being worked on.
    pub fn hold(&self) {
        *self.shared.released.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// The offset that the group has committed of a partition, transactions that are about to change it waited for. Blocking.
    pub fn committed(&self, topic: &str, partition: i32, patience: Duration) -> Result<Option<i64>, KafkaError> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let told = current(&self.consumer).committed_offsets(asked, patience)?;
        let of_partition = told.find_partition(topic, partition);
        if let Some(Err(error)) =
            of_partition.as_ref().map(rdkafka::topic_partition_list::TopicPartitionListElem::error)
        {
            return Err(error);
        }
        Ok(of_partition.and_then(|told| match told.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }))
    }

    /// Commits an offset of a partition to the group. Blocking.
    pub fn commit(&self, topic: &str, partition: i32, offset: i64) -> Result<(), KafkaError> {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        current(&self.consumer).commit(&offsets, CommitMode::Sync)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.release();
        self.leave.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // It ends within a poll and the leaving of the group.
            let _ = thread.join();
        }
    }
}

/// A consumer that takes part in the group.
fn member(group: &Group, shared: &Arc<Shared>) -> Result<BaseConsumer<Callbacks>, ConfigError> {
    let mut config = client(&group.cluster)?;
    config
        .set("group.id", &group.id)
        .set("session.timeout.ms", silence(group.session_timeout).to_string())
        .set("heartbeat.interval.ms", (group.session_timeout.as_millis() / 10).max(100).to_string())
        // Partitions alternate between the instances.
        .set("partition.assignment.strategy", "roundrobin")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Offsets that a transaction is about to change are waited for.
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "latest");
    if let Some(instance) = &group.instance {
        config.set("group.instance.id", instance);
    }
    let context = Callbacks { inner: Context::new(&group.cluster), shared: shared.clone() };
    let consumer: BaseConsumer<Callbacks> = create(&group.cluster, &config, context)?;
    let topics: Vec<&str> = group.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics).map_err(|error| ConfigError::new("", error.to_string()))?;
    Ok(consumer)
}

fn current(consumer: &Mutex<Arc<BaseConsumer<Callbacks>>>) -> Arc<BaseConsumer<Callbacks>> {
    consumer.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What keeps a seat.
struct Belonging {
    group: Group,
    shared: Arc<Shared>,
    consumer: Arc<Mutex<Arc<BaseConsumer<Callbacks>>>>,
    leave: Arc<AtomicBool>,
}

impl Belonging {
    /// Takes part in the group until told to leave. Its records are read elsewhere: here it is all about the calls back.
    fn keep(self) {
        let mut fenced: Vec<Instant> = Vec::new();
        while !self.leave.load(Ordering::SeqCst) {
            match current(&self.consumer).poll(POLL) {
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    fenced.retain(|moment| moment.elapsed() < FENCED_WITHIN);
                    fenced.push(Instant::now());
                    let lost = if code != RDKafkaErrorCode::FencedInstanceId {
                        Some(code.to_string())
                    } else if fenced.len() > FENCED_MOST {
                        Some(format!("{code}. Does another process run with the same `instance`?"))
                    } else {
                        self.join_again().err().map(|error| error.to_string())
                    };
                    if let Some(reason) = lost {
                        let reason = format!("this instance has lost its seat in the group for good: {reason}");
                        self.shared.seat.send_replace(Seat::Lost(reason));
                        break;
                    }
                }
                Some(Err(error)) => {
                    tracing::debug!("the group: {error}");
                    self.shared.troubled.store(true, Ordering::SeqCst);
                }
                _ => {}
            }
        }
        current(&self.consumer).unsubscribe();
    }

    /// What a process that has died meanwhile had asked of the group under this name may have arrived after we had joined. Such a
    /// client is of no more use.
    fn join_again(&self) -> Result<(), ConfigError> {
        tracing::warn!("the group took another process of this `instance` for the newer one; joining again");
        self.shared.seat.send_replace(Seat::Waiting);
        let new = Arc::new(member(&self.group, &self.shared)?);
        let old = mem::replace(&mut *self.consumer.lock().unwrap_or_else(PoisonError::into_inner), new);
        // This lets go of what it had, which may take a while: nobody else has to wait for it.
        drop(old);
        Ok(())
    }
}

/// Milliseconds after which the brokers give the partitions of a silent instance away, so that another reads them within `session`: it
/// hears of them with its next heartbeat, and then has to take them over. Brokers accept no less than 6 s, unless told to.
fn silence(session: Duration) -> u128 {
    let session = session.as_millis();
    (session * 6 / 10).max(session.min(6000))
}

struct Callbacks {
    inner: Context,
    shared: Arc<Shared>,
}

impl ClientContext for Callbacks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = Context::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.inner.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.inner.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.inner.stats(statistics);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.inner.generate_oauth_token(config)
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(_)) {
            return;
        }
        self.shared.seat.send_replace(Seat::Waiting);
        let released = self.shared.released.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.release.wait_timeout_while(released, self.shared.patience, |released| !*released);
        if waited.is_ok_and(|(_, result)| result.timed_out()) {
            tracing::warn!("partitions were not let go of in time; whoever takes them over fences this instance");
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            // Nothing is to be fetched here.
            if let Err(error) = consumer.pause(partitions) {
                tracing::debug!("the group: {error}");
            }
            let assigned = Assigned { partitions: named(partitions), metadata: consumer.group_metadata() };
            self.shared.seat.send_replace(Seat::Assigned(Arc::new(assigned)));
        }
    }
}

fn named(partitions: &TopicPartitionList) -> BTreeSet<(String, i32)> {
    partitions.elements().iter().map(|one| (one.topic().to_owned(), one.partition())).collect()
}
