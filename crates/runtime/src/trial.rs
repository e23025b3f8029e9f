//! A transform that has refused every event so far is probably wrong itself: then nothing of what it refused is settled.
//!
//! While a transform is on trial, steps of a stream that hold its refusals wait in memory instead of entering the ledger,
//! with what the stream covers meanwhile. One event that passes ends the trial, and everything enters. A hundred refusals
//! stop the run instead, and the next start reads the events again. A step that has delivered something is never held:
//! it would be delivered again.

use headwater_contracts::{Coverage, Outbox, OwnRequest, Tally, Timestamp};
use headwater_ledger::{Commit, Commits, Filed, Ledger, LedgerError, StreamKey, StreamRecord};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Refusals without one event that passes, after which the transform is taken to be wrong.
pub(crate) const EVENTS: u64 = 100;
/// How long a run that goes on holds a stream's steps back.
pub(crate) const LONGEST: Duration = Duration::from_mins(5);

/// How one transform does.
#[derive(Debug, Default)]
pub(crate) struct StageTrial {
    passed: AtomicBool,
    refused: AtomicU64,
    reason: OnceLock<String>,
}

impl StageTrial {
    /// An event has gone on, or was dropped by rule.
    pub(crate) fn pass(&self) {
        if !self.passed.load(Ordering::Relaxed) {
            self.passed.store(true, Ordering::SeqCst);
        }
    }

    /// An event was refused. Whether the transform has failed its trial by that.
    pub(crate) fn refuse(&self, reason: &str) -> bool {
        if self.passed.load(Ordering::Relaxed) {
            return false;
        }
        self.reason.get_or_init(|| reason.to_owned());
        self.refused.fetch_add(1, Ordering::SeqCst) + 1 >= EVENTS
    }

    fn is_open(&self) -> bool {
        self.refused.load(Ordering::SeqCst) > 0 && !self.passed.load(Ordering::SeqCst)
    }
}

/// All transforms on trial, and what is held meanwhile. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trial(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stages: HashMap<Arc<str>, Arc<StageTrial>>,
    /// Refusals that have become dead letters all the same.
    set_aside: AtomicU64,
    shelves: Mutex<HashMap<StreamKey, Shelf>>,
    /// What has been settled in steps that waited, and has not been counted.
    uncounted: Mutex<HashMap<StreamKey, Tally>>,
}

/// Steps of one stream that wait.
#[derive(Debug, Default)]
struct Shelf {
    /// Whether more are to be added; otherwise they go before the next one.
    closed: bool,
    steps: Vec<Commit>,
    settled: HashSet<Filed>,
}

impl Trial {
    /// A trial of these transforms.
    pub(crate) fn of(stages: impl IntoIterator<Item = (Arc<str>, Arc<StageTrial>)>) -> Self {
        Self(Arc::new(Inner { stages: stages.into_iter().collect(), ..Inner::default() }))
    }

    /// Whether this component is a transform that has refused everything so far.
    pub(crate) fn is_open_for(&self, component: &str) -> bool {
        self.0.stages.get(component).is_some_and(|stage| stage.is_open())
    }

    /// From now on the stream's steps wait.
    pub(crate) fn hold(&self, key: &StreamKey) {
        self.shelves().entry(key.clone()).or_default().closed = true;
    }

    /// The stream's steps may enter the ledger: with its next one.
    pub(crate) fn release(&self, key: &StreamKey) {
        if let Some(shelf) = self.shelves().get_mut(key) {
            shelf.closed = false;
        }
    }

    /// Whether steps of the stream wait that may enter.
    pub(crate) fn owes(&self, key: &StreamKey) -> bool {
        self.shelves().get(key).is_some_and(|shelf| !shelf.closed && !shelf.steps.is_empty())
    }

    /// What is to be counted now that a step has been taken: nothing while it waits, and later all that has waited.
    pub(crate) fn count(&self, key: &StreamKey, tally: &Tally) -> Option<Tally> {
        let waits = self.shelves().get(key).is_some_and(|shelf| shelf.closed);
        let mut uncounted = self.0.uncounted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = uncounted.remove(key).unwrap_or_default();
        all.add(tally);
        if waits {
            uncounted.insert(key.clone(), all);
            return None;
        }
        Some(all)
    }

    /// Counts refusals that become dead letters before the trial is over.
    pub(crate) fn set_aside(&self, count: usize) {
        self.0.set_aside.fetch_add(count as u64, Ordering::SeqCst);
    }

    /// What is said of a transform that has refused everything, if one has; for when all has been read.
    pub(crate) fn verdict(&self) -> Option<String> {
        let mut open: Vec<_> = self.0.stages.iter().filter(|(_, stage)| stage.is_open()).collect();
        open.sort_by_key(|(name, _)| (*name).clone());
        open.first().map(|(name, stage)| self.sentence(name, stage))
    }

    /// The same of this transform.
    pub(crate) fn sentence(&self, name: &str, stage: &StageTrial) -> String {
        let refused = stage.refused.load(Ordering::SeqCst);
        let all = if refused >= EVENTS {
            format!("each of its first {EVENTS} events")
        } else {
            format!("every event it was given ({refused})")
        };
        let reason = stage.reason.get().map_or("no reason", String::as_str);
        let kept = match self.0.set_aside.load(Ordering::SeqCst) {
            0 => "None of them is settled: the next start reads them again".to_owned(),
            some => format!("{some} of them are in the dead letters, and the next start reads the others again"),
        };
        format!(
            "transform `{name}` refused {all}, so that it is probably wrong itself: {reason}. {kept}. Mend it, or write \
             `on_error: dead_letter` to set such events aside"
        )
    }

    /// The ledger as it is to be used during the trial.
    pub(crate) fn before(&self, ledger: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        if self.0.stages.is_empty() { ledger } else { Arc::new(Held { ledger, trial: self.clone() }) }
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<StreamKey, Shelf>> {
        self.0.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A ledger that is some steps behind what it says.
struct Held {
    ledger: Arc<dyn Ledger>,
    trial: Trial,
}

impl Commits for Held {
    fn commit(&self, stream: &StreamKey, commit: &Commit) -> Result<(), LedgerError> {
        let waiting = {
            let mut shelves = self.trial.shelves();
            match shelves.get_mut(stream) {
                None => Vec::new(),
                Some(shelf) if shelf.closed => {
                    shelf.settled.extend(&commit.settled);
                    shelf.steps.push(commit.clone());
                    return Ok(());
                }
                Some(shelf) => std::mem::take(&mut shelf.steps),
            }
        };
        let mut waiting = waiting.into_iter();
        while let Some(step) = waiting.next() {
            if let Err(error) = self.ledger.commit(stream, &step) {
                let rest = std::iter::once(step).chain(waiting).collect();
                self.trial.shelves().entry(stream.clone()).or_default().steps = rest;
                return Err(error);
            }
        }
        self.trial.shelves().remove(stream);
        if *commit == Commit::default() { Ok(()) } else { self.ledger.commit(stream, commit) }
    }

    fn commit_events(&self) -> usize {
        self.ledger.commit_events()
    }
}

impl Ledger for Held {
    fn load(&self, stream: &StreamKey, start: Timestamp) -> Result<StreamRecord, LedgerError> {
        let mut record = self.ledger.load(stream, start)?;
        if let Some(shelf) = self.trial.shelves().get(stream) {
            shelf.steps.iter().for_each(|step| add(&mut record, step));
        }
        Ok(record)
    }

    fn known(&self, stream: &StreamKey, identities: &[Filed]) -> Result<Vec<bool>, LedgerError> {
        let mut known = self.ledger.known(stream, identities)?;
        if let Some(shelf) = self.trial.shelves().get(stream) {
            known.iter_mut().zip(identities).for_each(|(known, filed)| *known |= shelf.settled.contains(filed));
        }
        Ok(known)
    }

    fn record_request(&self, stream: &StreamKey, request: &OwnRequest) -> Result<(), LedgerError> {
        self.ledger.record_request(stream, request)
    }

    fn streams(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError> {
        self.ledger.streams()
    }

    fn owns(&self, stream: &StreamKey) -> bool {
        self.ledger.owns(stream)
    }

    fn outbox(&self, sink: &str) -> Option<Arc<dyn Outbox>> {
        self.ledger.outbox(sink)
    }
}

/// What planning needs to know of a step that waits.
fn add(record: &mut StreamRecord, step: &Commit) {
    if let Some(anew) = step.anew {
        record.start = anew;
        record.state = None;
        record.coverage.cut(anew, 0);
    }
    record.start = step.start.map_or(record.start, |start| record.start.min(start));
    if let Some(span) = step.covered {
        let events = step.settled.len() as u64;
        let coverage: &mut Coverage = &mut record.coverage;
        coverage.add(span, events);
    }
    if step.state.is_some() {
        record.state.clone_from(&step.state);
    }
    record.forgotten = record.forgotten.max(step.forget_before);
    record.own_requests.retain(|request| !step.consumed.contains(&request.id));
    record.tally.add(&step.tally);
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_contracts::{Identity, Span};
    use headwater_ledger::MemoryLedger;

    fn filed(time: i64) -> Filed {
        Filed { time, identity: Identity::of(&[&time.to_be_bytes()]) }
    }

    #[test]
    fn what_is_held_is_known_and_planned_with_and_enters_only_when_released() {
        let stage = Arc::new(StageTrial::default());
        let trial = Trial::of([("t".into(), stage.clone())]);
        let inner: Arc<dyn Ledger> = Arc::new(MemoryLedger::new());
        let ledger = trial.before(inner.clone());
        let key = StreamKey { source: "s".into(), stream: "x".into() };
        let start = Timestamp::UNIX_EPOCH;
        ledger.load(&key, start).unwrap();
        assert!(!trial.is_open_for("t") && !stage.refuse("no") && trial.is_open_for("t"));
        trial.hold(&key);
        let step = Commit { settled: vec![filed(5)], state: Some(1.into()), ..Commit::default() };
        ledger.commit(&key, &step).unwrap();
        let read = |read| Tally { read, ..Tally::default() };
        assert_eq!(trial.count(&key, &read(1)), None, "what waits is not settled");
        ledger.commit(&key, &Commit { covered: Some(Span { from: 0, to: 10 }), ..Commit::default() }).unwrap();
        let seen = |ledger: &dyn Ledger| {
            let record = ledger.load(&key, start).unwrap();
            (record.state, record.coverage.ranges().len(), ledger.known(&key, &[filed(5)]).unwrap()[0])
        };
        assert_eq!(seen(&*ledger), (Some(1.into()), 1, true));
        assert_eq!(seen(&*inner), (None, 0, false));
        assert!(!trial.owes(&key));
        stage.pass();
        trial.release(&key);
        assert!(trial.owes(&key) && !trial.is_open_for("t"));
        ledger.commit(&key, &Commit::default()).unwrap();
        assert_eq!(trial.count(&key, &read(2)), Some(read(3)));
        assert_eq!(seen(&*inner), (Some(1.into()), 1, true));
        assert_eq!(inner.load(&key, start).unwrap().coverage.ranges()[0].events, 1);
        assert!(!trial.owes(&key));
    }

    #[test]
    fn a_hundred_refusals_fail_a_transform_that_passed_nothing() {
        let (wrong, right) = (StageTrial::default(), StageTrial::default());
        right.pass();
        let fails: Vec<bool> = (0..EVENTS).map(|_| wrong.refuse("no") | right.refuse("no")).collect();
        assert_eq!(fails.iter().filter(|fails| **fails).count(), 1);
        assert!(fails.last().is_some_and(|last| *last));
    }
}
