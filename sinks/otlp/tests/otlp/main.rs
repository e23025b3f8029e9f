//! The sink against receivers in this process, of both protocols: the sink contract, the protocols' answers, TLS, and the
//! golden records.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod answers;
mod contract;
mod golden;
mod receiver;
mod tls;
