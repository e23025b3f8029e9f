//! Events as OpenTelemetry log records, by OTLP/gRPC or OTLP/HTTP with protobuf.
//!
//! | what | how |
//! |---|---|
//! | acknowledged | when the receiver has answered the request with success |
//! | a batch | goes in as many requests as `max_request_bytes` asks for; a retry sends only what is still open |
//! | too large | an event that fits no request alone goes without `raw_data`, then without `unmapped`, else it is rejected |
//! | refused | a request that is refused as malformed is halved until the guilty event is found: nothing of it was taken |
//! | partly refused | OTLP does not say which, so all events of that request are rejected, with a reason that says so |
//! | not for us | a wrong credential, address or protocol stops the run, or, where it worked before, is tried again |
//!
//! What a record looks like: [`Mapping`]. Which answers mean what: the module `answer`, after
//! <https://opentelemetry.io/docs/specs/otlp/>.

mod answer;
mod body;
mod config;
mod grpc;
mod http;
mod progress;
mod record;
mod request;
mod sink;

pub use config::{Compression, OtlpConfig, Protocol};
pub use record::{Body, Mapping, Record};
pub use request::request;
pub use sink::OtlpSink;
