//! Topics as a source: a second tier, which reads what a first headwater wrote, or anybody.
//!
//! Unlike the sources that ask an API, this one is no planner: it holds connections and threads of its own. The runtime knows
//! it as a [`headwater_ledger::Consumer`].
//!
//! | | |
//! |---|---|
//! | record | the event's JSON; what a first tier knew of it comes in headers ([`headwater_kafka::Carried`]) |
//! | event id | that of the provider; of another writer's record `topic/partition/offset` |
//! | identity | topic, partition and offset |
//! | time | the event's; of another writer's record its timestamp |
//! | place | the group's offset, in the transaction of what it became, or after its delivery |
//! | sharing | the group protocol; a transactional id per partition fences who had it before |
//!
//! Sources: KIP-98 (transactions), KIP-447 (offsets with the group's generation), KIP-345 (static membership).

mod consumer;
mod feed;
mod lag;
mod look;
mod offsets;
mod record;

pub use consumer::{Start, Subscription, Topics, TopicsConsumer};
pub use look::{TopicError, look};
