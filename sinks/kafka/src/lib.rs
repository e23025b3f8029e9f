//! Events to Kafka topics: with keys, headers and times as consumers of audit events need them (normalization contract, "Kafka record").
//!
//! | `delivery` | an event is acknowledged when | readers see it |
//! |---|---|---|
//! | `at_least_once` | all in-sync replicas have it | once, or again after a crash between that and the ledger's commit |
//! | `exactly_once` | it is staged; it leaves in the transaction that commits it to the ledger | once, with `read_committed` |
//!
//! The producer is idempotent always: what librdkafka sends again is not written twice.

mod cloud_events;
mod config;
mod encode;
mod key;
mod sink;

pub use cloud_events::CloudEvents;
pub use config::{Compression, Delivery, Encoding, KafkaConfig};
pub use sink::KafkaSink;
