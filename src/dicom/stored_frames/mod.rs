//! The pixels of an object, read from its file frame by frame: memory holds the frames that are asked for, whatever the
//! size of the file.

mod fragments;
pub(in crate::dicom) mod pixel_data;

use std::ops::Range;
use std::path::Path;

use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::FileDicomObject;
use dicom_object::mem::InMemElement;

use self::fragments::Section;
use self::pixel_data::{Native, PixelData};
use super::bounded::{HeaderFile, Limits, ReadError, StoredBytes};
use super::elements::{DataSet, integer, text};
use super::prescan::Encoding;

/// Where the pixels of each frame lie.
#[derive(Debug)]
pub struct StoredFrames {
    tag: Tag,
    count: usize,
    bits_allocated: u64,
    pixels: PixelData,
    bytes: StoredBytes,
    big_endian: bool,
}

/// An image and where its frames lie; a multi-frame object is one image here.
#[derive(Debug)]
pub struct StoredImage {
    /// What comes before the pixels.
    pub header: FileDicomObject<DataSet>,
    /// The pixels.
    pub frames: StoredFrames,
}

impl StoredImage {
    /// Reads the header of a file (PS3.10) and looks where its frames lie; `None` for an object without pixels.
    ///
    /// # Errors
    /// The file cannot be read, or its numbers of frames and of pixels do not fit each other.
    pub fn open(path: &Path, limits: &Limits) -> Result<Option<Self>, ReadError> {
        let file = HeaderFile::open(path, limits)?;
        if file.pixel_data.is_none() || integer(&file.object, tags::ROWS).is_none() {
            return Ok(None);
        }
        let count = integer(&file.object, tags::NUMBER_OF_FRAMES).and_then(|frames| usize::try_from(frames).ok());
        let frames = StoredFrames::locate(&file, count.unwrap_or(1).max(1), limits)?;
        Ok(Some(Self { header: file.object, frames }))
    }

    /// A frame (counted from 0) as an object of one image.
    ///
    /// # Errors
    /// The file changed since it was opened, or the system cannot read it.
    pub fn object(&self, frame: usize) -> Result<FileDicomObject<DataSet>, ReadError> {
        let mut object = self.header.clone();
        object.remove_element(tags::NUMBER_OF_FRAMES);
        object.put(self.frames.element(frame)?);
        Ok(object)
    }
}

/// The header of a file (PS3.10) and the tag of the element with its pixels, if it has any. No more is read of a large
/// object.
///
/// # Errors
/// The file cannot be read.
pub fn header_and_tag(path: &Path, limits: &Limits) -> Result<(DataSet, Option<Tag>), ReadError> {
    let file = HeaderFile::open(path, limits)?;
    let tag = pixel_data::tag(&file)?;
    Ok((file.object.into_inner(), tag))
}

impl StoredFrames {
    /// Looks for the pixels of so many frames behind the header of a file.
    pub(in crate::dicom) fn locate(file: &HeaderFile, count: usize, limits: &Limits) -> Result<Self, ReadError> {
        let (tag, pixels) = PixelData::locate(file, count, frame_bits(&file.object)?, limits)?;
        Ok(Self {
            tag,
            count,
            bits_allocated: bits_allocated(&file.object),
            pixels,
            bytes: file.bytes.clone(),
            big_endian: file.encoding == Encoding::ExplicitBig,
        })
    }

    /// How many there are; at least one.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Pixel Data (7FE0,0010), or one of its float kinds.
    pub fn tag(&self) -> Tag {
        self.tag
    }

    /// True if the frames are compressed, or encapsulated without compression.
    pub fn is_encapsulated(&self) -> bool {
        matches!(self.pixels, PixelData::Encapsulated(_))
    }

    /// A frame (counted from 0): as it is encapsulated, or else as samples in little endian, of which single bits begin at
    /// the lowest bit of the first byte.
    ///
    /// # Errors
    /// The file changed since it was opened, or the system cannot read it.
    pub fn bytes(&self, frame: usize) -> Result<Vec<u8>, ReadError> {
        match &self.pixels {
            PixelData::Encapsulated(frames) => self.read(&frames[frame]),
            PixelData::Native(native) => {
                let first = frame as u64 * native.frame_bits;
                let last = first + native.frame_bits;
                let bytes = self.native_bytes(first / 8..last.div_ceil(8))?;
                // Frames of single bits follow one another without padding (PS3.5 8.1.1).
                let shift = (first % 8) as usize;
                Ok(if shift == 0 { bytes } else { shifted(&bytes, shift, native.frame_bits as usize) })
            }
        }
    }

    /// Bytes of the value of Pixel Data where it is not encapsulated, padding included.
    pub fn native_length(&self) -> Option<u64> {
        match &self.pixels {
            PixelData::Native(native) => Some(native.length),
            PixelData::Encapsulated(_) => None,
        }
    }

    /// A part of that value, in little endian. It must begin and end between samples.
    ///
    /// # Errors
    /// The pixels are encapsulated, the file changed since it was opened, or the system cannot read it.
    pub fn native_bytes(&self, range: Range<u64>) -> Result<Vec<u8>, ReadError> {
        let PixelData::Native(Native { start, width, .. }) = self.pixels else {
            return Err(ReadError::Unreadable("the pixels are encapsulated".to_owned()));
        };
        let mut bytes =
            self.read(&[Section { offset: start + range.start, length: range.end.saturating_sub(range.start) }])?;
        if self.big_endian && width > 1 {
            bytes.chunks_mut(width).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }

    /// Pixel Data of a frame (counted from 0).
    pub(in crate::dicom) fn element(&self, frame: usize) -> Result<InMemElement, ReadError> {
        let bytes = self.bytes(frame)?;
        Ok(if self.is_encapsulated() {
            DataElement::new(self.tag, VR::OB, PixelFragmentSequence::new(Vec::new(), vec![bytes]))
        } else if self.bits_allocated == 16 {
            let words = bytes.as_chunks::<2>().0.iter().map(|word| u16::from_le_bytes(*word)).collect();
            DataElement::new(self.tag, VR::OW, PrimitiveValue::U16(words))
        } else {
            DataElement::new(self.tag, VR::OB, PrimitiveValue::U8(bytes.into()))
        })
    }

    fn read(&self, sections: &[Section]) -> Result<Vec<u8>, ReadError> {
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
}

fn bits_allocated(header: &DataSet) -> u64 {
    integer(header, tags::BITS_ALLOCATED).and_then(|bits| u64::try_from(bits).ok()).unwrap_or(16)
}

/// Bits of a native frame.
fn frame_bits(header: &DataSet) -> Result<u64, ReadError> {
    let number = |tag| integer(header, tag).and_then(|number| u64::try_from(number).ok());
    // Two pixels share their colours (PS3.3 C.7.6.3.1.2).
    let subsampled = text(header, tags::PHOTOMETRIC_INTERPRETATION).as_deref() == Some("YBR_FULL_422");
    let samples = if subsampled { 2 } else { number(tags::SAMPLES_PER_PIXEL).unwrap_or(1) };
    let pixels = number(tags::ROWS).zip(number(tags::COLUMNS)).map(|(rows, columns)| rows.saturating_mul(columns));
    pixels
        .map(|pixels| pixels.saturating_mul(samples).saturating_mul(bits_allocated(header)))
        .filter(|bits| *bits > 0)
        .ok_or_else(|| ReadError::Unreadable("Rows (0028,0010) or Columns (0028,0011) is missing or 0".to_owned()))
}

/// `bits` bits of `bytes` from bit `shift` on, moved to the beginning.
fn shifted(bytes: &[u8], shift: usize, bits: usize) -> Vec<u8> {
    (0..bits.div_ceil(8))
        .map(|index| {
            let low = bytes[index] >> shift;
            let high = bytes.get(index + 1).map_or(0, |next| next << (8 - shift));
            let rest = bits - index * 8;
            (low | high) & if rest >= 8 { u8::MAX } else { (1 << rest) - 1 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_single_bits_are_moved_to_the_beginning_of_a_byte() {
        // Three frames of 5 bits: 10101, 01100, 11111, packed from the lowest bit.
        let packed = [0b1001_0101, 0b0111_1101];
        assert_eq!(shifted(&packed, 5, 5), [0b0_1100]);
        assert_eq!(shifted(&packed[1..], 2, 5), [0b1_1111]);
    }
}
