//! Quality checks: is this series a usable CT pulmonary angiogram?
//!
//! [`read_series`](crate::engine::volume::read_series) reports what is wrong with the objects and their positions.
//! [`check_images`] judges the images before the lungs are known, [`check_chest`] after. Each gives all reasons that
//! apply, with the values they rest on.

use dicom_dictionary_std::tags;
use ndarray::{Array2, ArrayView2, Axis};

use crate::dicom::elements::number;
use crate::engine::volume::components::filled;
use crate::engine::volume::preparation::{Crop, Preparation, Preparer};
use crate::engine::volume::{
    BACKGROUND, Geometry, LEFT_LUNG, LungMask, RIGHT_LUNG, Reason, Rejection, Volume, VoxelPoint,
};

/// Greatest distance and thickness of slices in millimetres. Guidelines for CTPA ask for 3 mm or less (ACR-NASCI-SPR
/// practice parameter for body CT angiography: 1.5 mm or less preferred); half a millimetre is left for rounding and
/// for stacks whose distance is not quite their nominal one. In 5 mm slices a segmental artery is one voxel.
pub const THICKEST_SLICE: f64 = 3.5;

/// Hounsfield units between which air belongs to a lung: above are its vessels, below are bowel gas, airways and
/// room air. Inflated parenchyma lies between -950 (emphysema) and -500 (oedema).
const LUNG_AIR: std::ops::RangeInclusive<i16> = -980..=-400;

/// Smallest mean cross section of lung in square centimetres. A chest has 80 to 200; abdomen and pelvis with the lung
/// bases in them below 15.
const LUNG_CROSS_SECTION: f64 = 25.0;

/// Smallest mean cross section of the lung mask, in square centimetres, that is worth analysing.
const MASK_CROSS_SECTION: f64 = 10.0;

/// An end slice with more lung than this, in square centimetres, and more than [`CUT_SHARE`] of the largest slice
/// cuts the lungs. The apex and the deep recesses taper: their last 10 mm stay below it.
const CUT_AREA: f64 = 15.0;
/// See [`CUT_AREA`].
const CUT_SHARE: f64 = 0.1;

/// Hounsfield units that the brightest tenth of the soft tissue between the lungs exceeds when there is contrast
/// agent in heart or great vessels. Blood without it reads 30 to 60 (70 in polycythaemia); a pulmonary artery called
/// poorly opacified reads 150 to 200, a diagnostic one above 200.
const ENHANCED: f64 = 110.0;

/// Judges a volume before its lungs are known: slice distance and thickness.
pub fn check_images(volume: &Volume) -> Vec<Rejection> {
    let distance = volume.geometry.spacing[2];
    let thickness = number(&volume.header, tags::SLICE_THICKNESS).filter(|thickness| *thickness > 0.0);
    if distance.max(thickness.unwrap_or(0.0)) <= THICKEST_SLICE {
        return Vec::new();
    }
    let thickness = thickness.map_or_else(|| "not stated".to_owned(), |thickness| format!("{thickness:.2} mm"));
    vec![Rejection::new(
        Reason::TooThick,
        format!("slices lie {distance:.2} mm apart, thickness {thickness}; at most {THICKEST_SLICE} mm are allowed"),
    )]
}

/// Judges a volume with its lungs: are they there, whole, and is there contrast agent between them?
pub fn check_chest(volume: &Volume, lungs: &LungMask) -> Vec<Rejection> {
    if let Some(rejection) = not_a_chest(volume, lungs) {
        // Cut lungs and vessels cannot be judged where there are no lungs.
        return vec![rejection];
    }
    let mut rejections = Vec::new();
    if let Some(level) = mediastinal_level(volume, lungs)
        && level < ENHANCED
    {
        rejections.push(Rejection::new(
            Reason::NoContrast,
            format!(
                "the brightest tenth of the soft tissue between the lungs begins at {level:.0} HU; with contrast agent in heart and vessels it is above {ENHANCED:.0}"
            ),
        ));
    }
    rejections.extend(cut(volume, lungs));
    rejections
}

fn not_a_chest(volume: &Volume, lungs: &LungMask) -> Option<Rejection> {
    let length = stack_centimetres(&volume.geometry);
    let in_mask = lungs.0.iter().zip(&volume.hounsfield).filter(|(label, _)| **label != BACKGROUND);
    let (mut mask, mut aerated) = (0, 0);
    for (_, hounsfield) in in_mask {
        mask += 1;
        aerated += usize::from(LUNG_AIR.contains(hounsfield));
    }
    let area = |voxels: usize| voxels as f64 * volume.geometry.voxel_millilitres() / length;
    // A field of view that cuts the chest joins its air to the border; the mask still covers it.
    let air = (lung_air_millilitres(volume) / length).max(area(aerated));
    if air < LUNG_CROSS_SECTION {
        return Some(Rejection::new(
            Reason::NotAChest,
            format!(
                "lung-like air inside the body averages {air:.1} cm2 a slice; a chest has at least {LUNG_CROSS_SECTION:.0}"
            ),
        ));
    }
    let mask = area(mask);
    (mask < MASK_CROSS_SECTION).then(|| {
        Rejection::new(
            Reason::NotAChest,
            format!("the lungs found average {mask:.1} cm2 a slice; a chest has at least {MASK_CROSS_SECTION:.0}"),
        )
    })
}

fn stack_centimetres(geometry: &Geometry) -> f64 {
    geometry.size[2] as f64 * geometry.spacing[2] / 10.0
}

/// Air in [`LUNG_AIR`] that is not connected through air to the border of its slice, on a grid of about 3 mm.
fn lung_air_millilitres(volume: &Volume) -> f64 {
    let strides = volume.geometry.spacing.map(|spacing| (3.0 / spacing).round().max(1.0) as usize);
    let coarse = volume.every(strides);
    let cells: usize = coarse.outer_iter().map(|slice| lung_cells(&slice)).sum();
    let share = cells as f64 / coarse.len() as f64;
    share * volume.hounsfield.len() as f64 * volume.geometry.voxel_millilitres()
}

fn lung_cells(slice: &ArrayView2<i16>) -> usize {
    let body = filled(slice.mapv(|hounsfield| hounsfield > *LUNG_AIR.end()).view());
    slice.iter().zip(&body).filter(|(hounsfield, inside)| **inside && LUNG_AIR.contains(*hounsfield)).count()
}

/// The 90th percentile of soft tissue between the lungs, in Hounsfield units; `None` where too little of it is seen.
///
/// The series is resampled to a 3 mm grid, which averages noise and small calcifications away. The percentile is over
/// the cells between right and left lung, in rows from 15 to 50 % of the depth of the lungs: behind the sternum, in
/// front of the spine.
fn mediastinal_level(volume: &Volume, lungs: &LungMask) -> Option<f64> {
    const CELL: f64 = 3.0;
    const WINDOW: [f64; 2] = [-200.0, 1000.0];
    const SOFT_TISSUE: f64 = -30.0;
    const FEWEST_CELLS: usize = 500;
    let grid = Preparation {
        normalisation: None,
        colour: None,
        window: WINDOW,
        size: [112, 144],
        spacing_mm: CELL,
        slice_step_mm: CELL,
        neighbours: 0,
        crop: Crop::LungBox,
    };
    let preparer = Preparer::new(volume, Some(lungs), &grid).ok()?;
    let images = preparer.images(0..preparer.slices());
    let mut values = Vec::new();
    for (slice, image) in images.axis_iter(Axis(0)).enumerate() {
        let labels = labels(&preparer, slice, volume, lungs);
        for (row, column) in between_lungs(&labels) {
            let hounsfield = WINDOW[0] + f64::from(image[(row, column)]) * (WINDOW[1] - WINDOW[0]);
            if hounsfield > SOFT_TISSUE {
                values.push(hounsfield);
            }
        }
    }
    if values.len() < FEWEST_CELLS {
        return None;
    }
    let rank = values.len() * 9 / 10;
    Some(*values.select_nth_unstable_by(rank, f64::total_cmp).1)
}

/// Labels of the lung mask at the cells of a prepared slice.
fn labels(preparer: &Preparer, slice: usize, volume: &Volume, lungs: &LungMask) -> Array2<u8> {
    let grid = preparer.geometry();
    Array2::from_shape_fn((grid.size[1], grid.size[0]), |(row, column)| {
        let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
        let source = volume.geometry.to_voxel(grid.to_patient(point));
        let place = [source.slice, source.row, source.column].map(f64::round);
        if place.iter().any(|index| *index < 0.0) {
            return BACKGROUND;
        }
        lungs.0.get(place.map(|index| index as usize)).copied().unwrap_or(BACKGROUND)
    })
}

/// Cells between the two lungs of a prepared slice, whose columns grow to the patient's left.
fn between_lungs(labels: &Array2<u8>) -> Vec<(usize, usize)> {
    let rows: Vec<usize> = labels
        .outer_iter()
        .enumerate()
        .filter(|(_, row)| row.iter().any(|label| *label != BACKGROUND))
        .map(|(index, _)| index)
        .collect();
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Vec::new() };
    let depth = (last - first) as f64;
    let seen = (*first as f64 + 0.15 * depth).ceil() as usize..=(*first as f64 + 0.5 * depth).floor() as usize;
    let mut cells = Vec::new();
    for row in seen {
        let line = labels.row(row);
        let right = line.iter().rposition(|label| *label == RIGHT_LUNG);
        let left = line.iter().position(|label| *label == LEFT_LUNG);
        if let (Some(right), Some(left)) = (right, left) {
            // One cell at each side is left out: it is partly lung.
            cells.extend((right + 2..left.saturating_sub(1)).map(|column| (row, column)));
        }
    }
    cells
}

fn cut(volume: &Volume, lungs: &LungMask) -> Option<Rejection> {
    let [column, row, _] = volume.geometry.spacing;
    let areas: Vec<f64> = lungs
        .0
        .outer_iter()
        .map(|slice| slice.iter().filter(|label| **label != BACKGROUND).count() as f64 * column * row / 100.0)
        .collect();
    let largest = areas.iter().copied().fold(0.0, f64::max);
    let is_cut = |area: &f64| *area > CUT_AREA && *area > CUT_SHARE * largest;
    let ends: Vec<String> = [("bottom", areas.first()?), ("top", areas.last()?)]
        .into_iter()
        .filter(|(_, area)| is_cut(area))
        .map(|(name, area)| format!("{area:.0} cm2 on the {name} slice"))
        .collect();
    (!ends.is_empty()).then(|| {
        Rejection::new(
            Reason::LungsCut,
            format!("the lungs extend beyond the stack: {} (largest slice {largest:.0} cm2)", ends.join(" and ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use dicom_core::{DataElement, PrimitiveValue, VR};
    use dicom_object::InMemDicomObject;
    use ndarray::Array3;

    use super::*;
    use crate::engine::volume::components::{label, sizes};
    use crate::engine::volume::testing::{LIMITS, SUPINE, files, geometry, test_data, volume};
    use crate::engine::volume::{nifti, read_series};

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

    /// Both checks on a real series.
    fn checked(folder: &str) -> Option<Vec<Reason>> {
        let volume = read_series(&files(&test_data(folder)?), &LIMITS).volume.expect("a volume");
        let lungs = lungs_by_threshold(&volume);
        Some(reasons(&[check_images(&volume), check_chest(&volume, &lungs)].concat()))
    }

    #[test]
    fn a_real_chest_with_contrast_agent_is_only_cut() {
        let Some(reasons) = checked("lidc0001_dicom") else { return };
        assert_eq!(reasons, [Reason::LungsCut]);
    }

    #[test]
    fn a_real_chest_without_contrast_agent_is_distinguished_from_one_with() {
        let Some(reasons) = checked("lidc0002_dicom") else { return };
        assert_eq!(reasons, [Reason::NoContrast, Reason::LungsCut]);
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
        let volume = Volume { hounsfield, geometry, slices: Vec::new(), header };
        assert_eq!(reasons(&check_chest(&volume, &lungs_by_threshold(&volume))), [Reason::NotAChest]);
    }

    /// Two lungs of 180 mm in a body, a vessel between them and a spine behind it.
    fn thorax(slices: usize, vessel: f64) -> Volume {
        volume(geometry([90, 70, slices], [4.0, 4.0, 3.0], SUPINE), |[x, y, z]| {
            let ball = |centre: [f64; 2], radii: [f64; 3]| {
                ((x - centre[0]) / radii[0]).powi(2) + ((y - centre[1]) / radii[1]).powi(2) + (z / radii[2]).powi(2)
                    < 1.0
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
        reasons(&check_chest(volume, &lungs_by_threshold(volume)))
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
        assert_eq!(reasons(&check_chest(&volume, &nothing)), [Reason::NotAChest]);
        volume.hounsfield.mapv_inplace(|hounsfield| if hounsfield == -850 { 40 } else { hounsfield });
        assert_eq!(checks(&volume), [Reason::NotAChest]);
    }

    #[test]
    fn slices_of_three_millimetres_pass_and_thicker_ones_do_not() {
        let mut volume = thorax(70, 180.0);
        assert_eq!(check_images(&volume), []);
        let thickness = PrimitiveValue::from("5.0");
        volume.header.put(DataElement::new(tags::SLICE_THICKNESS, VR::DS, thickness));
        assert_eq!(reasons(&check_images(&volume)), [Reason::TooThick]);
    }

    #[test]
    fn nothing_is_said_of_contrast_where_one_lung_is_missing() {
        let volume = thorax(70, 60.0);
        let mut lungs = lungs_by_threshold(&volume);
        lungs.0.mapv_inplace(|label| if label == RIGHT_LUNG { BACKGROUND } else { label });
        assert_eq!(reasons(&check_chest(&volume, &lungs)), []);
    }
}
