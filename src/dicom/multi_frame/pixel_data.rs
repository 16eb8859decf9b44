//! Where in an object the pixels of each frame lie.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::super::bounded::{HeaderFile, Limits, OpenBytes, ReadError};
use super::super::prescan::{Encoding, ITEM, SEQUENCE_DELIMITER, UNDEFINED, has_short_length};
use super::fragments::{Fragment, Section, begins_stream, by_frame};

/// The places of frames.
#[derive(Debug)]
pub(super) enum PixelData {
    /// Frames of equal length, one after another.
    Native { start: u64, frame_bytes: u64 },
    /// The fragments of each frame.
    Encapsulated(Vec<Vec<Section>>),
}

/// The header of an element of group 7FE0, and where its value lies.
pub(in crate::dicom) struct Element {
    pub(in crate::dicom) tag: Tag,
    /// Its representation; `UN` in implicit VR.
    pub(in crate::dicom) vr: [u8; 2],
    pub(in crate::dicom) length: u32,
    pub(in crate::dicom) value: u64,
}

impl PixelData {
    /// Looks for the pixels of so many frames of so many bytes (where they are native), behind the header of a file.
    pub(super) fn locate(
        file: &HeaderFile,
        frames: usize,
        frame_bytes: u64,
        limits: &Limits,
    ) -> Result<Self, ReadError> {
        let missing = || ReadError::Unreadable("the object has no Pixel Data (7FE0,0010)".to_owned());
        let bytes = file.bytes.open()?;
        let mut position = file.pixel_data.ok_or_else(missing)?;
        let mut extended = Vec::new();
        loop {
            let element = element(&bytes, position, file.encoding)?;
            match element.tag {
                tags::PIXEL_DATA if element.length == UNDEFINED => {
                    let (basic, fragments) = fragments(&bytes, element.value, limits)?;
                    return Ok(Self::Encapsulated(by_frame(&fragments, &[extended, basic], frames)?));
                }
                tags::PIXEL_DATA => return native(&bytes, &element, frames, frame_bytes),
                tags::EXTENDED_OFFSET_TABLE if u64::from(element.length) == 8 * frames as u64 => {
                    extended = numbers(&bytes, &element)?;
                }
                Tag(0x7FE0, number) if number < tags::PIXEL_DATA.1 && element.length != UNDEFINED => {}
                _ => return Err(missing()),
            }
            position = element.value + u64::from(element.length);
        }
    }

    /// Where the bytes of a frame (counted from 0) lie, in their order.
    pub(super) fn frame(&self, frame: usize) -> Vec<Section> {
        match self {
            Self::Native { start, frame_bytes } => {
                vec![Section { offset: start + frame as u64 * frame_bytes, length: *frame_bytes }]
            }
            Self::Encapsulated(frames) => frames[frame].clone(),
        }
    }

    pub(super) fn is_encapsulated(&self) -> bool {
        matches!(self, Self::Encapsulated(_))
    }
}

fn native(bytes: &OpenBytes, element: &Element, frames: usize, frame_bytes: u64) -> Result<PixelData, ReadError> {
    let wanted = frame_bytes.saturating_mul(frames as u64);
    let held = u64::from(element.length).min(bytes.len()?.saturating_sub(element.value));
    if held < wanted {
        let problem = format!("Pixel Data holds {held} bytes; {frames} frames of {frame_bytes} bytes take {wanted}");
        return Err(ReadError::Truncated(problem));
    }
    Ok(PixelData::Native { start: element.value, frame_bytes })
}

/// Reads the header of an element (PS3.5 7.1).
pub(in crate::dicom) fn element(bytes: &OpenBytes, position: u64, encoding: Encoding) -> Result<Element, ReadError> {
    let [a, b, c, d, rest @ ..] = read::<8>(bytes, position)?;
    let big = encoding == Encoding::ExplicitBig;
    let short = |bytes: [u8; 2]| if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
    let long = |bytes: [u8; 4]| if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    let tag = Tag(short([a, b]), short([c, d]));
    let [first, second, third, fourth] = rest;
    let vr = [first, second];
    Ok(match encoding {
        Encoding::ImplicitLittle => Element { tag, vr: *b"UN", length: long(rest), value: position + 8 },
        _ if has_short_length(vr) => {
            Element { tag, vr, length: u32::from(short([third, fourth])), value: position + 8 }
        }
        _ => Element { tag, vr, length: long(read::<4>(bytes, position + 8)?), value: position + 12 },
    })
}

fn read<const N: usize>(bytes: &OpenBytes, position: u64) -> Result<[u8; N], ReadError> {
    let mut read = [0; N];
    bytes.read(position, &mut read)?;
    Ok(read)
}

/// The values of an Extended Offset Table, which is always little endian: encapsulated syntaxes are.
fn numbers(bytes: &OpenBytes, element: &Element) -> Result<Vec<u64>, ReadError> {
    let mut values = vec![0; element.length as usize];
    bytes.read(element.value, &mut values)?;
    Ok(values.as_chunks::<8>().0.iter().map(|value| u64::from_le_bytes(*value)).collect())
}

/// The Basic Offset Table and the fragments behind it, up to their delimiter.
pub(in crate::dicom) fn fragments(bytes: &OpenBytes, start: u64, limits: &Limits) -> Result<(Vec<u64>, Vec<Fragment>), ReadError> {
    let table = element(bytes, start, Encoding::ImplicitLittle)?;
    let end = bytes.len()?;
    if table.tag != ITEM || u64::from(table.length) > end.saturating_sub(table.value) {
        return Err(ReadError::Unreadable("the offset table of Pixel Data (7FE0,0010) is no item of it".to_owned()));
    }
    let mut offsets = vec![0; table.length as usize];
    bytes.read(table.value, &mut offsets)?;
    let offsets = offsets.as_chunks::<4>().0.iter().map(|offset| u64::from(u32::from_le_bytes(*offset))).collect();
    let first = table.value + u64::from(table.length);
    let (mut position, mut fragments) = (first, Vec::new());
    loop {
        let item = element(bytes, position, Encoding::ImplicitLittle)?;
        let after = item.value + u64::from(item.length);
        match item.tag {
            SEQUENCE_DELIMITER => return Ok((offsets, fragments)),
            ITEM if fragments.len() >= limits.elements => {
                return Err(ReadError::Hostile(format!("more than {} fragments", limits.elements)));
            }
            ITEM if after <= end => {
                let begins_stream = item.length >= 4 && begins_stream(read(bytes, item.value)?);
                fragments.push(Fragment {
                    item: position - first,
                    bytes: Section { offset: item.value, length: u64::from(item.length) },
                    begins_stream,
                });
                position = after;
            }
            ITEM => {
                let problem =
                    format!("a fragment of Pixel Data claims {} bytes, {} are left", item.length, end - item.value);
                return Err(ReadError::Truncated(problem));
            }
            tag => {
                let problem = format!("({:04X},{:04X}) was found where a fragment was expected", tag.0, tag.1);
                return Err(ReadError::Unreadable(problem));
            }
        }
    }
}
