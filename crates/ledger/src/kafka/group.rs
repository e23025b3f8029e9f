//! Who reads what: instances of one group share the partitions of the ledger topic by Kafka's own group protocol.

use super::KafkaPlace;
use crate::LedgerError;
use headwater_kafka::{Context, client};
use rdkafka::{
    ClientContext, TopicPartitionList,
    client::OAuthToken,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::KafkaError,
};
use std::{
    collections::BTreeSet,
    error::Error,
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
    thread,
    time::Duration,
};
use tokio::sync::watch;

/// How often the group's business is looked at.
const POLL: Duration = Duration::from_millis(100);

/// What the group has given to this instance.
#[derive(Debug, Clone)]
pub enum Seat {
    /// The group is making up its mind.
    Waiting,
    /// These partitions.
    Assigned(Arc<BTreeSet<i32>>),
    /// Nothing any more: why.
    Lost(String),
}

/// This instance's seat in the group. Dropped, the others share what it had.
pub struct Membership {
    seat: watch::Receiver<Seat>,
    shared: Arc<Shared>,
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
}

impl Membership {
    /// Joins the group.
    pub fn join(place: &KafkaPlace) -> Result<Self, LedgerError> {
        let cannot = |reason: String| LedgerError::Cluster { topic: place.topic.clone(), reason };
        let mut config = client(&place.cluster).map_err(|error| cannot(error.to_string()))?;
        let session = place.session_timeout.as_millis();
        config
            .set("group.id", format!("headwater-{}", place.group))
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", (session / 4).max(100).to_string())
            // Partitions alternate between the instances.
            .set("partition.assignment.strategy", "roundrobin")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "latest");
        if let Some(instance) = &place.instance {
            config.set("group.instance.id", instance);
        }
        let (seat, receiver) = watch::channel(Seat::Waiting);
        let shared = Arc::new(Shared {
            seat,
            released: Mutex::new(true),
            release: Condvar::new(),
            patience: place.session_timeout,
        });
        let context = Callbacks { inner: Context::new(&place.cluster), shared: shared.clone() };
        let consumer: BaseConsumer<Callbacks> =
            BaseConsumer::from_config_and_context(&config, context).map_err(|error| cannot(error.to_string()))?;
        consumer.subscribe(&[&place.topic]).map_err(|error| cannot(error.to_string()))?;
        let leave = Arc::new(AtomicBool::new(false));
        let left = leave.clone();
        let seats = shared.clone();
        let thread = thread::Builder::new().name("kafka-group".to_owned()).spawn(move || {
            while !left.load(Ordering::SeqCst) {
                // Its records are read elsewhere: here it is all about the calls back.
                match consumer.poll(POLL) {
                    Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                        let reason = format!(
                            "this instance has lost its seat in the group for good: {code}. Does another process run with the \
                             same `state.instance`?"
                        );
                        seats.seat.send_replace(Seat::Lost(reason));
                        break;
                    }
                    Some(Err(error)) => tracing::debug!("the group: {error}"),
                    _ => {}
                }
            }
            consumer.unsubscribe();
        });
        let thread = Some(thread.map_err(|error| cannot(error.to_string()))?);
        Ok(Self { seat: receiver, shared, leave, thread })
    }

    /// What is this instance's, now and whenever it changes.
    pub fn seat(&self) -> watch::Receiver<Seat> {
        self.seat.clone()
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
            tracing::warn!("streams were not let go of in time; whoever takes them over fences this instance");
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            // Nothing is to be fetched here.
            if let Err(error) = consumer.pause(partitions) {
                tracing::debug!("the group: {error}");
            }
            self.shared.seat.send_replace(Seat::Assigned(Arc::new(numbers(partitions))));
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> BTreeSet<i32> {
    partitions.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::partition).collect()
}
