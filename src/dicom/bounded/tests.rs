use dicom_core::value::{DataSetSequence, PixelFragmentSequence};
use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use rand::{RngExt, SeedableRng};

use dicom_core::Tag;

use super::*;
use crate::dicom::elements;
use crate::dicom::transfer_syntax::EXPLICIT_VR_BIG_ENDIAN;
use crate::testing::test_data;

const LIMITS: Limits = Limits { object_mib: 16, depth: 8, elements: 2000, pixels: 1 << 24 };

fn sample() -> DataSet {
    let item = || InMemDicomObject::from_element_iter([DataElement::new(tags::CODE_VALUE, VR::SH, "T-1")]);
    InMemDicomObject::from_element_iter([
        DataElement::new(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.2"),
        DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4"),
        DataElement::new(
            tags::PROCEDURE_CODE_SEQUENCE,
            VR::SQ,
            DataSetSequence::new(vec![item(), item()], dicom_core::Length::UNDEFINED),
        ),
        DataElement::new(tags::ROWS, VR::US, dicom_value!(U16, [2])),
        DataElement::new(tags::COLUMNS, VR::US, dicom_value!(U16, [3])),
        DataElement::new(tags::BITS_ALLOCATED, VR::US, dicom_value!(U16, [16])),
        DataElement::new(tags::PIXEL_DATA, VR::OW, dicom_value!(U16, [1, 2, 3, 4, 5, 6])),
    ])
}

fn encoded(data_set: &DataSet, transfer_syntax_uid: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let syntax = TransferSyntaxRegistry.get(transfer_syntax_uid).expect("known");
    data_set.write_dataset_with_ts(&mut bytes, syntax).expect("write");
    bytes
}

fn explicit(group: u16, element: u16, vr: &str, length: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = [group.to_le_bytes(), element.to_le_bytes()].concat();
    bytes.extend(vr.as_bytes());
    if matches!(vr, "SQ" | "UN" | "UT" | "OB" | "OW" | "UC") {
        bytes.extend([0, 0]);
        bytes.extend(length.to_le_bytes());
    } else {
        bytes.extend((length as u16).to_le_bytes());
    }
    bytes.extend(value);
    bytes
}

fn explicit_data_set(bytes: &[u8]) -> Result<DataSet, ReadError> {
    data_set(bytes, uids::EXPLICIT_VR_LITTLE_ENDIAN, &LIMITS)
}

#[test]
fn every_encoding_is_read_and_the_header_ends_before_pixel_data() {
    let sample = sample();
    for syntax in [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ] {
        let bytes = encoded(&sample, syntax);
        let whole = data_set(&bytes, syntax, &LIMITS).expect("whole");
        assert_eq!(whole.element(tags::PIXEL_DATA).expect("pixels").to_multi_int::<u16>().expect("pixels").len(), 6);
        let header = header(&bytes, syntax, &LIMITS).expect("header");
        assert!(header.element(tags::PIXEL_DATA).is_err());
        assert_eq!(elements::integer(&header, tags::ROWS), Some(2));
        assert_eq!(header.element(tags::PROCEDURE_CODE_SEQUENCE).expect("items").items().map(<[_]>::len), Some(2));
    }
}

#[test]
fn encapsulated_pixel_data_is_walked_fragment_by_fragment() {
    let mut sample = sample();
    sample.put(DataElement::new(
        tags::PIXEL_DATA,
        VR::OB,
        PixelFragmentSequence::new(vec![0_u32], vec![vec![1_u8, 2], vec![3, 4, 5, 6]]),
    ));
    let bytes = encoded(&sample, uids::JPEG_BASELINE8_BIT);
    let whole = data_set(&bytes, uids::JPEG_BASELINE8_BIT, &LIMITS).expect("whole");
    assert_eq!(whole.element(tags::PIXEL_DATA).expect("pixels").fragments().map(<[_]>::len), Some(2));
    let cut = &bytes[..bytes.len() - 8];
    assert!(matches!(data_set(cut, uids::JPEG_BASELINE8_BIT, &LIMITS), Err(ReadError::Truncated(_))));
}

#[test]
fn a_length_beyond_the_bytes_is_truncated_and_one_beyond_the_limit_hostile() {
    let truncated = explicit(0x0040, 0xA160, "UT", 1000, b"abc");
    assert!(matches!(explicit_data_set(&truncated), Err(ReadError::Truncated(_))));
    let hostile = explicit(0x0040, 0xA160, "UT", 0x7FFF_FFFE, b"abc");
    assert!(matches!(explicit_data_set(&hostile), Err(ReadError::Hostile(_))));
    let unreadable = explicit(0x0040, 0xA160, "UT", u32::MAX, b"abc");
    assert!(matches!(explicit_data_set(&unreadable), Err(ReadError::Unreadable(_))));
}

#[test]
fn nesting_and_counts_beyond_the_limits_are_hostile() {
    let level = [explicit(0x0040, 0xA730, "SQ", u32::MAX, &[]), vec![0xFE, 0xFF, 0, 0xE0, 255, 255, 255, 255]].concat();
    assert!(matches!(explicit_data_set(&level.repeat(9)), Err(ReadError::Hostile(_))));
    assert!(matches!(explicit_data_set(&level.repeat(7)), Err(ReadError::Truncated(_))));
    let items = [0xFE, 0xFF, 0, 0xE0, 0, 0, 0, 0].repeat(2001);
    let many = explicit(0x0040, 0xA730, "SQ", items.len() as u32, &items);
    assert!(matches!(explicit_data_set(&many), Err(ReadError::Hostile(_))));
    let values = vec![b'\\'; 800_000];
    let many = explicit(0x0040, 0x0008, "UC", values.len() as u32, &values);
    assert!(matches!(explicit_data_set(&many), Err(ReadError::Hostile(_))), "each value would cost 24 bytes");
}

#[test]
fn an_image_may_not_claim_more_pixels_than_allowed_or_than_it_has() {
    let mut sample = sample();
    sample.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, "2"));
    let bytes = encoded(&sample, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    assert!(matches!(explicit_data_set(&bytes), Err(ReadError::Truncated(_))));
    sample.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, "99999999"));
    let bytes = encoded(&sample, uids::EXPLICIT_VR_LITTLE_ENDIAN);
    assert!(matches!(explicit_data_set(&bytes), Err(ReadError::Hostile(_))));
}

#[test]
fn broken_structure_is_unreadable() {
    let uid = explicit(0x0008, 0x0018, "UI", 4, b"1.2\0");
    let odd_width = explicit(0x0028, 0x0010, "US", 3, &[1, 2, 3]);
    let no_representation = explicit(0x0028, 0x0010, "\0\0", 2, &[1, 2]);
    let stray_delimiter = [uid.clone(), vec![0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0]].concat();
    let command_group = explicit(0x0000, 0x0100, "US", 2, &[1, 0]);
    let inner = explicit(0x0008, 0x0100, "SH", 40, b"overruns the item it lies in");
    let item = [vec![0xFE, 0xFF, 0, 0xE0], (inner.len() as u32).to_le_bytes().to_vec(), inner].concat();
    let overrun = [explicit(0x0008, 0x1032, "SQ", item.len() as u32, &item), vec![0; 64]].concat();
    for bytes in [odd_width, no_representation, stray_delimiter, command_group, overrun] {
        assert!(matches!(explicit_data_set(&bytes), Err(ReadError::Unreadable(_))), "{bytes:x?}");
    }
}

#[test]
fn swapped_elements_are_read_and_of_an_attribute_that_comes_twice_the_first_one() {
    let rows = |value: u8| explicit(0x0028, 0x0010, "US", 2, &[value, 0]);
    let patient = |id: &[u8; 4]| explicit(0x0010, 0x0020, "LO", 4, id);
    let code = |value: &[u8; 4]| {
        let inner = explicit(0x0008, 0x0100, "SH", 4, value);
        let item = [vec![0xFE, 0xFF, 0, 0xE0], (inner.len() as u32).to_le_bytes().to_vec(), inner].concat();
        explicit(0x0008, 0x1032, "SQ", item.len() as u32, &item)
    };
    let pixels = explicit(0x7FE0, 0x0010, "OW", 4, &[1, 0, 2, 0]);
    let bytes = [rows(2), patient(b"P-1 "), code(b"ONE "), patient(b"P-2 "), rows(9), code(b"TWO "), pixels].concat();
    for read in [data_set, header, leading_header] {
        let read = read(&bytes, uids::EXPLICIT_VR_LITTLE_ENDIAN, &LIMITS).expect("readable");
        assert_eq!(elements::text(&read, tags::PATIENT_ID).as_deref(), Some("P-1"));
        assert_eq!(elements::integer(&read, tags::ROWS), Some(2));
        let codes = elements::items(&read, tags::PROCEDURE_CODE_SEQUENCE);
        assert_eq!(elements::text(&codes[0], tags::CODE_VALUE).as_deref(), Some("ONE"));
    }
}

#[test]
fn padding_and_what_follows_pixel_data_do_no_harm() {
    let bytes = encoded(&sample(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let trailing_padding = explicit(0xFFFC, 0xFFFC, "OB", 4, &[0; 4]);
    for tail in [vec![0; 1], vec![0; 512], trailing_padding, b"garbage".to_vec(), b"\x08\0\x16\0UI..more".to_vec()] {
        assert!(explicit_data_set(&[bytes.clone(), tail].concat()).is_ok());
    }
}

/// An element in implicit VR little endian.
fn implicit(group: u16, element: u16, value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u32).to_le_bytes();
    [&group.to_le_bytes()[..], &element.to_le_bytes(), &length, value].concat()
}

/// Items of undefined length, and the delimiter of their sequence.
fn undefined_items(items: &[Vec<u8>]) -> Vec<u8> {
    let item = |content: &Vec<u8>| {
        [&[0xFE, 0xFF, 0, 0xE0, 255, 255, 255, 255], &content[..], &[0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0]].concat()
    };
    [items.iter().flat_map(item).collect(), vec![0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]].concat()
}

/// PS3.5 6.2.2: implicit VR little endian inside, whatever the transfer syntax is.
#[test]
fn a_sequence_of_unknown_representation_is_read_wherever_it_lies() {
    let inner = undefined_items(&[implicit(0x0008, 0x0104, b"inner ")]);
    let nested = [&[0x40, 0, 0x43, 0xA0, 255, 255, 255, 255], &inner[..]].concat();
    let item = [implicit(0x0008, 0x0100, b"T-1 "), implicit(0x0010, 0x0010, b"M\xFCller^A"), nested].concat();
    let unknown = [explicit(0x0009, 0x1001, "UN", u32::MAX, &[]), undefined_items(&[item.clone(), item])].concat();
    // The same within a sequence of known representation, between elements in explicit VR.
    let around =
        [explicit(0x0008, 0x0100, "SH", 4, b"T-2 "), unknown.clone(), explicit(0x0020, 0x0013, "IS", 2, b"9 ")];
    let known = [explicit(0x0040, 0x0275, "SQ", u32::MAX, &[]), undefined_items(&[around.concat()])].concat();
    let bytes = [
        explicit(0x0008, 0x0005, "CS", 10, b"ISO_IR 100"),
        explicit(0x0008, 0x0018, "UI", 4, b"1.2\0"),
        unknown,
        explicit(0x0020, 0x0013, "IS", 2, b"7 "),
        known,
    ];
    let parsed = explicit_data_set(&bytes.concat()).expect("readable");
    assert_eq!(elements::integer(&parsed, tags::INSTANCE_NUMBER), Some(7));
    assert_eq!(parsed.iter().count(), 5);
    let [outer] = elements::items(&parsed, tags::REQUEST_ATTRIBUTES_SEQUENCE) else { panic!("one item") };
    assert_eq!(elements::integer(outer, tags::INSTANCE_NUMBER), Some(9));
    assert_eq!(elements::text(outer, tags::CODE_VALUE).as_deref(), Some("T-2"));
    for around in [&parsed, outer] {
        let unknown = around.get(Tag(0x0009, 0x1001)).expect("kept");
        assert_eq!(unknown.vr(), VR::SQ);
        let items = unknown.items().expect("items");
        assert_eq!(items.len(), 2);
        for item in items {
            assert_eq!(elements::text(item, tags::CODE_VALUE).as_deref(), Some("T-1"));
            assert_eq!(elements::text(item, tags::PATIENT_NAME).as_deref(), Some("Müller^A"));
            assert!(item.get(tags::SPECIFIC_CHARACTER_SET).is_none());
            let [inner] = elements::items(item, tags::CONCEPT_NAME_CODE_SEQUENCE) else { panic!("one item") };
            assert_eq!(elements::text(inner, tags::CODE_MEANING).as_deref(), Some("inner"));
        }
    }
}

#[test]
fn private_encapsulated_values_are_left_out_and_other_binary_values_have_a_length() {
    let fragments = [
        vec![0xFE, 0xFF, 0, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0, 0xE0, 2, 0, 0, 0, 1, 2],
        vec![0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0],
    ]
    .concat();
    let number = explicit(0x0020, 0x0013, "IS", 2, b"7 ");
    let private = explicit(0x0019, 0x1010, "OB", u32::MAX, &fragments);
    let parsed = explicit_data_set(&[private, number.clone()].concat()).expect("readable");
    assert_eq!(parsed.iter().count(), 1);
    let public = explicit(0x0018, 0x1010, "OB", u32::MAX, &fragments);
    assert!(matches!(explicit_data_set(&[public, number].concat()), Err(ReadError::Unreadable(_))));
}

#[test]
fn files_are_read_with_and_without_preamble_meta_information_and_true_group_length() {
    let data_set = encoded(&sample(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let meta = [
        explicit(0x0002, 0x0000, "UL", 4, &9999_u32.to_le_bytes()),
        explicit(0x0002, 0x0001, "OB", 2, &[0, 1]),
        explicit(0x0002, 0x0010, "UI", 20, b"1.2.840.10008.1.2.1\0"),
    ]
    .concat();
    let preamble = [vec![0; 128], b"DICM".to_vec()].concat();
    for bytes in [
        [preamble, meta.clone(), data_set.clone()].concat(),
        [b"DICM".to_vec(), meta.clone(), data_set.clone()].concat(),
        [meta, data_set.clone()].concat(),
        data_set,
        encoded(&sample(), uids::IMPLICIT_VR_LITTLE_ENDIAN),
    ] {
        let file = file(&bytes, &LIMITS).expect("readable");
        assert_eq!(file.meta().media_storage_sop_instance_uid().trim_end_matches('\0'), "1.2.3.4");
    }
    assert!(matches!(file(b"", &LIMITS), Err(ReadError::Truncated(_))));
    assert!(matches!(file(&[7; 4000], &LIMITS), Err(ReadError::Unreadable(_))));
}

#[test]
fn a_deflated_data_set_inflates_no_further_than_the_limit() {
    let mut sample = sample();
    sample.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(vec![0; 12 << 20].into())));
    let bytes = encoded(&sample, uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN);
    assert!(bytes.len() < 1_000_000);
    let result = data_set(&bytes, uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, &LIMITS);
    assert!(matches!(result, Err(ReadError::Hostile(_))));
    let cut = data_set(&bytes[..bytes.len() / 2], uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, &LIMITS);
    assert!(cut.is_err());
}

#[test]
fn made_hostile_files_are_hostile_and_real_ones_are_read() {
    let limits = Limits { object_mib: 1024, depth: 64, elements: 200_000, pixels: 1 << 31 };
    for name in ["hostile/bomb.dcm", "hostile/deep.dcm"] {
        let Some(path) = test_data(name) else { return };
        assert!(matches!(open(&path, &limits), Err(ReadError::Hostile(_))), "{name}");
    }
    let folders = [
        "cornerstone_ct_transfer_syntaxes",
        "lidc0001_dicom",
        "cip_ct64/dicom",
        "pydicom_negative",
        "lungmask_testdata",
    ];
    for folder in folders.into_iter().filter_map(test_data) {
        for entry in std::fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Retired JPEG processes that the transfer syntax registry does not know.
            if ["LICENSE", ".4.53", ".4.55"].iter().any(|part| name.contains(part)) {
                continue;
            }
            let file = open(&path, &limits);
            assert!(file.is_ok(), "{}: {}", path.display(), file.expect_err("error"));
        }
    }
}

/// Number of elements and items, and the sum of the lengths that primitive values were read with.
fn extent(data_set: &DataSet) -> (usize, usize) {
    let mut sum = (0, 0);
    for element in data_set.iter() {
        sum.0 += 1;
        match element.items() {
            Some(items) => {
                for item in items {
                    let (elements, bytes) = extent(item);
                    sum = (sum.0 + 1 + elements, sum.1 + bytes);
                }
            }
            None => sum.1 += element.header().len.get().unwrap_or(0) as usize,
        }
    }
    sum
}

/// Runs everything that reads untrusted bytes over `bytes`: as a file, and as a data set in each encoding.
/// Whatever the bytes, it returns, within the limits.
fn exercise(bytes: &[u8], limits: &Limits) {
    let _ = file(bytes, limits);
    for transfer_syntax_uid in [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        uids::JPEG_BASELINE8_BIT,
    ] {
        let _ = data_set(bytes, transfer_syntax_uid, limits);
        let _ = header(bytes, transfer_syntax_uid, limits);
    }
}

#[test]
fn no_mutation_of_real_bytes_panics_and_what_passes_is_built_within_the_limits() {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut sources: Vec<(Vec<u8>, &str)> = [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN]
        .map(|syntax| (encoded(&sample(), syntax), syntax))
        .to_vec();
    sources.extend(
        ["cip_ct64/dicom/IMG0001.dcm", "hostile/deep.dcm", "hostile/bomb.dcm"]
            .into_iter()
            .filter_map(test_data)
            .map(|path| (std::fs::read(path).expect("read"), uids::IMPLICIT_VR_LITTLE_ENDIAN)),
    );
    for (source, syntax) in &sources {
        for _ in 0..300 {
            let mut bytes = source.clone();
            for _ in 0..random.random_range(1..6) {
                // Structure lies at the front; pixels at the end are of no interest here.
                let at = random.random_range(0..bytes.len().min(3000));
                match random.random_range(0..4) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.truncate(at.max(1)),
                    2 => bytes[at] = 0xFF,
                    _ => bytes.insert(at, random.random()),
                }
            }
            exercise(&bytes, &LIMITS);
            let parsed = match split(&bytes) {
                Ok(parts) => data_set(parts.data_set, &parts.transfer_syntax_uid, &LIMITS),
                Err(_) => data_set(&bytes, syntax, &LIMITS),
            };
            if let Ok(parsed) = parsed {
                let (elements, claimed) = extent(&parsed);
                assert!(elements <= LIMITS.elements && claimed <= bytes.len(), "{elements} elements, {claimed} bytes");
            }
        }
    }
}

#[test]
fn of_a_large_file_no_more_than_the_header_is_read_however_long_that_is() {
    let file = tempfile::NamedTempFile::new().expect("file");
    for length in [100, 200_000] {
        let mut object = sample();
        object.put(DataElement::new(tags::ICC_PROFILE, VR::OB, PrimitiveValue::from(vec![7_u8; length])));
        let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
        object.with_meta(meta).expect("meta").write_to_file(file.path()).expect("write");
        let whole = std::fs::read(file.path()).expect("read");
        // Its pixels are not there, and nobody asks for them.
        std::fs::write(file.path(), &whole[..whole.len() - 10]).expect("write");
        let header = open_header(file.path(), &LIMITS).expect("a header");
        assert_eq!(elements::integer(&header, tags::ROWS), Some(2));
        assert!(header.get(tags::PIXEL_DATA).is_none());
        assert!(matches!(open(file.path(), &LIMITS), Err(ReadError::Truncated(_))));
    }
    assert_eq!(sop_class_uid(file.path()).as_ref().map(super::super::Uid::as_str), Some("1.2.840.10008.5.1.4.1.1.2"));
    let refused = open_header(file.path(), &Limits { object_mib: 0, ..LIMITS });
    assert!(matches!(refused, Err(ReadError::Hostile(_))));
}
