//! Reading untrusted bytes: a non-recursive pre-scan first, then dicom-object.
//!
//! dicom-object 0.10 recurses into nested sequences and allocates whatever length an element claims, so nothing
//! reaches it that the pre-scan has not passed.

mod header_file;

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};

use super::elements::{self, DataSet};
pub use super::limits::{Limits, ReadError};
use super::prescan::{self, Encoding, Extent, Layout};
use crate::causes::with_causes;
pub(super) use header_file::{HeaderFile, OpenBytes, StoredBytes};

/// Retired, still found in old archives.
pub(crate) const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// Reads a data set without file meta information, as it comes in a C-STORE.
pub fn data_set(bytes: &[u8], transfer_syntax_uid: &str, limits: &Limits) -> Result<DataSet, ReadError> {
    Scanned::new(bytes, transfer_syntax_uid, limits, Extent::Whole)?.parse(Part::Whole)
}

/// As [`data_set`], but what is returned ends before Pixel Data (7FE0,0010) and its float kinds; the pre-scan still
/// covers all bytes.
pub fn header(bytes: &[u8], transfer_syntax_uid: &str, limits: &Limits) -> Result<DataSet, ReadError> {
    Ok(header_and_pixel_data(bytes, transfer_syntax_uid, limits)?.0)
}

/// As [`header`], with the tag that the header ends before: Pixel Data or one of its float kinds, if there is one.
pub fn header_and_pixel_data(
    bytes: &[u8],
    transfer_syntax_uid: &str,
    limits: &Limits,
) -> Result<(DataSet, Option<Tag>), ReadError> {
    let scanned = Scanned::new(bytes, transfer_syntax_uid, limits, Extent::Whole)?;
    Ok((scanned.parse(Part::Header)?, scanned.layout.pixel_data_tag))
}

/// Reads a DICOM file (PS3.10), with or without the preamble. A data set that stands alone is read too, its transfer
/// syntax guessed from the first element.
pub fn file(bytes: &[u8], limits: &Limits) -> Result<FileDicomObject<InMemDicomObject>, ReadError> {
    let parts = split(bytes)?;
    let scanned = Scanned::new(parts.data_set, &parts.transfer_syntax_uid, limits, Extent::Whole)?;
    parts.object(scanned.parse(Part::Whole)?)
}

/// As [`file()`], from a path. A file beyond the limit is refused before it is read.
pub fn open(path: &Path, limits: &Limits) -> Result<FileDicomObject<InMemDicomObject>, ReadError> {
    file(&read(path, limits)?, limits)
}

/// As [`open`], but what is read, scanned and returned ends before Pixel Data: an image whose pixels are cut off is read
/// too, and of a large object no more than its header.
pub fn open_header(path: &Path, limits: &Limits) -> Result<FileDicomObject<InMemDicomObject>, ReadError> {
    Ok(HeaderFile::open(path, limits)?.object)
}

/// The SOP class that a file names in its file meta information; `None` where it names none or is no DICOM file.
pub fn sop_class_uid(path: &Path) -> Option<super::Uid> {
    /// File meta information is shorter, private parts aside.
    const BEGINNING: u64 = 4096;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(BEGINNING).read_to_end(&mut bytes).ok()?;
    super::Uid::parse(&split(&bytes).ok()?.sop_class_uid?).ok()
}

/// A file's bytes, no more than the limit allows.
pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    // Pipes and files that grow have no size to ask for, so the reading itself is bounded.
    std::fs::File::open(path)?.take(limits.object_bytes().saturating_add(1)).read_to_end(&mut bytes)?;
    check_size(bytes.len() as u64, limits)?;
    Ok(bytes)
}

/// The parts of a DICOM file: what its file meta information says, and the data set's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileParts<'a> {
    /// Transfer syntax of `data_set`.
    pub transfer_syntax_uid: String,
    /// Media Storage SOP Class UID, where it is given.
    pub sop_class_uid: Option<String>,
    /// Media Storage SOP Instance UID, where it is given.
    pub sop_instance_uid: Option<String>,
    /// Implementation Class UID, where it is given.
    pub implementation_class_uid: Option<String>,
    /// The data set as it is encoded, not yet scanned.
    pub data_set: &'a [u8],
}

impl FileParts<'_> {
    /// Gives a data set the file meta information; what that lacks comes from the data set.
    fn object(self, data_set: DataSet) -> Result<FileDicomObject<InMemDicomObject>, ReadError> {
        let uid =
            |recorded: Option<String>, tag| recorded.or_else(|| elements::text(&data_set, tag)).unwrap_or_default();
        let mut meta = FileMetaTableBuilder::new()
            .transfer_syntax(self.transfer_syntax_uid)
            .media_storage_sop_class_uid(uid(self.sop_class_uid, tags::SOP_CLASS_UID))
            .media_storage_sop_instance_uid(uid(self.sop_instance_uid, tags::SOP_INSTANCE_UID));
        if let Some(implementation) = self.implementation_class_uid {
            meta = meta.implementation_class_uid(implementation);
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
            tags::TRANSFER_SYNTAX_UID => parts.transfer_syntax_uid = meta_uid(value)?,
            tags::MEDIA_STORAGE_SOP_CLASS_UID => parts.sop_class_uid = Some(meta_uid(value)?),
            tags::MEDIA_STORAGE_SOP_INSTANCE_UID => parts.sop_instance_uid = Some(meta_uid(value)?),
            tags::IMPLEMENTATION_CLASS_UID => parts.implementation_class_uid = Some(meta_uid(value)?),
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

fn meta_uid(value: &[u8]) -> Result<String, ReadError> {
    let text = std::str::from_utf8(value).unwrap_or_default().trim_matches(['\0', ' ']);
    if text.is_empty() {
        return Ok(String::new());
    }
    super::Uid::parse(text).map(String::from).map_err(|error| ReadError::Unreadable(format!("file meta: {error}")))
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

fn check_size(bytes: u64, limits: &Limits) -> Result<(), ReadError> {
    if bytes > limits.object_bytes() {
        return Err(ReadError::Hostile(format!("it is larger than {} MiB", limits.object_mib)));
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Part {
    Whole,
    Header,
}

/// A data set that has passed the pre-scan.
struct Scanned<'a> {
    bytes: Cow<'a, [u8]>,
    encoding: Encoding,
    layout: Layout,
    /// The one that dicom-object is given: never one that makes it inflate.
    transfer_syntax: &'static TransferSyntax,
}

impl<'a> Scanned<'a> {
    fn new(bytes: &'a [u8], transfer_syntax_uid: &str, limits: &Limits, extent: Extent) -> Result<Self, ReadError> {
        check_size(bytes.len() as u64, limits)?;
        let transfer_syntax_uid = transfer_syntax_uid.trim_matches(['\0', ' ']);
        let deflated = transfer_syntax_uid == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;
        let (encoding, parsed_as) = match transfer_syntax_uid {
            uids::IMPLICIT_VR_LITTLE_ENDIAN => (Encoding::ImplicitLittle, transfer_syntax_uid),
            EXPLICIT_VR_BIG_ENDIAN => (Encoding::ExplicitBig, transfer_syntax_uid),
            _ if deflated => (Encoding::ExplicitLittle, uids::EXPLICIT_VR_LITTLE_ENDIAN),
            _ => (Encoding::ExplicitLittle, transfer_syntax_uid),
        };
        let transfer_syntax = TransferSyntaxRegistry
            .get(parsed_as)
            .filter(|syntax| syntax.is_codec_free() || syntax.is_encapsulated_pixel_data())
            .ok_or_else(|| ReadError::Unreadable(format!("transfer syntax {transfer_syntax_uid} is not known")))?;
        let bytes = if deflated { Cow::Owned(inflate(bytes, limits)?) } else { Cow::Borrowed(bytes) };
        let layout = prescan::scan(&bytes, encoding, limits, extent)?;
        Ok(Self { bytes, encoding, layout, transfer_syntax })
    }

    /// What a deflated data set was inflated to.
    fn inflated(&self) -> Option<&[u8]> {
        match &self.bytes {
            Cow::Owned(inflated) => Some(inflated),
            Cow::Borrowed(_) => None,
        }
    }

    fn parse(&self, part: Part) -> Result<DataSet, ReadError> {
        let end = match part {
            Part::Whole => self.layout.end,
            Part::Header => self.layout.pixel_data.unwrap_or(self.layout.end),
        };
        // In one pass: a hostile object may have very many ranges to skip.
        let mut parsable = Cow::Borrowed(&self.bytes[..end]);
        if !self.layout.unparsable.is_empty() {
            let mut kept = Vec::with_capacity(end);
            let mut next = 0;
            for skipped in self.layout.unparsable.iter().filter(|range| range.start < end) {
                kept.extend_from_slice(&self.bytes[next..skipped.start.max(next)]);
                next = skipped.end.min(end).max(next);
            }
            kept.extend_from_slice(&self.bytes[next..end]);
            parsable = Cow::Owned(kept);
        }
        InMemDicomObject::read_dataset_with_ts(parsable.as_ref(), self.transfer_syntax)
            // Causes name tags and positions only, never values.
            .map_err(|error| ReadError::Unreadable(with_causes(&error)))
    }
}

/// Inflates a deflated data set (PS3.5 A.5), no further than the limit.
fn inflate(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, ReadError> {
    let mut inflated = Vec::new();
    let result = flate2::read::DeflateDecoder::new(bytes)
        .take(limits.object_bytes().saturating_add(1))
        .read_to_end(&mut inflated);
    check_size(inflated.len() as u64, limits)?;
    match result {
        Ok(_) => Ok(inflated),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(ReadError::Truncated("the deflated data set ends early".to_owned()))
        }
        Err(error) => Err(ReadError::Unreadable(format!("inflating the data set: {error}"))),
    }
}

#[cfg(test)]
mod tests;
