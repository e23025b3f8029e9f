//! Tests of the engine within the test's own process: sources against their simulators, with an injected clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod anypoint;
mod clocks;
mod cost;
mod planted;
mod seeded;
mod support;
mod transport;
