//! From the store's errors to the ledger's.

use crate::LedgerError;
use std::io;
use std::path::Path;

/// Why a transaction failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store's own error.
    Store(redb::Error),
    /// What is in the file is not what was written: how that shows.
    Damaged(String),
    /// The content is not what it should be: the reason, and what to do.
    Unusable(String),
}

macro_rules! from_store {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Store(error.into())
            }
        }
    )*};
}

from_store!(redb::DatabaseError, redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);

impl Failure {
    /// Whether the open database is of no more use: after a failed write redb refuses everything until it is
    /// opened again.
    pub(crate) fn breaks(&self) -> bool {
        matches!(
            self,
            Self::Damaged(_)
                | Self::Store(
                    redb::Error::Io(_)
                        | redb::Error::PreviousIo
                        | redb::Error::DatabaseClosed
                        | redb::Error::LockPoisoned(_)
                        | redb::Error::Corrupted(_)
                )
        )
    }

    /// Whether it is only the echo of a failure that another thread has met.
    pub(crate) fn is_echo(&self) -> bool {
        matches!(self, Self::Store(redb::Error::PreviousIo | redb::Error::DatabaseClosed))
    }

    /// What the caller is told.
    pub(crate) fn tell(self, path: &Path, doing: &'static str) -> LedgerError {
        let path = path.to_owned();
        let reason = match self {
            Self::Store(redb::Error::Io(error)) => return from_io(error, &path, doing),
            Self::Store(redb::Error::DatabaseAlreadyOpen) => return LedgerError::InUse { path },
            Self::Damaged(what) | Self::Store(redb::Error::Corrupted(what)) => format!(
                "it is damaged: the disk or a copy has changed it ({what}). Restore the state folder from a backup. To start over, which delivers again everything since `start_at`, move the folder away"
            ),
            Self::Store(redb::Error::UpgradeRequired(version)) => {
                format!("it has file format {version}, which only an older version of headwater reads")
            }
            Self::Store(error) => error.to_string(),
            Self::Unusable(reason) => reason,
        };
        LedgerError::Io { path, doing, reason }
    }
}

/// An error of the system.
pub(crate) fn from_io(error: io::Error, path: &Path, doing: &'static str) -> LedgerError {
    let path = path.to_owned();
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => return LedgerError::Full { path },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; the user headwater runs as must be able to write `state.path`"
        }
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            "; it is not a ledger, or it is damaged: restore the state folder from a backup, or move it away to start over"
        }
        io::ErrorKind::Unsupported => "; `state.path` must be on a file system with file locks",
        _ => "",
    };
    LedgerError::Io { path, doing, reason: format!("{error}{hint}") }
}
