//! Why the archive did not do what was asked.

use std::io;
use std::path::{Path, PathBuf};

use crate::dicom::Uid;
use crate::dicom::bounded::ReadError;
use crate::node::queue::RefusalCause;
use crate::node::store::{MissingIdentifier, StoreError};

/// Why an object is not stored whose SOP Instance UID another object has. The sender is told so in these words, which
/// fit an Error Comment (0000,0902) and say nothing of the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// It differs in what it says of patient and study, or in descriptions. It is held until a person decides.
    #[error("held: patient or study differ from the stored object")]
    Held,
    /// Its pixels, or their place in the patient, differ.
    #[error("another image is stored under this SOP Instance UID")]
    Image,
    /// The identifier is one of another study, series or class.
    #[error("SOP Instance UID belongs to another study, series or class")]
    Address,
    /// The identifier is that of a result of this node.
    #[error("SOP Instance UID belongs to a result of this node")]
    Result,
    /// The stored object is damaged, and this one does not have its content.
    #[error("the stored object is damaged, and this is not the same")]
    Damaged,
}

/// Why the archive did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Less free space than `storage.minimum_free_mib`, or the disk is full.
    #[error("the archive is full: {0}; free some space or lower storage.minimum_free_mib")]
    Full(String),
    /// A required attribute is missing or contradicts the object.
    #[error("the object cannot be filed: {0}")]
    Unfit(String),
    /// Its sender may not do what it asks for.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Another object has its SOP Instance UID.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Files of the archive are not what was received. The objects are named.
    #[error("{}: the stored file is damaged or gone; send the object again", named(.0))]
    Damaged(Vec<Uid>),
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
    /// A record of a change is no JSON of this program.
    #[error("the record {path} cannot be used: {1}", path = .0.display())]
    Record(PathBuf, serde_json::Error),
    /// The index.
    #[error(transparent)]
    Index(StoreError),
    /// The node is stopping, or one of its tasks ended before its time.
    #[error("the archive no longer accepts work: the node is stopping")]
    Closed,
}

/// Why what a person decided was not done. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// It is not clear what the decision is about.
    #[error("{0}")]
    Unclear(&'static str),
    /// The archive did not do it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Objects that a message names; more are counted.
const NAMED: usize = 3;

fn named(objects: &[Uid]) -> String {
    let named = objects.iter().take(NAMED).map(Uid::as_str).collect::<Vec<_>>().join(", ");
    if objects.len() > NAMED { format!("{named} and {} more", objects.len() - NAMED) } else { named }
}

impl ArchiveError {
    /// An error of the disk; running out of space is told apart.
    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(format!("{action}: {source}")),
            _ => Self::Disk { action, path: path.to_owned(), source },
        }
    }
}

impl From<&ArchiveError> for RefusalCause {
    fn from(error: &ArchiveError) -> Self {
        match error {
            ArchiveError::Full(_) => Self::Full,
            ArchiveError::Unfit(_) | ArchiveError::Forbidden(_) => Self::Contradiction,
            ArchiveError::Conflict(_) => Self::Conflict,
            ArchiveError::Damaged(_)
            | ArchiveError::Disk { .. }
            | ArchiveError::Record(..)
            | ArchiveError::Index(_)
            | ArchiveError::Closed => Self::Fault,
        }
    }
}

impl From<StoreError> for ArchiveError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(why) => Self::Full(why),
            StoreError::Closed => Self::Closed,
            error => Self::Index(error),
        }
    }
}

impl From<ReadError> for ArchiveError {
    fn from(error: ReadError) -> Self {
        Self::Unfit(error.to_string())
    }
}

impl From<MissingIdentifier> for ArchiveError {
    fn from(error: MissingIdentifier) -> Self {
        Self::Unfit(error.to_string())
    }
}
