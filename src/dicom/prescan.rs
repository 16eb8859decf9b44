//! The pre-scan: walks the structure of a data set ([PS3.5 chapter
//! 7](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/chapter_7.html)) without recursion and without
//! copying a value, and decides whether dicom-object may read it.
//!
//! It is stricter than dicom-object wherever the two could read the same bytes differently (a length that is not a
//! multiple of its value's width, delimiters out of place), so what was counted here is what is built there.

use std::collections::HashSet;
use std::ops::Range;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_object::StandardDataDictionary;

use super::limits::{Limits, ReadError};

/// How elements are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Implicit VR Little Endian.
    ImplicitLittle,
    /// Explicit VR Little Endian.
    ExplicitLittle,
    /// Explicit VR Big Endian.
    ExplicitBig,
}

/// How much of a data set is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// What lies before Pixel Data and its float kinds.
    BeforePixelData,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Where the data set ends; what follows is padding.
    pub(super) end: usize,
    /// Where Pixel Data or its float kinds (group 7FE0) begin in the root, if they do.
    pub(super) pixel_data: Option<usize>,
    /// Which of them the root has.
    pub(super) pixel_data_tag: Option<Tag>,
    /// Root elements that dicom-object cannot read, because they hold a value of undefined length that is either of
    /// unknown representation (implicit VR inside, whatever the transfer syntax: PS3.5 6.2.2; dicom-object reads it as
    /// explicit) or private and encapsulated.
    pub(super) unparsable: Vec<Range<usize>>,
    /// Root elements of attributes that came before. The first one counts, as for DCMTK and Orthanc: all must read the same
    /// patient from the same bytes.
    pub(super) duplicates: Vec<Range<usize>>,
}

impl Layout {
    /// What dicom-object is not given, in order.
    pub(super) fn left_out(&self) -> Vec<Range<usize>> {
        let mut ranges = [self.unparsable.as_slice(), &self.duplicates].concat();
        ranges.sort_unstable_by_key(|range| range.start);
        ranges
    }
}

pub(super) const UNDEFINED: u32 = u32::MAX;
pub(super) const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_DELIMITER: Tag = Tag(0xFFFE, 0xE00D);
pub(super) const SEQUENCE_DELIMITER: Tag = Tag(0xFFFE, 0xE0DD);
const NUMBER_OF_FRAMES: Tag = Tag(0x0028, 0x0008);
const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
const FLOAT_PIXEL_DATA: Tag = Tag(0x7FE0, 0x0008);
const DOUBLE_FLOAT_PIXEL_DATA: Tag = Tag(0x7FE0, 0x0009);
const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

/// What dicom-object keeps for each value of a multi-valued text, in bytes.
const TEXT_VALUE_BYTES: u64 = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sequence,
    Item,
    Fragments,
}

/// An open sequence, item or encapsulated Pixel Data.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    /// Nothing inside may go beyond this position.
    bound: usize,
    /// Whether it ends at `bound` rather than with a delimiter.
    defined: bool,
    encoding: Encoding,
    /// Where its first byte lies.
    start: usize,
}

struct Header {
    tag: Tag,
    vr: [u8; 2],
    length: u32,
    value: usize,
}

/// Scans a data set.
pub(super) fn scan(bytes: &[u8], encoding: Encoding, limits: &Limits, extent: Extent) -> Result<Layout, ReadError> {
    let mut scanner = Scanner {
        bytes,
        root: encoding,
        extent,
        limits,
        position: 0,
        frames: Vec::new(),
        sequences: 0,
        elements: 0,
        text_values: 0,
        previous: None,
        seen: HashSet::new(),
        element_start: 0,
        element_unparsable: false,
        element_duplicate: false,
        image: Image::default(),
        layout: Layout {
            end: bytes.len(),
            pixel_data: None,
            pixel_data_tag: None,
            unparsable: Vec::new(),
            duplicates: Vec::new(),
        },
    };
    scanner.run()?;
    scanner.image.check(limits)?;
    Ok(scanner.layout)
}

struct Scanner<'a> {
    bytes: &'a [u8],
    root: Encoding,
    extent: Extent,
    limits: &'a Limits,
    position: usize,
    frames: Vec<Frame>,
    sequences: usize,
    elements: usize,
    text_values: u64,
    /// The last tag of the root.
    previous: Option<Tag>,
    /// All tags of the root so far.
    seen: HashSet<Tag>,
    /// The root element that is being walked.
    element_start: usize,
    element_unparsable: bool,
    element_duplicate: bool,
    image: Image,
    layout: Layout,
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<(), ReadError> {
        loop {
            let Some(frame) = self.frames.last().copied() else {
                self.close_root_element();
                if self.at_end_of_root()? {
                    return Ok(());
                }
                if self.extent == Extent::BeforePixelData && self.at_pixel_data() {
                    self.layout.pixel_data = Some(self.position);
                    self.layout.end = self.position;
                    return Ok(());
                }
                self.element_start = self.position;
                self.element(None)?;
                continue;
            };
            if frame.defined && self.position == frame.bound {
                self.close();
                continue;
            }
            match frame.kind {
                Kind::Sequence => self.item(frame)?,
                Kind::Item => self.element(Some(frame))?,
                Kind::Fragments => self.fragment(frame)?,
            }
        }
    }

    fn at_pixel_data(&self) -> bool {
        read_tag(&self.bytes[self.position..], self.root).0 == 0x7FE0
    }

    fn close_root_element(&mut self) {
        let element = self.element_start..self.position;
        let unparsable = std::mem::take(&mut self.element_unparsable);
        if std::mem::take(&mut self.element_duplicate) {
            self.layout.duplicates.push(element);
        } else if unparsable {
            self.layout.unparsable.push(element);
        }
    }

    /// True where the root ends: at the last byte, before padding, or before foreign bytes after Pixel Data.
    fn at_end_of_root(&mut self) -> Result<bool, ReadError> {
        let rest = &self.bytes[self.position..];
        if rest.is_empty() {
            return Ok(true);
        }
        let after_pixels = self.layout.pixel_data.is_some();
        let padding = self.previous.is_some() && rest.iter().all(|byte| *byte == 0);
        let foreign = after_pixels && rest.get(..4).is_none_or(|tag| self.previous >= Some(read_tag(tag, self.root)));
        if padding || foreign {
            self.layout.end = self.position;
            return Ok(true);
        }
        if rest.len() < 8 {
            return Err(ReadError::Truncated(format!(
                "{} bytes are left at offset {} where an element was expected",
                rest.len(),
                self.position
            )));
        }
        Ok(false)
    }

    fn element(&mut self, frame: Option<Frame>) -> Result<(), ReadError> {
        self.count()?;
        let encoding = frame.map_or(self.root, |frame| frame.encoding);
        let bound = frame.map_or(self.bytes.len(), |frame| frame.bound);
        let header = self.header(encoding, bound)?;
        if header.tag.0 == 0xFFFE {
            return self.end_item(&header, frame);
        }
        if frame.is_none() {
            self.check_root_tag(header.tag)?;
        }
        self.position = header.value;
        if header.length == UNDEFINED {
            return self.open_undefined(&header, encoding, bound);
        }
        let end = self.end_of(header.tag, header.length, bound)?;
        if &header.vr == b"SQ" {
            return self.open(Kind::Sequence, end, true, encoding);
        }
        self.value(&header, end, encoding, frame.is_none())?;
        self.position = end;
        Ok(())
    }

    /// Reads an element's header; in implicit VR the representation comes from the dictionary, as in dicom-object.
    fn header(&self, encoding: Encoding, bound: usize) -> Result<Header, ReadError> {
        let start = self.position;
        let [first, second, third, fourth, rest @ ..] = self.take::<8>(start, bound)?;
        let tag = read_tag(&[first, second, third, fourth], encoding);
        let long = |bytes: [u8; 4]| match encoding {
            Encoding::ExplicitBig => u32::from_be_bytes(bytes),
            _ => u32::from_le_bytes(bytes),
        };
        if tag.0 == 0xFFFE {
            return Ok(Header { tag, vr: *b"UN", length: long(rest), value: start + 8 });
        }
        if encoding == Encoding::ImplicitLittle {
            return Ok(Header { tag, vr: dictionary_vr(tag), length: long(rest), value: start + 8 });
        }
        let vr = [rest[0], rest[1]];
        if has_short_length(vr) {
            let bytes = [rest[2], rest[3]];
            let length = match encoding {
                Encoding::ExplicitBig => u16::from_be_bytes(bytes),
                _ => u16::from_le_bytes(bytes),
            };
            return Ok(Header { tag, vr, length: u32::from(length), value: start + 8 });
        }
        // PS3.5 6.2: representations that are not known yet have two upper-case letters and a 32-bit length.
        if !vr.iter().all(u8::is_ascii_uppercase) {
            return Err(ReadError::Unreadable(format!(
                "{} at offset {start} has no value representation; the transfer syntax may be another",
                name(tag)
            )));
        }
        let [.., a, b, c, d] = self.take::<12>(start, bound)?;
        Ok(Header { tag, vr, length: long([a, b, c, d]), value: start + 12 })
    }

    fn take<const N: usize>(&self, start: usize, bound: usize) -> Result<[u8; N], ReadError> {
        if let Some(bytes) = self.bytes[start..bound].first_chunk::<N>() {
            return Ok(*bytes);
        }
        let what = format!("at offset {start}, {} bytes are left where a header was expected", bound - start);
        Err(if bound == self.bytes.len() { ReadError::Truncated(what) } else { ReadError::Unreadable(what) })
    }

    /// Where a value ends. Its length is checked against the limit, the bytes that are left, and what encloses it.
    fn end_of(&self, tag: Tag, length: u32, bound: usize) -> Result<usize, ReadError> {
        let start = self.position;
        if u64::from(length) > self.limits.object_bytes() {
            return Err(ReadError::Hostile(format!(
                "{} claims {length} bytes; an object may have {} MiB",
                name(tag),
                self.limits.object_mib
            )));
        }
        let end = start + length as usize;
        if end > self.bytes.len() {
            return Err(ReadError::Truncated(format!(
                "{} claims {length} bytes, {} are left",
                name(tag),
                self.bytes.len() - start
            )));
        }
        if end > bound {
            let problem = format!("{} goes beyond the end of the item that encloses it", name(tag));
            return Err(ReadError::Unreadable(problem));
        }
        Ok(end)
    }

    fn check_root_tag(&mut self, tag: Tag) -> Result<(), ReadError> {
        if matches!(tag.0, 0x0000..=0x0003 | 0x0005..=0x0007 | 0xFFFF) {
            return Err(ReadError::Unreadable(format!("{} does not belong in a data set", name(tag))));
        }
        // PS3.5 7.1 demands ascending order; what swaps elements is stored everywhere else, too.
        self.element_duplicate = !self.seen.insert(tag);
        self.previous = Some(tag);
        if tag.0 == 0x7FE0 && self.layout.pixel_data.is_none() {
            self.layout.pixel_data = Some(self.position);
        }
        if matches!(tag, FLOAT_PIXEL_DATA | DOUBLE_FLOAT_PIXEL_DATA | PIXEL_DATA) {
            self.layout.pixel_data_tag.get_or_insert(tag);
        }
        Ok(())
    }

    fn open_undefined(&mut self, header: &Header, encoding: Encoding, bound: usize) -> Result<(), ReadError> {
        let implicit = encoding == Encoding::ImplicitLittle;
        match &header.vr {
            b"SQ" => self.open(Kind::Sequence, bound, false, encoding),
            b"OB" | b"OW" | b"UN" if header.tag == PIXEL_DATA && !implicit => {
                self.open(Kind::Fragments, bound, false, encoding)
            }
            // Vendors encapsulate pixels of their own in private elements; dicom-object takes each of them for a
            // sequence.
            b"OB" | b"OW" if header.tag.0 % 2 == 1 && !implicit => {
                self.element_unparsable = true;
                self.open(Kind::Fragments, bound, false, encoding)
            }
            // PS3.5 6.2.2: a sequence whose representation the sender did not know, always implicit inside.
            b"UN" => {
                self.element_unparsable |= !implicit;
                self.open(Kind::Sequence, bound, false, Encoding::ImplicitLittle)
            }
            _ => {
                let problem = format!("{} has an undefined length, which is not allowed", name(header.tag));
                Err(ReadError::Unreadable(problem))
            }
        }
    }

    fn value(&mut self, header: &Header, end: usize, encoding: Encoding, root: bool) -> Result<(), ReadError> {
        let value = &self.bytes[header.value..end];
        let width = width(header.vr);
        if !value.len().is_multiple_of(width) {
            return Err(ReadError::Unreadable(format!(
                "{} has {} bytes, which is not a multiple of {width}",
                name(header.tag),
                value.len()
            )));
        }
        if is_multi_valued_text(header.vr) {
            self.text_values += value.split(|byte| *byte == b'\\').count() as u64;
            if self.text_values * TEXT_VALUE_BYTES > self.limits.object_bytes() {
                return Err(ReadError::Hostile(format!("{} text values", self.text_values)));
            }
        }
        if root && !self.element_duplicate {
            self.image.note(header.tag, value, encoding);
        }
        Ok(())
    }

    fn item(&mut self, frame: Frame) -> Result<(), ReadError> {
        self.count()?;
        let header = self.header(frame.encoding, frame.bound)?;
        self.position = header.value;
        match header.tag {
            ITEM if header.length == UNDEFINED => self.open(Kind::Item, frame.bound, false, frame.encoding),
            ITEM => {
                let end = self.end_of(ITEM, header.length, frame.bound)?;
                self.open(Kind::Item, end, true, frame.encoding)
            }
            SEQUENCE_DELIMITER if !frame.defined => {
                self.close();
                Ok(())
            }
            tag => Err(ReadError::Unreadable(format!("{} was found where an item was expected", name(tag)))),
        }
    }

    fn end_item(&mut self, header: &Header, frame: Option<Frame>) -> Result<(), ReadError> {
        if header.tag == ITEM_DELIMITER && header.length == 0 && frame.is_some_and(|frame| !frame.defined) {
            self.position = header.value;
            self.close();
            return Ok(());
        }
        Err(ReadError::Unreadable(format!("{} at offset {} is out of place", name(header.tag), self.position)))
    }

    fn fragment(&mut self, frame: Frame) -> Result<(), ReadError> {
        self.count()?;
        let header = self.header(frame.encoding, frame.bound)?;
        // The first item is the Basic Offset Table (PS3.5 A.4), a list of 32-bit offsets.
        let offset_table = self.position == frame.start;
        self.position = header.value;
        match header.tag {
            ITEM if header.length == UNDEFINED => {
                Err(ReadError::Unreadable("a fragment of Pixel Data has an undefined length".to_owned()))
            }
            ITEM if offset_table && !header.length.is_multiple_of(4) => {
                Err(ReadError::Unreadable(format!("the offset table has {} bytes", header.length)))
            }
            ITEM => {
                self.position = self.end_of(PIXEL_DATA, header.length, frame.bound)?;
                Ok(())
            }
            SEQUENCE_DELIMITER => {
                self.close();
                Ok(())
            }
            tag => Err(ReadError::Unreadable(format!("{} was found where a fragment was expected", name(tag)))),
        }
    }

    fn open(&mut self, kind: Kind, bound: usize, defined: bool, encoding: Encoding) -> Result<(), ReadError> {
        if kind == Kind::Sequence {
            self.sequences += 1;
            if self.sequences > self.limits.depth {
                return Err(ReadError::Hostile(format!("sequences are nested {} deep", self.sequences)));
            }
        }
        self.frames.push(Frame { kind, bound, defined, encoding, start: self.position });
        Ok(())
    }

    fn close(&mut self) {
        if self.frames.pop().is_some_and(|frame| frame.kind == Kind::Sequence) {
            self.sequences -= 1;
        }
    }

    fn count(&mut self) -> Result<(), ReadError> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(ReadError::Hostile(format!("more than {} elements", self.limits.elements)));
        }
        Ok(())
    }
}

/// The attributes of the image in the root.
#[derive(Debug, Default)]
struct Image {
    rows: Option<u64>,
    columns: Option<u64>,
    frames: Option<u64>,
    bits_allocated: Option<u64>,
    /// Bytes of Pixel Data, if it is native.
    native_bytes: Option<u64>,
}

impl Image {
    fn note(&mut self, tag: Tag, value: &[u8], encoding: Encoding) {
        let short = || {
            let bytes = *value.first_chunk::<2>()?;
            Some(u64::from(match encoding {
                Encoding::ExplicitBig => u16::from_be_bytes(bytes),
                _ => u16::from_le_bytes(bytes),
            }))
        };
        match tag {
            ROWS => self.rows = short(),
            COLUMNS => self.columns = short(),
            BITS_ALLOCATED => self.bits_allocated = short(),
            NUMBER_OF_FRAMES => {
                let text = std::str::from_utf8(value).unwrap_or_default();
                self.frames = text.split('\\').next().and_then(|text| text.trim_matches([' ', '\0']).parse().ok());
            }
            PIXEL_DATA => self.native_bytes = Some(value.len() as u64),
            _ => {}
        }
    }

    fn check(&self, limits: &Limits) -> Result<(), ReadError> {
        let (Some(rows), Some(columns)) = (self.rows, self.columns) else { return Ok(()) };
        let frames = self.frames.unwrap_or(1);
        let pixels = (rows * columns).saturating_mul(frames);
        if pixels > limits.pixels {
            return Err(ReadError::Hostile(format!("{rows} rows x {columns} columns x {frames} frames")));
        }
        // One sample per pixel is the least there can be; subsampled colour has between one and three.
        let least = pixels.saturating_mul(self.bits_allocated.unwrap_or(8)) / 8;
        match self.native_bytes {
            Some(bytes) if bytes < least => Err(ReadError::Truncated(format!(
                "Pixel Data holds {bytes} bytes; {rows} rows x {columns} columns x {frames} frames take {least}"
            ))),
            _ => Ok(()),
        }
    }
}

fn read_tag(bytes: &[u8], encoding: Encoding) -> Tag {
    let [a, b, c, d] = *bytes.first_chunk::<4>().unwrap_or(&[0; 4]);
    match encoding {
        Encoding::ExplicitBig => Tag(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
        _ => Tag(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])),
    }
}

fn name(tag: Tag) -> String {
    format!("element ({:04X},{:04X})", tag.0, tag.1)
}

/// The representation dicom-object assumes in implicit VR.
fn dictionary_vr(tag: Tag) -> [u8; 2] {
    if tag == PIXEL_DATA || (tag.0 >> 8 == 0x60 && tag.1 == 0x3000) {
        return *b"OW";
    }
    StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed()).to_bytes()
}

/// Representations with a 16-bit length in explicit VR (PS3.5 7.1.2).
pub(super) fn has_short_length(vr: [u8; 2]) -> bool {
    matches!(
        &vr,
        b"AE"
            | b"AS"
            | b"AT"
            | b"CS"
            | b"DA"
            | b"DS"
            | b"DT"
            | b"FL"
            | b"FD"
            | b"IS"
            | b"LO"
            | b"LT"
            | b"PN"
            | b"SH"
            | b"SL"
            | b"SS"
            | b"ST"
            | b"TM"
            | b"UI"
            | b"UL"
            | b"US"
    )
}

/// Bytes of one value of fixed width; 1 where the width is free.
fn width(vr: [u8; 2]) -> usize {
    match &vr {
        b"US" | b"SS" | b"OW" => 2,
        b"AT" | b"FL" | b"SL" | b"UL" | b"OF" | b"OL" => 4,
        b"FD" | b"SV" | b"UV" | b"OD" | b"OV" => 8,
        _ => 1,
    }
}

fn is_multi_valued_text(vr: [u8; 2]) -> bool {
    matches!(&vr, b"AE" | b"AS" | b"CS" | b"DA" | b"DS" | b"DT" | b"IS" | b"LO" | b"PN" | b"SH" | b"TM" | b"UC" | b"UI")
}
