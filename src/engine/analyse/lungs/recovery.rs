//! Recovers lung that the network overlooked on single slices: regions that continue the lung of the slice below or
//! above.

use std::collections::BTreeMap;

use ndarray::{Array3, ArrayView2, Axis};

use super::regions::Regions;
use super::runs::Run;
use super::scale::Scale;
use crate::engine::volume::field_of_view::FieldOfView;
use crate::engine::volume::{BACKGROUND, LEFT_LUNG, RIGHT_LUNG};

/// At least this share of a recovered region lies over lung of the neighbouring slice.
const OVER_LUNG: f64 = 0.5;

/// A region that looks like lung and was not taken for it.
pub(super) struct Candidate {
    runs: Vec<Run>,
    area: usize,
    at_edge: bool,
}

impl Candidate {
    fn pixels(&self) -> impl Iterator<Item = (usize, usize)> {
        self.runs.iter().flat_map(Run::pixels)
    }
}

/// Gives every overlooked region within the chest the side of the lung that it lies over, going up through the slices
/// and down again. Returns true for each slice that changed.
pub(super) fn recover(
    hounsfield: &Array3<i16>,
    labels: &mut Array3<u8>,
    mut candidates: Vec<Vec<Candidate>>,
    (field, scale): (&FieldOfView, &Scale),
) -> Vec<bool> {
    let slices = candidates.len();
    let mut changed = vec![false; slices];
    let upwards = (1..slices).map(|slice| (slice, slice - 1));
    let downwards = (1..slices).rev().map(|slice| (slice - 1, slice));
    for (slice, neighbour) in upwards.chain(downwards) {
        let waiting = std::mem::take(&mut candidates[slice]);
        for candidate in waiting {
            let Some(side) = side_of(&candidate, &labels.index_axis(Axis(0), neighbour)) else {
                candidates[slice].push(candidate);
                continue;
            };
            // Few regions come so far; what does not lie within the chest is no candidate any more.
            let image = hounsfield.index_axis(Axis(0), slice);
            if scale.enclosure(&image, field).holds(candidate.pixels(), candidate.at_edge) {
                let mut labels = labels.index_axis_mut(Axis(0), slice);
                for pixel in candidate.pixels() {
                    labels[pixel] = side;
                }
                changed[slice] = true;
            }
        }
    }
    changed
}

/// Regions of air that hold no lung label, no gas, no airway and no room air.
pub(super) fn overlooked(found: Regions, labels: &ArrayView2<'_, u8>, scale: &Scale) -> Vec<Candidate> {
    let mut candidates: BTreeMap<usize, Candidate> = BTreeMap::new();
    for run in found.runs {
        let region = &found.regions[run.number];
        if region.area >= scale.least_recovered
            && !region.holds_room_air()
            && !region.is_gas()
            && !region.is_airway(scale.greatest_airway)
        {
            let candidate = candidates.entry(run.number);
            let new = || Candidate { runs: Vec::new(), area: region.area, at_edge: region.at_edge };
            candidate.or_insert_with(new).runs.push(run);
        }
    }
    let holds_no_lung = |candidate: &Candidate| candidate.pixels().all(|pixel| labels[pixel] == BACKGROUND);
    candidates.into_values().filter(holds_no_lung).collect()
}

/// The side that most of a region lies over, if enough of it lies over lung.
fn side_of(candidate: &Candidate, neighbour: &ArrayView2<'_, u8>) -> Option<u8> {
    let over = |side: u8| candidate.pixels().filter(|pixel| neighbour[*pixel] == side).count();
    let (left, right) = (over(LEFT_LUNG), over(RIGHT_LUNG));
    let enough = (left + right) as f64 >= OVER_LUNG * candidate.area as f64;
    enough.then_some(if left >= right { LEFT_LUNG } else { RIGHT_LUNG })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::analyse::lungs::morphology::part;
    use crate::engine::analyse::lungs::regions::regions;

    /// Five slices of one round lung and, beside it, a bubble of gas.
    fn volume() -> Array3<i16> {
        Array3::from_shape_fn((5, 30, 60), |(_, row, column)| match (row, column) {
            (5..25, 5..25) => -800,
            (5..25, 35..55) => -995,
            _ => 40,
        })
    }

    /// Recovers lung in a volume with pixels of 1 mm.
    fn recovered(hounsfield: &Array3<i16>, labels: &mut Array3<u8>) -> Vec<bool> {
        let field = FieldOfView::of(&hounsfield.view());
        let slices = hounsfield.axis_iter(Axis(0)).zip(labels.axis_iter(Axis(0)));
        let candidates = slices.map(|(image, labels)| {
            overlooked(regions(&image, &labels, &field, |value| value < -400), &labels, &Scale::of([2.0, 2.0]))
        });
        let candidates = candidates.collect();
        recover(hounsfield, labels, candidates, (&field, &Scale::of([2.0, 2.0])))
    }

    #[test]
    fn an_overlooked_slice_takes_the_side_of_its_neighbours_and_gas_stays_gas() {
        let mut labels = Array3::from_shape_fn((5, 30, 60), |(slice, row, column)| match (slice, row, column) {
            (0 | 4, 5..25, 5..25) => RIGHT_LUNG,
            (0, 5..25, 35..55) => LEFT_LUNG,
            _ => BACKGROUND,
        });
        let changed = recovered(&volume(), &mut labels);
        assert_eq!(changed, vec![false, true, true, true, false]);
        assert_eq!(labels[(2, 10, 10)], RIGHT_LUNG);
        assert_eq!(labels[(2, 10, 40)], BACKGROUND);
    }

    #[test]
    fn lung_like_air_away_from_any_lung_is_left_alone() {
        let mut labels = Array3::from_elem((5, 30, 60), BACKGROUND);
        assert!(!recovered(&volume(), &mut labels).contains(&true));
    }

    #[test]
    fn foam_behind_the_back_that_continues_what_was_taken_for_lung_is_not_recovered() {
        // The body ends below the lung; foam lies between its back and a thin table top.
        let mut hounsfield = volume();
        for mut image in hounsfield.outer_iter_mut() {
            image.slice_each_axis_mut(part(26..30, 0..60)).fill(-1000);
            image.slice_each_axis_mut(part(26..29, 4..56)).fill(-900);
        }
        let mut labels = Array3::from_elem((5, 30, 60), BACKGROUND);
        labels.index_axis_mut(Axis(0), 0).slice_each_axis_mut(part(26..29, 4..56)).fill(LEFT_LUNG);
        assert!(!recovered(&hounsfield, &mut labels).contains(&true));
    }
}
