//! The digest of pixel data, whatever its element is encoded like.

use std::fmt;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use sha2::{Digest, Sha256};

use crate::dicom::bounded::{Limits, OpenBytes, ReadError};
use crate::dicom::hexadecimal;
use crate::dicom::prescan::{self, Encoding, UNDEFINED};
use crate::dicom::stored_frames::pixel_data::{element, fragments};

/// Bytes that are read at once.
const CHUNK: u64 = 1 << 16;

/// SHA-256 of the samples, or of the code streams where the pixel data is encapsulated; offset tables and the cut of
/// streams into fragments do not count. That of an object without pixel data is all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PixelDigest([u8; 32]);

impl PixelDigest {
    /// Of an object without pixel data.
    pub const NONE: Self = Self([0; 32]);

    /// Of the elements of group 7FE0, which begin at an offset; `None` if there is none.
    pub(in crate::dicom) fn of(
        bytes: &OpenBytes<'_>,
        start: Option<u64>,
        encoding: Encoding,
        limits: &Limits,
    ) -> Result<Self, ReadError> {
        let Some(mut position) = start else { return Ok(Self::NONE) };
        let mut hasher = Sha256::new();
        let end = bytes.len()?;
        while position + 8 <= end {
            let found = element(bytes, position, end, encoding)?;
            let held = u64::from(found.length).min(end.saturating_sub(found.value));
            match found.tag {
                tags::PIXEL_DATA if found.length == UNDEFINED => {
                    for fragment in fragments(bytes, found.value, limits)?.1 {
                        absorb(&mut hasher, bytes, fragment.bytes.offset, fragment.bytes.length, 1)?;
                    }
                    break;
                }
                tags::EXTENDED_OFFSET_TABLE | tags::EXTENDED_OFFSET_TABLE_LENGTHS => {}
                Tag(0x7FE0, _) => {
                    let width = if encoding == Encoding::ExplicitBig { prescan::width(found.vr) } else { 1 };
                    absorb(&mut hasher, bytes, found.value, held, width)?;
                }
                _ => break,
            }
            position = found.value + u64::from(found.length);
        }
        Ok(Self(hasher.finalize().into()))
    }

    /// The digest.
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PixelDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hexadecimal(&self.0))
    }
}

/// Adds bytes as they are in little endian, in which samples have `width` bytes.
fn absorb(hasher: &mut Sha256, bytes: &OpenBytes<'_>, offset: u64, length: u64, width: usize) -> Result<(), ReadError> {
    let mut buffer = vec![0; CHUNK.min(length) as usize];
    let mut done = 0;
    while done < length {
        let part = &mut buffer[..CHUNK.min(length - done) as usize];
        bytes.read(offset + done, part)?;
        if width > 1 {
            for sample in part.chunks_exact_mut(width) {
                sample.reverse();
            }
        }
        hasher.update(&*part);
        done += part.len() as u64;
    }
    Ok(())
}
