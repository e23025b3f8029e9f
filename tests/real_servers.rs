//! Tests of the whole binary against real servers, which `tests/real/run` installs and starts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/kafka.rs"]
mod kafka;
mod otelcol;
mod real_kafka;
mod real_kafka_registry;
mod real_kafka_tier;
mod support;
