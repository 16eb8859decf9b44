//! Lengths and areas in the pixels of a series.

use ndarray::ArrayView2;

use super::enclosure::Enclosure;
use super::regions::AIR_BELOW;
use crate::engine::volume::field_of_view::FieldOfView;

/// Rim of the network's lungs, in millimetres, that is not trusted where there is no air.
const RIM_MM: f64 = 4.0;
/// Radius of the closing in millimetres: vessels up to twice as wide that open to the mediastinum become lung.
const CLOSING_MM: f64 = 3.0;
/// Least and greatest radius of the closing in pixels, for coarse and for fine images.
const CLOSING_PIXELS: (usize, usize) = (1, 5);
/// Least thickness of the wall of the chest in millimetres; a table top is thinner.
const WALL_MM: f64 = 8.0;
/// Greatest hole of tissue that is lung whatever lies below it, in square millimetres: a nodule, or the vessels of a
/// hilum, of 35 mm.
const GREATEST_HOLE_MM2: f64 = 1000.0;
/// Greatest cross section of an airway in square millimetres: of the carina.
const GREATEST_AIRWAY_MM2: f64 = 1500.0;
/// Least lung that is separated from room air on a slice, in square millimetres. The network takes stray pixels of room
/// air for lung.
const LEAST_SEPARATED_MM2: f64 = 400.0;
/// Smallest region that is recovered, in square millimetres.
const LEAST_RECOVERED_MM2: f64 = 100.0;

/// Lengths and areas in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Radius of the closing.
    pub(super) closing: usize,
    /// Rim that is not trusted.
    pub(super) rim: usize,
    /// Greatest hole that is filled whatever it holds.
    pub(super) greatest_hole: usize,
    /// Greatest region that may be an airway.
    pub(super) greatest_airway: usize,
    /// Least lung that is separated from room air.
    pub(super) least_separated: usize,
    /// Smallest region that is recovered.
    pub(super) least_recovered: usize,
    /// Thickness of the wall of the chest in columns and rows.
    wall: [usize; 2],
}

impl Scale {
    /// `spacing` is that of columns and rows in millimetres.
    pub(super) fn of(spacing: [f64; 2]) -> Self {
        let length = |millimetres: f64| (millimetres / spacing[0].max(spacing[1])).round() as usize;
        let area = |square_millimetres: f64| (square_millimetres / (spacing[0] * spacing[1])).ceil() as usize;
        Self {
            closing: length(CLOSING_MM).clamp(CLOSING_PIXELS.0, CLOSING_PIXELS.1),
            rim: length(RIM_MM).max(1),
            greatest_hole: area(GREATEST_HOLE_MM2),
            greatest_airway: area(GREATEST_AIRWAY_MM2),
            least_separated: area(LEAST_SEPARATED_MM2),
            least_recovered: area(LEAST_RECOVERED_MM2),
            wall: spacing.map(|pixel| (WALL_MM / pixel).round().max(1.0) as usize),
        }
    }

    /// What lies around the pixels of a slice.
    pub(super) fn enclosure(&self, image: &ArrayView2<'_, i16>, field: &FieldOfView) -> Enclosure {
        Enclosure::of(image, field, AIR_BELOW, self.wall)
    }
}
