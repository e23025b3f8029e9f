//! The options, and their checks.

use crate::{
    Body, Mapping, OtlpSink,
    grpc::Grpc,
    http::Http,
    record::SIMULATED,
    sink::{Client, Clients},
};
use headwater_contracts::{ByteSize, ConfigError, Destination, Period, Secret, Sink, SinkConfig, Tls, is_this_machine};
use headwater_sink_kit::Trust;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use url::Url;

/// Sends events to an OpenTelemetry collector, or to whatever else takes OTLP logs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtlpConfig {
    /// Where the receiver is: `http://localhost:4317` for gRPC, `http://localhost:4318` for HTTP, to which `/v1/logs` is
    /// added. `https` for TLS.
    pub endpoint: Url,
    /// How it is spoken to: `grpc` or `http`, both with protobuf. Default: `grpc`.
    #[serde(default)]
    pub protocol: Protocol,
    /// Sent with each request, for example `authorization`. The values are secrets.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// How requests are compressed: `none`, `gzip` or `zstd`. Default: `gzip`, which every receiver understands.
    #[serde(default)]
    pub compression: Compression,
    /// TLS towards an `https` endpoint.
    #[serde(default)]
    pub tls: Tls,
    /// Longest wait for an answer, connecting included. Default: `30s`.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// What the body of a record is: `kvlist`, the event as values, or `json`, its JSON as a string. Default: `kvlist`.
    #[serde(default)]
    pub body: Body,
    /// Whether each record also has the provider's record, as the attribute `log.record.original`. Default: `false`.
    #[serde(default)]
    pub log_record_original: bool,
    /// Most bytes of a request, before compression. Default: `3MiB`; gRPC servers refuse more than 4 MiB unless told
    /// otherwise.
    #[serde(default = "max_request_bytes")]
    pub max_request_bytes: ByteSize,
}

/// How the receiver is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// OTLP/gRPC.
    #[default]
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    #[default]
    Gzip,
    /// Zstandard.
    Zstd,
}

fn timeout() -> Period {
    Period::seconds(30)
}

fn max_request_bytes() -> ByteSize {
    ByteSize::mib(3)
}

/// What these say is the protocol's business.
const RESERVED: [&str; 7] =
    ["content-type", "content-encoding", "content-length", "host", "te", "transfer-encoding", "user-agent"];

impl OtlpConfig {
    /// Checks the options. Touches no receiver.
    pub fn sink(self) -> Result<OtlpSink, ConfigError> {
        let secure = self.endpoint.scheme() == "https";
        self.check_endpoint()?;
        if !secure && self.tls != Tls::default() {
            return Err(ConfigError::new("tls", "is for an `https` endpoint"));
        }
        if self.timeout.to_std().is_zero() {
            return Err(ConfigError::new("timeout", "must be longer than `0s`"));
        }
        if self.max_request_bytes < ByteSize::kib(1) {
            return Err(ConfigError::new("max_request_bytes", "must be `1KiB` or more"));
        }
        let headers = self.headers()?;
        let (endpoint, tls) = (self.endpoint.clone(), self.tls.clone());
        let (protocol, compression, timeout) = (self.protocol, self.compression, self.timeout.to_std());
        let connect = move || {
            let trust = if secure { Some(Trust::new(&tls)?) } else { None };
            let headers = headers.clone();
            Ok(match protocol {
                Protocol::Grpc => Client::Grpc(Box::new(Grpc::new(&endpoint, headers, compression, trust, timeout)?)),
                Protocol::Http => Client::Http(Box::new(Http::new(&endpoint, headers, compression, trust, timeout)?)),
            })
        };
        let client = Clients::new(connect, &self.tls)?;
        let endpoint = &self.endpoint;
        let mapping = Mapping { body: self.body, original: self.log_record_original };
        let destination = Destination {
            address: endpoint.to_string(),
            is_outside: endpoint.host_str().is_some_and(|host| !is_this_machine(host)),
            simulated: Some(format!("the attribute `{SIMULATED}`")),
        };
        let max = usize::try_from(self.max_request_bytes.0).unwrap_or(usize::MAX);
        Ok(OtlpSink::new(client, mapping, max, destination))
    }

    fn check_endpoint(&self) -> Result<(), ConfigError> {
        let wrong = |problem: &str| Err(ConfigError::new("endpoint", problem));
        let url = &self.endpoint;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return wrong("must begin with `http://` or `https://` and a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("must not hold a credential: put it under `headers`, as `authorization`");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return wrong("must not have a query or a fragment");
        }
        match self.protocol {
            Protocol::Grpc if !matches!(url.path(), "" | "/") => {
                wrong("must not have a path, which gRPC has no place for: leave it away, or set `protocol: http`")
            }
            Protocol::Http if url.path().trim_end_matches('/').ends_with("/v1/logs") => {
                wrong("must end before `/v1/logs`, which is added")
            }
            _ => Ok(()),
        }
    }

    fn headers(&self) -> Result<HeaderMap, ConfigError> {
        let mut headers = HeaderMap::new();
        for (name, secret) in &self.headers {
            let wrong = |problem: &str| ConfigError::new(format!("headers.{name}"), problem);
            let key: HeaderName = name.parse().map_err(|_| wrong("is no name of a header"))?;
            if RESERVED.contains(&key.as_str()) || key.as_str().starts_with("grpc-") || key.as_str().ends_with("-bin") {
                return Err(wrong("is a header that the protocol sets itself"));
            }
            let mut value = HeaderValue::from_str(secret.expose())
                .map_err(|_| wrong("holds characters that no header can carry (a line break at its end?)"))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        Ok(headers)
    }
}

impl SinkConfig for OtlpConfig {
    const TYPE: &'static str = "otlp";

    fn build(self) -> Result<Box<dyn Sink>, ConfigError> {
        Ok(Box::new(self.sink()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(yaml: serde_json::Value) -> Result<OtlpSink, ConfigError> {
        serde_json::from_value::<OtlpConfig>(yaml).unwrap().sink()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_option() {
        let cases = [
            (serde_json::json!({"endpoint": "ftp://a"}), "endpoint"),
            (serde_json::json!({"endpoint": "http://user:pw@a:4317"}), "endpoint"),
            (serde_json::json!({"endpoint": "http://a:4317/otlp"}), "endpoint"),
            (serde_json::json!({"endpoint": "http://a:4318/v1/logs", "protocol": "http"}), "endpoint"),
            (serde_json::json!({"endpoint": "http://a:4317", "tls": {"verify": false}}), "tls"),
            (serde_json::json!({"endpoint": "https://a:4317", "tls": {"ca_file": "/does/not/exist"}}), "tls.ca_file"),
            (
                serde_json::json!({"endpoint": "https://a:4317", "tls": {"verify": false, "cert_file": "a"}}),
                "tls.cert_file",
            ),
            (serde_json::json!({"endpoint": "http://a:4317", "timeout": "0s"}), "timeout"),
            (serde_json::json!({"endpoint": "http://a:4317", "max_request_bytes": 10}), "max_request_bytes"),
            (serde_json::json!({"endpoint": "http://a:4317", "headers": {"a b": "c"}}), "headers.a b"),
            (
                serde_json::json!({"endpoint": "http://a:4317", "headers": {"Content-Type": "c"}}),
                "headers.Content-Type",
            ),
            (serde_json::json!({"endpoint": "http://a:4317", "headers": {"x-key": "secret\n"}}), "headers.x-key"),
        ];
        for (yaml, field) in cases {
            let error = sink(yaml.clone()).err().unwrap_or_else(|| panic!("{yaml} is accepted"));
            assert_eq!(error.field, field, "{yaml}: {error}");
            assert!(!error.problem.contains("secret"), "{error}");
        }
        for good in [
            serde_json::json!({"endpoint": "http://a:4317"}),
            serde_json::json!({"endpoint": "https://a/base/", "protocol": "http", "tls": {"verify": false},
                "headers": {"authorization": "Bearer x"}}),
        ] {
            assert!(sink(good.clone()).is_ok(), "{good}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let config: OtlpConfig =
            serde_json::from_value(serde_json::json!({"endpoint": "http://a", "headers": {"x": "hidden"}})).unwrap();
        assert!(!format!("{config:?}").contains("hidden"));
    }
}
