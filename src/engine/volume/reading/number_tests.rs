//! Numbers of images: what they stand for, how they are stored and compressed, and how attributes write them.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject, Tag, open_file};
use dicom_pixeldata::Transcode;
use dicom_transfer_syntax_registry::entries::JPEG_LS_LOSSLESS_IMAGE_COMPRESSION;
use ndarray::Axis;

use super::super::pixels::AIR;
use super::super::testing::{LIMITS, SUPINE, geometry, volume, write_series};
use super::*;

fn source() -> Volume {
    volume(geometry([24, 20, 40], [0.8, 0.7, 1.25], SUPINE), |[x, y, z]| 20.0 * x + 10.0 * y + 7.0 * z)
}

fn read(change: impl Fn(usize, &mut InMemDicomObject)) -> SeriesReading {
    let folder = tempfile::tempdir().expect("temporary folder");
    let paths = write_series(&source(), folder.path(), change);
    read_series(&paths, &LIMITS)
}

fn text(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

fn number(object: &mut InMemDicomObject, tag: Tag, value: u16) {
    object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
}

fn pixels(object: &mut InMemDicomObject, stored: Vec<u16>) {
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(stored.into())));
}

/// Hounsfield units of an image, more 1024.
fn stored(object: &InMemDicomObject) -> Vec<u16> {
    object.element(tags::PIXEL_DATA).expect("pixels").value().to_multi_int().expect("numbers")
}

/// The series has the voxels of its source.
fn expect_source(change: impl Fn(usize, &mut InMemDicomObject)) {
    let reading = read(change);
    assert_eq!(reading.rejections, [], "{:?}", reading.left_out);
    assert!(reading.volume.expect("a volume").hounsfield == source().hounsfield);
}

/// The series is rejected for one reason, in these words.
fn expect_rejection(reason: Reason, words: &[&str], change: impl Fn(usize, &mut InMemDicomObject)) {
    let reading = read(change);
    assert!(reading.volume.is_none());
    let rejection = &reading.rejections[0];
    assert_eq!(rejection.reason, reason, "{:?}", reading.rejections);
    for word in words {
        assert!(rejection.explanation.contains(word), "`{word}` is missing in `{}`", rejection.explanation);
    }
}

#[test]
fn a_series_of_another_quantity_or_of_projections_is_rejected_by_name() {
    expect_rejection(
        Reason::NotHounsfield,
        &["40 images: ", "Rescale Type (0028,1054) has the value MGML"],
        |_, object| {
            text(object, tags::RESCALE_TYPE, VR::LO, "MGML");
        },
    );
    expect_rejection(Reason::Projection, &["40 images: a projection", "has the value MIP"], |_, object| {
        text(object, tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY\\AXIAL\\MIP");
    });
}

#[test]
fn padding_ranges_read_as_air_whatever_the_sign_they_are_written_with() {
    // Stored -3000 to -2000 in 16 bits are padding, the rest is Hounsfield units.
    let stored: Vec<u16> = (0..480).map(|index| [-3000_i16, -2500, -2000, -1000, 40][index % 5] as u16).collect();
    for vr in [VR::SS, VR::US] {
        let reading = read(|_, object| {
            number(object, tags::PIXEL_REPRESENTATION, 1);
            text(object, tags::RESCALE_INTERCEPT, VR::DS, "1000");
            for (tag, value) in [(tags::PIXEL_PADDING_VALUE, -2000_i16), (tags::PIXEL_PADDING_RANGE_LIMIT, -3000)] {
                let value = match vr {
                    VR::SS => PrimitiveValue::from(value),
                    _ => PrimitiveValue::from(value as u16),
                };
                object.put(DataElement::new(tag, vr, value));
            }
            pixels(object, stored.clone());
        });
        let volume = reading.volume.expect("a volume");
        let row: Vec<i16> = volume.hounsfield.iter().copied().take(5).collect();
        assert_eq!(row, [AIR, AIR, AIR, 0, 1040], "{vr}");
    }
}

#[test]
fn numbers_are_those_of_the_source_in_every_form_of_storage() {
    // Light for dark is for the display.
    expect_source(|_, object| text(object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1"));
    // Signed.
    expect_source(|_, object| {
        number(object, tags::PIXEL_REPRESENTATION, 1);
        text(object, tags::RESCALE_INTERCEPT, VR::DS, "0");
        pixels(object, stored(object).into_iter().map(|stored| stored.wrapping_sub(1024)).collect());
    });
    // In the upper 12 bits, and in the lower ones with an overlay above.
    for (high_bit, shift, overlay) in [(15, 4, 0x000f), (11, 0, 0xa000)] {
        expect_source(|_, object| {
            number(object, tags::BITS_STORED, 12);
            number(object, tags::HIGH_BIT, high_bit);
            pixels(object, stored(object).into_iter().map(|stored| (stored << shift) | overlay).collect());
        });
    }
}

#[test]
fn decimal_strings_that_are_too_long_are_read_and_those_with_a_comma_are_named_with_their_value() {
    expect_source(|_, object| {
        text(object, tags::RESCALE_INTERCEPT, VR::DS, "-1024.00000000000000000");
        text(object, tags::RESCALE_SLOPE, VR::DS, "1.0000000000000000000");
        text(object, tags::PIXEL_SPACING, VR::DS, "0.70000000000000000001\\0.80000000000000000001");
    });
    let comma = [
        (tags::RESCALE_SLOPE, "1,25", "Rescale Slope (0028,1053) has the value `1,25`"),
        (tags::RESCALE_INTERCEPT, "-1024,0", "Rescale Intercept (0028,1052) has the value `-1024,0`"),
        (tags::RESCALE_SLOPE, "0", "Rescale Slope (0028,1053) has the value `0`"),
    ];
    for (tag, value, words) in comma {
        expect_rejection(Reason::Unreadable, &["40 images: ", words], |_, object| text(object, tag, VR::DS, value));
    }
    expect_rejection(Reason::Unreadable, &["Rescale Slope (0028,1053) is missing"], |_, object| {
        object.remove_element(tags::RESCALE_SLOPE);
    });
}

/// Compresses an image as one of another shape with as many pixels.
fn compress_reshaped(path: &PathBuf) {
    let mut object = open_file(path).expect("an image");
    let shape = |object: &mut InMemDicomObject, rows, columns| {
        number(object, tags::ROWS, rows);
        number(object, tags::COLUMNS, columns);
    };
    shape(&mut object, 10, 48);
    object.transcode(&JPEG_LS_LOSSLESS_IMAGE_COMPRESSION.erased()).expect("compressed");
    shape(&mut object, 20, 24);
    object.write_to_file(path).expect("write");
}

#[test]
fn slices_whose_code_streams_are_of_other_images_are_corrupt_and_named_with_their_numbers() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let paths = write_series(&source(), folder.path(), |_, _| {});
    // The files of slices 39 and 20: (index * 7 + 3) % 40.
    let [last, inner] = [39, 20].map(|slice| (0..40).find(|index| (index * 7 + 3) % 40 == slice).expect("a file"));
    compress_reshaped(&paths[last]);
    let reading = read_series(&paths, &LIMITS);
    assert_eq!(reading.rejections, []);
    let (rest, source) = (reading.volume.expect("the rest").hounsfield, source().hounsfield);
    assert!(rest == source.slice_axis(Axis(0), (..39).into()));
    let left_out = &reading.left_out[0];
    assert_eq!((left_out.kind, left_out.images), (LeftOutKind::Unreadable, 1));
    let numbers = "10 rows and 48 columns; Rows (0028,0010) is 20, Columns (0028,0011) 24 (instance 40)";
    assert!(left_out.explanation.ends_with(numbers), "{left_out}");

    compress_reshaped(&paths[inner]);
    let reading = read_series(&paths, &LIMITS);
    assert_eq!(reading.rejections[0].reason, Reason::MissingSlices);
    let told = &reading.rejections[1].explanation;
    assert!(told.starts_with("2 images: the JPEG-LS code stream has 10 rows and 48 columns"), "{told}");
}

#[test]
fn an_image_with_more_pixels_than_its_rows_and_columns_is_corrupt() {
    expect_rejection(Reason::Unreadable, &["an image has 1008 bytes", "ask for 960"], |_, object| {
        pixels(object, vec![0; 504]);
    });
    // Padding to four bytes is none.
    expect_source(|_, object| {
        pixels(object, stored(object).into_iter().chain([0, 0]).collect());
    });
}

#[test]
fn identifiers_of_the_file_meta_information_that_cannot_be_used_are_those_of_the_data_set() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let paths = write_series(&source(), folder.path(), |_, _| {});
    for path in &paths {
        let object = open_file(path).expect("an image").into_inner();
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
            .media_storage_sop_class_uid(uids::CT_IMAGE_STORAGE)
            .media_storage_sop_instance_uid("{3F2504E0-4F89-11D3-9A0C-0305E82C3301}");
        object.with_exact_meta(meta.build().expect("meta")).write_to_file(path).expect("write");
    }
    assert_eq!(read_series(&paths, &LIMITS).rejections, []);
}
