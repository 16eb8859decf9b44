//! Why an analysis has no result.

use std::path::PathBuf;

use super::process::ProcessError;
use crate::dicom::Uid;
use crate::dicom::bounded::ReadError;
use crate::node::archive::ArchiveError;
use crate::node::store::StoreError;

/// Why an attempt failed, or the worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The analysis process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The process answered that the analysis failed.
    #[error("{0}")]
    Analysis(String),
    /// Images or results in the archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An instance of the job is no longer there.
    #[error("instance {0} is not in the archive any more")]
    Missing(Uid),
    /// A result file is not what it should be.
    #[error("the result file {file} of the analysis: {fault}")]
    Result {
        /// Its name.
        file: String,
        /// What is wrong.
        fault: ResultFault,
    },
    /// The process wrote fewer files than it named, or more.
    #[error("the analysis wrote {files} files for {results} results")]
    ResultCount {
        /// Files.
        files: usize,
        /// Results.
        results: usize,
    },
    /// The folder for result files.
    #[error("{action} {path}: {source}", path = path.display())]
    Folder {
        /// What was being done.
        action: &'static str,
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The queue.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with a result file.
#[derive(Debug, thiserror::Error)]
pub enum ResultFault {
    /// Its name is a path.
    #[error("its name leaves the folder")]
    OutsideTheFolder,
    /// It is another object than the summary names.
    #[error("it is not the object {0}")]
    OtherObject(Uid),
    /// It cannot be read within the limits.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// Reading it was cut short.
    #[error(transparent)]
    Interrupted(tokio::task::JoinError),
}

impl WorkerError {
    /// True if the fault is the node's own: a full disk, a folder, a process that does not start, a damaged file.
    /// It lasts until somebody repairs it, so no job is given up for it.
    pub(super) fn is_infrastructure_error(&self) -> bool {
        matches!(
            self,
            Self::Archive(
                ArchiveError::Full(_) | ArchiveError::Disk { .. } | ArchiveError::Index(_) | ArchiveError::Damaged(_)
            ) | Self::Store(
                StoreError::Full(_) | StoreError::Database { .. } | StoreError::Damaged { .. } | StoreError::Raced(_)
            ) | Self::Folder { .. }
                | Self::Process(ProcessError::Start { .. } | ProcessError::Unable(_))
        )
    }
}
