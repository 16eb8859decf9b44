//! Evidence as colour, the same on every picture: the scale is fixed from 0 to 1, so that weak evidence looks weak.

use std::sync::LazyLock;

use colorgrad::Gradient;
use image::Rgb;

use super::canvas::{Area, BACKGROUND, Canvas, Colour, Font, LINE, MUTED, TEXT, mix};

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
pub fn overlay(evidence: f64) -> (Colour, f32) {
    let step = (evidence.clamp(0.0, 1.0) * 255.0).round() as usize;
    let share = ((evidence - VISIBLE_FROM) / (OPAQUE_FROM - VISIBLE_FROM)).clamp(0.0, 1.0);
    (COLOURS[step], (share * OPACITY) as f32)
}

/// Draws the colours as they look on grey, with their numbers below and a title above.
pub(super) fn draw_bar(canvas: &mut Canvas, area: Area) {
    let ground = mix(BACKGROUND, Rgb([255, 255, 255]), 0.25);
    for (x, y) in area.pixels() {
        let (colour, opacity) = overlay(f64::from(x - area.left) / f64::from(area.width - 1));
        canvas.blend(x, y, mix(ground, colour, opacity / OPACITY as f32 * 0.9), 1.0);
    }
    canvas.frame(area, LINE);
    canvas.text(area.left, area.top - 22, "Heat map of the network", Font::SMALL, MUTED);
    for (share, label) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
        let offset = (f64::from(area.width - Font::SMALL.width(label)) * share) as i32;
        canvas.text(area.left + offset, area.bottom() + 4, label, Font::SMALL, TEXT);
    }
}
