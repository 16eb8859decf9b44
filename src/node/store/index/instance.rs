//! Objects as the archive receives them, and instances as the index lists them.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;

use super::blob_name::BlobName;
use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::content::{self, ContentDigest, PixelDigest};
use crate::dicom::elements::DataSet;
use crate::dicom::{SeriesId, Uid};

/// An object that came through an interface, already pre-scanned.
#[derive(Debug, Clone)]
pub struct ReceivedInstance {
    /// Transfer syntax of `data_set`.
    pub transfer_syntax_uid: Uid,
    /// The data set's bytes exactly as received, without file meta information.
    pub data_set: Bytes,
    /// The same data set, parsed, without Pixel Data.
    pub header: DataSet,
    /// The digest of its Pixel Data.
    pub pixels: PixelDigest,
    /// Where it came from.
    pub origin: Origin,
    /// What its sender may do beyond storing.
    pub rights: Rights,
}

impl ReceivedInstance {
    /// An object of the node's own, or one that it has: a data set with its transfer syntax, without rights. It passes the
    /// same scan as one that is sent.
    pub fn read(
        transfer_syntax_uid: &str,
        data_set: Bytes,
        origin: Origin,
        limits: &Limits,
    ) -> Result<Self, ReadError> {
        let (header, pixels) = content::read(&data_set, transfer_syntax_uid, limits)?;
        let transfer_syntax_uid =
            Uid::parse(transfer_syntax_uid).map_err(|error| ReadError::Unreadable(error.to_string()))?;
        Ok(Self { transfer_syntax_uid, data_set, header, pixels, origin, rights: Rights::default() })
    }

    /// As [`Self::read`], from the bytes of a DICOM file.
    pub fn of_file(bytes: &Bytes, origin: Origin, limits: &Limits) -> Result<Self, ReadError> {
        let parts = bounded::split(bytes)?;
        Self::read(&parts.transfer_syntax_uid, bytes.slice_ref(parts.data_set), origin, limits)
    }
}

/// What a sender may do beyond storing objects: nothing, unless a setting says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// Correct what stored objects say of patient and study.
    pub may_correct: bool,
    /// Reject stored objects by rejection notes.
    pub may_reject: bool,
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
    /// A file of the archive that the index did not know.
    Recovery,
    /// A correction that took effect.
    Correction {
        /// Who made it.
        by: String,
    },
}

/// The origin of results, as the index writes it.
const ANALYSIS: &str = "analysis";

/// True of the origin of results of this node, as the index writes it.
pub(super) fn is_of_analysis(origin: &str) -> bool {
    origin == ANALYSIS
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dimse { calling_ae, address } => write!(formatter, "C-STORE from {calling_ae} at {address}"),
            Self::Stow { address } => write!(formatter, "STOW-RS from {address}"),
            Self::Analysis => formatter.write_str(ANALYSIS),
            Self::Recovery => formatter.write_str("a file that the index did not know"),
            Self::Correction { by } => write!(formatter, "correction by {by}"),
        }
    }
}

/// What became of an object that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    New,
    /// The same content was stored before; nothing changed.
    Already,
    /// It corrects the patient or the study of a stored object. The correction waits for the other objects of the study,
    /// or for a person; until then the stored object stands.
    Held,
    /// It took the place of a stored object: its study is corrected.
    Corrected,
}

/// What became of an object that was to be filed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filed {
    /// It is listed.
    New,
    /// An object with its identifier is listed; nothing changed.
    Known(Box<KnownObject>),
}

/// The object that is listed under an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownObject {
    /// Its series.
    pub series: SeriesId,
    /// The name of the file with its bytes.
    pub blob: BlobName,
    /// Transfer syntax it is stored in.
    pub transfer_syntax_uid: Uid,
    /// Its content; `None` if an earlier version of the program filed it.
    pub content: Option<ContentDigest>,
    /// A rejection hides it.
    pub is_rejected: bool,
    /// It is a result of this node.
    pub is_result: bool,
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

impl Scope {
    /// The study that it lies in.
    pub fn study(&self) -> &Uid {
        let (Self::Study(study) | Self::Series(study, _) | Self::Instance(study, ..)) = self;
        study
    }
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
    /// It is a result of this node.
    pub is_result: bool,
}
