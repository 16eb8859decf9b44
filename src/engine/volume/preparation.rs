//! The one preparation of images for networks; training, prediction and serving all use it.

use serde::{Deserialize, Serialize};

/// How images are prepared for a network. The prepared grid is axis-aligned in the patient: columns grow towards the
/// patient's left, rows towards the back, slices towards the head, whatever the source's orientation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preparation {
    /// Lowest and highest Hounsfield unit kept; they map linearly to 0 and 1.
    pub window: [f64; 2],
    /// Rows and columns of a prepared slice.
    pub size: [usize; 2],
    /// Pixel distance of a prepared slice in millimetres, the same along rows and columns.
    pub spacing_mm: f64,
    /// Distance of prepared slices in millimetres. Thinner source slices are averaged over it, thicker ones are
    /// interpolated linearly between their neighbours.
    pub slice_step_mm: f64,
    /// Prepared slices on each side that enter as channels: 0 gives 1 channel, 1 gives 3.
    pub neighbours: usize,
    /// What the prepared grid is centred on.
    pub crop: Crop,
}

impl Preparation {
    /// Number of channels of the network's input.
    pub fn channels(&self) -> usize {
        2 * self.neighbours + 1
    }
}

/// What the prepared grid is centred on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// The bounding box of both lungs, in plane; the stack spans the lungs plus one step on each side.
    LungBox,
    /// The centre of the body (voxels above -300 HU, table excluded as far as possible), in plane; the whole stack.
    Body,
    /// The centre of the image, in plane; the whole stack.
    None,
}
