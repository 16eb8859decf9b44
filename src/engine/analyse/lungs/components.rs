//! Regions of air on one slice, as runs of pixels along rows.

use ndarray::ArrayView2;

use crate::engine::volume::{LEFT_LUNG, RIGHT_LUNG};

/// Pixels `start..end` of a row, all of one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) row: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Index into [`Regions::regions`].
    pub(super) region: usize,
}

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
}

impl Region {
    /// Share of its pixels that the network takes for lung.
    pub(super) fn lung_share(&self) -> f64 {
        (self.left + self.right) as f64 / self.area.max(1) as f64
    }
}

/// All regions of air on a slice.
#[derive(Debug, Clone, Default)]
pub(super) struct Regions {
    pub(super) runs: Vec<Run>,
    pub(super) regions: Vec<Region>,
}

/// Finds the regions where `air` holds, and counts what `labels` says of their pixels. Both are `[row, column]`.
pub(super) fn regions(image: &ArrayView2<'_, i16>, labels: &ArrayView2<'_, u8>, air: impl Fn(i16) -> bool) -> Regions {
    let (rows, columns) = image.dim();
    let mut runs: Vec<Run> = Vec::new();
    let mut parents: Vec<usize> = Vec::new();
    let mut previous = 0..0;
    for (row, line) in image.outer_iter().enumerate() {
        let first = runs.len();
        let mut column = 0;
        while column < columns {
            if !air(line[column]) {
                column += 1;
                continue;
            }
            let start = column;
            while column < columns && air(line[column]) {
                column += 1;
            }
            let index = runs.len();
            parents.push(index);
            runs.push(Run { row, start, end: column, region: index });
            for above in previous.clone() {
                let other: Run = runs[above];
                if other.start < column && start < other.end {
                    join(&mut parents, above, index);
                }
            }
        }
        previous = first..runs.len();
    }
    let mut numbers = vec![usize::MAX; runs.len()];
    let mut regions: Vec<Region> = Vec::new();
    for (index, run) in runs.iter_mut().enumerate() {
        let root = root(&mut parents, index);
        if numbers[root] == usize::MAX {
            numbers[root] = regions.len();
            regions.push(Region::default());
        }
        run.region = numbers[root];
        let region = &mut regions[run.region];
        region.area += run.end - run.start;
        region.at_edge |= run.row == 0 || run.row + 1 == rows || run.start == 0 || run.end == columns;
        for column in run.start..run.end {
            match labels[(run.row, column)] {
                LEFT_LUNG => region.left += 1,
                RIGHT_LUNG => region.right += 1,
                _ => {}
            }
        }
    }
    Regions { runs, regions }
}

fn root(parents: &mut [usize], mut index: usize) -> usize {
    while parents[index] != index {
        parents[index] = parents[parents[index]];
        index = parents[index];
    }
    index
}

fn join(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    // The root is the first run, so that regions are numbered from the top.
    parents[a.max(b)] = a.min(b);
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
        assert_eq!(found.regions[0], Region { area: 5, at_edge: true, left: 5, right: 0 });
        assert_eq!(found.regions[1].area, 1);
        assert!((found.regions[0].lung_share() - 1.0).abs() < 1e-12);
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
