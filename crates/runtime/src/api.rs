//! The HTTP API of a run: `/health`, `/ready`, `/metrics`.

use crate::status::{Board, Phase};
use axum::{Json, Router, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusBuilder;
pub use metrics_exporter_prometheus::PrometheusHandle as Metrics;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// Installs the process's metrics recorder. `None` if one is installed already (a second run in one test process).
pub fn install_metrics() -> Option<Metrics> {
    PrometheusBuilder::new().install_recorder().ok()
}

/// Binds the API. The address says where, also for port 0.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until dropped.
///
/// - `/health`: 200 as long as the process answers.
/// - `/ready`: 200 once every stream has got an answer to a first request and none has been given up, else 503; the body
///   names each stream and what it is at.
/// - `/metrics`: Prometheus text, version 0.0.4.
pub async fn serve(listener: TcpListener, board: Board, metrics: Option<Metrics>) -> std::io::Result<()> {
    let ready_board = board.clone();
    let app = Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(move || async move { ready(&ready_board) }))
        .route("/metrics", get(move || async move { metrics.map(|m| m.render()).unwrap_or_default() }));
    axum::serve(listener, app).await
}

fn ready(board: &Board) -> (StatusCode, Json<Value>) {
    let lines = board.snapshot();
    let is_ready = !lines.is_empty()
        && lines.iter().all(|line| line.requests > line.failures && !matches!(line.phase, Phase::Failed { .. }));
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
