//! What tests of headwater share: contract suites and fakes.
#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // a test's way to say that it failed

pub mod clock;
pub mod recorder;
pub mod rig;
pub mod saboteur;
pub mod sink_suite;
pub mod source_suite;
pub mod wrong_clocks;
