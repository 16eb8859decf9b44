//! Are there lungs, are they whole, and are they a person's?

use ndarray::parallel::prelude::*;
use ndarray::{ArrayView2, Axis};

use crate::engine::analyse::findings::{Completeness, Lungs};
use crate::engine::volume::coarse::CoarseGrid;
use crate::engine::volume::components::filled;
use crate::engine::volume::part::count;
use crate::engine::volume::{BACKGROUND, Geometry, LungMask, Reason, Rejection, Volume};

/// Hounsfield units between which air belongs to a lung: above are its vessels, below are bowel gas, airways and
/// room air. Inflated parenchyma lies between -950 (emphysema) and -500 (oedema).
pub(super) const LUNG_AIR: std::ops::RangeInclusive<i16> = -980..=-400;

/// Smallest mean cross section of the lung mask, in square centimetres, that is worth analysing.
const MASK_CROSS_SECTION: f64 = 10.0;

/// Share of the largest slice's lung below which an end slice does not cut the lungs, however large they are.
const CUT_SHARE: f64 = 0.1;

/// That there are no lungs. `smallest` is the least mean area of lung on a slice in square centimetres: a chest has 80
/// to 200; abdomen and pelvis with the lung bases in them below 15.
pub(super) fn not_a_chest(volume: &Volume, mask: &LungMask, lungs: &Lungs, smallest: f64) -> Option<Rejection> {
    let length = stack_centimetres(&volume.geometry);
    let mut air = lung_air_millilitres(volume) / length;
    if air < smallest {
        // A field of view that cuts the chest joins its air to the border; the mask still covers it.
        air = air.max(aerated_millilitres(volume, mask) / length);
    }
    if air < smallest {
        return Some(Rejection::new(
            Reason::NotAChest,
            format!("lung-like air inside the body averages {air:.1} cm2 a slice; a chest has at least {smallest:.0}"),
        ));
    }
    let mask = lungs.millilitres() / length;
    (mask < MASK_CROSS_SECTION).then(|| {
        Rejection::new(
            Reason::NotAChest,
            format!("the lungs found average {mask:.1} cm2 a slice; a chest has at least {MASK_CROSS_SECTION:.0}"),
        )
    })
}

/// Air in [`LUNG_AIR`] within the mask.
fn aerated_millilitres(volume: &Volume, mask: &LungMask) -> f64 {
    let of_slice = |(labels, image): (ArrayView2<'_, u8>, ArrayView2<'_, i16>)| {
        let voxels = labels.iter().zip(image);
        voxels.filter(|(label, hounsfield)| **label != BACKGROUND && LUNG_AIR.contains(*hounsfield)).count()
    };
    let slices = mask.0.axis_iter(Axis(0)).into_par_iter().zip(volume.hounsfield.axis_iter(Axis(0)));
    slices.map(of_slice).sum::<usize>() as f64 * volume.geometry.voxel_millilitres()
}

fn stack_centimetres(geometry: &Geometry) -> f64 {
    geometry.size[2] as f64 * geometry.spacing[2] / 10.0
}

/// Air in [`LUNG_AIR`] that is not connected through air to the border of its slice, on a grid of about 3 mm.
pub(super) fn lung_air_millilitres(volume: &Volume) -> f64 {
    let grid = CoarseGrid::of(&volume.geometry, 3.0);
    let coarse = grid.of_voxels(&volume.hounsfield);
    let cells: usize = coarse.axis_iter(Axis(0)).into_par_iter().map(|slice| lung_cells(&slice)).sum();
    let share = cells as f64 / coarse.len() as f64;
    share * volume.hounsfield.len() as f64 * volume.geometry.voxel_millilitres()
}

fn lung_cells(slice: &ArrayView2<i16>) -> usize {
    let body = filled(slice.mapv(|hounsfield| hounsfield > *LUNG_AIR.end()).view());
    slice.iter().zip(&body).filter(|(hounsfield, inside)| **inside && LUNG_AIR.contains(*hounsfield)).count()
}

/// That the stack ends within the lungs. `largest_cut` is the area of lung in square centimetres that an end slice may
/// have: the apex and the deep recesses taper, their last 10 mm stay below 15.
pub(super) fn cut(
    volume: &Volume,
    lungs: &LungMask,
    completeness: &Completeness,
    largest_cut: f64,
) -> Option<Rejection> {
    let [column, row, _] = volume.geometry.spacing;
    let area = |slice: ArrayView2<'_, u8>| count(slice, |label| *label != BACKGROUND) as f64 * column * row / 100.0;
    let areas: Vec<f64> = lungs.0.axis_iter(Axis(0)).into_par_iter().map(area).collect();
    let largest = areas.iter().copied().fold(0.0, f64::max);
    let is_cut = |area: &f64| *area > largest_cut && *area > CUT_SHARE * largest;
    let ends: Vec<String> = [("bottom", areas.first()?), ("top", areas.last()?)]
        .into_iter()
        .filter(|(_, area)| is_cut(area))
        .map(|(name, area)| format!("{area:.0} cm2 on the {name} slice"))
        .collect();
    (!ends.is_empty()).then(|| {
        Rejection::new(
            Reason::LungsCut,
            format!(
                "the lungs extend beyond the stack by about {:.0} mL: {} (largest slice {largest:.0} cm2)",
                completeness.beyond_stack_ml(),
                ends.join(" and ")
            ),
        )
    })
}

/// That the lungs are larger than a person's. `largest` is the most that both together hold, in millilitres: total lung
/// capacity is 4 to 7 litres and at most about 9 in tall men and in emphysema.
pub(super) fn implausible(geometry: &Geometry, lungs: &Lungs, largest: f64) -> Option<Rejection> {
    let millilitres = lungs.millilitres();
    let [column, row, slice] = geometry.spacing;
    (millilitres > largest).then(|| {
        Rejection::new(
            Reason::ImplausibleLungs,
            format!(
                "the lungs hold {millilitres:.0} ml at a spacing of {column:.3} x {row:.3} x {slice:.3} mm; no person's exceed {largest:.0} ml"
            ),
        )
    })
}
