//! The syslog sink against receivers of this process, and, with `tests/real/syslog/run`, against rsyslog and syslog-ng.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod certificates;
mod config;
mod contract;
mod events;
mod faults;
mod golden;
mod parser;
mod property;
mod real;
mod receiver;
mod size;
