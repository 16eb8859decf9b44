//! Evidence as colour, the same on every picture: the scale is fixed from 0 to 1, so that weak evidence looks weak.

use std::sync::LazyLock;

use colorgrad::Gradient;
use image::Rgb;

use super::canvas::Colour;

/// Evidence from which the overlay begins to show.
const VISIBLE_FROM: f64 = 0.1;
/// Evidence from which the overlay is as opaque as it gets.
const OPAQUE_FROM: f64 = 0.6;
/// Greatest opacity: the vessels stay visible below.
const OPACITY: f64 = 0.55;

static COLOURS: LazyLock<Vec<Colour>> = LazyLock::new(|| {
    let gradient = colorgrad::preset::turbo();
    (0..=255_u8)
        .map(|step| {
            // The dark ends of the scale would read as missing contrast.
            let [red, green, blue, _] = gradient.at(0.12 + 0.80 * f32::from(step) / 255.0).to_rgba8();
            Rgb([red, green, blue])
        })
        .collect()
});

/// Colour and opacity of an evidence from 0 to 1.
pub(super) fn overlay(evidence: f64) -> (Colour, f32) {
    let step = (evidence.clamp(0.0, 1.0) * 255.0).round() as usize;
    let share = ((evidence - VISIBLE_FROM) / (OPAQUE_FROM - VISIBLE_FROM)).clamp(0.0, 1.0);
    (COLOURS[step], (share * OPACITY) as f32)
}
