//! The parts of a DICOM file ([PS3.10 chapter
//! 7](https://dicom.nema.org/medical/dicom/current/output/chtml/part10/chapter_7.html)).

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject};

use super::super::elements::{self, DataSet};
use super::super::limits::ReadError;
use super::super::uid::{Uid, UidError};

/// The parts of a DICOM file: what its file meta information says, and the data set's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileParts<'a> {
    /// Transfer syntax of `data_set`.
    pub transfer_syntax_uid: String,
    /// Media Storage SOP Class UID, where it is given and usable: the data set has it, too.
    pub sop_class_uid: Option<Uid>,
    /// Media Storage SOP Instance UID, likewise.
    pub sop_instance_uid: Option<Uid>,
    /// Implementation Class UID, where it is given and usable.
    pub implementation_class_uid: Option<Uid>,
    /// The data set as it is encoded, not yet scanned.
    pub data_set: &'a [u8],
}

impl FileParts<'_> {
    /// Gives a data set the file meta information; what that lacks comes from the data set.
    pub(super) fn object(self, data_set: DataSet) -> Result<FileDicomObject<InMemDicomObject>, ReadError> {
        let uid = |recorded: Option<Uid>, tag| {
            recorded.map(String::from).or_else(|| elements::text(&data_set, tag)).unwrap_or_default()
        };
        let mut meta = FileMetaTableBuilder::new()
            .transfer_syntax(self.transfer_syntax_uid)
            .media_storage_sop_class_uid(uid(self.sop_class_uid, tags::SOP_CLASS_UID))
            .media_storage_sop_instance_uid(uid(self.sop_instance_uid, tags::SOP_INSTANCE_UID));
        if let Some(implementation) = self.implementation_class_uid {
            meta = meta.implementation_class_uid(implementation.as_str());
        }
        let meta = meta.build().map_err(|error| ReadError::Unreadable(error.to_string()))?;
        Ok(data_set.with_exact_meta(meta))
    }
}

/// Splits a DICOM file (PS3.10 chapter 7) into its parts without reading the data set. The group length is not
/// trusted: the file meta information ends where its group does.
pub fn split(bytes: &[u8]) -> Result<FileParts<'_>, ReadError> {
    let has_preamble = bytes.get(128..132) == Some(b"DICM");
    let mut rest = if has_preamble { &bytes[132..] } else { bytes.strip_prefix(b"DICM").unwrap_or(bytes) };
    let mut parts = FileParts {
        transfer_syntax_uid: String::new(),
        sop_class_uid: None,
        sop_instance_uid: None,
        implementation_class_uid: None,
        data_set: &[],
    };
    while rest.starts_with(&[2, 0]) {
        let (tag, value, after) = meta_element(rest)?;
        match tag {
            tags::TRANSFER_SYNTAX_UID => parts.transfer_syntax_uid = transfer_syntax(value)?,
            tags::MEDIA_STORAGE_SOP_CLASS_UID => parts.sop_class_uid = meta_uid(value).ok(),
            tags::MEDIA_STORAGE_SOP_INSTANCE_UID => parts.sop_instance_uid = meta_uid(value).ok(),
            tags::IMPLEMENTATION_CLASS_UID => parts.implementation_class_uid = meta_uid(value).ok(),
            _ => {}
        }
        rest = after;
    }
    parts.data_set = rest;
    if parts.transfer_syntax_uid.is_empty() {
        guess_transfer_syntax(rest)?.clone_into(&mut parts.transfer_syntax_uid);
    }
    Ok(parts)
}

/// One element of the file meta information, always explicit VR little endian: tag, value, what follows.
fn meta_element(bytes: &[u8]) -> Result<(Tag, &[u8], &[u8]), ReadError> {
    let truncated = || ReadError::Truncated("the file meta information ends early".to_owned());
    let [a, b, c, d, vr @ .., e, f] = *bytes.first_chunk::<8>().ok_or_else(truncated)?;
    let tag = Tag(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    let (start, length) = if matches!(&vr, b"OB" | b"UN" | b"OW" | b"UT" | b"SQ") {
        let [.., a, b, c, d] = *bytes.first_chunk::<12>().ok_or_else(truncated)?;
        (12, u32::from_le_bytes([a, b, c, d]) as usize)
    } else {
        (8, usize::from(u16::from_le_bytes([e, f])))
    };
    let value = bytes.get(start..).and_then(|bytes| bytes.get(..length)).ok_or_else(truncated)?;
    Ok((tag, value, &bytes[start + length..]))
}

/// The transfer syntax; empty where it is not given.
fn transfer_syntax(value: &[u8]) -> Result<String, ReadError> {
    match meta_uid(value) {
        Ok(uid) => Ok(uid.into()),
        Err(UidError::Empty) => Ok(String::new()),
        Err(error) => {
            let tag = tags::TRANSFER_SYNTAX_UID;
            Err(ReadError::Unreadable(format!("Transfer Syntax UID {tag} is not usable: {error}")))
        }
    }
}

fn meta_uid(value: &[u8]) -> Result<Uid, UidError> {
    Uid::parse(std::str::from_utf8(value).map_err(|_| UidError::Malformed)?)
}

/// Data sets without file meta information begin with group 0008 in little endian.
fn guess_transfer_syntax(bytes: &[u8]) -> Result<&'static str, ReadError> {
    match bytes {
        [] => Err(ReadError::Truncated("there is no data set".to_owned())),
        [8, 0, _, _, first, second, ..] if first.is_ascii_uppercase() && second.is_ascii_uppercase() => {
            Ok(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        }
        [8, 0, ..] => Ok(uids::IMPLICIT_VR_LITTLE_ENDIAN),
        _ => Err(ReadError::Unreadable("it is not DICOM: no prefix, no file meta information".to_owned())),
    }
}
