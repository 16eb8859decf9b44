//! Data sets that have passed the pre-scan, and only those, become objects.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Read;

use dicom_dictionary_std::uids;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};

use super::super::elements::DataSet;
use super::super::limits::{Limits, ReadError};
use super::super::prescan::{self, Encoding, Extent, Layout};
use super::super::text;
use super::super::transfer_syntax::EXPLICIT_VR_BIG_ENDIAN;
use super::mixed_encoding;
use crate::causes::with_causes;

/// Refuses what is larger than an object may be.
pub(super) fn check_size(bytes: u64, limits: &Limits) -> Result<(), ReadError> {
    if bytes > limits.object_bytes() {
        return Err(ReadError::Hostile(format!("it is larger than {} MiB", limits.object_mib)));
    }
    Ok(())
}

/// What of a data set becomes an object.
#[derive(Clone, Copy)]
pub(in crate::dicom) enum Part {
    Whole,
    Header,
}

/// A data set that has passed the pre-scan.
pub(in crate::dicom) struct Scanned<'a> {
    bytes: Cow<'a, [u8]>,
    pub(in crate::dicom) encoding: Encoding,
    pub(in crate::dicom) layout: Layout,
    /// The one that dicom-object is given: never one that makes it inflate.
    transfer_syntax: &'static TransferSyntax,
}

impl<'a> Scanned<'a> {
    pub(in crate::dicom) fn new(
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

    /// The data set's bytes, inflated where they were deflated, without what follows it.
    pub(in crate::dicom) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.layout.end]
    }

    /// What a deflated data set was inflated to.
    pub(super) fn inflated(&self) -> Option<&[u8]> {
        match &self.bytes {
            Cow::Owned(inflated) => Some(inflated),
            Cow::Borrowed(_) => None,
        }
    }

    pub(in crate::dicom) fn parse(&self, part: Part) -> Result<DataSet, ReadError> {
        let end = match part {
            Part::Whole => self.layout.end,
            Part::Header => self.layout.pixel_data.unwrap_or(self.layout.end),
        };
        let mut data_set = InMemDicomObject::read_dataset_with_ts(self.parsable(end), self.transfer_syntax)
            // Causes name tags and positions only, never values.
            .map_err(|error| ReadError::Unreadable(with_causes(&error)))?;
        for range in self.layout.mixed.iter().filter(|range| range.start < end) {
            if let Some(element) = mixed_encoding::element(&self.bytes[range.clone()], self.encoding)? {
                data_set.put(element);
            }
        }
        Ok(text::decode(data_set))
    }

    /// The bytes before `end` as dicom-object is to read them: without what it cannot read at once and what
    /// repeats an attribute, and with
    /// [`text::HIDDEN`] for Specific Character Set.
    fn parsable(&self, end: usize) -> Pieces<'_> {
        let hidden = mixed_encoding::hidden(self.encoding);
        let skipped = self.layout.mixed.iter().chain(&self.layout.repeated).map(|range| (range.clone(), &[][..]));
        let renamed = self.layout.character_sets.iter().map(|start| (*start..start + hidden.len(), hidden));
        let mut changes: Vec<_> = skipped.chain(renamed).filter(|(range, _)| range.end <= end).collect();
        changes.sort_unstable_by_key(|(range, _)| range.start);
        let mut pieces = VecDeque::with_capacity(2 * changes.len() + 1);
        let mut next = 0;
        for (range, instead) in changes {
            // What lies in a part that is skipped is skipped with it.
            if range.start >= next {
                pieces.extend([&self.bytes[next..range.start], instead]);
                next = range.end;
            }
        }
        pieces.push_back(&self.bytes[next..end]);
        Pieces(pieces)
    }
}

/// Bytes of a data set that do not lie together. They are not copied: there may be gigabytes.
struct Pieces<'a>(VecDeque<&'a [u8]>);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.0.front().is_some_and(|piece| piece.is_empty()) {
            self.0.pop_front();
        }
        self.0.front_mut().map_or(Ok(0), |piece| piece.read(buffer))
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
