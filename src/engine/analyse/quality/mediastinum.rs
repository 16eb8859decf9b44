//! Where heart and great vessels lie: between the lungs, or beside the one that there is.
//!
//! A lung that was removed, collapsed or drowned leaves the other one. The heart lies against it as before: what adjoins
//! its medial border is heart and great vessels, and fluid or collapsed lung only beyond.

use std::fmt;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis};

use super::cells::{CELL_MM, Cells};
use crate::engine::volume::part::{bounds, count};
use crate::engine::volume::{BACKGROUND, LEFT_LUNG, RIGHT_LUNG};

/// Soft tissue begins here, in Hounsfield units; below are fat and partial lung.
const SOFT_TISSUE: f32 = -30.0;
/// Fewest cells of soft tissue by which a chest can be judged: 14 ml.
pub(super) const FEWEST_CELLS: usize = 500;
/// A lung with less than this share of the other has collapsed, or is gone but for what the mask takes for it: fluid and
/// collapsed lung lie between it and the heart.
const COLLAPSED_SHARE: f64 = 0.2;
/// How far beside a single lung heart and great vessels lie in any case, in cells: 60 mm. The ribs of the other side are
/// farther away, even where the chest has shrunk.
const BESIDE: usize = (60.0 / CELL_MM) as usize;

/// By what the mediastinum is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    BetweenLungs,
    BesideLeftLung,
    BesideRightLung,
}

impl Place {
    /// The part of the lungs' height, from below, in which there is always a large vessel: from the heart above the
    /// diaphragm to the aortic arch. The dome of the liver stands higher and adjoins a single lung, too.
    fn judged(self, slices: usize) -> Range<usize> {
        let heights = if self == Self::BetweenLungs { [0.25, 0.75] } else { [0.4, 0.75] };
        let [low, high] = heights.map(|share| (share * slices as f64).round() as usize);
        low..high
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BetweenLungs => "between the lungs",
            Self::BesideLeftLung => "beside the left lung",
            Self::BesideRightLung => "beside the right lung",
        })
    }
}

/// The tissue in which heart and great vessels lie.
pub(super) struct Mediastinum<'a> {
    pub(super) cells: &'a Cells,
    pub(super) place: Place,
    /// For each slice, which cells `[row, column]` belong to it.
    pub(super) parts: Vec<Array2<bool>>,
}

impl<'a> Mediastinum<'a> {
    /// Between the lungs; where one of them has collapsed, or too little is seen there, beside the larger one.
    pub(super) fn of(cells: &'a Cells) -> Self {
        let [left, right] = [LEFT_LUNG, RIGHT_LUNG].map(|side| count(cells.labels.view(), |label| *label == side));
        let between = cells.each().map(|(_, labels)| part(&labels, Place::BetweenLungs)).collect();
        let between = Self { cells, place: Place::BetweenLungs, parts: between };
        let collapsed = (left.min(right) as f64) < COLLAPSED_SHARE * left.max(right) as f64;
        if collapsed || between.soft_tissue(between.all()).count() < FEWEST_CELLS {
            return Self::beside(cells, if left > right { Place::BesideLeftLung } else { Place::BesideRightLung });
        }
        between
    }

    /// Beside one lung there is bone above the arch and liver below the heart; they are not taken.
    fn beside(cells: &'a Cells, place: Place) -> Self {
        let judged = place.judged(cells.slices());
        let of_slice = |(slice, (_, labels)): (usize, (_, ArrayView2<'_, u8>))| {
            if judged.contains(&slice) { part(&labels, place) } else { Array2::from_elem(labels.dim(), false) }
        };
        Self { cells, place, parts: cells.each().enumerate().map(of_slice).collect() }
    }

    /// Column of the plane between left and right. In front of the heart a single lung reaches to it.
    pub(super) fn middle(&self) -> usize {
        let columns = |side: u8| {
            let of_slice = move |labels: ArrayView2<'_, u8>| bounds(&labels, |label| *label == side);
            self.cells.labels.outer_iter().filter_map(of_slice).map(|[_, columns]| columns)
        };
        match self.place {
            Place::BetweenLungs => None,
            Place::BesideLeftLung => columns(LEFT_LUNG).map(|columns| columns.start).min(),
            Place::BesideRightLung => columns(RIGHT_LUNG).map(|columns| columns.end).max(),
        }
        .unwrap_or(self.cells.labels.len_of(Axis(2)) / 2)
    }

    /// Indices of all slices.
    pub(super) fn all(&self) -> Range<usize> {
        0..self.parts.len()
    }

    /// Indices of the slices in which there is always a large vessel.
    pub(super) fn judged(&self) -> Range<usize> {
        self.place.judged(self.parts.len())
    }

    /// Hounsfield units of the soft tissue of some slices.
    pub(super) fn soft_tissue(&self, slices: Range<usize>) -> impl Iterator<Item = f64> + '_ {
        let of_slice = |slice: usize| {
            let image = self.cells.hounsfield.index_axis(Axis(0), slice);
            let part = &self.parts[slice];
            image.into_iter().zip(part).filter(|(value, within)| **within && **value > SOFT_TISSUE)
        };
        slices.flat_map(of_slice).map(|(value, _)| f64::from(*value))
    }
}

/// The cells of a slice, in rows from 15 to 50 % of the depth of the lungs: behind the sternum, in front of the spine.
fn part(labels: &ArrayView2<'_, u8>, place: Place) -> Array2<bool> {
    let mut part = Array2::from_elem(labels.dim(), false);
    let Some([rows, _]) = bounds(labels, |label| *label != BACKGROUND) else { return part };
    let first = rows.start;
    let depth = (rows.len() - 1) as f64;
    let seen = (first as f64 + 0.15 * depth).ceil() as usize..=(first as f64 + 0.5 * depth).floor() as usize;
    for row in seen {
        let line = labels.row(row);
        // One cell at each lung is left out: it is partly lung.
        let from_right = line.iter().rposition(|label| *label == RIGHT_LUNG).map(|column| column + 2);
        let to_left = line.iter().position(|label| *label == LEFT_LUNG).map(|column| column.saturating_sub(1));
        let columns = match place {
            Place::BetweenLungs => from_right.zip(to_left).map(|(from, to)| from..to),
            Place::BesideRightLung => from_right.map(|from| from..(from + BESIDE).min(line.len())),
            Place::BesideLeftLung => to_left.map(|to| to.saturating_sub(BESIDE)..to),
        };
        for column in columns.unwrap_or_default() {
            part[(row, column)] = true;
        }
    }
    part
}
