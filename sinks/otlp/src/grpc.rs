//! OTLP/gRPC.

use crate::{
    answer::{Answer, causes, of_response, of_status},
    config::Compression,
};
use headwater_contracts::ConfigError;
use headwater_sink_kit::{Names, Trust};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, logs_service_client::LogsServiceClient,
};
use reqwest::header::HeaderMap;
use std::time::Duration;
use tonic::{
    codec::CompressionEncoding,
    metadata::MetadataMap,
    transport::{Channel, ClientTlsConfig, Endpoint, Identity},
};
use url::Url;

pub(crate) struct Grpc {
    endpoint: Endpoint,
    metadata: MetadataMap,
    compression: Compression,
    timeout: Duration,
    /// Opened by the first request, and again after a connection has failed: one that is half dead must not be met again.
    client: Option<LogsServiceClient<Channel>>,
}

impl Grpc {
    pub(crate) fn new(
        endpoint: &Url,
        headers: HeaderMap,
        compression: Compression,
        trust: Option<Trust>,
        timeout: Duration,
    ) -> Result<Self, ConfigError> {
        let unfit = |field: &str| {
            let field = field.to_owned();
            move |error: tonic::transport::Error| ConfigError::new(field, causes(&error))
        };
        let mut endpoint = Endpoint::from_shared(endpoint.to_string())
            .and_then(|endpoint| endpoint.user_agent(crate::http::USER_AGENT))
            .map_err(unfit("endpoint"))?
            .connect_timeout(timeout)
            .tcp_nodelay(true);
        if let Some(Trust { verifier, identity }) = trust {
            let mut tls = ClientTlsConfig::new();
            if let Some((cert, key)) = identity {
                tls = tls.identity(Identity::from_pem(cert, key));
            }
            endpoint = endpoint.tls_config_with_verifier(tls, verifier).map_err(unfit("tls.cert_file"))?;
        }
        Ok(Self { endpoint, metadata: MetadataMap::from_headers(headers), compression, timeout, client: None })
    }

    pub(crate) async fn export(&mut self, request: ExportLogsServiceRequest) -> Answer {
        let mut request = tonic::Request::new(request);
        *request.metadata_mut() = self.metadata.clone();
        request.set_timeout(self.timeout);
        let client = self.client.get_or_insert_with(|| {
            let connector = Names::default().connector(self.timeout);
            let channel = self.endpoint.connect_with_connector_lazy(connector);
            let client = LogsServiceClient::new(channel)
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd);
            match self.compression {
                Compression::None => client,
                Compression::Gzip => client.send_compressed(CompressionEncoding::Gzip),
                Compression::Zstd => client.send_compressed(CompressionEncoding::Zstd),
            }
        });
        match tokio::time::timeout(self.timeout, client.export(request)).await {
            Ok(Ok(response)) => of_response(response.into_inner()),
            Ok(Err(status)) => {
                if std::error::Error::source(&status).is_some() {
                    self.client = None;
                }
                of_status(&status)
            }
            Err(_) => {
                self.client = None;
                Answer::Again { reason: format!("no answer within {:?}", self.timeout), after: None }
            }
        }
    }
}
