//! Real servers for tests: Apache Kafka and a schema registry, on this machine, without containers; and networks and disks that
//! fail.
//!
//! `tests/real/kafka/install` installs them; a test that needs one is `#[ignore]`d, stands in a file `real_kafka*.rs`, and
//! `tests/real/kafka/run` runs it:
//!
//! ```no_run
//! use headwater_real::{Protocol, RealKafka};
//! let kafka = RealKafka::start(3);
//! kafka.create_topic("events", 3, &[]);
//! // A client of the test writes to `kafka.bootstrap(Protocol::Plaintext)`; meanwhile
//! kafka.kill(1);
//! let records = kafka.console_consumer("events", 1000);
//! ```
//!
//! All of it blocks, fails by panic, and ends with the test, even if that is killed.
#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // a test's way to say that it failed

mod certificates;
mod java;
mod kafka;
mod ports;
mod process;
mod proxy;
mod registry;

pub use certificates::Certificates;
pub use kafka::{Options, PASSWORD, Protocol, RealKafka, Record, USER};
pub use ports::{free_port, free_ports};
pub use proxy::{Network, Proxy};
pub use registry::Registry;
