//! The durable archive: blobs on disk and an index in SQL. What it has acknowledged is never lost.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::StorageConfig;
use crate::dicom::Uid;
use crate::dicom::elements::DataSet;

/// An object that came through a door, already pre-scanned.
#[derive(Debug, Clone)]
pub struct ReceivedInstance {
    /// Transfer syntax of `data_set`.
    pub transfer_syntax_uid: Uid,
    /// The data set's bytes exactly as received, without file meta information.
    pub data_set: Bytes,
    /// The same data set, parsed, without Pixel Data.
    pub header: DataSet,
    /// Where it came from.
    pub origin: Origin,
}

/// Where an object came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// C-STORE from a calling AE.
    Dimse {
        /// Calling AE title.
        calling_ae: String,
        /// Address of the peer.
        address: String,
    },
    /// STOW-RS.
    Stow {
        /// Address of the peer.
        address: String,
    },
    /// This node's own analysis.
    Analysis,
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is new and durable.
    New,
    /// The same bytes were stored before; nothing changed.
    Already,
    /// Other bytes are stored under the same SOP Instance UID. This object is kept apart and reported; the first stays.
    Conflict,
}

/// Which stored instances are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of a study.
    Study(Uid),
    /// All of a series.
    Series(Uid, Uid),
    /// One: study, series, SOP instance.
    Instance(Uid, Uid, Uid),
}

/// A stored instance, as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredInstance {
    /// Study Instance UID.
    pub study_instance_uid: Uid,
    /// Series Instance UID.
    pub series_instance_uid: Uid,
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// SOP Class UID.
    pub sop_class_uid: Uid,
    /// Transfer syntax it is stored in.
    pub transfer_syntax_uid: Uid,
    /// SHA-256 of the data set's bytes, lower-case hexadecimal.
    pub sha256: String,
    /// The file on disk (DICOM Part 10).
    pub path: PathBuf,
}

/// The level of a query (PS3.18 10.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Search for studies.
    Study,
    /// Search for series.
    Series,
    /// Search for instances.
    Instance,
}

/// A QIDO-RS query, parsed: matching keys as (attribute, pattern) with the standard's matching rules
/// (wildcards `*` and `?`, date ranges, UID lists separated by commas or backslashes).
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Matching keys.
    pub matching: Vec<(dicom_object::Tag, String)>,
    /// Attributes asked for beyond the standard's list.
    pub include: Vec<dicom_object::Tag>,
    /// Return no more than so many.
    pub limit: Option<u32>,
    /// Leave out so many first.
    pub offset: u32,
}

/// Why the archive did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Less free space than `storage.minimum_free_mib`, or the disk is full.
    #[error("the archive is full: {0}; free some space or raise the limit")]
    Full(String),
    /// A required attribute is missing or contradicts the object.
    #[error("the object cannot be filed: {0}")]
    Unfit(String),
    /// The disk.
    #[error("{action} {path}: {source}", path = path.display())]
    Disk {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The index.
    #[error("{action}: {source}")]
    Index {
        /// What was being done.
        action: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
}

/// The archive; cheap to clone.
#[derive(Clone)]
pub struct Archive {
    inner: Arc<()>,
}

impl Archive {
    /// Opens the archive, creating folders and tables, and repairs what a crash left behind.
    pub async fn open(config: &StorageConfig) -> Result<Self, ArchiveError> {
        let _ = config;
        todo!()
    }

    /// Stores an object durably; returns only when it can no longer be lost.
    pub async fn store(&self, instance: ReceivedInstance) -> Result<Stored, ArchiveError> {
        let _ = (instance, &self.inner);
        todo!()
    }

    /// Answers a query with one data set a match, ordered, holding the standard's return attributes for the level
    /// (PS3.18 10.6.3) and what was asked for beyond.
    pub async fn find(&self, level: Level, query: &Query) -> Result<Vec<DataSet>, ArchiveError> {
        let _ = (level, query);
        todo!()
    }

    /// The instances of a scope, in order of series and instance number; empty if there is nothing.
    pub async fn instances(&self, scope: &Scope) -> Result<Vec<StoredInstance>, ArchiveError> {
        let _ = scope;
        todo!()
    }
}
