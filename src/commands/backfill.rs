//! `headwater ledger backfill`: what happened before a source's streams began becomes part of what they cover.

use super::{
    again::{prepare, read},
    ledger::at,
};
use crate::{
    Failure,
    assemble::topology,
    cli::{BackfillArgs, LogFormat},
    terminal,
};
use headwater_contracts::{Clock, Coverage, Period, Span, StartAt, Timestamp};
use headwater_ledger::{Again, Commit, Kept, Purpose, StreamKey, StreamRecord};
use headwater_runtime::{Board, SystemClock};
use std::{slice, sync::Arc};

/// Reads what happened between a time and the beginning of each stream, and moves the beginnings there.
pub(crate) fn backfill(args: &BackfillArgs, log_format: LogFormat) -> Result<(), Failure> {
    let (mut assembled, ledger) = prepare(&args.config, slice::from_ref(&args.source))?;
    let now = SystemClock.now();
    let from = args.from.resolve(now);
    let begun = later_than(from, ledger.as_ref(), &args.source)?;
    if from > now {
        return Err(Failure::usage(format!("`--from`: {} is still to come", written(from))));
    }
    if begun.is_empty() {
        return Ok(());
    }
    let mut oldest = from;
    for source in &mut assembled.pipeline.sources {
        let retention = source.built.source.retention();
        oldest = from.max(now - retention);
        if from < oldest {
            super::remark(format!(
                "`{}`: the provider keeps records for {}; what happened before {} is gone, so reading begins there",
                source.name,
                Period(retention),
                written(oldest)
            ));
        }
        let resumes = begun.iter().map(|(_, record)| resume(&record.coverage, oldest)).min();
        source.options.start_at = Some(StartAt::At(resumes.unwrap_or(oldest)));
    }
    let again = Arc::new(Again::new(ledger.clone(), Purpose::Extend, now));
    let board = Board::default();
    let outcome = read(topology(assembled, None)?, again, &board, log_format);
    terminal::conclude(&board, log_format);
    let finished = finish(oldest, outcome.is_ok(), ledger.as_ref(), &args.source);
    outcome.and(finished)
}

/// The source's streams that began later than that. Says what there is to say if there are none.
fn later_than(from: Timestamp, ledger: &dyn Kept, source: &str) -> Result<Vec<(StreamKey, StreamRecord)>, Failure> {
    let all = ledger.all().map_err(Failure::run)?;
    let (later, others): (Vec<_>, Vec<_>) = all
        .into_iter()
        .filter(|(key, ..)| key.source == source)
        .map(|(key, record, _)| (key, record))
        .partition(|(_, record)| from < record.start);
    if later.is_empty() && others.is_empty() {
        return Err(Failure::usage(format!(
            "`{source}` has not run yet: its first run begins at its `start_at`; set that to the time you want"
        )));
    }
    for (key, record) in &others {
        super::remark(format!(
            "{}/{} began at {}, which is not after {}: nothing to do",
            key.source,
            key.stream,
            written(record.start),
            written(from)
        ));
    }
    Ok(later)
}

/// Where an earlier attempt came to, if there was one.
fn resume(coverage: &Coverage, from: Timestamp) -> Timestamp {
    let ms = from.timestamp_millis();
    let within = coverage.ranges().iter().find(|range| range.span.from <= ms && ms < range.span.to);
    within.and_then(|range| Timestamp::from_timestamp_millis(range.span.to)).unwrap_or(from)
}

/// Lets each stream begin at `from`, if nothing between that and its beginning is left to read. `whole`: reading came to its end.
fn finish(oldest: Timestamp, whole: bool, ledger: &dyn Kept, source: &str) -> Result<(), Failure> {
    let mut left = Vec::new();
    for (key, record, _) in ledger.all().map_err(Failure::run)? {
        if key.source != source || record.start <= oldest {
            continue;
        }
        let name = format!("{}/{}", key.source, key.stream);
        let asked = Span::new(oldest, record.start);
        let mut unread = record.coverage.gaps(asked);
        // All was read that there is: what is missing at the front has expired, or nothing is that old.
        let front = unread.first().copied().filter(|gap| whole && gap.from == asked.from && gap.to < asked.to);
        if let Some(expired) = front {
            super::remark(format!("{name}: the provider shows nothing of before {}", at(expired.to)));
            unread.remove(0);
        }
        if let Some(gap) = unread.first() {
            if whole && gap.to == asked.to {
                super::remark(format!(
                    "{name}: events of {} and later may still appear; start the command again once they have settled (`settle`)",
                    at(gap.from)
                ));
            }
            left.push(format!("{name} from {} on", at(gap.from)));
            continue;
        }
        // What the provider no longer has is not claimed.
        ledger.commit(&key, &Commit { start: Some(oldest), ..Commit::default() }).map_err(Failure::run)?;
        super::remark(format!("{name} begins at {} now, and covers what happened since", written(oldest)));
    }
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::run(format!(
        "not all of it has been read: {} is left. What was read is kept: start the command again, and it goes on from there",
        left.join(", ")
    )))
}

fn written(time: Timestamp) -> String {
    time.format("%FT%TZ").to_string()
}
