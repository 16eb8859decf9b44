//! Objects to send.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use dicom_dictionary_std::tags;

use crate::dicom::Uid;
use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::elements;
use crate::node::archive::StoredInstance;

/// Enough of a file for its file meta information, in all but odd cases.
const META_BYTES: u64 = 16 << 10;

/// Where an object's bytes are (DICOM Part 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// In memory: made for this peer alone.
    Memory(Bytes),
    /// In a file that is damaged: it is not sent.
    Damaged,
}

/// A DICOM object to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its bytes.
    pub source: Source,
    /// SOP Class UID.
    pub sop_class_uid: Uid,
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// Transfer syntax it is stored in.
    pub transfer_syntax_uid: String,
}

impl From<&StoredInstance> for Outgoing {
    fn from(object: &StoredInstance) -> Self {
        Self {
            source: Source::File(object.path.clone()),
            sop_class_uid: object.sop_class_uid.clone(),
            sop_instance_uid: object.sop_instance_uid.clone(),
            transfer_syntax_uid: object.transfer_syntax_uid.to_string(),
        }
    }
}

impl Outgoing {
    /// Reads what negotiation needs from a file: its file meta information, or the data set where that lacks it.
    pub fn identify(path: &Path, limits: &Limits) -> Result<Self, ReadError> {
        use std::io::Read;
        let source = Source::File(path.to_owned());
        let mut start = Vec::new();
        std::fs::File::open(path)?.take(META_BYTES).read_to_end(&mut start)?;
        if let Ok(parts) = bounded::split(&start)
            && let (Some(sop_class_uid), Some(sop_instance_uid)) = (parts.sop_class_uid, parts.sop_instance_uid)
        {
            let transfer_syntax_uid = parts.transfer_syntax_uid;
            return Ok(Self { source, sop_class_uid, sop_instance_uid, transfer_syntax_uid });
        }
        let bytes = bounded::read(path, limits)?;
        let parts = bounded::split(&bytes)?;
        let header = bounded::header(parts.data_set, &parts.transfer_syntax_uid, limits)?;
        let uid = |tag, name: &str| {
            elements::uid(&header, tag).ok_or_else(|| ReadError::Unreadable(format!("{name} is missing or not usable")))
        };
        Ok(Self {
            source,
            sop_class_uid: uid(tags::SOP_CLASS_UID, "SOP Class UID")?,
            sop_instance_uid: uid(tags::SOP_INSTANCE_UID, "SOP Instance UID")?,
            transfer_syntax_uid: parts.transfer_syntax_uid,
        })
    }

    /// All bytes, no more than the limit allows.
    pub(super) fn read(&self, limits: &Limits) -> Result<Bytes, ReadError> {
        match &self.source {
            Source::File(path) => Ok(bounded::read(path, limits)?.into()),
            Source::Memory(bytes) => Ok(bytes.clone()),
            Source::Damaged => Err(ReadError::Unreadable("the stored file is damaged or gone".to_owned())),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Memory(_) => formatter.write_str("(in memory)"),
            Self::Damaged => formatter.write_str("(damaged)"),
        }
    }
}
