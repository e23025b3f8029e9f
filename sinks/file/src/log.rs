//! A file that grows by whole, synced blocks, and what it takes to open, continue and rotate one.

use crate::{
    recover::{Format, Verdict, examine},
    template::set_aside,
};
use chrono::TimeDelta;
use headwater_contracts::{
    Timestamp,
    files::{must_be_file, must_be_folder},
};
use std::{
    borrow::Cow,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, BufReader, ErrorKind, IoSlice, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// When a file is closed and set aside under a name with the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rotate {
    /// Before it would grow beyond this size; a single larger block still goes into one file.
    pub(crate) max_bytes: Option<u64>,
    /// When the time enters another of these spans, counted from 1970-01-01T00:00:00Z.
    pub(crate) every: Option<TimeDelta>,
}

/// The writer. Its errors keep the kind of what failed, and say what and where.
pub(crate) struct Log {
    format: Format,
    rotate: Rotate,
    /// Whether a link in place of the file is an error.
    refuses_links: bool,
    open: Option<Open>,
}

struct Open {
    path: PathBuf,
    file: File,
    /// Last write, or what the file said of it when it was opened.
    written: Timestamp,
}

impl Drop for Open {
    fn drop(&mut self) {
        // Closing the file would do, were it not that a process that is just being started, for a secret's `exec`, holds a
        // copy of it for a moment, and the lock with it. Nobody is left to act on an error.
        let _ = self.file.unlock();
    }
}

impl Log {
    pub(crate) fn new(format: Format, rotate: Rotate) -> Self {
        Self { format, rotate, refuses_links: false, open: None }
    }

    /// For a file that nobody has a reason to put elsewhere by a link.
    pub(crate) fn refusing_links(self) -> Self {
        Self { refuses_links: true, ..self }
    }

    /// Appends whole records to the file at `path`, which is created or continued. They are on disk when this
    /// returns; if it fails, none of them is in the file.
    pub(crate) fn append(&mut self, path: &Path, records: &[impl AsRef<[u8]>], now: Timestamp) -> io::Result<()> {
        if records.iter().all(|record| record.as_ref().is_empty()) {
            return Ok(());
        }
        let compression = self.format.compression;
        let mut block = compression.block(records).map_err(|e| context(e, "compress a batch for", path))?;
        let mut length = self.length(path, now)?;
        let size = block.iter().map(|piece| piece.len() as u64).sum();
        if length > 0 && self.is_full(length, size, now) {
            self.set_aside(path, now)?;
            length = self.length(path, now)?;
        }
        if length == 0 && !self.format.header.is_empty() {
            let header = [self.format.header.as_slice()];
            let header = compression.block(&header).map_err(|e| context(e, "begin", path))?.concat();
            block.insert(0, header.into());
        }
        let Some(open) = &mut self.open else { return Err(io::Error::other("the file was closed while in use")) };
        open.written = now;
        append_whole(&mut open.file, length, &block).map_err(|failed| {
            if !failed.cut {
                // The next attempt opens the file again, and cuts what is torn then.
                self.open = None;
            }
            context(failed.error, "write to", path)
        })
    }

    /// Opens the file if it is not open, and gives its length.
    pub(crate) fn length(&mut self, path: &Path, now: Timestamp) -> io::Result<u64> {
        // Moved or deleted by someone else: what is written to it now would be out of sight.
        let current = self.open.take_if(|open| open.path != path || !is_at(&open.file, path)).is_none();
        let open = match &mut self.open {
            Some(open) if current => open,
            _ => self.open.insert(Open::at(path, &self.format, self.refuses_links, now)?),
        };
        Ok(open.file.metadata().map_err(|e| context(e, "read the size of", path))?.len())
    }

    fn is_full(&self, length: u64, more: u64, now: Timestamp) -> bool {
        let span = |at: Timestamp, every: TimeDelta| at.timestamp_millis().div_euclid(every.num_milliseconds().max(1));
        let over_size = self.rotate.max_bytes.is_some_and(|most| length.saturating_add(more) > most);
        let over_time = self.rotate.every.zip(self.open.as_ref());
        over_size || over_time.is_some_and(|(every, open)| span(open.written, every) != span(now, every))
    }

    fn set_aside(&mut self, path: &Path, now: Timestamp) -> io::Result<()> {
        let aside = rename(path, now)?;
        // Only now: the lock holds until the name is free.
        self.open = None;
        tracing::info!(from = %path.display(), to = %aside.display(), "file rotated");
        Ok(())
    }
}

impl Open {
    fn at(path: &Path, format: &Format, refuses_links: bool, now: Timestamp) -> io::Result<Self> {
        let parent = directory(path);
        must_be_folder(parent)
            .and_then(|()| create_directories(parent))
            .map_err(|e| context(e, "create the directory of", path))?;
        // Another process may create, rotate or remove the file between any two steps: then look again.
        for _ in 0..10 {
            let (file, created) = match open_or_create(path, refuses_links) {
                Ok(opened) => opened,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(context(error, "open", path)),
            };
            lock(&file, path)?;
            if !is_at(&file, path) {
                continue;
            }
            if created {
                let synced = file.sync_all().and_then(|()| sync_directory(parent));
                synced.map_err(|e| context(e, "create", path))?;
                return Ok(Self { path: path.to_owned(), file, written: now });
            }
            let before = file.metadata().map_err(|e| context(e, "read the size of", path))?;
            match examine(BufReader::with_capacity(1 << 16, &file), format).map_err(|e| context(e, "read", path))? {
                Verdict::Continue(whole) => {
                    if whole < before.len() {
                        if !is_itself(&file, path) {
                            return Err(io::Error::new(
                                ErrorKind::InvalidInput,
                                format!(
                                    "cannot repair `{}`: its last record has no end, and it is a symbolic link, so that what it leads to may belong to another program. \
                                     End or remove that record, or name the file itself",
                                    path.display()
                                ),
                            ));
                        }
                        let kept = keep_torn(&file, path, whole).map_err(|e| context(e, "repair", path))?;
                        tracing::warn!(
                            file = %path.display(), bytes = before.len() - whole, kept = %kept.display(),
                            "cut off a torn record that an earlier run left at the end; it was never acknowledged"
                        );
                    }
                    let written = before.modified().map_or(now, Timestamp::from);
                    return Ok(Self { path: path.to_owned(), file, written });
                }
                Verdict::Foreign(reason) => {
                    let aside = rename(path, now)?;
                    tracing::warn!(
                        file = %path.display(), kept = %aside.display(), reason,
                        "this file cannot be continued: it was set aside unchanged, and a new one begins"
                    );
                }
            }
        }
        Err(io::Error::new(
            ErrorKind::ResourceBusy,
            format!("cannot open `{}`: another process keeps replacing it", path.display()),
        ))
    }
}

fn open_or_create(path: &Path, refuses_links: bool) -> io::Result<(File, bool)> {
    if refuses_links && fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is a symbolic link: put the file itself there"));
    }
    // Opening a pipe would wait for its reader.
    must_be_file(path)?;
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    if refuses_links {
        options.custom_flags(libc::O_NOFOLLOW);
    }
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((options.create_new(true).open(path)?, true)),
        opened => Ok((opened?, false)),
    }
}

fn lock(file: &File, path: &Path) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            ErrorKind::ResourceBusy,
            format!("`{}` is in use by another process: give each its own path, or end the other", path.display()),
        )),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            tracing::warn!(file = %path.display(), "this file system has no locks: make sure nothing else writes there");
            Ok(())
        }
        Err(TryLockError::Error(error)) => Err(context(error, "lock", path)),
    }
}

/// Whether `path` still leads to `file`.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.dev() == there.dev() && ours.ino() == there.ino(),
        _ => false,
    }
}

/// Whether `path` is `file`, and no link to it.
fn is_itself(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => ours.dev() == there.dev() && ours.ino() == there.ino(),
        _ => false,
    }
}

/// Moves everything after `whole` to the end of `path` + `.torn`.
fn keep_torn(mut file: &File, path: &Path, whole: u64) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".torn");
    let mut torn =
        OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(&name)?;
    file.seek(SeekFrom::Start(whole))?;
    io::copy(&mut file, &mut torn)?;
    torn.sync_all()?;
    sync_directory(directory(path))?;
    file.set_len(whole)?;
    file.sync_all()?;
    Ok(name.into())
}

fn rename(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let aside = set_aside(path, now);
    let renamed = fs::rename(path, &aside).and_then(|()| sync_directory(directory(path)));
    renamed.map_err(|e| context(e, "rotate", path))?;
    Ok(aside)
}

/// Creates what is missing of a path of directories, each synced into its parent.
fn create_directories(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = directory(dir);
    create_directories(parent)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => {}
        created => created?,
    }
    sync_directory(parent)
}

/// A name created or changed in a directory survives a crash only once the directory is synced.
fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(if path.is_absolute() {
        path
    } else {
        Path::new(".")
    })
}

fn context(error: io::Error, what: &str, path: &Path) -> io::Error {
    let hint = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "; make room: nothing of this batch is in the file, and it is written again"
        }
        ErrorKind::PermissionDenied => "; give this process the right to write there, or change the path",
        ErrorKind::IsADirectory => "; the path must name a file",
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot {what} `{}`: {error}{hint}", path.display()))
}

/// What [`append_whole`] needs of a file, so that a test can break each step.
trait Medium {
    fn put(&mut self, block: &[Cow<'_, [u8]>]) -> io::Result<()>;
    fn sync(&mut self) -> io::Result<()>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn put(&mut self, block: &[Cow<'_, [u8]>]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = block.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = &mut slices[..];
        // Also over empty pieces at the beginning, so that writing nothing means what it says.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match self.write_vectored(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

#[derive(Debug)]
struct Failed {
    error: io::Error,
    /// Whether the file is back at its former length.
    cut: bool,
}

/// Appends a block to a file of `length` bytes and syncs it, or leaves the file at that length.
fn append_whole(medium: &mut impl Medium, length: u64, block: &[Cow<'_, [u8]>]) -> Result<(), Failed> {
    // After a failed sync the system may take the unwritten pages for clean, and a second sync for a success. Cutting
    // them off and writing them anew is what makes the next attempt honest.
    let written = medium.put(block).and_then(|()| medium.sync());
    written.map_err(|error| Failed { cut: medium.cut(length).is_ok(), error })
}

#[cfg(test)]
mod tests;
