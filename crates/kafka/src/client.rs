//! From a cluster's options to librdkafka's.

use crate::{Context, Producer};
use headwater_contracts::{ConfigError, KafkaCluster, Mechanism, Sasl, Tls};
use rdkafka::{ClientConfig, config::FromClientConfigAndContext};

/// Options of a client for `cluster`. Reaches nobody.
pub fn client(cluster: &KafkaCluster) -> Result<ClientConfig, ConfigError> {
    cluster.check()?;
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &cluster.bootstrap_servers)
        .set("client.id", concat!("headwater-", env!("CARGO_PKG_VERSION")))
        // A broker that comes back is found again at once.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "5000")
        .set("security.protocol", protocol(cluster));
    if let Some(tls) = &cluster.tls {
        with_tls(&mut config, tls);
    }
    if let Some(sasl) = &cluster.sasl {
        with_sasl(&mut config, sasl);
    }
    for (name, value) in &cluster.librdkafka_options {
        config.set(name, value);
    }
    Ok(config)
}

/// An idempotent producer; `options` go over the cluster's. Fails on what librdkafka does not know or cannot read.
pub fn producer(cluster: &KafkaCluster, options: &[(&str, &str)]) -> Result<Producer, ConfigError> {
    let mut config = client(cluster)?;
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // So that records of one key meet in the partition where a Java producer would put them.
        .set("partitioner", "murmur2_random")
        // A topic that appeared by being written to would have whatever the cluster's defaults are.
        .set("allow.auto.create.topics", "false")
        // A topic's limit is for a whole batch: a small one does not keep small records from a topic with a low limit.
        .set("batch.size", "65536");
    for (name, value) in options {
        // How records are packed is for the user to say; what else is ours, the guarantees hang on.
        let packing = matches!(*name, "compression.type" | "linger.ms");
        if !(packing && cluster.librdkafka_options.contains_key(*name)) {
            config.set(*name, *value);
        }
    }
    Producer::from_config_and_context(&config, Context::new(cluster))
        .map_err(|error| ConfigError::new("librdkafka_options", problem(&error)))
}

fn problem(error: &rdkafka::error::KafkaError) -> String {
    match error {
        rdkafka::error::KafkaError::ClientConfig(_, reason, name, _) => format!("`{name}`: {reason}"),
        other => other.to_string(),
    }
}

fn protocol(cluster: &KafkaCluster) -> &'static str {
    match (&cluster.tls, &cluster.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    }
}

fn with_tls(config: &mut ClientConfig, tls: &Tls) {
    for (name, file) in [
        ("ssl.ca.location", &tls.ca_file),
        ("ssl.certificate.location", &tls.cert_file),
        ("ssl.key.location", &tls.key_file),
    ] {
        if let Some(file) = file {
            config.set(name, file.to_string_lossy());
        }
    }
    if tls.verify == Some(false) {
        config.set("enable.ssl.certificate.verification", "false");
        config.set("ssl.endpoint.identification.algorithm", "none");
    }
}

fn with_sasl(config: &mut ClientConfig, sasl: &Sasl) {
    config.set(
        "sasl.mechanism",
        match sasl.mechanism {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::Oauthbearer => "OAUTHBEARER",
        },
    );
    if let Some(username) = &sasl.username {
        config.set("sasl.username", username);
    }
    if let Some(password) = &sasl.password {
        config.set("sasl.password", password.expose());
    }
}
