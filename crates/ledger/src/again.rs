//! A second reading of what was read before.

use crate::{Commit, Commits, Filed, Ledger, LedgerError, MemoryLedger, StreamKey, StreamRecord};
use headwater_contracts::{Coverage, Outbox, OwnRequest, Span, Timestamp};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// What a second reading is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Events that are not settled are delivered, and then are.
    Deliver,
    /// The same of what happened before a stream began; and what is read of that time counts as covered from then on.
    Extend,
    /// Nothing is delivered: what the ledger knows is compared with what the provider shows.
    Compare,
}

/// A ledger for reading a range again: sources begin anew, at the start they are given, while what was settled is still
/// known. Of the ledger behind it, progress and coverage stay as they are, unless it is to be [extended](Purpose::Extend); own requests are written down there, so that
/// later runs recognise the traces of this one.
#[derive(Debug)]
pub struct Again<L: ?Sized> {
    kept: Arc<L>,
    /// The progress of this reading.
    run: MemoryLedger,
    purpose: Purpose,
    /// Events of this time or later are left alone; ms.
    to: i64,
    found: Mutex<BTreeMap<StreamKey, Found>>,
}

/// What a comparison found in one stream, within the ranges that its complete scans have covered.
#[derive(Debug, Clone, Default)]
pub struct Found {
    covered: Coverage,
    /// Where this reading begins, and where the stream began before it; ms.
    begins: Span,
    /// Events that the provider showed.
    pub shown: HashSet<Filed>,
    /// Those that have not been settled.
    pub missing: HashSet<Filed>,
}

impl Found {
    /// Whether the event's range had been read to its end before. Time 0 says "no time": nothing tells.
    pub fn covers(&self, filed: Filed) -> bool {
        let time = Timestamp::from_timestamp_millis(filed.time).filter(|_| filed.time != 0);
        time.is_some_and(|time| self.covered.contains(time))
    }
}

impl<L: Ledger + ?Sized> Again<L> {
    /// A second reading of what `kept` knows, of events before `to`.
    pub fn new(kept: Arc<L>, purpose: Purpose, to: Timestamp) -> Self {
        let to = to.timestamp_millis();
        Self { kept, run: MemoryLedger::new(), purpose, to, found: Mutex::default() }
    }

    /// What a comparison has found, by stream.
    pub fn found(&self) -> BTreeMap<StreamKey, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Of a stream that is to be extended, what was known of it when that began.
    fn extended(&self, stream: &StreamKey) -> Option<Found> {
        if self.purpose != Purpose::Extend {
            return None;
        }
        // Only a comparison finds events: this copies few ranges.
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(stream).cloned()
    }

    fn compare(&self, stream: &StreamKey, filed: Filed, settled: bool) {
        let mut all = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = all.get_mut(stream) else { return };
        if found.covers(filed) {
            found.shown.insert(filed);
            if !settled {
                found.missing.insert(filed);
            }
        }
    }
}

impl<L: Ledger + ?Sized> Ledger for Again<L> {
    fn load(&self, stream: &StreamKey, start: Timestamp) -> Result<StreamRecord, LedgerError> {
        let kept = self.kept.load(stream, start)?;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = Span::new(start, kept.start);
        let found =
            found.entry(stream.clone()).or_insert_with(|| Found { covered: kept.coverage, begins, ..Found::default() });
        let run = self.run.load(stream, start)?;
        let extends = self.purpose == Purpose::Extend;
        // Reading what is old takes long, and keeps to the budget of the day.
        let calls = if extends { kept.calls } else { run.calls };
        let complete = extends && run.coverage.gaps(found.begins).is_empty();
        Ok(StreamRecord { own_requests: kept.own_requests, calls, complete, ..run })
    }

    fn known(&self, stream: &StreamKey, identities: &[Filed]) -> Result<Vec<bool>, LedgerError> {
        let mut known = self.kept.known(stream, identities)?;
        let extended = self.extended(stream);
        for (known, filed) in known.iter_mut().zip(identities) {
            let beyond = filed.time >= self.to
                || extended.as_ref().is_some_and(|found| filed.time >= found.begins.to || found.covers(*filed));
            if self.purpose == Purpose::Compare && !beyond {
                self.compare(stream, *filed, *known);
            }
            *known |= beyond || self.purpose == Purpose::Compare;
        }
        Ok(known)
    }

    fn record_request(&self, stream: &StreamKey, request: &OwnRequest) -> Result<(), LedgerError> {
        self.kept.record_request(stream, request)?;
        self.run.record_request(stream, request)
    }

    fn streams(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError> {
        self.kept.streams()
    }

    fn outbox(&self, sink: &str) -> Option<Arc<dyn Outbox>> {
        self.kept.outbox(sink).filter(|_| self.purpose != Purpose::Compare)
    }
}

impl<L: Ledger + ?Sized> Commits for Again<L> {
    fn commit(&self, stream: &StreamKey, commit: &Commit) -> Result<(), LedgerError> {
        let within = |span: Span, found: &Found| Span {
            from: span.from.max(found.begins.from),
            to: span.to.min(found.begins.to),
        };
        let covered = self.extended(stream).zip(commit.covered).map(|(found, span)| within(span, &found));
        let covered = covered.filter(|span| !span.is_empty());
        if !commit.settled.is_empty() || covered.is_some() {
            let (settled, consumed) = (commit.settled.clone(), commit.consumed.clone());
            let tally = commit.tally.clone();
            self.kept.commit(stream, &Commit { settled, consumed, covered, tally, ..Commit::default() })?;
        }
        self.run.commit(stream, commit)
    }

    fn commit_events(&self) -> usize {
        self.kept.commit_events()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::{Identity, Span, Tally};

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_timestamp_millis(ms).unwrap()
    }

    fn filed(time: i64) -> Filed {
        Filed { time, identity: Identity::of(&[&time.to_be_bytes()]) }
    }

    fn kept() -> (Arc<MemoryLedger>, StreamKey) {
        let (kept, key) = (MemoryLedger::new(), StreamKey { source: "s".into(), stream: "t".into() });
        kept.load(&key, at(1)).unwrap();
        let covered = Some(Span::new(at(1), at(100)));
        let state = Some(serde_json::json!("far"));
        kept.commit(&key, &Commit { settled: vec![filed(10), filed(20)], covered, state, ..Commit::default() })
            .unwrap();
        (Arc::new(kept), key)
    }

    #[test]
    fn a_second_delivery_takes_what_is_new_and_moves_no_progress() {
        let (kept, key) = kept();
        let again = Again::new(kept.clone(), Purpose::Deliver, at(50));
        let record = again.load(&key, at(5)).unwrap();
        assert_eq!((record.start, record.state, record.coverage), (at(5), None, Coverage::default()));
        assert_eq!(again.known(&key, &[filed(10), filed(30), filed(60)]).unwrap(), [true, false, true]);
        let tally = Tally { read: 1, delivered: 1, ..Tally::default() };
        let state = Some(serde_json::json!("near"));
        again.commit(&key, &Commit { settled: vec![filed(30)], state, tally, ..Commit::default() }).unwrap();
        assert_eq!(again.known(&key, &[filed(30)]).unwrap(), [true]);
        let after = kept.load(&key, at(0)).unwrap();
        assert_eq!((after.state, after.tally.delivered), (Some(serde_json::json!("far")), 1));
    }

    #[test]
    fn an_extension_delivers_what_was_before_the_beginning_and_covers_it() {
        let kept = Arc::new(MemoryLedger::new());
        let key = StreamKey { source: "s".into(), stream: "t".into() };
        kept.load(&key, at(100)).unwrap();
        let covered = Some(Span::new(at(100), at(200)));
        // An earlier re-scan had delivered one event of before.
        kept.commit(&key, &Commit { settled: vec![filed(70), filed(110)], covered, ..Commit::default() }).unwrap();
        let again = Again::new(kept.clone(), Purpose::Extend, at(1000));
        let record = again.load(&key, at(40)).unwrap();
        assert_eq!((record.start, record.coverage), (at(40), Coverage::default()));
        assert!(!again.load(&key, at(40)).unwrap().complete);
        let events = [filed(50), filed(70), filed(110), filed(150)];
        assert_eq!(again.known(&key, &events).unwrap(), [false, true, true, true]);
        let step =
            |settled, from, to| Commit { settled, covered: Some(Span::new(at(from), at(to))), ..Commit::default() };
        again.commit(&key, &step(vec![filed(50)], 40, 60)).unwrap();
        assert!(!again.load(&key, at(40)).unwrap().complete);
        again.commit(&key, &step(vec![], 60, 150)).unwrap();
        assert!(again.load(&key, at(40)).unwrap().complete);
        let after = kept.load(&key, at(0)).unwrap();
        let ranges: Vec<_> =
            after.coverage.ranges().iter().map(|range| (range.span.from, range.span.to, range.events)).collect();
        assert_eq!((after.start, ranges), (at(100), vec![(40, 200, 3)]));
        kept.commit(&key, &Commit { start: Some(at(40)), ..Commit::default() }).unwrap();
        assert_eq!(kept.load(&key, at(0)).unwrap().start, at(40));
        // What was covered once is not delivered again, though its identities may have been forgotten.
        let again = Again::new(kept, Purpose::Extend, at(1000));
        again.load(&key, at(20)).unwrap();
        assert_eq!(again.known(&key, &[filed(30), filed(45)]).unwrap(), [false, true]);
    }

    #[test]
    fn a_comparison_delivers_nothing_and_finds_what_is_missing_where_it_had_been_read() {
        let (kept, key) = kept();
        let again = Again::new(kept.clone(), Purpose::Compare, at(1000));
        again.load(&key, at(5)).unwrap();
        let shown = [filed(10), filed(30), filed(200), filed(0)];
        assert_eq!(again.known(&key, &shown).unwrap(), [true; 4]);
        let found = &again.found()[&key];
        assert_eq!(found.shown, HashSet::from([filed(10), filed(30)]));
        assert_eq!(found.missing, HashSet::from([filed(30)]));
        assert_eq!(kept.known(&key, &[filed(30)]).unwrap(), [false]);
    }
}
