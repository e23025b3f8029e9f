//! What a cluster says of a topic.

use crate::Context;
use futures_executor::block_on;
use headwater_contracts::{KafkaCluster, Mechanism};
use rdkafka::{
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    error::KafkaError,
    producer::Producer as _,
};
use std::time::Duration;

/// Longest wait for the cluster's answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// `max.message.bytes` of a topic: the largest batch of records, and so the largest record, that its brokers take. Where
/// [nobody can be asked](administrable), there is no limit but the sink's own. Blocking.
pub fn max_record_bytes(cluster: &KafkaCluster, topic: &str) -> Result<usize, String> {
    if !administrable(cluster) {
        return Ok(usize::MAX);
    }
    let said = topic_option(cluster, topic, "max.message.bytes")?;
    said.parse().map_err(|_| format!("`max.message.bytes` of the topic is `{said}`"))
}

/// An option of a topic, as its cluster has it. Blocking.
pub fn topic_option(cluster: &KafkaCluster, topic: &str, name: &str) -> Result<String, String> {
    let config = crate::client(cluster).map_err(|error| error.to_string())?;
    let admin: AdminClient<Context> =
        crate::create(cluster, &config, Context::new(cluster)).map_err(|e| e.to_string())?;
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let described = block_on(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options));
    let described = described.map_err(|error| error.to_string())?;
    let topic_config = described.into_iter().next().ok_or("no answer")?.map_err(|code| code.to_string())?;
    let said = topic_config.get(name).and_then(|entry| entry.value.clone());
    said.ok_or_else(|| match exists(&admin, topic) {
        Ok(false) => "it does not exist: create it, or mend its name".to_owned(),
        Ok(true) => format!("it does not say its `{name}`"),
        Err(error) => error.to_string(),
    })
}

/// How many brokers a cluster has that answers, and lets us in. Blocking.
pub fn reach(cluster: &KafkaCluster, wait: Duration) -> Result<usize, String> {
    let producer = crate::producer(cluster, &[]).map_err(|error| format!("`{}`: {error}", error.field))?;
    let metadata = producer.client().fetch_metadata(None, wait);
    let brokers = &cluster.bootstrap_servers;
    let advice = |error: KafkaError| format!("{error}; is the cluster up, and are {brokers}, TLS and SASL right?");
    metadata.map(|metadata| metadata.brokers().len()).map_err(advice)
}

/// Whether there is such a topic. Some brokers describe one that is not there, as one without options.
fn exists(admin: &AdminClient<Context>, topic: &str) -> Result<bool, KafkaError> {
    let metadata = admin.inner().fetch_metadata(Some(topic), TIMEOUT)?;
    Ok(metadata.topics().iter().any(|found| found.name() == topic && found.error().is_none()))
}

/// Whether a cluster can be asked about topics, and told to make them: rdkafka's admin client fetches no bearer tokens.
pub fn administrable(cluster: &KafkaCluster) -> bool {
    cluster.sasl.as_ref().is_none_or(|sasl| sasl.mechanism != Mechanism::Oauthbearer)
}
