//! Why the queue did not do what was asked.

use super::state::JobState;
use crate::node::archive::ArchiveError;

/// Why the queue did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The database that the queue shares with the archive's index.
    #[error(transparent)]
    Database(#[from] ArchiveError),
    /// A job is not where the caller believed it to be: its lease is void.
    #[error("job {job} cannot become {wanted}: it is {found}")]
    WrongState {
        /// The job.
        job: String,
        /// What it was to become.
        wanted: JobState,
        /// What it is.
        found: JobState,
    },
    /// There is no such job or delivery.
    #[error("{0} does not exist")]
    Unknown(String),
    /// A result cannot take the place of another object under its identifier.
    #[error("the archive holds another object under the SOP Instance UID {sop_instance_uid} of a result of job {job}")]
    Conflict {
        /// The job.
        job: String,
        /// The result.
        sop_instance_uid: String,
    },
    /// A summary cannot be written down or read back.
    #[error("the summary of job {job}: {source}")]
    Summary {
        /// The job.
        job: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Names what was being done when the database failed.
pub(super) fn database(action: &'static str) -> impl FnOnce(sqlx::Error) -> QueueError {
    move |source| QueueError::Database(ArchiveError::index(action)(source))
}
