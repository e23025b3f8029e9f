//! How often and how far back to read, so that reading does not feed on itself.
//!
//! Every page read is a record that later scans read in turn. A tail reads each of these records `1 + back / interval`
//! times, a re-scan `1 + late / every` times, where `late` is its span less its interval. With `p` records to a page,
//! the number of requests settles only while the sum of these stays below `p`; it is kept at four fifths of that.

use chrono::TimeDelta;
use headwater_contracts::{Cadence, Period, Rescan};

/// Share of a page that own records may fill.
const FILL: f64 = 0.8;

/// Where nothing helps, a re-scan waits so many times as long as it looks for late events.
const SPARSE: i32 = 10;

/// The cadence that a page size allows.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// Least time from the end of a scan to the next tail.
    pub interval: TimeDelta,
    /// How far before the last poll a tail begins; `None` to begin at the last event read.
    pub back: Option<TimeDelta>,
    /// What is read more than a re-scan's interval, divided by this, is the least interval.
    share: Option<f64>,
    /// Why it is not what the options say.
    pub note: Option<String>,
}

fn late(rescan: &Rescan) -> TimeDelta {
    (rescan.span.0 - rescan.every.0).max(TimeDelta::zero())
}

/// `whole / share`, in whole seconds, rounded up.
#[allow(clippy::cast_possible_truncation)] // at most 90 days divided by a hundredth
fn divided(whole: TimeDelta, share: f64) -> TimeDelta {
    TimeDelta::seconds((whole.num_seconds() as f64 / share.max(0.01)).ceil() as i64)
}

impl Pace {
    /// The pace for pages of `records` where each page read adds a record, and tails begin by `back` before the last poll.
    /// That of the options where `records` is `None`: the size is not known, or reading is not recorded.
    pub fn new(cadence: &Cadence, back: TimeDelta, records: Option<u64>) -> Self {
        let interval = cadence.poll_interval.0;
        let Some(records) = records else { return Self { interval, back: Some(back), share: None, note: None } };
        let late_ones = cadence.rescan.iter().filter(|rescan| !late(rescan).is_zero()).count();
        let room = FILL * records as f64 - 1.0 - cadence.rescan.len() as f64;
        let mut pace = if room > 0.0 {
            let share = room / (1 + late_ones) as f64;
            Self { interval: interval.max(divided(back, share)), back: Some(back), share: Some(share), note: None }
        } else {
            Self { interval, back: None, share: Some(1.0 / f64::from(SPARSE)), note: None }
        };
        pace.note = pace.remark(cadence, records);
        pace
    }

    /// Least time between two of these re-scans.
    pub fn every(&self, rescan: &Rescan) -> TimeDelta {
        self.share.map_or(rescan.every.0, |share| rescan.every.0.max(divided(late(rescan), share)))
    }

    fn remark(&self, cadence: &Cadence, records: u64) -> Option<String> {
        let mut changes = Vec::new();
        if self.back.is_none() {
            changes.push(
                "each poll starts at the last event read, without `overlap`, and leaves late events to the re-scans"
                    .to_owned(),
            );
        }
        if self.interval > cadence.poll_interval.0 {
            changes.push(format!("polls are {} apart at least", Period(self.interval)));
        }
        for rescan in cadence.rescan.iter().filter(|rescan| self.every(rescan) > rescan.every.0) {
            changes.push(format!("the re-scan of {} is done every {}", rescan.span, Period(self.every(rescan))));
        }
        (!changes.is_empty()).then(|| {
            format!(
                "pages hold {records} records, and each page read adds one to the log; so that reading does not outgrow itself, {}. Larger pages (`page_size`), a shorter `overlap` or fewer re-scans change that",
                changes.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cadence(poll: Period, rescan: Vec<Rescan>) -> Cadence {
        Cadence {
            poll_interval: poll,
            overlap: Period::minutes(10),
            settle: Period::seconds(0),
            rescan,
            page_size: None,
        }
    }

    fn daily() -> Rescan {
        Rescan { every: Period::hours(24), span: Period::hours(48) }
    }

    #[test]
    fn large_pages_leave_the_options_alone() {
        for records in [None, Some(20), Some(100)] {
            let pace = Pace::new(&cadence(Period::minutes(5), vec![daily()]), TimeDelta::minutes(10), records);
            assert_eq!((pace.interval, pace.back), (TimeDelta::minutes(5), Some(TimeDelta::minutes(10))));
            assert_eq!((pace.every(&daily()), pace.note), (TimeDelta::hours(24), None));
        }
    }

    #[test]
    fn where_no_interval_helps_the_overlap_goes_and_a_note_says_so() {
        let pace = Pace::new(&cadence(Period::minutes(5), vec![daily()]), TimeDelta::minutes(10), Some(2));
        assert_eq!(pace.back, None);
        assert!(pace.every(&daily()) > TimeDelta::days(7));
        assert!(pace.note.unwrap().contains("`overlap`"));
    }

    proptest! {
        #[test]
        fn own_records_never_fill_a_page(records in 1u64..101, poll in 1i64..3000, rescans in 0usize..3) {
            let cadence = cadence(Period::seconds(poll), vec![daily(); rescans]);
            let back = TimeDelta::minutes(10);
            let pace = Pace::new(&cadence, back, Some(records));
            if let Some(back) = pace.back {
                let ratio = |part: TimeDelta, whole: TimeDelta| 1.0 + part.num_seconds() as f64 / whole.num_seconds() as f64;
                let tail = ratio(back, pace.interval);
                let again: f64 = cadence.rescan.iter().map(|rescan| ratio(late(rescan), pace.every(rescan))).sum();
                prop_assert!(tail + again <= FILL * records as f64 + 1e-6, "{tail} + {again} of {records}");
            } else {
                prop_assert!(records <= 3);
            }
        }
    }
}
