//! What is missing of the lungs: cut by the field of view, lost by the segmentation, or gone by disease.
//!
//! The mask is compared with three things on a grid of about 3 mm. Where its outline runs along the edge of the field of
//! view, lung lies beyond: as much as the mirror image of the other lung has there, or as a chest of usual roundness: see
//! [`super::cut`]. Air
//! within the chest that is no gas should be in the mask. And one lung is about as large as the other. What the
//! stack cuts at its top or bottom is in [`super::ends`].

use std::cell::LazyCell;

use ndarray::parallel::prelude::*;
use ndarray::{ArrayView2, Axis};

use super::cut::{Point, beyond_mm2};
use super::ends::beyond_stack;
use super::regions::{AIR_BELOW, Region, Regions, regions};
use super::scale::Scale;
use crate::engine::analyse::findings::{Completeness, Lung, Lungs, SideCompleteness};
use crate::engine::volume::coarse::CoarseGrid;
use crate::engine::volume::field_of_view::{FieldOfView, Place};
use crate::engine::volume::percentile::median;
use crate::engine::volume::{BACKGROUND, LEFT_LUNG, LungMask, PatientPoint, RIGHT_LUNG, Volume, VoxelPoint};

/// Cells of the grid, in millimetres.
const CELL_MM: f64 = 3.0;
/// What is cut by less is the last of a rounded outline.
const LEAST_CUT_ML: f64 = 10.0;
/// Smallest region of air on a slice that may be lost lung, in square millimetres: others are airways and gas.
const LEAST_REGION_MM2: f64 = 200.0;
/// A region with at least this share in the mask is no loss: what lacks are airways.
const TAKEN_SHARE: f64 = 0.3;
/// Less air that looks like lung is bowel or airway more often than lung.
const LEAST_LOST_ML: f64 = 100.0;
/// A lung with less than this share of the other's volume is much smaller. The left has 0.8 to 0.9 of the right.
const SMALLER_SHARE: f64 = 0.5;

/// What was found on a slice or on all of them, left and right.
#[derive(Debug, Clone, Copy, Default)]
struct Missing {
    cut_ml: [f64; 2],
    lost_ml: [f64; 2],
}

/// Compares the lungs of a volume with its air, its field of view and with each other. `lungs` are those of the mask.
pub fn completeness(volume: &Volume, mask: &LungMask, lungs: &Lungs) -> Completeness {
    let grid = Grid::of(volume, mask);
    let (images, labels) = (grid.coarse.of_voxels(&volume.hounsfield), grid.coarse.of_voxels(&mask.0));
    let field = FieldOfView::of(&images);
    let slices: Vec<Missing> = images
        .axis_iter(Axis(0))
        .into_par_iter()
        .zip(labels.axis_iter(Axis(0)))
        .map(|(image, labels)| grid.missing(&image, &labels, &field))
        .collect();
    let sum = |of: fn(&Missing) -> [f64; 2], side: usize| slices.iter().map(|slice| of(slice)[side]).sum::<f64>();
    let beyond_stack_ml = beyond_stack(mask, &volume.geometry);
    let [left, right] = [0, 1].map(|side| SideCompleteness {
        cut_ml: at_least(LEAST_CUT_ML, sum(|slice| slice.cut_ml, side)),
        beyond_stack_ml: beyond_stack_ml[side],
        lost_ml: at_least(LEAST_LOST_ML, sum(|slice| slice.lost_ml, side)),
        smaller_ml: 0.0,
    });
    compared(Completeness { left, right }, lungs)
}

fn at_least(least: f64, millilitres: f64) -> f64 {
    if millilitres < least { 0.0 } else { millilitres }
}

/// Adds by how much one lung is smaller than the other, where nothing else explains it.
fn compared(mut completeness: Completeness, lungs: &Lungs) -> Completeness {
    let found = |lung: &Option<Lung>| lung.as_ref().map_or(0.0, |lung| lung.millilitres);
    let (left, right) = (found(&lungs.left), found(&lungs.right));
    let (whole_left, whole_right) = (left + completeness.left.unseen_ml(), right + completeness.right.unseen_ml());
    for (side, lung, other) in
        [(&mut completeness.left, left, whole_right), (&mut completeness.right, right, whole_left)]
    {
        if side.unseen_ml() <= 0.0 && lung < SMALLER_SHARE * other {
            side.smaller_ml = other - lung;
        }
    }
    completeness
}

/// The chest as far as the mask shows it, in the patient.
#[derive(Debug, Clone, Copy)]
struct Chest {
    /// The plane between left and right.
    middle: f64,
    /// How far the lungs reach to a side of it.
    reach: f64,
    /// Front and back of the lungs.
    depth: [f64; 2],
}

/// Where the cells lie.
struct Grid<'a> {
    volume: &'a Volume,
    coarse: CoarseGrid,
    chest: Chest,
    scale: Scale,
}

impl<'a> Grid<'a> {
    fn of(volume: &'a Volume, mask: &LungMask) -> Self {
        let coarse = CoarseGrid::of(&volume.geometry, CELL_MM);
        let [column, row, _] = coarse.geometry.spacing;
        let chest = Chest { middle: 0.0, reach: 0.0, depth: [0.0; 2] };
        let mut grid = Self { volume, coarse, chest, scale: Scale::of([column, row]) };
        grid.chest = grid.chest(mask);
        grid
    }

    /// The middle lies between the places where the lungs come nearest to each other, which no field of view cuts: their
    /// median over the slices.
    fn chest(&self, mask: &LungMask) -> Chest {
        let (mut sides, mut depth) = ([f64::INFINITY, f64::NEG_INFINITY], [f64::INFINITY, f64::NEG_INFINITY]);
        let mut middles = Vec::new();
        for labels in self.coarse.of_voxels(&mask.0).axis_iter(Axis(0)) {
            let (mut right, mut left) = (f64::NEG_INFINITY, f64::INFINITY);
            for (cell, label) in labels.indexed_iter().filter(|(_, label)| **label != BACKGROUND) {
                let [x, y, _] = self.place(cell).0;
                sides = [sides[0].min(x), sides[1].max(x)];
                depth = [depth[0].min(y), depth[1].max(y)];
                if *label == RIGHT_LUNG { right = right.max(x) } else { left = left.min(x) }
            }
            if right.is_finite() && left.is_finite() {
                middles.push(f64::midpoint(right, left));
            }
        }
        let middle = median(middles.into_iter(), 1).unwrap_or_else(|| self.middle_of_tissue());
        Chest { middle, reach: (middle - sides[0]).max(sides[1] - middle), depth }
    }

    /// Mean place of the tissue of the middle slice, from right to left in the patient.
    fn middle_of_tissue(&self) -> f64 {
        let images = self.coarse.of_voxels(&self.volume.hounsfield);
        let image = images.index_axis(Axis(0), images.len_of(Axis(0)) / 2);
        let tissue = image.indexed_iter().filter(|(_, value)| **value >= AIR_BELOW);
        let (sum, count) =
            tissue.fold((0.0, 0_usize), |(sum, count), (cell, _)| (sum + self.place(cell).0[0], count + 1));
        sum / count.max(1) as f64
    }

    /// Area of a cell.
    fn cell_mm2(&self) -> f64 {
        let [column, row, _] = self.coarse.geometry.spacing;
        column * row
    }

    /// Where a cell of an image lies, by row and column.
    fn place(&self, (row, column): (usize, usize)) -> PatientPoint {
        let point = VoxelPoint { column: column as f64, row: row as f64, slice: 0.0 };
        self.coarse.geometry.to_patient(point)
    }

    /// What a slice misses, in millilitres.
    fn missing(&self, image: &ArrayView2<'_, i16>, labels: &ArrayView2<'_, u8>, field: &FieldOfView) -> Missing {
        if labels.iter().all(|label| *label == BACKGROUND) {
            return Missing::default();
        }
        let millilitres = |mm2: f64| mm2 * self.coarse.geometry.spacing[2] / 1000.0;
        Missing {
            cut_ml: [LEFT_LUNG, RIGHT_LUNG].map(|side| millilitres(self.cut_mm2(labels, side, field))),
            lost_ml: self.lost_mm2(image, labels, field).map(millilitres),
        }
    }

    /// Area of a lung beyond the edge of the field of view.
    fn cut_mm2(&self, labels: &ArrayView2<'_, u8>, side: u8, field: &FieldOfView) -> f64 {
        let [column_mm, row_mm, _] = self.coarse.geometry.spacing;
        let point = |(row, column): (usize, usize)| [column as f64 * column_mm, row as f64 * row_mm];
        let is_at_edge = |cell: (usize, usize), label: u8| label == side && field.place(cell) == Place::Edge;
        let at_edge: Vec<Point> = labels
            .indexed_iter()
            .filter(|(cell, label)| is_at_edge(*cell, **label))
            .map(|(cell, _)| point(cell))
            .collect();
        if at_edge.is_empty() {
            return 0.0;
        }
        beyond_mm2(at_edge, point(field.middle())).max(self.mirrored_mm2(labels, side, field))
    }

    /// Area of the other lung whose mirror image lies beyond the edge.
    fn mirrored_mm2(&self, labels: &ArrayView2<'_, u8>, side: u8, field: &FieldOfView) -> f64 {
        let other = if side == LEFT_LUNG { RIGHT_LUNG } else { LEFT_LUNG };
        let is_beyond = |cell: (usize, usize)| {
            let PatientPoint([x, y, z]) = self.place(cell);
            let mirrored = self.coarse.geometry.to_voxel(PatientPoint([2.0 * self.chest.middle - x, y, z]));
            let (row, column) = (mirrored.row.round(), mirrored.column.round());
            let within = row >= 0.0 && column >= 0.0 && row < labels.nrows() as f64 && column < labels.ncols() as f64;
            !within || field.place((row as usize, column as usize)) == Place::Outside
        };
        let cells = labels.indexed_iter().filter(|(cell, label)| **label == other && is_beyond(*cell)).count();
        cells as f64 * self.cell_mm2()
    }

    /// Area of air within the chest that looks like lung and is not in the mask, left and right.
    fn lost_mm2(&self, image: &ArrayView2<'_, i16>, labels: &ArrayView2<'_, u8>, field: &FieldOfView) -> [f64; 2] {
        let found = regions(image, labels, field, |value| value < AIR_BELOW);
        let cell_mm2 = self.cell_mm2();
        let is_candidate = |region: &Region| {
            region.area as f64 * cell_mm2 >= LEAST_REGION_MM2
                && region.lung_share() < TAKEN_SHARE
                && !region.holds_room_air()
                && !region.is_gas()
        };
        let enclosure = LazyCell::new(|| self.scale.enclosure(image, field));
        let mut lost = [0.0; 2];
        for (number, region) in found.regions.iter().enumerate().filter(|(_, region)| is_candidate(region)) {
            let Some(side) = self.side(&found, number) else { continue };
            if enclosure.holds(found.pixels(number), region.at_edge) {
                lost[side] += (region.area - region.lung()) as f64 * cell_mm2;
            }
        }
        lost
    }

    /// Left (0) or right (1): where the middle of a region lies; `None` where no lung can be: in the foam of a table, beside
    /// an arm.
    fn side(&self, found: &Regions, number: usize) -> Option<usize> {
        let (mut sum, mut count) = ([0.0; 2], 0.0);
        for cell in found.pixels(number) {
            let [x, y, _] = self.place(cell).0;
            sum = [sum[0] + x, sum[1] + y];
            count += 1.0;
        }
        let [x, y] = sum.map(|sum| sum / count);
        let Chest { middle, reach, depth: [front, back] } = self.chest;
        ((x - middle).abs() <= reach && (front..=back).contains(&y)).then_some(usize::from(x < middle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::analyse::lungs::measure;
    use crate::engine::analyse::lungs::morphology::part;
    use crate::engine::volume::testing::{MIRRORED, SUPINE, geometry, volume};

    const FIELD: f64 = 400.0;

    /// A chest with round lungs of 60 mm radius in a body of tissue, seen by a field of view of a diameter in
    /// millimetres around a place to the left; beyond it is padding. Room air has noise.
    fn chest(diameter: f64, left: f64, columns: [[f64; 3]; 2]) -> Volume {
        volume(geometry([100, 80, 40], [4.0, 4.0, 3.0], columns), move |place| {
            let [x, y, _] = place;
            if (x - left).hypot(y) > diameter / 2.0 { -1024.0 } else { hounsfield(place) }
        })
    }

    fn hounsfield([x, y, z]: [f64; 3]) -> f64 {
        let noise = ((x * 7.0 + y * 13.0 + z * 31.0).rem_euclid(61.0)) - 30.0;
        let lung = |centre: f64| (x - centre).hypot(y) < 60.0 && z.abs() < 45.0;
        if lung(75.0) || lung(-75.0) {
            -850.0
        } else if (x / 165.0).hypot(y / 90.0) < 1.0 {
            40.0
        } else {
            -1000.0 + noise
        }
    }

    /// Lungs by place, as a mask that has all of them that can be seen.
    fn mask(volume: &Volume, keep: impl Fn([f64; 3]) -> bool) -> LungMask {
        LungMask(ndarray::Array3::from_shape_fn(volume.hounsfield.dim(), |(slice, row, column)| {
            let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
            let place = volume.geometry.to_patient(point).0;
            match volume.hounsfield[(slice, row, column)] {
                -850 if keep(place) && place[0] > 0.0 => LEFT_LUNG,
                -850 if keep(place) => RIGHT_LUNG,
                _ => BACKGROUND,
            }
        }))
    }

    fn found(volume: &Volume, keep: impl Fn([f64; 3]) -> bool) -> (Completeness, Lungs) {
        let mask = mask(volume, keep);
        let lungs = measure(&mask, &volume.geometry);
        (completeness(volume, &mask, &lungs), lungs)
    }

    #[test]
    fn whole_lungs_miss_nothing() {
        let (completeness, lungs) = found(&chest(FIELD, 0.0, SUPINE), |_| true);
        assert_eq!(completeness, Completeness::default());
        assert!(!completeness.limits_decision(&lungs));
    }

    #[test]
    fn a_lung_beyond_the_field_of_view_is_cut_by_about_what_is_not_seen() {
        for columns in [SUPINE, MIRRORED] {
            let (_, whole) = found(&chest(FIELD, 0.0, columns), |_| true);
            let (completeness, lungs) = found(&chest(200.0, 45.0, columns), |_| true);
            let volume = |lungs: &Lungs| lungs.right.as_ref().expect("a lung").millilitres;
            let cut = volume(&whole) - volume(&lungs);
            assert!(cut > 100.0, "{cut}");
            assert!((0.5..2.0).contains(&(completeness.right.cut_ml / cut)), "{completeness:?} of {cut}");
            assert!(completeness.left.unseen_ml() <= 0.0, "{completeness:?}");
            assert!(completeness.limits_decision(&lungs));
        }
    }

    #[test]
    fn lungs_that_several_borders_of_the_image_cut_are_cut_by_each_of_them() {
        let image = volume(geometry([50, 26, 40], [4.0, 4.0, 3.0], SUPINE), hounsfield);
        let (_, whole) = found(&chest(FIELD, 0.0, SUPINE), |_| true);
        let (completeness, lungs) = found(&image, |_| true);
        let cut = whole.millilitres() - lungs.millilitres();
        let told = completeness.left.cut_ml + completeness.right.cut_ml;
        assert!((0.35..1.5).contains(&(told / cut)), "{told} of {cut} ml");
    }

    #[test]
    fn what_is_cut_does_not_depend_on_how_much_padding_lies_around_the_field_of_view() {
        let told = |columns: usize, rows: usize, seen: fn(f64, f64) -> bool| {
            let image = volume(geometry([columns, rows, 40], [4.0, 4.0, 3.0], SUPINE), |place| {
                if seen(place[0], place[1]) { hounsfield(place) } else { -1024.0 }
            });
            let (Completeness { left, right }, _) = found(&image, |_| true);
            left.cut_ml + right.cut_ml
        };
        // A circle in a larger image and in one that it touches; a strip between padding and the image of it.
        let circle = |x: f64, y: f64| x.hypot(y) <= 102.0;
        let (around, inscribed) = (told(100, 80, circle), told(51, 51, circle));
        assert!(around > 50.0 && (inscribed / around - 1.0).abs() < 0.15, "{around} {inscribed}");
        let strip = |x: f64, _: f64| x.abs() <= 100.0;
        let (padded, alone) = (told(80, 80, strip), told(50, 80, |_, _| true));
        assert!(alone > 50.0 && (padded / alone - 1.0).abs() < 0.15, "{padded} {alone}");
    }

    #[test]
    fn lung_that_the_mask_did_not_take_is_lost() {
        // Half of the slices lack the left lung.
        let (completeness, lungs) = found(&chest(FIELD, 0.0, SUPINE), |[x, _, z]| x < 0.0 || z > 0.0);
        let left = lungs.left.as_ref().expect("a lung").millilitres;
        assert!((completeness.left.lost_ml / left - 1.0).abs() < 0.15, "{completeness:?}");
        assert!(completeness.right.unseen_ml() <= 0.0 && completeness.limits_decision(&lungs));
        // All of it.
        let (completeness, _) = found(&chest(FIELD, 0.0, SUPINE), |[x, ..]| x < 0.0);
        assert!((completeness.left.lost_ml / left - 2.0).abs() < 0.2, "{completeness:?}");
    }

    #[test]
    fn foam_in_a_table_of_thick_shells_is_no_lost_lung() {
        let mut volume = chest(FIELD, 0.0, SUPINE);
        for mut image in volume.hounsfield.outer_iter_mut() {
            image.slice_each_axis_mut(part(62..75, 20..80)).fill(40);
            image.slice_each_axis_mut(part(65..72, 25..75)).fill(-920);
        }
        let (completeness, _) = found(&volume, |_| true);
        assert_eq!(completeness, Completeness::default());
    }

    #[test]
    fn a_lung_without_air_is_smaller_and_does_not_limit_the_decision() {
        let mut volume = chest(FIELD, 0.0, SUPINE);
        let kept = mask(&volume, |[x, ..]| x < 0.0);
        for (value, label) in volume.hounsfield.iter_mut().zip(&kept.0) {
            *value = if *value == -850 && *label == BACKGROUND { 20 } else { *value };
        }
        let (completeness, lungs) = found(&volume, |[x, ..]| x < 0.0);
        let right = lungs.right.as_ref().expect("a lung").millilitres;
        assert!((completeness.left.smaller_ml - right).abs() < 1e-9, "{completeness:?}");
        assert!(completeness.left.unseen_ml() <= 0.0 && !completeness.limits_decision(&lungs));
    }
}
