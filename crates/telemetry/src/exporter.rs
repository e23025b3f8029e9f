//! Exporters for either protocol.

use headwater_contracts::{ConfigError, Telemetry as Options, TelemetryProtocol};
use headwater_net::{Names, Trust};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use std::{collections::HashMap, str::FromStr};
use tonic::{
    metadata::{MetadataKey, MetadataMap, MetadataValue},
    transport::{ClientTlsConfig, Endpoint, Identity},
};

/// What the exporters of both signals share.
pub(crate) struct Exporters<'a> {
    options: &'a Options,
    transport: Transport,
}

enum Transport {
    Grpc { receiver: Box<Endpoint>, headers: MetadataMap },
    Http { client: reqwest::blocking::Client, headers: HashMap<String, String> },
}

impl<'a> Exporters<'a> {
    pub(crate) fn new(options: &'a Options) -> Result<Self, ConfigError> {
        options.check()?;
        if !options.metrics && !options.traces {
            return Err(ConfigError::new("metrics", "is off, and so are `traces`: nothing would be sent"));
        }
        if let Some(signal) =
            ["/v1/metrics", "/v1/traces"].iter().find(|signal| options.endpoint.path().ends_with(*signal))
        {
            return Err(ConfigError::new("endpoint", format!("leave `{signal}` out: it is added")));
        }
        if options.tls.is_some() && options.endpoint.scheme() != "https" {
            return Err(ConfigError::new("tls", "is for an `https` endpoint"));
        }
        if options.tls.as_ref().is_some_and(|tls| tls.verify == Some(false)) {
            let problem = "cannot be switched off here: name the receiver's authority in `ca_file`";
            return Err(ConfigError::new("tls.verify", problem));
        }
        let transport = match options.protocol {
            TelemetryProtocol::Grpc => {
                Transport::Grpc { receiver: Box::new(receiver(options)?), headers: metadata(options)? }
            }
            TelemetryProtocol::Http => {
                let headers = options.headers.iter();
                let headers = headers.map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
                Transport::Http { client: http_client(options)?, headers }
            }
        };
        Ok(Self { options, transport })
    }

    pub(crate) fn metrics(&self) -> Result<MetricExporter, ConfigError> {
        let built = match &self.transport {
            Transport::Grpc { receiver, headers } => {
                self.grpc(MetricExporter::builder().with_tonic(), receiver, headers).build()
            }
            Transport::Http { client, headers } => {
                self.http(MetricExporter::builder().with_http(), "v1/metrics", client, headers).build()
            }
        };
        built.map_err(|error| unusable(&error))
    }

    pub(crate) fn traces(&self) -> Result<SpanExporter, ConfigError> {
        let built = match &self.transport {
            Transport::Grpc { receiver, headers } => {
                self.grpc(SpanExporter::builder().with_tonic(), receiver, headers).build()
            }
            Transport::Http { client, headers } => {
                self.http(SpanExporter::builder().with_http(), "v1/traces", client, headers).build()
            }
        };
        built.map_err(|error| unusable(&error))
    }

    fn grpc<B: WithExportConfig + WithTonicConfig>(&self, builder: B, receiver: &Endpoint, headers: &MetadataMap) -> B {
        let builder = builder.with_endpoint(self.options.endpoint.as_str());
        let builder = builder.with_timeout(self.options.timeout.to_std()).with_metadata(headers.clone());
        let connector = Names::default().connector(self.options.timeout.to_std());
        builder.with_channel(receiver.connect_with_connector_lazy(connector))
    }

    fn http<B: WithExportConfig + WithHttpConfig>(
        &self,
        builder: B,
        signal: &str,
        client: &reqwest::blocking::Client,
        headers: &HashMap<String, String>,
    ) -> B {
        let builder = builder.with_endpoint(self.path(signal)).with_timeout(self.options.timeout.to_std());
        builder.with_headers(headers.clone()).with_http_client(client.clone())
    }

    /// The URL of a signal (OTLP 1.x, "OTLP/HTTP Request").
    fn path(&self, signal: &str) -> String {
        format!("{}/{signal}", self.options.endpoint.as_str().trim_end_matches('/'))
    }
}

fn unusable(error: &ExporterBuildError) -> ConfigError {
    ConfigError::new("endpoint", format!("no exporter can be made for it: {error}"))
}

fn metadata(options: &Options) -> Result<MetadataMap, ConfigError> {
    let mut headers = MetadataMap::new();
    for (name, value) in &options.headers {
        let wrong = |what: &str| ConfigError::new(format!("headers.{name}"), format!("is no {what} of gRPC metadata"));
        let key = MetadataKey::from_str(&name.to_ascii_lowercase()).map_err(|_| wrong("name"))?;
        let mut value = MetadataValue::from_str(value.expose()).map_err(|_| wrong("value"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

fn receiver(options: &Options) -> Result<Endpoint, ConfigError> {
    let unfit = |error: tonic::transport::Error| ConfigError::new("endpoint", error.to_string());
    let receiver = Endpoint::from_shared(options.endpoint.to_string()).map_err(unfit)?;
    let receiver = receiver.timeout(options.timeout.to_std()).connect_timeout(options.timeout.to_std());
    if options.endpoint.scheme() != "https" {
        return Ok(receiver);
    }
    let Trust { verifier, identity } = Trust::new(&options.tls.clone().unwrap_or_default())?;
    let mut tls = ClientTlsConfig::new();
    if let Some((cert, key)) = identity {
        tls = tls.identity(Identity::from_pem(cert, key));
    }
    receiver.tls_config_with_verifier(tls, verifier).map_err(|error| ConfigError::new("tls", error.to_string()))
}

fn http_client(options: &Options) -> Result<reqwest::blocking::Client, ConfigError> {
    let mut builder = reqwest::blocking::Client::builder()
        .timeout(options.timeout.to_std())
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(std::sync::Arc::new(Names::default()));
    if options.endpoint.scheme() == "https" {
        let trust = Trust::new(&options.tls.clone().unwrap_or_default())?;
        builder = builder.tls_backend_preconfigured(trust.client_config(&["h2", "http/1.1"])?);
    }
    builder.build().map_err(|error| ConfigError::new("tls", error.to_string()))
}
