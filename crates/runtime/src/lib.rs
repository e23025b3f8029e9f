//! The engine: it drives sans-IO sources over HTTP, takes their events through transforms to sinks, and moves the ledger
//! over what every sink has acknowledged.
//!
//! ```text
//! driver ─ plan, request, split, dedup ─► lane ─ transforms ─ sinks ─ acknowledgement ─► ledger
//! ```
//!
//! Files that people exported take the same way from the driver on ([`export`]); records of topics from the lane on.
//!
//! It knows no plugin by name and no YAML.

pub mod api;
mod backoff;
mod budget;
mod clock;
mod consume;
mod dead_letter;
mod driver;
pub mod export;
mod failure;
mod http;
mod hurry;
mod lane;
mod reader;
mod rejections;
mod run;
mod settle;
mod sink_driver;
mod splitter;
mod status;
mod token;
mod topology;
mod trace;
mod trial;

pub use clock::SystemClock;
pub use dead_letter::{DeadLetter, DeadLetters};
pub use driver::{Clocks, Ending, ahead};
pub use http::{Answer, ExchangeError, HttpClient};
pub use reader::{Bounds, OVERSIZED, Oversized, clear_parts, read_record};
pub use rejections::{Refusing, Rejected};
pub use run::{RunError, RunOptions, Summary, run};
pub use splitter::{ELEMENT_MAX, ENVELOPE_MAX, Element, Page, SplitError, Splitter};
pub use status::{Board, Phase, StreamStatus};
pub use topology::{
    ConsumerSpec, DeadLetterTarget, ImportSpec, OnRefusal, SinkSpec, SourceSpec, Topology, TransformSpec,
};
