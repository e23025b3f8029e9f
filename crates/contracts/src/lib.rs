//! The words every part of headwater shares: events, requests, scans, batches, and the traits of the
//! components. No I/O, no async runtime, and nothing of ours below it.
//!
//! | trait | who writes one | who calls it |
//! |---|---|---|
//! | [`Source`], [`Scan`] | a source plugin: one audit API | the scan driver of the runtime |
//! | [`Import`] | a source plugin: the files that people export | the driver, before it scans |
//! | [`Transform`] | the VRL stage | a lane of the runtime |
//! | [`Sink`] | a destination | the sink driver of the runtime |
//! | [`Clock`] | the runtime (system), the testkit (fake) | everything that needs the time |

mod answer;
mod batch;
mod clock;
mod coverage;
mod error;
mod event;
pub mod files;
pub mod from_file;
mod host;
mod identity;
mod import;
pub mod json;
mod kafka;
mod kafka_settings;
mod login;
pub mod mask;
mod ocsf_version;
mod options;
mod outbox;
mod own_query;
mod path;
mod plugin;
mod request;
mod secret;
mod sink;
mod source;
mod telemetry;
mod tls;
mod transform;
mod visible;
mod vocabulary;

pub use answer::{complaint, excerpt, instead_of_json, promises_more, shown, warnings};
pub use batch::{Batch, Outcome, Tally};
pub use clock::Clock;
pub use coverage::{Coverage, Covered, Span};
pub use error::ReadError;
pub use event::{Event, Origin, ReadBy};
pub use host::is_this_machine;
pub use identity::{Identity, hex};
pub use import::{Cell, Column, Columns, ExportFormat, Import, Need};
pub use kafka::{KafkaCluster, Mechanism, Sasl};
pub use kafka_settings::KafkaUse;
pub use login::{Login, LoginBody, LoginField};
pub use ocsf_version::OcsfVersion;
pub use options::{
    BatchOptions, ByteSize, OnReject, Period, RateLimit, Rescan, Retry, SinkOptions, SourceOptions, StartAt,
};
pub use outbox::{Outbox, Outgoing, Staged};
pub use own_query::{Echo, OwnQueryPolicy, OwnRequest, OwnRequests};
pub use path::path;
pub use plugin::{Auth, BuiltSource, Cadence, ConfigError, SinkConfig, SourceConfig};
pub use request::{Method, PageEnd, Rejection, Request};
pub use secret::{STAND_INS, Secret};
pub use sink::{Delivery, Destination, Encode, Rejected, Sink, SinkError};
pub use source::{Gap, Lookup, Next, Plan, Record, Scan, Source, StreamView, Unreadable};
pub use telemetry::{Telemetry, TelemetryProtocol};
pub use tls::{Pem, Tls};
pub use transform::{Emit, Port, Transform};
pub use visible::{is_visible, visible, visible_lines};
pub use vocabulary::{Asked, Question, Term, Vocabulary};

/// An instant, UTC. The ledger keeps milliseconds of it.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
