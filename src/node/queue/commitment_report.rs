//! What a destination commits to keep
//! ([PS3.4 annex J](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/chapter_J.html)).

use crate::dicom::Uid;

/// An object that a destination is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferencedObject {
    /// SOP Class UID.
    pub sop_class_uid: Uid,
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
}

/// What a destination says of the objects of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitmentReport {
    /// Transaction UID of the request.
    pub transaction_uid: Uid,
    /// What it commits to keep, by SOP Instance UID.
    pub committed: Vec<Uid>,
    /// What it does not, with the Failure Reason (0008,1197).
    pub failed: Vec<(Uid, u16)>,
}
