//! Regions of air on one slice, as runs of pixels along rows.

use ndarray::ArrayView2;

use super::disjoint::DisjointSets;
use super::runs::{Run, connected_runs};
use crate::engine::volume::{LEFT_LUNG, RIGHT_LUNG};

/// Below this a pixel holds air alone, in Hounsfield units: air is -1000, a destroyed lung -950.
const GAS_BELOW: i16 = -960;
/// Share of such pixels from which a region is gas. Noise lifts some, and the rim holds tissue.
const GAS_SHARE: f64 = 0.6;

/// A connected region of air (four neighbours).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Region {
    /// Number of pixels.
    pub(super) area: usize,
    /// True if a pixel lies on the edge of the image.
    pub(super) at_edge: bool,
    /// Pixels that the network takes for the left lung.
    pub(super) left: usize,
    /// Pixels that the network takes for the right lung.
    pub(super) right: usize,
    /// Pixels that hold air alone.
    pub(super) gas: usize,
}

impl Region {
    /// Share of its pixels that the network takes for lung.
    pub(super) fn lung_share(&self) -> f64 {
        (self.left + self.right) as f64 / self.area.max(1) as f64
    }

    /// True for gas of trachea, stomach or bowel: air alone, where even a lung with emphysema holds some tissue.
    pub(super) fn is_gas(&self) -> bool {
        self.gas as f64 >= GAS_SHARE * self.area as f64
    }
}

/// All regions of air on a slice.
#[derive(Debug, Clone, Default)]
pub(super) struct Regions {
    /// Runs; the number of each is the index of its region.
    pub(super) runs: Vec<Run>,
    pub(super) regions: Vec<Region>,
}

/// Finds the regions where `air` holds, and counts the labels of their pixels. Both are `[row, column]`.
pub(super) fn regions(image: &ArrayView2<'_, i16>, labels: &ArrayView2<'_, u8>, air: impl Fn(i16) -> bool) -> Regions {
    let (rows, columns) = image.dim();
    let mut sets = DisjointSets::default();
    let mut runs = connected_runs(image, air, &mut sets);
    let mut numbers = vec![usize::MAX; runs.len()];
    let mut regions: Vec<Region> = Vec::new();
    for run in &mut runs {
        let root = sets.root(run.number);
        if numbers[root] == usize::MAX {
            numbers[root] = regions.len();
            regions.push(Region::default());
        }
        run.number = numbers[root];
        let region = &mut regions[run.number];
        region.area += run.columns.len();
        region.at_edge |= run.row == 0 || run.row + 1 == rows || run.columns.start == 0 || run.columns.end == columns;
        for column in run.columns.clone() {
            region.gas += usize::from(image[(run.row, column)] < GAS_BELOW);
            match labels[(run.row, column)] {
                LEFT_LUNG => region.left += 1,
                RIGHT_LUNG => region.right += 1,
                _ => {}
            }
        }
    }
    Regions { runs, regions }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, arr2};

    use super::*;

    #[test]
    fn a_region_that_closes_below_is_one_region() {
        let image = arr2(&[[0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1_i16]]);
        let labels = Array2::from_elem((3, 5), LEFT_LUNG);
        let found = regions(&image.view(), &labels.view(), |value| value > 0);
        assert_eq!(found.regions.len(), 2);
        assert_eq!(found.regions[0], Region { area: 5, at_edge: true, left: 5, right: 0, gas: 0 });
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
            let labels = Array2::zeros((12, 12));
            regions(&image.view(), &labels.view(), |value| value < -400).regions[0].is_gas()
        };
        assert!(!of(-940));
        assert!(!of(-990), "a rim of more than a third");
        let wide = Array2::from_elem((12, 12), -990);
        assert!(regions(&wide.view(), &Array2::zeros((12, 12)).view(), |value| value < -400).regions[0].is_gas());
    }

    #[test]
    fn corners_do_not_connect_and_the_inside_is_not_at_the_edge() {
        let image = arr2(&[[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0_i16]]);
        let labels = Array2::zeros((4, 4));
        let found = regions(&image.view(), &labels.view(), |value| value > 0);
        assert_eq!(found.regions.len(), 2);
        assert!(found.regions.iter().all(|region| region.area == 1 && !region.at_edge));
    }
}
