//! The state folder around the ledger: who may write there, what leads out of it, and whether a ledger was there before.

use super::failure::from_io;
use super::store::JOURNAL;
use crate::LedgerError;
use headwater_contracts::files::{must_be_file, must_be_folder};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Says that a ledger was begun here, also when it is gone.
pub(super) const MARK: &str = "ledger.begun";
const MARK_TEXT: &str = "\
headwater has begun a ledger in this folder: `ledger.redb`. Keep this file with it. While it is here, a ledger that is
missing or empty is an error, and not a first run, which would deliver again everything since `start_at`.
";
/// Where dead letters are kept unless the configuration says otherwise.
const DEAD_LETTERS: &str = "dead-letter";

/// Only the user headwater runs as has business here: identities and own requests tell what an organization audits.
pub(super) fn create(dir: &Path) -> io::Result<()> {
    must_be_folder(dir)?;
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(dir)?.permissions());
        if mode & 0o022 != 0 {
            tracing::warn!(
                "other users may write to the state folder `{}` (mode {:04o}): whoever can replace files there decides what is delivered; `chmod go-w` it",
                dir.display(),
                mode & 0o7777
            );
        }
    }
    Ok(())
}

/// Opens or creates a file of the folder. A link in its place is an error: what it leads to is not ours to change.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    must_be_file(path)?;
    options().create(true).truncate(false).open(path).map_err(|error| {
        let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        if is_link {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is a symbolic link, which headwater does not follow: put the file itself there, or point `state.path` to the folder it is in",
            )
        } else {
            error
        }
    })
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    }
    options
}

/// Refuses to take an empty ledger for a first run where something else shows that there was one before.
pub(super) fn refuse_if_begun(dir: &Path, ledger: &Path) -> Result<(), LedgerError> {
    let has_content = |name: &str| {
        let found = fs::symlink_metadata(dir.join(name));
        found.is_ok_and(|found| if found.is_dir() { holds_anything(&dir.join(name)) } else { found.len() > 0 })
    };
    let traces: Vec<String> =
        [MARK, JOURNAL, DEAD_LETTERS].iter().filter(|name| has_content(name)).map(|name| format!("`{name}`")).collect();
    if traces.is_empty() {
        tracing::info!(
            "no ledger in `{}` yet: this is a first run, which reads each stream from its `start_at`",
            dir.display()
        );
        return Ok(());
    }
    Err(LedgerError::Io {
        path: ledger.to_owned(),
        doing: "open",
        reason: format!(
            "it is missing or empty, but {} in the same folder shows that there was one: it was deleted, or a copy or the disk has lost it. \
             Restore the folder from a backup. To start over, which delivers again everything since `start_at`, move the folder `{}` away",
            traces.join(" and "),
            dir.display()
        ),
    })
}

/// Whether a folder has a file with anything in it.
fn holds_anything(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| entry.metadata().is_ok_and(|found| found.is_file() && found.len() > 0))
}

/// Leaves the mark of a ledger that was begun.
pub(super) fn mark_as_begun(dir: &Path) -> Result<(), LedgerError> {
    let path = dir.join(MARK);
    if fs::symlink_metadata(&path).is_ok() {
        return Ok(());
    }
    let write = || {
        let mut file = options().create_new(true).open(&path)?;
        file.write_all(MARK_TEXT.as_bytes())?;
        file.sync_all()?;
        sync(dir)
    };
    write().map_err(|error| from_io(error, &path, "write"))
}

/// Names must survive a power cut as well as what is written under them.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
