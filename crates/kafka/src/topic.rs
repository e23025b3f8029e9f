//! What a cluster says of a topic.

use crate::{Context, Producer, explain, is_denied};
use chrono::{DateTime, TimeDelta, Utc};
use futures_executor::block_on;
use headwater_contracts::{ConfigError, KafkaCluster, Mechanism, Outgoing};
use rdkafka::{
    ClientContext,
    admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier},
    client::Client,
    error::KafkaError,
    producer::Producer as _,
    types::RDKafkaErrorCode,
};
use std::time::Duration;

/// Longest wait for the cluster's answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for it where something has failed already.
pub const BRIEFLY: Duration = Duration::from_secs(5);

/// What a topic takes, and for how long it keeps it. Without a word of the cluster: everything, for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// `max.message.bytes`: the largest batch of records, and so the largest record.
    pub bytes: Option<usize>,
    /// `message.timestamp.before.max.ms`: how old a record may be.
    pub before: Option<TimeDelta>,
    /// `message.timestamp.after.max.ms`: how far ahead of the brokers' clock.
    pub after: Option<TimeDelta>,
    /// `retention.ms`, where it is counted from the records' own time and something is deleted by it.
    pub retention: Option<TimeDelta>,
    /// `cleanup.policy` has `compact`: a record without a key is refused.
    pub compacted: bool,
}

/// Why a topic cannot be written to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unseen {
    /// What failed, and what to do.
    pub reason: String,
    /// Whether the cluster refuses who we are, or what we may do.
    pub denied: bool,
}

fn admin(cluster: &KafkaCluster) -> Result<AdminClient<Context>, ConfigError> {
    crate::create(cluster, &crate::client(cluster)?, Context::new(cluster))
}

impl From<ConfigError> for Unseen {
    fn from(error: ConfigError) -> Self {
        Self { reason: format!("`{}`: {error}", error.field), denied: false }
    }
}

/// Whether a topic is there for us, as far as the cluster says without its being written to. Blocking.
pub fn find(cluster: &KafkaCluster, topic: &str) -> Result<(), Unseen> {
    if !administrable(cluster) {
        return Ok(());
    }
    seen(admin(cluster)?.inner(), cluster, topic)
}

/// The same, by a client that is there. Blocking.
pub fn find_by(producer: &Producer, cluster: &KafkaCluster, topic: &str) -> Result<(), Unseen> {
    seen(producer.client(), cluster, topic)
}

fn seen<C: ClientContext>(client: &Client<C>, cluster: &KafkaCluster, topic: &str) -> Result<(), Unseen> {
    let reason = |error: &KafkaError| explain(topic, &cluster.bootstrap_servers, error);
    look(client, topic).map_or(Ok(()), |error| Err(Unseen { reason: reason(&error), denied: is_denied(&error) }))
}

/// What a topic takes; `Err` says why that is not told, and what to do. Blocking.
pub fn limits(cluster: &KafkaCluster, topic: &str) -> Result<Limits, String> {
    if !administrable(cluster) {
        return Err("with `oauthbearer` the cluster cannot be asked".to_owned());
    }
    let admin = admin(cluster).map_err(|error| error.to_string())?;
    describe(&admin, topic).map(|config| Limits::of(&config))
}

/// Connects to a cluster, and is let in: how many brokers it has. Blocking.
pub fn meet(cluster: &KafkaCluster, wait: Duration) -> Result<usize, Unseen> {
    // Not an admin client, which fetches no bearer tokens.
    let met = crate::producer(cluster, &[])?.client().fetch_metadata(None, wait);
    let brokers = &cluster.bootstrap_servers;
    let advice =
        |error| format!("no answer from {brokers}: {error}; is the cluster up, and are address, TLS and SASL right?");
    met.map(|metadata| metadata.brokers().len())
        .map_err(|error| Unseen { denied: is_denied(&error), reason: advice(error) })
}

/// What keeps a topic from being written to, as far as a client's look shows. Blocking.
pub(crate) fn obstacle<C: ClientContext>(client: &Client<C>, topic: &str, brokers: &str) -> Option<String> {
    look(client, topic).map(|error| explain(topic, brokers, &error))
}

fn look<C: ClientContext>(client: &Client<C>, topic: &str) -> Option<KafkaError> {
    let told = match client.fetch_metadata(Some(topic), BRIEFLY) {
        Ok(told) => told,
        Err(error) => return Some(error),
    };
    let error = told.topics().iter().find(|found| found.name() == topic)?.error()?;
    let code = RDKafkaErrorCode::from(error);
    // A topic that was just made has leaders in a moment.
    let passes = matches!(code, RDKafkaErrorCode::LeaderNotAvailable);
    (!passes).then_some(KafkaError::MetadataFetch(code))
}

/// An option of a topic, as its cluster has it. Blocking.
pub fn topic_option(cluster: &KafkaCluster, topic: &str, name: &str) -> Result<String, String> {
    let admin = admin(cluster).map_err(|error| error.to_string())?;
    // Some brokers describe a topic that is not there, as one without options.
    let described = describe(&admin, topic);
    let said = described.and_then(|config| {
        let said = config.get(name).and_then(|entry| entry.value.clone());
        said.ok_or_else(|| format!("it does not say its `{name}`"))
    });
    said.map_err(|reason| obstacle(admin.inner(), topic, &cluster.bootstrap_servers).unwrap_or(reason))
}

/// The settings of a topic; `Err` also where there is none to be seen.
fn describe(admin: &AdminClient<Context>, topic: &str) -> Result<ConfigResource, String> {
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let described = block_on(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options));
    let described = described.map_err(|error| format!("its settings are not told: {error}"))?;
    let config = described.into_iter().next().ok_or("no answer")?.map_err(|code| code.to_string())?;
    if config.entries.is_empty() {
        return Err(format!("its settings may not be read: grant this user `DescribeConfigs` on topic `{topic}`"));
    }
    Ok(config)
}

/// Whether a cluster can be asked about topics, and told to make them: rdkafka's admin client fetches no bearer tokens.
pub fn administrable(cluster: &KafkaCluster) -> bool {
    cluster.sasl.as_ref().is_none_or(|sasl| sasl.mechanism != Mechanism::Oauthbearer)
}

impl Limits {
    fn of(config: &ConfigResource) -> Self {
        let said = |name: &str| config.get(name).and_then(|entry| entry.value.clone());
        Self::read(said)
    }

    /// What a topic's options say, by their names.
    fn read(said: impl Fn(&str) -> Option<String>) -> Self {
        // Numbers that are no limit are the largest there is, or negative.
        let time = |name: &str| said(name)?.parse().ok().filter(|ms| *ms >= 0).and_then(TimeDelta::try_milliseconds);
        let own_time = said("message.timestamp.type").is_none_or(|kind| kind == "CreateTime");
        let policy = said("cleanup.policy").unwrap_or_default();
        // What both were called up to Kafka 3.5.
        let difference = || time("message.timestamp.difference.max.ms");
        Self {
            bytes: said("max.message.bytes").and_then(|bytes| bytes.parse().ok()),
            before: time("message.timestamp.before.max.ms").or_else(difference).filter(|_| own_time),
            after: time("message.timestamp.after.max.ms").or_else(difference).filter(|_| own_time),
            retention: time("retention.ms").filter(|_| own_time && policy.contains("delete")),
            compacted: policy.contains("compact"),
        }
    }

    /// Why the brokers may refuse the record, if they see it so: their clock is another one, and they compress what they measure.
    pub fn objection(&self, record: &Outgoing, now: DateTime<Utc>) -> Option<String> {
        let (age, size) = (now - record.time, record.size());
        let time = record.time.to_rfc3339();
        let way_out = "correct it by a transform, or set `message.timestamp.type=LogAppendTime` there";
        if let Some(before) = self.before.filter(|before| age > *before) {
            return Some(format!(
                "its time {time} is older than the {} of `message.timestamp.before.max.ms`: raise that limit, {way_out}",
                span(before)
            ));
        }
        if let Some(after) = self.after.filter(|after| -age > *after) {
            return Some(format!(
                "its time {time} is further ahead than the {} of `message.timestamp.after.max.ms`: {way_out}",
                span(after)
            ));
        }
        if let Some(most) = self.bytes.filter(|most| size > *most) {
            return Some(format!(
                "it has {size} bytes before compression, and `max.message.bytes` is {most}: raise that, or lower `max_record_bytes` \
                 here, so that `raw_data` is left out"
            ));
        }
        (self.compacted && record.key.is_none()).then(|| "a compacted topic wants keys: set `key`".to_owned())
    }

    /// What to say if records of this age are written: that the brokers delete them soon.
    pub fn brevity(&self, topic: &str, age: TimeDelta) -> Option<String> {
        let retention = self.retention.filter(|retention| age > *retention)?;
        Some(format!(
            "topic `{topic}` keeps records for {} (`retention.ms`), counted from the events' own time: the brokers delete older events \
             within minutes. Raise `retention.ms`, or set `message.timestamp.type=LogAppendTime`",
            span(retention)
        ))
    }
}

/// A time in words, exact.
fn span(time: TimeDelta) -> String {
    let ms = time.num_milliseconds();
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")] {
        if ms % unit == 0 && ms > 0 {
            return format!("{}{name}", ms / unit);
        }
    }
    format!("{ms}ms")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test's way to say that it failed
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::collections::HashMap;

    fn limits(options: &[(&str, &str)]) -> Limits {
        let options: HashMap<&str, &str> = options.iter().copied().collect();
        Limits::read(|name| options.get(name).map(|value| (*value).to_owned()))
    }

    fn record(time: &str) -> Outgoing {
        let (topic, value) = ("t".to_owned(), Bytes::from_static(b"{}"));
        Outgoing { topic, key: None, value, headers: vec![], time: time.parse().unwrap() }
    }

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().unwrap()
    }

    const NOW: &str = "2026-11-01T00:00:00Z";

    #[test]
    fn kafkas_defaults_refuse_the_future_and_nothing_else() {
        let defaults = limits(&[
            ("cleanup.policy", "delete"),
            ("max.message.bytes", "1048588"),
            ("message.timestamp.after.max.ms", "3600000"),
            ("message.timestamp.before.max.ms", "9223372036854775807"),
            ("message.timestamp.type", "CreateTime"),
            ("retention.ms", "604800000"),
        ]);
        let objection = |time| defaults.objection(&record(time), at(NOW));
        assert_eq!(objection("1970-01-01T00:00:01Z"), None);
        assert_eq!(objection("2026-11-01T00:59:59Z"), None);
        let said = objection("2100-01-01T00:00:00Z").unwrap();
        assert!(
            said.contains("2100-01-01T00:00:00") && said.contains("1h of `message.timestamp.after.max.ms`"),
            "{said}"
        );
        assert_eq!(defaults.brevity("t", TimeDelta::days(7)), None);
        assert!(defaults.brevity("t", TimeDelta::days(8)).unwrap().contains("for 7d (`retention.ms`)"));
    }

    #[test]
    fn other_settings_refuse_what_they_say() {
        let old = limits(&[("message.timestamp.difference.max.ms", "86400000")]);
        assert!(old.objection(&record("2026-10-30T00:00:00Z"), at(NOW)).unwrap().contains("1d"));
        assert!(old.objection(&record("2026-11-02T00:00:01Z"), at(NOW)).is_some());
        let compacted =
            limits(&[("cleanup.policy", "compact"), ("retention.ms", "1000"), ("max.message.bytes", "200")]);
        assert!(compacted.objection(&record(NOW), at(NOW)).unwrap().contains("`max.message.bytes` is 200"));
        let keyless = Limits { bytes: None, ..compacted.clone() };
        assert!(keyless.objection(&record(NOW), at(NOW)).unwrap().contains("wants keys"));
        assert_eq!(compacted.brevity("t", TimeDelta::days(8)), None);
        let appended = limits(&[
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "1"),
            ("cleanup.policy", "delete"),
            ("retention.ms", "1"),
        ]);
        assert_eq!(appended.objection(&record("1999-01-01T00:00:00Z"), at(NOW)), None);
        assert_eq!(appended.brevity("t", TimeDelta::days(8)), None);
        assert_eq!(limits(&[]), Limits::default());
    }
}
