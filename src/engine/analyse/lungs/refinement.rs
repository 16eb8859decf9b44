//! From the network's coarse labels to the lungs' outline on the source images.
//!
//! The network knows which lung lies where. Hounsfield units show where it ends, at the resolution of the source. A
//! region of air on a slice is lung if the network labels enough of its pixels as lung. It is all of one side if almost
//! all these labels are. The outline is then closed, so that vessels, bronchi and nodules inside count as lung. What
//! the network takes for airway (dark and outside its lungs) is left out where a region of air holds both. Lung without
//! air (consolidation, atelectasis) has no outline of its own: the network's label is taken there, where it is sure and
//! not at its rim.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2, Axis};

use super::largest_components::keep_largest_components;
use super::morphology::{close_and_fill, eroded};
use super::recovery::recover;
use super::regions::{Region, Regions, regions};
use super::runs::Run;
use crate::engine::volume::{BACKGROUND, LEFT_LUNG, RIGHT_LUNG};

/// Below this a voxel holds more air than tissue: half way between lung and soft tissue, in Hounsfield units.
const AIR_BELOW: i16 = -400;
/// Below this a voxel holds air alone, as in trachea and bronchi.
const AIRWAY_BELOW: i16 = -930;
/// A region is lung if the network takes at least this share of it for lung.
const LUNG_SHARE: f64 = 0.3;
/// A region is all of one side if the network gives less than this share of its lung to the other.
const OTHER_SIDE_SHARE: f64 = 0.1;
/// Rim of the network's lungs, in millimetres, that is not trusted where there is no air.
const RIM_MM: f64 = 4.0;
/// Radius of the closing in millimetres: vessels up to twice as wide that open to the mediastinum become lung.
const CLOSING_MM: f64 = 3.0;
/// Least and greatest radius of the closing in voxels, for coarse and for fine images.
const CLOSING_VOXELS: (usize, usize) = (1, 5);

/// Added to a label where the network is sure of it.
pub(super) const SURE: u8 = 0x10;

/// Radii in voxels.
#[derive(Debug, Clone, Copy)]
struct Radii {
    closing: usize,
    rim: usize,
}

/// Replaces the network's labels on the source grid (with [`SURE`] added where it is sure) by lungs with the outline of
/// the images. `spacing` is that of columns and rows in millimetres.
pub(super) fn refine(hounsfield: &Array3<i16>, labels: &mut Array3<u8>, spacing: [f64; 2]) {
    let voxels = |millimetres: f64| (millimetres / spacing[0].max(spacing[1])).round() as usize;
    let closing = voxels(CLOSING_MM).clamp(CLOSING_VOXELS.0, CLOSING_VOXELS.1);
    let radii = Radii { closing, rim: voxels(RIM_MM).max(1) };
    labels
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(hounsfield.axis_iter(Axis(0)))
        .for_each(|(labels, image)| refine_slice(&image, labels, radii));
    let recovered = recover(hounsfield, labels, |value| value < AIR_BELOW, spacing[0] * spacing[1]);
    labels.axis_iter_mut(Axis(0)).into_par_iter().zip(recovered).filter(|(_, recovered)| *recovered).for_each(
        |(labels, _)| {
            let sides = [LEFT_LUNG, RIGHT_LUNG].map(|side| labels.mapv(|label| label == side));
            close(labels, sides, radii.closing, [f64::INFINITY; 2]);
        },
    );
    for side in [LEFT_LUNG, RIGHT_LUNG] {
        keep_largest_components(labels, side);
    }
}

fn refine_slice(image: &ArrayView2<'_, i16>, mut labels: ArrayViewMut2<'_, u8>, radii: Radii) {
    let solid = [LEFT_LUNG, RIGHT_LUNG].map(|side| airless(image, &labels.view(), side, radii.rim));
    labels.mapv_inplace(|label| label & !SURE);
    let found = regions(image, &labels.view(), |value| value < AIR_BELOW);
    let mut sides = [Array2::from_elem(image.dim(), false), Array2::from_elem(image.dim(), false)];
    let middles = middles(&found, &labels.view());
    let enclosure = Enclosure::of(image);
    for run in &found.runs {
        let region = &found.regions[run.number];
        for column in run.columns.clone() {
            let place = (run.row, column);
            let label = labels[place];
            let Some(side) = side(region, (label, image[place]), place, middles, &enclosure) else { continue };
            sides[usize::from(side == RIGHT_LUNG)][place] = true;
        }
    }
    for (side, solid) in sides.iter_mut().zip(&solid) {
        side.zip_mut_with(solid, |inside, solid| *inside |= *solid);
    }
    close(labels, sides, radii.closing, middles);
}

/// Closes the outline of each side and writes both into the labels.
fn close(mut labels: ArrayViewMut2<'_, u8>, mut sides: [Array2<bool>; 2], radius: usize, middles: [f64; 2]) {
    for side in &mut sides {
        close_and_fill(side, radius);
    }
    let [left, right] = sides;
    for ((place, label), (left, right)) in labels.indexed_iter_mut().zip(left.iter().zip(&right)) {
        *label = match (*left, *right) {
            (true, false) => LEFT_LUNG,
            (false, true) => RIGHT_LUNG,
            // Both outlines closed over the same voxel between the lungs.
            (true, true) if *label == BACKGROUND => nearer(place.1, middles),
            (true, true) => *label,
            (false, false) => BACKGROUND,
        };
    }
}

/// Lung without air: tissue that the network surely takes for lung, away from the rim of its lung.
fn airless(image: &ArrayView2<'_, i16>, labels: &ArrayView2<'_, u8>, side: u8, rim: usize) -> Array2<bool> {
    let mut inside = eroded(&labels.mapv(|label| label & !SURE == side).view(), rim);
    for ((place, inside), label) in inside.indexed_iter_mut().zip(labels) {
        *inside &= image[place] >= AIR_BELOW && *label == side | SURE;
    }
    inside
}

/// The side of a voxel of air, if it is lung. The voxel is given by the network's label and its value.
fn side(
    region: &Region,
    (label, value): (u8, i16),
    place: (usize, usize),
    middles: [f64; 2],
    enclosure: &Enclosure,
) -> Option<u8> {
    if region.lung_share() < LUNG_SHARE {
        return None;
    }
    // A lung that the edge of the image cuts is connected to the air around the patient. The network's label separates
    // them where tissue encloses a voxel on three sides of four, which it does not do around a table.
    if region.at_edge {
        return (label != BACKGROUND && enclosure.sides(place) >= 3).then_some(label);
    }
    if region.is_gas() || (label == BACKGROUND && value < AIRWAY_BELOW) {
        return None;
    }
    let lung = (region.left + region.right) as f64;
    let one_sided = (region.left.min(region.right) as f64) < OTHER_SIDE_SHARE * lung;
    Some(match label {
        _ if one_sided && region.left > region.right => LEFT_LUNG,
        _ if one_sided => RIGHT_LUNG,
        BACKGROUND => nearer(place.1, middles),
        label => label,
    })
}

/// The outermost tissue in every row and column of a slice.
struct Enclosure {
    rows: Vec<Option<(usize, usize)>>,
    columns: Vec<Option<(usize, usize)>>,
}

impl Enclosure {
    fn of(image: &ArrayView2<'_, i16>) -> Self {
        let ends = |axis: usize| {
            let lines = image.axis_iter(Axis(axis));
            let tissue = |value: &i16| *value >= AIR_BELOW;
            lines.map(|line| Some((line.iter().position(tissue)?, line.iter().rposition(tissue)?))).collect()
        };
        Self { rows: ends(0), columns: ends(1) }
    }

    /// On how many of its four sides a place has tissue.
    fn sides(&self, (row, column): (usize, usize)) -> usize {
        let between = |ends: Option<(usize, usize)>, index: usize| {
            ends.map_or(0, |(first, last)| usize::from(first < index) + usize::from(last > index))
        };
        between(self.rows[row], column) + between(self.columns[column], row)
    }
}

/// Mean column of the network's left and right lung on the slice.
fn middles(found: &Regions, labels: &ArrayView2<'_, u8>) -> [f64; 2] {
    let mut sums = [(0.0, 0_usize); 2];
    for Run { row, columns, .. } in &found.runs {
        for column in columns.clone() {
            let side = match labels[(*row, column)] {
                LEFT_LUNG => 0,
                RIGHT_LUNG => 1,
                _ => continue,
            };
            sums[side].0 += column as f64;
            sums[side].1 += 1;
        }
    }
    sums.map(|(sum, count)| if count == 0 { f64::INFINITY } else { sum / count as f64 })
}

fn nearer(column: usize, middles: [f64; 2]) -> u8 {
    let distance = |middle: f64| (column as f64 - middle).abs();
    if distance(middles[0]) <= distance(middles[1]) { LEFT_LUNG } else { RIGHT_LUNG }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chest of 40 x 60 x 4 voxels: body at 40 HU, lungs at -800 HU in columns 8..25 (right) and 35..52 (left),
    /// a vessel inside the right one, and air around the body.
    fn chest() -> Array3<i16> {
        Array3::from_shape_fn((4, 40, 60), |(_, row, column)| {
            let body = (3..37).contains(&row) && (3..57).contains(&column);
            let lung = (10..30).contains(&row) && ((8..25).contains(&column) || (35..52).contains(&column));
            let vessel = (18..21).contains(&row) && (14..17).contains(&column);
            match (body, lung && !vessel) {
                (false, _) => -1000,
                (true, true) => -800,
                (true, false) => 40,
            }
        })
    }

    /// Labels of a coarse network: too small, shifted.
    fn coarse() -> Array3<u8> {
        Array3::from_shape_fn((4, 40, 60), |(_, row, column)| match (row, column) {
            (12..32, 10..27) => RIGHT_LUNG,
            (12..32, 37..54) => LEFT_LUNG,
            _ => BACKGROUND,
        })
    }

    fn expected(slice: usize, row: usize, column: usize) -> u8 {
        let _ = slice;
        match (row, column) {
            (10..30, 8..25) => RIGHT_LUNG,
            (10..30, 35..52) => LEFT_LUNG,
            _ => BACKGROUND,
        }
    }

    #[test]
    fn the_outline_is_that_of_the_image_and_vessels_inside_are_lung() {
        let mut labels = coarse();
        refine(&chest(), &mut labels, [3.0, 3.0]);
        for ((slice, row, column), label) in labels.indexed_iter() {
            assert_eq!(*label, expected(slice, row, column), "{slice} {row} {column}");
        }
    }

    #[test]
    fn lung_without_air_is_taken_from_the_network_where_it_is_sure_and_not_at_its_rim() {
        let mut hounsfield = chest();
        for slice in 0..4 {
            for row in 22..30 {
                for column in 8..25 {
                    hounsfield[(slice, row, column)] = 40;
                }
            }
        }
        let network = |sure: u8| {
            Array3::from_shape_fn((4, 40, 60), |(slice, row, column)| match expected(slice, row, column) {
                BACKGROUND => BACKGROUND,
                side => side | sure,
            })
        };
        let mut labels = network(SURE);
        refine(&hounsfield, &mut labels, [3.0, 3.0]);
        assert_eq!(labels[(1, 26, 15)], RIGHT_LUNG);
        assert_eq!(labels[(1, 30, 15)], BACKGROUND);
        assert!(labels.iter().all(|label| *label <= RIGHT_LUNG), "nothing but sides is left");
        let mut labels = network(0);
        refine(&hounsfield, &mut labels, [3.0, 3.0]);
        assert_eq!(labels[(1, 26, 15)], BACKGROUND);
    }

    #[test]
    fn lungs_that_touch_are_separated_where_the_network_separates_them() {
        let mut hounsfield = chest();
        for slice in 0..4 {
            for column in 25..35 {
                hounsfield[(slice, 20, column)] = -800;
            }
        }
        let mut labels = coarse();
        refine(&hounsfield, &mut labels, [3.0, 3.0]);
        assert_eq!(labels[(1, 20, 26)], RIGHT_LUNG);
        assert_eq!(labels[(1, 20, 34)], LEFT_LUNG);
        assert_eq!(labels[(1, 12, 12)], RIGHT_LUNG);
        assert_eq!(labels[(1, 12, 40)], LEFT_LUNG);
    }

    #[test]
    fn air_outside_the_patient_and_the_airway_are_not_lung() {
        let mut hounsfield = chest();
        for slice in 0..4 {
            for row in 15..20 {
                for column in 25..31 {
                    hounsfield[(slice, row, column)] = -990;
                }
            }
        }
        let mut labels = coarse();
        refine(&hounsfield, &mut labels, [3.0, 3.0]);
        assert_eq!(labels[(1, 17, 29)], BACKGROUND, "airway that opens into the right lung");
        assert_eq!(labels[(1, 0, 0)], BACKGROUND);
    }

    #[test]
    fn a_lung_cut_by_the_edge_is_kept_and_air_beside_the_patient_is_not() {
        let mut hounsfield = chest();
        // The image ends inside the left lung, and the network takes a strip of room air for lung.
        for slice in 0..4 {
            for row in 10..30 {
                for column in 52..60 {
                    hounsfield[(slice, row, column)] = -800;
                }
            }
        }
        let mut labels = coarse();
        for slice in 0..4 {
            for row in 12..28 {
                for column in 54..60 {
                    labels[(slice, row, column)] = LEFT_LUNG;
                }
            }
            for column in 0..60 {
                labels[(slice, 39, column)] = LEFT_LUNG;
            }
        }
        refine(&hounsfield, &mut labels, [3.0, 3.0]);
        assert_eq!(labels[(1, 20, 55)], LEFT_LUNG);
        assert_eq!(labels[(1, 39, 30)], BACKGROUND);
    }

    #[test]
    fn a_speck_far_from_the_lungs_is_removed() {
        let mut hounsfield = chest();
        let mut labels = coarse();
        for row in 33..35 {
            for column in 50..53 {
                hounsfield[(2, row, column)] = -700;
                labels[(2, row, column)] = LEFT_LUNG;
            }
        }
        refine(&hounsfield, &mut labels, [3.0, 3.0]);
        assert_eq!(labels[(2, 34, 51)], BACKGROUND);
        assert_eq!(labels[(2, 28, 51)], LEFT_LUNG);
    }
}
