#![doc = include_str!("../README.md")]

mod anypoint;
mod api;
mod api7;
mod dice;
mod faults;
mod ledger;
mod log;
mod mural;
mod pactflow;
mod people;
mod poison;
mod presets;
mod scenario;
mod server;
mod solace_cloud;
mod stream;
mod template;
mod time;
mod tls;
mod world;

pub use anypoint::{AnypointOptions, HighLimit, ORGANIZATIONS as ANYPOINT_ORGANIZATIONS};
pub use api7::{Api7Options, AuditReads, EmptyList, TimeUnit};
pub use faults::{ErrorBody, Fault, FaultRule, RetryAfter, When};
pub use ledger::{Ledger, Seen, Truth};
pub use log::Kind;
pub use mural::{Dates, FinalToken, MuralOptions, WideWindow};
pub use pactflow::{FromMode, Links, OwnRecords, PactFlowOptions, UnknownCursor, Zone};
pub use poison::Poison;
pub use scenario::{ClockStep, Drift, LateEvent, OddDate, OtherReaders, Provider, Scenario};
pub use server::Simulator;
pub use solace_cloud::{LastPage, LimitBody, PastEnd, SolaceCloudOptions, TimeFilter, TokenScope};
