//! Concatenations: one multi-frame image in several objects ([PS3.3
//! C.7.6.16.2.2.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.16.2.2.4.html)).

use std::collections::{BTreeMap, BTreeSet};

use dicom_dictionary_std::tags;

use super::elements::{DataSet, integer, uid};
use super::uid::Uid;

/// Which part of a concatenation an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Concatenation UID (0020,9161).
    pub concatenation: Uid,
    /// In-concatenation Number (0020,9162), from 1.
    pub number: u16,
    /// In-concatenation Total Number (0020,9163), which need not be known.
    pub total: Option<u16>,
    /// Concatenation Frame Offset Number (0020,9228): how many frames the parts before it have.
    pub frames_before: u32,
}

impl Part {
    /// Reads it from a header; `None` for an object that stands alone.
    pub fn read(header: &DataSet) -> Option<Self> {
        let count = |tag| integer(header, tag).and_then(|count| u16::try_from(count).ok());
        let before = integer(header, tags::CONCATENATION_FRAME_OFFSET_NUMBER);
        Some(Self {
            concatenation: uid(header, tags::CONCATENATION_UID)?,
            number: count(tags::IN_CONCATENATION_NUMBER)?,
            total: count(tags::IN_CONCATENATION_TOTAL_NUMBER),
            frames_before: before.and_then(|frames| u32::try_from(frames).ok()).unwrap_or_default(),
        })
    }
}

/// The parts of concatenations that are there.
#[derive(Debug, Default)]
pub struct Parts(BTreeMap<Uid, Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    there: BTreeSet<u16>,
    /// How many parts there are, as far as is known.
    total: u16,
}

/// Parts of a concatenation that are not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingParts<'a> {
    /// Concatenation UID.
    pub concatenation: &'a Uid,
    /// In-concatenation Numbers, at least one.
    pub numbers: Vec<u16>,
    /// How many parts it has, at least.
    pub total: u16,
}

impl Parts {
    /// Sorts parts by their concatenations.
    pub fn of<'a>(parts: impl Iterator<Item = &'a Part>) -> Self {
        let mut sorted = Self::default();
        for part in parts {
            let numbers = sorted.0.entry(part.concatenation.clone()).or_default();
            numbers.there.insert(part.number);
            numbers.total = numbers.total.max(part.number).max(part.total.unwrap_or_default());
        }
        sorted
    }

    /// What is missing. Where no part names their number, those after the last one are not missed.
    pub fn missing(&self) -> impl Iterator<Item = MissingParts<'_>> {
        self.0.iter().filter_map(|(concatenation, Numbers { there, total })| {
            let numbers: Vec<u16> = (1..=*total).filter(|number| !there.contains(number)).collect();
            (!numbers.is_empty()).then_some(MissingParts { concatenation, numbers, total: *total })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_missing_before_another_and_after_the_last_one_where_their_number_is_known() {
        let part = |number, total| {
            let concatenation = Uid::parse("1.2").expect("uid");
            Part { concatenation, number, total, frames_before: 0 }
        };
        let missing = |parts: &[Part]| Parts::of(parts.iter()).missing().next().map(|missing| missing.numbers);
        assert_eq!(missing(&[part(2, None), part(1, None)]), None);
        assert_eq!(missing(&[part(1, None), part(4, None)]), Some(vec![2, 3]));
        assert_eq!(missing(&[part(1, Some(2)), part(1, None)]), Some(vec![2]));
        assert_eq!(missing(&[]), None);
    }
}
