//! Is there contrast agent in heart and great vessels, at all heights?

use ndarray::{Array2, ArrayView2};

use super::cells::{CELL_MM, Cells};
use crate::engine::volume::part::bounds;
use crate::engine::volume::percentile::brightest_tenth;
use crate::engine::volume::{BACKGROUND, LEFT_LUNG, RIGHT_LUNG, Reason, Rejection};

/// Soft tissue begins here, in Hounsfield units; below are fat and partial lung.
const SOFT_TISSUE: f32 = -30.0;
/// Fewest cells of which a percentile is told: 14 ml for the chest, a third of that for a layer.
const FEWEST_CELLS: usize = 500;
const FEWEST_CELLS_OF_LAYER: usize = 170;
/// Height of a layer in cells. A layer holds a whole chamber of the heart or the pulmonary trunk.
const LAYER: usize = 8;
/// The part of the lungs' height, from below, in which there is always a large vessel between the lungs: from the heart
/// above the diaphragm to the aortic arch.
const JUDGED_HEIGHTS: [f64; 2] = [0.25, 0.75];

/// The tissue between the lungs, where heart and great vessels lie.
pub(super) struct Mediastinum<'a> {
    pub(super) cells: &'a Cells,
    /// For each slice, which cells `[row, column]` lie between the lungs.
    pub(super) between: Vec<Array2<bool>>,
}

impl<'a> Mediastinum<'a> {
    pub(super) fn of(cells: &'a Cells) -> Self {
        Self { cells, between: cells.each().map(|(_, labels)| between_lungs(&labels)).collect() }
    }

    /// Indices of the slices in which there is always a large vessel.
    pub(super) fn judged(&self) -> std::ops::Range<usize> {
        let [low, high] = JUDGED_HEIGHTS.map(|share| (share * self.between.len() as f64).round() as usize);
        low..high
    }

    /// Hounsfield units of the soft tissue of some slices.
    fn soft_tissue(&self, slices: std::ops::Range<usize>) -> impl Iterator<Item = f64> + '_ {
        let of_slice = |slice: usize| {
            let image = self.cells.hounsfield.index_axis(ndarray::Axis(0), slice);
            let between = &self.between[slice];
            image.into_iter().zip(between).filter(|(value, between)| **between && **value > SOFT_TISSUE)
        };
        slices.flat_map(of_slice).map(|(value, _)| f64::from(*value))
    }
}

/// The soft tissue of some slices.
struct Layer {
    /// The 90th percentile in Hounsfield units.
    level: f64,
    /// Lowest and highest place (z in the patient, millimetres).
    heights: [f64; 2],
}

/// Judges the contrast agent. `lowest` is what the brightest tenth of the soft tissue between the lungs exceeds, in
/// Hounsfield units: blood without contrast agent reads 30 to 60 (70 in polycythaemia); a pulmonary artery called poorly
/// opacified reads 150 to 200, a diagnostic one above 200.
pub(super) fn check(mediastinum: &Mediastinum, lowest: f64) -> Option<Rejection> {
    let all = 0..mediastinum.between.len();
    let Some(level) = brightest_tenth(mediastinum.soft_tissue(all.clone()), FEWEST_CELLS) else {
        let cells = mediastinum.soft_tissue(all).count();
        return Some(unknown(cells as f64 * CELL_MM.powi(3) / 1000.0));
    };
    if level < lowest {
        return Some(Rejection::new(
            Reason::NoContrast,
            format!(
                "the brightest tenth of the soft tissue between the lungs begins at {level:.0} HU; with contrast agent in heart and vessels it is above {lowest:.0}"
            ),
        ));
    }
    uneven(&layers(mediastinum), lowest)
}

/// That too little is seen to judge the contrast agent.
pub(super) fn unknown(millilitres: f64) -> Rejection {
    let seen = format!("{millilitres:.1} ml of soft tissue are seen between the lungs");
    Rejection::new(Reason::ContrastUnknown, format!("contrast agent cannot be judged: {seen}"))
}

/// That some heights lack the contrast agent that others have.
fn uneven(layers: &[Layer], lowest: f64) -> Option<Rejection> {
    let dull: Vec<&Layer> = layers.iter().filter(|layer| layer.level < lowest).collect();
    let brightest = layers.iter().max_by(|a, b| a.level.total_cmp(&b.level))?;
    let places: Vec<String> = dull.iter().map(|layer| layer.told()).collect();
    (!dull.is_empty()).then(|| {
        Rejection::new(
            Reason::UnevenContrast,
            format!(
                "contrast agent is missing at some heights: the brightest tenth of the soft tissue between the lungs begins at {}, but at {}; {lowest:.0} HU are expected everywhere",
                places.join(", "),
                brightest.told()
            ),
        )
    })
}

impl Layer {
    fn told(&self) -> String {
        let [low, high] = self.heights;
        format!("{:.0} HU at z {low:.0} to {high:.0} mm", self.level)
    }
}

/// The judged part of the lungs' height in layers; layers with little soft tissue are left out.
fn layers(mediastinum: &Mediastinum) -> Vec<Layer> {
    let judged = mediastinum.judged();
    let layer = |first: usize| {
        let level = brightest_tenth(mediastinum.soft_tissue(first..first + LAYER), FEWEST_CELLS_OF_LAYER)?;
        Some(Layer { level, heights: [first, first + LAYER - 1].map(|slice| mediastinum.cells.height(slice)) })
    };
    judged.clone().step_by(LAYER).filter(|first| first + LAYER <= judged.end).filter_map(layer).collect()
}

/// Cells between the two lungs of a slice, in rows from 15 to 50 % of the depth of the lungs: behind the sternum, in front
/// of the spine.
fn between_lungs(labels: &ArrayView2<u8>) -> Array2<bool> {
    let mut between = Array2::from_elem(labels.dim(), false);
    let Some([rows, _]) = bounds(labels, |label| *label != BACKGROUND) else { return between };
    let first = rows.start;
    let depth = (rows.len() - 1) as f64;
    let seen = (first as f64 + 0.15 * depth).ceil() as usize..=(first as f64 + 0.5 * depth).floor() as usize;
    for row in seen {
        let line = labels.row(row);
        let right = line.iter().rposition(|label| *label == RIGHT_LUNG);
        let left = line.iter().position(|label| *label == LEFT_LUNG);
        if let (Some(right), Some(left)) = (right, left) {
            // One cell at each side is left out: it is partly lung.
            for column in right + 2..left.saturating_sub(1) {
                between[(row, column)] = true;
            }
        }
    }
    between
}
