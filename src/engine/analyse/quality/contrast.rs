//! Is there contrast agent in heart and great vessels, and at all heights?

use ndarray::{Array2, Axis};

use crate::engine::volume::percentile::brightest_tenth;
use crate::engine::volume::preparation::{Crop, Preparation, Preparer};
use crate::engine::volume::{BACKGROUND, LEFT_LUNG, LungMask, RIGHT_LUNG, Reason, Rejection, Volume, VoxelPoint};

/// Edge of a cell in millimetres: large enough to average noise and small calcifications away.
const CELL: f64 = 3.0;
/// Hounsfield units that cells can hold.
const WINDOW: [f64; 2] = [-200.0, 1000.0];
/// Soft tissue begins here; below are fat and partial lung.
const SOFT_TISSUE: f64 = -30.0;
/// Fewest cells of which a percentile is told: 14 ml for the chest, a third of that for a layer.
const FEWEST_CELLS: usize = 500;
const FEWEST_CELLS_OF_LAYER: usize = 170;
/// Height of a layer in cells. A layer holds a whole chamber of the heart or the pulmonary trunk.
const LAYER: usize = 8;
/// The part of the lungs' height, from below, in which there is always a large vessel between the lungs: from the heart
/// above the diaphragm to the aortic arch.
const JUDGED_HEIGHTS: [f64; 2] = [0.25, 0.75];

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
pub(super) fn check(volume: &Volume, lungs: &LungMask, lowest: f64) -> Option<Rejection> {
    let slices = soft_tissue(volume, lungs);
    let Some(level) = level(&slices, FEWEST_CELLS) else {
        let cells: usize = slices.iter().map(|slice| slice.cells.len()).sum();
        return Some(Rejection::new(
            Reason::ContrastUnknown,
            format!(
                "contrast agent cannot be judged: {:.1} ml of soft tissue are seen between the lungs",
                cells as f64 * CELL.powi(3) / 1000.0
            ),
        ));
    };
    if level < lowest {
        return Some(Rejection::new(
            Reason::NoContrast,
            format!(
                "the brightest tenth of the soft tissue between the lungs begins at {level:.0} HU; with contrast agent in heart and vessels it is above {lowest:.0}"
            ),
        ));
    }
    uneven(&layers(&slices), lowest)
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

/// The soft tissue between the lungs on a prepared slice.
struct SoftTissue {
    /// Hounsfield units.
    cells: Vec<f64>,
    /// Place in the patient, millimetres towards the head.
    height: f64,
}

/// The soft tissue between right and left lung, in rows from 15 to 50 % of the depth of the lungs: behind the sternum, in
/// front of the spine. On a grid of cells; lowest slice first.
fn soft_tissue(volume: &Volume, lungs: &LungMask) -> Vec<SoftTissue> {
    let grid = Preparation {
        normalisation: None,
        colour: None,
        window: WINDOW,
        size: [112, 144],
        spacing_mm: CELL,
        slice_step_mm: CELL,
        neighbours: 0,
        crop: Crop::LungBox,
    };
    let Ok(preparer) = Preparer::new(volume, Some(lungs), &grid) else { return Vec::new() };
    let images = preparer.images(0..preparer.slices());
    let slices = images.axis_iter(Axis(0)).enumerate();
    let hounsfield = |share: f32| WINDOW[0] + f64::from(share) * (WINDOW[1] - WINDOW[0]);
    let tissue = slices.map(|(slice, image)| {
        let between = between_lungs(&labels(&preparer, slice, volume, lungs));
        let cells = between.into_iter().map(|place| hounsfield(image[place])).filter(|value| *value > SOFT_TISSUE);
        let middle = VoxelPoint { column: 0.0, row: 0.0, slice: slice as f64 };
        SoftTissue { cells: cells.collect(), height: preparer.geometry().to_patient(middle).0[2] }
    });
    tissue.collect()
}

/// The judged part of the lungs' height in layers; layers with little soft tissue are left out.
fn layers(slices: &[SoftTissue]) -> Vec<Layer> {
    let [low, high] = JUDGED_HEIGHTS.map(|share| (share * slices.len() as f64).round() as usize);
    let judged = &slices[low..high];
    let layer = |slices: &[SoftTissue]| {
        let level = level(slices, FEWEST_CELLS_OF_LAYER)?;
        Some(Layer { level, heights: [slices.first()?.height, slices.last()?.height] })
    };
    judged.chunks_exact(LAYER).filter_map(layer).collect()
}

fn level(slices: &[SoftTissue], fewest: usize) -> Option<f64> {
    brightest_tenth(slices.iter().flat_map(|slice| slice.cells.iter().copied()), fewest)
}

/// Labels of the lung mask at the cells of a prepared slice.
fn labels(preparer: &Preparer, slice: usize, volume: &Volume, lungs: &LungMask) -> Array2<u8> {
    let grid = preparer.geometry();
    Array2::from_shape_fn((grid.size[1], grid.size[0]), |(row, column)| {
        let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
        let source = volume.geometry.to_voxel(grid.to_patient(point));
        let place = [source.slice, source.row, source.column].map(f64::round);
        if place.iter().any(|index| *index < 0.0) {
            return BACKGROUND;
        }
        lungs.0.get(place.map(|index| index as usize)).copied().unwrap_or(BACKGROUND)
    })
}

/// Cells between the two lungs of a prepared slice, whose columns grow to the patient's left.
fn between_lungs(labels: &Array2<u8>) -> Vec<(usize, usize)> {
    let rows: Vec<usize> = labels
        .outer_iter()
        .enumerate()
        .filter(|(_, row)| row.iter().any(|label| *label != BACKGROUND))
        .map(|(index, _)| index)
        .collect();
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Vec::new() };
    let depth = (last - first) as f64;
    let seen = (*first as f64 + 0.15 * depth).ceil() as usize..=(*first as f64 + 0.5 * depth).floor() as usize;
    let mut cells = Vec::new();
    for row in seen {
        let line = labels.row(row);
        let right = line.iter().rposition(|label| *label == RIGHT_LUNG);
        let left = line.iter().position(|label| *label == LEFT_LUNG);
        if let (Some(right), Some(left)) = (right, left) {
            // One cell at each side is left out: it is partly lung.
            cells.extend((right + 2..left.saturating_sub(1)).map(|column| (row, column)));
        }
    }
    cells
}
