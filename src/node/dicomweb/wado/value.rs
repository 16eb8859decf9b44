//! A large value of an archived object, read no further than is asked for.

use std::io::{self, Write};
use std::ops::Range;

use bytes::Bytes;
use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::pixels;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::elements::DataSet;
use crate::dicom::stored_frames::StoredImage;
use crate::node::archive::StoredInstance;
use crate::node::http::Problem;

/// Bytes that are read from a file at a time; a multiple of every sample.
const PIECE: u64 = 1 << 20;

/// A step on the way to a value: an element, and which of its items is entered, if one is.
pub(super) type Step = (Tag, Option<usize>);

/// A value, little endian.
pub(super) enum Value {
    /// In memory.
    Bytes(Bytes),
    /// Pixel Data as it lies in its file.
    Native {
        /// The image.
        image: Box<StoredImage>,
        /// Bytes of the value.
        length: u64,
    },
    /// Pixel Data that is decoded frame by frame.
    Decoded {
        /// The image.
        image: Box<StoredImage>,
        /// The first frame, which says how long each is.
        first: Bytes,
    },
}

impl Value {
    /// The value at the end of a path.
    pub(super) fn at(instance: &StoredInstance, steps: &[Step], limits: &Limits) -> Result<Self, Problem> {
        if let [(tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA, None)] = steps {
            let image = pixels::open(instance, limits)?;
            return if image.frames.tag() == steps[0].0 { Self::pixels(image) } else { Err(missing()) };
        }
        let header = bounded::open_header(&instance.path, limits)?;
        inside(&header, steps).ok_or_else(missing)
    }

    /// Pixel Data.
    pub(super) fn pixels(image: StoredImage) -> Result<Self, Problem> {
        let image = Box::new(image);
        Ok(match image.frames.native_length() {
            Some(length) => Self::Native { image, length },
            None => Self::Decoded { first: pixels::samples(&image, 0)?.into(), image },
        })
    }

    /// How many bytes it has.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Native { length, .. } => *length,
            Self::Decoded { image, first } => first.len() as u64 * image.frames.count() as u64,
        }
    }

    /// Writes a part of it.
    pub(super) fn write(&self, range: Range<u64>, sink: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => sink.write_all(&bytes[range.start as usize..range.end as usize]),
            Self::Native { image, length } => pieces(range, PIECE, |piece, within| {
                let read = image.frames.native_bytes(piece.start..piece.end.min(*length)).map_err(io::Error::other)?;
                sink.write_all(&read[within])
            }),
            Self::Decoded { image, first } => pieces(range, first.len() as u64, |piece, within| {
                let frame = match piece.start / first.len() as u64 {
                    0 => first.clone(),
                    frame => Bytes::from(pixels::samples(image, frame as usize).map_err(io::Error::other)?),
                };
                // Frames of one image have one size; what decodes to another one is damaged.
                let part = frame.get(within).filter(|_| frame.len() == first.len());
                sink.write_all(part.ok_or(io::ErrorKind::InvalidData)?)
            }),
        }
    }
}

/// Calls `write` for each piece of this size that a range touches, with what of the piece lies in the range.
fn pieces(
    range: Range<u64>,
    size: u64,
    mut write: impl FnMut(Range<u64>, Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut start = range.start - range.start % size;
    while start < range.end {
        let within = range.start.max(start) - start..range.end.min(start + size) - start;
        write(start..start + size, within.start as usize..within.end as usize)?;
        start += size;
    }
    Ok(())
}

/// Why there is no such value.
pub(super) fn missing() -> Problem {
    Problem::NotFound("there is no such bulk data in this object".to_owned())
}

fn inside(data_set: &DataSet, steps: &[Step]) -> Option<Value> {
    let ((tag, item), rest) = steps.split_first()?;
    let value = data_set.get(*tag)?.value();
    match item {
        Some(index) => inside(value.items()?.get(*index)?, rest),
        None => Some(Value::Bytes(value.primitive()?.to_bytes().into_owned().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_pieces() {
        let cut = |range| {
            let mut seen = Vec::new();
            pieces(range, 10, |piece, within| {
                seen.push((piece.start, within));
                Ok(())
            })
            .expect("written");
            seen
        };
        assert_eq!(cut(5..25), [(0, 5..10), (10, 0..10), (20, 0..5)]);
        assert_eq!(cut(10..12), [(10, 0..2)]);
        assert!(cut(3..3).is_empty() || cut(3..3) == [(0, 3..3)]);
    }
}
