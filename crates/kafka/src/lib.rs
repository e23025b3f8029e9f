//! What the Kafka sink, source and ledger share: a client's configuration, its log, and its OAuth tokens.

mod client;
mod context;
mod reason;
mod record;
mod token;
mod topic;

pub use client::{client, producer};
pub use context::Context;
pub use reason::{Verdict, verdict};
pub use record::send;
pub use topic::{administrable, max_record_bytes, topic_option};

/// A producer whose deliveries are futures.
pub type Producer = rdkafka::producer::FutureProducer<Context>;
