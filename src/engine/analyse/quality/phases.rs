//! Does the contrast agent change at one height, as where two phases or two scans were put together?
//!
//! Vessels run through the slices: from one to the next the same cell of blood keeps its brightness but for the mixing of
//! the blood. Where the heart begins or ends, brightness changes over several slices. Only at a seam do all vessels become
//! brighter or darker between two slices.

use ndarray::Axis;

use super::mediastinum::Mediastinum;
use crate::engine::volume::percentile::median;
use crate::engine::volume::{Reason, Rejection};

/// Cells brighter than this, in Hounsfield units, on both slices hold contrast agent.
const BLOOD: f32 = 100.0;
/// Fewest such cells: 5 square centimetres.
const FEWEST_CELLS: usize = 60;
/// Slices between those that are compared, so that a seam within a slice lies between them.
const APART: usize = 2;
/// How far the changes lie that must be small for a change to be a seam, in slices.
const BESIDE: usize = 3;

/// A change of the blood's brightness.
struct Step {
    /// The lower one of the slices.
    slice: usize,
    /// Median change of the cells in Hounsfield units, upwards.
    change: f64,
    /// By how much it exceeds twice the changes beside it.
    excess: f64,
}

/// That the blood's brightness changes at one height by more than `largest` Hounsfield units beyond twice what it changes
/// just above and below.
pub(super) fn check(mediastinum: &Mediastinum, largest: f64) -> Option<Rejection> {
    let step = steps(mediastinum).into_iter().max_by(|a, b| a.excess.total_cmp(&b.excess))?;
    (step.excess > largest).then(|| {
        let [low, high] = [step.slice, step.slice + APART].map(|slice| mediastinum.cells.height(slice));
        let direction = if step.change > 0.0 { "brighter" } else { "darker" };
        Rejection::new(
            Reason::UnevenContrast,
            format!(
                "all vessels {} become {direction} by {:.0} HU from z {low:.0} to {high:.0} mm, as where two phases meet",
                mediastinum.place,
                step.change.abs()
            ),
        )
    })
}

fn steps(mediastinum: &Mediastinum) -> Vec<Step> {
    let judged = mediastinum.judged();
    let changes: Vec<Option<f64>> = judged.clone().map(|slice| change(mediastinum, slice)).collect();
    let step = |index: usize| {
        let beside = changes[index - BESIDE]?.abs().max(changes[index + BESIDE]?.abs());
        let change = changes[index]?;
        Some(Step { slice: judged.start + index, change, excess: change.abs() - 2.0 * beside })
    };
    (BESIDE..changes.len().saturating_sub(BESIDE)).filter_map(step).collect()
}

/// Median change of the blood that a slice and one above it share.
fn change(mediastinum: &Mediastinum, slice: usize) -> Option<f64> {
    let upper = slice + APART;
    let parts = [&mediastinum.parts[slice], mediastinum.parts.get(upper)?];
    let [below, above] = [slice, upper].map(|slice| mediastinum.cells.hounsfield.index_axis(Axis(0), slice));
    let changes = below
        .iter()
        .zip(above)
        .zip(parts[0].iter().zip(parts[1]))
        .filter(|((below, above), (first, second))| **first && **second && **below > BLOOD && **above > BLOOD)
        .map(|((below, above), _)| f64::from(above - below));
    median(changes, FEWEST_CELLS)
}
