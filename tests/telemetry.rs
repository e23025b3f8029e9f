//! headwater's own metrics and traces: what a receiver of OTLP gets of a run, over either protocol.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test's way to say that it failed

use crate::support;
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use headwater_runtime::SystemClock;
use headwater_simulator::{Provider, Scenario, Simulator};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data, number_data_point},
    resource::v1::Resource,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use std::{
    collections::BTreeSet,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::Server};

/// What has arrived.
#[derive(Default)]
struct Told {
    spans: Vec<Span>,
    /// As they were last told: sums are since the beginning.
    metrics: Vec<Metric>,
    resources: Vec<Resource>,
    keys: Vec<Option<String>>,
}

impl Told {
    fn traces(&mut self, request: ExportTraceServiceRequest) {
        for traces in request.resource_spans {
            self.resources.extend(traces.resource);
            self.spans.extend(traces.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }

    fn metrics(&mut self, request: ExportMetricsServiceRequest) {
        for metrics in request.resource_metrics {
            self.resources.extend(metrics.resource);
            self.metrics = metrics.scope_metrics.into_iter().flat_map(|scope| scope.metrics).collect();
        }
    }
}

type Shared = Arc<Mutex<Told>>;

struct Receiver(Shared);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let key = request.metadata().get("x-key").map(|key| key.to_str().unwrap().to_owned());
        let mut told = self.0.lock().unwrap();
        told.keys.push(key);
        told.traces(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let key = request.metadata().get("x-key").map(|key| key.to_str().unwrap().to_owned());
        let mut told = self.0.lock().unwrap();
        told.keys.push(key);
        told.metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn key(headers: &HeaderMap) -> Option<String> {
    headers.get("x-key").map(|key| key.to_str().unwrap().to_owned())
}

async fn http_traces(State(told): State<Shared>, headers: HeaderMap, body: Bytes) {
    let mut told = told.lock().unwrap();
    told.keys.push(key(&headers));
    told.traces(ExportTraceServiceRequest::decode(body).unwrap());
}

async fn http_metrics(State(told): State<Shared>, headers: HeaderMap, body: Bytes) {
    let mut told = told.lock().unwrap();
    told.keys.push(key(&headers));
    told.metrics(ExportMetricsServiceRequest::decode(body).unwrap());
}

/// Listens until the runtime ends: its port.
async fn receiver(protocol: &str, told: Shared) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    if protocol == "grpc" {
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let (traces, metrics) = (Receiver(told.clone()), Receiver(told));
        let server = Server::builder()
            .add_service(TraceServiceServer::new(traces))
            .add_service(MetricsServiceServer::new(metrics));
        tokio::spawn(server.serve_with_incoming(incoming));
    } else {
        let app = Router::new().route("/v1/traces", post(http_traces)).route("/v1/metrics", post(http_metrics));
        tokio::spawn(async move { axum::serve(listener, app.with_state(told)).await });
    }
    port
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn number(attributes: &[KeyValue], key: &str) -> Option<i64> {
    match attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()? {
        Value::IntValue(number) => Some(*number),
        _ => None,
    }
}

/// The sum of a counter over all its labels.
fn sum(metrics: &[Metric], name: &str) -> i64 {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name}: {metrics:?}"));
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
    let points = sum.data_points.iter().map(|point| match point.value {
        Some(number_data_point::Value::AsInt(value)) => value,
        ref other => panic!("{other:?}"),
    });
    points.sum()
}

fn pipeline(simulator: &Simulator, telemetry: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!(
        "telemetry: {{ {telemetry}, headers: {{ x-key: {{ env: RECEIVER_KEY }} }}, resource: {{ deployment.environment.name: test }} }}\n\
         sources:\n  broker: {{ type: pactflow, endpoint: '{}', token: '{}', start_at: earliest, rate_limit: {{ requests: 1000000, per: 1s }} }}\n\
         sinks:\n  out: {{ type: blackhole, inputs: [broker] }}\n",
        simulator.url(),
        simulator.credential()
    );
    fs::write(dir.path().join("pipeline.yaml"), yaml).unwrap();
    dir
}

fn a_run_is_told_of(protocol: &str) {
    let runtime = support::runtime();
    let _guard = runtime.enter();
    let simulator =
        Simulator::start(Provider::PactFlow, Scenario::new().seed(7).history(5, 2_000), Arc::new(SystemClock));
    let simulator = simulator.unwrap();
    let told = Shared::default();
    let port = runtime.block_on(receiver(protocol, told.clone()));
    let dir = pipeline(&simulator, &format!("endpoint: 'http://127.0.0.1:{port}', protocol: {protocol}"));
    let done = support::command(dir.path(), &["run", "--once"]).env("RECEIVER_KEY", "opensesame").output().unwrap();
    assert!(done.status.success(), "{}", support::stderr(&done));
    assert!(!support::stderr(&done).contains("opensesame"));

    let told = told.lock().unwrap();
    assert!(
        !told.keys.is_empty() && told.keys.iter().all(|key| key.as_deref() == Some("opensesame")),
        "{:?}",
        told.keys
    );
    for resource in &told.resources {
        assert_eq!(text(&resource.attributes, "service.name"), Some("headwater"));
        assert_eq!(text(&resource.attributes, "service.version"), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(text(&resource.attributes, "deployment.environment.name"), Some("test"));
    }

    let requests = simulator.ledger().requests().len();
    let read = sum(&told.metrics, "headwater_events_read");
    assert!(read >= 2_000, "{read} events");
    assert_eq!(
        sum(&told.metrics, "headwater_events_delivered") + sum(&told.metrics, "headwater_events_suppressed"),
        read
    );
    assert_eq!(sum(&told.metrics, "headwater_requests"), i64::try_from(requests).unwrap());
    let took = told.metrics.iter().find(|metric| metric.name == "headwater_request").expect("a histogram");
    assert_eq!(took.unit, "s");
    let Some(Data::Histogram(took)) = &took.data else { panic!("{took:?}") };
    assert_eq!(took.data_points.iter().map(|point| point.count).sum::<u64>(), requests as u64);

    let of = |name: &str| told.spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let scans: BTreeSet<_> = of("scan").iter().map(|scan| (scan.trace_id.clone(), scan.span_id.clone())).collect();
    assert!(!scans.is_empty());
    let exchanges = of("GET");
    assert_eq!(exchanges.len(), requests, "one span for each request that the server has seen");
    for exchange in exchanges {
        assert_eq!(exchange.kind(), SpanKind::Client);
        assert!(scans.contains(&(exchange.trace_id.clone(), exchange.parent_span_id.clone())), "of a scan");
        assert_eq!(number(&exchange.attributes, "http.response.status_code"), Some(200));
        assert_eq!(text(&exchange.attributes, "url.path"), Some("/audit"));
    }
    let events =
        |name: &str| of(name).iter().map(|span| number(&span.attributes, "headwater.events").unwrap()).sum::<i64>();
    let delivered = sum(&told.metrics, "headwater_events_delivered");
    assert_eq!((events("deliver"), events("commit")), (delivered, delivered));
}

#[test]
fn a_receiver_of_grpc_is_told_of_a_run() {
    a_run_is_told_of("grpc");
}

#[test]
fn a_receiver_of_http_is_told_of_a_run() {
    a_run_is_told_of("http");
}

/// The reading is worth more than the account of it.
#[test]
fn a_receiver_that_is_not_there_costs_a_run_nothing_but_a_moment_at_its_end() {
    let runtime = support::runtime();
    let _guard = runtime.enter();
    let simulator =
        Simulator::start(Provider::PactFlow, Scenario::new().seed(8).history(5, 300), Arc::new(SystemClock));
    let simulator = simulator.unwrap();
    for protocol in ["grpc", "http"] {
        let port = headwater_real::free_port();
        let dir =
            pipeline(&simulator, &format!("endpoint: 'http://127.0.0.1:{port}', protocol: {protocol}, timeout: 1s"));
        let begun = Instant::now();
        let done = support::command(dir.path(), &["run", "--once"]).env("RECEIVER_KEY", "k").output().unwrap();
        assert!(done.status.success(), "{}", support::stderr(&done));
        assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
        let said = support::stderr(&done);
        assert!(said.contains("does not take headwater's own metrics") && said.contains(&port.to_string()), "{said}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "telemetry: { endpoint: 'ftp://x', intervall: 1s }\n\
                sources:\n  a: { type: pactflow, endpoint: 'https://x.pactflow.io', token: t }\n\
                sinks:\n  out: { type: blackhole, inputs: [a] }\n";
    fs::write(dir.path().join("pipeline.yaml"), yaml).unwrap();
    let done = support::command(dir.path(), &["validate"]).output().unwrap();
    assert_eq!(done.status.code(), Some(78));
    assert!(support::stderr(&done).contains("did you mean `interval`"), "{}", support::stderr(&done));
    for (keys, problem) in [
        ("endpoint: 'ftp://x'", "`endpoint` of `telemetry`: must be a URL"),
        ("endpoint: 'http://x/v1/traces'", "`endpoint` of `telemetry`: leave `/v1/traces` out"),
        ("endpoint: 'http://x', tls: {}", "`tls` of `telemetry`: is for an `https` endpoint"),
        (
            "endpoint: 'https://x', tls: { ca_file: nowhere.pem }",
            "`tls.ca_file` of `telemetry`: cannot read `nowhere.pem`",
        ),
        ("endpoint: 'http://x', headers: { 'a b': c }", "`headers.a b` of `telemetry`: is no name of gRPC metadata"),
        ("endpoint: 'http://x', metrics: false, traces: false", "nothing would be sent"),
    ] {
        let text = yaml.replace("endpoint: 'ftp://x', intervall: 1s", keys);
        fs::write(dir.path().join("pipeline.yaml"), text).unwrap();
        let done = support::command(dir.path(), &["validate"]).output().unwrap();
        assert_eq!(done.status.code(), Some(78), "{keys}");
        assert!(support::stderr(&done).contains(problem), "{keys}: {}", support::stderr(&done));
    }
}
