//! A receiver of OTLP logs in this process, by gRPC (tonic) or HTTP (axum), that does as it is told.

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use headwater_sink_otlp::{OtlpConfig, Protocol};
use opentelemetry_proto::tonic::{
    collector::logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    common::v1::any_value::Value,
    logs::v1::LogRecord,
};
use prost::Message;
use serde_json::json;
use std::{
    collections::VecDeque,
    io::Read,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::{Code, Status, codec::CompressionEncoding, transport::Server};
use tonic_types::{ErrorDetails, StatusExt};

/// What the receiver does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    Take,
    /// Takes the request's records but these many, the last ones.
    Partly(usize, &'static str),
    /// Takes nothing. The wait is told as `RetryInfo` and `Retry-After`.
    Fail {
        code: Code,
        status: u16,
        after: Option<u64>,
    },
    /// Takes the request and never answers.
    Silence,
}

pub(crate) fn fail(code: Code, status: u16) -> Reply {
    Reply::Fail { code, status, after: None }
}

#[derive(Default)]
pub(crate) struct Told {
    /// What to do with the next requests; with those after them, `Take`.
    pub(crate) replies: VecDeque<Reply>,
    /// The event of this id makes a request malformed.
    pub(crate) refuse: Option<String>,
    /// Whether every request is put off.
    pub(crate) busy: bool,
    /// Whether it gets busy after the next request.
    pub(crate) busy_soon: bool,
    /// Requests taken, in order.
    pub(crate) taken: Vec<ExportLogsServiceRequest>,
    /// Headers of all requests.
    pub(crate) headers: Vec<HeaderMap>,
    /// Uncompressed sizes of all requests.
    pub(crate) sizes: Vec<usize>,
}

/// The certificates of a server with TLS: chain, key, and the authority of its clients.
#[derive(Clone)]
pub(crate) struct ServerTls {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) client_ca: Option<String>,
}

pub(crate) struct Receiver {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    tls: Option<ServerTls>,
    told: Arc<Mutex<Told>>,
    server: Option<Runtime>,
}

impl Receiver {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self::with_tls(protocol, None)
    }

    pub(crate) fn with_tls(protocol: Protocol, tls: Option<ServerTls>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let told = Arc::default();
        // A port that is still free after the receiver was gone for a while.
        let address = SocketAddr::from(([127, 0, 0, 1], headwater_real::free_port()));
        let mut receiver = Self { protocol, address, tls, told, server: None };
        receiver.start();
        receiver
    }

    /// Listens.
    pub(crate) fn start(&mut self) {
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (told, tls, protocol) = (self.told.clone(), self.tls.clone(), self.protocol);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            match protocol {
                Protocol::Grpc => grpc(listener, tls, told).await,
                Protocol::Http => http(listener, tls, told).await,
            }
        });
        self.server = Some(runtime);
    }

    /// Breaks off every connection and listens no more.
    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            // On a thread that may block: returns when every connection is closed.
            std::thread::spawn(move || server.shutdown_timeout(Duration::from_secs(10))).join().unwrap();
        }
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    pub(crate) fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        self.told().replies.extend(replies);
    }

    /// The options for this receiver; `more` replaces some.
    pub(crate) fn config(&self, more: serde_json::Value) -> OtlpConfig {
        let (scheme, host) = if self.tls.is_some() { ("https", "localhost") } else { ("http", "127.0.0.1") };
        let mut keys = json!({
            "endpoint": format!("{scheme}://{host}:{}", self.address.port()),
            "protocol": if self.protocol == Protocol::Grpc { "grpc" } else { "http" },
        });
        keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(keys).unwrap()
    }

    /// The records taken, in order.
    pub(crate) fn records(&self) -> Vec<LogRecord> {
        self.told().taken.iter().flat_map(records).cloned().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown_background();
        }
    }
}

pub(crate) fn records(request: &ExportLogsServiceRequest) -> impl Iterator<Item = &LogRecord> {
    request.resource_logs.iter().flat_map(|logs| &logs.scope_logs).flat_map(|logs| &logs.log_records)
}

/// A text member of a record's body.
pub(crate) fn member<'a>(record: &'a LogRecord, key: &str) -> Option<&'a str> {
    let Some(Value::KvlistValue(list)) = &record.body.as_ref()?.value else { return None };
    match list.values.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

impl Told {
    fn answer(&mut self, headers: HeaderMap, mut request: ExportLogsServiceRequest) -> Reply {
        self.headers.push(headers);
        self.sizes.push(request.encoded_len());
        let refused = |record: &LogRecord| self.refuse.is_some() && member(record, "id") == self.refuse.as_deref();
        let reply = if self.busy {
            fail(Code::Unavailable, 503)
        } else if records(&request).any(refused) {
            fail(Code::InvalidArgument, 400)
        } else {
            self.replies.pop_front().unwrap_or(Reply::Take)
        };
        self.busy |= self.busy_soon;
        if let Reply::Partly(count, _) = reply {
            let logs = &mut request.resource_logs[0].scope_logs[0].log_records;
            logs.truncate(logs.len() - count);
        }
        if !matches!(reply, Reply::Fail { .. }) {
            self.taken.push(request);
        }
        reply
    }
}

fn partial(count: usize, why: &str) -> ExportLogsServiceResponse {
    let rejected_log_records = i64::try_from(count).unwrap();
    let partial_success = ExportLogsPartialSuccess { rejected_log_records, error_message: why.to_owned() };
    ExportLogsServiceResponse { partial_success: Some(partial_success) }
}

struct Logs(Arc<Mutex<Told>>);

#[tonic::async_trait]
impl LogsService for Logs {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let reply = self.0.lock().unwrap().answer(headers, request.into_inner());
        match reply {
            Reply::Take => Ok(tonic::Response::new(ExportLogsServiceResponse::default())),
            Reply::Partly(count, why) => Ok(tonic::Response::new(partial(count, why))),
            Reply::Silence => std::future::pending().await,
            Reply::Fail { code, after: None, .. } => Err(Status::new(code, "as told")),
            Reply::Fail { code, after, .. } => {
                let details = ErrorDetails::with_retry_info(after.map(Duration::from_secs));
                Err(Status::with_error_details(code, "as told", details))
            }
        }
    }
}

async fn grpc(listener: TcpListener, tls: Option<ServerTls>, told: Arc<Mutex<Told>>) {
    let service = LogsServiceServer::new(Logs(told))
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip);
    let mut server = Server::builder();
    if let Some(ServerTls { cert, key, client_ca }) = tls {
        let mut config =
            tonic::transport::ServerTlsConfig::new().identity(tonic::transport::Identity::from_pem(cert, key));
        if let Some(ca) = client_ca {
            config = config.client_ca_root(tonic::transport::Certificate::from_pem(ca));
        }
        server = server.tls_config(config).unwrap();
    }
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    server.add_service(service).serve_with_incoming(incoming).await.unwrap();
}

async fn http(listener: TcpListener, tls: Option<ServerTls>, told: Arc<Mutex<Told>>) {
    let app = Router::new().route("/v1/logs", post(export)).layer(DefaultBodyLimit::disable()).with_state(told);
    match tls {
        None => axum::serve(listener, app).await.unwrap(),
        Some(tls) => axum::serve(super::tls::Listener::new(listener, &tls), app).await.unwrap(),
    }
}

async fn export(State(told): State<Arc<Mutex<Told>>>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let mut plain = Vec::new();
    match headers.get("content-encoding").map(|encoding| encoding.to_str().unwrap()) {
        None => plain = body.to_vec(),
        Some("gzip") => {
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
        }
        Some("zstd") => plain = zstd::decode_all(&body[..]).unwrap(),
        Some(other) => panic!("{other}"),
    }
    let request = ExportLogsServiceRequest::decode(&plain[..]).unwrap();
    let reply = told.lock().unwrap().answer(headers, request);
    let protobuf = [("content-type", "application/x-protobuf")];
    match reply {
        Reply::Take => (protobuf, Vec::new()).into_response(),
        Reply::Partly(count, why) => (protobuf, partial(count, why).encode_to_vec()).into_response(),
        Reply::Silence => std::future::pending().await,
        Reply::Fail { code, status, after } => {
            let said = tonic_types::Status { code: code.into(), message: "as told".to_owned(), details: vec![] };
            let mut response = (StatusCode::from_u16(status).unwrap(), protobuf, said.encode_to_vec()).into_response();
            if let Some(seconds) = after {
                response.headers_mut().insert("retry-after", seconds.into());
            }
            response
        }
    }
}
