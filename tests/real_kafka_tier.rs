//! Two tiers over a real Kafka: what the first writes raw, the second normalizes, each record exactly once, whoever is killed or
//! paused. Needs `tests/real/kafka/install`.
//!
//! `HEADWATER_KILLS` sets the number of kills (30 without it).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // this is a test

use crate::kafka::{self, Origin, finish, folder, kills, records};
use crate::support::{self, Headwater};
use headwater_real::{Protocol, RealKafka};
use headwater_simulator::Provider;
use rand::{Rng, SeedableRng, rngs::StdRng};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::OwnedMessage,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    time::{Duration, Instant},
};

/// What the first tier wrote, all of it.
const ALL: &str = "audit.all";
/// What the second tier reads: the same, as it comes in.
const RAW: &str = "audit.raw";
/// What the second tier writes.
const OCSF: &str = "audit.ocsf";
const PARTITIONS: u32 = 4;

const NORMALIZE: &str = "  own: { type: remap, inputs: [in], file: 'builtin:drop_own_queries.vrl' }\n  \
                         ocsf: { type: remap, inputs: [own], file: 'builtin:normalize.vrl' }\n";

/// A cluster, what a first tier made of two providers' logs, and what one tier alone makes of the same events.
struct World {
    kafka: RealKafka,
    brokers: String,
    raw: Vec<OwnedMessage>,
    /// Events by their ids.
    expected: BTreeMap<String, String>,
    /// Records of `raw` that have come in.
    come: usize,
}

impl World {
    fn new(events: u32, seed: u64) -> Self {
        let kafka = kafka::brokers(1);
        for topic in [ALL, RAW, OCSF] {
            kafka.create_topic(topic, PARTITIONS, &[]);
        }
        let brokers = kafka.bootstrap(Protocol::Plaintext);
        let origins = [Origin::new(Provider::PactFlow, events, seed), Origin::new(Provider::Mural, events, seed + 1)];
        let yaml = format!(
            "sources:\n{}{}transforms:\n{}sinks:\n  \
             raw: {{ type: kafka, inputs: [pactflow, mural], bootstrap_servers: '{brokers}', topic: {ALL}, encoding: raw, key: '{{{{ %headwater.id }}}}' }}\n  \
             one: {{ type: file, inputs: [ocsf], path: one.ndjson }}\n",
            origins[0].yaml(),
            origins[1].yaml(),
            NORMALIZE.replace("[in]", "[pactflow, mural]")
        );
        let dir = folder(&yaml);
        finish(dir.path());
        let one = fs::read_to_string(dir.path().join("one.ndjson")).unwrap();
        let expected: BTreeMap<_, _> = one.lines().map(|line| (uid(line), line.to_owned())).collect();
        assert_eq!(expected.len(), one.lines().count(), "ids are ids");
        let raw = records(&brokers, ALL, PARTITIONS, "read_committed");
        assert!(raw.len() > expected.len(), "own queries are among them");
        Self { kafka, brokers, raw, expected, come: 0 }
    }

    /// Lets more of what the first tier wrote come in, by transactions: those of another writer.
    fn come_in(&mut self, count: usize) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("transactional.id", "first-tier")
            .create()
            .unwrap();
        producer.init_transactions(Duration::from_secs(30)).unwrap();
        producer.begin_transaction().unwrap();
        let until = (self.come + count).min(self.raw.len());
        for record in &self.raw[self.come..until] {
            let headers = record.headers().unwrap().clone();
            let copy = BaseRecord::to(RAW).key(record.key().unwrap()).payload(record.payload().unwrap());
            let copy = copy.headers(headers).timestamp(record.timestamp().to_millis().unwrap());
            producer.send(copy).map_err(|(error, _)| error).unwrap();
        }
        producer.commit_transaction(Duration::from_secs(30)).unwrap();
        self.come = until;
    }

    /// The second tier.
    fn tier(&self, group: &str, delivery: &str, topic: &str) -> String {
        format!(
            "dead_letter: {{ path: dead-letter }}\nsources:\n  \
             in: {{ type: kafka, bootstrap_servers: '{0}', topics: [{RAW}], group: {group}, session_timeout: 1s, transaction_events: 100 }}\n\
             transforms:\n{NORMALIZE}sinks:\n  \
             out: {{ type: kafka, inputs: [ocsf], bootstrap_servers: '{0}', topic: {topic}, key: '{{{{ %headwater.id }}}}', delivery: {delivery} }}\n",
            self.brokers
        )
    }

    /// How often each event stands in a topic, for readers who see what is committed; each as one tier makes it.
    fn committed(&self, topic: &str) -> HashMap<String, usize> {
        let mut seen = HashMap::new();
        for record in records(&self.brokers, topic, PARTITIONS, "read_committed") {
            let value = std::str::from_utf8(record.payload().unwrap()).unwrap();
            let id = uid(value);
            assert_eq!(self.expected.get(&id).map(String::as_str), Some(value), "as one tier makes it");
            *seen.entry(id).or_default() += 1;
        }
        seen
    }

    /// Prints what became of the events: how many are lost, and how many doubled.
    fn account(&self, name: &str, topic: &str) -> (usize, usize) {
        let seen = self.committed(topic);
        let lost = self.expected.keys().filter(|id| !seen.contains_key(*id)).count();
        let doubled = seen.values().filter(|copies| **copies > 1).count();
        println!(
            "{name}: {} raw records, {} events expected, {} in the topic (read_committed, equal to one tier's), {lost} lost, \
             {doubled} doubled",
            self.raw.len(),
            self.expected.len(),
            seen.len()
        );
        (lost, doubled)
    }
}

fn uid(event: &str) -> String {
    let event: Value = serde_json::from_str(event).unwrap();
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{}:{}", text("/metadata/log_name"), text("/metadata/uid"))
}

/// What the second tier writes, as it writes it.
fn tail(world: &World) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &world.brokers)
        .set("group.id", "test-tail")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_uncommitted")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(OCSF, i32::try_from(partition).unwrap(), Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    consumer
}

/// Lives that each find more records and end at a random moment: while they take over, in the middle of a transaction, after it.
fn killed(world: &mut World, yaml: &str, lives: u32, seed: u64) {
    let dir = folder(yaml);
    let mut dice = StdRng::seed_from_u64(seed);
    let each = world.raw.len() / lives as usize;
    let tail = tail(world);
    for life in 0..lives {
        world.come_in(each);
        while tail.poll(Duration::ZERO).is_some() {}
        let mut headwater = Headwater::start(dir.path(), &["run", "--log", "info"]);
        headwater.wait_for("this instance reads its share of the topics");
        if life % 3 > 0 {
            // It writes: a transaction is under way.
            let deadline = Instant::now() + Duration::from_mins(5);
            while tail.poll(Duration::from_millis(1)).is_none() {
                assert!(Instant::now() < deadline, "nothing is written");
                kafka::goes_on(&mut headwater);
            }
        }
        std::thread::sleep(Duration::from_millis(dice.random_range(0..150)));
        kafka::goes_on(&mut headwater);
        headwater.child.kill().unwrap();
        headwater.child.wait().unwrap();
    }
    world.come_in(world.raw.len());
    finish(dir.path());
    let letters = dir.path().join("dead-letter/dead-letter.ndjson");
    assert!(fs::read_to_string(letters).unwrap_or_default().is_empty(), "nothing was refused");
    assert!(!dir.path().join("state").exists(), "topics need no ledger");
}

#[test]
#[ignore = "needs a real Kafka: tests/real/kafka/run"]
fn killing_the_second_tier_loses_nothing_and_doubles_nothing() {
    let runtime = support::runtime();
    let _guard = runtime.enter();
    let mut world = World::new(8_000, 71);
    let yaml = world.tier("tier", "exactly_once", OCSF).replace("group: tier", "group: tier, instance: one");
    killed(&mut world, &yaml, kills(), 71);
    let uncommitted = records(&world.brokers, OCSF, PARTITIONS, "read_uncommitted").len();
    let name = format!("second tier, exactly once, {} kills", kills());
    assert_eq!(world.account(&name, OCSF), (0, 0));
    println!(
        "{name}: {} records written of transactions that were never committed",
        uncommitted - world.expected.len()
    );
}

/// The same without transactions: the count above can be something else than 0.
#[test]
#[ignore = "needs a real Kafka: tests/real/kafka/run"]
fn at_least_once_doubles_what_a_kill_leaves_uncommitted() {
    let runtime = support::runtime();
    let _guard = runtime.enter();
    let lives = (kills() / 3).max(8);
    // A kill may find nothing uncommitted; not all of them do.
    let doubles = |seed| {
        let mut world = World::new(4_000, seed);
        let yaml = world.tier("tier", "at_least_once", OCSF).replace("group: tier", "group: tier, instance: one");
        killed(&mut world, &yaml, lives, seed);
        let (lost, doubled) = world.account(&format!("second tier, at least once, {lives} kills"), OCSF);
        assert_eq!(lost, 0);
        doubled > 0
    };
    assert!((81..85).any(doubles), "these runs show nothing");
}

/// Two instances that are killed, paused and started at random: whoever is left goes on.
#[test]
#[ignore = "needs a real Kafka: tests/real/kafka/run"]
fn instances_share_the_partitions_and_take_over_from_each_other() {
    let runtime = support::runtime();
    let _guard = runtime.enter();
    let mut world = World::new(8_000, 91);
    let yaml = world.tier("tier", "exactly_once", OCSF);
    let dirs = [folder(&yaml), folder(&yaml)];
    let mut dice = StdRng::seed_from_u64(92);
    let start = |seat: usize| Headwater::start(dirs[seat].path(), &["run", "--log", "warn"]);
    let mut instances = [Some(start(0)), Some(start(1))];
    let mut done = BTreeMap::<&str, u32>::new();
    let rounds = (kills() / 3).max(4);
    let each = world.raw.len() / rounds as usize;
    for _ in 0..rounds {
        world.come_in(each);
        std::thread::sleep(Duration::from_millis(dice.random_range(0..2500)));
        let seat = dice.random_range(0..2);
        match instances[seat].take() {
            None => instances[seat] = Some(start(seat)),
            Some(mut instance) if dice.random_bool(0.5) => {
                instance.child.kill().unwrap();
                instance.child.wait().unwrap();
                *done.entry("killed").or_default() += 1;
            }
            Some(mut instance) => {
                kafka::goes_on(&mut instance);
                // Longer than its session: the other takes over, and it wakes up as a zombie.
                support::signal(&instance.child, "STOP");
                world.come_in(each / 4);
                std::thread::sleep(Duration::from_millis(2500));
                support::signal(&instance.child, "CONT");
                instances[seat] = Some(instance);
                *done.entry("paused").or_default() += 1;
            }
        }
    }
    world.come_in(world.raw.len());
    drop(instances);
    finish(dirs[0].path());
    println!("two instances: {done:?}");
    assert_eq!(world.account("two instances of the second tier, exactly once", OCSF), (0, 0));
}

/// A provider's log and a topic in one pipeline: both leave in transactions of the ledger's cluster.
#[test]
#[ignore = "needs a real Kafka: tests/real/kafka/run"]
fn topics_stand_beside_other_sources() {
    let runtime = support::runtime();
    let _guard = runtime.enter();
    let mut world = World::new(500, 101);
    world.come_in(world.raw.len());
    let other = Origin::new(Provider::Api7, 300, 103);
    let state = format!(
        "state: {{ type: kafka, bootstrap_servers: '{}', group: both, partitions: 4, session_timeout: 1s }}\n",
        world.brokers
    );
    let yaml = format!("{state}{}", world.tier("tier", "exactly_once", OCSF))
        .replace("sources:\n", &format!("sources:\n{}", other.yaml()))
        .replace("sinks:\n", &format!("sinks:\n  beside: {{ type: kafka, inputs: [api7], bootstrap_servers: '{}', topic: {ALL}, key: '{{{{ %headwater.id }}}}', delivery: exactly_once }}\n", world.brokers));
    let dir = folder(&yaml);
    let before = records(&world.brokers, ALL, PARTITIONS, "read_committed").len();
    for _ in 0..2 {
        finish(dir.path());
        assert_eq!(world.account("a topic beside API7", OCSF), (0, 0));
    }
    let beside = records(&world.brokers, ALL, PARTITIONS, "read_committed").len() - before;
    assert!(beside >= 300, "{beside} events of API7");
    // The broker's own tools see the group where it is.
    let groups = world.kafka.tool(
        Protocol::Plaintext,
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        &["--describe", "--group", "tier"],
        "",
    );
    let groups = groups.unwrap();
    let rows: Vec<Vec<&str>> = groups
        .lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|row: &Vec<&str>| row.contains(&RAW))
        .collect();
    assert_eq!(rows.len(), PARTITIONS as usize, "{groups}");
}
