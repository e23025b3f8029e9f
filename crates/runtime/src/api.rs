//! The HTTP API of a run: `/health`, `/ready`, `/metrics`.

use crate::status::{Board, Phase};
use axum::{Json, Router, http::StatusCode, routing::get};
use headwater_contracts::mask;
use metrics::Recorder;
pub use metrics_exporter_prometheus::PrometheusHandle as Metrics;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use metrics_util::layers::FanoutBuilder;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpListener;

/// Upper boundaries of the histograms' buckets, by name.
pub const BOUNDARIES: &[(&str, &[f64])] = &[
    ("headwater_request_seconds", &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
    // A minute to a month.
    ("headwater_event_lateness_seconds", &[60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0]),
];

/// How often what histograms were told is put into their buckets; without that it would pile up until somebody asks.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the process's metrics recorder: for `/metrics`, and for whoever else wants to be told. `None` if one is installed already
/// (a second run in one test process).
pub fn install_metrics<R: Recorder + Send + Sync + 'static>(other: Option<R>) -> Option<Metrics> {
    let mut builder = PrometheusBuilder::new();
    for (name, boundaries) in BOUNDARIES {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), boundaries).ok()?;
    }
    let recorder = builder.build_recorder();
    let metrics = recorder.handle();
    match other {
        Some(other) => {
            let both = FanoutBuilder::default().add_recorder(recorder).add_recorder(other).build();
            metrics::set_global_recorder(both).ok()?;
        }
        None => metrics::set_global_recorder(recorder).ok()?,
    }
    Some(metrics)
}

/// Keeps a recorder small, until dropped.
pub async fn keep(metrics: Metrics) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.run_upkeep();
    }
}

/// Binds the API. The address says where, also for port 0.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until dropped.
///
/// - `/health`: 200 as long as the process answers.
/// - `/ready`: 200 once the share of this instance is known, and every stream of it that is not done has got an answer to a first request and none has been given up, else 503; the body
///   names each stream and what it is at.
/// - `/metrics`: Prometheus text, version 0.0.4.
pub async fn serve(listener: TcpListener, board: Board, metrics: Option<Metrics>) -> std::io::Result<()> {
    let ready_board = board.clone();
    let app = Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(move || async move { ready(&ready_board) }))
        .route("/metrics", get(move || async move { metrics.map(|m| masked(&m.render())).unwrap_or_default() }));
    axum::serve(listener, app).await
}

/// Metrics whose labels show no credential; their names are ours.
fn masked(metrics: &str) -> String {
    let mut out = String::with_capacity(metrics.len());
    for line in metrics.split_inclusive('\n') {
        match line.split_once('{').and_then(|(name, rest)| Some((name, rest.rsplit_once('}')?))) {
            Some((name, (labels, value))) if !line.starts_with('#') => {
                out.extend([name, "{", &mask::mask(labels), "}", value]);
            }
            _ => out.push_str(line),
        }
    }
    out
}

fn ready(board: &Board) -> (StatusCode, Json<Value>) {
    let mut lines = board.snapshot();
    lines.retain(|line| line.ours);
    // An instance without a stream of its own is ready to take over: a rollout must not wait for it to get one.
    let is_ready = board.has_begun()
        && lines.iter().all(|line| match line.phase {
            Phase::Done => true,
            Phase::Failed { .. } => false,
            _ => line.requests > line.failures,
        });
    let streams: Vec<Value> = lines
        .iter()
        .map(|line| {
            let (phase, detail) = match &line.phase {
                Phase::Starting => ("starting", Value::Null),
                Phase::Reading { scan, .. } => ("reading", json!(scan)),
                Phase::BackingOff { reason, until } => ("backing_off", json!({ "reason": reason, "until": until })),
                Phase::CaughtUp { until } => ("caught_up", json!({ "until": until })),
                Phase::Done => ("done", Value::Null),
                Phase::Failed { reason } => ("failed", json!(reason)),
            };
            json!({ "source": line.source, "stream": line.stream, "phase": phase, "detail": detail, "gaps": line.gaps })
        })
        .collect();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": is_ready, "streams": streams })))
}
