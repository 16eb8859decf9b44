//! Where in an object the pixels of each frame lie.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::super::bounded::{HeaderFile, Limits, OpenBytes, ReadError};
use super::super::prescan::{self, Encoding, ITEM, SEQUENCE_DELIMITER, UNDEFINED};
use super::fragments::{Fragment, Section, begins_stream, by_frame};

/// The places of frames.
#[derive(Debug)]
pub(super) enum PixelData {
    Native(Native),
    /// The fragments of each frame.
    Encapsulated(Vec<Vec<Section>>),
}

/// Frames of equal length, one after another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Native {
    pub(super) start: u64,
    /// Bytes of the value.
    pub(super) length: u64,
    pub(super) frame_bits: u64,
    /// Bytes of a value of its representation, which are swapped in big endian.
    pub(super) width: usize,
}

/// The header of an element of group 7FE0, and where its value lies.
pub(in crate::dicom) struct Element {
    pub(in crate::dicom) tag: Tag,
    pub(in crate::dicom) vr: [u8; 2],
    pub(in crate::dicom) length: u32,
    pub(in crate::dicom) value: u64,
}

impl PixelData {
    /// Looks for the pixels of so many frames of so many bits (where they are native), behind the header of a file. With
    /// them comes the tag of their element.
    pub(super) fn locate(
        file: &HeaderFile,
        frames: usize,
        frame_bits: u64,
        limits: &Limits,
    ) -> Result<(Tag, Self), ReadError> {
        let missing = || ReadError::Unreadable("the object has no Pixel Data (7FE0,0010)".to_owned());
        let bytes = file.bytes.open()?;
        let end = bytes.len()?;
        let mut extended = Vec::new();
        let mut elements = Elements::of(file, &bytes, end);
        while let Some(element) = elements.next().transpose()? {
            match element.tag {
                tags::PIXEL_DATA if element.length == UNDEFINED => {
                    let (basic, fragments) = fragments(&bytes, element.value, limits)?;
                    let found = by_frame(&fragments, &[extended, basic], frames)?;
                    return Ok((element.tag, Self::Encapsulated(found)));
                }
                tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA => {
                    return Ok((element.tag, Self::Native(native(&element, end, frames, frame_bits)?)));
                }
                tags::EXTENDED_OFFSET_TABLE if u64::from(element.length) == 8 * frames as u64 => {
                    extended = numbers(&bytes, &element)?;
                }
                _ => {}
            }
        }
        Err(missing())
    }
}

/// The tag of the element that holds the pixels of a file, if it has any.
pub(super) fn tag(file: &HeaderFile) -> Result<Option<Tag>, ReadError> {
    let bytes = file.bytes.open()?;
    let end = bytes.len()?;
    let last = Elements::of(file, &bytes, end).last().transpose()?.filter(|element| holds_pixels(element.tag));
    match last {
        Some(Element { length, value, .. }) if length != UNDEFINED && value + u64::from(length) > end => {
            Err(ReadError::Truncated(format!("Pixel Data has {length} bytes, of which {} are there", end - value)))
        }
        last => Ok(last.map(|element| element.tag)),
    }
}

fn holds_pixels(tag: Tag) -> bool {
    matches!(tag, tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA)
}

/// The elements of group 7FE0, up to the one with the pixels.
struct Elements<'a> {
    bytes: &'a OpenBytes<'a>,
    /// Where the next one begins.
    position: Option<u64>,
    end: u64,
    encoding: Encoding,
}

impl<'a> Elements<'a> {
    fn of(file: &HeaderFile, bytes: &'a OpenBytes<'a>, end: u64) -> Self {
        Self { bytes, position: file.pixel_data, end, encoding: file.encoding }
    }
}

impl Iterator for Elements<'_> {
    type Item = Result<Element, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let position = self.position.take().filter(|position| *position < self.end)?;
        let element = match element(self.bytes, position, self.end, self.encoding) {
            Ok(element) => element,
            Err(error) => return Some(Err(error)),
        };
        if element.tag.group() != 0x7FE0 {
            return None;
        }
        if !holds_pixels(element.tag) && element.length != UNDEFINED {
            self.position = Some(element.value + u64::from(element.length));
        }
        Some(Ok(element))
    }
}

fn native(element: &Element, end: u64, frames: usize, frame_bits: u64) -> Result<Native, ReadError> {
    let wanted = frame_bits.saturating_mul(frames as u64).div_ceil(8);
    let length = u64::from(element.length).min(end.saturating_sub(element.value));
    if length < wanted {
        let frame_bytes = frame_bits.div_ceil(8);
        let problem = format!("Pixel Data holds {length} bytes; {frames} frames of {frame_bytes} bytes take {wanted}");
        return Err(ReadError::Truncated(problem));
    }
    Ok(Native { start: element.value, length, frame_bits, width: prescan::width(element.vr) })
}

/// Reads the header of an element (PS3.5 7.1) in bytes that end at `end`.
pub(in crate::dicom) fn element(
    bytes: &OpenBytes,
    position: u64,
    end: u64,
    encoding: Encoding,
) -> Result<Element, ReadError> {
    let mut buffer = [0; 12];
    let read = &mut buffer[..end.saturating_sub(position).min(12) as usize];
    bytes.read(position, read)?;
    let prescan::Header { tag, vr, length, value } = prescan::header(read, 0, encoding)?;
    Ok(Element { tag, vr, length, value: position + value as u64 })
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
pub(in crate::dicom) fn fragments(
    bytes: &OpenBytes,
    start: u64,
    limits: &Limits,
) -> Result<(Vec<u64>, Vec<Fragment>), ReadError> {
    let end = bytes.len()?;
    let table = element(bytes, start, end, Encoding::ImplicitLittle)?;
    if table.tag != ITEM || u64::from(table.length) > end.saturating_sub(table.value) {
        return Err(ReadError::Unreadable("the offset table of Pixel Data (7FE0,0010) is no item of it".to_owned()));
    }
    let mut offsets = vec![0; table.length as usize];
    bytes.read(table.value, &mut offsets)?;
    let offsets = offsets.as_chunks::<4>().0.iter().map(|offset| u64::from(u32::from_le_bytes(*offset))).collect();
    let first = table.value + u64::from(table.length);
    let (mut position, mut fragments) = (first, Vec::new());
    loop {
        let item = element(bytes, position, end, Encoding::ImplicitLittle)?;
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
