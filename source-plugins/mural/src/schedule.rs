//! When a partition is swept, by its age.
//!
//! | time since its end | sweeps |
//! |---|---|
//! | less than 24 h, `mode: early` | every `poll_interval` |
//! | up to `settle`, `mode: early` | every 6 h, or `poll_interval` if that is longer |
//! | `settle` | the closing sweep, once: it alone claims coverage |
//! | up to the `span` of a `rescan` | once per its `every`, for stragglers |

use crate::{config::Mode, source::Settings, state::Swept, window::PARTITION};
use chrono::TimeDelta;
use headwater_contracts::{Period, Rescan, Timestamp};

/// Why a partition is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// It has settled: this sweep makes it complete.
    Closing,
    /// It is complete; events may still have appeared since.
    Straggler,
    /// Events are still appearing.
    Early,
    /// A person asks.
    Lookup,
}

/// What of all that is due comes first, the lowest: the last day, which people wait for, before what has settled, however much
/// of it there is.
pub(crate) fn rank(duty: Duty, start: Timestamp, now: Timestamp) -> u8 {
    match duty {
        Duty::Lookup => 0,
        Duty::Early if now - (start + PARTITION) < TimeDelta::hours(24) => 0,
        Duty::Closing => 1,
        Duty::Straggler => 2,
        Duty::Early => 3,
    }
}

/// When a partition is to be swept next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Now(Duty),
    At(Timestamp),
    Never,
}

/// When the partition that begins at `start` is to be swept next.
pub(crate) fn due(start: Timestamp, swept: Option<Swept>, now: Timestamp, settings: &Settings) -> Due {
    let end = start + PARTITION;
    let cadence = &settings.cadence;
    let settled = end + cadence.settle.0;
    let swept_at = swept.map(|swept| swept.at);
    let after = |duty, every: TimeDelta| match swept_at.map(|at| at + every) {
        Some(next) if next > now => Due::At(next),
        _ => Due::Now(duty),
    };
    if swept.is_some_and(|swept| swept.closed) {
        let mut due = Due::Never;
        // After a pause longer than that, one more: what appears up to `span` less `every` late is found even then.
        let reaches = |rescan: &&Rescan| {
            now - end < rescan.span.0 || swept_at.is_some_and(|at| at - end < rescan.span.0 - rescan.every.0)
        };
        for rescan in cadence.rescan.iter().filter(reaches) {
            due = match (due, after(Duty::Straggler, rescan.every.0)) {
                (Due::At(one), Due::At(other)) => Due::At(one.min(other)),
                // Whatever falls due outside the span is not done any more, which the next plan sees.
                (Due::Never, other) | (_, other @ Due::Now(_)) => other,
                (first, _) => first,
            };
        }
        return due;
    }
    if settled <= now {
        return Due::Now(Duty::Closing);
    }
    if settings.mode == Mode::Settled {
        return Due::At(settled);
    }
    let often = cadence.poll_interval.0;
    let every = if now - end < TimeDelta::hours(24) { often } else { often.max(TimeDelta::hours(6)) };
    match after(Duty::Early, every) {
        Due::At(next) => Due::At(next.min(settled)),
        due => due,
    }
}

/// Sweeps of a day, if all are due when they are planned.
pub(crate) fn sweeps_per_day(settings: &Settings) -> u64 {
    let partitions = |time: TimeDelta| u64::try_from(time.num_seconds() / PARTITION.num_seconds()).unwrap_or_default();
    let (day, cadence) = (TimeDelta::days(1), &settings.cadence);
    let seldom = cadence.poll_interval.max(Period::hours(6));
    let early = match settings.mode {
        Mode::Settled => 0,
        // Beside those of a day, the one that has not ended.
        Mode::Early => {
            (partitions(day.min(cadence.settle.0)) + 1) * cadence.poll_interval.times_a_day()
                + partitions(cadence.settle.0 - day) * seldom.times_a_day()
        }
    };
    let stragglers =
        cadence.rescan.iter().map(|rescan| partitions(rescan.span.0 - cadence.settle.0) * rescan.every.times_a_day());
    let closing = partitions(day);
    early + closing + stragglers.sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::settings;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_timestamp(1_700_006_400, 0).unwrap() + TimeDelta::hours(hours)
    }

    #[test]
    fn the_cadence_follows_the_age() {
        let check = |swept: Option<(i64, bool)>, now: i64, expected: Due| {
            let swept = swept.map(|(hours, closed)| Swept { at: at(hours), closed });
            assert_eq!(due(at(0), swept, at(now), &settings(serde_json::json!({}))), expected, "{swept:?} at {now}");
        };
        check(None, 1, Due::Now(Duty::Early));
        check(Some((1, false)), 1, Due::At(at(2)));
        check(Some((1, false)), 2, Due::Now(Duty::Early));
        check(Some((29, false)), 31, Due::At(at(35)));
        check(Some((29, false)), 35, Due::Now(Duty::Early));
        check(Some((75, false)), 77, Due::At(at(78)));
        check(Some((77, false)), 78, Due::Now(Duty::Closing));
        check(None, 500, Due::Now(Duty::Closing));
        check(Some((78, true)), 79, Due::At(at(102)));
        check(Some((78, true)), 102, Due::Now(Duty::Straggler));
        check(Some((78, true)), 6 + 9 * 24, Due::Now(Duty::Straggler));
        check(Some((6 + 6 * 24, true)), 6 + 7 * 24, Due::Never);
    }

    #[test]
    fn settled_mode_reads_once() {
        let settings = settings(serde_json::json!({ "mode": "settled" }));
        assert_eq!(due(at(0), None, at(1), &settings), Due::At(at(78)));
        assert_eq!(due(at(0), None, at(78), &settings), Due::Now(Duty::Closing));
    }
}
