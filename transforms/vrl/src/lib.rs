//! The VRL stage: programs are compiled once and run per batch; the only crate that knows the VRL compiler.
//!
//! | part | what for |
//! |---|---|
//! | [`Compiler`], [`Program`], [`Condition`] | text to something that runs; errors carry byte ranges in the text |
//! | [`Remap`], [`Filter`], [`Route`] | the transforms of a pipeline |
//! | [`Tables`] | enrichment tables (CSV, MMDB), under Vector's function names |
//! | [`TestCase`], [`run_test`] | the engine of `headwater test` |
//! | [`run_program`], [`Metas`] | the engine of `headwater vrl` |
//!
//! Inside a program `.` is the event and `%` its metadata. `%headwater` says where the event comes from and is
//! read-only; everything else below `%` belongs to the programs and travels with the event. An event that no program
//! has changed keeps the provider's bytes as they are: a program that only looks costs no precision.

mod compiler;
mod event_json;
mod facts;
mod filter;
mod machine;
mod problem;
mod remap;
mod route;
mod run_program;
mod tables;
mod target;
mod unit_test;
mod unknown_facts;

pub use compiler::{Compiler, Condition, Program};
pub use event_json::{Metas, event_with_metadata};
pub use filter::Filter;
pub use problem::{Label, Locate, Position, ProgramError, Severity, locate_in, render};
pub use remap::{Remap, RemapOptions};
pub use route::{Route, RouteRule, UNMATCHED};
pub use run_program::{Failure, ProgramRun, run_program};
pub use tables::{ColumnType, TableError, TableSpec, Tables};
pub use unit_test::{TestCase, TestCondition, TestGraph, TestInput, TestOutput, TestResult, run_test};
