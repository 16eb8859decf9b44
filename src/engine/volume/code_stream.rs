//! What the header of a compressed image says of its size and numbers, which must be what the data set says.
//!
//! Decoders believe the code stream, and whoever reads their bytes believes the data set: where the two differ, the
//! pixels lie in other rows or are other numbers.

use std::borrow::Cow;

use dicom_dictionary_std::tags;

use crate::dicom::elements::DataSet;

/// What a data set says of its image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stated {
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) bits_allocated: u32,
    pub(super) bits_stored: u32,
    pub(super) signed: bool,
}

/// What a code stream says of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CodeStream {
    coding: &'static str,
    rows: u32,
    columns: u32,
    components: u32,
    bits: u32,
    /// Whether its numbers are signed; `None` for codings that do not say so.
    signed: Option<bool>,
}

impl CodeStream {
    /// The code stream of an image; `None` for one that is not compressed, by run lengths, or not known.
    pub(super) fn of(object: &DataSet) -> Option<Self> {
        let fragments = object.element_opt(tags::PIXEL_DATA).ok()??.value().fragments()?;
        let bytes = match fragments {
            [one] => Cow::Borrowed(one.as_slice()),
            many => Cow::Owned(many.concat()),
        };
        Self::read(&bytes)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        /// Start of image, of JPEG and JPEG-LS.
        const JPEG: [u8; 2] = [0xff, 0xd8];
        /// Start of a JPEG 2000 code stream, and its size marker, which comes first.
        const JPEG_2000: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];
        /// A JP2 file around a code stream. PS3.5 A.4.4 does not allow it; archives have it.
        const JP2: [u8; 8] = [0, 0, 0, 12, b'j', b'P', b' ', b' '];
        if let Some(segments) = bytes.strip_prefix(&JPEG) {
            return Self::jpeg(segments);
        }
        let start = match bytes {
            _ if bytes.starts_with(&JPEG_2000) => 0,
            _ if bytes.starts_with(&JP2) => bytes.windows(JPEG_2000.len()).position(|window| window == JPEG_2000)?,
            _ => return None,
        };
        Self::jpeg_2000(&bytes[start + JPEG_2000.len()..])
    }

    /// The frame header among the segments before the first scan (ITU-T T.81 B.2.2, T.87 C.2.2).
    fn jpeg(mut segments: &[u8]) -> Option<Self> {
        loop {
            let [0xff, marker, rest @ ..] = segments else { return None };
            match marker {
                // A fill byte.
                0xff => segments = &segments[1..],
                // Markers that stand alone.
                0x01 | 0xd0..=0xd8 => segments = rest,
                // Tables that are numbered among the frames.
                0xc4 | 0xc8 | 0xcc => segments = after(rest)?,
                0xc0..=0xcf | 0xf7 => {
                    return Some(Self {
                        coding: if *marker == 0xf7 { "JPEG-LS" } else { "JPEG" },
                        bits: u32::from(*rest.get(2)?),
                        rows: number::<2>(rest, 3)?,
                        columns: number::<2>(rest, 5)?,
                        components: u32::from(*rest.get(7)?),
                        signed: None,
                    });
                }
                _ => segments = after(rest)?,
            }
        }
    }

    /// Image and tile size (ITU-T T.800 A.5.1), which is the same in high-throughput JPEG 2000.
    fn jpeg_2000(size: &[u8]) -> Option<Self> {
        let [depth, across, down] = *size.get(38..)?.first_chunk::<3>()?;
        let length = |end, start, step: u8| {
            let places = |at| Some(number::<4>(size, at)?.div_ceil(u32::from(step).max(1)));
            places(end)?.checked_sub(places(start)?)
        };
        Some(Self {
            coding: "JPEG 2000",
            rows: length(8, 16, down)?,
            columns: length(4, 12, across)?,
            components: number::<2>(size, 36)?,
            bits: u32::from(depth & 0x7f) + 1,
            signed: Some(depth & 0x80 != 0),
        })
    }

    /// Why the numbers that a decoder gives are not those of the image that the data set describes.
    pub(super) fn contradiction(&self, stated: &Stated) -> Option<String> {
        let Stated { rows, columns, bits_allocated, bits_stored, signed } = *stated;
        let differs = if (self.rows, self.columns) != (rows, columns) {
            format!(
                "{} rows and {} columns; Rows (0028,0010) is {rows}, Columns (0028,0011) {columns}",
                self.rows, self.columns
            )
        } else if self.components != 1 {
            format!("{} components; Samples per Pixel (0028,0002) is 1", self.components)
        } else if !self.keeps(stated) {
            let sign = match self.signed {
                Some(true) => " signed",
                Some(false) => " unsigned",
                None => "",
            };
            format!(
                "{} bits{sign}; Bits Stored (0028,0101) is {bits_stored} of {bits_allocated}, Pixel Representation \
                 (0028,0103) {}",
                self.bits,
                u8::from(signed)
            )
        } else {
            return None;
        };
        Some(format!("the {} code stream has {differs}", self.coding))
    }

    /// True if decoded numbers are read as they were written.
    ///
    /// More bits than are stored do no harm: overlays lie there, or nothing. Fewer ones leave the sign open, unless
    /// there is none or the code stream has it.
    fn keeps(&self, stated: &Stated) -> bool {
        let same_bytes = self.bits.div_ceil(8) == stated.bits_allocated / 8 || self.signed.is_some();
        let sign = match self.signed {
            Some(true) => stated.signed,
            Some(false) | None => !stated.signed || self.bits >= stated.bits_stored,
        };
        self.bits <= stated.bits_allocated && same_bytes && sign
    }
}

/// What follows a segment, whose length is its first two bytes.
fn after(segment: &[u8]) -> Option<&[u8]> {
    segment.get(usize::try_from(number::<2>(segment, 0)?).ok()?..)
}

/// A number of so many bytes, the most significant first.
fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..)?.first_chunk::<BYTES>()?;
    Some(digits.iter().fold(0, |number, digit| (number << 8) | u32::from(*digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATED: Stated = Stated { rows: 256, columns: 512, bits_allocated: 16, bits_stored: 12, signed: true };

    /// A JPEG stream with a table, a comment, a fill byte and a frame.
    fn jpeg(frame: u8, bits: u8, rows: u16, columns: u16, components: u8) -> Vec<u8> {
        let [a, b] = rows.to_be_bytes();
        let [c, d] = columns.to_be_bytes();
        let before = [0xff, 0xd8, 0xff, 0xc4, 0, 4, 0xff, 0xc0, 0xff, 0xfe, 0, 3, 7, 0xff];
        [&before[..], &[0xff, frame, 0, 11, bits, a, b, c, d, components, 1, 0x11, 0]].concat()
    }

    /// A JPEG 2000 stream of one component; `depth` is its bits less one, and the sign above.
    fn jpeg_2000(depth: u8, rows: u32, columns: u32) -> Vec<u8> {
        // The image begins at column 3 and row 5 of its grid.
        let grid = [columns + 3, rows + 5, 3, 5, columns, rows, 0, 0].map(u32::to_be_bytes).concat();
        [&[0xff, 0x4f, 0xff, 0x51, 0, 41, 0, 0], grid.as_slice(), &[0, 1, depth, 1, 1]].concat()
    }

    fn told(bytes: &[u8], stated: Stated) -> Option<String> {
        CodeStream::read(bytes).expect("a code stream").contradiction(&stated)
    }

    #[test]
    fn streams_of_every_coding_that_agree_with_their_data_set_pass() {
        for bytes in [jpeg(0xc3, 12, 256, 512, 1), jpeg(0xf7, 16, 256, 512, 1), jpeg_2000(0x8b, 256, 512)] {
            assert_eq!(told(&bytes, STATED), None);
        }
        let in_a_file = [&[0, 0, 0, 12, b'j', b'P', b' ', b' ', 13, 10], jpeg_2000(0x8b, 256, 512).as_slice()].concat();
        assert_eq!(told(&in_a_file, STATED), None);
    }

    #[test]
    fn another_size_or_more_components_are_told_with_their_numbers() {
        for bytes in [jpeg(0xc3, 12, 1024, 128, 1), jpeg(0xf7, 12, 1024, 128, 1), jpeg_2000(0x8b, 1024, 128)] {
            let told = told(&bytes, STATED).expect("a contradiction");
            assert!(told.contains("1024 rows and 128 columns"), "{told}");
            assert!(told.contains("Rows (0028,0010) is 256, Columns (0028,0011) 512"), "{told}");
        }
        let told = told(&jpeg(0xc0, 8, 256, 512, 3), STATED).expect("a contradiction");
        assert_eq!(told, "the JPEG code stream has 3 components; Samples per Pixel (0028,0002) is 1");
    }

    #[test]
    fn bits_may_differ_where_the_numbers_are_the_same() {
        let unsigned = Stated { signed: false, ..STATED };
        // Fewer bits with a sign that the stream has, or without any sign.
        assert_eq!(told(&jpeg_2000(0x89, 256, 512), STATED), None);
        assert_eq!(told(&jpeg_2000(0x09, 256, 512), unsigned), None);
        assert_eq!(told(&jpeg(0xc3, 10, 256, 512, 1), unsigned), None);
        // As many as are stored, without a sign: its bit is where it is looked for.
        assert_eq!(told(&jpeg_2000(0x0b, 256, 512), STATED), None);
        let refused = [
            (jpeg(0xc3, 10, 256, 512, 1), STATED),
            (jpeg(0xc0, 8, 256, 512, 1), unsigned),
            (jpeg_2000(0x09, 256, 512), STATED),
            (jpeg_2000(0x8b, 256, 512), unsigned),
            (jpeg_2000(0x0b, 256, 512), Stated { bits_allocated: 8, bits_stored: 8, ..unsigned }),
        ];
        for (bytes, stated) in refused {
            let told = told(&bytes, stated).expect("a contradiction");
            assert!(told.contains("bits") && told.contains("Bits Stored (0028,0101) is"), "{told}");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_code_stream_says_nothing() {
        for bytes in [jpeg(0xc3, 12, 256, 512, 1), jpeg_2000(0x8b, 256, 512)] {
            let said = (0..bytes.len()).filter(|length| CodeStream::read(&bytes[..*length]).is_some()).count();
            // Of JPEG, the tables of the only component are not asked.
            assert!(said <= 3, "{said}");
        }
        assert_eq!(CodeStream::read(&[2, 0, 0, 0, 64, 0, 0, 0]), None);
        assert_eq!(CodeStream::read(&[0xff, 0xd8, 0xff, 0xfe, 0, 0, 0xff, 0xc3]), None);
    }
}
