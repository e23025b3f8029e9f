//! Tests of the whole binary, one program: what links VRL and librdkafka takes long to link.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod cli;
mod crash;
mod detections;
mod examples;
mod import;
mod kafka_source;
mod ledger;
mod links;
mod list;
mod query;
mod support;
mod telemetry;
