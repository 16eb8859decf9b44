//! Multi-frame objects with functional groups, read frame by frame: memory holds the header of the object and the
//! frames that are asked for, whatever the size of the file.

mod fragments;
mod functional_groups;
pub(in crate::dicom) mod pixel_data;

use std::path::Path;

use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::mem::InMemElement;
use dicom_object::{FileDicomObject, FileMetaTable};

use self::functional_groups::FunctionalGroups;
use self::pixel_data::PixelData;
use super::bounded::{HeaderFile, Limits, ReadError, StoredBytes};
use super::elements::{DataSet, integer};
use super::prescan::Encoding;

/// A multi-frame object, each frame of which can be had as an object of one image.
#[derive(Debug)]
pub struct MultiFrame {
    meta: FileMetaTable,
    groups: FunctionalGroups,
    pixels: PixelData,
    bytes: StoredBytes,
    big_endian: bool,
}

impl MultiFrame {
    /// Reads the header of a file (PS3.10) and looks where its frames lie.
    ///
    /// # Errors
    /// The file cannot be read, or its numbers of frames, of groups and of pixels do not fit each other.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, ReadError> {
        let file = HeaderFile::open(path, limits)?;
        let frame_bytes = frame_bytes(&file.object)?;
        let claimed = integer(&file.object, tags::NUMBER_OF_FRAMES);
        let groups = FunctionalGroups::of(DataSet::clone(&file.object));
        let frames = groups.frames();
        if frames == 0 || claimed.is_some_and(|claimed| usize::try_from(claimed) != Ok(frames)) {
            let claimed = claimed.map_or_else(|| "missing".to_owned(), |claimed| claimed.to_string());
            return Err(ReadError::Unreadable(format!(
                "Number of Frames (0028,0008) is {claimed}, and Per-frame Functional Groups Sequence (5200,9230) has {frames} items"
            )));
        }
        let pixels = PixelData::locate(&file, frames, frame_bytes, limits)?;
        Ok(Self {
            groups,
            pixels,
            big_endian: file.encoding == Encoding::ExplicitBig,
            meta: file.object.meta().clone(),
            bytes: file.bytes,
        })
    }

    /// How many frames it has; at least one.
    pub fn frames(&self) -> usize {
        self.groups.frames()
    }

    /// The header of a frame (counted from 0) as that of an object of one image, with the values of its functional
    /// groups. Identifiers, patient and instance number are those of the object.
    pub fn header(&self, frame: usize) -> FileDicomObject<DataSet> {
        self.groups.header(frame).with_exact_meta(self.meta.clone())
    }

    /// A frame (counted from 0) as an object of one image.
    ///
    /// # Errors
    /// The file changed since it was opened, or the system cannot read it.
    pub fn image(&self, frame: usize) -> Result<FileDicomObject<DataSet>, ReadError> {
        let mut image = self.header(frame);
        let bytes = self.frame_bytes(frame)?;
        let element = self.pixel_data(bytes, integer(&image, tags::BITS_ALLOCATED));
        image.put(element);
        Ok(image)
    }

    fn frame_bytes(&self, frame: usize) -> Result<Vec<u8>, ReadError> {
        let sections = self.pixels.frame(frame);
        let mut bytes = vec![0; sections.iter().map(|section| section.length as usize).sum()];
        let open = self.bytes.open()?;
        let mut rest = bytes.as_mut_slice();
        for section in sections {
            let (part, after) = rest.split_at_mut(section.length as usize);
            open.read(section.offset, part)?;
            rest = after;
        }
        Ok(bytes)
    }

    fn pixel_data(&self, bytes: Vec<u8>, bits_allocated: Option<i64>) -> InMemElement {
        if self.pixels.is_encapsulated() {
            let fragments = PixelFragmentSequence::new(Vec::new(), vec![bytes]);
            return DataElement::new(tags::PIXEL_DATA, VR::OB, fragments);
        }
        if bits_allocated != Some(16) {
            return DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.into()));
        }
        let word =
            |bytes: &[u8; 2]| if self.big_endian { u16::from_be_bytes(*bytes) } else { u16::from_le_bytes(*bytes) };
        let words = bytes.as_chunks::<2>().0.iter().map(word).collect();
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words))
    }
}

/// Bytes of a native frame.
fn frame_bytes(header: &DataSet) -> Result<u64, ReadError> {
    let number = |tag| integer(header, tag).and_then(|number| u64::try_from(number).ok());
    let bits = number(tags::BITS_ALLOCATED).unwrap_or(16);
    let samples = number(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    let pixels = number(tags::ROWS).zip(number(tags::COLUMNS)).map(|(rows, columns)| rows.saturating_mul(columns));
    let bytes = pixels.map(|pixels| pixels.saturating_mul(samples).saturating_mul(bits.div_ceil(8)));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| ReadError::Unreadable("Rows (0028,0010) or Columns (0028,0011) is missing or 0".to_owned()))
}

#[cfg(test)]
mod tests;
