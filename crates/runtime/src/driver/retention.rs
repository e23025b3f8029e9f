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
        let read_to = read_to(&reading.coverage, reading.start.unwrap_or(now), now - retention);
        let left = read_to + retention - now;
        retention_left(&self.key.source, &self.key.stream).set(left.as_seconds_f64());
        self.line.update(|line| line.retention_left = Some(left));
        let short = left < retention / ENOUGH;
        let told = reading.told_of_retention.is_some_and(|told| now < told + EVERY);
        // What starts at the far end of the log is short of time by choice, and catches up.
        if short && !told && reading.has_caught_up && self.standing().agreed {
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

/// Everything before this has been read, has expired, or was never to be. The newest events may have been read before others.
fn read_to(coverage: &Coverage, start: Timestamp, oldest: Timestamp) -> Timestamp {
    let mut ends = coverage.ranges().iter().map(|range| range.span.to);
    let end = ends.find(|end| *end > oldest.timestamp_millis()).or(coverage.end());
    end.and_then(Timestamp::from_timestamp_millis).map_or(start, |end| end.max(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::Span;

    #[test]
    fn what_lies_between_the_oldest_and_the_newest_that_was_read_counts_as_unread() {
        let at = |ms| Timestamp::from_timestamp_millis(ms).unwrap();
        let mut coverage = Coverage::default();
        assert_eq!(read_to(&coverage, at(10), at(0)), at(10));
        coverage.add(Span::new(at(10), at(20)), 0);
        coverage.add(Span::new(at(50), at(60)), 0);
        assert_eq!(read_to(&coverage, at(10), at(0)), at(20));
        assert_eq!(read_to(&coverage, at(10), at(30)), at(60), "what expired unread is a gap, and told as one");
        assert_eq!(read_to(&coverage, at(10), at(100)), at(60));
    }
}
