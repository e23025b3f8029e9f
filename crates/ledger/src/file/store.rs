//! The file below the database: opening, locking, and getting it back after a failed write.

use super::failure::{Failure, from_io};
use super::{folder, tables};
use crate::LedgerError;
use redb::{Builder, Database, StorageBackend};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes of pages kept in memory. Commits and look-ups touch the recent end of the history; this holds it.
const CACHE_BYTES: usize = 2 << 20;

/// The file of own requests that the database has not taken over.
pub(super) const LEDGER: &str = "ledger.redb";
pub(super) const JOURNAL: &str = "requests.journal";

/// redb's mark at the start of a finished file.
const MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// Its header page, the only one written before the mark.
const HEADER_BYTES: u64 = 4096;
/// A file being created is smaller than this.
const NEW_BYTES_MAX: u64 = 64 << 20;

/// A database that opens again after a failed write, without ever letting go of the file.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    backend: Arc<dyn StorageBackend>,
    /// `None` after a failure, until the next use.
    db: RwLock<Option<Database>>,
    /// The file again, for its lock.
    lock: Option<File>,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
        // Closing the file would do, were it not that a process that is just being started, for a secret's `exec`,
        // holds a copy of it for a moment. Nobody is left to act on an error.
        if let Some(lock) = &self.lock {
            let _ = lock.unlock();
        }
    }
}

impl Store {
    /// Opens or creates the file `ledger.redb` in `dir` and locks it until dropped; and the journal beside it, which the same
    /// lock guards.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Arc<dyn StorageBackend>), LedgerError> {
        let path = dir.join(LEDGER);
        let fail = |error| from_io(error, &path, "open");
        folder::create(dir).map_err(fail)?;
        let file = folder::open_file(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(from_io(error, &path, "open")),
        }
        let of_journal = |error| from_io(error, &dir.join(JOURNAL), "open");
        let journal = folder::open_file(&dir.join(JOURNAL)).map_err(of_journal)?;
        folder::sync(dir).map_err(fail)?;
        let lock = file.try_clone().map_err(fail)?;
        let on =
            |file| redb::backends::FileBackend::new(file).map_err(|error| Failure::from(error).tell(&path, "open"));
        let (backend, journal) = (on(file)?, on(journal)?);
        if backend.len().and_then(|len| Ok(len == 0 || creation_was_cut_short(&backend)?)).map_err(fail)? {
            folder::refuse_if_begun(dir, &path)?;
        }
        let mut store = Self::on(Arc::new(backend), path)?;
        // Beside the journal and the dead letters it is one trace more, and no reason not to run.
        if let Err(error) = folder::mark_as_begun(dir) {
            tracing::warn!("{error}");
        }
        store.lock = Some(lock);
        Ok((store, Arc::new(journal)))
    }

    /// Opens the database on `backend`, which nobody else uses; `path` is its name in errors.
    pub(crate) fn on(backend: Arc<dyn StorageBackend>, path: PathBuf) -> Result<Self, LedgerError> {
        let store = Self { path, backend, db: RwLock::new(None), lock: None };
        drop(store.healthy()?);
        Ok(store)
    }

    /// The database's name in errors.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The journal's name in errors.
    pub(crate) fn journal_path(&self) -> PathBuf {
        self.path.with_file_name(JOURNAL)
    }

    /// Runs one transaction. A failure that leaves the database useless closes it; the next call opens it again.
    pub(crate) fn run<T>(
        &self,
        doing: &'static str,
        mut work: impl FnMut(&Database) -> Result<T, Failure>,
    ) -> Result<T, LedgerError> {
        let mut again = true;
        loop {
            let guard = self.healthy()?;
            let Some(db) = guard.as_ref() else { continue };
            let failure = match guarded(|| work(db)) {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            drop(guard);
            if failure.breaks() {
                self.close();
            }
            if !(again && failure.is_echo()) {
                return Err(failure.tell(&self.path, doing));
            }
            again = false;
        }
    }

    /// The database, opened if it is not.
    fn healthy(&self) -> Result<RwLockReadGuard<'_, Option<Database>>, LedgerError> {
        let guard = self.db.read().unwrap_or_else(PoisonError::into_inner);
        if guard.is_some() {
            return Ok(guard);
        }
        drop(guard);
        let mut guard = self.db.write().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            *guard = Some(self.open_database().map_err(|failure| failure.tell(&self.path, "open"))?);
        }
        Ok(RwLockWriteGuard::downgrade(guard))
    }

    fn open_database(&self) -> Result<Database, Failure> {
        let io = |error| Failure::Store(redb::Error::Io(error));
        if creation_was_cut_short(&*self.backend).map_err(io)? {
            self.backend.set_len(0).map_err(io)?;
        }
        // Reads every page in use: redb believes what it finds otherwise, and panics where that makes no sense.
        guarded(|| {
            let backend = Unlocked(Arc::clone(&self.backend));
            let db = Builder::new()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(true)
                .create_with_backend(backend)?;
            tables::prepare(&db)?;
            Ok(db)
        })
    }

    /// Fails if the file is no longer at its path. What is written to it would not be found by the next run.
    pub(crate) fn check_place(&self) -> Result<(), LedgerError> {
        let Some(ours) = self.lock.as_ref().and_then(|lock| lock.metadata().ok()) else { return Ok(()) };
        let same = match fs::metadata(&self.path) {
            Ok(there) => (there.dev(), there.ino()) == (ours.dev(), ours.ino()),
            // It may be out of reach for a moment.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        if same {
            return Ok(());
        }
        let reason = "it was moved, removed or replaced while this run had it open, and the next run would not find what this one notes: \
                      put its folder back as it was, or move the whole folder away to begin anew";
        Err(LedgerError::Io { path: self.path.clone(), doing: "write", reason: reason.to_owned() })
    }

    /// Reads every page in use once more, which may have changed on the disk since.
    pub(crate) fn examine(&self) -> Result<(), LedgerError> {
        self.close();
        self.healthy().map(drop)
    }

    fn close(&self) {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Closing writes, and so meets what is damaged once more.
        if let Err(failure) = guarded(|| {
            drop(db.take());
            Ok(())
        }) {
            tracing::debug!("closing the ledger: {failure:?}");
        }
    }
}

/// Runs work on the database. Should it panic on what it finds there, that is damage like any other.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Failure::Damaged(said.unwrap_or("its pages contradict each other").to_owned()))
    })
}

/// Whether the file is what a crash leaves of a creation: redb writes its header page, syncs, and only then the mark
/// that makes it a database; without the mark it would refuse the file for ever. Nothing was committed to such a
/// file. Anything else without the mark is not ours to touch.
fn creation_was_cut_short(backend: &dyn StorageBackend) -> io::Result<bool> {
    let len = backend.len()?;
    if len == 0 || len > NEW_BYTES_MAX {
        return Ok(false);
    }
    let mut mark = [0; MAGIC.len()];
    let head = usize::try_from(len).map_or(mark.len(), |len| len.min(mark.len()));
    backend.read(0, &mut mark[..head])?;
    let torn = mark.iter().zip(MAGIC).all(|(byte, magic)| *byte == 0 || byte == magic);
    if mark == *MAGIC || !torn {
        return Ok(false);
    }
    let mut chunk = vec![0; 1 << 16];
    let mut at = HEADER_BYTES;
    while at < len {
        let size = usize::try_from(len - at).map_or(chunk.len(), |rest| rest.min(chunk.len()));
        backend.read(at, &mut chunk[..size])?;
        if chunk[..size].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += size as u64;
    }
    Ok(true)
}

/// The backend without its locks: the store holds its own for as long as it lives, also while the database is closed.
#[derive(Debug)]
struct Unlocked(Arc<dyn StorageBackend>);

impl StorageBackend for Unlocked {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
