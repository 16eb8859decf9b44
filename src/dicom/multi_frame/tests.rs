use std::io::Write as _;

use dicom_core::value::{DataSetSequence, PixelFragmentSequence};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::uids;
use dicom_object::FileMetaTableBuilder;
use dicom_object::mem::InMemElement;

use super::*;
use crate::dicom::elements::{number, text};
use crate::dicom::transfer_syntax::EXPLICIT_VR_BIG_ENDIAN;

const LIMITS: Limits = Limits { object_mib: 4, depth: 8, elements: 200, pixels: 1000 };
const FRAMES: usize = 3;
/// 2 rows of 4 pixels.
const PIXELS: usize = 8;

fn stored(frame: usize) -> Vec<u16> {
    (0..PIXELS).map(|pixel| (frame * 1000 + pixel * 17) as u16).collect()
}

fn header() -> DataSet {
    let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let sequence = |tag, items: Vec<DataSet>| DataElement::new(tag, VR::SQ, DataSetSequence::from(items));
    let frame = |index: usize| {
        let position = DataSet::from_element_iter([text(tags::SLICE_LOCATION, VR::DS, &index.to_string())]);
        DataSet::from_element_iter([sequence(tags::PLANE_POSITION_SEQUENCE, vec![position])])
    };
    DataSet::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, uids::ENHANCED_CT_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3"),
        text(tags::NUMBER_OF_FRAMES, VR::IS, &FRAMES.to_string()),
        number(tags::ROWS, 2),
        number(tags::COLUMNS, 4),
        number(tags::SAMPLES_PER_PIXEL, 1),
        number(tags::BITS_ALLOCATED, 16),
        number(tags::PIXEL_REPRESENTATION, 0),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, (0..FRAMES).map(frame).collect()),
    ])
}

fn native() -> InMemElement {
    let words = (0..FRAMES).flat_map(stored).collect();
    DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(words))
}

fn encapsulated(offsets: Vec<u32>, fragments: Vec<Vec<u8>>) -> InMemElement {
    DataElement::new(tags::PIXEL_DATA, VR::OB, PixelFragmentSequence::new(offsets, fragments))
}

fn opened(syntax: &str, elements: Vec<InMemElement>, change: impl Fn(&mut Vec<u8>)) -> Result<MultiFrame, ReadError> {
    let mut object = header();
    for element in elements {
        object.put(element);
    }
    let object = object.with_meta(FileMetaTableBuilder::new().transfer_syntax(syntax)).expect("meta");
    let mut bytes = Vec::new();
    object.write_all(&mut bytes).expect("write");
    change(&mut bytes);
    let mut file = tempfile::NamedTempFile::new().expect("file");
    file.write_all(&bytes).expect("write");
    let opened = MultiFrame::open(file.path(), &LIMITS);
    // Frames are read later, as long as there is the file.
    drop(file.keep().expect("kept"));
    opened
}

#[test]
fn native_frames_are_read_from_the_middle_of_a_file_in_every_encoding() {
    for syntax in [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ] {
        let object = opened(syntax, vec![native()], |_| {}).unwrap_or_else(|error| panic!("{syntax}: {error}"));
        assert_eq!(object.frames(), FRAMES);
        for frame in [2, 0, 1] {
            let image = object.image(frame).expect("a frame");
            let pixels = image.element(tags::PIXEL_DATA).expect("pixels").to_multi_int::<u16>().expect("words");
            assert_eq!(pixels, stored(frame), "{syntax}, frame {frame}");
            assert_eq!(number(&image, tags::SLICE_LOCATION), Some(frame as f64));
            assert_eq!(text(&image, tags::NUMBER_OF_FRAMES), None);
        }
    }
}

#[test]
fn fragments_of_a_frame_are_joined() {
    let (a, b, c) = (vec![0xFF, 0xD8, 0xFF, 1], vec![2, 3], vec![0xFF, 0xD8, 0xFF, 4]);
    let d = vec![0xFF, 0xD8, 0xFF, 5];
    let fragments = vec![a, b, c, d];
    let long =
        |values: Vec<u64>| DataElement::new(tags::EXTENDED_OFFSET_TABLE, VR::OV, PrimitiveValue::U64(values.into()));
    for elements in [
        vec![encapsulated(vec![0, 22, 34], fragments.clone())],
        vec![encapsulated(Vec::new(), fragments.clone())],
        vec![long(vec![0, 22, 34]), encapsulated(Vec::new(), fragments.clone())],
    ] {
        let object = opened(uids::JPEG_LOSSLESS_SV1, elements, |_| {}).expect("opened");
        let joined =
            |frame| match object.image(frame).expect("a frame").element(tags::PIXEL_DATA).expect("pixels").value() {
                dicom_core::value::Value::PixelSequence(sequence) => sequence.fragments().concat(),
                other => panic!("{other:?}"),
            };
        assert_eq!(
            [joined(0), joined(1), joined(2)],
            [vec![0xFF, 0xD8, 0xFF, 1, 2, 3], vec![0xFF, 0xD8, 0xFF, 4], vec![0xFF, 0xD8, 0xFF, 5]]
        );
    }
}

#[test]
fn an_object_whose_numbers_contradict_each_other_says_which() {
    let explained = |elements: Vec<InMemElement>, change: fn(&mut Vec<u8>)| {
        opened(uids::EXPLICIT_VR_LITTLE_ENDIAN, elements, change).expect_err("an error").to_string()
    };
    let four = DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, PrimitiveValue::from("4"));
    let error = explained(vec![native(), four], |_| {});
    assert!(error.contains("Number of Frames (0028,0008) is 4") && error.contains("3 items"), "{error}");
    let error = explained(vec![native()], |bytes| bytes.truncate(bytes.len() - 2));
    assert!(error.contains("46 bytes; 3 frames of 16 bytes take 48"), "{error}");
    assert!(explained(vec![], |_| {}).contains("no Pixel Data (7FE0,0010)"));
    let error = opened(uids::RLE_LOSSLESS, vec![encapsulated(Vec::new(), vec![vec![1, 2]; 4])], |_| {});
    assert!(error.expect_err("an error").to_string().contains("4 fragments for 3 frames"));
    let cut = opened(uids::RLE_LOSSLESS, vec![encapsulated(Vec::new(), vec![vec![1, 2]; 3])], |bytes| {
        bytes.truncate(bytes.len() - 9);
    });
    assert!(matches!(cut, Err(ReadError::Truncated(_))));
}
