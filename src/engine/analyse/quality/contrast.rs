//! Is there contrast agent in heart and great vessels, at all heights?

use super::cells::CELL_MM;
use super::mediastinum::{FEWEST_CELLS, Mediastinum, Place};
use crate::engine::volume::percentile::brightest_tenth;
use crate::engine::volume::{Reason, Rejection};

/// Fewest cells of which a percentile of a layer is told: a third of what the chest needs.
const FEWEST_CELLS_OF_LAYER: usize = 170;
/// Height of a layer in cells. A layer holds a whole chamber of the heart or the pulmonary trunk.
const LAYER: usize = 8;

/// The soft tissue of some slices.
struct Layer {
    /// The 90th percentile in Hounsfield units.
    level: f64,
    /// Lowest and highest place (z in the patient, millimetres).
    heights: [f64; 2],
}

/// Judges the contrast agent. `lowest` is what the brightest tenth of the soft tissue of the mediastinum exceeds, in
/// Hounsfield units: blood without contrast agent reads 30 to 60 (70 in polycythaemia); a pulmonary artery called poorly
/// opacified reads 150 to 200, a diagnostic one above 200.
pub(super) fn check(mediastinum: &Mediastinum, lowest: f64) -> Option<Rejection> {
    let place = mediastinum.place;
    let Some(level) = brightest_tenth(mediastinum.soft_tissue(mediastinum.all()), FEWEST_CELLS) else {
        let cells = mediastinum.soft_tissue(mediastinum.all()).count();
        return Some(unknown(cells as f64 * CELL_MM.powi(3) / 1000.0, place));
    };
    if level < lowest {
        return Some(Rejection::new(
            Reason::NoContrast,
            format!(
                "the brightest tenth of the soft tissue {place} begins at {level:.0} HU; with contrast agent in heart and vessels it is above {lowest:.0}"
            ),
        ));
    }
    uneven(&layers(mediastinum), place, lowest)
}

/// That too little is seen to judge the contrast agent.
pub(super) fn unknown(millilitres: f64, place: Place) -> Rejection {
    let seen = format!("{millilitres:.1} ml of soft tissue are seen {place}");
    Rejection::new(Reason::ContrastUnknown, format!("contrast agent cannot be judged: {seen}"))
}

/// That some heights lack the contrast agent that others have.
fn uneven(layers: &[Layer], place: Place, lowest: f64) -> Option<Rejection> {
    let dull: Vec<&Layer> = layers.iter().filter(|layer| layer.level < lowest).collect();
    let brightest = layers.iter().max_by(|a, b| a.level.total_cmp(&b.level))?;
    let places: Vec<String> = dull.iter().map(|layer| layer.told()).collect();
    (!dull.is_empty()).then(|| {
        Rejection::new(
            Reason::UnevenContrast,
            format!(
                "contrast agent is missing at some heights: the brightest tenth of the soft tissue {place} begins at {}, but at {}; {lowest:.0} HU are expected everywhere",
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
