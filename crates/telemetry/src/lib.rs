//! headwater's own metrics and traces, by OTLP, with the SDK of OpenTelemetry.
//!
//! Whoever records a metric uses the facade `metrics`, and whoever traces uses the API of `opentelemetry`; neither knows of
//! this crate. What cannot be sent in time is dropped: an account of the reading is worth something, the reading more.

mod exporter;
mod recorder;
mod told;

use headwater_contracts::{ConfigError, Telemetry as Options};
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::SdkTracerProvider,
};
pub use recorder::Instruments;
use std::{thread, time::Duration};
use told::Told;

/// Longest wait for the last export.
const LAST_EXPORT: Duration = Duration::from_secs(3);

/// Exports under way.
pub struct Telemetry {
    metrics: Option<SdkMeterProvider>,
    traces: Option<SdkTracerProvider>,
}

/// Checks options, and reads their files. Reaches nobody. Outside of async code.
pub fn check(options: &Options) -> Result<(), ConfigError> {
    exporter::Exporters::new(options).map(drop)
}

impl Telemetry {
    /// Begins to send: traces from now on, metrics of [`instruments`](Self::instruments). Reaches nobody yet. Outside of async
    /// code; for gRPC within the context of a tokio runtime that outlives this.
    pub fn start(options: &Options, version: &str, instance: &str) -> Result<Self, ConfigError> {
        let resource = resource(options, version, instance);
        let exporters = exporter::Exporters::new(options)?;
        let metrics = if options.metrics {
            let exporter = Told::new(exporters.metrics()?, "metrics", options.endpoint.as_str());
            let reader = PeriodicReader::builder(exporter).with_interval(options.interval.to_std()).build();
            Some(SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader).build())
        } else {
            None
        };
        let traces = if options.traces {
            let exporter = Told::new(exporters.traces()?, "traces", options.endpoint.as_str());
            let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
            global::set_tracer_provider(provider.clone());
            Some(provider)
        } else {
            None
        };
        Ok(Self { metrics, traces })
    }

    /// What records the process's metrics for the exports, if metrics are to be sent. `boundaries` are those of histograms, by name.
    pub fn instruments(&self, boundaries: &'static [(&'static str, &'static [f64])]) -> Option<Instruments> {
        self.metrics.as_ref().map(|provider| Instruments::new(provider, boundaries))
    }

    /// Sends what there is, and ends. Blocks, at most some seconds.
    pub fn shutdown(self) {
        // Both at once. What went wrong has been said where it did.
        thread::scope(|scope| {
            let traces = self.traces.map(|traces| scope.spawn(move || traces.shutdown_with_timeout(LAST_EXPORT)));
            let _ = self.metrics.map(|metrics| metrics.shutdown_with_timeout(LAST_EXPORT));
            let _ = traces.map(thread::ScopedJoinHandle::join);
        });
    }
}

/// Who tells (semantic conventions of OpenTelemetry, "Service").
fn resource(options: &Options, version: &str, instance: &str) -> Resource {
    let own = [("service.version", version), ("service.instance.id", instance)];
    let own = own.into_iter().map(|(key, value)| KeyValue::new(key, value.to_owned()));
    let more = options.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder().with_service_name("headwater").with_attributes(own).with_attributes(more).build()
}
