//! Takes every event and keeps none: for measuring a pipeline, and for trying one out.
//!
//! Events given to it are delivered as far as the ledger is concerned, and gone.

use async_trait::async_trait;
use headwater_contracts::{ConfigError, Delivery, Event, Period, Sink, SinkConfig, SinkError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::{Duration, Instant};

/// Counts events and throws them away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlackholeConfig {
    /// Least time between two log lines with the count so far; written when events arrive. Default: none are written.
    pub print_interval: Option<Period>,
}

impl SinkConfig for BlackholeConfig {
    const TYPE: &'static str = "blackhole";

    fn build(self) -> Result<Box<dyn Sink>, ConfigError> {
        let interval = self.print_interval.map(Period::to_std);
        if interval.is_some_and(|interval| interval.is_zero()) {
            return Err(ConfigError::new("print_interval", "must be longer than `0s`; leave it out to print nothing"));
        }
        Ok(Box::new(Blackhole::new(interval)))
    }
}

/// The sink.
#[derive(Debug)]
pub struct Blackhole {
    count: Count,
    interval: Option<Duration>,
    printed: Instant,
}

/// What has been thrown away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Events.
    pub events: u64,
    /// Their raw bytes.
    pub bytes: u64,
}

impl Blackhole {
    /// Prints the count at most once per `interval`, if there is one.
    pub fn new(interval: Option<Duration>) -> Self {
        Self { count: Count::default(), interval, printed: Instant::now() }
    }

    /// What it has taken so far.
    pub fn count(&self) -> Count {
        self.count
    }

    /// Whether a line is due at `now`; if so, the next is due an interval later.
    fn due(&mut self, now: Instant) -> bool {
        let due = self.interval.is_some_and(|interval| now.saturating_duration_since(self.printed) >= interval);
        if due {
            self.printed = now;
        }
        due
    }

    fn print(&self) {
        tracing::info!(events = self.count.events, bytes = self.count.bytes, "blackhole: events thrown away so far");
    }
}

#[async_trait]
impl Sink for Blackhole {
    async fn deliver(&mut self, events: &[Event]) -> Result<Delivery, SinkError> {
        self.count.events += events.len() as u64;
        self.count.bytes += events.iter().map(|event| event.raw.len() as u64).sum::<u64>();
        if self.due(Instant::now()) {
            self.print();
        }
        Ok(Delivery::default())
    }

    /// Prints the final count, if counts are printed at all.
    async fn close(&mut self) -> Result<(), SinkError> {
        if self.interval.is_some() {
            self.print();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_testkit::sink_suite::event;

    #[tokio::test]
    async fn it_takes_everything_and_counts_it() {
        let mut sink = Blackhole::new(None);
        let events = [event("a", "b", false), event("c", "d", true)];
        let bytes = events.iter().map(|event| event.raw.len() as u64).sum();
        assert_eq!(sink.deliver(&events).await.unwrap(), Delivery::default());
        assert_eq!(sink.deliver(&[]).await.unwrap(), Delivery::default());
        assert_eq!(sink.count(), Count { events: 2, bytes });
        sink.close().await.unwrap();
    }

    #[test]
    fn a_line_is_due_once_per_interval() {
        let mut sink = Blackhole::new(Some(Duration::from_secs(10)));
        let start = sink.printed;
        let at = |seconds| start + Duration::from_secs(seconds);
        let due: Vec<u64> = (0..35).filter(|second| sink.due(at(*second))).collect();
        assert_eq!(due, [10, 20, 30]);
        assert!(!Blackhole::new(None).due(at(1000)));
    }

    #[test]
    fn the_options_read_as_documented() {
        let read = serde_json::from_str::<BlackholeConfig>;
        assert_eq!(read("{}").unwrap(), BlackholeConfig::default());
        assert!(read(r#"{"print_interval": "10s"}"#).unwrap().build().is_ok());
        let refused = read(r#"{"print_interval": "0s"}"#).unwrap().build().err().unwrap();
        assert_eq!(refused.field, "print_interval");
        assert!(read(r#"{"fail_first": 3}"#).is_err());
    }
}
