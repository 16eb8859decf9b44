//! An instance as the archive shows it.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::dicom::Uid;
use crate::node::store::BlobName;

/// A stored instance, as the index knows it, with its file.
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
    /// The name of its file.
    pub blob: BlobName,
    /// It is a result of this node.
    pub is_result: bool,
    /// When it came.
    pub received_at: Timestamp,
    /// The file on disk (DICOM Part 10).
    pub path: PathBuf,
}
