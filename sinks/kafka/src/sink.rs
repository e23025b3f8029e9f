//! The sink: `deliver`, at least once or exactly once.

use crate::{
    config::{Compression, Delivery as Mode},
    encode::{Codec, Encoder},
};
use async_trait::async_trait;
use headwater_contracts::{
    ConfigError, Delivery, Event, Identity, KafkaCluster, Outbox, Outgoing, Period, Rejected, Sink, SinkError,
};
use headwater_kafka::{Producer, Verdict, send, verdict};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryFuture, Producer as _},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// The sink.
pub struct KafkaSink {
    cluster: KafkaCluster,
    encoder: Encoder,
    compression: Compression,
    mode: Mode,
    timeout: Period,
    /// A broker, or the schema registry, that is not this machine.
    pub(crate) outside: Option<String>,
    outbox: Option<Arc<dyn Outbox>>,
    producer: Option<Producer>,
    batch: Batch,
    /// By topic, the largest record that its brokers take.
    limits: HashMap<String, usize>,
}

/// What became of the batch that is being delivered: a second attempt leaves out what the first has settled.
#[derive(Default)]
struct Batch {
    events: Vec<Identity>,
    fates: Vec<Fate>,
}

#[derive(Clone, PartialEq)]
enum Fate {
    Open,
    Delivered,
    Rejected(String),
}

impl KafkaSink {
    pub(crate) fn new(
        cluster: KafkaCluster,
        encoder: Encoder,
        compression: Compression,
        mode: Mode,
        timeout: Period,
    ) -> Self {
        let (outbox, producer, batch, limits) = Default::default();
        Self { cluster, encoder, compression, mode, timeout, outside: None, outbox, producer, batch, limits }
    }

    /// Asks the schema registry for what [`KafkaSink::encode`] will need of it for these events. Answers are kept, so that most calls ask nothing.
    /// `Err` is [`SinkError::Retry`] and says what to do: no event is at fault, and all that can be wrong can be mended while we wait.
    pub async fn prepare(&mut self, events: &[Event]) -> Result<(), SinkError> {
        let fixed = self.encoder.subject_is_fixed();
        for event in events {
            // An event without a subject has no record either; `encode` says so.
            let Ok(Some(subject)) = self.encoder.subject(event) else { continue };
            let Codec::Schema(subjects) = &mut self.encoder.codec else { break };
            subjects.learn(&subject).await.map_err(|reason| SinkError::Retry { reason, after: None })?;
            if fixed {
                break;
            }
        }
        Ok(())
    }

    /// The record of an event, once [`KafkaSink::prepare`] has seen it; `Err` says why it cannot be one.
    pub fn encode(&self, event: &Event) -> Result<Outgoing, String> {
        self.encoder.encode(event)
    }

    fn producer(&mut self) -> Result<Producer, SinkError> {
        if let Some(producer) = &self.producer {
            return Ok(producer.clone());
        }
        let (timeout, max) = (self.timeout.0.num_milliseconds().to_string(), self.encoder.max.to_string());
        let options = [
            ("message.timeout.ms", timeout.as_str()),
            ("message.max.bytes", max.as_str()),
            ("compression.type", self.compression.name()),
            ("linger.ms", "5"),
        ];
        let made = headwater_kafka::producer(&self.cluster, &options);
        let made = made.map_err(|error| SinkError::Fatal(format!("`{}`: {error}", error.field)))?;
        Ok(self.producer.insert(made).clone())
    }

    /// Sends what is open; gives the reason if something stays so.
    async fn produce(&mut self, events: &[Event]) -> Result<(), SinkError> {
        let producer = self.producer()?;
        let mut under_way: VecDeque<(usize, String, DeliveryFuture)> = VecDeque::new();
        let mut problem = None;
        for (at, event) in events.iter().enumerate() {
            if self.batch.fates[at] != Fate::Open {
                continue;
            }
            let record = match self.encoder.encode(event) {
                Ok(record) => record,
                Err(reason) => {
                    self.batch.fates[at] = Fate::Rejected(reason);
                    continue;
                }
            };
            loop {
                match send(&producer, &record) {
                    Ok(Some(delivery)) => {
                        under_way.push_back((at, record.topic, delivery));
                        break;
                    }
                    // Full: librdkafka holds what we wait for, so one of ours has to leave.
                    Ok(None) => match under_way.pop_front() {
                        Some(first) => problem = self.settle(first).await.or(problem),
                        None => tokio::task::yield_now().await,
                    },
                    Err(error) => {
                        problem = self.judge(at, &record.topic, &error).or(problem);
                        break;
                    }
                }
            }
        }
        while let Some(first) = under_way.pop_front() {
            problem = self.settle(first).await.or(problem);
        }
        problem.map_or(Ok(()), |reason| Err(SinkError::Retry { reason, after: None }))
    }

    /// Waits for the cluster's word on a record; the reason if it has to be sent again.
    async fn settle(&mut self, (at, topic, delivery): (usize, String, DeliveryFuture)) -> Option<String> {
        match delivery.await {
            Ok(Ok(_)) => {
                self.batch.fates[at] = Fate::Delivered;
                None
            }
            Ok(Err((error, _))) => self.judge(at, &topic, &error),
            Err(_) => Some("the Kafka client was closed".to_owned()),
        }
    }

    fn judge(&mut self, at: usize, topic: &str, error: &KafkaError) -> Option<String> {
        let reason = explain(topic, &self.cluster.bootstrap_servers, error);
        match verdict(error) {
            Verdict::Rejected => {
                self.batch.fates[at] = Fate::Rejected(reason);
                None
            }
            Verdict::Retry => Some(reason),
            Verdict::Fenced => {
                // An idempotent producer that lost count cannot go on; a new one counts anew.
                self.producer = None;
                Some(reason)
            }
        }
    }

    /// Hands events to the ledger's transaction.
    async fn stage(&mut self, outbox: &Arc<dyn Outbox>, events: &[Event]) -> Result<Vec<Rejected>, SinkError> {
        let mut rejected = Vec::new();
        let mut staged = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let record = match self.encoder.encode(event) {
                Ok(record) => record,
                Err(reason) => {
                    rejected.push(Rejected { index, reason });
                    continue;
                }
            };
            let limit = self.limit(outbox, &record.topic).await?;
            let size = record.size();
            if size > limit {
                let reason = format!(
                    "the record has {size} bytes, and topic `{}` takes {limit} (`max.message.bytes`): raise it there, or lower \
                     `max_record_bytes` here, so that `raw_data` is left out",
                    record.topic
                );
                rejected.push(Rejected { index, reason });
                continue;
            }
            staged.push((event, record));
        }
        // All or nothing, and nothing to wait for any more: a batch that is given up before has staged no event.
        for (event, record) in staged {
            outbox.stage(&event.origin, event.identity, record);
        }
        Ok(rejected)
    }

    /// What a topic's brokers take in one record; within a transaction their refusal would undo everything.
    async fn limit(&mut self, outbox: &Arc<dyn Outbox>, topic: &str) -> Result<usize, SinkError> {
        if let Some(limit) = self.limits.get(topic) {
            return Ok(*limit);
        }
        let (asked, name) = (outbox.clone(), topic.to_owned());
        let answer = tokio::task::spawn_blocking(move || asked.max_record_bytes(&name)).await;
        match answer {
            Ok(Ok(limit)) => {
                self.limits.insert(topic.to_owned(), limit);
                Ok(limit)
            }
            Ok(Err(reason)) => Err(SinkError::Retry {
                reason: format!("cannot ask {} about topic `{topic}`: {reason}", self.cluster.bootstrap_servers),
                after: None,
            }),
            Err(panic) => Err(SinkError::Fatal(panic.to_string())),
        }
    }
}

#[async_trait]
impl Sink for KafkaSink {
    fn topic(&self) -> Option<(&KafkaCluster, &str)> {
        self.encoder.topic.fixed().map(|topic| (&self.cluster, topic))
    }

    fn join(&mut self, outbox: Option<Arc<dyn Outbox>>) -> Result<(), ConfigError> {
        if self.mode == Mode::AtLeastOnce {
            return Ok(());
        }
        let outbox = outbox.ok_or_else(|| {
            let needed = "`exactly_once` needs the ledger on the same cluster, so that both change together: write \
                          `state: { type: kafka, bootstrap_servers: .., group: .. }`, or `delivery: at_least_once`";
            ConfigError::new("delivery", needed)
        })?;
        outbox.check(&self.cluster)?;
        self.outbox = Some(outbox);
        Ok(())
    }

    /// Asks the cluster who it is, and for the topic, if it is the same for all records.
    async fn probe(&mut self) -> Result<String, String> {
        let producer = self.producer().map_err(|error| error.to_string())?;
        let topic = self.encoder.topic.fixed().map(str::to_owned);
        let (brokers, wait) = (self.cluster.bootstrap_servers.clone(), self.timeout.to_std());
        let asked = tokio::task::spawn_blocking(move || {
            let shown = topic.as_deref().unwrap_or("(any)");
            let metadata = producer.client().fetch_metadata(topic.as_deref(), wait);
            let metadata = metadata.map_err(|error| explain(shown, &brokers, &error))?;
            let Some(topic) = &topic else { return Ok(format!("{} brokers", metadata.brokers().len())) };
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            match found.map(|found| (found.error(), found.partitions().len())) {
                Some((None, partitions)) if partitions > 0 => {
                    Ok(format!("topic `{topic}` has {partitions} partitions"))
                }
                Some((Some(code), _)) => Err(explain(topic, &brokers, &KafkaError::MetadataFetch(code.into()))),
                _ => Err(format!("topic `{topic}` does not exist: create it")),
            }
        });
        asked.await.map_err(|panic| panic.to_string())?
    }

    fn outside(&self) -> Option<String> {
        self.outside.clone()
    }

    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        self.prepare(events).await?;
        if let Some(outbox) = self.outbox.clone() {
            return Ok(Delivery { rejected: self.stage(&outbox, events).await? });
        }
        if !events.iter().map(|event| event.identity).eq(self.batch.events.iter().copied()) {
            self.batch = Batch {
                events: events.iter().map(|event| event.identity).collect(),
                fates: vec![Fate::Open; events.len()],
            };
        }
        self.produce(events).await?;
        let fates = std::mem::take(&mut self.batch).fates.into_iter().enumerate();
        let rejected = fates.filter_map(|(index, fate)| match fate {
            Fate::Rejected(reason) => Some(Rejected { index, reason }),
            Fate::Open | Fate::Delivered => None,
        });
        Ok(Delivery { rejected: rejected.collect() })
    }
}

/// What failed, and what to do.
fn explain(topic: &str, brokers: &str, error: &KafkaError) -> String {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    let advice = match code {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            format!("topic `{topic}` does not exist: create it")
        }
        Some(Code::TopicAuthorizationFailed) => {
            format!("may not write to topic `{topic}`: grant this user `Write` on it")
        }
        Some(Code::ClusterAuthorizationFailed) => {
            "may not write idempotently: grant this user `IdempotentWrite`".to_owned()
        }
        Some(Code::MessageTimedOut | Code::AllBrokersDown | Code::BrokerTransportFailure) => {
            format!(
                "no answer from {brokers} in time for topic `{topic}`: does it exist, is the cluster up, and are address, TLS and \
                 SASL right?"
            )
        }
        Some(Code::MessageSizeTooLarge) => format!(
            "too large for topic `{topic}`: raise its `max.message.bytes`, or lower `max_record_bytes` here, so that \
             `raw_data` is left out"
        ),
        Some(Code::InvalidRecord) => format!("topic `{topic}` refuses it (a compacted topic wants keys)"),
        _ => format!("topic `{topic}`"),
    };
    match code {
        Some(code) => format!("{advice} ({code})"),
        None => format!("{advice}: {error}"),
    }
}
