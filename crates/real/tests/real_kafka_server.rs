//! The real Kafka of the tests does what tests expect of it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // this is a test

use headwater_real::{PASSWORD, Protocol, RealKafka, Registry, USER};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

fn values(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("{{\"n\": {n}}}")).collect()
}

fn read(kafka: &RealKafka, topic: &str, count: usize) -> Vec<String> {
    let mut read: Vec<_> = kafka.console_consumer(topic, count).into_iter().filter_map(|record| record.value).collect();
    read.sort_by_key(|value| value.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().expect("a number"));
    read
}

/// Lists the topics as a client with these properties.
fn list(kafka: &RealKafka, protocol: Protocol, properties: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client.properties");
    fs::write(&file, properties).unwrap();
    kafka.tool(protocol, TOPICS, &["--list", "--command-config", file.to_str().unwrap()], "")
}

fn resident_mb(kafka: &RealKafka, n: usize) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", kafka.pid(n).unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
#[ignore = "needs a real Kafka: tests/real/kafka/run"]
fn one_broker_keeps_its_data_when_it_is_killed_or_stopped() {
    let since = Instant::now();
    let kafka = RealKafka::start(1);
    println!("1 broker: {:.1} s, {} MiB", since.elapsed().as_secs_f64(), resident_mb(&kafka, 1));
    kafka.create_topic("events", 2, &[("retention.ms", "-1")]);
    kafka.console_producer("events", &values(0..100));
    let address = kafka.bootstrap(Protocol::Plaintext);
    kafka.kill(1);
    assert!(TcpStream::connect(&address).is_err(), "a killed broker does not listen");
    let since = Instant::now();
    kafka.restart(1);
    println!("restart: {:.1} s", since.elapsed().as_secs_f64());
    assert_eq!(kafka.bootstrap(Protocol::Plaintext), address);
    assert_eq!(read(&kafka, "events", 100), values(0..100));
    kafka.stop(1);
    assert!(TcpStream::connect(&address).is_err(), "a stopped broker does not listen");
    kafka.restart(1);
    kafka.console_producer("events", &values(100..110));
    assert_eq!(read(&kafka, "events", 1000), values(0..110), "these and no more");

    kafka.pause(1);
    assert!(TcpStream::connect(&address).is_ok(), "the system accepts for it");
    let impatient = "default.api.timeout.ms=3000\nrequest.timeout.ms=2000\n";
    assert!(list(&kafka, Protocol::Plaintext, impatient).is_err(), "a paused broker does not answer");
    kafka.resume(1);
    assert_eq!(list(&kafka, Protocol::Plaintext, "").unwrap().trim(), "__consumer_offsets\nevents");
}

#[test]
#[ignore = "needs a real Kafka: tests/real/kafka/run"]
fn three_brokers_go_on_without_one() {
    let since = Instant::now();
    let kafka = RealKafka::start(3);
    let memory: Vec<_> = (1..=3).map(|n| resident_mb(&kafka, n)).collect();
    println!("3 brokers: {:.1} s, {memory:?} MiB", since.elapsed().as_secs_f64());
    kafka.create_topic("events", 3, &[]);
    let described = kafka.tool(Protocol::Plaintext, TOPICS, &["--describe", "--topic", "events"], "").unwrap();
    assert!(described.contains("ReplicationFactor: 3") && described.contains("min.insync.replicas=2"), "{described}");
    kafka.console_producer("events", &values(0..50));
    kafka.kill(1);
    kafka.console_producer("events", &values(50..100));
    assert_eq!(read(&kafka, "events", 100), values(0..100));
    kafka.restart(1);
    kafka.kill(2);
    kafka.console_producer("events", &values(100..150));
    assert_eq!(read(&kafka, "events", 1000), values(0..150), "these and no more");
}

#[test]
#[ignore = "needs a real Kafka: tests/real/kafka/run"]
fn every_listener_takes_who_may_and_refuses_who_may_not() {
    let kafka = RealKafka::start(1);
    kafka.create_topic("events", 1, &[]);
    let certificates = kafka.certificates();
    let trust = format!("ssl.truststore.type=PEM\nssl.truststore.location={}\n", certificates.ca.display());
    let tls = format!("security.protocol=SSL\n{trust}");
    // Java reads key and certificate from one file.
    let folder = tempfile::tempdir().unwrap();
    let both = folder.path().join("client.pem");
    fs::write(&both, [&certificates.client_key, &certificates.client].map(|path| fs::read(path).unwrap()).concat())
        .unwrap();
    let mutual = format!("{tls}ssl.keystore.type=PEM\nssl.keystore.location={}\n", both.display());
    let sasl = |security: &str, mechanism: &str, module: &str| {
        let module = format!("org.apache.kafka.common.security.{module}");
        format!("security.protocol={security}\n{trust}sasl.mechanism={mechanism}\nsasl.jaas.config={module};\n")
    };
    let user = |module: &str, password: &str| format!("{module} required username=\"{USER}\" password=\"{password}\"");
    let plain = user("plain.PlainLoginModule", PASSWORD);
    let scram = user("scram.ScramLoginModule", PASSWORD);
    let token = "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"somebody\"";
    for (protocol, properties) in [
        (Protocol::Plaintext, String::new()),
        (Protocol::Ssl, tls.clone()),
        (Protocol::MutualTls, mutual),
        (Protocol::SaslPlaintext, sasl("SASL_PLAINTEXT", "PLAIN", &plain)),
        (Protocol::SaslPlaintext, sasl("SASL_PLAINTEXT", "SCRAM-SHA-256", &scram)),
        (Protocol::SaslSsl, sasl("SASL_SSL", "SCRAM-SHA-512", &scram)),
        (Protocol::SaslSsl, sasl("SASL_SSL", "OAUTHBEARER", token)),
    ] {
        assert_eq!(
            list(&kafka, protocol, &properties).as_deref().map(str::trim),
            Ok("events"),
            "{protocol:?}: {properties}"
        );
    }
    let wrong = user("scram.ScramLoginModule", "wrong");
    for (protocol, properties, why) in [
        (Protocol::MutualTls, tls, "SslAuthenticationException"),
        (Protocol::SaslSsl, sasl("SASL_SSL", "SCRAM-SHA-256", &wrong), "SaslAuthenticationException"),
    ] {
        let refused = list(&kafka, protocol, &properties).expect_err("a client that must be refused");
        assert!(refused.contains(why), "{protocol:?}: {refused}");
    }
}

#[test]
#[ignore = "needs a real Kafka: tests/real/kafka/run"]
fn the_registry_keeps_schemas_and_refuses_incompatible_ones() {
    let since = Instant::now();
    let registry = Registry::start();
    println!("registry: {:.1} s", since.elapsed().as_secs_f64());
    let ask = |method: &str, path: &str, body: &str| {
        let (address, base) = registry.url().strip_prefix("http://").unwrap().split_once('/').map(own).unwrap();
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "{method} /{base}{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/vnd.schemaregistry.v1+json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let avro = |of: &str| {
        format!(
            r#"{{"schema": "{{\"type\":\"record\",\"name\":\"A\",\"fields\":[{{\"name\":\"x\",\"type\":\"{of}\"}}]}}"}}"#
        )
    };
    let registered = ask("POST", "/subjects/events-value/versions", &avro("string"));
    assert!(registered.starts_with("HTTP/1.1 200") && registered.ends_with(r#"{"id":1}"#), "{registered}");
    let known = ask("GET", "/schemas/ids/1", "");
    assert!(known.starts_with("HTTP/1.1 200") && known.contains(r#"{\"name\":\"x\",\"type\":\"string\"}"#), "{known}");
    let set = ask("PUT", "/config/events-value", r#"{"compatibility": "BACKWARD"}"#);
    assert!(set.starts_with("HTTP/1.1 200"), "{set}");
    let refused = ask("POST", "/subjects/events-value/versions", &avro("int"));
    assert!(refused.starts_with("HTTP/1.1 409"), "{refused}");
    let json = r#"{"schemaType": "JSON", "schema": "{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"type\":\"object\"}"}"#;
    let registered = ask("POST", "/subjects/json-value/versions", json);
    assert!(registered.starts_with("HTTP/1.1 200") && registered.ends_with(r#"{"id":2}"#), "{registered}");
}

fn own((address, base): (&str, &str)) -> (String, String) {
    (address.to_owned(), base.to_owned())
}
