//! Recovers lung that the network overlooked on single slices: regions that continue the lung of the slice below or
//! above.

use std::collections::BTreeMap;

use ndarray::parallel::prelude::*;
use ndarray::{Array3, ArrayView2, Axis};

use super::regions::{Regions, regions};
use super::runs::Run;
use crate::engine::volume::{LEFT_LUNG, RIGHT_LUNG};

/// Smallest region that is recovered, in square millimetres.
const SMALLEST_REGION_MM2: f64 = 100.0;
/// At least this share of a recovered region lies over lung of the neighbouring slice.
const OVER_LUNG: f64 = 0.5;

/// A region inside the body that looks like lung and was not taken for it.
struct Candidate {
    runs: Vec<Run>,
    area: usize,
}

/// Gives every overlooked region the side of the lung that it lies over, going up through the slices and down again.
/// `is_air` distinguishes air from tissue, `pixel_mm2` is the area of a pixel. Returns true for each slice that
/// changed.
pub(super) fn recover(
    hounsfield: &Array3<i16>,
    labels: &mut Array3<u8>,
    is_air: impl Fn(i16) -> bool + Sync,
    pixel_mm2: f64,
) -> Vec<bool> {
    let smallest = (SMALLEST_REGION_MM2 / pixel_mm2).ceil() as usize;
    let mut candidates: Vec<Vec<Candidate>> = hounsfield
        .axis_iter(Axis(0))
        .into_par_iter()
        .zip(labels.axis_iter(Axis(0)))
        .map(|(image, labels)| overlooked(&image, &labels, &is_air, smallest))
        .collect();
    let slices = candidates.len();
    let mut changed = vec![false; slices];
    let upwards = (1..slices).map(|slice| (slice, slice - 1));
    let downwards = (1..slices).rev().map(|slice| (slice - 1, slice));
    for (slice, neighbour) in upwards.chain(downwards) {
        let waiting = std::mem::take(&mut candidates[slice]);
        for candidate in waiting {
            match side_of(&candidate, &labels.index_axis(Axis(0), neighbour)) {
                Some(side) => {
                    let mut labels = labels.index_axis_mut(Axis(0), slice);
                    for (row, column) in pixels(&candidate) {
                        labels[(row, column)] = side;
                    }
                    changed[slice] = true;
                }
                None => candidates[slice].push(candidate),
            }
        }
    }
    changed
}

/// Regions of air inside the body that hold no lung label and are not gas.
fn overlooked(
    image: &ArrayView2<'_, i16>,
    labels: &ArrayView2<'_, u8>,
    is_air: impl Fn(i16) -> bool,
    smallest: usize,
) -> Vec<Candidate> {
    let Regions { runs, regions } = regions(image, labels, is_air);
    let mut candidates: BTreeMap<usize, Candidate> = BTreeMap::new();
    for run in runs {
        let region = &regions[run.number];
        let in_question = region.area >= smallest && !region.at_edge && region.left + region.right == 0;
        if in_question && !region.is_gas() {
            let candidate = candidates.entry(run.number);
            candidate.or_insert_with(|| Candidate { runs: Vec::new(), area: region.area }).runs.push(run);
        }
    }
    candidates.into_values().collect()
}

fn pixels(candidate: &Candidate) -> impl Iterator<Item = (usize, usize)> {
    candidate.runs.iter().flat_map(|run| run.columns.clone().map(|column| (run.row, column)))
}

/// The side that most of a region lies over, if enough of it lies over lung.
fn side_of(candidate: &Candidate, neighbour: &ArrayView2<'_, u8>) -> Option<u8> {
    let over = |side: u8| pixels(candidate).filter(|place| neighbour[*place] == side).count();
    let (left, right) = (over(LEFT_LUNG), over(RIGHT_LUNG));
    let enough = (left + right) as f64 >= OVER_LUNG * candidate.area as f64;
    enough.then_some(if left >= right { LEFT_LUNG } else { RIGHT_LUNG })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::volume::BACKGROUND;

    /// Five slices of one round lung and, beside it, a bubble of gas.
    fn volume() -> Array3<i16> {
        Array3::from_shape_fn((5, 30, 60), |(_, row, column)| match (row, column) {
            (5..25, 5..25) => -800,
            (5..25, 35..55) => -995,
            _ => 40,
        })
    }

    #[test]
    fn an_overlooked_slice_takes_the_side_of_its_neighbours_and_gas_stays_gas() {
        let mut labels = Array3::from_shape_fn((5, 30, 60), |(slice, row, column)| match (slice, row, column) {
            (0 | 4, 5..25, 5..25) => RIGHT_LUNG,
            (0, 5..25, 35..55) => LEFT_LUNG,
            _ => BACKGROUND,
        });
        let changed = recover(&volume(), &mut labels, |value| value < -400, 1.0);
        assert_eq!(changed, vec![false, true, true, true, false]);
        assert_eq!(labels[(2, 10, 10)], RIGHT_LUNG);
        assert_eq!(labels[(2, 10, 40)], BACKGROUND);
    }

    #[test]
    fn lung_like_air_away_from_any_lung_is_left_alone() {
        let mut labels = Array3::from_elem((5, 30, 60), BACKGROUND);
        assert!(!recover(&volume(), &mut labels, |value| value < -400, 1.0).contains(&true));
    }
}
