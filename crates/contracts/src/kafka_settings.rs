//! Settings of librdkafka that are headwater's own: whoever sets them among `librdkafka_options` would lose a guarantee, or say the same in
//! two places. All others are the user's.

use crate::{ConfigError, KafkaCluster};

/// What a cluster is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaUse {
    /// The `kafka` sink.
    Sink,
    /// The ledger, in `state`.
    Ledger,
    /// A `kafka` source.
    Source,
}

/// A setting, and the YAML option that says it, where there is one.
type Setting = (&'static str, Option<&'static str>);

/// How a cluster is reached. Both names where librdkafka has two.
const CONNECTION: &[Setting] = &[
    ("bootstrap.servers", Some("bootstrap_servers")),
    ("metadata.broker.list", Some("bootstrap_servers")),
    ("security.protocol", Some("tls` and `sasl")),
    ("ssl.ca.location", Some("tls.ca_file")),
    ("ssl.certificate.location", Some("tls.cert_file")),
    ("ssl.key.location", Some("tls.key_file")),
    ("enable.ssl.certificate.verification", Some("tls.verify")),
    ("sasl.mechanism", Some("sasl.mechanism")),
    ("sasl.mechanisms", Some("sasl.mechanism")),
    ("sasl.username", Some("sasl.username")),
    ("sasl.password", Some("sasl.password")),
];

/// What records are written with.
const WRITING: &[Setting] = &[
    ("enable.idempotence", None),
    ("acks", None),
    ("request.required.acks", None),
    ("transactional.id", None),
    ("partitioner", None),
    ("allow.auto.create.topics", None),
];

/// The same, where it is no matter of the sink.
const WRITING_LEDGER: &[Setting] =
    &[("message.max.bytes", None), ("message.timeout.ms", None), ("delivery.timeout.ms", None)];

/// The same, of the sink.
const WRITING_SINK: &[Setting] = &[
    ("message.max.bytes", Some("max_record_bytes")),
    ("message.timeout.ms", Some("timeout")),
    ("delivery.timeout.ms", Some("timeout")),
    ("compression.type", Some("compression")),
    ("compression.codec", Some("compression")),
];

/// What records are read with, and shared among instances.
const READING: &[Setting] = &[
    ("group.id", Some("group")),
    ("group.instance.id", Some("instance")),
    ("group.protocol", None),
    ("session.timeout.ms", Some("session_timeout")),
    ("heartbeat.interval.ms", Some("session_timeout")),
    ("partition.assignment.strategy", None),
    ("enable.auto.commit", None),
    ("enable.auto.offset.store", None),
    ("enable.partition.eof", None),
    ("isolation.level", None),
];

impl KafkaUse {
    /// The YAML option in place of a setting that is headwater's own, where there is one; `None` for a setting of the user's.
    pub fn own(self, setting: &str) -> Option<Option<&'static str>> {
        let tables: &[&[Setting]] = match self {
            Self::Sink => &[CONNECTION, WRITING, WRITING_SINK],
            Self::Ledger => &[CONNECTION, WRITING, WRITING_LEDGER, READING, &[("auto.offset.reset", None)]],
            Self::Source => {
                let reset = ("auto.offset.reset", Some("auto_offset_reset"));
                &[CONNECTION, WRITING, WRITING_LEDGER, READING, &[reset]]
            }
        };
        tables.iter().copied().flatten().find(|(name, _)| *name == setting).map(|(_, option)| *option)
    }
}

impl KafkaCluster {
    /// Checks what can be checked without the cluster.
    pub fn check(&self, used_as: KafkaUse) -> Result<(), ConfigError> {
        for setting in self.librdkafka_options.keys() {
            let problem = match used_as.own(setting) {
                None => continue,
                Some(Some(option)) => format!("is headwater's own: say `{option}` instead"),
                Some(None) => {
                    "is headwater's own: without it, records would be lost or repeated, or go elsewhere".to_owned()
                }
            };
            return Err(ConfigError::new(format!("librdkafka_options.{setting}"), problem));
        }
        self.check_connection()
    }
}
