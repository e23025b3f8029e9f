//! Which time ranges of a stream complete scans have read.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// A half-open range of event time, `[from, to)`, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First instant inside.
    pub from: i64,
    /// First instant after.
    pub to: i64,
}

impl Span {
    /// `[from, to)`; empty if `to` is not after `from`.
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from: from.timestamp_millis(), to: to.timestamp_millis() }
    }

    /// Whether no instant lies inside.
    pub fn is_empty(self) -> bool {
        self.to <= self.from
    }
}

/// One covered range with what complete scans have counted in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// The range.
    pub span: Span,
    /// Distinct events of this range that have been taken responsibility for (delivered, dropped by rule or
    /// dead-lettered), whichever scan found them, complete or not.
    pub events: u64,
}

/// A set of disjoint, non-adjacent, ascending ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Coverage(Vec<Covered>);

impl Coverage {
    /// Adds a range that a complete scan has read; `events` are those of its [gaps](Self::gaps). Ranges that touch or
    /// overlap become one, with the sum of their counts.
    pub fn add(&mut self, span: Span, events: u64) {
        if span.is_empty() {
            return;
        }
        let start = self.0.partition_point(|c| c.span.to < span.from);
        let end = self.0.partition_point(|c| c.span.from <= span.to);
        let merged = self.0[start..end].iter().fold(Covered { span, events }, |sum, c| Covered {
            span: Span { from: sum.span.from.min(c.span.from), to: sum.span.to.max(c.span.to) },
            events: sum.events + c.events,
        });
        self.0.splice(start..end, [merged]);
    }

    /// Takes away what lies at `end` or later: of a range that is cut in two, with `events` in the part that goes.
    pub fn cut(&mut self, end: Timestamp, events: u64) {
        let end = end.timestamp_millis();
        self.0.retain(|covered| covered.span.from < end);
        if let Some(last) = self.0.last_mut().filter(|last| last.span.to > end) {
            last.span.to = end;
            last.events = last.events.saturating_sub(events);
        }
    }

    /// Counts an event of this time, if it lies in a covered range.
    pub fn count(&mut self, ms: i64) {
        let next = self.0.partition_point(|c| c.span.to <= ms);
        if let Some(covered) = self.0.get_mut(next).filter(|c| c.span.from <= ms) {
            covered.events += 1;
        }
    }

    /// Whether the instant lies in a covered range.
    pub fn contains(&self, instant: Timestamp) -> bool {
        let ms = instant.timestamp_millis();
        let next = self.0.partition_point(|c| c.span.to <= ms);
        self.0.get(next).is_some_and(|c| c.span.from <= ms)
    }

    /// The parts of `span` that are not covered, ascending.
    pub fn gaps(&self, span: Span) -> Vec<Span> {
        let mut from = span.from;
        let mut gaps = Vec::new();
        for covered in &self.0 {
            let gap = Span { from, to: covered.span.from.min(span.to) };
            if !gap.is_empty() {
                gaps.push(gap);
            }
            from = from.max(covered.span.to);
        }
        let rest = Span { from, to: span.to };
        if !rest.is_empty() {
            gaps.push(rest);
        }
        gaps
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[Covered] {
        &self.0
    }

    /// The end of the last range, if any.
    pub fn end(&self) -> Option<i64> {
        self.0.last().map(|c| c.span.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(from: i64, to: i64) -> Span {
        Span { from, to }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_set_of_instants(ranges in prop::collection::vec((0i64..60, 0i64..20), 0..12)) {
            let mut coverage = Coverage::default();
            let mut model = std::collections::BTreeSet::new();
            for (from, length) in ranges {
                coverage.add(span(from, from + length), 1);
                model.extend(from..from + length);
            }
            for ms in 0..90 {
                let instant = Timestamp::from_timestamp_millis(ms).unwrap();
                prop_assert_eq!(coverage.contains(instant), model.contains(&ms));
            }
            let gaps = coverage.gaps(span(0, 90));
            let uncovered: Vec<i64> = gaps.iter().flat_map(|g| g.from..g.to).collect();
            let expected: Vec<i64> = (0..90).filter(|ms| !model.contains(ms)).collect();
            prop_assert_eq!(uncovered, expected);
            prop_assert!(coverage.ranges().windows(2).all(|w| w[0].span.to < w[1].span.from));
        }
    }

    #[test]
    fn what_is_cut_away_takes_its_events_along() {
        let mut coverage = Coverage::default();
        for (from, to, events) in [(0, 10, 3), (20, 30, 4), (40, 50, 5)] {
            coverage.add(span(from, to), events);
        }
        let at = |ms| Timestamp::from_timestamp_millis(ms).unwrap();
        coverage.cut(at(60), 0);
        assert_eq!(coverage.ranges().len(), 3);
        coverage.cut(at(25), 1);
        assert_eq!(coverage.ranges()[1..], [Covered { span: span(20, 25), events: 3 }]);
        coverage.cut(at(10), 0);
        assert_eq!(coverage.ranges(), &[Covered { span: span(0, 10), events: 3 }]);
    }

    #[test]
    fn touching_ranges_become_one_with_the_sum_of_their_counts() {
        let mut coverage = Coverage::default();
        coverage.add(span(0, 10), 3);
        coverage.add(span(20, 30), 4);
        coverage.add(span(10, 20), 5);
        assert_eq!(coverage.ranges(), &[Covered { span: span(0, 30), events: 12 }]);
    }
}
