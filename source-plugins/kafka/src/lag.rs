//! How far a partition's reader is behind: the metric `headwater_kafka_lag_records`.

use headwater_kafka::Context;
use headwater_ledger::StreamKey;
use rdkafka::{
    ClientContext, Statistics, client::OAuthToken, config::RDKafkaLogLevel, consumer::ConsumerContext,
    error::KafkaError,
};
use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

/// The offsets that tell it.
#[derive(Debug)]
pub(crate) struct Lag {
    key: StreamKey,
    topic: String,
    partition: i32,
    committed: AtomicI64,
    /// Behind the last record that was read.
    read: AtomicI64,
}

impl Lag {
    /// Of a reader that begins at `start`.
    pub(crate) fn new(key: StreamKey, topic: String, partition: i32, start: i64) -> Self {
        Self { key, topic, partition, committed: start.into(), read: start.into() }
    }

    /// Everything before this offset is committed.
    pub(crate) fn committed(&self, next: i64) {
        self.committed.store(next, Ordering::SeqCst);
    }

    /// Everything before this offset has been read.
    pub(crate) fn read(&self, next: i64) {
        self.read.store(next, Ordering::SeqCst);
    }

    /// Records that stand in the topic and are not committed here. The ends of transactions take up offsets too, and are no records:
    /// once all is committed that was read, the end counts as reached.
    fn records(&self, end: i64, reached: i64) -> i64 {
        let (committed, read) = (self.committed.load(Ordering::SeqCst), self.read.load(Ordering::SeqCst));
        let done = if committed >= read { committed.max(reached) } else { committed };
        (end - done).max(0)
    }

    /// Somebody else's from now on, who says how far it is.
    pub(crate) fn gone(&self) {
        metrics::gauge!("headwater_kafka_lag_records", &self.labels()).set(0.0);
    }

    fn labels(&self) -> [(&'static str, String); 2] {
        [("source", self.key.source.clone()), ("stream", self.key.stream.clone())]
    }

    fn show(&self, statistics: &Statistics) {
        let topic = statistics.topics.get(&self.topic);
        let Some(partition) = topic.and_then(|topic| topic.partitions.get(&self.partition)) else { return };
        if partition.ls_offset < 0 {
            return;
        }
        let records = self.records(partition.ls_offset, partition.eof_offset);
        metrics::gauge!("headwater_kafka_lag_records", &self.labels()).set(records as f64);
    }
}

/// The callbacks of a client that reads a partition.
pub(crate) struct Callbacks {
    pub(crate) inner: Context,
    pub(crate) lag: Arc<Lag>,
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
        self.lag.show(&statistics);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.inner.generate_oauth_token(config)
    }
}

impl ConsumerContext for Callbacks {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_transactions_are_no_lag() {
        let key = StreamKey { source: "raw".into(), stream: "audit/0".into() };
        let lag = Lag::new(key, "audit".into(), 0, 10);
        // Nothing of it has been read.
        assert_eq!(lag.records(15, -1001), 5);
        lag.read(14);
        assert_eq!(lag.records(15, 15), 5, "read, and not committed");
        lag.committed(14);
        assert_eq!(lag.records(15, 15), 0, "behind the last record stands the end of its transaction");
        assert_eq!(lag.records(20, 15), 5);
    }
}
