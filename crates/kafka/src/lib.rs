//! What the Kafka sink, source and ledger share: a client's configuration, its log, and its OAuth tokens.

mod carried;
mod client;
mod context;
mod group;
mod reason;
mod record;
mod token;
mod topic;
mod transactions;

pub use carried::Carried;
pub use client::{BATCH_SIZE, check, client, create, producer, producer_with};
pub use context::Context;
pub use group::{Assigned, Group, Membership, Seat, members};
pub use reason::{Verdict, explain, is_denied, refused, verdict};
pub use record::send;
pub use topic::{BRIEFLY, Limits, Unseen, administrable, find, find_by, limits, meet, topic_option};
pub use transactions::{Ended, Filling, TransactionError, Transactions, is_stale};

/// A producer whose deliveries are futures.
pub type Producer = rdkafka::producer::FutureProducer<Context>;
