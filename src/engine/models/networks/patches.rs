//! Positions and weights of the patches that slide over a stack.
//!
//! Patches start at every combination of their starts along the three axes, and their weights are products of the
//! weights along each axis. The shares of all patches in a voxel therefore sum to one if they do along each axis, and
//! no volume of weights has to be held.

use std::ops::Range;

use crate::engine::models::manifest::PatchWeights;

/// A patch along one axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// Samples of the axis that the patch covers.
    pub(super) range: Range<usize>,
    /// Index within the patch of the first of them: more than 0 where the axis is shorter than the patch and lies in
    /// its middle.
    pub(super) first: usize,
    /// What the patch adds to each of them; over all patches these sum to one.
    pub(super) shares: Vec<f32>,
}

/// Patches of `size` samples over an axis of `length`, at even distances, each covering at least `overlap` of the one
/// before.
pub(super) fn places(length: usize, size: usize, overlap: f64, weights: PatchWeights) -> Vec<Place> {
    let weights: Vec<f64> = (0..size).map(|index| weight(weights, index, size)).collect();
    let first = size.saturating_sub(length) / 2;
    let starts = starts(length, size, overlap);
    let ranges = || starts.iter().map(|start| *start..(start + size).min(length));
    let mut totals = vec![0.0; length];
    for range in ranges() {
        for (total, weight) in totals[range].iter_mut().zip(&weights[first..]) {
            *total += weight;
        }
    }
    let place = |range: Range<usize>| {
        let shares = totals[range.clone()].iter().zip(&weights[first..]);
        Place { shares: shares.map(|(total, weight)| (weight / total) as f32).collect(), range, first }
    };
    ranges().map(place).collect()
}

/// As in nnU-Net: the fewest patches that overlap enough, from the first sample to the last.
fn starts(length: usize, size: usize, overlap: f64) -> Vec<usize> {
    let rest = length.saturating_sub(size);
    if rest == 0 {
        return vec![0];
    }
    let step = (size as f64 * (1.0 - overlap)).max(1.0);
    let steps = (rest as f64 / step).ceil() as usize;
    (0..=steps).map(|index| (rest as f64 * index as f64 / steps as f64).round() as usize).collect()
}

/// Greatest in the middle of the patch, never zero.
fn weight(weights: PatchWeights, index: usize, size: usize) -> f64 {
    let from_middle = (index as f64 - (size as f64 - 1.0) / 2.0).abs();
    match weights {
        PatchWeights::Gaussian => (-0.5 * (from_middle / (size as f64 / 8.0)).powi(2)).exp(),
        PatchWeights::Triangular => 1.0 + (size as f64 - 1.0) / 2.0 - from_middle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_patches_sum_to_one_in_every_sample() {
        for weights in [PatchWeights::Gaussian, PatchWeights::Triangular] {
            for (length, size, overlap) in [(1, 16, 0.5), (16, 16, 0.5), (17, 16, 0.5), (100, 16, 0.25), (64, 1, 0.0)] {
                let mut sums = vec![0.0_f32; length];
                for place in places(length, size, overlap, weights) {
                    assert!(place.first + place.range.len() <= size);
                    for (sum, share) in sums[place.range.clone()].iter_mut().zip(&place.shares) {
                        *sum += share;
                    }
                }
                assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{length} {size}: {sums:?}");
            }
        }
    }

    #[test]
    fn patches_reach_both_ends_and_overlap_by_the_required_share() {
        let places = places(100, 16, 0.5, PatchWeights::Gaussian);
        assert_eq!(places.first().map(|place| place.range.start), Some(0));
        assert_eq!(places.last().map(|place| place.range.end), Some(100));
        assert!(places.windows(2).all(|pair| pair[0].range.end - pair[1].range.start >= 8), "{places:?}");
        assert_eq!(places.len(), 12, "84 samples in steps of at most 8");
    }

    #[test]
    fn an_axis_shorter_than_the_patch_lies_in_its_middle() {
        let places = places(5, 16, 0.5, PatchWeights::Gaussian);
        assert_eq!(places, [Place { range: 0..5, first: 5, shares: vec![1.0; 5] }]);
    }
}
