//! Frames of archived objects: cut out of native pixel data, decoded, or as compressed.

use std::borrow::Cow;

use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, InMemDicomObject};
use dicom_pixeldata::PixelDecoder;

use crate::dicom::bounded::{self, Limits};
use crate::dicom::elements;
use crate::node::archive::StoredInstance;
use crate::node::http::Problem;

/// An archived object in memory.
pub(super) type Object = FileDicomObject<InMemDicomObject>;

/// Reads an archived object as a whole, without what follows its data set.
pub(super) fn read(instance: &StoredInstance, limits: &Limits) -> Result<Object, Problem> {
    Ok(bounded::open(&instance.path, limits)?)
}

/// How many frames there are: 0 for an object without images.
pub(super) fn count(object: &Object) -> usize {
    let frames = || elements::integer(object, tags::NUMBER_OF_FRAMES).and_then(|frames| frames.try_into().ok());
    if elements::integer(object, tags::ROWS).is_some() { frames().unwrap_or(1).max(1) } else { 0 }
}

/// A frame (counted from 0) as plain samples, little endian, one-bit samples packed from the lowest bit of a byte.
pub(super) fn native(object: &Object, frame: usize) -> Result<Cow<'_, [u8]>, Problem> {
    let missing = || Problem::NotFound(format!("there is no frame {}", frame + 1));
    if frame >= count(object) {
        return Err(missing());
    }
    if fragments(object).is_some() {
        return decoded(object, frame).map(Cow::Owned);
    }
    let samples = [tags::PIXEL_DATA, tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA]
        .into_iter()
        .find_map(|tag| object.get(tag))
        .and_then(|element| element.value().primitive())
        .ok_or_else(missing)?;
    let bits = bits(object).ok_or_else(missing)?;
    let (first, last) = (frame * bits, (frame + 1) * bits);
    match samples.to_bytes() {
        // Frames of single bits follow one another without padding (PS3.5 8.1.1).
        samples if first % 8 != 0 => {
            let bytes = samples.get(first / 8..last.div_ceil(8)).ok_or_else(missing)?;
            Ok(Cow::Owned(shifted(bytes, first % 8, bits)))
        }
        Cow::Borrowed(samples) => samples.get(first / 8..last.div_ceil(8)).map(Cow::Borrowed).ok_or_else(missing),
        Cow::Owned(samples) => {
            samples.get(first / 8..last.div_ceil(8)).map(|frame| Cow::Owned(frame.to_vec())).ok_or_else(missing)
        }
    }
}

/// A frame as it is compressed, or `None` if its pixel data is native or its fragments cannot be told apart.
pub(super) fn compressed(object: &Object, frame: usize) -> Option<Vec<u8>> {
    let pixel_data = fragments(object)?;
    let fragments = pixel_data.fragments();
    let frames = count(object);
    if frames == 1 && frame == 0 {
        return Some(fragments.concat());
    }
    if fragments.len() == frames {
        return fragments.get(frame).cloned();
    }
    // Offsets count from the first fragment's item tag; an item is 8 bytes longer than its fragment (PS3.5 A.4).
    let offsets = pixel_data.offset_table();
    let first = u64::from(*offsets.get(frame)?);
    let end = offsets.get(frame + 1).map_or(u64::MAX, |end| u64::from(*end));
    let mut position = 0;
    let mut content = Vec::new();
    for fragment in fragments {
        if (first..end).contains(&position) {
            content.extend_from_slice(fragment);
        }
        position += fragment.len() as u64 + 8;
    }
    Some(content)
}

/// The media type of compressed frames (Table 8.7.3-5).
pub(super) fn media_type(transfer_syntax_uid: &str) -> Option<&'static str> {
    match transfer_syntax_uid {
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT | uids::JPEG_LOSSLESS | uids::JPEG_LOSSLESS_SV1 => {
            Some("image/jpeg")
        }
        uids::RLE_LOSSLESS => Some("image/dicom-rle"),
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => Some("image/jls"),
        uids::JPEG2000_LOSSLESS | uids::JPEG2000 => Some("image/jp2"),
        _ => None,
    }
}

/// True if the pixel data is encapsulated.
pub(super) fn is_compressed(object: &Object) -> bool {
    fragments(object).is_some()
}

fn fragments(object: &Object) -> Option<&PixelFragmentSequence<Vec<u8>>> {
    match object.get(tags::PIXEL_DATA)?.value() {
        Value::PixelSequence(sequence) => Some(sequence),
        _ => None,
    }
}

fn decoded(object: &Object, frame: usize) -> Result<Vec<u8>, Problem> {
    let frame = u32::try_from(frame).unwrap_or(u32::MAX);
    object.decode_pixel_data_frame(frame).map(dicom_pixeldata::DecodedPixelData::into_data).map_err(|error| {
        tracing::warn!(%error, "a frame cannot be decoded");
        Problem::NotAcceptable("this frame cannot be decoded here; ask for its own transfer syntax".to_owned())
    })
}

/// Bits of a frame.
fn bits(object: &Object) -> Option<usize> {
    let number = |tag| elements::integer(object, tag).and_then(|number| usize::try_from(number).ok());
    let samples = number(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    number(tags::ROWS)?
        .checked_mul(number(tags::COLUMNS)?)?
        .checked_mul(samples)?
        .checked_mul(number(tags::BITS_ALLOCATED)?)
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
