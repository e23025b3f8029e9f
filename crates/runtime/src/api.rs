//! The HTTP API of a run: `/health`, `/ready`, `/metrics`.

mod door;

use crate::{
    clock::SystemClock,
    rejections::Refusing,
    status::{Board, Phase},
};
use axum::{Json, Router, http::StatusCode, routing::get};
use headwater_contracts::{Clock, Timestamp, mask};
use metrics::{Recorder, describe_counter, describe_gauge, describe_histogram, gauge};
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
    describe();
    gauge!("headwater_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Some(metrics)
}

/// What each metric means, for whoever reads `/metrics`.
fn describe() {
    for (name, meaning) in [
        ("headwater_dead_letters_total", "Events that a component refused for good."),
        ("headwater_events_dead_lettered_total", "Events kept in the dead letters."),
        ("headwater_events_delivered_total", "Events that every sink they reached has taken."),
        ("headwater_events_dropped_total", "Events dropped, by rule."),
        ("headwater_events_late_total", "Events that appeared in a range that had been covered."),
        (
            "headwater_events_read_total",
            "Records that the provider has shown, repetitions included, also those that are not settled yet.",
        ),
        ("headwater_events_suppressed_total", "Records that were known already."),
        ("headwater_gaps_total", "Ranges lost before they could be read."),
        ("headwater_logins_total", "Access tokens asked for."),
        ("headwater_read_errors_total", "Questions that got no page, by class of error."),
        ("headwater_requests_total", "Answers of the provider, by HTTP status."),
        ("headwater_sink_delivered_total", "Events that the sink's destination has taken."),
        ("headwater_sink_retries_total", "Attempts to deliver that were in vain."),
    ] {
        describe_counter!(name, meaning);
    }
    for (name, meaning) in [
        ("headwater_build_info", "Always 1; the version is a label."),
        ("headwater_refused_ratio", "Part of its last events that a component refused, 0 to 1."),
        ("headwater_kafka_lag_records", "Records of the partition that have not been read."),
        ("headwater_retention_left_seconds", "Time until the provider deletes what has not been read."),
        ("headwater_sink_up", "Whether the sink's last attempt to deliver succeeded: 1 or 0."),
        (
            "headwater_stream_progress_timestamp_seconds",
            "When the stream last read a page or was caught up, Unix time.",
        ),
    ] {
        describe_gauge!(name, meaning);
    }
    describe_histogram!("headwater_event_lateness_seconds", "How long after its time a late event appeared.");
    describe_histogram!("headwater_request_seconds", "Time until the provider's answer began.");
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
    if !address.ip().is_loopback() {
        tracing::warn!(
            "`api.address` {address} can be reached from other machines: it asks for no password, and names sources, streams and their errors; use 127.0.0.1, or let only your monitoring reach it"
        );
    }
    TcpListener::bind(address).await
}

/// Serves until dropped.
///
/// - `/health`: 200 as long as the process answers.
/// - `/ready`: 200 once the share of this instance is known, every stream of it that is not done has got an answer to a first request,
///   none has been given up, and the clocks of all that are read agree with this machine's, else 503; the body names each stream,
///   what it is at, and what is wrong with its clock. Also 503 while a stream does nothing for ten minutes although something is
///   due, while a sink has not been able to deliver for a minute, and while the cluster of a group that we belong to does not
///   answer (`obstacle`). Where a provider or a destination refuses the credential it is 503 at once: that is no outage.
///   Components that refuse much of what they are given are named (`refusing`), and change nothing.
/// - `/metrics`: Prometheus text, version 0.0.4.
pub async fn serve(listener: TcpListener, board: Board, metrics: Option<Metrics>) -> std::io::Result<()> {
    let ready_board = board.clone();
    let app = Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(move || async move { ready(&ready_board, SystemClock.now()) }))
        .route("/metrics", get(move || async move { metrics.map(|m| masked(&m.render())).unwrap_or_default() }));
    door::serve(listener, app, door::Limits::default()).await
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

fn ready(board: &Board, now: Timestamp) -> (StatusCode, Json<Value>) {
    let mut lines = board.snapshot();
    lines.retain(|line| line.ours);
    // An instance without a stream of its own is ready to take over: a rollout must not wait for it to get one.
    let obstacle = board.has_obstacle();
    let is_ready = board.has_begun()
        && obstacle.is_none()
        && lines.iter().all(|line| match line.phase {
            Phase::Done => true,
            Phase::Failed { .. } => false,
            _ if line.clock_trouble.is_some() || line.denied => false,
            _ => line.requests > line.failures && line.stands_still(now).is_none(),
        });
    let sinks = board.sinks();
    let is_ready = is_ready && sinks.iter().all(|sink| sink.is_stuck(now).is_none() && !sink.denied);
    let sinks: Vec<Value> = sinks
        .iter()
        .map(|sink| {
            let state = match (sink.is_stuck(now), &sink.reason, sink.since) {
                _ if sink.denied => "denied",
                (Some(_), ..) => "stuck",
                (None, Some(_), _) => "retrying",
                (None, None, Some(_)) => "delivering",
                (None, None, None) => "idle",
            };
            json!({ "sink": sink.name, "state": state, "since": sink.since, "attempts": sink.attempts, "reason": sink.reason })
        })
        .collect();
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
            json!({
                "source": line.source, "stream": line.stream, "phase": phase, "detail": detail, "gaps": line.gaps,
                "progress": line.progress, "stands_still": line.stands_still(now).is_some(), "clock": line.clock_trouble,
                "denied": line.denied, "read": line.read, "delivered": line.tally.delivered, "open": line.open(),
            })
        })
        .collect();
    let refusing: Vec<Value> = board
        .refusing()
        .into_iter()
        .map(|Refusing { component, given, refused, reason }| {
            json!({ "component": component, "given": given, "refused": refused, "reason": reason })
        })
        .collect();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": is_ready, "obstacle": obstacle, "streams": streams, "sinks": sinks, "refusing": refusing,
    });
    (status, Json(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_sink_that_cannot_deliver_and_a_stream_that_stands_still_are_named() {
        let start = Timestamp::UNIX_EPOCH;
        let board = Board::default();
        let line = board.line("s", "x");
        let until = start + TimeDelta::minutes(5);
        line.update(|line| {
            (line.requests, line.progress, line.phase) = (1, Some(start), Phase::CaughtUp { until });
        });
        let sink = board.sink("siem");
        board.begin();
        let at = |minutes: i64| {
            let (status, Json(body)) = ready(&board, start + TimeDelta::minutes(minutes));
            (status == StatusCode::OK, body["sinks"][0]["state"].clone(), body["streams"][0]["stands_still"].clone())
        };
        assert_eq!(at(1), (true, "idle".into(), false.into()));
        sink.update(|sink| (sink.since, sink.attempts, sink.reason) = (Some(start), 1, Some("refused".into())));
        assert_eq!(at(1), (true, "retrying".into(), false.into()));
        assert_eq!(at(2), (false, "stuck".into(), false.into()));
        sink.update(|sink| (sink.since, sink.reason) = (None, None));
        assert_eq!(at(2), (true, "idle".into(), false.into()));
        // Ten minutes after the next look was due.
        assert_eq!(at(15), (true, "idle".into(), false.into()));
        assert_eq!(at(16), (false, "idle".into(), true.into()));
        line.phase(Phase::Done);
        assert_eq!(at(99), (true, "idle".into(), false.into()));
    }

    #[test]
    fn a_credential_that_is_refused_is_no_outage_and_shows_at_once() {
        let start = Timestamp::UNIX_EPOCH;
        let board = Board::default();
        let line = board.line("s", "x");
        let sink = board.sink("siem");
        board.begin();
        let at_once = || {
            let (status, Json(body)) = ready(&board, start);
            (status == StatusCode::OK, body["streams"][0]["denied"].clone(), body["sinks"][0]["state"].clone())
        };
        // It has worked before, with another configuration.
        line.update(|line| (line.requests, line.failures, line.progress) = (9, 1, Some(start)));
        assert_eq!(at_once(), (true, false.into(), "idle".into()));
        line.update(|line| line.denied = true);
        assert_eq!(at_once(), (false, true.into(), "idle".into()));
        line.update(|line| line.denied = false);
        sink.update(|sink| (sink.since, sink.denied, sink.reason) = (Some(start), true, Some("401".into())));
        assert_eq!(at_once(), (false, false.into(), "denied".into()));
    }
}
