//! Why the archive did not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

/// Why the archive did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Less free space than `storage.minimum_free_mib`, or the disk is full.
    #[error("the archive is full: {0}; free some space or lower storage.minimum_free_mib")]
    Full(String),
    /// A required attribute is missing or contradicts the object.
    #[error("the object cannot be filed: {0}")]
    Unfit(String),
    /// Another process works on the same folder.
    #[error("{path} is in use by another pe-node; stop it or set storage.path to another folder", path = .0.display())]
    InUse(PathBuf),
    /// The disk.
    #[error("{action} {path}: {source}", path = path.display())]
    Disk {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The index.
    #[error("{action}: {source}")]
    Index {
        /// What was being done.
        action: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The index could not be brought to this version of the program.
    #[error("preparing the tables of the index: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The index is that of another version of the program.
    #[error(
        "the tables of the index have version {found}, this program reads {wanted}; start the node once with this \
         program, or use the one that the node runs"
    )]
    Version {
        /// The index's.
        found: i64,
        /// This program's.
        wanted: i64,
    },
    /// The node is stopping, or one of its tasks ended before its time.
    #[error("the archive no longer accepts work: the node is stopping")]
    Closed,
}

impl ArchiveError {
    /// An error of the disk; running out of space is told apart.
    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(format!("{action}: {source}")),
            _ => Self::Disk { action, path: path.to_owned(), source },
        }
    }

    /// An error of the database; running out of space is told apart.
    pub(in crate::node) fn index(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| {
            if matches!(source, sqlx::Error::PoolClosed) {
                return Self::Closed;
            }
            // SQLITE_FULL (13): "database or disk is full".
            let full = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
            if full.is_some_and(|code| code == "13") {
                return Self::Full(format!("{action}: {source}"));
            }
            Self::Index { action, source }
        }
    }
}
