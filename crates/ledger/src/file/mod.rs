//! The ledger in a file.

mod failure;
mod folder;
mod journal;
mod store;
mod tables;

#[cfg(test)]
mod faults;

use crate::{Commit, Commits, Filed, Kept, Ledger, LedgerError, StreamKey, StreamRecord};
use failure::{Failure, from_io};
use headwater_contracts::{OwnRequest, Timestamp};
use journal::Journal;
use redb::StorageBackend;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use store::Store;

/// The ledger in a file, `ledger.redb`, with a small journal beside it: see `docs/decisions/0002-redb-ledger.md` for why
/// they are what they are.
///
/// What is in the file is compared with its checksums whenever it is opened, and every 10,000 commits.
/// Memory use is bounded (2 MiB of pages), whatever the history. Calls may come from many threads; writes go one
/// after the other.
#[derive(Debug)]
pub struct FileLedger {
    store: Store,
    /// Own requests since the last commit.
    journal: Mutex<Journal>,
    /// What stands for a stream in the file, as far as asked for. It never changes.
    numbers: Mutex<HashMap<StreamKey, u32>>,
    /// Commits whose write failed where it could not be told whether they had arrived.
    doubts: Mutex<HashMap<StreamKey, Doubt>>,
    /// Commits since the file was opened.
    commits: AtomicU64,
}

/// A process that runs for months reads its whole file again after so many commits. With five streams that are read twice
/// a minute that is every day; a file of a million identities takes a twentieth of a second.
const EXAMINED_EVERY: u64 = 10_000;

/// A commit that may or may not be in the file.
#[derive(Debug)]
struct Doubt {
    commit: Commit,
    /// Which commit of the stream it would be.
    number: u64,
}

impl FileLedger {
    /// The files of a ledger, by their names in its folder.
    pub const FILES: [&str; 3] = [store::LEDGER, store::JOURNAL, folder::MARK];

    /// Opens the ledger in the directory `dir`, or creates both, for this user only (`0700`, `0600`). This
    /// reads the whole file, and repairs it after a crash, which takes about half a second for ten million identities.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] if another `FileLedger`, in this process or another, has it open;
    /// [`LedgerError::Full`] if there is no space to create or repair it; [`LedgerError::Io`] if it cannot be read
    /// or written, is damaged, is missing or empty beside traces of an earlier run, is a link, is not a ledger, or was
    /// written by a newer version.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        let (store, journal) = Store::open(dir)?;
        Self::on(store, journal)
    }

    fn on(store: Store, journal: Arc<dyn StorageBackend>) -> Result<Self, LedgerError> {
        let taken = store.run("read", tables::taken)?;
        let journal = Journal::open(journal, taken).map_err(|error| from_io(error, &store.journal_path(), "read"))?;
        if journal.is_ahead() {
            tracing::warn!(
                "`{}` is older than `{}` beside it: it is a copy of an earlier time. What was delivered since then is not known, and is delivered again. If you have the newer file, stop headwater and put it back",
                store.path().display(),
                store.journal_path().display()
            );
        } else if journal.lost() > 0 {
            tracing::warn!(
                "`{}` is damaged: {} of headwater's own requests cannot be read; their records in the logs, if they come, are delivered as somebody else's",
                store.journal_path().display(),
                journal.lost()
            );
        }
        Ok(Self {
            store,
            journal: journal.into(),
            numbers: Mutex::default(),
            doubts: Mutex::default(),
            commits: AtomicU64::new(0),
        })
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves requests from the journal into the database, where they can be asked for.
    fn take_over(&self) -> Result<(), LedgerError> {
        let mut journal = self.journal();
        if !journal.pending().is_empty() {
            self.store.run("write", |db| tables::take_over(db, journal.pending()))?;
            journal.taken();
        }
        Ok(())
    }

    /// The stream's number; `None` if it was never loaded.
    fn number(&self, stream: &StreamKey) -> Result<Option<u32>, LedgerError> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = numbers.get(stream) {
            return Ok(Some(*number));
        }
        let number = self.store.run("read", |db| tables::number(db, stream))?;
        numbers.extend(number.map(|number| (stream.clone(), number)));
        Ok(number)
    }

    /// Whether `commit` is the one whose write failed last, and arrived nevertheless. Settles the doubt either way.
    fn has_arrived(&self, stream: &StreamKey, commit: &Commit) -> Result<bool, LedgerError> {
        let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(doubt) = doubts.get(stream) else { return Ok(false) };
        let commits = self.store.run("read", |db| tables::commits(db, stream))?;
        let arrived = commits == Some(doubt.number) && doubt.commit == *commit;
        doubts.remove(stream);
        Ok(arrived)
    }
}

impl Ledger for FileLedger {
    fn load(&self, stream: &StreamKey, start: Timestamp) -> Result<StreamRecord, LedgerError> {
        self.take_over()?;
        self.store.run("read", |db| tables::load(db, stream, start))
    }

    fn known(&self, stream: &StreamKey, identities: &[Filed]) -> Result<Vec<bool>, LedgerError> {
        let Some(number) = self.number(stream)? else { return Ok(vec![false; identities.len()]) };
        self.store.run("read", |db| tables::known(db, number, identities))
    }

    fn record_request(&self, stream: &StreamKey, request: &OwnRequest) -> Result<(), LedgerError> {
        if self.number(stream)?.is_none() {
            return Err(Failure::Unusable(not_loaded(stream)).tell(self.store.path(), "write"));
        }
        self.journal().append(stream, request).map_err(|error| from_io(error, &self.store.journal_path(), "write"))
    }

    fn streams(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError> {
        self.take_over()?;
        self.store.run("read", tables::streams)
    }
}

impl Kept for FileLedger {
    fn all(&self) -> Result<Vec<(StreamKey, StreamRecord, u64)>, LedgerError> {
        self.streams()
    }

    fn identities(&self, stream: &StreamKey, visit: &mut dyn FnMut(Filed)) -> Result<(), LedgerError> {
        let Some(number) = self.number(stream)? else { return Ok(()) };
        self.store.run("read", |db| tables::identities(db, number, &mut *visit))
    }

    fn forget(&self, stream: &StreamKey) -> Result<bool, LedgerError> {
        self.take_over()?;
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).remove(stream);
        self.store.run("write", |db| tables::forget_stream(db, stream))
    }
}

impl Commits for FileLedger {
    fn commit(&self, stream: &StreamKey, commit: &Commit) -> Result<(), LedgerError> {
        if self.has_arrived(stream, commit)? {
            return Ok(());
        }
        self.store.check_place()?;
        if self.commits.fetch_add(1, Ordering::Relaxed) % EXAMINED_EVERY == EXAMINED_EVERY - 1 {
            self.store.examine()?;
        }
        let mut number = None;
        let mut journal = self.journal();
        let written = self.store.run("write", |db| tables::commit(db, stream, commit, journal.pending(), &mut number));
        let Err(error) = written else {
            journal.taken();
            return Ok(());
        };
        drop(journal);
        // Whether it is in the file shows when the file opens again: now, or, if there is still no space for that,
        // when the caller tries again.
        if let Some(number) = number {
            let doubt = Doubt { commit: commit.clone(), number };
            self.doubts.lock().unwrap_or_else(PoisonError::into_inner).insert(stream.clone(), doubt);
            if let Ok(true) = self.has_arrived(stream, commit) {
                return Ok(());
            }
        }
        Err(error)
    }
}

/// The reason for refusing to write to a stream that does not exist.
pub(crate) fn not_loaded(stream: &StreamKey) -> String {
    format!("it has no stream `{}` of `{}`: a stream is loaded before it is written to", stream.stream, stream.source)
}
