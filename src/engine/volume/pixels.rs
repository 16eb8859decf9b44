//! Stored pixels to Hounsfield units.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileDicomObject, InMemDicomObject};
use dicom_pixeldata::PixelDecoder;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::attribute::unusable;
use super::code_stream::{CodeStream, Stated};
use super::rejection::{Reason, Rejection};
use super::stored_image::StoredImage;
use crate::causes::with_causes;
use crate::dicom::bounded::Limits;
use crate::dicom::elements::{DataSet, integer, number};

/// Hounsfield units of air; padding and everything below it read as air.
pub const AIR: i16 = -1024;
/// Pixel Padding Value is believed only where it does not turn tissue into air: some writers give 0.
const TISSUE: std::ops::RangeInclusive<f64> = -950.0..=3000.0;

/// How stored pixels are to be read ([PS3.5 8.1.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/chapter_8.html),
/// [PS3.3 C.8.2.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.8.2.html) for the rescale).
#[derive(Debug, Clone, Copy, PartialEq)]
struct StoredFormat {
    bits_allocated: u32,
    bits_stored: u32,
    high_bit: u32,
    signed: bool,
    slope: f64,
    intercept: f64,
    /// Lowest and highest stored value that mean padding.
    padding: Option<[i64; 2]>,
}

impl StoredFormat {
    fn read(header: &DataSet) -> Result<Self, Rejection> {
        let refuse = |tag, name| Rejection::new(Reason::Unreadable, unusable(header, tag, name));
        let bits = |tag| integer(header, tag).and_then(|value| u32::try_from(value).ok());
        let bits_allocated = bits(tags::BITS_ALLOCATED)
            .filter(|bits| [8, 16].contains(bits))
            .ok_or_else(|| refuse(tags::BITS_ALLOCATED, "Bits Allocated"))?;
        let bits_stored = bits(tags::BITS_STORED).unwrap_or(bits_allocated);
        if !(1..=bits_allocated).contains(&bits_stored) {
            return Err(refuse(tags::BITS_STORED, "Bits Stored"));
        }
        let high_bit = bits(tags::HIGH_BIT).unwrap_or(bits_stored - 1);
        if high_bit + 1 < bits_stored || high_bit >= bits_allocated {
            return Err(refuse(tags::HIGH_BIT, "High Bit"));
        }
        let slope = number(header, tags::RESCALE_SLOPE).filter(|slope| *slope != 0.0);
        let intercept = number(header, tags::RESCALE_INTERCEPT);
        let mut format = Self {
            bits_allocated,
            bits_stored,
            high_bit,
            signed: integer(header, tags::PIXEL_REPRESENTATION) == Some(1),
            slope: slope.ok_or_else(|| refuse(tags::RESCALE_SLOPE, "Rescale Slope"))?,
            intercept: intercept.ok_or_else(|| refuse(tags::RESCALE_INTERCEPT, "Rescale Intercept"))?,
            padding: None,
        };
        format.padding = integer(header, tags::PIXEL_PADDING_VALUE).map(|value| {
            let limit = integer(header, tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(value);
            // The value may be written signed or unsigned, whatever Pixel Representation says.
            let ends = [value, limit].map(|end| format.value_of_bits(end as u32));
            [ends[0].min(ends[1]), ends[0].max(ends[1])]
        });
        Ok(format)
    }

    /// The number that the stored bits stand for, sign extended.
    fn value_of_bits(&self, bits: u32) -> i64 {
        let modulus = 1_i64 << self.bits_stored;
        let value = i64::from(bits) & (modulus - 1);
        if self.signed && value >= modulus / 2 { value - modulus } else { value }
    }

    fn hounsfield(&self, pattern: u32) -> i16 {
        let value = self.value_of_bits(pattern >> (self.high_bit + 1 - self.bits_stored));
        let hounsfield = self.slope * value as f64 + self.intercept;
        let padded = self.padding.is_some_and(|[low, high]| (low..=high).contains(&value));
        if padded && !TISSUE.contains(&hounsfield) {
            return AIR;
        }
        hounsfield.round().clamp(f64::from(AIR), f64::from(i16::MAX)) as i16
    }

    /// Hounsfield units of every bit pattern that a pixel can have.
    fn table(&self) -> Vec<i16> {
        (0..1_u32 << self.bits_allocated).map(|pattern| self.hounsfield(pattern)).collect()
    }
}

/// Hounsfield units of every bit pattern, which are made once for images of one format: most series have one.
#[derive(Debug, Default)]
pub(super) struct Tables(Option<(StoredFormat, Vec<i16>)>);

impl Tables {
    fn of(&mut self, format: StoredFormat) -> &[i16] {
        if self.0.as_ref().is_some_and(|(of, _)| *of != format) {
            self.0 = None;
        }
        let (_, table) = self.0.get_or_insert_with(|| (format, format.table()));
        table
    }
}

/// Reads an image into `hounsfield`; returns its data set.
pub(super) fn load(
    stored: &StoredImage,
    tables: &mut Tables,
    limits: &Limits,
    hounsfield: &mut [i16],
) -> Result<FileDicomObject<InMemDicomObject>, Rejection> {
    let mut object = stored.read(limits)?;
    decode(&mut object, tables, hounsfield)?;
    Ok(object)
}

/// Decodes an image into `hounsfield`, row by row. The image must have as many pixels as `hounsfield`.
pub(super) fn decode(
    object: &mut FileDicomObject<InMemDicomObject>,
    tables: &mut Tables,
    hounsfield: &mut [i16],
) -> Result<(), Rejection> {
    let format = StoredFormat::read(object)?;
    check_code_stream(object, &format)?;
    complete(object, &format);
    // Codecs index into buffers by what the code stream says; one that panics on a malformed stream must cost this
    // image only.
    let decoded =
        catch_unwind(AssertUnwindSafe(|| object.decode_pixel_data().map(dicom_pixeldata::DecodedPixelData::into_data)))
            .map_err(|_| Rejection::new(Reason::Unreadable, "the pixel data of an image make its decoder fail"))?
            .map_err(|error| {
                Rejection::new(Reason::Unreadable, format!("pixel data cannot be decoded: {}", with_causes(&error)))
            })?;
    check_length(object, decoded.len(), hounsfield.len() * (format.bits_allocated as usize / 8))?;
    let table = tables.of(format);
    if format.bits_allocated == 8 {
        for (pixel, byte) in hounsfield.iter_mut().zip(decoded) {
            *pixel = table[usize::from(byte)];
        }
    } else {
        let (words, _) = decoded.as_chunks::<2>();
        for (pixel, word) in hounsfield.iter_mut().zip(words) {
            *pixel = table[usize::from(u16::from_ne_bytes(*word))];
        }
    }
    Ok(())
}

/// Refuses a code stream that is of another image than the data set describes.
fn check_code_stream(object: &DataSet, format: &StoredFormat) -> Result<(), Rejection> {
    let StoredFormat { bits_allocated, bits_stored, signed, .. } = *format;
    let count = |tag| integer(object, tag).and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
    let (rows, columns) = (count(tags::ROWS), count(tags::COLUMNS));
    let stated = Stated { rows, columns, bits_allocated, bits_stored, signed };
    let contradiction = CodeStream::of(object).and_then(|stream| stream.contradiction(&stated));
    contradiction.map_or(Ok(()), |problem| Err(Rejection::new(Reason::Unreadable, problem)))
}

/// Refuses pixels of another number than the data set states. Writers pad to even or more; a row more is another image.
fn check_length(object: &DataSet, decoded: usize, stated: usize) -> Result<(), Rejection> {
    let row = stated / integer(object, tags::ROWS).and_then(|rows| usize::try_from(rows).ok()).unwrap_or(1).max(1);
    let reason = match decoded {
        _ if decoded < stated => Reason::Truncated,
        _ if decoded >= stated + row => Reason::Unreadable,
        _ => return Ok(()),
    };
    Err(Rejection::new(
        reason,
        format!(
            "an image has {decoded} bytes of pixel data; Rows (0028,0010) and Columns (0028,0011) ask for {stated}"
        ),
    ))
}

/// Gives the decoder the attributes that it insists on and that follow from others.
fn complete(object: &mut InMemDicomObject, format: &StoredFormat) {
    let derived = [
        (tags::BITS_STORED, format.bits_stored as u16),
        (tags::HIGH_BIT, format.high_bit as u16),
        (tags::PIXEL_REPRESENTATION, u16::from(format.signed)),
        (tags::SAMPLES_PER_PIXEL, 1),
    ];
    for (tag, value) in derived {
        if integer(object, tag).is_none() {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        }
    }
}
