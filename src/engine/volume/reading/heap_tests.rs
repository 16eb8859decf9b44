//! Heaps as hospitals send them: the stack that is analysed has the voxels of the clean series, and what was left out is
//! named.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{InMemDicomObject, Tag};

use super::super::testing::{LIMITS, SUPINE, ct_image, files, geometry, test_data, volume, write};
use super::*;

const SLICES: usize = 40;
const STEP: f64 = 1.25;

/// Slices whose voxels tell where they come from.
fn stack(slices: usize, first: f64, hounsfield: f64) -> Volume {
    let mut grid = geometry([24, 20, slices], [0.8, 0.7, STEP], SUPINE);
    grid.origin.0[2] = first;
    volume(grid, move |[x, y, z]| hounsfield + 20.0 * x + 10.0 * y + 3.0 * z)
}

fn clean() -> Volume {
    stack(SLICES, 0.0, 0.0)
}

fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: &str) {
    object.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
}

fn number(object: &mut InMemDicomObject, tag: Tag, value: usize) {
    put(object, tag, VR::IS, &value.to_string());
}

fn position(object: &mut InMemDicomObject, [x, y, z]: [f64; 3]) {
    put(object, tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("{x:.4}\\{y:.4}\\{z:.4}"));
}

/// A series while objects are added to it. Each gets a UID and, unless it is changed, the next instance number.
struct Heap {
    folder: tempfile::TempDir,
    count: usize,
}

impl Heap {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("temporary folder"), count: 0 }
    }

    /// The clean series as acquisition 1.
    fn of_clean() -> Self {
        let mut heap = Self::new();
        heap.add(&clean(), 1, |_, _| ());
        heap
    }

    /// Adds a stack of an acquisition.
    fn add(&mut self, source: &Volume, acquisition: usize, change: impl Fn(usize, &mut InMemDicomObject)) {
        for slice in 0..source.slices.len() {
            self.put(source, slice, |object| {
                number(object, tags::ACQUISITION_NUMBER, acquisition);
                change(slice, object);
            });
        }
    }

    fn put(&mut self, source: &Volume, slice: usize, change: impl Fn(&mut InMemDicomObject)) {
        let count = self.count + 1;
        let object = ct_image(source, slice, |object| {
            put(object, tags::SOP_INSTANCE_UID, VR::UI, &format!("1.2.9.{count}"));
            number(object, tags::INSTANCE_NUMBER, count);
            change(object);
        });
        // Names in an order that has nothing to do with positions.
        write(object, &self.folder.path().join(format!("{:03}.dcm", (count * 89) % 997)));
        self.count = count;
    }

    fn read(&self) -> SeriesReading {
        read_series(&files(self.folder.path()), &LIMITS)
    }

    /// The heap gives the voxels of `expected`; returns what was left out.
    fn expect(&self, expected: &Volume) -> Vec<LeftOut> {
        let reading = self.read();
        assert_eq!(reading.rejections, [], "{:?}", reading.left_out);
        let read = reading.volume.expect("a volume");
        assert_eq!(read.geometry.size, expected.geometry.size, "{:?}", reading.left_out);
        assert!((read.geometry.origin.0[2] - expected.geometry.origin.0[2]).abs() < 1e-6);
        assert!((read.geometry.spacing[2] - expected.geometry.spacing[2]).abs() < 1e-6);
        assert!(read.hounsfield == expected.hounsfield, "other voxels; left out: {:?}", reading.left_out);
        reading.left_out
    }

    /// The heap gives the clean series, and one cause is told, of so many images and in these words.
    fn expect_clean(&self, kind: LeftOutKind, images: usize, words: &[&str]) {
        let left_out = self.expect(&clean());
        assert_eq!(
            left_out.iter().map(|one| (one.kind, one.images)).collect::<Vec<_>>(),
            [(kind, images)],
            "{left_out:?}"
        );
        for word in words {
            assert!(left_out[0].explanation.contains(word), "`{word}` is missing in `{}`", left_out[0]);
        }
    }

    /// The heap is rejected for one reason, in these words.
    fn expect_rejection(&self, reason: Reason, words: &[&str]) {
        let reading = self.read();
        assert!(reading.volume.is_none());
        assert_eq!(reading.rejections[0].reason, reason, "{:?}", reading.rejections);
        for word in words {
            let explanation = &reading.rejections[0].explanation;
            assert!(explanation.contains(word), "`{word}` is missing in `{explanation}`");
        }
    }
}

/// Removes everything but geometry that tells acquisitions apart.
fn unlabelled(object: &mut InMemDicomObject) {
    for tag in [tags::ACQUISITION_NUMBER, tags::INSTANCE_NUMBER] {
        object.remove_element(tag);
    }
}

#[test]
fn a_localizer_is_left_out_whatever_its_image_type() {
    let mut heap = Heap::of_clean();
    heap.put(&clean(), 3, |object| put(object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\0\\-1"));
    heap.expect_clean(LeftOutKind::OtherPlane, 1, &["coronal", "localizer", "instance 41"]);

    let mut heap = Heap::of_clean();
    heap.put(&clean(), 3, |object| put(object, tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\LOCALIZER"));
    heap.expect_clean(LeftOutKind::Localizer, 1, &["localizer", "instance 41"]);
}

#[test]
fn a_sagittal_reformat_is_left_out() {
    let mut heap = Heap::of_clean();
    heap.add(&stack(50, 0.0, 0.0), 1, |_, object| {
        put(object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "0\\1\\0\\0\\0\\-1");
        put(object, tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY\\MPR");
    });
    heap.expect_clean(LeftOutKind::OtherPlane, 50, &["sagittal", "reformat", "instances 41 to 90"]);
}

#[test]
fn images_of_another_quantity_and_projections_among_the_slices_are_left_out_by_name() {
    let forms: [(LeftOutKind, fn(&mut InMemDicomObject), &str); 2] = [
        (LeftOutKind::Projection, |object| put(object, tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY\\MIP"), "MIP"),
        (
            LeftOutKind::NotHounsfield,
            |object| put(object, tags::RESCALE_TYPE, VR::LO, "Z_EFF"),
            "effective atomic number",
        ),
    ];
    for (kind, change, word) in forms {
        let mut heap = Heap::of_clean();
        heap.add(&stack(SLICES, 0.0, 300.0), 1, |_, object| change(object));
        heap.expect_clean(kind, SLICES, &[word, "instances 41 to 80"]);
    }
}

#[test]
fn energies_of_one_scan_are_not_merged_and_the_usual_one_is_analysed() {
    let described = |kev: &str| {
        let description = format!("MonoE {kev} keV");
        move |_: usize, object: &mut InMemDicomObject| {
            unlabelled(object);
            put(object, tags::SERIES_DESCRIPTION, VR::LO, &description);
        }
    };
    let mut heap = Heap::new();
    heap.add(&stack(SLICES, 0.0, 300.0), 1, described("40"));
    heap.add(&clean(), 1, described("70"));
    heap.expect_clean(LeftOutKind::OtherStack, SLICES, &["a further stack", "40 keV"]);
}

#[test]
fn bolus_tracking_at_one_place_is_left_out_however_it_is_numbered() {
    let numbered: [fn(usize, &mut InMemDicomObject); 3] = [
        |index, object| number(object, tags::ACQUISITION_NUMBER, index + 2),
        |_, object| number(object, tags::ACQUISITION_NUMBER, 2),
        |_, _| (),
    ];
    for at in [10.0 * STEP, 10.4 * STEP] {
        for change in numbered {
            let mut heap = Heap::of_clean();
            for index in 0..12 {
                heap.put(&stack(1, at, 100.0 * index as f64), 0, |object| {
                    number(object, tags::ACQUISITION_NUMBER, 1);
                    change(index, object);
                });
            }
            heap.expect_clean(LeftOutKind::OnePlace, 12, &["at one place", "bolus tracking", "instances 41 to 52"]);
        }
    }
}

#[test]
fn two_acquisitions_of_the_same_positions_are_not_merged() {
    for shift in [0.0, 0.02, 0.25, 0.5] {
        let mut heap = Heap::of_clean();
        heap.add(&stack(SLICES, shift * STEP, 300.0), 2, |_, _| ());
        heap.expect_clean(
            LeftOutKind::OtherStack,
            SLICES,
            &["acquisition 2", "acquisition 1 was analysed", "every 1.25 mm"],
        );
    }
}

#[test]
fn instance_numbers_tell_two_acquisitions_apart_where_acquisition_numbers_do_not() {
    for shift in [0.0, 0.02, 0.5] {
        let mut heap = Heap::of_clean();
        heap.add(&stack(SLICES, shift * STEP, 300.0), 1, |_, _| ());
        heap.expect_clean(LeftOutKind::OtherStack, SLICES, &["instances 41 to 80"]);
    }
}

#[test]
fn positions_tell_two_acquisitions_apart_where_nothing_else_does() {
    let mut heap = Heap::new();
    heap.add(&clean(), 1, |_, object| unlabelled(object));
    heap.add(&stack(36, 0.02, 300.0), 1, |_, object| unlabelled(object));
    heap.expect_clean(LeftOutKind::OtherStack, 36, &["0.0 to 43.8 mm"]);
}

#[test]
fn two_acquisitions_that_nothing_tells_apart_are_rejected_with_their_positions() {
    let mut heap = Heap::new();
    heap.add(&clean(), 1, |_, object| unlabelled(object));
    heap.add(&stack(SLICES, 0.0, 300.0), 1, |_, object| unlabelled(object));
    heap.expect_rejection(Reason::BadGeometry, &["40 of 40 positions", "0.0 to 48.8 mm", "more than one acquisition"]);
}

#[test]
fn an_acquisition_that_lost_a_slice_is_not_filled_from_another() {
    let mut heap = Heap::new();
    let source = clean();
    for slice in (0..SLICES).filter(|slice| *slice != 17) {
        heap.put(&source, slice, |object| number(object, tags::ACQUISITION_NUMBER, 1));
    }
    let other = stack(SLICES, 0.0, 300.0);
    heap.add(&other, 2, |_, _| ());
    // Both show the same, as far as these voxels tell: the whole one is analysed.
    let left_out = heap.expect(&other);
    assert_eq!(left_out[0].images, 39);
    assert!(left_out[0].explanation.contains("slices missing"), "{left_out:?}");
}

#[test]
fn one_image_more_at_a_position_is_left_out() {
    // Of another acquisition, of the same one in and out of the order of instances, and 0.005 mm off.
    let forms: [(f64, fn(&mut InMemDicomObject)); 4] = [
        (0.0, |object| number(object, tags::ACQUISITION_NUMBER, 2)),
        (0.0, |_| ()),
        (0.0, |object| number(object, tags::INSTANCE_NUMBER, 18)),
        (0.005, |object| number(object, tags::INSTANCE_NUMBER, 18)),
    ];
    for (shift, change) in forms {
        let mut heap = Heap::of_clean();
        heap.put(&stack(1, 17.0 * STEP + shift, 300.0), 0, |object| {
            number(object, tags::ACQUISITION_NUMBER, 1);
            change(object);
        });
        heap.expect_clean(LeftOutKind::SamePosition, 1, &["another image", "21.2", "instance "]);
    }
}

#[test]
fn acquisitions_that_meet_at_a_position_are_one_scan() {
    let source = clean();
    let mut heap = Heap::new();
    for slice in 0..SLICES {
        heap.put(&source, slice, |object| number(object, tags::ACQUISITION_NUMBER, 1 + slice / 15));
        if slice == 14 {
            heap.put(&source, slice, |object| {
                number(object, tags::ACQUISITION_NUMBER, 2);
                put(object, tags::RESCALE_INTERCEPT, VR::DS, "-1004");
                position(object, [source.geometry.origin.0[0], source.geometry.origin.0[1], 14.0 * STEP + 0.005]);
            });
        }
    }
    heap.expect_clean(LeftOutKind::SamePosition, 1, &["at 17.5", "acquisition 2"]);
}

#[test]
fn numbers_and_times_that_change_within_a_scan_separate_nothing() {
    let source = clean();
    let changes: [fn(usize, &mut InMemDicomObject); 5] = [
        |slice, object| number(object, tags::ACQUISITION_NUMBER, slice),
        |slice, object| number(object, tags::ACQUISITION_NUMBER, 1 + usize::from(slice == 20)),
        |slice, object| put(object, tags::ACQUISITION_TIME, VR::TM, &format!("1200{slice:02}.5")),
        |slice, object| put(object, tags::FRAME_OF_REFERENCE_UID, VR::UI, &format!("1.2.8.{slice}")),
        |_, object| {
            object.remove_element(tags::FRAME_OF_REFERENCE_UID);
        },
    ];
    for change in changes {
        let mut heap = Heap::new();
        heap.add(&source, 1, change);
        assert_eq!(heap.expect(&source), []);
    }
}

#[test]
fn identical_copies_are_left_out() {
    let mut heap = Heap::of_clean();
    heap.put(&clean(), 5, |object| number(object, tags::ACQUISITION_NUMBER, 1));
    heap.expect_clean(LeftOutKind::Copy, 1, &["identical", "instance 41"]);
    let mut heap = Heap::of_clean();
    heap.add(&clean(), 1, |slice, object| number(object, tags::INSTANCE_NUMBER, slice + 1));
    heap.expect_clean(LeftOutKind::Copy, SLICES, &["identical"]);
    let mut heap = Heap::of_clean();
    heap.add(&clean(), 1, |_, _| ());
    heap.expect_clean(LeftOutKind::Copy, SLICES, &["identical", "instances 41 to 80"]);
}

#[test]
fn a_corrupt_slice_at_the_end_is_left_out_and_one_within_is_missing() {
    let mut heap = Heap::new();
    let source = clean();
    heap.add(&source, 1, |_, _| ());
    heap.put(&stack(1, SLICES as f64 * STEP, 0.0), 0, |object| {
        number(object, tags::ACQUISITION_NUMBER, 1);
        object.put(DataElement::new(tags::BITS_ALLOCATED, VR::US, PrimitiveValue::from(32_u16)));
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(vec![0_u16; 960].into())));
    });
    heap.expect_clean(LeftOutKind::Unreadable, 1, &["Bits Allocated", "instance 41"]);

    let mut heap = Heap::new();
    heap.add(&source, 1, |slice, object| {
        if slice == 17 {
            object.put(DataElement::new(tags::BITS_STORED, VR::US, PrimitiveValue::from(40_u16)));
        }
    });
    heap.expect_rejection(Reason::MissingSlices, &["1 of 40", "20.0 to 22.5 mm", "came and cannot be read: 1"]);
    let reading = heap.read();
    assert_eq!(reading.rejections[1].reason, Reason::Unreadable);
    assert!(reading.rejections[1].explanation.contains("instance 18"), "{:?}", reading.rejections);
}

#[test]
fn missing_slices_say_what_was_refused_and_a_whole_stack_leaves_it_out() {
    let lacked = Refused { images: 2, explanation: "the archive was full".to_owned(), lacked: true };
    let perhaps = Refused { images: 1, explanation: "kept apart".to_owned(), lacked: false };
    let refused = [lacked, perhaps];
    let mut gap = Heap::new();
    let source = clean();
    (0..SLICES).filter(|slice| ![10, 11].contains(slice)).for_each(|slice| gap.put(&source, slice, |_| ()));
    let mut reading = gap.read();
    reading.add_refused(&refused);
    let explanation = &reading.rejections[0].explanation;
    assert!(explanation.starts_with("2 of 40 slices are missing"), "{explanation}");
    let told = "; 2 images of this series: the archive was full; 1 image of this series: kept apart";
    assert!(explanation.ends_with(told), "{explanation}");
    assert!(reading.left_out.is_empty());

    let mut reading = Heap::of_clean().read();
    reading.add_refused(&refused);
    assert!(reading.rejections.is_empty());
    let explanation = "the archive was full".to_owned();
    assert_eq!(reading.left_out, [LeftOut { kind: LeftOutKind::Refused, images: 2, explanation }]);
}

#[test]
fn an_image_without_position_is_left_out() {
    let mut heap = Heap::of_clean();
    heap.put(&clean(), 5, |object| {
        object.remove_element(tags::IMAGE_POSITION_PATIENT);
    });
    heap.expect_clean(
        LeftOutKind::WithoutPosition,
        1,
        &["Image Position (Patient) (0020,0032) is missing", "instance 41"],
    );
}

#[test]
fn pages_and_other_objects_are_left_out() {
    let mut heap = Heap::of_clean();
    heap.put(&clean(), 5, |object| {
        object.put(DataElement::new(tags::SAMPLES_PER_PIXEL, VR::US, PrimitiveValue::from(3_u16)));
        put(object, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB");
    });
    heap.expect_clean(LeftOutKind::Page, 1, &["colour", "3 samples per pixel", "instance 41"]);

    let mut heap = Heap::of_clean();
    heap.put(&clean(), 5, |object| {
        put(object, tags::SOP_CLASS_UID, VR::UI, uids::MR_IMAGE_STORAGE);
        put(object, tags::MODALITY, VR::CS, "MR");
    });
    heap.expect_clean(LeftOutKind::OtherObject, 1, &["modality MR", "instance 41"]);
}

#[test]
fn a_coarser_stack_is_left_out() {
    // On the pixels of the fine one, with and without another thickness and acquisition.
    let mut coarse = geometry([24, 20, 10], [0.8, 0.7, 5.0], SUPINE);
    coarse.origin.0[2] = 0.4;
    let coarse = volume(coarse, |[x, y, z]| 50.0 + 20.0 * x + 10.0 * y + 3.0 * z);
    for thickness in ["5", "1.25"] {
        let mut heap = Heap::of_clean();
        heap.add(&coarse, 1, |_, object| put(object, tags::SLICE_THICKNESS, VR::DS, thickness));
        heap.expect_clean(LeftOutKind::OtherStack, 10, &["every 5.00 mm", "instances 41 to 50"]);
    }
    // On other pixels.
    let other = volume(geometry([20, 20, 10], [1.0, 1.0, 5.0], SUPINE), |_| 0.0);
    let mut heap = Heap::of_clean();
    heap.add(&other, 1, |_, _| ());
    heap.expect_clean(LeftOutKind::OtherStack, 10, &["another grid, 20 x 20 pixels of 1.000 mm"]);
}

#[test]
fn an_image_far_away_beside_or_between_is_left_out() {
    let [x, y, _] = clean().geometry.origin.0;
    let forms = [
        ([x, y, 650.0], LeftOutKind::Elsewhere, "601.2 mm from the stack"),
        ([x + 40.0, y, 20.0], LeftOutKind::Elsewhere, "40.0 mm beside"),
        ([x, y, 17.4 * STEP], LeftOutKind::BetweenSlices, "21.75 mm"),
    ];
    for (place, kind, words) in forms {
        let mut heap = Heap::of_clean();
        heap.put(&clean(), 5, |object| {
            number(object, tags::ACQUISITION_NUMBER, 1);
            position(object, place);
        });
        heap.expect_clean(kind, 1, &[words, "instance 41"]);
    }
}

#[test]
fn an_image_of_another_frame_of_reference_is_left_out() {
    let mut heap = Heap::of_clean();
    heap.put(&stack(1, 17.4 * STEP, 300.0), 0, |object| {
        number(object, tags::ACQUISITION_NUMBER, 1);
        put(object, tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.77");
    });
    heap.expect_clean(LeftOutKind::OtherFrameOfReference, 1, &["another frame of reference", "instance 41"]);
}

#[test]
fn a_scan_of_the_legs_is_left_out() {
    for acquisition in [1, 2] {
        let mut heap = Heap::of_clean();
        heap.add(&stack(35, -300.0, 1000.0), acquisition, |_, _| ());
        heap.expect_clean(LeftOutKind::Elsewhere, 35, &["-300.0 to -257.5 mm", "257.5 mm from the stack"]);
    }
}

#[test]
fn a_gap_in_the_stack_is_missing_slices_also_beside_other_objects() {
    let source = clean();
    let mut heap = Heap::new();
    for slice in (0..SLICES).filter(|slice| ![3, 4, 38].contains(slice)) {
        heap.put(&source, slice, |object| number(object, tags::INSTANCE_NUMBER, slice + 1));
    }
    heap.put(&source, 3, |object| put(object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\0\\-1"));
    heap.expect_rejection(Reason::MissingSlices, &["3 of 40 slices", "2.5 to 6.2 mm", "46.2 to 48.8 mm"]);
}

#[test]
fn slices_between_the_others_of_which_many_are_lost_are_missing() {
    let source = stack(80, 0.0, 0.0);
    // All even slices and every fourth odd one; then every third slice and a few of those between.
    let lost: [fn(&usize) -> bool; 2] =
        [|slice| slice % 2 == 0 || slice % 8 == 1, |slice| slice % 2 == 0 && slice % 5 < 4 || slice % 7 == 0];
    for kept in lost {
        let mut heap = Heap::new();
        for slice in (0..80).filter(kept) {
            heap.put(&source, slice, |object| number(object, tags::INSTANCE_NUMBER, slice + 1));
        }
        heap.expect_rejection(Reason::MissingSlices, &["slices are missing at a slice distance of 1.25 mm"]);
    }
}

/// Two lungs and a heart of this enhancement.
fn thorax(slices: usize, heart: f64) -> Volume {
    let mut grid = geometry([90, 70, slices], [4.0, 4.0, 3.0], SUPINE);
    grid.origin.0[2] = -120.0;
    volume(grid, move |[x, y, z]| {
        let ball = |centre: [f64; 2], radii: [f64; 2]| {
            ((x - centre[0]) / radii[0]).powi(2) + ((y - centre[1]) / radii[1]).powi(2) + (z / 140.0).powi(2) < 1.0
        };
        if ball([0.0, 0.0], [30.0, 40.0]) {
            heart
        } else if ball([75.0, 0.0], [45.0, 75.0]) || ball([-75.0, 0.0], [45.0, 75.0]) {
            -850.0
        } else if (x / 150.0).powi(2) + (y / 110.0).powi(2) < 1.0 {
            40.0
        } else {
            -1000.0
        }
    })
}

#[test]
fn of_two_phases_the_arterial_one_is_analysed_in_whatever_order_they_come() {
    let [arterial, venous] = [thorax(70, 330.0), thorax(80, 150.0)];
    for (first, second) in [(&arterial, &venous), (&venous, &arterial)] {
        let mut heap = Heap::new();
        heap.add(first, 1, |_, _| ());
        heap.add(second, 2, |_, _| ());
        let left_out = heap.expect(&arterial);
        assert_eq!((left_out[0].kind, left_out[0].images, left_out.len()), (LeftOutKind::OtherStack, 80, 1));
    }
}

#[test]
fn a_short_stack_of_more_enhancement_is_not_preferred_to_whole_lungs() {
    let (whole, mut part) = (thorax(80, 300.0), thorax(33, 450.0));
    part.geometry.origin.0[2] = -60.0;
    let mut heap = Heap::new();
    heap.add(&part, 1, |_, _| ());
    heap.add(&whole, 2, |_, _| ());
    assert_eq!(heap.expect(&whole)[0].images, 33);
}

#[test]
fn acquisitions_above_each_other_are_one_scan_unless_their_pixels_show_another_phase() {
    let [arterial, venous] = [thorax(80, 330.0), thorax(80, 150.0)];
    for (upper, is_one) in [(&arterial, true), (&venous, false)] {
        let mut heap = Heap::new();
        for slice in 0..80 {
            let (source, acquisition) = if slice < 44 { (&arterial, 1) } else { (upper, 2) };
            heap.put(source, slice, |object| number(object, tags::ACQUISITION_NUMBER, acquisition));
        }
        let reading = heap.read();
        let slices = reading.volume.expect("a volume").geometry.size[2];
        let told: Vec<_> = reading.left_out.iter().map(|one| (one.kind, one.images)).collect();
        if is_one {
            assert_eq!((slices, told), (80, Vec::new()));
        } else {
            assert_eq!((slices, told), (44, vec![(LeftOutKind::OtherStack, 36)]));
        }
    }
}

#[test]
fn a_real_chest_whose_files_each_name_a_frame_of_reference_is_read_whole() {
    let Some(folder) = test_data("lidc0001_full") else { return };
    let reading = read_series(&files(&folder), &Limits { pixels: 1 << 26, ..LIMITS });
    assert_eq!((reading.rejections, reading.left_out), (Vec::new(), Vec::new()));
    let volume = reading.volume.expect("a volume");
    assert_eq!(volume.geometry.size, [512, 512, 133]);
    assert!((volume.geometry.spacing[2] - 2.5).abs() < 1e-6);
}
