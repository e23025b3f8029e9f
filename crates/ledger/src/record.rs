//! The row of a stream: everything the ledger knows of it but identities and requests. Its JSON is a file format.

use crate::{Commit, Filed, StreamRecord};
use chrono::SubsecRound;
use headwater_contracts::{Coverage, OwnRequest, Span, Tally, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Stands for the stream in the keys of the other tables.
    pub(crate) number: u32,
    #[serde(with = "chrono::serde::ts_milliseconds")]
    start: Timestamp,
    #[serde(default, skip_serializing_if = "is_empty")]
    coverage: Coverage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<Value>,
    /// Rows of earlier versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "chrono::serde::ts_milliseconds_option")]
    forgotten: Option<Timestamp>,
    tally: TallyRow,
    /// How many identities are kept. Counted along, so that nobody has to count them.
    pub(crate) identities: u64,
    /// How many commits built this row. Tells after a failed write whether the commit arrived.
    pub(crate) commits: u64,
}

fn is_empty(coverage: &Coverage) -> bool {
    coverage.ranges().is_empty()
}

impl Row {
    pub(crate) fn new(number: u32, start: Timestamp) -> Self {
        let tally = TallyRow::default();
        Self {
            number,
            start: to_ms(start),
            coverage: Coverage::default(),
            state: None,
            forgotten: Some(Timestamp::UNIX_EPOCH),
            tally,
            identities: 0,
            commits: 0,
        }
    }

    /// What a commit takes away of a covered range that begins before it.
    pub(crate) fn cut_off(&self, commit: &Commit) -> Option<Span> {
        let end = commit.anew?.timestamp_millis();
        let cut = self.coverage.ranges().iter().find(|range| range.span.from < end && end < range.span.to)?;
        Some(Span { from: end, to: cut.span.to })
    }

    /// Begins anew at `start`; `gone` identities are kept in what is [cut off](Self::cut_off).
    pub(crate) fn begin_anew(&mut self, start: Timestamp, gone: u64) {
        self.start = to_ms(start);
        self.state = None;
        self.coverage.cut(start, gone);
    }

    /// The ranges that a commit covers and none has covered before.
    pub(crate) fn newly_covered(&self, commit: &Commit) -> Vec<Span> {
        commit.covered.map_or_else(Vec::new, |span| self.coverage.gaps(span))
    }

    /// Takes over what a commit says about the stream itself. `fresh`: of its events, those that had not been settled;
    /// `found`: identities kept, these included, in the [newly covered](Self::newly_covered) ranges. Not what this scan
    /// has settled: what an interrupted one had, it found known.
    pub(crate) fn apply(&mut self, commit: &Commit, fresh: &[Filed], found: u64) {
        // Time 0 says "no time", so it is in no range.
        fresh.iter().filter(|filed| filed.time != 0).for_each(|filed| self.coverage.count(filed.time));
        if let Some(span) = commit.covered {
            self.coverage.add(span, found);
        }
        if let Some(start) = commit.start {
            self.start = self.start.min(to_ms(start));
        }
        if let Some(state) = &commit.state {
            self.state = Some(state.clone());
        }
        self.forgotten = self.forgotten.max(commit.forget_before.map(to_ms));
        let mut tally = Tally::from(std::mem::take(&mut self.tally));
        tally.add(&commit.tally);
        self.tally = tally.into();
        self.commits += 1;
    }

    /// The public record. `own_requests` in any order, `calls` ascending.
    pub(crate) fn record(self, mut own_requests: Vec<OwnRequest>, calls: Vec<Timestamp>) -> StreamRecord {
        own_requests.sort_by(|a, b| (a.sent, &a.id).cmp(&(b.sent, &b.id)));
        StreamRecord {
            start: self.start,
            coverage: self.coverage,
            state: self.state,
            forgotten: self.forgotten,
            own_requests,
            calls,
            tally: self.tally.into(),
            complete: false,
        }
    }
}

/// Whether an event is filed in a range.
pub(crate) fn lies_in(filed: &Filed, span: Span) -> bool {
    filed.time != 0 && span.from <= filed.time && filed.time < span.to
}

/// The ledger keeps milliseconds; what it answers first is what it answers after a restart.
pub(crate) fn to_ms(instant: Timestamp) -> Timestamp {
    instant.trunc_subsecs(3)
}

/// [`Tally`], as stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct TallyRow {
    read: u64,
    delivered: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    dropped: BTreeMap<String, u64>,
    dead_lettered: u64,
    suppressed: u64,
    late: u64,
}

impl From<TallyRow> for Tally {
    fn from(row: TallyRow) -> Self {
        let TallyRow { read, delivered, dropped, dead_lettered, suppressed, late } = row;
        Self { read, delivered, dropped, dead_lettered, suppressed, late }
    }
}

impl From<Tally> for TallyRow {
    fn from(tally: Tally) -> Self {
        let Tally { read, delivered, dropped, dead_lettered, suppressed, late } = tally;
        Self { read, delivered, dropped, dead_lettered, suppressed, late }
    }
}
