//! Objects as the archive receives them, and instances as the index lists them.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;

use super::blob_name::BlobName;
use crate::dicom::Uid;
use crate::dicom::elements::DataSet;

/// An object that came through an interface, already pre-scanned.
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

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dimse { calling_ae, address } => write!(formatter, "C-STORE from {calling_ae} at {address}"),
            Self::Stow { address } => write!(formatter, "STOW-RS from {address}"),
            Self::Analysis => formatter.write_str("analysis"),
        }
    }
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
    /// All of a series: study, series.
    Series(Uid, Uid),
    /// One: study, series, SOP instance.
    Instance(Uid, Uid, Uid),
}

/// A stored instance, as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedInstance {
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
    /// When it came.
    pub received_at: Timestamp,
    /// The name of the file with its bytes.
    pub blob: BlobName,
}
