//! Exporters that say in our words what became of an export: once when it begins to fail, once when it works again.

use headwater_contracts::mask::mask;
use opentelemetry::{Value, trace::Status};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter},
};
use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// An exporter, and what is known of its receiver.
#[derive(Debug)]
pub(crate) struct Told<E> {
    exporter: E,
    signal: &'static str,
    endpoint: String,
    failing: AtomicBool,
}

impl<E> Told<E> {
    pub(crate) fn new(exporter: E, signal: &'static str, endpoint: &str) -> Self {
        Self { exporter, signal, endpoint: endpoint.to_owned(), failing: AtomicBool::new(false) }
    }

    fn tell(&self, done: OTelSdkResult) -> OTelSdkResult {
        let (signal, endpoint) = (self.signal, &self.endpoint);
        match (&done, self.failing.swap(done.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => tracing::warn!(
                "telemetry: {endpoint} does not take headwater's own {signal}, which are dropped; events are not affected: {error}"
            ),
            (Ok(()), true) => tracing::info!("telemetry: {endpoint} takes headwater's own {signal} again"),
            _ => {}
        }
        done
    }
}

/// Hides credentials that a server has repeated.
fn mask_span(span: &mut SpanData) {
    if let Cow::Owned(name) = mask(&span.name) {
        span.name = name.into();
    }
    let events = span.events.events.iter_mut().flat_map(|event| &mut event.attributes);
    let links = span.links.links.iter_mut().flat_map(|link| &mut link.attributes);
    for attribute in span.attributes.iter_mut().chain(events).chain(links) {
        if let Value::String(text) = &attribute.value
            && let Cow::Owned(masked) = mask(text.as_str())
        {
            attribute.value = Value::String(masked.into());
        }
    }
    if let Status::Error { description } = &span.status
        && let Cow::Owned(description) = mask(description)
    {
        span.status = Status::error(description);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Told<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.tell(self.exporter.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(mask_span);
        self.tell(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::mask::learn;
    use opentelemetry::{
        InstrumentationScope, KeyValue, SpanId,
        trace::{SpanContext, SpanKind},
    };
    use std::time::UNIX_EPOCH;

    #[test]
    fn spans_show_no_credential() {
        learn("s3cretOfASpan");
        let mut span = SpanData {
            span_context: SpanContext::empty_context(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "GET s3cretOfASpan".into(),
            start_time: UNIX_EPOCH,
            end_time: UNIX_EPOCH,
            attributes: vec![KeyValue::new("a", "x s3cretOfASpan"), KeyValue::new("n", 1)],
            dropped_attributes_count: 0,
            events: opentelemetry_sdk::trace::SpanEvents::default(),
            links: opentelemetry_sdk::trace::SpanLinks::default(),
            status: Status::error("bad s3cretOfASpan"),
            instrumentation_scope: InstrumentationScope::default(),
        };
        mask_span(&mut span);
        assert!(!format!("{span:?}").contains("s3cretOfASpan"), "{span:?}");
        assert_eq!((&*span.name, &span.status), ("GET ***", &Status::error("bad ***")));
    }
}
