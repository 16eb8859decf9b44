//! Regions of air on one slice, as runs of pixels along rows.

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, Axis, Slice, Zip};

use super::disjoint::DisjointSets;
use super::runs::{Run, connected_runs, set, stretches};
use crate::engine::volume::field_of_view::{FieldOfView, Place};
use crate::engine::volume::part::count;
use crate::engine::volume::{BACKGROUND, LEFT_LUNG, RIGHT_LUNG};

/// Below this a pixel holds more air than tissue: half way between lung and soft tissue, in Hounsfield units.
pub(super) const AIR_BELOW: i16 = -400;
/// Below this a pixel holds air alone, in Hounsfield units: air is -1000, a destroyed lung -950.
pub(super) const GAS_BELOW: i16 = -960;
/// Share of such pixels from which a region is gas. Noise lifts some, and the rim holds tissue.
const GAS_SHARE: f64 = 0.6;
/// Below this a pixel holds air alone or nearly so, as in trachea and bronchi.
pub(super) const AIRWAY_BELOW: i16 = -930;
/// Share of such pixels from which a small region is an airway.
const AIRWAY_SHARE: f64 = 0.5;
/// Pixels of gas in a row that are room air and not the noise of a lung.
const ROOM_AIR_PIXELS: usize = 8;
/// Share of room air from which a region at the edge of the field of view is not lung alone.
const ROOM_AIR_SHARE: f64 = 0.15;

/// A connected region of air (four neighbours) within the field of view.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Region {
    /// Number of pixels.
    pub(super) area: usize,
    /// True if a pixel lies at the edge of the field of view.
    pub(super) at_edge: bool,
    /// Pixels that the network takes for the left lung.
    pub(super) left: usize,
    /// Pixels that the network takes for the right lung.
    pub(super) right: usize,
    /// Pixels that hold air alone.
    pub(super) gas: usize,
    /// Those among them that the network takes for a lung.
    pub(super) gas_in_lung: usize,
    /// Pixels that are as dark as an airway.
    pub(super) airway: usize,
    /// Pixels in long stretches of gas.
    pub(super) room_air: usize,
}

impl Region {
    /// Number of pixels that the network takes for lung.
    pub(super) fn lung(&self) -> usize {
        self.left + self.right
    }

    /// Share of its pixels that the network takes for lung.
    pub(super) fn lung_share(&self) -> f64 {
        self.lung() as f64 / self.area.max(1) as f64
    }

    /// True for gas of trachea, stomach or bowel: air alone, where even a lung with emphysema holds some tissue.
    pub(super) fn is_gas(&self) -> bool {
        is_gas(self.gas, self.area)
    }

    /// True for trachea and large bronchi, whose rim leaves little that is gas: a region of at most `greatest` pixels.
    pub(super) fn is_airway(&self, greatest: usize) -> bool {
        self.area <= greatest && self.airway as f64 >= AIRWAY_SHARE * self.area as f64
    }

    /// True if what the network takes for lung is gas.
    pub(super) fn lung_is_gas(&self) -> bool {
        is_gas(self.gas_in_lung, self.lung())
    }

    /// True if the air around the patient belongs to the region.
    pub(super) fn holds_room_air(&self) -> bool {
        self.at_edge && self.room_air as f64 >= ROOM_AIR_SHARE * self.area as f64
    }
}

fn is_gas(gas: usize, area: usize) -> bool {
    gas as f64 >= GAS_SHARE * area as f64
}

/// All regions of air on a slice.
#[derive(Debug, Clone, Default)]
pub(super) struct Regions {
    /// Runs; the number of each is the index of its region.
    pub(super) runs: Vec<Run>,
    pub(super) regions: Vec<Region>,
    /// Sum of the columns and number of the pixels that the network takes for the left and for the right lung.
    lungs: [(usize, usize); 2],
}

impl Regions {
    /// Row and column of each pixel of a region.
    pub(super) fn pixels(&self, number: usize) -> impl Iterator<Item = (usize, usize)> {
        self.runs.iter().filter(move |run| run.number == number).flat_map(Run::pixels)
    }

    /// Mean column of the network's left and right lung on the slice.
    pub(super) fn middles(&self) -> [f64; 2] {
        self.lungs.map(|(columns, count)| if count == 0 { f64::INFINITY } else { columns as f64 / count as f64 })
    }
}

/// Finds the regions where `air` holds within the field of view, and counts the labels of their pixels. Padding separates
/// regions: a lung that the field of view cuts is not connected to the air around the patient.
pub(super) fn regions(
    image: &ArrayView2<'_, i16>,
    labels: &ArrayView2<'_, u8>,
    field: &FieldOfView,
    air: impl Fn(i16) -> bool,
) -> Regions {
    let mut sets = DisjointSets::default();
    let is_air = |row: usize, line: &mut [u8]| {
        let line = ArrayViewMut1::from(line);
        Zip::from(line).and(&image.row(row)).and(&field.row(row)).for_each(|set, value, place| {
            *set = u8::from(air(*value) && *place != Place::Outside);
        });
    };
    let mut found = Regions { runs: connected_runs(image.dim(), is_air, &mut sets), ..Regions::default() };
    let Regions { runs, regions, lungs } = &mut found;
    let mut numbers = vec![usize::MAX; runs.len()];
    for run in runs {
        let root = sets.root(run.number);
        if numbers[root] == usize::MAX {
            numbers[root] = regions.len();
            regions.push(Region::default());
        }
        run.number = numbers[root];
        let region = &mut regions[run.number];
        region.area += run.columns.len();
        region.at_edge |= count(of_run(&field.row(run.row), run), |place| *place == Place::Edge) > 0;
        add(run, image, labels, (region, lungs));
    }
    found
}

/// Counts what the pixels of a run are: one thing after the other, so that each is counted many pixels at once.
fn add(
    run: &Run,
    image: &ArrayView2<'_, i16>,
    labels: &ArrayView2<'_, u8>,
    (region, lungs): (&mut Region, &mut [(usize, usize); 2]),
) {
    let (values, labels) = (image.row(run.row), labels.row(run.row));
    let (values, labels) = (of_run(&values, run), of_run(&labels, run));
    let [left, right] = [LEFT_LUNG, RIGHT_LUNG].map(|side| count(labels, |label| *label == side));
    region.left += left;
    region.right += right;
    for ((side, found), sums) in [(LEFT_LUNG, left), (RIGHT_LUNG, right)].into_iter().zip(lungs) {
        if found > 0 {
            let columns = run.columns.clone().zip(labels).filter(|(_, label)| **label == side);
            *sums = (sums.0 + columns.map(|(column, _)| column).sum::<usize>(), sums.1 + found);
        }
    }
    region.airway += count(values, |value| *value < AIRWAY_BELOW);
    let gas = count(values, |value| *value < GAS_BELOW);
    region.gas += gas;
    if gas > 0 && left + right > 0 {
        let gas_in_lung =
            values.iter().zip(labels).filter(|(value, label)| **value < GAS_BELOW && **label != BACKGROUND);
        region.gas_in_lung += gas_in_lung.count();
    }
    if gas >= ROOM_AIR_PIXELS {
        let mut line = vec![0; run.columns.len()];
        set(&mut line, &values, |value| *value < GAS_BELOW);
        region.room_air +=
            stretches(&line).map(|gas| gas.len()).filter(|length| *length >= ROOM_AIR_PIXELS).sum::<usize>();
    }
}

/// The part of a row that a run covers.
pub(super) fn of_run<'a, T>(row: &'a ArrayView1<'_, T>, run: &Run) -> ArrayView1<'a, T> {
    row.slice_axis(Axis(0), Slice::from(run.columns.clone()))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3, arr2};

    use super::*;

    fn found(image: &Array2<i16>, labels: &Array2<u8>, air: impl Fn(i16) -> bool) -> Regions {
        regions(&image.view(), &labels.view(), &FieldOfView::whole(image.dim()), air)
    }

    #[test]
    fn a_region_that_closes_below_is_one_region() {
        let image = arr2(&[[0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1_i16]]);
        let labels = Array2::from_elem((3, 5), LEFT_LUNG);
        let found = found(&image, &labels, |value| value > 0);
        assert_eq!(found.regions.len(), 2);
        assert_eq!(found.regions[0], Region { area: 5, at_edge: true, left: 5, ..Region::default() });
        assert_eq!(found.regions[1].area, 1);
        assert!((found.regions[0].lung_share() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn gas_is_distinguished_from_parenchyma_although_its_rim_is_brighter() {
        let of = |inside: i16| {
            let image = Array2::from_shape_fn((12, 12), |(row, column)| match (row, column) {
                (3..9, 3..9) => inside,
                (2..10, 2..10) => -600,
                _ => 40,
            });
            found(&image, &Array2::zeros((12, 12)), |value| value < -400).regions[0].is_gas()
        };
        assert!(!of(-940));
        assert!(!of(-990), "a rim of more than a third");
        let wide = Array2::from_elem((12, 12), -990);
        assert!(found(&wide, &Array2::zeros((12, 12)), |value| value < -400).regions[0].is_gas());
    }

    #[test]
    fn corners_do_not_connect_and_the_inside_is_not_at_the_edge() {
        let image = arr2(&[[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0_i16]]);
        let labels = Array2::zeros((4, 4));
        let found = found(&image, &labels, |value| value > 0);
        assert_eq!(found.regions.len(), 2);
        assert!(found.regions.iter().all(|region| region.area == 1 && !region.at_edge));
    }

    #[test]
    fn padding_separates_a_lung_that_it_cuts_from_the_air_around_the_patient() {
        // Columns: padding, lung, wall, room air; the padding reaches along the lowest row, too.
        let place = |row: usize, column: usize| match (row, column) {
            (7, _) | (_, ..2) => -1024,
            (_, 2..4) => -850,
            (_, 4) => 40,
            _ => -1000,
        };
        let image = Array2::from_shape_fn((8, 15), |(row, column)| place(row, column));
        // Noise of the room, so that it is no padding.
        let mut slices = Array3::from_shape_fn((3, 8, 15), |(_, row, column)| place(row, column));
        slices[(1, 0, 14)] = -960;
        let field = FieldOfView::of(&slices.view());
        let found = regions(&image.view(), &Array2::zeros((8, 15)).view(), &field, |value| value < -400);
        let areas: Vec<(usize, bool)> =
            found.regions.iter().map(|region| (region.area, region.holds_room_air())).collect();
        assert_eq!(areas, [(14, false), (70, true)]);
        assert!(found.regions.iter().all(|region| region.at_edge));
    }
}
