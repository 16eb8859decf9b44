//! Connected parts of a mask in three dimensions, as runs: a volume of labels would take four times the mask's memory.

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayView2, Axis, Slice};

use super::disjoint::DisjointSets;
use super::runs::{Run, connected_runs, set};
use crate::engine::volume::BACKGROUND;

/// A connected part that has less than this share of the greatest part's voxels is no lung.
const SMALLEST_PART: f64 = 0.05;

/// Removes the connected parts of a side (six neighbours) that are small compared with its largest one.
pub(super) fn keep_largest_components(labels: &mut Array3<u8>, side: u8) {
    let runs_of = |image: ArrayView2<'_, u8>| {
        let mut sets = DisjointSets::default();
        let is_side = |row: usize, line: &mut [u8]| set(line, &image.row(row), |label| *label == side);
        (connected_runs(image.dim(), is_side, &mut sets), sets)
    };
    let found: Vec<(Vec<Run>, DisjointSets)> = labels.axis_iter(Axis(0)).into_par_iter().map(runs_of).collect();
    let mut sets = DisjointSets::default();
    let mut slices: Vec<Vec<Run>> = Vec::with_capacity(found.len());
    for (mut runs, of_slice) in found {
        let offset = sets.append(&of_slice);
        for run in &mut runs {
            run.number += offset;
        }
        if let Some(below) = slices.last() {
            join_slices(below, &runs, &mut sets);
        }
        slices.push(runs);
    }
    let sizes = sets.sums(slices.iter().flatten().map(|run| (run.number, run.columns.len())));
    let greatest = sizes.iter().copied().max().unwrap_or(0) as f64;
    for (mut image, runs) in labels.axis_iter_mut(Axis(0)).zip(slices) {
        for run in runs {
            if (sizes[sets.root(run.number)] as f64) < SMALLEST_PART * greatest {
                image.row_mut(run.row).slice_axis_mut(Axis(0), Slice::from(run.columns)).fill(BACKGROUND);
            }
        }
    }
}

/// Joins runs that lie above each other; both lists are in the order of rows.
fn join_slices(below: &[Run], above: &[Run], sets: &mut DisjointSets) {
    let mut first = 0;
    for run in above {
        while first < below.len() && below[first].row < run.row {
            first += 1;
        }
        for other in below[first..].iter().take_while(|other| other.row == run.row) {
            if run.overlaps(other) {
                sets.join(other.number, run.number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_connected_across_slices_and_small_ones_are_removed() {
        // A column of 40 voxels through all slices, and a speck on the last.
        let mut labels = Array3::from_shape_fn((10, 4, 6), |(_, row, column)| u8::from(row < 2 && column < 2));
        labels[(9, 3, 5)] = 1;
        labels[(0, 3, 5)] = 2;
        keep_largest_components(&mut labels, 1);
        assert_eq!(labels.iter().filter(|label| **label == 1).count(), 40);
        assert_eq!(labels[(0, 3, 5)], 2, "another side is left alone");
    }
}
