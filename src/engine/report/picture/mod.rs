//! Pictures of the findings: a summary page and a heat map a key slice, all of one size. They are the frames of the
//! Secondary Capture and the PNG files of the command line.
//!
//! No patient data is drawn: neither names nor identifiers nor dates.

mod canvas;
mod heat_map;
mod orientation;
mod palette;
mod sampling;
mod summary;

use image::RgbImage;

use super::Context;
pub use palette::overlay as evidence_colour;

/// Width of every picture in pixels.
const WIDTH: u32 = 1088;
/// Height of every picture in pixels.
const HEIGHT: u32 = 768;

/// The pictures of one analysis.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// One page: decision, probability, lungs, models, quality.
    pub summary: RgbImage,
    /// A heat map a key slice, greatest evidence first; none without evidence.
    pub key_slices: Vec<RgbImage>,
}

impl Pictures {
    /// All pictures with the stem of their file names: `summary`, `key-1`, `key-2` and so on.
    pub fn named(&self) -> impl Iterator<Item = (String, &RgbImage)> {
        let keys = self.key_slices.iter().enumerate().map(|(index, image)| (format!("key-{}", index + 1), image));
        std::iter::once(("summary".to_owned(), &self.summary)).chain(keys)
    }
}

/// Draws the pictures. The findings must fit the volume, as [`super::results`] checks.
pub(super) fn draw(context: &Context) -> Pictures {
    let key_slices = context.findings.evidence.iter().flat_map(|evidence| {
        (0..context.key_slices().len()).map(|index| heat_map::draw(context, &evidence.map, index))
    });
    Pictures { summary: summary::draw(context), key_slices: key_slices.collect() }
}
