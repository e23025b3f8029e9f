//! The options.

use crate::{
    CloudEvents, RecordSchema, SchemaRegistry,
    encode::{Codec, Encoder},
    key::Key,
    schema_options::subjects,
    sink::KafkaSink,
};
use headwater_contracts::{
    ByteSize, ConfigError, Destination, KafkaCluster, KafkaUse, Period, Sasl, Sink, SinkConfig, Tls, is_this_machine,
};
use headwater_kafka::Carried;
use headwater_sink_kit::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Writes events to Kafka topics.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Brokers to begin with, `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// The topic; may hold fields, as in `audit.{{ %headwater.provider }}`. Default: `audit.ocsf.v1`.
    #[serde(default = "default_topic")]
    pub topic: String,
    /// The key: `actor` (`provider:tenant:actor`, so that what a person does stays in order), `event_id` (`provider:uid`), `tenant`
    /// (`provider:tenant`), `none`, or a text with fields in `{{ }}`. Default: `actor` for OCSF events; for others, whose actor is not
    /// known, `provider:%headwater.id`, which spreads them over the partitions.
    #[serde(default)]
    pub key: Option<String>,
    /// Headers beside those that every record has, by name; values may hold fields. One whose field the event lacks is left out.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// CloudEvents 1.0 attributes: `binary` puts them into headers, `structured` puts the event into a CloudEvent's `data`.
    /// Default: none.
    #[serde(default)]
    pub cloud_events: Option<CloudEvents>,
    /// The value: `json`, the event as the transforms left it; `raw`, the provider's bytes; `avro` or `protobuf`, the event by a
    /// schema, in Confluent's wire format. Default: `json`.
    #[serde(default)]
    pub encoding: Encoding,
    /// Where schemas are kept, for `avro` and `protobuf`.
    #[serde(default)]
    pub schema_registry: Option<SchemaRegistry>,
    /// The schema for `avro` and `protobuf`: a `file`, or `latest` for the registry's newest. Default: one for OCSF events that
    /// comes with headwater, with the whole event as JSON beside the fields that consumers ask for most.
    #[serde(default)]
    pub schema: Option<RecordSchema>,
    /// How batches are compressed: `none`, `gzip`, `snappy`, `lz4` or `zstd`. Default: `lz4`. With `exactly_once` records leave with the
    /// ledger's: say `compression.type` among the `librdkafka_options` of `state` instead.
    #[serde(default)]
    pub compression: Option<Compression>,
    /// `at_least_once`, or `exactly_once`, which needs `state: { type: kafka }`, or nothing but `kafka` sources, on the same cluster. Default: `at_least_once`.
    #[serde(default)]
    pub delivery: Delivery,
    /// Largest record, with its key and headers. A larger event loses its `raw_data` first, then `unmapped`, and goes to
    /// the dead letters if it is too large even so. Default: `1000000`.
    #[serde(default = "default_max_record_bytes")]
    pub max_record_bytes: ByteSize,
    /// Longest wait for the cluster to take a batch before it is tried anew. Default: `30s`.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// TLS; `{}` for its defaults. With a `ca_file` only the authorities in it are trusted.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Who we are at the cluster.
    #[serde(default)]
    pub sasl: Option<Sasl>,
    /// Settings of librdkafka, by their names there. Those that headwater sets itself are refused.
    #[serde(default)]
    pub librdkafka_options: BTreeMap<String, String>,
}

/// What the value of a record is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// The event as the transforms left it.
    #[default]
    Json,
    /// The provider's bytes.
    Raw,
    /// The event by an Avro schema.
    Avro,
    /// The event by a Protobuf schema.
    Protobuf,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    #[default]
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// Its name in librdkafka.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How often readers may see an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Again after a crash.
    #[default]
    AtLeastOnce,
    /// Once, with `isolation.level=read_committed`.
    ExactlyOnce,
}

fn default_topic() -> String {
    "audit.ocsf.v1".to_owned()
}

const fn default_max_record_bytes() -> ByteSize {
    ByteSize(1_000_000)
}

const fn default_timeout() -> Period {
    Period::seconds(30)
}

impl KafkaConfig {
    /// Checks the options. Reaches nobody.
    pub fn sink(self) -> Result<KafkaSink, ConfigError> {
        let template = |field: &str, text: &str| {
            Template::parse(text).map_err(|problem| ConfigError::new(field.to_owned(), problem))
        };
        let topic = template("topic", &self.topic)?;
        if topic.fixed() == Some("") {
            return Err(ConfigError::new("topic", "is empty"));
        }
        let key = self.key.as_deref().map_or(Ok(Key::Default), Key::parse);
        let key = key.map_err(|problem| ConfigError::new("key", problem))?;
        let headers =
            self.headers.iter().map(|(name, text)| Ok((name.clone(), template(&format!("headers.{name}"), text)?)));
        let headers = headers.collect::<Result<Vec<_>, ConfigError>>()?;
        if self.encoding != Encoding::Json && self.cloud_events == Some(CloudEvents::Structured) {
            return Err(ConfigError::new(
                "cloud_events",
                "`structured` puts a JSON event into another: use `encoding: json`",
            ));
        }
        let max = usize::try_from(self.max_record_bytes.0).unwrap_or(usize::MAX);
        if !(1000..=1_000_000_000).contains(&max) {
            return Err(ConfigError::new("max_record_bytes", "must be from 1000 to 1000000000 bytes"));
        }
        let cluster = KafkaCluster {
            bootstrap_servers: self.bootstrap_servers,
            tls: self.tls,
            sasl: self.sasl,
            librdkafka_options: self.librdkafka_options,
        };
        headwater_kafka::check(&cluster, KafkaUse::Sink)?;
        if self.delivery == Delivery::ExactlyOnce && self.compression.is_some() {
            let problem = "does nothing with `exactly_once`, where records leave in the transactions of the ledger, or of the source: say \
                           `compression.type` among the `librdkafka_options` there";
            return Err(ConfigError::new("compression", problem));
        }
        let timeout = self.timeout.to_std();
        let subjects = subjects(self.encoding, self.schema_registry.as_ref(), self.schema.as_ref(), timeout)?;
        let codec = match subjects {
            Some(subjects) => Codec::Schema(Box::new(subjects)),
            None if self.encoding == Encoding::Raw => Codec::Raw,
            None => Codec::Json,
        };
        let encoder = Encoder { topic, key, headers, cloud_events: self.cloud_events, codec, max };
        let destination = destination(&cluster, self.schema_registry.as_ref().map(|registry| &registry.url));
        let compression = self.compression.unwrap_or_default();
        let mut sink = KafkaSink::new(cluster, encoder, compression, self.delivery, self.timeout);
        sink.destination = Some(destination);
        Ok(sink)
    }
}

/// The first broker, or the registry, that is not this machine; else all brokers.
fn destination(cluster: &KafkaCluster, registry: Option<&url::Url>) -> Destination {
    let registry = registry.filter(|url| !url.host_str().is_some_and(is_this_machine));
    let outside = cluster.outside().map(str::to_owned).or_else(|| registry.map(ToString::to_string));
    Destination {
        is_outside: outside.is_some(),
        address: outside.unwrap_or_else(|| cluster.bootstrap_servers.clone()),
        simulated: Some(format!("the header `{}`", Carried::SIMULATED)),
    }
}

impl SinkConfig for KafkaConfig {
    const TYPE: &'static str = "kafka";

    fn build(self) -> Result<Box<dyn Sink>, ConfigError> {
        Ok(Box::new(self.sink()?))
    }
}
