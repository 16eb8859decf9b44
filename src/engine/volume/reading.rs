//! Files of a series to a volume.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dicom_dictionary_std::tags;
use dicom_object::{FileDicomObject, InMemDicomObject};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, Axis};

use super::rejection::{Reason, Rejection};
use super::slice_header::{Excluded, SliceHeader, examine};
use super::stack::{MINIMUM_SLICES, Stack, arrange};
use super::{PatientPoint, SourceSlice, Volume, pixels};
use crate::dicom::Uid;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::elements::{DataSet, uid};

/// What was found in the files of a series.
#[derive(Debug)]
pub struct SeriesReading {
    /// Study Instance UID of the first object that has one.
    pub study_instance_uid: Option<Uid>,
    /// Series Instance UID of the first object that has one.
    pub series_instance_uid: Option<Uid>,
    /// The volume, when the images make up a regular stack. It may exist although there are rejections: what could be
    /// read is analysed if a user asks for that.
    pub volume: Option<Volume>,
    /// All rejections of the series, one entry per reason, in the order of [`Reason`].
    pub rejections: Vec<Rejection>,
    /// What was left out without harm, in words: localizers, identical copies.
    pub notes: Vec<String>,
}

/// Reads the files (PS3.10) of one series.
///
/// A first pass reads headers alone and finds the stack; a second one decodes slice by slice, in parallel, straight
/// into the volume, so that memory holds the volume and one object per thread.
///
/// ```
/// use pe_node::cohort::Layout;
/// use pe_node::dicom::bounded::Limits;
/// use pe_node::engine::volume::{group_by_series, read_series};
/// use pe_node::learn::phantom::{Exam, Preset, Recipe};
///
/// // A series to read: a phantom of tiny slices.
/// let folder = tempfile::tempdir()?;
/// Exam::draw(&Recipe::new(Preset::Tiny, 1, 0)).write(&Layout::below(folder.path()))?;
///
/// let limits = Limits { object_mib: 64, depth: 16, elements: 10_000, pixels: 1 << 24 };
/// let found = group_by_series(&[folder.path().to_owned()], &limits);
/// let reading = read_series(&found.series[0].files, &limits);
/// let volume = reading.volume.expect("a volume");
/// assert_eq!(volume.geometry.size[..2], [128, 128]);
/// assert_eq!(volume.hounsfield.iter().min(), Some(&-1024));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_series(files: &[PathBuf], limits: &Limits) -> SeriesReading {
    let (mut reading, headers) = read_headers(files, limits);
    let mut rejections = std::mem::take(&mut reading.rejections);
    let mut found = headers.len();
    let mixed = of_several_patients(&headers);
    let mut candidates = if mixed.is_some() { Vec::new() } else { headers };
    rejections.extend(mixed);
    // An image that does not decode is removed; the rest is arranged again and its gaps are reported.
    while !candidates.is_empty() {
        let (stack, arranged) = arrange(candidates);
        let Some(stack) = stack else {
            rejections.extend(arranged);
            break;
        };
        found = stack.slices.len();
        if let Some(rejection) = too_large(&stack, limits) {
            rejections.extend(arranged);
            rejections.push(rejection);
            break;
        }
        match build(stack, limits, &mut reading.notes) {
            Ok((volume, duplicates)) => {
                rejections.extend(arranged);
                rejections.extend(duplicates);
                reading.volume = Some(volume);
                break;
            }
            Err((good, failures)) => {
                found = good.len();
                rejections.extend(failures);
                candidates = good;
            }
        }
    }
    // Where no slice is left, the rejections of the objects say it better. A volume is judged by the quality checks.
    if reading.volume.is_none() && found < MINIMUM_SLICES && (found > 0 || rejections.is_empty()) {
        rejections.push(Rejection::new(
            Reason::TooFewSlices,
            format!("{found} usable CT slices; at least {MINIMUM_SLICES} were expected"),
        ));
    }
    reading.rejections = Rejection::merged(rejections);
    reading
}

fn read_headers(files: &[PathBuf], limits: &Limits) -> (SeriesReading, Vec<SliceHeader>) {
    type Identity = (Option<Uid>, Option<Uid>);
    let examined: Vec<(Identity, Result<SliceHeader, Excluded>)> = files
        .par_iter()
        .map(|path| match bounded::open(path, limits) {
            Ok(object) => {
                let identity = (uid(&object, tags::STUDY_INSTANCE_UID), uid(&object, tags::SERIES_INSTANCE_UID));
                (identity, examine(path, &object))
            }
            Err(error) => ((None, None), Err(Rejection::from(error).into())),
        })
        .collect();
    let mut reading = SeriesReading {
        study_instance_uid: examined.iter().find_map(|((study, _), _)| study.clone()),
        series_instance_uid: examined.iter().find_map(|((_, series), _)| series.clone()),
        volume: None,
        rejections: Vec::new(),
        notes: Vec::new(),
    };
    let mut headers = Vec::with_capacity(files.len());
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, result) in examined {
        match result {
            Ok(header) => headers.push(header),
            Err(Excluded::LeftOut(what)) => *left_out.entry(what).or_default() += 1,
            Err(Excluded::Rejected(rejection)) => reading.rejections.push(rejection),
        }
    }
    reading.notes = left_out.into_iter().map(|(what, count)| format!("left out: {count} x {what}")).collect();
    (reading, headers)
}

/// Images of one series that name different patients, or of which some are synthetic: it is unknown whose result it
/// would be. (Such a series arises when the patient is corrected at the scanner while the series is being sent.)
fn of_several_patients(headers: &[SliceHeader]) -> Option<Rejection> {
    let first = headers.first()?;
    let others = headers.iter().filter(|header| header.subject != first.subject).count();
    (others > 0).then(|| {
        let problem = "the images differ in Patient ID or Synthetic Data: send the series again, under one patient";
        Rejection::new(
            Reason::MixedPatients,
            format!("{problem} ({others} of {} differ from the first)", headers.len()),
        )
    })
}

type Failed = (Vec<SliceHeader>, Vec<Rejection>);

/// Rejects a volume that is larger than any scanner makes, before memory is allocated for it.
fn too_large(stack: &Stack, limits: &Limits) -> Option<Rejection> {
    let voxels = stack.geometry.size.iter().try_fold(1_u64, |all, size| all.checked_mul(*size as u64));
    voxels.is_none_or(|voxels| voxels > limits.pixels).then(|| {
        let size = stack.geometry.size;
        Rejection::new(Reason::Hostile, format!("the series claims {size:?} voxels; {} are allowed", limits.pixels))
    })
}

/// Decodes a stack. On failure, returns the slices that do decode and what is wrong with the others.
fn build(stack: Stack, limits: &Limits, notes: &mut Vec<String>) -> Result<(Volume, Vec<Rejection>), Failed> {
    let [columns, rows, slices] = stack.geometry.size;
    let mut hounsfield = Array3::<i16>::zeros((slices, rows, columns));
    let outcomes: Vec<Result<Option<DataSet>, Rejection>> = hounsfield
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .enumerate()
        .map(|(index, mut image)| {
            let pixels = image.as_slice_mut().expect("a slice of a new array is contiguous");
            let object = load(&stack.slices[index], limits, pixels)?;
            Ok((index == 0).then(|| without_pixels(object)))
        })
        .collect();
    if outcomes.iter().any(Result::is_err) {
        let mut failed = (Vec::new(), Vec::new());
        for (slice, outcome) in stack.slices.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => failed.0.push(slice),
                Err(rejection) => failed.1.push(rejection),
            }
        }
        failed.0.extend(stack.duplicates.into_iter().map(|(_, duplicate)| duplicate));
        return Err(failed);
    }
    let rejections = compare_duplicates(&stack, &hounsfield, limits, notes);
    let header = outcomes.into_iter().find_map(|outcome| outcome.ok().flatten()).unwrap_or_else(DataSet::new_empty);
    let slices = stack.slices.into_iter().map(source_slice).collect();
    Ok((Volume { geometry: stack.geometry, hounsfield, slices, header }, rejections))
}

fn load(
    slice: &SliceHeader,
    limits: &Limits,
    pixels: &mut [i16],
) -> Result<FileDicomObject<InMemDicomObject>, Rejection> {
    let mut object = bounded::open(&slice.path, limits)?;
    pixels::decode(&mut object, pixels)?;
    Ok(object)
}

fn without_pixels(object: FileDicomObject<InMemDicomObject>) -> DataSet {
    let mut header = object.into_inner();
    for tag in [tags::PIXEL_DATA, tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA] {
        header.remove_element(tag);
    }
    header
}

/// Images at a position that another one has: an identical copy is left out, a different image is rejected.
fn compare_duplicates(
    stack: &Stack,
    hounsfield: &Array3<i16>,
    limits: &Limits,
    notes: &mut Vec<String>,
) -> Vec<Rejection> {
    let [columns, rows, _] = stack.geometry.size;
    let differs: Vec<Result<bool, Rejection>> = stack
        .duplicates
        .par_iter()
        .map(|(index, duplicate)| {
            let mut image = Array2::<i16>::zeros((rows, columns));
            load(duplicate, limits, image.as_slice_mut().expect("a new array is contiguous"))?;
            Ok(image != hounsfield.index_axis(Axis(0), *index))
        })
        .collect();
    let identical = differs.iter().filter(|outcome| matches!(outcome, Ok(false))).count();
    let different = differs.iter().filter(|outcome| matches!(outcome, Ok(true))).count();
    if identical > 0 {
        notes.push(format!("left out: {identical} identical copies of slices"));
    }
    let mut rejections: Vec<Rejection> = differs.into_iter().filter_map(Result::err).collect();
    if different > 0 {
        rejections.push(Rejection::new(
            Reason::BadGeometry,
            format!(
                "{different} images share a position with a different image: more than one acquisition in the series"
            ),
        ));
    }
    rejections
}

fn source_slice(header: SliceHeader) -> SourceSlice {
    SourceSlice {
        sop_class_uid: header.sop_class_uid,
        sop_instance_uid: header.sop_instance_uid,
        instance_number: header.instance_number,
        position: PatientPoint(header.position),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dicom_core::{DataElement, PrimitiveValue, VR};
    use dicom_dictionary_std::uids;

    use super::super::pixels::AIR;
    use super::super::testing::{LIMITS, MIRRORED, PRONE, SUPINE, files, geometry, test_data, volume, write_series};
    use super::*;

    fn source(rows_columns: [[f64; 3]; 2]) -> Volume {
        volume(geometry([24, 20, 40], [0.8, 0.7, 1.25], rows_columns), |[x, y, z]| 20.0 * x + 10.0 * y + 7.0 * z)
    }

    fn read_changed(source: &Volume, change: impl Fn(usize, &mut InMemDicomObject)) -> SeriesReading {
        let folder = tempfile::tempdir().expect("temporary folder");
        let paths = write_series(source, folder.path(), change);
        read_series(&paths, &LIMITS)
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
    fn identical_copies_are_left_out_and_different_images_at_a_place_are_not_a_stack() {
        let source = source(SUPINE);
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut paths = write_series(&source, folder.path(), |_, _| {});
        paths.push(folder.path().join("copy.dcm"));
        std::fs::copy(&paths[5], &paths[40]).expect("copy");
        let reading = read_series(&paths, &LIMITS);
        assert_eq!(reading.rejections, []);
        assert_eq!(reading.notes.len(), 1);
        assert!(reading.volume.is_some());

        let other = super::super::testing::ct_image(&source, 7, |object| {
            put(object, tags::SOP_INSTANCE_UID, VR::UI, "9.9");
            put(object, tags::RESCALE_INTERCEPT, VR::DS, "-1000");
        });
        super::super::testing::write(other, &paths[40]);
        assert_eq!(reasons(&read_series(&paths, &LIMITS)), [Reason::BadGeometry]);
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
        assert_eq!(reasons(&reading), [Reason::WrongModality, Reason::Truncated]);
        assert_eq!(reading.volume.expect("the rest").geometry.size[2], 38);
    }

    #[test]
    fn geometry_that_is_missing_tilted_mixed_or_not_axial_is_bad() {
        let bad = |change: &dyn Fn(usize, &mut InMemDicomObject)| {
            let reading = read_changed(&source(SUPINE), change);
            assert_eq!(reading.rejections[0].reason, Reason::BadGeometry, "{:?}", reading.rejections);
            reading
        };
        let missing = bad(&|slice, object| {
            if slice == 0 {
                object.remove_element(tags::IMAGE_POSITION_PATIENT);
            }
        });
        assert_eq!(missing.volume.expect("the rest").geometry.size[2], 39);
        bad(&|_, object| {
            object.remove_element(tags::PIXEL_SPACING);
        });
        bad(&|_, object| {
            object.remove_element(tags::FRAME_OF_REFERENCE_UID);
        });
        let tilted = bad(&|slice, object| {
            let position = format!("0\\{:.3}\\{:.3}", slice as f64 * 0.2, slice as f64 * 1.25);
            put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &position);
        });
        assert!(tilted.rejections[0].explanation.contains("9.1 degrees"), "{:?}", tilted.rejections);
        bad(&|slice, object| {
            if slice == 0 {
                put(object, tags::PIXEL_SPACING, VR::DS, "0.5\\0.5");
            }
        });
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
    fn localizers_are_left_out_and_too_few_slices_are_reported() {
        let reading = read_changed(&source(SUPINE), |slice, object| {
            if slice >= 20 {
                put(object, tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER");
            }
        });
        assert_eq!(reasons(&reading), [Reason::TooFewSlices]);
        assert_eq!(reading.notes.len(), 1);
        assert_eq!(reading.volume.expect("a volume").geometry.size[2], 20);
    }

    fn read_folder(folder: &Path) -> SeriesReading {
        read_series(&files(folder), &LIMITS)
    }

    #[test]
    fn real_series_become_volumes() {
        let Some(folder) = test_data("lidc0001_dicom") else { return };
        let reading = read_folder(&folder);
        assert_eq!(reasons(&reading), [Reason::TooFewSlices]);
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
        assert_eq!(reasons(&read_series(&images, &LIMITS)), [Reason::TooFewSlices, Reason::BadGeometry]);

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
            pixels::decode(&mut object, &mut pixels).map(|()| pixels)
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
        for name in [
            "JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53",
            "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55",
        ] {
            let rejection = decode(&format!("CTImage.dcm_{name}.dcm")).expect_err("retired");
            assert_eq!(rejection.reason, Reason::Unreadable);
        }
    }
}
