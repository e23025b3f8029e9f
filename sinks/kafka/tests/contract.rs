//! The sink suite against librdkafka's mock cluster. It takes transactions without honouring them, so that `exactly_once` is
//! tested with a real cluster only.
#![allow(clippy::unwrap_used, clippy::panic)] // Test code: a panic is how it fails.

#[allow(dead_code, reason = "what this test needs of it")]
#[path = "schemas/registry.rs"]
mod registry;

use async_trait::async_trait;
use headwater_contracts::{Period, Sink, SinkError};
use headwater_sink_kafka::{KafkaConfig, Newest, RecordSchema};
use headwater_testkit::sink_suite::{Arrival, Destination, Outage, event, sink_contract};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use serde_json::json;
use std::{sync::mpsc, thread, time::Duration};

type Mock = MockCluster<'static, DefaultProducerContext>;
type Task = Box<dyn FnOnce(&Mock) + Send>;

/// A mock cluster, which must stay on the thread that made it.
struct Cluster {
    tasks: mpsc::Sender<Task>,
    bootstrap: String,
    /// A schema registry; records are Avro then.
    registry: Option<String>,
}

/// The suite's events. Their id is in the JSON.
const SCHEMA: &str = r#"{"type": "record", "name": "E", "fields": [{"name": "text", "type": "string"}, {"name": "event_json", "type": "string"}]}"#;

impl Cluster {
    fn new() -> Self {
        let (tasks, todo) = mpsc::channel::<Task>();
        let (made, bootstrap) = mpsc::channel();
        thread::spawn(move || {
            let cluster = MockCluster::new(1).unwrap();
            // One partition: the order is to be seen.
            cluster.create_topic("audit", 1, 1).unwrap();
            made.send(cluster.bootstrap_servers()).unwrap();
            for task in todo {
                task(&cluster);
            }
        });
        Self { tasks, bootstrap: bootstrap.recv().unwrap(), registry: None }
    }

    fn tell(&self, task: impl FnOnce(&Mock) + Send + 'static) {
        let (done, wait) = mpsc::channel();
        let task = move |cluster: &Mock| {
            task(cluster);
            done.send(()).unwrap();
        };
        self.tasks.send(Box::new(task)).unwrap();
        wait.recv().unwrap();
    }

    fn config(&self) -> KafkaConfig {
        let mut keys = json!({
            "bootstrap_servers": self.bootstrap, "topic": "audit", "key": "none", "timeout": "10s",
            "max_record_bytes": "4MiB",
            "librdkafka_options": { "reconnect.backoff.ms": "10", "reconnect.backoff.max.ms": "20", "retry.backoff.ms": "10" },
        });
        if let Some(url) = &self.registry {
            let avro = json!({ "encoding": "avro", "schema_registry": { "url": url } });
            keys.as_object_mut().unwrap().extend(avro.as_object().unwrap().clone());
        }
        let mut config: KafkaConfig = serde_json::from_value(keys).unwrap();
        config.schema = self.registry.as_ref().map(|_| RecordSchema::Newest(Newest::Latest));
        config
    }
}

/// What an Avro record of [`SCHEMA`] holds.
fn from_avro(record: &[u8]) -> Option<Arrival> {
    let schema = apache_avro::Schema::parse_str(SCHEMA).ok()?;
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema).build().ok()?;
    let apache_avro::types::Value::Record(fields) = reader.read_value(&mut record.get(5..)?).ok()? else { return None };
    match &fields[..] {
        [(_, apache_avro::types::Value::String(text)), (_, apache_avro::types::Value::String(json))] => {
            Arrival::from_json(json.as_bytes()).filter(|arrival| arrival.text == *text)
        }
        _ => None,
    }
}

#[async_trait]
impl Destination for Cluster {
    fn sink(&mut self) -> Box<dyn Sink> {
        Box::new(self.config().sink().unwrap())
    }

    async fn arrivals(&mut self) -> Vec<Arrival> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "reader")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let mut all = TopicPartitionList::new();
        all.add_partition_offset("audit", 0, Offset::Beginning).unwrap();
        consumer.assign(&all).unwrap();
        let mut arrivals = Vec::new();
        loop {
            match consumer.poll(Duration::from_secs(20)).unwrap() {
                Ok(message) => {
                    let value = message.payload().unwrap();
                    let unreadable = || Arrival { id: "unreadable".to_owned(), text: String::new() };
                    let arrival = if self.registry.is_some() { from_avro(value) } else { Arrival::from_json(value) };
                    arrivals.push(arrival.unwrap_or_else(unreadable));
                }
                Err(KafkaError::PartitionEOF(_)) => return arrivals,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn break_down(&mut self, outage: Outage) -> bool {
        if outage == Outage::Down {
            self.tell(|cluster| cluster.broker_down(-1).unwrap());
        }
        outage == Outage::Down
    }

    async fn recover(&mut self) {
        self.tell(|cluster| cluster.broker_up(-1).unwrap());
    }
}

#[tokio::test]
async fn kafka_keeps_the_sink_contract() {
    sink_contract(Cluster::new).await;
}

#[tokio::test]
async fn kafka_keeps_the_sink_contract_with_a_schema() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = registry::Registry::start().await;
    registry.put("audit-value", "AVRO", SCHEMA);
    sink_contract(|| Cluster { registry: Some(registry.url.clone()), ..Cluster::new() }).await;
}

#[tokio::test]
async fn an_event_that_does_not_fit_is_rejected_and_the_others_arrive() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = registry::Registry::start().await;
    registry.put("audit-value", "AVRO", SCHEMA);
    let mut cluster = Cluster { registry: Some(registry.url.clone()), ..Cluster::new() };
    let mut odd = event("b", "text", true);
    odd.value = Some(json!({ "id": "b", "text": 5 }).into());
    let delivery = cluster.sink().deliver(&[event("a", "text", true), odd, event("c", "text", true)]).await.unwrap();
    assert_eq!(delivery.rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>(), [1]);
    let reason = &delivery.rejected[0].reason;
    assert!(reason.contains("`text`") && reason.contains("a string") && reason.contains("the number 5"), "{reason}");
    let ids: Vec<_> = cluster.arrivals().await.into_iter().map(|arrival| arrival.id).collect();
    assert_eq!(ids, ["a", "c"]);
}

#[tokio::test]
async fn a_record_that_the_broker_refuses_is_rejected_with_its_reason() {
    let mut cluster = Cluster::new();
    let mut sink = cluster.sink();
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD;
    cluster.tell(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &[refusal]));
    let delivery = sink.deliver(&[event("a", "b", true)]).await.unwrap();
    assert_eq!(delivery.rejected.len(), 1);
    assert!(delivery.rejected[0].reason.contains("refuses it"), "{}", delivery.rejected[0].reason);
}

#[tokio::test]
async fn a_right_that_is_missing_is_a_refusal_and_no_outage() {
    let mut cluster = Cluster::new();
    let mut sink = cluster.sink();
    let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.tell(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &[refusal]));
    let answer = sink.deliver(&[event("a", "b", true)]).await;
    assert!(matches!(&answer, Err(SinkError::Denied(reason)) if reason.contains("may not write")), "{answer:?}");
}

/// The mock refuses whole batches, as brokers do: the first, and then the third of those that travel alone.
#[tokio::test]
async fn one_bad_record_of_a_batch_is_rejected_alone() {
    let mut cluster = Cluster::new();
    let mut config = cluster.config();
    // All of them in one request.
    config.librdkafka_options.insert("linger.ms".into(), "500".into());
    let mut sink = config.sink().unwrap();
    let (bad, fine) = (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    cluster.tell(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &[bad, fine, fine, bad]));
    let events: Vec<_> = ["a", "b", "c", "d", "e"].map(|id| event(id, "text", true)).into();
    let delivery = sink.deliver(&events).await.unwrap();
    assert_eq!(delivery.rejected.iter().map(|rejected| rejected.index).collect::<Vec<_>>(), [2]);
    let reason = &delivery.rejected[0].reason;
    assert!(reason.contains("refuses its time, 2025-10-09T08:53:20"), "{reason}");
    let ids: Vec<_> = cluster.arrivals().await.into_iter().map(|arrival| arrival.id).collect();
    assert_eq!(ids, ["a", "b", "d", "e"]);
}

#[tokio::test]
async fn a_probe_names_what_is_missing_and_writes_nothing() {
    let mut cluster = Cluster::new();
    let mut config = cluster.config();
    // The mock does not describe topics.
    let warnings = config.clone().sink().unwrap().probe(Period::days(7)).await.unwrap();
    assert!(warnings.contains("limits of topic `audit` are not known"), "{warnings:?}");
    config.topic = "missing".to_owned();
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.tell(move |cluster| cluster.topic_error("missing", unknown).unwrap());
    let problem = config.clone().sink().unwrap().probe(Period::days(7)).await.unwrap_err();
    assert!(problem.contains("topic `missing` does not exist: create it"), "{problem}");
    config.bootstrap_servers = "127.0.0.1:1".to_owned();
    let problem = config.sink().unwrap().probe(Period::days(7)).await.unwrap_err();
    assert!(problem.contains("no answer from 127.0.0.1:1"), "{problem}");
    assert_eq!(cluster.arrivals().await, []);
}

#[tokio::test]
async fn errors_that_pass_are_not_the_events() {
    let mut cluster = Cluster::new();
    let mut sink = cluster.sink();
    let passing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    cluster.tell(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &[passing; 3]));
    assert!(sink.deliver(&[event("a", "b", true)]).await.unwrap().rejected.is_empty());
    assert_eq!(cluster.arrivals().await.len(), 1);
}

#[tokio::test]
async fn a_missing_topic_is_named_and_waited_for() {
    let mut cluster = Cluster::new();
    let mut config = cluster.config();
    // Far longer than anybody would wait for this to be said.
    config.timeout = headwater_contracts::Period::minutes(60);
    let mut sink = config.sink().unwrap();
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.tell(move |cluster| cluster.topic_error("audit", unknown).unwrap());
    match sink.deliver(&[event("a", "b", true)]).await {
        Err(SinkError::Retry { reason, .. }) => {
            assert!(reason.contains("topic `audit`") && reason.contains("exist"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let fine = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    cluster.tell(move |cluster| cluster.topic_error("audit", fine).unwrap());
    let mut attempts = 0;
    while let Err(error) = sink.deliver(&[event("a", "b", true)]).await {
        attempts += 1;
        assert!(attempts < 30, "{error}");
    }
    assert!(!cluster.arrivals().await.is_empty());
}
