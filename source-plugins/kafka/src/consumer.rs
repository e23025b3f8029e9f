//! The group's share of topics, and how a partition of it is opened.

use crate::{
    feed::Reader,
    lag::{Callbacks, Lag},
    look::{TopicError, partitions},
    offsets::{Offsets, State},
    record::Parser,
};
use headwater_contracts::{Clock, KafkaCluster, ReadBy};
use headwater_kafka::{Assigned, Context, Group, Membership, Seat, TransactionError, Transactions, client};
use headwater_ledger::{Consumer, LedgerError, Opened, Stage, StreamKey};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// Longest wait for one answer of the cluster, before whoever waits is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Batches between the reading thread and the lane.
const AHEAD: usize = 2;
/// How often the client tells how far behind it is.
const STATISTICS_MS: &str = "5000";

/// What is read, and how.
#[derive(Debug, Clone)]
pub struct Topics {
    /// The component's name in the pipeline.
    pub component: String,
    /// The topics and the group.
    pub group: Group,
    /// Where a partition is begun of which the group has no offset.
    pub start: Start,
    /// Settled events that are worth a commit.
    pub transaction_events: usize,
}

/// Where a partition is begun of which the group has no offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At its first record.
    Earliest,
    /// At its end.
    Latest,
}

/// A seat in the group. Dropped, the others share what it had.
pub struct Subscription {
    topics: Topics,
    membership: Arc<Membership>,
}

/// What is ours of the topics, as long as our share is the same.
pub struct TopicsConsumer {
    topics: Topics,
    membership: Arc<Membership>,
    assigned: Arc<Assigned>,
    stage: Arc<Stage>,
    clock: Arc<dyn Clock>,
    turn: Arc<Turn>,
}

/// What becomes of a share.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Another instance has taken of it, or it has to be opened anew.
    pub(crate) fenced: AtomicBool,
    /// It is given up: what is still under way comes to nothing.
    pub(crate) closed: AtomicBool,
}

impl Subscription {
    /// Joins the group. Fails where a topic is not there: the group would give nothing, and say nothing. Blocking.
    pub fn join(topics: Topics) -> Result<Self, TopicError> {
        for topic in &topics.group.topics {
            partitions(&topics, topic, PATIENCE)?;
        }
        let membership = Membership::join(&topics.group).map_err(|error| error.to_string())?;
        let membership = Arc::new(membership);
        Ok(Self { topics, membership })
    }

    /// The cluster.
    pub fn cluster(&self) -> &KafkaCluster {
        &self.topics.group.cluster
    }

    /// What is this instance's, now and whenever it changes.
    pub fn seat(&self) -> watch::Receiver<Seat> {
        self.membership.seat()
    }

    /// Whether something has failed since this was last asked.
    pub fn is_troubled(&self) -> bool {
        self.membership.is_troubled()
    }

    /// Says that what is assigned is being worked on.
    pub fn hold(&self) {
        self.membership.hold();
    }

    /// Says that what was assigned is let go of: the group waits for it.
    pub fn release(&self) {
        self.membership.release();
    }

    /// A consumer of what is assigned. `stage` is where sinks leave records that are to change with its offsets.
    pub fn consumer(&self, assigned: Arc<Assigned>, stage: Arc<Stage>, clock: Arc<dyn Clock>) -> TopicsConsumer {
        TopicsConsumer {
            topics: self.topics.clone(),
            membership: self.membership.clone(),
            assigned,
            stage,
            clock,
            turn: Arc::default(),
        }
    }
}

impl TopicsConsumer {
    /// Gives all partitions up, for good: what is still under way comes to nothing.
    pub fn close(&self) {
        self.turn.closed.store(true, Ordering::SeqCst);
    }

    /// Whether another instance has taken a partition of ours, or one has to be opened anew.
    pub fn is_fenced(&self) -> bool {
        self.turn.fenced.load(Ordering::SeqCst)
    }

    /// Fences whoever had the partition before, if records are to leave in transactions.
    fn take_over(&self, topic: &str, partition: i32) -> Result<State, TransactionError> {
        if !self.stage.is_joined() {
            return Ok(State::new(None));
        }
        if self.assigned.metadata.is_none() {
            return Err(TransactionError::Refused("the group does not say who we are: this is a bug".to_owned()));
        }
        // No topic, group or ledger has a colon in its name: nobody else has this id.
        let id = format!("headwater:{}:{topic}:{partition}", self.topics.group.id);
        Transactions::take_over(&self.topics.group.cluster, &id).map(|transactions| State::new(Some(transactions)))
    }

    /// A client that reads one partition, and shows how far it is behind.
    fn client(&self, lag: Arc<Lag>) -> Result<BaseConsumer<Callbacks>, TransactionError> {
        let cluster = &self.topics.group.cluster;
        let mut config = client(cluster).map_err(|error| TransactionError::Refused(error.to_string()))?;
        // What waits for the lane: of each partition, and of what has been compressed.
        for (name, value) in [("queued.max.messages.kbytes", "4096"), ("statistics.interval.ms", STATISTICS_MS)] {
            if !cluster.librdkafka_options.contains_key(name) {
                config.set(name, value);
            }
        }
        config
            .set("group.id", &self.topics.group.id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            // A place that is gone is no reason to go on from another one unheard.
            .set("auto.offset.reset", "error");
        let callbacks = Callbacks { inner: Context::new(cluster), lag };
        headwater_kafka::create(cluster, &config, callbacks)
            .map_err(|error| TransactionError::Refused(error.to_string()))
    }
}

impl Consumer for TopicsConsumer {
    fn streams(&self) -> Vec<String> {
        self.assigned.partitions.iter().map(|(topic, partition)| format!("{topic}/{partition}")).collect()
    }

    fn open(&self, stream: &str) -> Result<Opened, LedgerError> {
        let component = self.topics.component.clone();
        let found = self.assigned.partitions.iter().find(|(topic, partition)| format!("{topic}/{partition}") == stream);
        let (topic, partition) = found.cloned().unwrap_or_else(|| (stream.to_owned(), -1));
        let key = StreamKey { source: component.clone(), stream: stream.to_owned() };
        // Where it begins shows below.
        let lag = Arc::new(Lag::new(key, topic.clone(), partition, 0));
        let mut offsets = Offsets {
            group: self.topics.group.id.clone(),
            topic: topic.clone(),
            partition,
            membership: self.membership.clone(),
            assigned: self.assigned.clone(),
            stage: self.stage.clone(),
            turn: self.turn.clone(),
            lag: lag.clone(),
            worth: self.topics.transaction_events,
            state: State::default().into(),
        };
        let failed = |error: TransactionError| offsets.of_transaction(error);
        let asked = |error: KafkaError| offsets.of_client("read", &error);
        // First who may write, then what is written: nobody changes the offset in between.
        if self.turn.closed.load(Ordering::SeqCst) {
            return Err(failed(TransactionError::Fenced("the group has shared its partitions anew".to_owned())));
        }
        let state = self.take_over(&topic, partition).map_err(failed)?;
        let committed = self.membership.committed(&topic, partition, PATIENCE).map_err(asked)?;
        let consumer = self.client(lag.clone()).map_err(failed)?;
        let (first, end) = consumer.fetch_watermarks(&topic, partition, PATIENCE).map_err(asked)?;
        let (start, gap) = begin(committed, first, end, self.topics.start);
        if committed.is_none() && self.topics.start == Start::Latest {
            // What comes from now on is ours, also if the first of it is never committed.
            offsets.deliver(Some(start))?;
        }
        lag.read(start);
        lag.committed(start);
        let mut assignment = TopicPartitionList::new();
        let assigned = assignment.add_partition_offset(&topic, partition, Offset::Offset(start));
        assigned.and_then(|()| consumer.assign(&assignment)).map_err(asked)?;
        let (out, feed) = mpsc::channel(AHEAD);
        let reader = Reader {
            consumer,
            parser: Parser { read_by: ReadBy { component, stream: stream.to_owned() }, last: None },
            clock: self.clock.clone(),
            lag,
            turn: self.turn.clone(),
            out,
        };
        let thread = thread::Builder::new().name(format!("read {stream}"));
        let spawned = thread.spawn(move || reader.run());
        spawned.map_err(|error| failed(TransactionError::Refused(format!("cannot start a thread: {error}"))))?;
        offsets.state = state.into();
        Ok(Opened { feed, commits: Arc::new(offsets), gap })
    }
}

/// Where reading begins, and what has been lost before.
fn begin(committed: Option<i64>, first: i64, end: i64, start: Start) -> (i64, Option<String>) {
    match (committed, start) {
        (None, Start::Earliest) => (first, None),
        (None, Start::Latest) => (end, None),
        (Some(offset), _) if offset < first => {
            let gap = format!("offsets {offset} to {first} were deleted: keep the topic's records for longer");
            (first, Some(gap))
        }
        (Some(offset), _) if offset > end => {
            let gap = format!(
                "the group stands at offset {offset}, and the partition ends at {end}: it was made anew, and is read from its \
                 first record"
            );
            (first, Some(gap))
        }
        (Some(offset), _) => (offset, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_begun_where_the_group_stands() {
        assert_eq!(begin(None, 3, 9, Start::Earliest), (3, None));
        assert_eq!(begin(None, 3, 9, Start::Latest), (9, None));
        for offset in [3, 5, 9] {
            assert_eq!(begin(Some(offset), 3, 9, Start::Latest), (offset, None));
        }
        let (start, gap) = begin(Some(1), 3, 9, Start::Earliest);
        assert_eq!(start, 3);
        assert!(gap.is_some_and(|gap| gap.contains("1 to 3 were deleted")));
        let (start, gap) = begin(Some(10), 3, 9, Start::Latest);
        assert_eq!(start, 3);
        assert!(gap.is_some_and(|gap| gap.contains("made anew")));
    }
}
