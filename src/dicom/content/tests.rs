use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::Tag;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::*;
use crate::dicom::transfer_syntax::EXPLICIT_VR_BIG_ENDIAN;

const LIMITS: Limits = Limits { object_mib: 1, depth: 8, elements: 2000, pixels: 1 << 20 };

/// A small image with text, numbers, a sequence and a private block.
fn image(more: impl IntoIterator<Item = DataElement<dicom_object::InMemDicomObject>>) -> DataSet {
    let mut image = DataSet::from_element_iter([
        DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
        DataElement::new(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3"),
        DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, "1.2"),
        DataElement::new(tags::PATIENT_NAME, VR::PN, "Größe^Jürgen"),
        DataElement::new(tags::PATIENT_ID, VR::LO, "A1"),
        DataElement::new(tags::IMAGE_POSITION_PATIENT, VR::DS, "1.5\\2\\3 "),
        DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(2_u16)),
        DataElement::new(tags::COLUMNS, VR::US, PrimitiveValue::from(2_u16)),
        DataElement::new(tags::BITS_ALLOCATED, VR::US, PrimitiveValue::from(16_u16)),
        DataElement::new(
            tags::PROCEDURE_CODE_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(vec![DataSet::from_element_iter([DataElement::new(tags::CODE_VALUE, VR::SH, "CT")])]),
        ),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16([1, 2, 3, 0x1234].as_slice().into())),
    ]);
    for element in more {
        image.put(element);
    }
    image
}

fn encoded(data_set: &DataSet, transfer_syntax_uid: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let syntax = TransferSyntaxRegistry.get(transfer_syntax_uid).expect("known");
    data_set.write_dataset_with_ts(&mut bytes, syntax).expect("written");
    bytes
}

fn read_as(data_set: &DataSet, transfer_syntax_uid: &str) -> (DataSet, PixelDigest) {
    read(&encoded(data_set, transfer_syntax_uid), transfer_syntax_uid, &LIMITS).expect("read")
}

fn digest(data_set: &DataSet, transfer_syntax_uid: &str) -> ContentDigest {
    let (header, pixels) = read_as(data_set, transfer_syntax_uid);
    Content { header: &header, pixels }.digest()
}

fn difference(first: &DataSet, second: &DataSet) -> Difference {
    let [first, second] = [first, second].map(|object| read_as(object, uids::EXPLICIT_VR_LITTLE_ENDIAN));
    let [first, second] = [&first, &second].map(|(header, pixels)| Content { header, pixels: *pixels });
    Difference::between(first, second)
}

#[test]
fn the_same_object_in_every_encoding_has_the_same_content() {
    let object = image([]);
    let explicit = digest(&object, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    for syntax in [uids::IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN] {
        assert_eq!(digest(&object, syntax), explicit, "{syntax}");
    }
    let utf8 = image([DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192")]);
    assert_eq!(digest(&utf8, uids::EXPLICIT_VR_LITTLE_ENDIAN), explicit, "another character set");
}

#[test]
fn what_may_be_written_in_several_ways_is_the_same() {
    let written = |position, name, time| {
        image([
            DataElement::new(tags::IMAGE_POSITION_PATIENT, VR::DS, position),
            DataElement::new(tags::PATIENT_NAME, VR::PN, name),
            DataElement::new(tags::STUDY_TIME, VR::TM, time),
        ])
    };
    let plain = written("1.5\\2\\-0", "Doe^Jane", "101500");
    for other in [
        written("1.50\\2.000000\\0", "Doe^Jane^^^", "101500.000"),
        written("+1.5e0\\ 2 \\0.0", "Doe^Jane==", "101500."),
    ] {
        assert_eq!(difference(&plain, &other), Difference::default());
        assert_eq!(digest(&plain, uids::EXPLICIT_VR_LITTLE_ENDIAN), digest(&other, uids::IMPLICIT_VR_LITTLE_ENDIAN));
    }
    let mut counted = plain.clone();
    counted.put(DataElement::new(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, VR::IS, "300"));
    counted.put(DataElement::new(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"));
    assert_eq!(difference(&plain, &counted), Difference::default(), "what an answer to a query adds");
}

#[test]
fn any_other_value_is_another_content() {
    let object = image([]);
    let explicit = digest(&object, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    for other in [
        DataElement::new(tags::PATIENT_ID, VR::LO, "A2"),
        DataElement::new(tags::IMAGE_POSITION_PATIENT, VR::DS, "1.5\\2\\4"),
        DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16([1, 2, 3, 4].as_slice().into())),
        DataElement::new(
            tags::PROCEDURE_CODE_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(vec![DataSet::from_element_iter([DataElement::new(tags::CODE_VALUE, VR::SH, "MR")])]),
        ),
    ] {
        assert_ne!(digest(&image([other]), uids::EXPLICIT_VR_LITTLE_ENDIAN), explicit);
    }
}

#[test]
fn what_a_router_adds_or_removes_is_no_difference() {
    let routed = image([
        DataElement::new(tags::RETRIEVE_AE_TITLE, VR::AE, "ROUTER"),
        DataElement::new(tags::INSTITUTION_NAME, VR::LO, "Hospital"),
        DataElement::new(Tag(0x0009, 0x0010), VR::LO, "VENDOR"),
    ]);
    assert_eq!(difference(&image([]), &routed).subject(), None);
    assert_eq!(difference(&routed, &image([])).subject(), None);
}

#[test]
fn a_difference_says_what_it_is_about() {
    let changed = |element| difference(&image([]), &image([element])).subject();
    assert_eq!(changed(DataElement::new(tags::PATIENT_ID, VR::LO, "A2")), Some(Subject::Patient));
    assert_eq!(changed(DataElement::new(tags::PATIENT_ID, VR::LO, "")), Some(Subject::Patient), "removed");
    assert_eq!(changed(DataElement::new(tags::ACCESSION_NUMBER, VR::SH, "7")), Some(Subject::Patient), "added");
    assert_eq!(changed(DataElement::new(tags::IMAGE_POSITION_PATIENT, VR::DS, "1\\2\\3")), Some(Subject::Image));
    assert_eq!(changed(DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, "1.3")), Some(Subject::Address));
    let pixels = DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16([0; 4].as_slice().into()));
    let found = difference(&image([]), &image([pixels]));
    assert!(found.tags().into_iter().eq([tags::PIXEL_DATA]) && found.with_equal_pixels().subject().is_none());
}
