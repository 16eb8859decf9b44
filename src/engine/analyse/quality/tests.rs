use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use ndarray::{Array3, Axis};

use super::chest::LUNG_AIR;
use super::*;
use crate::config::Config;
use crate::dicom::bounded::Limits;
use crate::engine::analyse::lungs::{completeness, measure};
use crate::engine::volume::components::{filled, label, sizes};
use crate::engine::volume::testing::{LIMITS, SUPINE, files, geometry, test_data, volume};
use crate::engine::volume::{AIR, BACKGROUND, LEFT_LUNG, RIGHT_LUNG, nifti, read_series};

fn settings() -> QualityConfig {
    Config::from_defaults(&[]).expect("defaults").quality
}

/// Lungs by threshold: enclosed air in pieces larger than an airway, left and right of their common middle.
fn lungs_by_threshold(volume: &Volume) -> LungMask {
    let mut air = Array3::from_elem(volume.hounsfield.dim(), false);
    let pixel = volume.geometry.spacing[0] * volume.geometry.spacing[1];
    for (slice, mut air) in volume.hounsfield.outer_iter().zip(air.outer_iter_mut()) {
        let body = filled(slice.mapv(|hounsfield| hounsfield > *LUNG_AIR.end()).view());
        let inside = Array3::from_shape_fn((1, slice.nrows(), slice.ncols()), |(_, row, column)| {
            body[(row, column)] && slice[(row, column)] < *LUNG_AIR.end()
        });
        let pieces = label(&inside);
        let sizes = sizes(&pieces);
        air.zip_mut_with(&pieces.index_axis(Axis(0), 0), |air, piece| {
            *air = *piece > 0 && sizes[*piece as usize] as f64 * pixel > 800.0;
        });
    }
    let columns = || air.indexed_iter().filter(|(_, air)| **air).map(|((_, _, column), _)| column);
    let middle = columns().sum::<usize>() / columns().count().max(1);
    let to_the_left = volume.geometry.directions[0][0] > 0.0;
    let mut lungs = air.mapv(u8::from);
    for ((_, _, column), label) in lungs.indexed_iter_mut() {
        if *label > 0 {
            *label = if (column > middle) == to_the_left { LEFT_LUNG } else { RIGHT_LUNG };
        }
    }
    LungMask(lungs)
}

fn reasons(rejections: &[Rejection]) -> Vec<Reason> {
    rejections.iter().map(|rejection| rejection.reason).collect()
}

fn judged(volume: &Volume, mask: &LungMask) -> Vec<Rejection> {
    quality(volume, mask).rejections
}

fn quality(volume: &Volume, mask: &LungMask) -> ChestQuality {
    let lungs = measure(mask, &volume.geometry);
    check_chest(volume, mask, &lungs, &completeness(volume, mask, &lungs), &settings())
}

/// Both checks on a real series.
fn checked(folder: &str) -> Option<Vec<Reason>> {
    let volume = read_series(&files(&test_data(folder)?), &LIMITS).volume.expect("a volume");
    let lungs = lungs_by_threshold(&volume);
    Some(reasons(&[check_images(&volume, &settings()), judged(&volume, &lungs)].concat()))
}

#[test]
fn a_real_chest_with_contrast_agent_is_only_cut() {
    let Some(reasons) = checked("lidc0001_dicom") else { return };
    assert_eq!(reasons, [Reason::TooFewSlices, Reason::LungsCut]);
}

#[test]
fn a_real_chest_without_contrast_agent_is_distinguished_from_one_with() {
    let Some(reasons) = checked("lidc0002_dicom") else { return };
    assert_eq!(reasons, [Reason::TooFewSlices, Reason::NoContrast, Reason::LungsCut]);
}

#[test]
fn a_real_whole_chest_in_thick_slices_is_not_cut() {
    let Some(reasons) = checked("cip_ct64/dicom") else { return };
    assert_eq!(reasons, [Reason::TooThick, Reason::NoContrast]);
}

#[test]
fn a_real_abdomen_is_not_a_chest_although_lung_bases_are_in_it() {
    let Some(path) = test_data("totalsegmentator/example_ct.nii.gz") else { return };
    let (voxels, geometry) = nifti::read(&path).expect("a volume");
    let header = InMemDicomObject::new_empty();
    let hounsfield = voxels.mapv(|hounsfield| hounsfield as i16);
    let volume = Volume::new(geometry, hounsfield, Vec::new(), header);
    assert_eq!(reasons(&judged(&volume, &lungs_by_threshold(&volume))), [Reason::NotAChest]);
}

/// Two lungs of 180 mm in a body, a vessel between them and a spine behind it.
fn thorax(slices: usize, vessel: f64) -> Volume {
    volume(geometry([90, 70, slices], [4.0, 4.0, 3.0], SUPINE), |[x, y, z]| {
        let ball = |centre: [f64; 2], radii: [f64; 3]| {
            ((x - centre[0]) / radii[0]).powi(2) + ((y - centre[1]) / radii[1]).powi(2) + (z / radii[2]).powi(2) < 1.0
        };
        if ball([0.0, 35.0], [18.0, 18.0, 1e6]) {
            700.0
        } else if ball([0.0, -20.0], [20.0, 20.0, 80.0]) {
            vessel
        } else if ball([75.0, 0.0], [45.0, 75.0, 90.0]) || ball([-75.0, 0.0], [45.0, 75.0, 90.0]) {
            -850.0
        } else if ball([0.0, 0.0], [150.0, 110.0, 1e6]) {
            40.0
        } else {
            -1000.0
        }
    })
}

fn checks(volume: &Volume) -> Vec<Reason> {
    reasons(&judged(volume, &lungs_by_threshold(volume)))
}

#[test]
fn an_enhanced_thorax_passes_and_each_fault_is_reported_alone_and_together() {
    assert_eq!(checks(&thorax(70, 180.0)), []);
    assert_eq!(checks(&thorax(70, 60.0)), [Reason::NoContrast]);
    assert_eq!(checks(&thorax(40, 180.0)), [Reason::LungsCut]);
    assert_eq!(checks(&thorax(40, 60.0)), [Reason::NoContrast, Reason::LungsCut]);
}

#[test]
fn a_body_without_lungs_and_a_mask_without_voxels_are_not_a_chest() {
    let mut volume = thorax(70, 180.0);
    let nothing = LungMask(Array3::zeros(volume.hounsfield.dim()));
    assert_eq!(reasons(&judged(&volume, &nothing)), [Reason::NotAChest]);
    volume.hounsfield.mapv_inplace(|hounsfield| if hounsfield == -850 { 40 } else { hounsfield });
    assert_eq!(checks(&volume), [Reason::NotAChest]);
}

#[test]
fn slices_of_three_millimetres_pass_and_thicker_ones_do_not() {
    let mut volume = thorax(70, 180.0);
    assert_eq!(check_images(&volume, &settings()), []);
    state_thickness(&mut volume, |_| 5.0);
    assert_eq!(reasons(&check_images(&volume, &settings())), [Reason::TooThick]);
}

fn state_thickness(volume: &mut Volume, thickness: impl Fn(usize) -> f64) {
    for (index, slice) in volume.slices.iter_mut().enumerate() {
        slice.thickness_mm = Some(thickness(index));
    }
}

#[test]
fn thickness_is_that_of_nearly_all_slices_and_not_of_the_lowest_alone() {
    let mut volume = thorax(70, 180.0);
    state_thickness(&mut volume, |slice| if slice == 0 { 1.25 } else { 5.0 });
    assert_eq!(reasons(&check_images(&volume, &settings())), [Reason::TooThick]);
    state_thickness(&mut volume, |slice| if slice == 0 { 5.0 } else { 1.25 });
    assert_eq!(check_images(&volume, &settings()), []);
}

#[test]
fn numbers_that_skip_and_slices_that_are_thinner_than_far_apart_show_a_loss() {
    let mut volume = thorax(70, 180.0);
    let number = |volume: &mut Volume, step: i64| {
        for (index, slice) in volume.slices.iter_mut().enumerate() {
            slice.instance_number = Some(100 - step * index as i64);
        }
    };
    number(&mut volume, 2);
    assert_eq!(check_images(&volume, &settings()), [], "thickness is not known");
    state_thickness(&mut volume, |_| 1.5);
    let found = check_images(&volume, &settings());
    assert_eq!(reasons(&found), [Reason::SkippedSlices]);
    let told = &found[0].explanation;
    assert!(told.contains("every second slice") && told.contains("1.50 mm lie 3.00 mm apart"), "{told}");
    assert_eq!(severity(Reason::SkippedSlices, &settings()), Severity::Warn);
    number(&mut volume, 1);
    assert_eq!(check_images(&volume, &settings()), [], "made with gaps");
    number(&mut volume, 2);
    state_thickness(&mut volume, |_| 3.0);
    assert_eq!(check_images(&volume, &settings()), [], "two stacks share the numbers");
}

/// Puts fluid in place of a lung.
fn drown(volume: &mut Volume, lungs: &mut LungMask, side: u8) {
    drown_all_but(volume, lungs, side, |_| false);
}

/// Puts fluid in place of a lung, but for some columns.
fn drown_all_but(volume: &mut Volume, lungs: &mut LungMask, side: u8, kept: impl Fn(usize) -> bool) {
    for (((_, _, column), hounsfield), label) in volume.hounsfield.indexed_iter_mut().zip(&mut lungs.0) {
        if *label == side && !kept(column) {
            (*hounsfield, *label) = (15, BACKGROUND);
        }
    }
}

/// A thorax with fluid in place of a lung.
fn with_one_lung(vessel: f64, lost: u8) -> (Volume, LungMask) {
    let mut volume = thorax(70, vessel);
    let mut lungs = lungs_by_threshold(&volume);
    drown(&mut volume, &mut lungs, lost);
    (volume, lungs)
}

#[test]
fn contrast_is_judged_beside_a_single_lung() {
    for (lost, place) in [(RIGHT_LUNG, "beside the left lung"), (LEFT_LUNG, "beside the right lung")] {
        let (volume, lungs) = with_one_lung(180.0, lost);
        assert_eq!(judged(&volume, &lungs), []);
        let (volume, lungs) = with_one_lung(60.0, lost);
        let found = judged(&volume, &lungs);
        assert_eq!(reasons(&found), [Reason::NoContrast]);
        assert!(found[0].explanation.contains(place), "{}", found[0].explanation);
    }
}

#[test]
fn what_is_left_of_a_collapsed_lung_does_not_make_the_place_between_the_lungs() {
    let mut volume = thorax(70, 60.0);
    let mut lungs = lungs_by_threshold(&volume);
    // The right lung has the low columns; its outermost 12 mm stay.
    drown_all_but(&mut volume, &mut lungs, RIGHT_LUNG, |column| column < 18);
    assert!(lungs.0.iter().any(|label| *label == RIGHT_LUNG));
    let found = judged(&volume, &lungs);
    assert_eq!(reasons(&found), [Reason::NoContrast]);
    assert!(found[0].explanation.contains("beside the left lung"), "{}", found[0].explanation);
}

#[test]
fn a_real_chest_without_contrast_agent_is_refused_by_a_single_lung_too() {
    let Some(folder) = test_data("cip_ct64/dicom") else { return };
    for lost in [LEFT_LUNG, RIGHT_LUNG] {
        let mut volume = read_series(&files(&folder), &LIMITS).volume.expect("a volume");
        let mut lungs = lungs_by_threshold(&volume);
        drown(&mut volume, &mut lungs, lost);
        assert_eq!(reasons(&judged(&volume, &lungs)), [Reason::NoContrast], "without {lost}");
    }
}

#[test]
fn contrast_cannot_be_judged_where_fat_alone_adjoins_a_single_lung() {
    let (mut volume, lungs) = with_one_lung(180.0, RIGHT_LUNG);
    volume.hounsfield.mapv_inplace(|hounsfield| if hounsfield > 0 { -100 } else { hounsfield });
    let found = judged(&volume, &lungs);
    assert_eq!(reasons(&found), [Reason::ContrastUnknown]);
    assert!(found[0].explanation.contains("0.0 ml of soft tissue are seen beside the left lung"), "{found:?}");
}

#[test]
fn contrast_in_one_part_of_the_chest_only_is_a_reason_that_names_the_heights() {
    for enhanced_above in [true, false] {
        let mut half = thorax(70, 180.0);
        for ((slice, ..), hounsfield) in half.hounsfield.indexed_iter_mut() {
            if *hounsfield == 180 && (slice > 35) != enhanced_above {
                *hounsfield = 45;
            }
        }
        let found = judged(&half, &lungs_by_threshold(&half));
        assert_eq!(reasons(&found), [Reason::UnevenContrast]);
        let told = &found[0].explanation;
        assert!(told.contains("45 HU at z") && told.contains("but at 180 HU at z"), "{told}");
    }
}

#[test]
fn a_change_of_all_vessels_at_one_height_is_a_reason_and_slow_changes_are_not() {
    let with = |blood: fn(usize) -> i16| {
        let mut volume = thorax(70, 350.0);
        for ((slice, ..), hounsfield) in volume.hounsfield.indexed_iter_mut() {
            if *hounsfield == 350 {
                *hounsfield = blood(slice);
            }
        }
        judged(&volume, &lungs_by_threshold(&volume))
    };
    let found = with(|slice| if slice > 35 { 350 } else { 160 });
    assert_eq!(reasons(&found), [Reason::UnevenContrast]);
    let told = &found[0].explanation;
    assert!(told.contains("brighter by 190 HU") && told.contains("two phases"), "{told}");
    assert_eq!(with(|slice| 150 + 3 * slice as i16), []);
}

#[test]
fn great_vessels_of_real_chests_are_measured() {
    // A routine contrast CT: its radiologist's window shows the aorta brighter.
    let Some(folder) = test_data("lidc0001_full") else { return };
    let limits = Limits { pixels: 1 << 26, ..LIMITS };
    let mut volume = read_series(&files(&folder), &limits).volume.expect("a volume");
    let mut lungs = lungs_by_threshold(&volume);
    let ChestQuality { rejections, enhancement } = quality(&volume, &lungs);
    assert_eq!(reasons(&rejections), [Reason::AorticPhase], "{rejections:?}");
    let (trunk, aorta) = (enhancement.trunk.expect("a trunk"), enhancement.aorta.expect("an aorta"));
    assert!((trunk.hounsfield - 350.0).abs() < 15.0 && (aorta.hounsfield - 405.0).abs() < 15.0, "{enhancement:?}");
    // Without the left lung and its bronchus: the dome of the liver, which is darker, adjoins the lung that is left.
    drown(&mut volume, &mut lungs, LEFT_LUNG);
    assert_eq!(judged(&volume, &lungs), []);
}

#[test]
fn air_outside_the_circle_of_reconstruction_is_no_lung() {
    let mut padded = thorax(70, 180.0);
    let before = chest::lung_air_millilitres(&padded);
    let (_, rows, columns) = padded.hounsfield.dim();
    for ((_, row, column), hounsfield) in padded.hounsfield.indexed_iter_mut() {
        let place = [column as f64 / columns as f64 - 0.5, row as f64 / rows as f64 - 0.5];
        if place[0].hypot(place[1]) > 0.48 {
            *hounsfield = -950;
        }
    }
    assert!((chest::lung_air_millilitres(&padded) - before).abs() < 0.01 * before);
}

#[test]
fn numbers_that_are_no_hounsfield_units_are_a_reason_whatever_the_images_say() {
    let changed = |change: fn(i16) -> i16| {
        let mut volume = thorax(70, 180.0);
        volume.hounsfield.mapv_inplace(change);
        check_images(&volume, &settings())
    };
    assert_eq!(changed(|hounsfield| hounsfield), []);
    // Air outside the body as padding; nothing but lungs and tissue.
    assert_eq!(changed(|hounsfield| if hounsfield == -1000 { AIR } else { hounsfield }), []);
    let wrong: [(fn(i16) -> i16, &str); 4] = [
        // As an iodine map: no air.
        (|hounsfield| (hounsfield - 40).clamp(0, 140) / 30, "0.0 % of the values are those of lung and air"),
        // The intercept is missing, or applied twice.
        (|hounsfield| hounsfield + 1024, "0.0 % of the values are those of lung and air"),
        (|hounsfield| (hounsfield - 1024).max(AIR), "lie around soft tissue (-500 to 500 HU)"),
        // Half the slope.
        (|hounsfield| hounsfield / 2 - 512, "with a median of -492"),
    ];
    for (change, words) in wrong {
        let found = changed(change);
        assert_eq!(reasons(&found), [Reason::ImplausibleValues]);
        assert!(found[0].explanation.contains(words), "{}", found[0].explanation);
    }
}

#[test]
fn monochromatic_images_pass_within_the_energies_that_were_tried() {
    let mut volume = thorax(70, 180.0);
    let mut checked = |description: &str| {
        volume.header.put(DataElement::new(tags::SERIES_DESCRIPTION, VR::LO, PrimitiveValue::from(description)));
        check_images(&volume, &settings())
    };
    assert_eq!(checked("CTPA 70 keV"), []);
    let found = checked("CTPA 40 keV");
    assert_eq!(reasons(&found), [Reason::UntriedEnergy]);
    assert!(found[0].explanation.starts_with("virtual monochromatic images of 40 keV; 60 to 80 keV were tried"));
    assert_eq!(severity(Reason::UntriedEnergy, &settings()), Severity::Warn);
}

#[test]
fn lungs_larger_than_a_person_s_are_a_reason() {
    let mut volume = thorax(70, 180.0);
    volume.geometry.spacing = [8.0, 8.0, 3.0];
    let lungs = lungs_by_threshold(&volume);
    assert!(reasons(&judged(&volume, &lungs)).contains(&Reason::ImplausibleLungs));
}

#[test]
fn severities_and_thresholds_are_settings() {
    let settings = |texts: &[&str]| Config::from_defaults(texts).expect("settings").quality;
    assert_eq!(severity(Reason::TooThick, &settings(&[])), Severity::Warn);
    assert_eq!(severity(Reason::TooThick, &settings(&["quality.too_thick=reject"])), Severity::Reject);
    assert_eq!(severity(Reason::Hostile, &settings(&[])), Severity::Reject);
    let thorax = thorax(70, 180.0);
    let stricter = settings(&["quality.thickest_slice_mm=2", "quality.fewest_slices=71"]);
    assert_eq!(reasons(&check_images(&thorax, &stricter)), [Reason::TooFewSlices, Reason::TooThick]);
}
