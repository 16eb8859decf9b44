//! Keys before they are matched: values that no attribute can have, and keys that a search takes no notice of.

use dicom_core::VR;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_object::{StandardDataDictionary, Tag};

use super::attributes::{is_computed, is_kept, level_of};
use super::matching::{self, Ranged};
use super::narrowing::is_narrowed;
use super::query::{ItemKeys, Level, Query};
use crate::dicom::Uid;

/// A key whose value its attribute cannot have. The value may name a patient and is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {expected} was expected", keyword(*.tag))]
pub struct InvalidKey {
    /// The attribute.
    pub tag: Tag,
    /// What its values are.
    pub expected: &'static str,
}

/// The keyword of an attribute; eight hexadecimal digits where it has none.
pub fn keyword(tag: Tag) -> String {
    StandardDataDictionary
        .by_tag(tag)
        .map_or_else(|| format!("{:04X}{:04X}", tag.group(), tag.element()), |entry| entry.alias().to_owned())
}

impl Query {
    /// Refuses values that could never match, which would be answered by silence
    /// ([PS3.4 C.2.2.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_C.2.2.2.html)).
    pub fn check(&self) -> Result<(), InvalidKey> {
        check(&self.matching, &self.sequences)
    }

    /// The keys that a search at this level takes no notice of: attributes of lower levels, counted ones, private ones
    /// and those of bulk data.
    pub fn unmatched(&self, level: Level) -> Vec<Tag> {
        let unmatched_keys = self
            .matching
            .iter()
            .filter(|(tag, pattern)| !matching::is_universal(pattern) && !level.matches(*tag))
            .map(|(tag, _)| *tag);
        let sequences = self.sequences.iter().map(|keys| keys.sequence).filter(|tag| !is_compared(level, *tag));
        unmatched_keys.chain(sequences).collect()
    }
}

impl Level {
    /// True if a search at this level takes notice of a key with this attribute; other keys are ignored.
    pub fn matches(self, tag: Tag) -> bool {
        is_narrowed(tag, self) || is_compared(self, tag)
    }
}

/// True if the value of this attribute is compared with its key, row by row.
pub(super) fn is_compared(level: Level, tag: Tag) -> bool {
    level_of(tag) <= level && is_kept(tag) && !is_computed(tag)
}

fn check(keys: &[(Tag, String)], sequences: &[ItemKeys]) -> Result<(), InvalidKey> {
    for (tag, pattern) in keys.iter().filter(|(_, pattern)| !matching::is_universal(pattern)) {
        if let Some(expected) = missing(matching::standard_representation(*tag), pattern) {
            return Err(InvalidKey { tag: *tag, expected });
        }
    }
    sequences.iter().try_for_each(|keys| check(&keys.matching, &keys.sequences))
}

/// What was expected, if this is no value to match an attribute of this representation with.
fn missing(representation: VR, pattern: &str) -> Option<&'static str> {
    let number = |text: &str| text.trim().parse::<f64>().is_ok_and(f64::is_finite);
    let (valid, expected) = match representation {
        VR::UI => (matching::list(pattern).all(|uid| Uid::parse(uid).is_ok()), "unique identifiers"),
        VR::DA => (Ranged::DATE.takes(pattern), "a date YYYYMMDD or a range of dates"),
        VR::TM => (Ranged::TIME.takes(pattern), "a time HHMMSS or a range of times"),
        VR::IS | VR::SL | VR::SS | VR::SV | VR::UL | VR::US | VR::UV => {
            (pattern.trim().parse::<i128>().is_ok(), "a whole number")
        }
        VR::DS | VR::FD | VR::FL => (number(pattern), "a number"),
        VR::SQ => (false, "an attribute inside the sequence, as in Sequence.Attribute,"),
        _ => return None,
    };
    (!valid).then_some(expected)
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::tags;

    use super::*;

    #[test]
    fn a_value_that_its_attribute_cannot_have_is_refused() {
        for (tag, pattern, valid) in [
            (tags::STUDY_DATE, "20260131", true),
            (tags::STUDY_DATE, "2026.01.31", true),
            (tags::STUDY_DATE, "20260101-", true),
            (tags::STUDY_DATE, "-20260131", true),
            (tags::STUDY_DATE, "*", true),
            (tags::STUDY_DATE, "garbage", false),
            (tags::STUDY_DATE, "2026-01-31", false),
            (tags::STUDY_DATE, "20261301", false),
            (tags::STUDY_DATE, "20260100", false),
            (tags::STUDY_DATE, "202601", false),
            (tags::STUDY_DATE, "-", false),
            (tags::STUDY_TIME, "10", true),
            (tags::STUDY_TIME, "10:15-1130", true),
            (tags::STUDY_TIME, "101530.25", true),
            (tags::STUDY_TIME, "25", false),
            (tags::STUDY_TIME, "1060", false),
            (tags::STUDY_INSTANCE_UID, "1.2,1.3", true),
            (tags::STUDY_INSTANCE_UID, "1.2.*", false),
            (tags::INSTANCE_NUMBER, "007", true),
            (tags::INSTANCE_NUMBER, "seven", false),
            (tags::PATIENT_WEIGHT, "70.5", true),
            (tags::PATIENT_WEIGHT, "heavy", false),
            (tags::PATIENT_NAME, "anything?", true),
            (tags::REQUEST_ATTRIBUTES_SEQUENCE, "x", false),
        ] {
            let query = Query { matching: vec![(tag, pattern.to_owned())], ..Query::default() };
            assert_eq!(query.check().is_ok(), valid, "{tag} = {pattern}");
        }
        let mut nested = Query::default();
        let path = [tags::REQUEST_ATTRIBUTES_SEQUENCE, tags::SCHEDULED_PROCEDURE_STEP_START_DATE];
        ItemKeys::add(&mut nested.sequences, &path, "soon".to_owned());
        let error = nested.check().expect_err("no date");
        assert_eq!(
            error.to_string(),
            "ScheduledProcedureStepStartDate: a date YYYYMMDD or a range of dates was expected"
        );
    }

    #[test]
    fn keys_that_no_row_is_compared_with_are_named() {
        let private = Tag(0x0009, 0x1001);
        let tags = [
            tags::PATIENT_ID,
            tags::MODALITY,
            tags::SERIES_INSTANCE_UID,
            tags::SERIES_DESCRIPTION,
            tags::ROWS,
            tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
            private,
        ];
        let query = Query { matching: tags.map(|tag| (tag, "1".to_owned())).to_vec(), ..Query::default() };
        let counted = tags::NUMBER_OF_STUDY_RELATED_INSTANCES;
        assert_eq!(query.unmatched(Level::Study), [tags::SERIES_DESCRIPTION, tags::ROWS, counted, private]);
        assert_eq!(query.unmatched(Level::Series), [tags::ROWS, counted, private]);
        assert_eq!(query.unmatched(Level::Instance), [counted, private]);
    }
}
