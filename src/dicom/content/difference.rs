//! In what two objects under one SOP Instance UID differ.

use std::collections::BTreeSet;

use dicom_core::header::Header;
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use dicom_object::mem::InMemElement;
use serde::{Deserialize, Serialize};

use super::canonical::{canonical, is_empty};
use super::digest::{Content, is_added_by_routers, is_encoding};
use crate::dicom::elements::DataSet;

/// What an attribute speaks of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display, strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Subject {
    /// Neither of what follows: series and equipment in words, private attributes.
    Description,
    /// Whose object it is: the patient, the study, its order (PS3.3 C.7.1, C.7.2).
    Patient,
    /// Pixels, their meaning and their place in the patient.
    Image,
    /// Study, series or SOP class: another object altogether.
    Address,
}

/// The attributes in which two objects differ, by what they speak of; empty if they have the same content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    tags: BTreeSet<(Subject, Tag)>,
}

impl Difference {
    /// Compares two objects attribute by attribute. What only one of them has is no difference, unless it speaks of the
    /// patient or of the image: routers add attributes of many kinds, and they remove private ones.
    pub fn between(stored: Content<'_>, received: Content<'_>) -> Self {
        let mut difference = Self::default();
        difference.compare(stored.header, received.header, None);
        if stored.pixels != received.pixels {
            difference.tags.insert((Subject::Image, tags::PIXEL_DATA));
        }
        difference
    }

    /// The same without the pixel data, which decodes to the same samples.
    #[must_use]
    pub fn with_equal_pixels(mut self) -> Self {
        self.tags.remove(&(Subject::Image, tags::PIXEL_DATA));
        self
    }

    /// True if the pixel data differs.
    pub fn has_pixels(&self) -> bool {
        self.tags.contains(&(Subject::Image, tags::PIXEL_DATA))
    }

    /// What the gravest difference is about; `None` if the content is the same.
    pub fn subject(&self) -> Option<Subject> {
        self.tags.iter().map(|(subject, _)| *subject).max()
    }

    /// The attributes, in order of their tags.
    pub fn tags(&self) -> BTreeSet<Tag> {
        self.tags.iter().map(|(_, tag)| *tag).collect()
    }

    /// `root` is the root element whose items are compared: a difference inside counts as one of it.
    fn compare(&mut self, stored: &DataSet, received: &DataSet, root: Option<Tag>) {
        let all: BTreeSet<Tag> = stored.iter().chain(received.iter()).map(Header::tag).collect();
        for tag in all.into_iter().filter(|tag| !is_encoding(*tag) && !is_added_by_routers(*tag)) {
            let named = root.unwrap_or(tag);
            let differs = match (present(stored, tag), present(received, tag)) {
                (None, None) => false,
                (Some(first), Some(second)) => self.values_differ(first, second, named),
                (Some(element), None) | (None, Some(element)) => {
                    subject(named) > Subject::Description && !says_nothing(element)
                }
            };
            if differs {
                self.tags.insert((subject(named), named));
            }
        }
    }

    fn values_differ(&mut self, first: &InMemElement, second: &InMemElement, named: Tag) -> bool {
        match (first.items(), second.items()) {
            (Some(first), Some(second)) => {
                for (first, second) in first.iter().zip(second) {
                    self.compare(first, second, Some(named));
                }
                first.len() != second.len()
            }
            (None, None) => canonical(first) != canonical(second),
            // A sequence whose representation one of the senders did not know.
            _ => false,
        }
    }
}

fn present(data_set: &DataSet, tag: Tag) -> Option<&InMemElement> {
    data_set.get(tag).filter(|element| !is_empty(element))
}

/// True of an attribute that says whose object it is.
pub fn is_of_patient(tag: Tag) -> bool {
    subject(tag) == Subject::Patient
}

/// True of an attribute that all objects of a study share, and not those of a series alone: the steps of a procedure and
/// their requests (group 0040) are those of a series.
pub fn is_of_study(tag: Tag) -> bool {
    is_of_patient(tag) && tag.group() != 0x0040
}

/// What an object says of patient, study and order.
pub fn of_patient(header: &DataSet) -> DataSet {
    DataSet::from_element_iter(header.iter().filter(|element| is_of_patient(element.tag())).cloned())
}

/// True of a value that says what the absence of the attribute says: not compressed with loss (PS3.3 C.7.6.1.1.5).
fn says_nothing(element: &InMemElement) -> bool {
    element.tag() == tags::LOSSY_IMAGE_COMPRESSION && &*canonical(element) == b"00"
}

fn subject(tag: Tag) -> Subject {
    match tag {
        tags::STUDY_INSTANCE_UID | tags::SERIES_INSTANCE_UID | tags::SOP_CLASS_UID | tags::SOP_INSTANCE_UID => {
            Subject::Address
        }
        tags::STUDY_DATE
        | tags::STUDY_TIME
        | tags::STUDY_ID
        | tags::ACCESSION_NUMBER
        | tags::ISSUER_OF_ACCESSION_NUMBER_SEQUENCE
        | tags::REFERRING_PHYSICIAN_NAME
        | tags::STUDY_DESCRIPTION
        | tags::PROCEDURE_CODE_SEQUENCE
        | tags::PATIENT_IDENTITY_REMOVED
        | tags::DEIDENTIFICATION_METHOD
        | Tag(0x0010 | 0x0032 | 0x0038, _)
        | Tag(0x0040, 0x0000..=0x0FFF) => Subject::Patient,
        tags::IMAGE_TYPE | tags::MODALITY | Tag(0x0018 | 0x0020 | 0x0028 | 0x0054 | 0x5200 | 0x7FE0, _)
            if tag != tags::IMAGE_COMMENTS =>
        {
            Subject::Image
        }
        _ => Subject::Description,
    }
}
