//! A look at topics without taking part in the group.

use crate::Topics;
use headwater_kafka::{Context, client};
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use std::{fmt, time::Duration};

/// Why a topic cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicError {
    /// What failed, and what to do.
    pub reason: String,
    /// Whether it is that the cluster did not answer: it may, the next time.
    pub unanswered: bool,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl From<String> for TopicError {
    fn from(reason: String) -> Self {
        Self { reason, unanswered: false }
    }
}

/// For each topic its partitions, or why it cannot be read. Blocking, for each topic up to three times as long as `patience`.
pub fn look(topics: &Topics, patience: Duration) -> Vec<(String, Result<usize, TopicError>)> {
    let asked = topics.group.topics.iter().map(|topic| (topic.clone(), one(topics, topic, patience)));
    asked.collect()
}

fn one(topics: &Topics, topic: &str, patience: Duration) -> Result<usize, TopicError> {
    let numbers = partitions(topics, topic, patience)?;
    let consumer = consumer(topics)?;
    let explain = |error: KafkaError| explain(&error, topic, topics);
    let mut all = TopicPartitionList::new();
    for number in &numbers {
        all.add_partition(topic, *number);
        consumer.fetch_watermarks(topic, *number, patience).map_err(explain)?;
    }
    consumer.committed_offsets(all, patience).map_err(explain)?;
    Ok(numbers.len())
}

/// The numbers of a topic's partitions, or why they cannot be told. Blocking.
pub(crate) fn partitions(topics: &Topics, topic: &str, patience: Duration) -> Result<Vec<i32>, TopicError> {
    let consumer = consumer(topics)?;
    let metadata = consumer.fetch_metadata(Some(topic), patience).map_err(|error| explain(&error, topic, topics))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or_else(|| format!("the cluster does not speak of topic `{topic}`"))?;
    if let Some(error) = found.error() {
        return Err(explain(&KafkaError::MetadataFetch(RDKafkaErrorCode::from(error)), topic, topics));
    }
    Ok(found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}

fn consumer(topics: &Topics) -> Result<BaseConsumer<Context>, String> {
    let cluster = &topics.group.cluster;
    let mut config = client(cluster).map_err(|error| error.to_string())?;
    config.set("group.id", &topics.group.id).set("enable.auto.commit", "false");
    headwater_kafka::create(cluster, &config, Context::new(cluster))
        .map_err(|error| format!("`{}`: {error}", error.field))
}

/// What failed, and what to do.
fn explain(error: &KafkaError, topic: &str, topics: &Topics) -> TopicError {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            format!("topic `{topic}` does not exist: create it, or mend its name").into()
        }
        Some(Code::TopicAuthorizationFailed) => {
            format!("may not read topic `{topic}`: grant this user `Read` on it").into()
        }
        Some(Code::GroupAuthorizationFailed) => {
            let group = &topics.group.id;
            format!("may not take part in group `{group}`: grant this user `Read` on it").into()
        }
        _ => {
            let brokers = &topics.group.cluster.bootstrap_servers;
            let reason = format!("{error}; is the cluster up, and are {brokers}, TLS and SASL right?");
            TopicError { reason, unanswered: true }
        }
    }
}
