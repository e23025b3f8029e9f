//! What the tests with a real Kafka share.
#![allow(dead_code)] // each test file uses its own part

use crate::support::{self, Headwater};
use headwater_contracts::{Clock, Timestamp};
use headwater_real::{Options, RealKafka};
use headwater_runtime::SystemClock;
use headwater_simulator::{ANYPOINT_ORGANIZATIONS, Provider, Scenario, Simulator};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::OwnedMessage,
};
use std::{collections::HashMap, fs, path::Path, sync::Arc, time::Duration};

/// Kills of a run: `HEADWATER_KILLS`, 30 without it.
pub(crate) fn kills() -> u32 {
    std::env::var("HEADWATER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

/// Brokers that forget the dead soon, so that a kill costs a second and not ten.
pub(crate) fn brokers(brokers: usize) -> RealKafka {
    start(Options { brokers, ..Options::default() })
}

/// The same, with more to choose.
pub(crate) fn start(mut options: Options) -> RealKafka {
    options.properties.push(("group.min.session.timeout.ms".into(), "500".into()));
    RealKafka::with(&options)
}

/// A simulated provider and the YAML of its source.
pub(crate) struct Origin {
    pub(crate) simulator: Simulator,
    pub(crate) provider: Provider,
    /// Most requests in a second.
    pub(crate) pace: u32,
}

impl Origin {
    pub(crate) fn new(provider: Provider, events: u32, seed: u64) -> Self {
        let scenario = Scenario::new()
            .seed(seed)
            .history(5, events)
            .pactflow(|p| p.default_page_size = 20)
            // Many lives are many calls.
            .mural(|m| m.quota = None)
            .anypoint(|a| (a.identical_per_mille, a.burst_per_mille) = (100, 1));
        let simulator = Simulator::start(provider, scenario, Arc::new(SystemClock)).unwrap();
        Self { simulator, provider, pace: 1_000_000 }
    }

    pub(crate) fn yaml(&self) -> String {
        let (provider, credential) = (self.provider, self.simulator.credential());
        let keys = match provider {
            Provider::Mural => {
                format!("api_key: \"{credential}\", min_call_interval: 0s, call_budget: {{ calls: 1000000, per: 1d }}")
            }
            Provider::SolaceCloud => format!("token: \"{credential}\", min_call_interval: 0s"),
            // Up to this moment, so that all that is there by now is read.
            Provider::Api7 => format!("token: \"{credential}\", settle: 0s"),
            Provider::Anypoint => {
                let (id, secret) = credential.split_once(':').unwrap();
                format!(
                    "organization_ids: [{}], auth: {{ client_id: \"{id}\", client_secret: \"{secret}\" }}, own_ips: [127.0.0.1], own_queries: suppress",
                    ANYPOINT_ORGANIZATIONS.join(", ")
                )
            }
            _ => format!("token: \"{credential}\""),
        };
        format!(
            "  {provider}: {{ type: {provider}, endpoint: \"{}\", {keys}, start_at: earliest, page_size: 100, \
             rate_limit: {{ requests: {}, per: 1s }}, retry: {{ initial: 10ms, max: 50ms }} }}\n",
            self.simulator.url(),
            self.pace,
        )
    }
}

/// A folder with this pipeline.
pub(crate) fn folder(yaml: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pipeline.yaml"), yaml).unwrap();
    dir
}

/// All records of a topic's partitions, as readers of this `isolation.level` see them. What is written meanwhile may be missing.
pub(crate) fn records(kafka: &str, topic: &str, partitions: u32, isolation: &str) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", "test-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    // By partition, the offset where it ends now: a partition that is written to does not come to an end.
    let mut ends = HashMap::new();
    for partition in 0..i32::try_from(partitions).unwrap() {
        all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        ends.insert(partition, consumer.fetch_watermarks(topic, partition, Duration::from_secs(30)).unwrap().1);
    }
    consumer.assign(&all).unwrap();
    let mut seen = Vec::new();
    while !ends.is_empty() {
        match consumer.poll(Duration::from_secs(30)).expect("the broker answers") {
            Ok(message) => {
                // The last offsets may be those of markers of transactions, which are not handed out.
                if ends.get(&message.partition()).is_some_and(|end| message.offset() + 1 >= *end) {
                    ends.remove(&message.partition());
                }
                seen.push(message.detach());
            }
            Err(KafkaError::PartitionEOF(partition)) => drop(ends.remove(&partition)),
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

/// A record's key, as text.
pub(crate) fn key(record: &OwnedMessage) -> String {
    String::from_utf8(record.key().unwrap().to_vec()).unwrap()
}

/// Fails if the process has ended.
pub(crate) fn goes_on(headwater: &mut Headwater) {
    if headwater.child.try_wait().unwrap().is_some() {
        let said = headwater.rest();
        panic!("headwater ended by itself:\n{said}");
    }
}

/// A last life that is left alone.
pub(crate) fn finish(dir: &Path) -> Timestamp {
    let cut = SystemClock.now();
    let done = support::command(dir, &["run", "--once", "--log", "warn"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    cut
}
