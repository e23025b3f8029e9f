//! The sink: `deliver`, at least once or exactly once.
//!
//! A broker that refuses one record of a batch refuses its neighbours with it. So a record counts as refused only if it travelled alone:
//! those that are doubtful by their topic's limits do at once, those that were refused together do in a second pass.

use crate::{
    config::{Compression, Delivery as Mode},
    encode::{Codec, Encoder},
    topics::Topics,
};
use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use headwater_contracts::{
    ConfigError, Delivery, Destination, Event, Identity, KafkaCluster, Outbox, Outgoing, Period, Rejected, Sink,
    SinkError, Staged,
};
use headwater_kafka::{
    BATCH_SIZE, BRIEFLY, Context, Producer, Verdict, explain, is_denied, producer_with, refused, send, verdict,
};
use rdkafka::{error::KafkaError, producer::DeliveryFuture, types::RDKafkaErrorCode};
use std::{collections::VecDeque, sync::Arc};

/// Most bytes in a batch before compression, unless the user or a topic says otherwise.
const BATCH_BYTES: usize = 65_536;

/// The sink.
pub struct KafkaSink {
    cluster: KafkaCluster,
    encoder: Encoder,
    compression: Compression,
    mode: Mode,
    timeout: Period,
    pub(crate) destination: Option<Destination>,
    outbox: Option<Arc<dyn Outbox>>,
    /// And most bytes in its batches.
    producer: Option<(Producer, usize)>,
    /// What the producer hears.
    context: Context,
    /// Whether the cluster has refused what we may do, in this attempt.
    denied: bool,
    batch: Batch,
    topics: Topics,
}

/// The batch that is being delivered: a second attempt leaves out what the first has settled.
#[derive(Default)]
struct Batch {
    events: Vec<Identity>,
    fates: Vec<Fate>,
}

enum Fate {
    /// To be sent. What its topic's limits say against it, where they do: then it travels alone.
    Open(Outgoing, Option<String>),
    /// Refused together with others: it travels alone.
    Suspect(Outgoing, Option<String>),
    Delivered,
    Rejected(String),
}

impl Fate {
    fn is_open(&self) -> bool {
        matches!(self, Self::Open(..) | Self::Suspect(..))
    }
}

/// What is sent, and whose answer is waited for.
struct UnderWay {
    at: usize,
    delivery: DeliveryFuture,
    alone: bool,
}

impl KafkaSink {
    pub(crate) fn new(
        cluster: KafkaCluster,
        encoder: Encoder,
        compression: Compression,
        mode: Mode,
        timeout: Period,
    ) -> Self {
        let (outbox, producer, denied, batch, topics) = Default::default();
        let context = Context::new(&cluster);
        Self {
            cluster,
            encoder,
            compression,
            mode,
            timeout,
            destination: None,
            outbox,
            producer,
            context,
            denied,
            batch,
            topics,
        }
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

    /// Looks at the cluster and, where it is the same for all events, at the topic. `oldest` is the age of the oldest events that are to be
    /// read. What may go wrong later; `Err` says what is wrong already. Writes nothing: whether we may shows with the first record.
    async fn look(&self, oldest: TimeDelta) -> Result<Vec<String>, String> {
        let Some(topic) = self.encoder.topic.fixed().map(str::to_owned) else {
            let cluster = self.cluster.clone();
            let met = tokio::task::spawn_blocking(move || headwater_kafka::meet(&cluster, BRIEFLY)).await;
            met.map_err(|panic| panic.to_string())?.map_err(|error| error.to_string())?;
            return Ok(vec![
                "the topic differs from event to event: whether it exists shows with the first".to_owned(),
            ]);
        };
        let (cluster, name) = (self.cluster.clone(), topic.clone());
        let looked = tokio::task::spawn_blocking(move || {
            headwater_kafka::find(&cluster, &name).map_err(|error| error.to_string())?;
            Ok::<_, String>(headwater_kafka::limits(&cluster, &name))
        });
        let limits = match looked.await.map_err(|panic| panic.to_string())?? {
            Ok(limits) => limits,
            Err(why) => return Ok(vec![format!("the limits of topic `{topic}` are not known: {why}")]),
        };
        let mut warnings = Vec::new();
        warnings.extend(limits.brevity(&topic, oldest));
        if let Some(before) = limits.before.filter(|before| oldest > *before) {
            warnings.push(format!(
                "topic `{topic}` refuses events as old as `start_at`: its `message.timestamp.before.max.ms` is {}",
                before.num_milliseconds()
            ));
        }
        if let Some(bytes) = limits.bytes.filter(|bytes| *bytes < self.encoder.max) {
            warnings.push(format!(
                "topic `{topic}` takes {bytes} bytes (`max.message.bytes`), and `max_record_bytes` is {}: larger events are refused; \
                 lower it, so that `raw_data` is left out instead",
                self.encoder.max
            ));
        }
        if limits.compacted && self.encoder.key == crate::key::Key::None {
            warnings.push(format!("topic `{topic}` is compacted and refuses records without a key: set `key`"));
        }
        Ok(warnings)
    }

    fn producer(&mut self) -> Result<Producer, SinkError> {
        let said = self.cluster.librdkafka_options.get(BATCH_SIZE).and_then(|said| said.parse().ok());
        // A topic's limit is for a whole batch, however small its records.
        let batch = said.unwrap_or(BATCH_BYTES).min(self.topics.least());
        if let Some((producer, _)) = self.producer.as_ref().filter(|(_, bytes)| *bytes == batch) {
            return Ok(producer.clone());
        }
        let mut cluster = self.cluster.clone();
        cluster.librdkafka_options.insert(BATCH_SIZE.to_owned(), batch.to_string());
        let (timeout, max) = (self.timeout.0.num_milliseconds().to_string(), self.encoder.max.to_string());
        let options = [
            ("message.timeout.ms", timeout.as_str()),
            ("message.max.bytes", max.as_str()),
            ("compression.type", self.compression.name()),
            ("linger.ms", "5"),
        ];
        let made = producer_with(&cluster, &options, self.context.clone());
        let made = made.map_err(|error| SinkError::Fatal(format!("`{}`: {error}", error.field)))?;
        Ok(self.producer.insert((made, batch)).0.clone())
    }

    /// Makes the records of a batch, and looks at their topics.
    async fn take_up(&mut self, events: &[Event]) -> Result<(), SinkError> {
        if !events.iter().map(|event| event.identity).eq(self.batch.events.iter().copied()) {
            let fates = events.iter().map(|event| match self.encoder.encode(event) {
                Ok(record) => Fate::Open(record, None),
                Err(reason) => Fate::Rejected(reason),
            });
            let fates = fates.collect();
            self.batch = Batch { events: events.iter().map(|event| event.identity).collect(), fates };
        }
        self.topics.next_batch();
        let producer = if self.outbox.is_none() { Some(self.producer()?) } else { None };
        let open = self.batch.fates.iter().filter_map(|fate| match fate {
            Fate::Open(record, _) | Fate::Suspect(record, _) => Some(record),
            Fate::Delivered | Fate::Rejected(_) => None,
        });
        self.topics.learn(&self.cluster, producer.as_ref(), open).await?;
        let now = Utc::now();
        for fate in &mut self.batch.fates {
            if let Fate::Open(record, doubt) = fate {
                if self.outbox.is_some() {
                    // What is said of it in a transaction is said now.
                    self.topics.told(&record.topic).await;
                }
                *doubt = self.topics.doubt(&self.cluster, record, now).await;
                self.topics.note(record);
            }
        }
        Ok(())
    }

    /// Sends what is open until nothing is; gives the reason if something stays so.
    async fn produce(&mut self) -> Result<(), SinkError> {
        while self.batch.fates.iter().any(Fate::is_open) {
            if let Some(reason) = self.pass().await? {
                return Err(SinkError::Retry { reason, after: None });
            }
        }
        Ok(())
    }

    /// Sends what is open, once; the reason if something of it has to wait.
    async fn pass(&mut self) -> Result<Option<String>, SinkError> {
        let producer = self.producer()?;
        let mut under_way: VecDeque<UnderWay> = VecDeque::new();
        let mut problem = None;
        let only = self.batch.fates.iter().filter(|fate| fate.is_open()).count() == 1;
        for at in 0..self.batch.fates.len() {
            let alone = match &self.batch.fates[at] {
                Fate::Open(_, doubt) => only || doubt.is_some(),
                Fate::Suspect(..) => true,
                Fate::Delivered | Fate::Rejected(_) => continue,
            };
            while alone && let Some(first) = under_way.pop_front() {
                problem = self.settle(first).await.or(problem);
            }
            while let Fate::Open(record, _) | Fate::Suspect(record, _) = &self.batch.fates[at] {
                match send(&producer, record) {
                    Ok(Some(delivery)) => {
                        under_way.push_back(UnderWay { at, delivery, alone });
                        break;
                    }
                    // Full: librdkafka holds what we wait for, so one of ours has to leave.
                    Ok(None) => match under_way.pop_front() {
                        Some(first) => problem = self.settle(first).await.or(problem),
                        None => tokio::task::yield_now().await,
                    },
                    // It has not met any other.
                    Err(error) => {
                        self.look_again(at, true, &error).await;
                        problem = self.judge(at, true, &error).or(problem);
                        break;
                    }
                }
            }
            while alone && let Some(first) = under_way.pop_front() {
                problem = self.settle(first).await.or(problem);
            }
        }
        while let Some(first) = under_way.pop_front() {
            problem = self.settle(first).await.or(problem);
        }
        Ok(problem)
    }

    /// Waits for the cluster's word on a record; the reason if it has to be sent again.
    async fn settle(&mut self, UnderWay { at, delivery, alone }: UnderWay) -> Option<String> {
        match delivery.await {
            Ok(Ok(_)) => {
                self.batch.fates[at] = Fate::Delivered;
                None
            }
            Ok(Err((error, _))) => {
                self.look_again(at, alone, &error).await;
                self.judge(at, alone, &error)
            }
            Err(_) => Some("the Kafka client was closed".to_owned()),
        }
    }

    /// Looks for what a record that is refused for good breaks, if that is not known.
    async fn look_again(&mut self, at: usize, alone: bool, error: &KafkaError) {
        if alone
            && verdict(error) == Verdict::Rejected
            && let Some(Fate::Open(record, doubt @ None) | Fate::Suspect(record, doubt @ None)) =
                self.batch.fates.get_mut(at)
        {
            self.topics.told(&record.topic).await;
            *doubt = self.topics.objection(record, Utc::now());
        }
    }

    fn judge(&mut self, at: usize, alone: bool, error: &KafkaError) -> Option<String> {
        let brokers = &self.cluster.bootstrap_servers;
        let (record, doubt) = match std::mem::replace(&mut self.batch.fates[at], Fate::Delivered) {
            Fate::Open(record, doubt) | Fate::Suspect(record, doubt) => (record, doubt),
            settled => {
                self.batch.fates[at] = settled;
                return None;
            }
        };
        let verdict = verdict(error);
        if verdict == Verdict::Rejected {
            self.batch.fates[at] = if alone {
                Fate::Rejected(refused(&record, doubt.as_deref(), brokers, error))
            } else {
                Fate::Suspect(record, doubt)
            };
            return None;
        }
        let reason = explain(&record.topic, brokers, error);
        self.denied |= is_denied(error);
        self.batch.fates[at] = Fate::Open(record, doubt);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::InvalidDifferentRecord) {
            // A neighbour is at fault: it goes on without that one.
            return None;
        }
        if verdict == Verdict::Fenced {
            // An idempotent producer that lost count cannot go on; a new one counts anew.
            self.producer = None;
        }
        Some(reason)
    }

    /// Hands the batch to the ledger's transaction. All or nothing, and nothing to wait for any more: a batch that is given up before has
    /// staged no event.
    fn stage(&mut self, outbox: &Arc<dyn Outbox>, events: &[Event]) {
        for (fate, event) in self.batch.fates.iter_mut().zip(events) {
            match std::mem::replace(fate, Fate::Delivered) {
                Fate::Open(record, doubt) | Fate::Suspect(record, doubt) => {
                    let encoded = self.encoder.shown(event, &record);
                    let event = Event { encoded, ..without_value(event) };
                    let most = self.topics.most(&record.topic);
                    outbox.stage(Staged { event, record, doubt, most });
                }
                settled => *fate = settled,
            }
        }
    }
}

/// What of an event can wait for long: its value takes many times its bytes.
fn without_value(event: &Event) -> Event {
    Event {
        origin: event.origin.clone(),
        id: event.id.clone(),
        suspicious: event.suspicious.clone(),
        raw: event.raw.clone(),
        encoded: None,
        value: None,
        metadata: None,
        ..*event
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

    async fn probe(&mut self, oldest: Period) -> Result<String, String> {
        let warnings = self.look(oldest.0).await?;
        let seen = self
            .encoder
            .topic
            .fixed()
            .map_or("the cluster answers".to_owned(), |topic| format!("topic `{topic}` exists"));
        Ok(std::iter::once(seen)
            .chain(warnings.into_iter().map(|warning| format!("warning: {warning}")))
            .collect::<Vec<_>>()
            .join("; "))
    }

    fn destination(&self) -> Option<Destination> {
        self.destination.clone()
    }

    fn remarks(&self) -> Vec<ConfigError> {
        self.cluster.remark().into_iter().collect()
    }

    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        self.denied = false;
        match (self.attempt(events).await, self.context.denial()) {
            (Err(SinkError::Retry { reason, .. }), Some(denial)) => {
                Err(SinkError::Denied(format!("{denial}: {reason}")))
            }
            (Err(SinkError::Retry { reason, .. }), None) if self.denied => Err(SinkError::Denied(reason)),
            (Ok(delivery), _) => {
                self.context.let_in();
                Ok(delivery)
            }
            (other, _) => other,
        }
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.topics.warn_of_retention(Utc::now());
        Ok(())
    }
}

impl KafkaSink {
    /// Delivers what is open.
    async fn attempt(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        self.prepare(events).await?;
        self.take_up(events).await?;
        match self.outbox.clone() {
            Some(outbox) => self.stage(&outbox, events),
            None => self.produce().await?,
        }
        self.topics.warn_of_retention(Utc::now());
        let fates = std::mem::take(&mut self.batch).fates.into_iter().enumerate();
        let rejected = fates.filter_map(|(index, fate)| match fate {
            Fate::Rejected(reason) => Some(Rejected { index, reason }),
            Fate::Open(..) | Fate::Suspect(..) | Fate::Delivered => None,
        });
        Ok(Delivery { rejected: rejected.collect() })
    }
}
