//! Why the store did not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

use crate::dicom::Uid;
use crate::node::queue::{DeliveryState, IllegalTransition, JobId, JobState};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("the archive is full: {0}; free some space")]
    Full(String),
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
    /// The database.
    #[error("{action}: {source}")]
    Database {
        /// What was being done.
        action: &'static str,
        /// What the database said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database file is damaged.
    #[error(
        "the index is damaged ({action}: {problem}); stop the node and run `pe-node archive reindex`, which makes it anew from \
         the stored objects, or restore a backup"
    )]
    Damaged {
        /// What was being done.
        action: &'static str,
        /// What the database said.
        problem: String,
    },
    /// A row holds what this program cannot have written.
    #[error("{action}: the column {column} of a row cannot be read: {problem}")]
    Row {
        /// What was being done.
        action: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The tables are those of another version of the program.
    #[error(
        "the tables of the index have version {found}, this program reads {wanted}; start the node once with this \
         program, or use the one that the node runs"
    )]
    Version {
        /// That of the tables.
        found: i64,
        /// This program's.
        wanted: i64,
    },
    /// A job cannot do this in the state that it is in.
    #[error("job {job} {source}")]
    Job {
        /// The job.
        job: JobId,
        /// What the rules say.
        source: IllegalTransition<JobState>,
    },
    /// A delivery cannot do this in the state that it is in.
    #[error("the delivery of {sop_instance_uid} to {destination} {source}")]
    Delivery {
        /// The result object.
        sop_instance_uid: Uid,
        /// The destination.
        destination: String,
        /// What the rules say.
        source: IllegalTransition<DeliveryState>,
    },
    /// The caller's lease on a job is void: another run of the node, or nobody, holds one.
    #[error("the lease on job {0} is void")]
    LeaseVoid(JobId),
    /// Somebody else changed it between reading and writing; nothing has changed.
    #[error("{0} was changed by somebody else at the same time; try again")]
    Raced(String),
    /// There is no such job or delivery.
    #[error("{0} does not exist")]
    Unknown(String),
    /// A result cannot take the place of another object under its identifier.
    #[error("the archive holds another object under the SOP Instance UID {sop_instance_uid} of a result of job {job}")]
    Conflict {
        /// The job.
        job: JobId,
        /// The result.
        sop_instance_uid: Uid,
    },
    /// The node is stopping, or one of its tasks ended before its time.
    #[error("the archive no longer accepts work: the node is stopping")]
    Closed,
}

impl StoreError {
    /// An error of the disk; running out of space is told apart.
    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(format!("{action}: {source}")),
            _ => Self::Disk { action, path: path.to_owned(), source },
        }
    }

    /// An error of the database; damage of its file is told apart: SQLITE_CORRUPT (11) and SQLITE_NOTADB (26), with their
    /// extended codes in the higher bits.
    pub(super) fn of_database(action: &'static str, source: sqlx::Error) -> Self {
        let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let code = code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xFF);
        match code {
            Some(11 | 26) => Self::Damaged { action, problem: source.to_string() },
            _ => Self::Database { action, source: Box::new(source) },
        }
    }

    /// True if the rules, not the database, refused.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Job { .. } | Self::Delivery { .. } | Self::LeaseVoid(_))
    }
}

/// What went wrong inside a transaction. [`during`] adds what was being done.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database.
    Database(sqlx::Error),
    /// A row that this program cannot have written.
    Row {
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// An answer rather than a fault.
    Answer(StoreError),
}

impl Fault {
    /// A column that holds what it should not.
    pub(super) fn row(column: &'static str, problem: impl ToString) -> Self {
        Self::Row { column, problem: problem.to_string() }
    }

    /// Says what was being done; running out of space and the end of the node are told apart.
    fn during(self, action: &'static str) -> StoreError {
        match self {
            Self::Answer(error) => error,
            Self::Row { column, problem } => StoreError::Row { action, column, problem },
            Self::Database(sqlx::Error::PoolClosed) => StoreError::Closed,
            Self::Database(source) => {
                // SQLITE_FULL (13): "database or disk is full".
                let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
                if code.is_some_and(|code| code == "13") {
                    return StoreError::Full(format!("{action}: {source}"));
                }
                StoreError::of_database(action, source)
            }
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Answer(error)
    }
}

/// Awaits work on the database and says what was being done if it fails.
pub(super) async fn during<T>(
    action: &'static str,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, StoreError> {
    work.await.map_err(|fault| fault.during(action))
}
