//! The carina, where the trachea divides: the landmark of the great vessels.

use std::ops::RangeInclusive;

use ndarray::{Array2, ArrayView2, Axis};

use super::cells::Cells;
use crate::engine::volume::BACKGROUND;
use crate::engine::volume::components::label;
use crate::engine::volume::part::bounds;

/// Air of an airway is darker, in Hounsfield units; the lung around it is not, but for emphysema.
const AIRWAY_BELOW: f32 = -800.0;
/// Cells of the trachea on a slice: 0.7 to 5.4 square centimetres.
const TRACHEA: RangeInclusive<usize> = 8..=60;
/// Its greatest width in cells (27 mm), and how far from the plane between left and right it lies at most.
const WIDEST_TRACHEA: usize = 9;
const BESIDE: usize = 9;
/// Cells across which it is still undivided (21 mm), and across which both main bronchi are seen (30 mm).
const UNDIVIDED: usize = 7;
const DIVIDED: usize = 10;
/// Slices in a row on which both bronchi are seen.
const PROOF: usize = 2;
/// Cells of more than airways on a slice: lung (16 square centimetres).
const LUNG: usize = 178;
/// Heights, as shares of the lungs' from below, in which the trachea is searched for and above which it divides.
const TRACHEA_HEIGHTS: [f64; 2] = [0.65, 0.92];
const LOWEST_CARINA: f64 = 0.35;

/// Where the trachea divides, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carina {
    pub(super) slice: usize,
    /// The middle of the trachea above.
    pub(super) row: usize,
    pub(super) column: usize,
}

/// Cells of air on a slice that are connected, by row and column.
type Region = Vec<(usize, usize)>;

/// The air of a slice in the rows that the lungs take.
struct Air {
    /// For each cell the number of its region, from 1; 0 where there is no air.
    numbers: Array2<u32>,
    regions: Vec<Region>,
}

/// Follows the trachea down to the carina; `None` if it is not seen as two bronchi that leave one trachea. `middle` is the
/// column of the plane between left and right.
pub(super) fn carina(cells: &Cells, middle: usize) -> Option<Carina> {
    let height = cells.slices() as f64;
    let [lowest, highest] = TRACHEA_HEIGHTS.map(|share| (share * height) as usize);
    let least = (LOWEST_CARINA * height) as usize;
    let air: Vec<Air> = cells.each().map(|(hounsfield, labels)| Air::of(&hounsfield, &labels)).collect();
    (lowest + 1..=highest).rev().find_map(|slice| {
        let mut starts: Vec<&Region> =
            air[slice].regions.iter().filter(|region| may_be_trachea(region, middle)).collect();
        starts.sort_by_key(|region| std::cmp::Reverse(region.len()));
        starts.into_iter().find_map(|start| follow(&air, start, slice, least))
    })
}

impl Air {
    fn of(hounsfield: &ArrayView2<f32>, labels: &ArrayView2<u8>) -> Self {
        let [rows, _] = bounds(labels, |label| *label != BACKGROUND).unwrap_or_default();
        let air = Array2::from_shape_fn(labels.dim(), |(row, column)| {
            rows.contains(&row) && hounsfield[(row, column)] < AIRWAY_BELOW
        });
        let numbers = label(&air.insert_axis(Axis(0))).remove_axis(Axis(0));
        let mut regions = vec![Region::new(); numbers.iter().max().map_or(0, |last| *last as usize)];
        for (cell, number) in numbers.indexed_iter().filter(|(_, number)| **number > 0) {
            regions[*number as usize - 1].push(cell);
        }
        Self { numbers, regions }
    }

    /// The regions that share a cell with one of another slice, together.
    fn touching(&self, other: &[(usize, usize)]) -> Region {
        let mut numbers: Vec<u32> = other.iter().map(|cell| self.numbers[*cell]).filter(|number| *number > 0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().flat_map(|number| self.regions[number as usize - 1].iter().copied()).collect()
    }
}

fn may_be_trachea(region: &[(usize, usize)], middle: usize) -> bool {
    TRACHEA.contains(&region.len()) && width(region) <= WIDEST_TRACHEA && centre(region).1.abs_diff(middle) < BESIDE
}

fn width(region: &[(usize, usize)]) -> usize {
    let columns = || region.iter().map(|(_, column)| *column);
    columns().max().zip(columns().min()).map_or(0, |(last, first)| last - first + 1)
}

fn centre(region: &[(usize, usize)]) -> (usize, usize) {
    let count = region.len().max(1);
    let sum = region.iter().fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
    ((sum.0 + count / 2) / count, (sum.1 + count / 2) / count)
}

/// Goes down from a region of air to where it has become wide.
fn follow(air: &[Air], start: &[(usize, usize)], from: usize, least: usize) -> Option<Carina> {
    let (mut current, mut undivided, mut seen) = (start.to_vec(), None, 0);
    for slice in (least..from).rev() {
        let below = air[slice].touching(&current);
        if below.is_empty() || below.len() > LUNG {
            return None;
        }
        let width = width(&below);
        if width <= UNDIVIDED {
            undivided = Some(centre(&below));
        }
        seen = if width >= DIVIDED { seen + 1 } else { 0 };
        if seen == PROOF {
            let (row, column) = undivided?;
            return Some(Carina { slice: slice + PROOF - 1, row, column });
        }
        current = below;
    }
    None
}
