//! From a cluster's options to librdkafka's.

use crate::{Context, Producer};
use headwater_contracts::{ConfigError, KafkaCluster, Mechanism, Sasl, Tls};
use rdkafka::{ClientConfig, ClientContext, config::FromClientConfigAndContext, error::KafkaError};
use std::{fs::File, path::PathBuf};

/// Options of a client for `cluster`. Reaches nobody.
pub fn client(cluster: &KafkaCluster) -> Result<ClientConfig, ConfigError> {
    cluster.check()?;
    // Before librdkafka does it: OpenSSL then does not clean up when the process ends, under the feet of clients that are still
    // being dropped elsewhere (OPENSSL_INIT_NO_ATEXIT of OPENSSL_init_crypto(3)).
    openssl_sys::init();
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

/// Checks what librdkafka makes of the options. Reaches nobody, and reads no file.
pub fn check(cluster: &KafkaCluster) -> Result<(), ConfigError> {
    client(cluster)?.create_native_config().map(drop).map_err(|error| explain(&error))
}

/// Fails if a certificate or key of the options cannot be read: librdkafka's own words do not say which.
fn readable(cluster: &KafkaCluster) -> Result<(), ConfigError> {
    for (field, file) in cluster.tls.iter().flat_map(files) {
        if let Err(error) = File::open(file) {
            let problem = format!("cannot open `{}`: {error}", file.display());
            return Err(ConfigError::new(format!("tls.{field}"), problem));
        }
    }
    Ok(())
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
    create(cluster, &config, Context::new(cluster))
}

/// A client of a cluster, by `config`. Fails on what librdkafka does not know or cannot read, and says where that is written.
pub fn create<C: ClientContext, T: FromClientConfigAndContext<C>>(
    cluster: &KafkaCluster,
    config: &ClientConfig,
    context: C,
) -> Result<T, ConfigError> {
    readable(cluster)?;
    T::from_config_and_context(config, context).map_err(|error| explain(&error))
}

fn explain(error: &KafkaError) -> ConfigError {
    match error {
        KafkaError::ClientConfig(_, reason, name, _) if !name.is_empty() => {
            ConfigError::new(format!("librdkafka_options.{name}"), reason.clone())
        }
        other => ConfigError::new("librdkafka_options", other.to_string()),
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

/// The files of these settings, by their keys there.
fn files(tls: &Tls) -> impl Iterator<Item = (&'static str, &PathBuf)> {
    let files = [("ca_file", &tls.ca_file), ("cert_file", &tls.cert_file), ("key_file", &tls.key_file)];
    files.into_iter().filter_map(|(field, file)| Some((field, file.as_ref()?)))
}

fn with_tls(config: &mut ClientConfig, tls: &Tls) {
    for (field, file) in files(tls) {
        let name = match field {
            "ca_file" => "ssl.ca.location",
            "cert_file" => "ssl.certificate.location",
            _ => "ssl.key.location",
        };
        config.set(name, file.to_string_lossy());
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
