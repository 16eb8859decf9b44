//! Concatenations: one multi-frame image in several objects ([PS3.3
//! C.7.6.16.2.2.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.16.2.2.4.html)). Their
//! frames are images like others; here is whether all parts came.

use std::collections::{BTreeMap, BTreeSet};

use dicom_dictionary_std::tags;

use super::naming::numbers;
use super::rejection::{Reason, Rejection};
use super::slice_header::SliceHeader;
use crate::dicom::Uid;
use crate::dicom::elements::{DataSet, integer, uid};

/// Which part of a concatenation an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Concatenation {
    /// Concatenation UID (0020,9161).
    uid: Uid,
    /// In-concatenation Number (0020,9162), from 1.
    number: i64,
    /// In-concatenation Total Number (0020,9163), which need not be known.
    total: Option<i64>,
    /// Concatenation Frame Offset Number (0020,9228): how many frames the parts before it have.
    pub(super) frames_before: u64,
}

/// More parts than this are no number of parts.
const MOST_PARTS: i64 = 100_000;

impl Concatenation {
    pub(super) fn read(header: &DataSet) -> Option<Self> {
        let before = integer(header, tags::CONCATENATION_FRAME_OFFSET_NUMBER);
        Some(Self {
            uid: uid(header, tags::CONCATENATION_UID)?,
            number: integer(header, tags::IN_CONCATENATION_NUMBER)?,
            total: integer(header, tags::IN_CONCATENATION_TOTAL_NUMBER),
            frames_before: before.and_then(|frames| u64::try_from(frames).ok()).unwrap_or_default(),
        })
    }
}

/// The parts of each concatenation that are there, and how many there should be.
#[derive(Debug, Default)]
pub(super) struct Parts(BTreeMap<Uid, (BTreeSet<i64>, i64)>);

impl Parts {
    pub(super) fn of<'a>(images: impl Iterator<Item = &'a SliceHeader>) -> Self {
        let mut parts = Self::default();
        for part in images.filter_map(|image| image.concatenation.as_ref()) {
            let (there, total) = parts.0.entry(part.uid.clone()).or_default();
            there.insert(part.number);
            *total = (*total).max(part.number).max(part.total.unwrap_or_default()).min(MOST_PARTS);
        }
        parts
    }

    /// Why a stack is not whole: parts of its concatenations that did not come. A part that is missing at an end leaves
    /// no gap.
    pub(super) fn missing<'a>(&self, slices: impl Iterator<Item = &'a SliceHeader>) -> Option<Rejection> {
        let of_stack: BTreeSet<&Uid> = slices.filter_map(|slice| Some(&slice.concatenation.as_ref()?.uid)).collect();
        let missing = |uid| {
            let (there, total) = self.0.get(uid)?;
            let missing = numbers("part", (1..=*total).filter(|number| !there.contains(number)))?;
            Some(format!("{missing} of a concatenation of {total} parts did not come"))
        };
        let missing: Vec<String> = of_stack.into_iter().filter_map(missing).collect();
        (!missing.is_empty()).then(|| Rejection::new(Reason::MissingSlices, missing.join("; ")))
    }
}
