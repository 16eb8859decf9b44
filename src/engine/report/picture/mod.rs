//! Pictures of the findings: a summary page and one heat map per key slice, all of one size. They are the frames of the
//! Secondary Capture and the PNG files of the command line.
//!
//! No patient data is drawn: neither names nor identifiers nor dates.

mod canvas;
mod heat_map;
mod not_analysed;
mod orientation;
mod palette;
mod sampling;
mod summary;

use image::RgbImage;
use rayon::prelude::*;

use self::heat_map::Place;
use super::Context;
use crate::engine::analyse::findings::{Findings, KeySlice};
use crate::engine::volume::Volume;
pub(super) use not_analysed::draw as not_analysed_page;
pub use palette::overlay as evidence_colour;

/// The pictures of one analysis.
#[derive(Debug, Clone)]
pub struct Pictures {
    /// One page: decision, probability, lungs, models, quality.
    pub summary: RgbImage,
    /// One heat map per key slice, greatest evidence first; none without evidence.
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
    let (summary, key_slices) =
        rayon::join(|| summary::draw(context), || heat_maps(context.volume, context.findings, context.key_slices()));
    Pictures { summary, key_slices }
}

/// The heat map of greatest evidence alone; `None` without evidence.
pub fn first_heat_map(volume: &Volume, findings: &Findings) -> Option<RgbImage> {
    let key_slices = &findings.evidence.as_ref()?.key_slices;
    heat_maps(volume, findings, &key_slices[..key_slices.len().min(1)]).pop()
}

fn heat_maps(volume: &Volume, findings: &Findings, key_slices: &[KeySlice]) -> Vec<RgbImage> {
    let Some(evidence) = &findings.evidence else { return Vec::new() };
    let places = key_slices.par_iter().enumerate();
    let places = places.map(|(index, key_slice)| Place { key_slice, index, of: key_slices.len() });
    places.map(|place| heat_map::draw(volume, findings, &evidence.map, place)).collect()
}
