//! The one place that says which DIMSE status an object gets
//! ([PS3.4 B.2.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_B.2.3.html), PS3.7 annex C).

use std::fmt;

use crate::dicom::bounded::ReadError;
use crate::node::archive::{ArchiveError, Stored};

/// The status of a DIMSE response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// The operation was done.
    pub const SUCCESS: Self = Self(0x0000);
    /// Matches or sub-operations follow (PS3.4 C.4.1.1.4).
    pub const PENDING: Self = Self(0xFF00);
    /// As [`Self::PENDING`]; some optional keys were not matched.
    pub const PENDING_UNSUPPORTED_KEYS: Self = Self(0xFF01);
    /// Ended by C-CANCEL.
    pub const CANCELLED: Self = Self(0xFE00);
    /// Some sub-operations failed or ended with warnings (PS3.4 C.4.2.1.5).
    pub const SUB_OPERATIONS_FAILED: Self = Self(0xB000);
    /// No sub-operation could be performed.
    pub const NO_SUB_OPERATION: Self = Self(0xA702);
    /// No setting says where the move destination listens.
    pub const UNKNOWN_DESTINATION: Self = Self(0xA801);
    /// Processing failure (PS3.7 C.5.14).
    pub const PROCESSING_FAILURE: Self = Self(0x0110);
    /// An attribute is missing (PS3.7 C.5.12).
    pub const MISSING_ATTRIBUTE: Self = Self(0x0120);
    /// There is no object with this SOP Instance UID (PS3.7 C.5.15).
    pub const NO_SUCH_INSTANCE: Self = Self(0x0112);
    /// The object is of another SOP class (PS3.7 C.5.4).
    pub const CLASS_INSTANCE_CONFLICT: Self = Self(0x0119);
    /// There is no such action (PS3.7 C.5.11).
    pub const NO_SUCH_ACTION: Self = Self(0x0123);
    /// The transaction is known with other instances (PS3.3 C.14.1.1).
    pub const DUPLICATE_TRANSACTION: Self = Self(0x0131);
    /// There is an object with this SOP Instance UID already (PS3.7 C.5.7).
    pub const DUPLICATE_INSTANCE: Self = Self(0x0111);
    /// The SOP class is not the one that was negotiated, or is not a storage class.
    pub const SOP_CLASS_NOT_SUPPORTED: Self = Self(0x0122);
    /// The sender may not do this here.
    pub const NOT_AUTHORIZED: Self = Self(0x0124);
    /// This service does not exist here.
    pub const UNRECOGNIZED_OPERATION: Self = Self(0x0211);
    /// Out of resources: try again later.
    pub const OUT_OF_RESOURCES: Self = Self(0xA700);
    /// The data set does not match the SOP class, or the request that announced it.
    pub const DOES_NOT_MATCH: Self = Self(0xA900);
    /// Cannot understand: sending it again will not help.
    pub const CANNOT_UNDERSTAND: Self = Self(0xC000);
    /// Cannot understand: the SOP Instance UID is that of another object.
    pub const IDENTIFIER_TAKEN: Self = Self(0xC100);

    /// Success or a warning: the object is durable at the peer.
    pub fn is_stored(self) -> bool {
        matches!(self.0, 0x0000 | 0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF)
    }

    /// More answers to the same request follow.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::PENDING | Self::PENDING_UNSUPPORTED_KEYS)
    }

    /// True if the peer lacks resources at the moment, whatever the object: Refused, Out of Resources
    /// ([PS3.4 B.2.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_B.2.3.html)).
    pub fn is_out_of_resources(self) -> bool {
        matches!(self.0, 0xA700..=0xA7FF)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "0x{:04X}", self.0)
    }
}

/// What a request is answered with: a status and what to say with it, free of patient data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: Status,
    pub(super) comment: String,
}

impl Reply {
    pub(super) fn new(status: Status, comment: impl Into<String>) -> Self {
        Self { status, comment: comment.into() }
    }
}

impl From<Stored> for Reply {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::New | Stored::Already | Stored::Held | Stored::Corrected => Self::new(Status::SUCCESS, ""),
        }
    }
}

impl From<&ReadError> for Reply {
    fn from(error: &ReadError) -> Self {
        let status = match error {
            ReadError::Truncated(_) | ReadError::Hostile(_) | ReadError::Unreadable(_) => Status::CANNOT_UNDERSTAND,
            ReadError::Io(_) => Status::OUT_OF_RESOURCES,
        };
        Self::new(status, error.to_string())
    }
}

impl From<&ArchiveError> for Reply {
    fn from(error: &ArchiveError) -> Self {
        match error {
            ArchiveError::Full(_) => Self::new(Status::OUT_OF_RESOURCES, "the archive is full"),
            ArchiveError::Unfit(why) => Self::new(Status::DOES_NOT_MATCH, why.as_str()),
            ArchiveError::Forbidden(why) => Self::new(Status::NOT_AUTHORIZED, *why),
            ArchiveError::Conflict(conflict) => Self::new(Status::IDENTIFIER_TAKEN, conflict.to_string()),
            // Both pass or are repaired by an operator; the object itself is not at fault.
            ArchiveError::Disk { .. } | ArchiveError::Record(..) => {
                Self::new(Status::OUT_OF_RESOURCES, "the disk failed")
            }
            ArchiveError::Index(_) => Self::new(Status::OUT_OF_RESOURCES, "the index failed"),
            ArchiveError::Damaged(_) => Self::new(Status::OUT_OF_RESOURCES, "a stored object is damaged"),
            ArchiveError::Closed => Self::new(Status::OUT_OF_RESOURCES, "the node is stopping"),
        }
    }
}
