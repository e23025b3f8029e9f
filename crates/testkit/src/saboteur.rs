//! Kills an incarnation of the pipeline at a chosen point, without killing the test.
//!
//! Every effect on the world outside the process (a ledger write, a delivery) asks the saboteur first. At the chosen
//! effect it strikes, before or after the effect takes place, and from then on nothing of this incarnation has any effect
//! any more: just what `kill -9` does to a process.

use headwater_contracts::OwnRequest;
use headwater_contracts::Timestamp;
use headwater_ledger::{Commit, Commits, Filed, Ledger, LedgerError, StreamKey, StreamRecord};
use std::{
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

/// What to do about an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// Let it happen.
    No,
    /// Die before it.
    Before,
    /// Let it happen, and die before anybody learns of it.
    After,
}

/// Decides when an incarnation dies. Clones share the decision.
#[derive(Debug, Clone)]
pub struct Saboteur {
    left: Arc<AtomicI64>,
    after: bool,
    dead: Arc<AtomicBool>,
    /// Shared by the ledger's effects that take place now, on threads that outlive what started them.
    under_way: Arc<RwLock<()>>,
}

impl Saboteur {
    /// One that never strikes.
    pub fn idle() -> Self {
        Self::at(i64::MAX, false)
    }

    /// One that strikes at the effect after `effects` others; after it takes place, if `after`.
    pub fn at(effects: i64, after: bool) -> Self {
        Self { left: Arc::new(AtomicI64::new(effects)), after, dead: Arc::default(), under_way: Arc::default() }
    }

    /// Whether it has struck.
    pub fn struck(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Waits until nothing of a dead incarnation has an effect any more: the next one must not begin before. Blocking.
    pub fn wait_for_silence(&self) {
        drop(self.under_way.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Asked before each effect.
    pub fn step(&self) -> Strike {
        if self.struck() {
            return Strike::Before;
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Strike::No;
        }
        self.dead.store(true, Ordering::SeqCst);
        if self.after { Strike::After } else { Strike::Before }
    }
}

/// A ledger that dies with its incarnation.
pub struct SabotagedLedger<L: ?Sized> {
    /// What survives.
    pub inner: Arc<L>,
    /// Who decides.
    pub saboteur: Saboteur,
}

fn killed() -> LedgerError {
    LedgerError::Io { path: PathBuf::new(), doing: "write", reason: "killed by the test".into() }
}

impl<L: Ledger + ?Sized> SabotagedLedger<L> {
    fn effect(&self, act: impl FnOnce() -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        let _under_way = self.saboteur.under_way.read().unwrap_or_else(PoisonError::into_inner);
        match self.saboteur.step() {
            Strike::No => act(),
            Strike::Before => Err(killed()),
            Strike::After => act().and(Err(killed())),
        }
    }
}

impl<L: Ledger + ?Sized> Ledger for SabotagedLedger<L> {
    fn load(&self, stream: &StreamKey, start: Timestamp) -> Result<StreamRecord, LedgerError> {
        if self.saboteur.struck() { Err(killed()) } else { self.inner.load(stream, start) }
    }

    fn known(&self, stream: &StreamKey, identities: &[Filed]) -> Result<Vec<bool>, LedgerError> {
        if self.saboteur.struck() { Err(killed()) } else { self.inner.known(stream, identities) }
    }

    fn record_request(&self, stream: &StreamKey, request: &OwnRequest) -> Result<(), LedgerError> {
        self.effect(|| self.inner.record_request(stream, request))
    }

    fn streams(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError> {
        self.inner.streams()
    }
}

impl<L: Ledger + ?Sized> Commits for SabotagedLedger<L> {
    fn commit(&self, stream: &StreamKey, commit: &Commit) -> Result<(), LedgerError> {
        self.effect(|| self.inner.commit(stream, commit))
    }
}
