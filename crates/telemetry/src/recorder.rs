//! From the facade that everything records with to the SDK's instruments.
//!
//! Names lose what OTLP says apart: `_total` of a counter, and a unit at the end. A receiver that writes them in Prometheus's way
//! puts both back, so that a dashboard fits either.

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use opentelemetry::{
    KeyValue,
    metrics::{Counter as OtelCounter, Gauge as OtelGauge, Histogram as OtelHistogram, Meter, MeterProvider},
};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Instruments by name, made when first used.
pub struct Instruments {
    meter: Meter,
    boundaries: &'static [(&'static str, &'static [f64])],
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    counters: HashMap<String, OtelCounter<u64>>,
    histograms: HashMap<String, OtelHistogram<f64>>,
    gauges: HashMap<String, OtelGauge<f64>>,
    /// By name and labels: what a gauge shows, for changes by a difference.
    shown: HashMap<Key, Arc<AtomicU64>>,
}

impl Instruments {
    pub(crate) fn new(provider: &SdkMeterProvider, boundaries: &'static [(&'static str, &'static [f64])]) -> Self {
        Self { meter: provider.meter("headwater"), boundaries, made: Mutex::default() }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name for OTLP, and the unit (UCUM).
fn name_and_unit(name: &str) -> (&str, &'static str) {
    let name = name.strip_suffix("_total").unwrap_or(name);
    for (suffix, unit) in [("_seconds", "s"), ("_bytes", "By")] {
        if let Some(name) = name.strip_suffix(suffix) {
            return (name, unit);
        }
    }
    (name, "")
}

fn attributes(key: &Key) -> Vec<KeyValue> {
    key.labels().map(|label| KeyValue::new(label.key().to_owned(), label.value().to_owned())).collect()
}

impl Recorder for Instruments {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let make = || {
            let (name, unit) = name_and_unit(key.name());
            self.meter.u64_counter(name.to_owned()).with_unit(unit).build()
        };
        let counter = self.made().counters.entry(key.name().to_owned()).or_insert_with(make).clone();
        Counter::from_arc(Arc::new(Count { counter, attributes: attributes(key), last: AtomicU64::new(0) }))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let make = || {
            let (name, unit) = name_and_unit(key.name());
            self.meter.f64_gauge(name.to_owned()).with_unit(unit).build()
        };
        let mut made = self.made();
        let gauge = made.gauges.entry(key.name().to_owned()).or_insert_with(make).clone();
        let shown = made.shown.entry(key.clone()).or_default().clone();
        Gauge::from_arc(Arc::new(Level { gauge, attributes: attributes(key), shown }))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let make = || {
            let (name, unit) = name_and_unit(key.name());
            let histogram = self.meter.f64_histogram(name.to_owned()).with_unit(unit);
            match self.boundaries.iter().find(|(name, _)| *name == key.name()) {
                Some((_, boundaries)) => histogram.with_boundaries(boundaries.to_vec()).build(),
                None => histogram.build(),
            }
        };
        let histogram = self.made().histograms.entry(key.name().to_owned()).or_insert_with(make).clone();
        Histogram::from_arc(Arc::new(Spread { histogram, attributes: attributes(key) }))
    }
}

struct Count {
    counter: OtelCounter<u64>,
    attributes: Vec<KeyValue>,
    /// What [`CounterFn::absolute`] was last told.
    last: AtomicU64,
}

impl CounterFn for Count {
    fn increment(&self, by: u64) {
        self.counter.add(by, &self.attributes);
    }

    fn absolute(&self, value: u64) {
        let before = self.last.fetch_max(value, Ordering::Relaxed);
        self.increment(value.saturating_sub(before));
    }
}

struct Level {
    gauge: OtelGauge<f64>,
    attributes: Vec<KeyValue>,
    /// Bits of the `f64`.
    shown: Arc<AtomicU64>,
}

impl Level {
    fn change(&self, by: f64) {
        let changed = |bits: u64| Some((f64::from_bits(bits) + by).to_bits());
        let before = self.shown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
        self.gauge.record(f64::from_bits(before.unwrap_or_default()) + by, &self.attributes);
    }
}

impl GaugeFn for Level {
    fn increment(&self, by: f64) {
        self.change(by);
    }

    fn decrement(&self, by: f64) {
        self.change(-by);
    }

    fn set(&self, value: f64) {
        self.shown.store(value.to_bits(), Ordering::Relaxed);
        self.gauge.record(value, &self.attributes);
    }
}

struct Spread {
    histogram: OtelHistogram<f64>,
    attributes: Vec<KeyValue>,
}

impl HistogramFn for Spread {
    fn record(&self, value: f64) {
        self.histogram.record(value, &self.attributes);
    }
}
