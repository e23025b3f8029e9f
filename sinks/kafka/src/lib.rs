//! Events to Kafka topics: with keys, headers and times as consumers of audit events need them (normalization contract, "Kafka record").
//!
//! | `delivery` | an event is acknowledged when | readers see it |
//! |---|---|---|
//! | `at_least_once` | all in-sync replicas have it | once, or again after a crash between that and the ledger's commit |
//! | `exactly_once` | it is staged; it leaves in the transaction that commits it to the ledger | once, with `read_committed` |
//!
//! Values are JSON, the provider's bytes, or Avro or Protobuf by a schema whose id a registry gives; the registry is asked before events are
//! encoded, so that encoding stays pure.
//!
//! The producer is idempotent always: what librdkafka sends again is not written twice.

mod avro;
mod cloud_events;
mod config;
mod encode;
mod key;
mod misfit;
mod protobuf;
mod registry;
mod schema;
mod schema_options;
mod sink;
mod subjects;
mod topics;

pub use cloud_events::CloudEvents;
pub use config::{Compression, Delivery, Encoding, KafkaConfig};
pub use schema_options::{Newest, RecordSchema, SchemaFile, SchemaRegistry};
pub use sink::KafkaSink;
