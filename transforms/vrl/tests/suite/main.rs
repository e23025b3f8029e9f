//! The VRL stage by its contract: one binary, so that VRL is linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod errors;
mod mmdb_writer;
mod program_runs;
mod properties;
mod stages;
mod support;
mod tables;
mod unit_tests;
mod unknown;
