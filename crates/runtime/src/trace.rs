//! What a run tells of itself in traces: scans with their requests, deliveries, commits. Without a provider it goes nowhere.

use headwater_ledger::StreamKey;
use opentelemetry::{
    Context, KeyValue, Value,
    global::{self, BoxedSpan},
    trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _},
};

/// Something that takes its time. Ends when dropped.
pub(crate) struct Span(BoxedSpan);

impl Span {
    /// A scan of a stream, with its splits.
    pub(crate) fn scan(key: &StreamKey, what: String) -> Self {
        let more = KeyValue::new("headwater.scan", what);
        Self::begin("scan", SpanKind::Internal, of_stream(key).into_iter().chain([more]), &Context::new())
    }

    /// A request of it, with the reading of the answer (semantic conventions of OpenTelemetry, "HTTP client").
    pub(crate) fn request(&self, method: &str, path: &str) -> Self {
        let parent = Context::new().with_remote_span_context(self.0.span_context().clone());
        let attributes = [
            KeyValue::new("http.request.method", method.to_owned()),
            // Without the query, which may name people.
            KeyValue::new("url.path", path.to_owned()),
        ];
        Self::begin(method.to_owned(), SpanKind::Client, attributes, &parent)
    }

    /// An attempt of a sink.
    pub(crate) fn delivery(sink: &str, events: usize) -> Self {
        let attributes = [KeyValue::new("headwater.sink", sink.to_owned()), count(events)];
        Self::begin("deliver", SpanKind::Producer, attributes, &Context::new())
    }

    /// A step of a stream's ledger.
    pub(crate) fn commit(key: &StreamKey, events: usize) -> Self {
        let attributes = of_stream(key).into_iter().chain([count(events)]);
        Self::begin("commit", SpanKind::Internal, attributes, &Context::new())
    }

    /// Adds what is known only later.
    pub(crate) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.set_attribute(KeyValue::new(key, value));
    }

    /// Says that it failed.
    pub(crate) fn failed(&mut self, reason: &impl ToString) {
        self.0.set_status(Status::error(reason.to_string()));
    }

    fn begin(
        name: impl Into<std::borrow::Cow<'static, str>>,
        kind: SpanKind,
        attributes: impl IntoIterator<Item = KeyValue>,
        parent: &Context,
    ) -> Self {
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
        Self(global::tracer("headwater").build_with_context(builder, parent))
    }
}

fn of_stream(key: &StreamKey) -> [KeyValue; 2] {
    [KeyValue::new("headwater.source", key.source.clone()), KeyValue::new("headwater.stream", key.stream.clone())]
}

fn count(events: usize) -> KeyValue {
    KeyValue::new("headwater.events", i64::try_from(events).unwrap_or(i64::MAX))
}
