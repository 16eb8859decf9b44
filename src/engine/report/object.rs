//! Result objects.

use dicom_object::{FileDicomObject, InMemDicomObject};

use super::kind::{ResultKind, ResultReference};
use crate::dicom::Uid;

/// A result object, ready to be written.
#[derive(Debug, Clone)]
pub struct ResultObject {
    /// What it is.
    pub kind: ResultKind,
    /// Its series, which is not that of the source.
    pub series_instance_uid: Uid,
    /// The instance.
    pub sop_instance_uid: Uid,
    /// Data set and file meta information (Explicit VR Little Endian).
    pub object: FileDicomObject<InMemDicomObject>,
}

impl ResultObject {
    /// The identity of the object alone.
    pub fn reference(&self) -> ResultReference {
        ResultReference {
            kind: self.kind,
            series_instance_uid: self.series_instance_uid.clone(),
            sop_instance_uid: self.sop_instance_uid.clone(),
        }
    }
}
