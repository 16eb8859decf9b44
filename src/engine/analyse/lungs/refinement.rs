//! From the network's coarse labels to the lungs' outline on the source images.
//!
//! The network knows which lung lies where. Hounsfield units show where it ends, at the resolution of the source. A
//! region of air on a slice is lung if the network labels enough of its pixels as lung. It is all of one side if almost
//! all these labels are. The outline is then closed, so that vessels, bronchi and nodules inside count as lung. A large
//! hole of tissue counts where lung lies below it: a consolidation does, the dome of the liver does not. What the
//! network takes for airway (dark and outside its lungs) is left out where a region of air holds both. Lung without air
//! (consolidation, atelectasis) has no outline of its own: the network's label is taken there, where it is sure and not
//! at its rim.
//!
//! A lung that reaches the edge of the field of view is a region like any other, because padding is no air: see
//! `regions`. Only where a lung is connected to room air do the network's labels separate them.

use std::cell::LazyCell;

use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, ArrayView1, ArrayView2, ArrayViewMut2, Axis, Slice, Zip};

use super::largest_components::keep_largest_components;
use super::morphology::{close_and_fill, eroded, part};
use super::recovery::{Candidate, overlooked, recover};
use super::regions::{AIR_BELOW, AIRWAY_BELOW, GAS_BELOW, Region, Regions, of_run, regions};
use super::runs::Run;
use super::scale::Scale;
use crate::engine::volume::field_of_view::FieldOfView;
use crate::engine::volume::part::bounds;
use crate::engine::volume::{BACKGROUND, LEFT_LUNG, RIGHT_LUNG, Volume};

/// A region within the chest is lung if the network takes at least this share of it for lung.
const LUNG_SHARE: f64 = 0.3;
/// A region is all of one side if the network gives less than this share of its lung to the other.
const OTHER_SIDE_SHARE: f64 = 0.1;

/// Added to a label where the network is sure of it.
pub(super) const SURE: u8 = 0x10;

/// Replaces the network's labels on the source grid (with [`SURE`] added where it is sure) by lungs with the outline of
/// the images.
pub(super) fn refine(volume: &Volume, labels: &mut Array3<u8>) {
    let [columns, rows, _] = volume.geometry.spacing;
    let (scale, field, hounsfield) = (Scale::of([columns, rows]), volume.field_of_view(), &volume.hounsfield);
    let (candidates, holes): (Vec<Vec<Candidate>>, Vec<Vec<Hole>>) = labels
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(hounsfield.axis_iter(Axis(0)))
        .map(|(labels, image)| refine_slice(&image, labels, field, &scale))
        .unzip();
    fill_over_lung(labels, &holes);
    let recovered = recover(hounsfield, labels, candidates, (field, &scale));
    labels.axis_iter_mut(Axis(0)).into_par_iter().zip(recovered).filter(|(_, recovered)| *recovered).for_each(
        |(labels, _)| {
            let sides = [LEFT_LUNG, RIGHT_LUNG].map(|side| labels.mapv(|label| label == side));
            close(labels, sides, &scale, [f64::INFINITY; 2]);
        },
    );
    for side in [LEFT_LUNG, RIGHT_LUNG] {
        keep_largest_components(labels, side);
    }
}

/// Refines the labels of a slice; returns what may be lung that the network overlooked, and large holes.
fn refine_slice(
    image: &ArrayView2<'_, i16>,
    mut labels: ArrayViewMut2<'_, u8>,
    field: &FieldOfView,
    scale: &Scale,
) -> (Vec<Candidate>, Vec<Hole>) {
    let solid = [LEFT_LUNG, RIGHT_LUNG].map(|side| airless(image, &labels.view(), side, scale.rim));
    labels.mapv_inplace(|label| label & !SURE);
    let found = regions(image, &labels.view(), field, |value| value < AIR_BELOW);
    let mut sides = air(image, &labels.view(), &found, (field, scale));
    for (side, solid) in sides.iter_mut().zip(solid) {
        for pixel in solid {
            side[pixel] = true;
        }
    }
    let holes = close(labels.view_mut(), sides, scale, found.middles());
    (overlooked(found, &labels.view(), scale), holes)
}

/// What a region of air is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No lung.
    Other,
    /// Lung, apart from airways, if it lies within the chest: foam of a table looks like lung.
    Lung,
    /// Lung and room air.
    Mixed,
}

impl Kind {
    fn of(region: &Region, scale: &Scale) -> Self {
        if region.holds_room_air() {
            let has_lung = region.lung() >= scale.least_separated && !region.lung_is_gas();
            return if has_lung { Self::Mixed } else { Self::Other };
        }
        match region.lung_share() {
            _ if region.is_gas() || region.is_airway(scale.greatest_airway) => Self::Other,
            share if share < LUNG_SHARE => Self::Other,
            _ => Self::Lung,
        }
    }
}

/// The pixels of air that are left and right lung.
fn air(
    image: &ArrayView2<'_, i16>,
    labels: &ArrayView2<'_, u8>,
    found: &Regions,
    (field, scale): (&FieldOfView, &Scale),
) -> [Array2<bool>; 2] {
    let enclosure = LazyCell::new(|| scale.enclosure(image, field));
    let kind = |(number, region): (usize, &Region)| match Kind::of(region, scale) {
        Kind::Lung if !enclosure.holds(found.pixels(number), region.at_edge) => Kind::Other,
        kind => kind,
    };
    let kinds: Vec<Kind> = found.regions.iter().enumerate().map(kind).collect();
    let mut sides = [Array2::from_elem(image.dim(), false), Array2::from_elem(image.dim(), false)];
    for run in found.runs.iter().filter(|run| kinds[run.number] != Kind::Other) {
        let (kind, of_all) = (kinds[run.number], found.regions[run.number].side());
        if let (Kind::Lung, Some(side)) = (kind, of_all) {
            let (row, values, labels) = (run.row, image.row(run.row), labels.row(run.row));
            let mut side = sides[usize::from(side == RIGHT_LUNG)].row_mut(row);
            let side = side.slice_axis_mut(Axis(0), Slice::from(run.columns.clone()));
            Zip::from(side).and(&of_run(&values, run)).and(&of_run(&labels, run)).for_each(|side, value, label| {
                *side = !is_airway(*value, *label);
            });
            continue;
        }
        for pixel in run.pixels() {
            let (value, label) = (image[pixel], labels[pixel]);
            let side = match kind {
                Kind::Lung if is_airway(value, label) => continue,
                Kind::Lung if label == BACKGROUND => nearer(pixel.1, found.middles()),
                // In the chest there is thick tissue on three sides of four, which there is not around a table.
                Kind::Mixed if label == BACKGROUND || enclosure.sides(pixel) < 3 || is_gas(image, pixel) => continue,
                _ => label,
            };
            sides[usize::from(side == RIGHT_LUNG)][pixel] = true;
        }
    }
    sides
}

/// True for air that the network does not take for lung and that is as dark as an airway.
fn is_airway(value: i16, label: u8) -> bool {
    label == BACKGROUND && value < AIRWAY_BELOW
}

/// True if a pixel and its neighbours hold air alone on average, which noise does not change.
fn is_gas(image: &ArrayView2<'_, i16>, (row, column): (usize, usize)) -> bool {
    let around = |index: usize, size: usize| index.saturating_sub(1)..(index + 2).min(size);
    let around = image.slice_each_axis(part(around(row, image.nrows()), around(column, image.ncols())));
    let sum: i32 = around.iter().map(|value| i32::from(*value)).sum();
    sum < i32::from(GAS_BELOW) * around.len() as i32
}

impl Region {
    /// The side of all of the region, if the network gives almost all of its lung to one.
    fn side(&self) -> Option<u8> {
        let one_sided = (self.left.min(self.right) as f64) < OTHER_SIDE_SHARE * self.lung() as f64;
        one_sided.then_some(if self.left > self.right { LEFT_LUNG } else { RIGHT_LUNG })
    }
}

/// A large hole in the lung of a side.
struct Hole {
    side: u8,
    runs: Vec<Run>,
}

/// Fills the holes that have lung somewhere below at least half of them.
fn fill_over_lung(labels: &mut Array3<u8>, holes: &[Vec<Hole>]) {
    for (slice, holes) in holes.iter().enumerate() {
        for Hole { side, runs } in holes {
            let pixels = || runs.iter().flat_map(Run::pixels);
            let is_lung = |slice: usize, (row, column): (usize, usize)| labels[(slice, row, column)] != BACKGROUND;
            let over_lung = pixels().filter(|pixel| (0..slice).rev().any(|below| is_lung(below, *pixel))).count();
            if 2 * over_lung >= pixels().count() {
                let mut labels = labels.index_axis_mut(Axis(0), slice);
                for pixel in pixels() {
                    labels[pixel] = *side;
                }
            }
        }
    }
}

/// Closes the outline of each side, writes both into the labels, and returns the holes that are too large to be filled.
fn close(
    mut labels: ArrayViewMut2<'_, u8>,
    mut sides: [Array2<bool>; 2],
    scale: &Scale,
    middles: [f64; 2],
) -> Vec<Hole> {
    let mut holes = Vec::new();
    for (mask, side) in sides.iter_mut().zip([LEFT_LUNG, RIGHT_LUNG]) {
        let great = close_and_fill(mask, scale.closing, scale.greatest_hole);
        holes.extend(great.into_iter().map(|runs| Hole { side, runs }));
    }
    let [left, right] = sides;
    let lines = labels.outer_iter_mut().zip(left.outer_iter().zip(right.outer_iter()));
    for (mut line, (left, right)) in lines {
        let before = shared(&left, &right).then(|| line.to_owned());
        Zip::from(&mut line).and(&left).and(&right).for_each(|label, left, right| {
            *label = u8::from(*left) * LEFT_LUNG + u8::from(*right) * RIGHT_LUNG;
        });
        for (column, before) in
            before.into_iter().flatten().enumerate().filter(|(column, _)| left[*column] && right[*column])
        {
            line[column] = if before == BACKGROUND { nearer(column, middles) } else { before };
        }
    }
    holes
}

/// True if both outlines have closed over the same pixel of a line between the lungs.
fn shared(left: &ArrayView1<'_, bool>, right: &ArrayView1<'_, bool>) -> bool {
    Zip::from(left).and(right).fold(false, |any, left, right| any || (*left && *right))
}

/// Lung without air: tissue that the network surely takes for lung, away from the rim of its lung.
fn airless(image: &ArrayView2<'_, i16>, labels: &ArrayView2<'_, u8>, side: u8, rim: usize) -> Vec<(usize, usize)> {
    let is_lung = |label: &u8| label & !SURE == side;
    let Some([rows, columns]) = bounds(labels, is_lung) else { return Vec::new() };
    // One pixel around the lung stands for all that is not lung.
    let first = [rows.start, columns.start].map(|index| index.saturating_sub(1));
    let part = part(first[0]..(rows.end + 1).min(image.nrows()), first[1]..(columns.end + 1).min(image.ncols()));
    let inside = eroded(&labels.slice_each_axis(part).map(is_lung).view(), rim);
    let pixels = inside.indexed_iter().filter(|(_, inside)| **inside);
    let pixels = pixels.map(|((row, column), _)| (row + first[0], column + first[1]));
    pixels.filter(|pixel| image[*pixel] >= AIR_BELOW && labels[*pixel] == side | SURE).collect()
}

fn nearer(column: usize, middles: [f64; 2]) -> u8 {
    let distance = |middle: f64| (column as f64 - middle).abs();
    if distance(middles[0]) <= distance(middles[1]) { LEFT_LUNG } else { RIGHT_LUNG }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::engine::volume::testing::{SUPINE, geometry};

    /// Refines labels of images with pixels of 3 mm.
    fn refine(hounsfield: &Array3<i16>, labels: &mut Array3<u8>) {
        let (slices, rows, columns) = hounsfield.dim();
        let grid = geometry([columns, rows, slices], [3.0; 3], SUPINE);
        let header = dicom_object::InMemDicomObject::new_empty();
        super::refine(&Volume::new(grid, hounsfield.clone(), Vec::new(), header), labels);
    }

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
        refine(&chest(), &mut labels);
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
        refine(&hounsfield, &mut labels);
        assert_eq!(labels[(1, 26, 15)], RIGHT_LUNG);
        assert_eq!(labels[(1, 30, 15)], BACKGROUND);
        assert!(labels.iter().all(|label| *label <= RIGHT_LUNG), "nothing but sides is left");
        let mut labels = network(0);
        refine(&hounsfield, &mut labels);
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
        refine(&hounsfield, &mut labels);
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
        refine(&hounsfield, &mut labels);
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
        refine(&hounsfield, &mut labels);
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
        refine(&hounsfield, &mut labels);
        assert_eq!(labels[(2, 34, 51)], BACKGROUND);
        assert_eq!(labels[(2, 28, 51)], LEFT_LUNG);
    }

    /// Sets rows and columns of all slices.
    fn fill<T: Copy>(voxels: &mut Array3<T>, rows: Range<usize>, columns: Range<usize>, value: T) {
        for mut image in voxels.outer_iter_mut() {
            image.slice_each_axis_mut(part(rows.clone(), columns.clone())).fill(value);
        }
    }

    /// [`chest`] with noise in its room air, so that nothing of it is padding.
    fn noisy_chest() -> Array3<i16> {
        let mut hounsfield = chest();
        for ((slice, row, column), value) in hounsfield.indexed_iter_mut() {
            if *value == -1000 {
                *value += ((slice * 37 + row * 17 + column * 7) % 61) as i16 - 30;
            }
        }
        hounsfield
    }

    #[test]
    fn a_lung_that_padding_cuts_is_whole_up_to_the_padding_however_little_the_network_took() {
        // Padding from column 45 on cuts the left lung. The network took a third of what is left of it.
        let mut hounsfield = noisy_chest();
        fill(&mut hounsfield, 0..40, 45..60, -1024);
        let mut labels = coarse();
        fill(&mut labels, 0..40, 41..60, BACKGROUND);
        refine(&hounsfield, &mut labels);
        for ((slice, row, column), label) in labels.indexed_iter() {
            let expected = if column < 45 { expected(slice, row, column) } else { BACKGROUND };
            assert_eq!(*label, expected, "{slice} {row} {column}");
        }
    }

    #[test]
    fn a_lung_that_opens_to_room_air_ends_where_the_network_says() {
        let mut hounsfield = noisy_chest();
        fill(&mut hounsfield, 18..22, 50..60, -850);
        let mut labels = coarse();
        // Stray labels in the air before the chest.
        fill(&mut labels, 0..2, 0..60, LEFT_LUNG);
        refine(&hounsfield, &mut labels);
        assert_eq!((labels[(1, 20, 40)], labels[(1, 20, 59)], labels[(1, 1, 30)]), (LEFT_LUNG, BACKGROUND, BACKGROUND));
        assert_eq!(labels[(1, 20, 20)], RIGHT_LUNG);
    }

    #[test]
    fn the_dome_of_the_liver_is_not_lung_and_a_consolidation_over_lung_is() {
        // Tissue of 13 x 13 voxels of 3 mm, ringed by the right lung, on the three lowest slices or the three highest.
        for (slices, found) in [(0..3, BACKGROUND), (1..4, RIGHT_LUNG)] {
            let mut hounsfield = chest();
            for slice in slices {
                hounsfield.index_axis_mut(Axis(0), slice).slice_each_axis_mut(part(12..25, 10..23)).fill(60);
            }
            let mut labels = Array3::from_shape_fn((4, 40, 60), |(slice, row, column)| match (row, column) {
                (12..25, 10..23) => BACKGROUND,
                _ => expected(slice, row, column),
            });
            refine(&hounsfield, &mut labels);
            assert_eq!((labels[(1, 18, 16)], labels[(2, 18, 16)]), (found, found));
            assert_eq!(labels[(1, 11, 16)], RIGHT_LUNG);
        }
    }

    #[test]
    fn a_main_bronchus_whose_rim_is_wide_is_no_lung_although_the_network_takes_it() {
        let mut hounsfield = chest();
        fill(&mut hounsfield, 18..24, 26..33, -800);
        fill(&mut hounsfield, 19..23, 27..33, -985);
        let mut labels = coarse();
        fill(&mut labels, 18..24, 26..33, LEFT_LUNG);
        refine(&hounsfield, &mut labels);
        assert_eq!(labels[(1, 20, 30)], BACKGROUND);
    }

    #[test]
    fn air_between_the_back_and_a_table_is_not_lung_although_the_network_takes_half_of_it() {
        // A hollow of the back, of three rows, over a thin table top. Scatter brightens its air.
        let mut hounsfield = noisy_chest();
        fill(&mut hounsfield, 34..37, 20..40, -930);
        fill(&mut hounsfield, 37..38, 15..45, -200);
        let mut labels = coarse();
        fill(&mut labels, 34..37, 25..35, LEFT_LUNG);
        refine(&hounsfield, &mut labels);
        assert_eq!(labels[(1, 35, 30)], BACKGROUND);
        assert_eq!(labels[(1, 20, 40)], LEFT_LUNG);
    }
}
