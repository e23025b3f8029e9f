//! YAML to a typed, checked pipeline, with the place of everything; and what is wrong with it, all at once.
//!
//! ```text
//! files ─parse─► Node tree ─interpolate─► sections, merged ─decode, build─► Pipeline
//!                     └──────── wiring: names, inputs, cycles, unused ────────┘
//! ```
//!
//! The crate knows no plugin: the binary registers them in a [`Registry`]. It does not compile VRL: [`VrlText`] says
//! where each byte of a program was written, and [`read`] lets the compiler add its problems to the others.

mod address;
mod advice;
mod component;
mod conceal;
mod consumer;
mod decode;
mod decode_error;
mod deserializer;
mod diagnostics;
mod document;
mod environment;
mod example;
mod graph;
mod import;
mod interpolate;
mod keys;
mod load;
mod mask;
mod node;
mod offsets;
mod one_source;
mod parse;
mod pipeline;
mod registry;
mod schema;
mod secret;
mod settings;
mod shape;
mod source_file;
mod suggest;
mod transform;
mod unit_tests;
mod vrl_text;
mod wiring;

pub use decode::{Decoder, Subject};
pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use environment::{Environment, LoadOptions, ProcessEnvironment, SIMULATED, UNRESOLVED, set_and_empty};
pub use graph::{Graph, GraphEdge, GraphNode, Role};
pub use load::{Loaded, load, read, read_texts};
pub use node::{Content, Entry, Node, NodeId, Resolved, Scalar};
pub use one_source::{NoSource, Question, read_source};
pub use parse::parse;
pub use pipeline::{
    Api, ConsumerSpec, DeadLetter, Decoding, ImportSpec, KafkaSource, KafkaState, OffsetReset, OnError, OutputRef,
    Pipeline, Place, SinkSpec, SourceSpec, State, Table, TableSpec, TestEvent, TestInput, TestOutput, Transform,
    TransformSpec, UNMATCHED, UnitTest,
};
pub use registry::Registry;
pub use schema::json_schema;
pub use source_file::{Location, SourceFile, Span};
pub use suggest::closest;
pub use vrl_text::VrlText;
