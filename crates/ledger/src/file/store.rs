//! The file below the database: opening, locking, and getting it back after a failed write.

use super::failure::{Failure, from_io};
use super::tables;
use crate::LedgerError;
use redb::{Builder, Database, StorageBackend};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes of pages kept in memory. Commits and look-ups touch the recent end of the history; this holds it.
const CACHE_BYTES: usize = 2 << 20;

/// The file of own requests that the database has not taken over.
const JOURNAL: &str = "requests.journal";

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
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = None;
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
        let path = dir.join("ledger.redb");
        let fail = |error| from_io(error, &path, "open");
        create_dir(dir).map_err(fail)?;
        let file = open_file(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(from_io(error, &path, "open")),
        }
        let journal = open_file(&dir.join(JOURNAL)).map_err(|error| from_io(error, &dir.join(JOURNAL), "open"))?;
        // The new names must survive a power cut as well as what is written under them.
        #[cfg(unix)]
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(fail)?;
        let lock = file.try_clone().map_err(fail)?;
        let on =
            |file| redb::backends::FileBackend::new(file).map_err(|error| Failure::from(error).tell(&path, "open"));
        let (backend, journal) = (on(file)?, on(journal)?);
        let mut store = Self::on(Arc::new(backend), path)?;
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
            let failure = match work(db) {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            drop(guard);
            if failure.breaks() {
                *self.db.write().unwrap_or_else(PoisonError::into_inner) = None;
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
        let db = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(Unlocked(Arc::clone(&self.backend)))?;
        tables::prepare(&db)?;
        Ok(db)
    }
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

/// Only the user headwater runs as has business here: identities and own requests tell what an organization audits.
fn create_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
