//! The content of an object, and its digest.

use std::collections::BTreeSet;
use std::fmt;

use dicom_core::header::Header;
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use dicom_object::mem::InMemElement;
use sha2::{Digest, Sha256};

use super::canonical::{canonical, is_empty};
use super::pixels::PixelDigest;
use crate::dicom::elements::DataSet;
use crate::dicom::hexadecimal;

/// A digest of all attributes and of the pixel data of an object. Two objects with the same one have the same content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContentDigest(String);

impl ContentDigest {
    /// Takes a digest that was written as text.
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The content of an object: its attributes, and a digest of its pixel data.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// The data set before Pixel Data.
    pub header: &'a DataSet,
    /// Its pixel data.
    pub pixels: PixelDigest,
}

impl Content<'_> {
    /// The digest that is recorded when an object is received.
    pub fn digest(&self) -> ContentDigest {
        let mut hasher = Sha256::new();
        absorb(&mut hasher, self.header.iter());
        hasher.update(self.pixels.as_bytes());
        ContentDigest(hexadecimal(&hasher.finalize()))
    }
}

/// A digest of what a data set says in some attributes; one that is empty is one that is missing.
pub fn digest_of(header: &DataSet, tags: &BTreeSet<Tag>) -> String {
    let mut hasher = Sha256::new();
    absorb(&mut hasher, header.iter().filter(|element| tags.contains(&element.tag())));
    hexadecimal(&hasher.finalize())
}

/// Adds attributes of a data set, in order of their tags, those of their sequences included. Each is preceded by its tag and its length, so
/// that no two data sets run into each other.
fn absorb<'a>(hasher: &mut Sha256, elements: impl Iterator<Item = &'a InMemElement>) {
    for element in elements {
        let tag = element.tag();
        if is_encoding(tag) || is_added_by_routers(tag) || is_empty(element) {
            continue;
        }
        hasher.update(tag.group().to_le_bytes());
        hasher.update(tag.element().to_le_bytes());
        if let Some(items) = element.items() {
            hasher.update((items.len() as u64).to_le_bytes());
            for item in items {
                absorb(hasher, item.iter());
                hasher.update([0xFF; 4]);
            }
        } else {
            let value = canonical(element);
            hasher.update((value.len() as u64).to_le_bytes());
            hasher.update(&value);
        }
    }
}

/// Attributes that say how the others are written: group lengths, padding, the character set (text is compared as it is
/// decoded).
pub(super) fn is_encoding(tag: Tag) -> bool {
    tag.element() == 0 || matches!(tag, tags::SPECIFIC_CHARACTER_SET | tags::DATA_SET_TRAILING_PADDING)
}

/// Attributes by which a router or an archive says that an object passed through it
/// ([PS3.3 C.12.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.12.html)), and those that answers
/// to queries count.
pub(super) fn is_added_by_routers(tag: Tag) -> bool {
    matches!(
        tag,
        Tag(0x0020, 0x1200..=0x1209)
            | tags::QUERY_RETRIEVE_LEVEL
            | tags::MODALITIES_IN_STUDY
            | tags::SOP_CLASSES_IN_STUDY
            | tags::CONTRIBUTING_EQUIPMENT_SEQUENCE
            | tags::ORIGINAL_ATTRIBUTES_SEQUENCE
            | tags::INSTANCE_AVAILABILITY
            | tags::RETRIEVE_AE_TITLE
            | tags::RETRIEVE_URL
            | tags::STORAGE_MEDIA_FILE_SET_ID
            | tags::STORAGE_MEDIA_FILE_SET_UID
    )
}
