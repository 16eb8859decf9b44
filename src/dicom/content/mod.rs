//! What an object says, whatever its encoding: the same attributes in another transfer syntax, another character set or
//! with what a router adds are the same content.

mod canonical;
mod difference;
mod pixels;

use std::fmt;
use std::path::Path;

use dicom_core::header::Header;
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use sha2::{Digest, Sha256};

use super::bounded::{Extent, HeaderFile, Limits, OpenBytes, Part, ReadError, Scanned};
use super::elements::DataSet;
use super::hexadecimal;
use canonical::{canonical, is_empty};
pub use difference::{Difference, Subject, is_of_patient};
pub use pixels::PixelDigest;

/// Scans a data set as [`bounded::header`](super::bounded::header) does; returns its header and the digest of its pixels.
pub fn read(bytes: &[u8], transfer_syntax_uid: &str, limits: &Limits) -> Result<(DataSet, PixelDigest), ReadError> {
    let scanned = Scanned::new(bytes, transfer_syntax_uid, limits, Extent::Whole)?;
    let pixels = scanned.layout.pixel_data.map(|start| start as u64);
    let pixels = PixelDigest::of(&OpenBytes::Inflated(scanned.bytes()), pixels, scanned.encoding, limits)?;
    Ok((scanned.parse(Part::Header)?, pixels))
}

/// As [`read`], of a DICOM file.
pub fn open(path: &Path, limits: &Limits) -> Result<(DataSet, PixelDigest), ReadError> {
    let file = HeaderFile::open(path, limits)?;
    let pixels = PixelDigest::of(&file.bytes.open()?, file.pixel_data, file.encoding, limits)?;
    Ok((file.object.into_inner(), pixels))
}

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
        absorb(&mut hasher, self.header);
        hasher.update(self.pixels.as_bytes());
        ContentDigest(hexadecimal(&hasher.finalize()))
    }
}

/// Adds the attributes of a data set, those of its sequences included. Each is preceded by its tag and its length, so
/// that no two data sets run into each other.
fn absorb(hasher: &mut Sha256, data_set: &DataSet) {
    for element in data_set {
        let tag = element.tag();
        if is_encoding(tag) || is_added_by_routers(tag) || is_empty(element) {
            continue;
        }
        hasher.update(tag.group().to_le_bytes());
        hasher.update(tag.element().to_le_bytes());
        if let Some(items) = element.items() {
            hasher.update((items.len() as u64).to_le_bytes());
            for item in items {
                absorb(hasher, item);
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
fn is_encoding(tag: Tag) -> bool {
    tag.element() == 0 || matches!(tag, tags::SPECIFIC_CHARACTER_SET | tags::DATA_SET_TRAILING_PADDING)
}

/// Attributes by which a router or an archive says that an object passed through it
/// ([PS3.3 C.12.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.12.html)).
fn is_added_by_routers(tag: Tag) -> bool {
    matches!(
        tag,
        tags::CONTRIBUTING_EQUIPMENT_SEQUENCE
            | tags::ORIGINAL_ATTRIBUTES_SEQUENCE
            | tags::INSTANCE_AVAILABILITY
            | tags::RETRIEVE_AE_TITLE
            | tags::RETRIEVE_URL
            | tags::STORAGE_MEDIA_FILE_SET_ID
            | tags::STORAGE_MEDIA_FILE_SET_UID
    )
}

#[cfg(test)]
mod tests;
