//! Where headwater's own metrics and traces go.

use crate::{ConfigError, Period, Secret, Tls};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use url::Url;

/// headwater's own metrics and traces, by OTLP. Events are the sinks' business: none is in here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// A receiver of OTLP, such as `http://localhost:4317`; for `http` without `/v1/metrics` and `/v1/traces`, which are added.
    pub endpoint: Url,
    /// `grpc` (its port is 4317 by custom), or `http` with protobuf bodies (4318). Default: `grpc`.
    #[serde(default)]
    pub protocol: TelemetryProtocol,
    /// Headers of each request, such as a key.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Whether metrics are sent: those of `/metrics`. Default: `true`.
    #[serde(default = "yes")]
    pub metrics: bool,
    /// Whether traces are sent: scans with their requests, deliveries, commits. Default: `true`.
    #[serde(default = "yes")]
    pub traces: bool,
    /// Time between two exports of metrics. Default: `60s`.
    #[serde(default = "minute")]
    pub interval: Period,
    /// Longest wait for the receiver. Default: `10s`.
    #[serde(default = "ten_seconds")]
    pub timeout: Period,
    /// Attributes of the resource beside `service.name` (`headwater`), `service.version` and `service.instance.id`.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
    /// TLS for an `https` endpoint.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// How a receiver of OTLP is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TelemetryProtocol {
    /// gRPC over HTTP/2.
    #[default]
    Grpc,
    /// Protobuf over HTTP/1.1.
    Http,
}

impl Telemetry {
    /// What the types do not say.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !matches!(self.endpoint.scheme(), "http" | "https") || self.endpoint.host_str().is_none() {
            return Err(ConfigError::new("endpoint", "must be a URL such as `http://localhost:4317`"));
        }
        if self.interval < Period::seconds(1) {
            return Err(ConfigError::new("interval", "must be at least `1s`"));
        }
        if self.timeout < Period::seconds(1) {
            return Err(ConfigError::new("timeout", "must be at least `1s`"));
        }
        Ok(())
    }
}

const fn yes() -> bool {
    true
}

const fn minute() -> Period {
    Period::seconds(60)
}

const fn ten_seconds() -> Period {
    Period::seconds(10)
}
