//! From a cluster's options to librdkafka's.

use crate::{Context, Producer};
use headwater_contracts::{ConfigError, KafkaCluster, KafkaUse, Mechanism, Sasl, Tls, files::open_file};
use rdkafka::{ClientConfig, ClientContext, config::FromClientConfigAndContext, error::KafkaError};
use std::path::PathBuf;

/// Options of a client for `cluster`. Reaches nobody.
pub fn client(cluster: &KafkaCluster) -> Result<ClientConfig, ConfigError> {
    cluster.check_connection()?;
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

/// Checks what librdkafka makes of the options, each alone and beside ours. Reaches nobody, and reads no file.
pub fn check(cluster: &KafkaCluster, used_as: KafkaUse) -> Result<(), ConfigError> {
    cluster.check(used_as)?;
    let config = client(cluster)?;
    config.create_native_config().map_err(|error| explain(&error))?;
    // A client without brokers says what does not go together, `retries: 0` with idempotence, say.
    let mut config = writing(config);
    for name in ["bootstrap.servers", "ssl.ca.location", "ssl.certificate.location", "ssl.key.location"] {
        config.remove(name);
    }
    config.set("security.protocol", "plaintext");
    let made: Result<Producer, _> = config.create_with_context(Context::new(cluster));
    made.map(drop).map_err(|error| explain(&error))
}

/// Fails if a certificate or key of the options cannot be read: librdkafka's own words do not say which.
fn readable(cluster: &KafkaCluster) -> Result<(), ConfigError> {
    for (field, file) in cluster.tls.iter().flat_map(files) {
        if let Err(error) = open_file(file) {
            let problem = format!("cannot open `{}`: {error}", file.display());
            return Err(ConfigError::new(format!("tls.{field}"), problem));
        }
    }
    Ok(())
}

/// An idempotent producer; `options` go over the cluster's, but for how records are packed, which is for the user to say. Fails on what
/// librdkafka does not know or cannot read.
pub fn producer(cluster: &KafkaCluster, options: &[(&str, &str)]) -> Result<Producer, ConfigError> {
    producer_with(cluster, options, Context::new(cluster))
}

/// The same, for one who wants to know what `context` hears.
pub fn producer_with(
    cluster: &KafkaCluster,
    options: &[(&str, &str)],
    context: Context,
) -> Result<Producer, ConfigError> {
    let mut config = writing(client(cluster)?);
    for (name, value) in options {
        let said = |name: &str| cluster.librdkafka_options.contains_key(name);
        if !(PACKING.contains(name) && (said(name) || other_name(name).is_some_and(said))) {
            config.set(*name, *value);
        }
    }
    create(cluster, &config, context)
}

/// How records are packed.
const PACKING: &[&str] = &["compression.type", "linger.ms", BATCH_SIZE];

/// The setting of most bytes in a batch before compression.
pub const BATCH_SIZE: &str = "batch.size";

/// What librdkafka calls a setting as well.
fn other_name(name: &str) -> Option<&'static str> {
    match name {
        "compression.type" => Some("compression.codec"),
        "linger.ms" => Some("queue.buffering.max.ms"),
        _ => None,
    }
}

/// Makes a producer of it that loses and repeats nothing.
fn writing(mut config: ClientConfig) -> ClientConfig {
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // So that records of one key meet in the partition where a Java producer would put them.
        .set("partitioner", "murmur2_random")
        // A topic that appeared by being written to would have whatever the cluster's defaults are.
        .set("allow.auto.create.topics", "false");
    config
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

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test's way to say that it failed
mod tests {
    use super::*;
    use headwater_contracts::Secret;

    fn cluster(options: &[(&str, &str)]) -> KafkaCluster {
        let librdkafka_options = options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        KafkaCluster { bootstrap_servers: "localhost:9092".into(), librdkafka_options, ..KafkaCluster::default() }
    }

    #[test]
    fn what_is_set_here_is_refused_among_the_options() {
        let (file, secret) = (Some(PathBuf::from("file.pem")), Secret::new("secret"));
        let tls = Tls { ca_file: file.clone(), cert_file: file.clone(), key_file: file, verify: Some(false) };
        let sasl = Sasl {
            mechanism: Mechanism::Plain,
            username: Some("me".into()),
            password: Some(secret),
            token: None,
            token_endpoint: None,
            client_id: None,
            client_secret: None,
            scope: None,
        };
        let full = KafkaCluster { tls: Some(tls), sasl: Some(sasl), ..cluster(&[]) };
        let config = writing(client(&full).unwrap());
        // Those of the user's win.
        let chosen =
            ["client.id", "reconnect.backoff.ms", "reconnect.backoff.max.ms", "ssl.endpoint.identification.algorithm"];
        for (name, _) in config.config_map().into_iter().filter(|(name, _)| !chosen.contains(name)) {
            for used_as in [KafkaUse::Sink, KafkaUse::Ledger, KafkaUse::Source] {
                let refused = check(&cluster(&[(name, "x")]), used_as).unwrap_err();
                assert_eq!(refused.field, format!("librdkafka_options.{name}"), "{used_as:?}");
                assert!(refused.problem.contains("headwater's own"), "{name}: {}", refused.problem);
            }
        }
    }

    #[test]
    fn what_does_not_go_together_is_found_without_a_broker() {
        check(&cluster(&[("batch.size", "16384"), ("linger.ms", "50")]), KafkaUse::Sink).unwrap();
        let refused = check(&cluster(&[("retries", "0")]), KafkaUse::Sink).unwrap_err();
        assert!(refused.problem.contains("retries"), "{}", refused.problem);
        assert!(check(&cluster(&[("max.in.flight", "6")]), KafkaUse::Ledger).is_err());
    }
}
