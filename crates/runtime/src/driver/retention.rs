//! The retention clock: how long until the provider deletes what has not been read.

use super::{Driver, Reading};
use headwater_contracts::{Coverage, Period, Timestamp};

/// The part of the retention that should be left: below it a person is told.
const ENOUGH: i32 = 5;
/// How often a person is told.
const EVERY: chrono::TimeDelta = chrono::TimeDelta::hours(1);

impl Driver {
    /// Shows the time that is left, and warns while it is short. Asked after every plan and at every failure, so that a
    /// provider that cannot be reached for days is no blind spot.
    pub(super) fn watch_retention(&self, reading: &mut Reading) {
        let now = self.server_now();
        let retention = self.source.retention();
        let read_to = read_to(&reading.coverage, reading.start.unwrap_or(now));
        let left = read_to + retention - now;
        retention_left(&self.key.source, &self.key.stream).set(left.as_seconds_f64());
        self.line.update(|line| line.retention_left = Some(left));
        let short = left < retention / ENOUGH;
        let told = reading.told_of_retention.is_some_and(|told| now < told + EVERY);
        // What starts at the far end of the log catches up.
        if short && !told && reading.has_caught_up {
            reading.told_of_retention = Some(now);
            tracing::warn!(
                source = %self.key.source, stream = %self.key.stream,
                "read up to {read_to}: in {} the provider begins to delete what has not been read (it keeps records for {}); see to it that reading goes on",
                Period(chrono::TimeDelta::seconds(left.num_seconds().max(0))), Period(retention)
            );
        }
    }
}

/// The metric of it.
pub(crate) fn retention_left(source: &str, stream: &str) -> metrics::Gauge {
    metrics::gauge!("headwater_retention_left_seconds", "source" => source.to_owned(), "stream" => stream.to_owned())
}

/// Everything before this has been read, or was never to be.
fn read_to(coverage: &Coverage, start: Timestamp) -> Timestamp {
    coverage.end().and_then(Timestamp::from_timestamp_millis).map_or(start, |end| end.max(start))
}
