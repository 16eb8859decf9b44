//! Which fragments of encapsulated Pixel Data are of which frame
//! ([PS3.5 A.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_A.4.html)).

use super::super::bounded::ReadError;

/// A section of the bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dicom) struct Section {
    pub(in crate::dicom) offset: u64,
    pub(in crate::dicom) length: u64,
}

/// A fragment: where its item begins, counted from the first fragment's, and where its bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dicom) struct Fragment {
    pub(super) item: u64,
    pub(in crate::dicom) bytes: Section,
    /// Its first bytes begin a code stream of JPEG, JPEG-LS, JPEG 2000 or JPEG XL.
    pub(super) begins_stream: bool,
}

/// True for the bytes that begin a code stream: SOI of JPEG and JPEG-LS (ITU-T T.81 B.1.1.3, T.87), SOC and SIZ of JPEG
/// 2000 (T.800 A.4), the signature of JPEG XL (ISO 18181).
pub(super) fn begins_stream(bytes: [u8; 4]) -> bool {
    matches!(bytes, [0xFF, 0xD8, 0xFF, _] | [0xFF, 0x4F, 0xFF, 0x51] | [0xFF, 0x0A, ..])
}

/// The bytes of each frame: by the offsets of a table where they are those of fragments; else a fragment a frame, all
/// fragments for a single frame, or a frame wherever a code stream begins.
pub(super) fn by_frame(
    fragments: &[Fragment],
    tables: &[Vec<u64>],
    frames: usize,
) -> Result<Vec<Vec<Section>>, ReadError> {
    let mut ways = tables.iter().filter_map(|offsets| by_offsets(fragments, offsets, frames));
    if let Some(found) = ways.next() {
        return Ok(found);
    }
    if fragments.len() == frames {
        return Ok(fragments.iter().map(|fragment| vec![fragment.bytes]).collect());
    }
    let starts: Vec<u64> = match frames {
        1 => fragments.first().map(|fragment| fragment.item).into_iter().collect(),
        _ => fragments.iter().filter(|fragment| fragment.begins_stream).map(|fragment| fragment.item).collect(),
    };
    by_offsets(fragments, &starts, frames).ok_or_else(|| {
        ReadError::Unreadable(format!(
            "Pixel Data (7FE0,0010) has {} fragments for {frames} frames, and no offset table tells which are of which",
            fragments.len()
        ))
    })
}

/// `None` unless the offsets are those of fragments, one a frame, the first fragment's first.
fn by_offsets(fragments: &[Fragment], offsets: &[u64], frames: usize) -> Option<Vec<Vec<Section>>> {
    if offsets.len() != frames || offsets.first() != Some(&0) {
        return None;
    }
    let mut found: Vec<Vec<Section>> = Vec::with_capacity(frames);
    for fragment in fragments {
        if offsets.get(found.len()) == Some(&fragment.item) {
            found.push(Vec::new());
        }
        found.last_mut()?.push(fragment.bytes);
    }
    (found.len() == frames).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fragments of so many bytes; those marked begin a code stream.
    fn fragments(lengths: &[(u64, bool)]) -> Vec<Fragment> {
        let mut item = 0;
        let mut fragment = |(length, begins_stream): &(u64, bool)| {
            let bytes = Section { offset: item + 108, length: *length };
            let fragment = Fragment { item, bytes, begins_stream: *begins_stream };
            item += length + 8;
            fragment
        };
        lengths.iter().map(&mut fragment).collect()
    }

    fn counts(found: &Result<Vec<Vec<Section>>, ReadError>) -> Vec<usize> {
        found.as_ref().expect("assigned").iter().map(Vec::len).collect()
    }

    #[test]
    fn frames_of_several_fragments_are_found_by_offsets_or_by_their_code_streams() {
        let three = fragments(&[(10, true), (4, false), (6, true)]);
        assert_eq!(counts(&by_frame(&three, &[vec![0, 30]], 2)), [2, 1]);
        assert_eq!(counts(&by_frame(&three, &[], 2)), [2, 1], "no table");
        assert_eq!(counts(&by_frame(&three, &[vec![0, 29]], 2)), [2, 1], "a table of other offsets");
        assert_eq!(counts(&by_frame(&three, &[vec![], vec![0, 30]], 2)), [2, 1], "the second table");
        assert_eq!(by_frame(&three, &[], 2).expect("assigned")[1], [Section { offset: 138, length: 6 }]);
    }

    #[test]
    fn without_a_table_there_is_a_fragment_a_frame_or_one_frame() {
        let raw = fragments(&[(10, false), (4, false)]);
        assert_eq!(counts(&by_frame(&raw, &[], 2)), [1, 1]);
        assert_eq!(counts(&by_frame(&raw, &[], 1)), [2]);
    }

    #[test]
    fn fragments_that_cannot_be_told_apart_are_an_error_with_their_numbers() {
        let raw = fragments(&[(10, false), (4, false), (8, false)]);
        let error = by_frame(&raw, &[], 2).expect_err("an error").to_string();
        assert!(error.contains("3 fragments for 2 frames"), "{error}");
        assert!(by_frame(&raw, &[], 4).is_err());
        assert!(by_frame(&[], &[], 1).is_err());
    }
}
