//! OTLP/HTTP with protobuf.

use crate::{
    answer::{Answer, causes, of_http},
    config::Compression,
};
use bytes::Bytes;
use flate2::write::GzEncoder;
use headwater_contracts::{ConfigError, is_this_machine};
use headwater_sink_kit::{Names, Trust};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};
use url::Url;

pub(crate) const USER_AGENT: &str = concat!("headwater/", env!("CARGO_PKG_VERSION"));
/// As much as is read of an answer, bytes.
const ANSWER_MAX: usize = 64 * 1024;

pub(crate) struct Http {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    compression: Compression,
}

impl Http {
    pub(crate) fn new(
        endpoint: &Url,
        mut headers: HeaderMap,
        compression: Compression,
        trust: Option<Trust>,
        timeout: Duration,
    ) -> Result<Self, ConfigError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Names::default())
            .referer(false)
            // A request that timed out takes its connection with it.
            .http1_only()
            .timeout(timeout)
            .tcp_nodelay(true);
        if endpoint.host_str().is_some_and(is_this_machine) {
            // The environment's proxies are for the world outside.
            builder = builder.no_proxy();
        }
        if let Some(trust) = trust {
            builder = builder.tls_backend_preconfigured(trust.client_config(&["http/1.1"])?);
        }
        let client = builder.build().map_err(|error| ConfigError::new("tls", causes(&error)))?;
        let mut url = endpoint.clone();
        url.set_path(&format!("{}/v1/logs", endpoint.path().trim_end_matches('/')));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if let Some(encoding) = match compression {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        } {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        Ok(Self { client, url, headers, compression })
    }

    pub(crate) async fn export(&self, request: ExportLogsServiceRequest) -> Answer {
        let again = |reason: String| Answer::Again { reason, after: None };
        let body = match self.packed(&request) {
            Ok(body) => body,
            Err(error) => return again(format!("cannot compress the request: {error}")),
        };
        let sent = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body).send().await;
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return again(causes(&error.without_url())),
        };
        let mut body = Vec::new();
        while body.len() < ANSWER_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_MAX - body.len())]),
                Ok(None) => break,
                // The status is not enough: it may have refused a part.
                Err(error) => return again(format!("the answer broke off: {}", causes(&error.without_url()))),
            }
        }
        of_http(response.status(), response.headers(), &body, SystemTime::now())
    }

    fn packed(&self, request: &ExportLogsServiceRequest) -> io::Result<Bytes> {
        let plain = request.encode_to_vec();
        Ok(match self.compression {
            Compression::None => plain,
            Compression::Gzip => {
                let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
                gzip.write_all(&plain)?;
                gzip.finish()?
            }
            Compression::Zstd => zstd::encode_all(&plain[..], zstd::DEFAULT_COMPRESSION_LEVEL)?,
        }
        .into())
    }
}
