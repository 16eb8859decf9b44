//! Data sets that have passed the pre-scan, and only those, become objects.

use std::borrow::Cow;
use std::io::Read;

use dicom_dictionary_std::uids;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};

use super::super::elements::DataSet;
use super::super::limits::{Limits, ReadError};
use super::super::prescan::{self, Encoding, Extent, Layout};
use crate::causes::with_causes;

/// Retired, still found in old archives.
pub(crate) const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// Refuses what is larger than an object may be.
pub(super) fn check_size(bytes: u64, limits: &Limits) -> Result<(), ReadError> {
    if bytes > limits.object_bytes() {
        return Err(ReadError::Hostile(format!("it is larger than {} MiB", limits.object_mib)));
    }
    Ok(())
}

/// What of a data set becomes an object.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Whole,
    Header,
}

/// A data set that has passed the pre-scan.
pub(super) struct Scanned<'a> {
    bytes: Cow<'a, [u8]>,
    pub(super) encoding: Encoding,
    pub(super) layout: Layout,
    /// The one that dicom-object is given: never one that makes it inflate.
    transfer_syntax: &'static TransferSyntax,
}

impl<'a> Scanned<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        transfer_syntax_uid: &str,
        limits: &Limits,
        extent: Extent,
    ) -> Result<Self, ReadError> {
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
    pub(super) fn inflated(&self) -> Option<&[u8]> {
        match &self.bytes {
            Cow::Owned(inflated) => Some(inflated),
            Cow::Borrowed(_) => None,
        }
    }

    pub(super) fn parse(&self, part: Part) -> Result<DataSet, ReadError> {
        let end = match part {
            Part::Whole => self.layout.end,
            Part::Header => self.layout.pixel_data.unwrap_or(self.layout.end),
        };
        // In one pass: a hostile object may have very many ranges to skip.
        let mut parsable = Cow::Borrowed(&self.bytes[..end]);
        let left_out = self.layout.left_out();
        if !left_out.is_empty() {
            let mut kept = Vec::with_capacity(end);
            let mut next = 0;
            for skipped in left_out.iter().filter(|range| range.start < end) {
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
