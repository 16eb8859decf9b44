use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::super::pixels::{self, AIR};
use super::super::testing::{LIMITS, MIRRORED, PRONE, SUPINE, files, geometry, test_data, volume, write_series};
use super::*;
use crate::dicom::bounded;

fn source(rows_columns: [[f64; 3]; 2]) -> Volume {
    volume(geometry([24, 20, 40], [0.8, 0.7, 1.25], rows_columns), |[x, y, z]| 20.0 * x + 10.0 * y + 7.0 * z)
}

fn read_changed(source: &Volume, change: impl Fn(usize, &mut InMemDicomObject)) -> SeriesReading {
    let folder = tempfile::tempdir().expect("temporary folder");
    let paths = write_series(source, folder.path(), change);
    read_series(&paths, &LIMITS)
}

fn told(reading: &SeriesReading) -> Vec<(LeftOutKind, usize)> {
    reading.left_out.iter().map(|one| (one.kind, one.images)).collect()
}

fn reasons(reading: &SeriesReading) -> Vec<Reason> {
    reading.rejections.iter().map(|rejection| rejection.reason).collect()
}

fn put(object: &mut InMemDicomObject, tag: dicom_object::Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

#[test]
fn a_series_becomes_the_volume_it_was_made_of_in_every_orientation() {
    for orientation in [SUPINE, PRONE, MIRRORED] {
        let source = source(orientation);
        let reading = read_changed(&source, |_, _| {});
        assert_eq!(reading.rejections, []);
        assert_eq!(reading.study_instance_uid.as_ref().map(Uid::as_str), Some("1.2.3"));
        let read = reading.volume.expect("a volume");
        assert_eq!(read.hounsfield, source.hounsfield);
        assert_eq!(read.geometry.size, source.geometry.size);
        assert!(read.geometry.directions[2][2] > 0.99);
        for axis in 0..3 {
            assert!((read.geometry.origin.0[axis] - source.geometry.origin.0[axis]).abs() < 1e-5);
            assert!((read.geometry.spacing[axis] - source.geometry.spacing[axis]).abs() < 1e-5);
        }
        assert!(read.slices.iter().map(|slice| slice.instance_number).eq((1..=40).map(Some)));
        assert!(read.header.element_opt(tags::PIXEL_DATA).expect("readable").is_none());
    }
}

#[test]
fn rescale_and_padding_apply_per_slice_and_padding_reads_as_air() {
    let reading = read_changed(&source(SUPINE), |slice, object| {
        if slice == 3 {
            put(object, tags::RESCALE_INTERCEPT, VR::DS, "-2000");
        }
        if slice == 4 {
            put(object, tags::RESCALE_SLOPE, VR::DS, "0.5");
            object.put(DataElement::new(tags::PIXEL_PADDING_VALUE, VR::US, PrimitiveValue::from(9000_u16)));
            let pixels: Vec<u16> = (0..480).map(|index| if index < 240 { 9000 } else { 2048 }).collect();
            object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())));
        }
    });
    let read = reading.volume.expect("a volume");
    let original = source(SUPINE);
    assert_eq!(read.hounsfield[(3, 10, 12)], (original.hounsfield[(3, 10, 12)] - 976).max(AIR));
    assert_eq!((read.hounsfield[(4, 0, 0)], read.hounsfield[(4, 19, 0)]), (AIR, 0));
}

#[test]
fn stored_bits_are_extended_by_their_sign() {
    let reading = read_changed(&source(SUPINE), |_, object| {
        for (tag, value) in [(tags::BITS_STORED, 12_u16), (tags::HIGH_BIT, 11), (tags::PIXEL_REPRESENTATION, 1)] {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(value)));
        }
        put(object, tags::RESCALE_INTERCEPT, VR::DS, "0");
        // -100 in 12 bits, with rubbish in the bits above.
        let pixels = vec![0x5f9c_u16; 480];
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())));
    });
    assert!(reading.volume.expect("a volume").hounsfield.iter().all(|hounsfield| *hounsfield == -100));
}

#[test]
fn missing_slices_are_counted_and_placed() {
    let source = source(SUPINE);
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut paths = write_series(&source, folder.path(), |_, _| {});
    // Slices 3 and 10, by the order in which the series is written.
    paths.retain(|path| !path.ends_with("000.dcm") && !path.ends_with("001.dcm"));
    let reading = read_series(&paths, &LIMITS);
    assert!(reading.volume.is_none());
    assert_eq!(reasons(&reading), [Reason::MissingSlices]);
    let explanation = &reading.rejections[0].explanation;
    assert!(explanation.contains("2 of 40 slices") && explanation.contains("1.25 mm"), "{explanation}");
}

#[test]
fn one_bad_file_does_not_hide_the_rest() {
    let source = source(SUPINE);
    let folder = tempfile::tempdir().expect("temporary folder");
    let paths = write_series(&source, folder.path(), |slice, object| {
        if slice == 0 {
            put(object, tags::SOP_CLASS_UID, VR::UI, uids::MR_IMAGE_STORAGE);
            put(object, tags::MODALITY, VR::CS, "MR");
        }
    });
    // The file of slice 39, the last one: (index * 7 + 3) % 40.
    let last = paths.iter().enumerate().find(|(index, _)| (index * 7 + 3) % 40 == 39).expect("last").1;
    let bytes = std::fs::read(last).expect("read");
    std::fs::write(last, &bytes[..bytes.len() - 100]).expect("write");
    let reading = read_series(&paths, &LIMITS);
    assert_eq!(reasons(&reading), []);
    assert_eq!(told(&reading), [(LeftOutKind::OtherObject, 1), (LeftOutKind::Unreadable, 1)]);
    let explanation = &reading.left_out[1].explanation;
    assert!(explanation.contains("ends early") && explanation.contains("(instance 40)"), "{explanation}");
    assert_eq!(reading.volume.expect("the rest").geometry.size[2], 38);
}

#[test]
fn geometry_that_is_missing_tilted_or_not_axial_is_bad() {
    let bad = |change: &dyn Fn(usize, &mut InMemDicomObject)| {
        let reading = read_changed(&source(SUPINE), change);
        assert_eq!(reading.rejections[0].reason, Reason::BadGeometry, "{:?}", reading.rejections);
        reading
    };
    bad(&|_, object| {
        object.remove_element(tags::PIXEL_SPACING);
    });
    let comma = bad(&|_, object| put(object, tags::PIXEL_SPACING, VR::DS, "0,75\\0,75"));
    let explanation = &comma.rejections[0].explanation;
    assert!(explanation.starts_with("40 images: Pixel Spacing (0028,0030)"), "{explanation}");
    assert!(explanation.contains("`0,75\\0,75`") && explanation.contains("instances 1 to 40"), "{explanation}");
    let tilted = bad(&|slice, object| {
        let position = format!("0\\{:.3}\\{:.3}", slice as f64 * 0.2, slice as f64 * 1.25);
        put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &position);
    });
    assert!(tilted.rejections[0].explanation.contains("9.1 degrees"), "{:?}", tilted.rejections);
    let leaning = bad(&|_, object| {
        put(object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\0.999048\\0.043619");
    });
    let explanation = &leaning.rejections[0].explanation;
    assert!(explanation.contains("40 of them lean 2.5") && explanation.contains("at most 2"), "{explanation}");
    bad(&|_, object| put(object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\0\\-1"));
    bad(&|slice, object| {
        let height = if slice > 20 { slice as f64 + 0.4 } else { slice as f64 };
        put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("0\\0\\{height}"));
    });
}

#[test]
fn a_series_of_two_patients_is_rejected() {
    let change = |tag, vr, value: &'static str| {
        move |slice: usize, object: &mut InMemDicomObject| {
            put(object, tags::PATIENT_ID, VR::LO, "A");
            if slice == 0 {
                put(object, tag, vr, value);
            }
        }
    };
    for changed in [change(tags::PATIENT_ID, VR::LO, "B"), change(tags::SYNTHETIC_DATA, VR::CS, "YES")] {
        let reading = read_changed(&source(SUPINE), changed);
        assert!(reading.volume.is_none());
        assert_eq!(reasons(&reading), [Reason::MixedPatients]);
        assert!(!reading.rejections[0].explanation.contains('A'), "no patient data in explanations");
    }
}

#[test]
fn an_object_of_another_patient_is_not_merely_left_out() {
    let reading = read_changed(&source(SUPINE), |slice, object| {
        put(object, tags::PATIENT_ID, VR::LO, if slice == 0 { "B" } else { "A" });
        if slice == 0 {
            object.remove_element(tags::IMAGE_POSITION_PATIENT);
        }
    });
    assert_eq!(reasons(&reading), [Reason::BadGeometry, Reason::MixedPatients]);
    assert!(reading.volume.is_none());
}

#[test]
fn a_volume_larger_than_allowed_is_hostile_before_it_is_decoded() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let paths = write_series(&source(SUPINE), folder.path(), |_, _| {});
    let reading = read_series(&paths, &Limits { pixels: 24 * 20 * 39, ..LIMITS });
    assert_eq!(reasons(&reading), [Reason::Hostile]);
}

#[test]
fn steps_that_are_nearly_equal_must_not_add_up() {
    let reading = read_changed(&source(SUPINE), |slice, object| {
        let height = (0..slice).map(|below| if below < 20 { 0.5 } else { 0.6 }).sum::<f64>();
        put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("0\\0\\{height:.3}"));
    });
    assert!(reading.volume.is_none());
    assert_eq!(reasons(&reading), [Reason::BadGeometry]);
}

#[test]
fn slices_keep_the_positions_that_their_images_name() {
    let height = |slice: usize| format!("{:.7}", 12.345_678_9 + 1.25 * slice as f64 + 0.01 * (slice % 3) as f64);
    let reading = read_changed(&source(SUPINE), |slice, object| {
        put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("0.1234567\\-3\\{}", height(slice)));
    });
    let slices = reading.volume.expect("a volume").slices;
    for (index, slice) in slices.iter().enumerate() {
        let height: f64 = height(index).parse().expect("number");
        assert_eq!(slice.position, PatientPoint([0.123_456_7, -3.0, height]));
    }
}

#[test]
fn localizers_are_left_out_and_few_slices_are_a_volume() {
    let reading = read_changed(&source(SUPINE), |slice, object| {
        if slice >= 20 {
            put(object, tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER");
        }
    });
    assert_eq!(reasons(&reading), [], "how many are enough is for the quality checks to say");
    assert_eq!(told(&reading), [(LeftOutKind::Localizer, 20)]);
    assert_eq!(reading.volume.expect("a volume").geometry.size[2], 20);
}

fn read_folder(folder: &Path) -> SeriesReading {
    read_series(&files(folder), &LIMITS)
}

#[test]
fn real_series_become_volumes() {
    let Some(folder) = test_data("lidc0001_dicom") else { return };
    let reading = read_folder(&folder);
    assert_eq!(reasons(&reading), []);
    let volume = reading.volume.expect("a volume");
    assert_eq!(volume.geometry.size, [512, 512, 16]);
    assert!((volume.geometry.spacing[2] - 2.5).abs() < 1e-9);
    assert!((volume.geometry.origin.0[2] + 132.5).abs() < 1e-9);
    let (low, high) = volume.hounsfield.iter().fold((0, 0), |(low, high), v| (*v.min(&low), *v.max(&high)));
    assert_eq!((low, high), (-1024, 3071));
    // Outside the circle there was padding.
    assert_eq!(volume.hounsfield[(0, 0, 0)], AIR);

    let folder = test_data("cip_ct64").expect("beside the other").join("dicom");
    let reading = read_folder(&folder);
    assert_eq!(reading.rejections, []);
    assert_eq!(reading.volume.expect("a volume").geometry.size, [64, 64, 79]);
}

#[test]
fn malformed_metadata_and_magnetic_resonance_are_distinguished() {
    let Some(folder) = test_data("lungmask_testdata") else { return };
    let images: Vec<PathBuf> = ["0.dcm", "1.dcm"].iter().map(|name| folder.join(name)).collect();
    let reading = read_series(&images, &LIMITS);
    assert_eq!((reasons(&reading), reading.volume.map(|volume| volume.slices.len())), (vec![], Some(2)));

    let folder = test_data("pydicom_negative").expect("beside the other");
    let images = [folder.join("MR-SIEMENS-DICOM-WithOverlays.dcm"), folder.join("MR2_J2KR.dcm")];
    assert_eq!(reasons(&read_series(&images, &LIMITS)), [Reason::WrongModality]);
}

#[test]
fn every_lossless_transfer_syntax_gives_the_same_hounsfield_units() {
    let Some(folder) = test_data("cornerstone_ct_transfer_syntaxes") else { return };
    let decode = |name: &str| {
        let mut object = bounded::open(&folder.join(name), &LIMITS).map_err(Rejection::from)?;
        let mut pixels = vec![0; 512 * 512];
        pixels::decode(&mut object, &mut pixels::Tables::default(), &mut pixels).map(|()| pixels)
    };
    let reference = decode("CTImage.dcm").expect("uncompressed");
    let same = [
        "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
        "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99",
        "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
        "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
        "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
        "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
        "LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1",
        "LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2",
        "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
    ];
    for name in same {
        let pixels = decode(&format!("CTImage.dcm_{name}.dcm")).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(pixels == reference, "{name} differs");
    }
    let close = [
        ("JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91", 10.0),
        ("JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81", 10.0),
        ("JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50", 30.0),
    ];
    for (name, allowed) in close {
        let pixels = decode(&format!("CTImage.dcm_{name}.dcm")).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let inside: Vec<f64> = reference
            .iter()
            .zip(&pixels)
            .filter(|(expected, _)| **expected > AIR)
            .map(|(expected, found)| f64::from(expected.abs_diff(*found)))
            .collect();
        let mean = inside.iter().sum::<f64>() / inside.len() as f64;
        assert!(mean < allowed, "{name}: {mean} HU off on average");
    }
    for name in
        ["JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53", "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55"]
    {
        let rejection = decode(&format!("CTImage.dcm_{name}.dcm")).expect_err("retired");
        assert_eq!(rejection.reason, Reason::Unreadable);
    }
}
