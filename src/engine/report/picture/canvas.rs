//! Drawing on an RGB image: rectangles, lines, rings, text.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Width of every picture in pixels.
pub(super) const WIDTH: u32 = 1088;
/// Height of every picture in pixels.
pub(super) const HEIGHT: u32 = 768;

/// A colour.
pub(super) type Colour = Rgb<u8>;

/// Background of pages and panels.
pub(super) const BACKGROUND: Colour = Rgb([14, 17, 22]);
/// Ordinary text.
pub(super) const TEXT: Colour = Rgb([232, 236, 240]);
/// Labels and captions.
pub(super) const MUTED: Colour = Rgb([150, 160, 172]);
/// Frames and axes.
pub(super) const LINE: Colour = Rgb([70, 78, 90]);
/// What a reader must not overlook.
pub(super) const WARNING: Colour = Rgb([255, 190, 60]);
/// A finding that is present.
pub(super) const ALERT: Colour = Rgb([255, 96, 80]);
/// Marks that belong to the numbers.
pub(super) const ACCENT: Colour = Rgb([96, 180, 255]);

/// Weight and height of text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Font {
    weight: FontWeight,
    height: RasterHeight,
}

impl Font {
    pub(super) const SMALL: Self = Self { weight: FontWeight::Regular, height: RasterHeight::Size16 };
    pub(super) const SMALL_BOLD: Self = Self { weight: FontWeight::Bold, height: RasterHeight::Size16 };
    pub(super) const MEDIUM: Self = Self { weight: FontWeight::Regular, height: RasterHeight::Size20 };
    pub(super) const MEDIUM_BOLD: Self = Self { weight: FontWeight::Bold, height: RasterHeight::Size20 };
    pub(super) const LARGE_BOLD: Self = Self { weight: FontWeight::Bold, height: RasterHeight::Size24 };
    pub(super) const HUGE_BOLD: Self = Self { weight: FontWeight::Bold, height: RasterHeight::Size32 };

    /// Height of a line in pixels.
    pub(super) fn line_height(self) -> i32 {
        self.height.val() as i32
    }

    /// Width of a text in pixels.
    pub(super) fn width(self, text: &str) -> i32 {
        (text.chars().count() * get_raster_width(self.weight, self.height)) as i32
    }

    /// The text in lines of at most `width` pixels, broken between words.
    pub(super) fn wrap(self, text: &str, width: i32) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if self.width(line) + self.width(" ") + self.width(word) <= width => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }
}

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Area {
    pub(super) const fn new(left: i32, top: i32, width: i32, height: i32) -> Self {
        Self { left, top, width, height }
    }

    pub(super) fn right(self) -> i32 {
        self.left + self.width
    }

    pub(super) fn bottom(self) -> i32 {
        self.top + self.height
    }

    /// Its pixels.
    pub(super) fn pixels(self) -> impl Iterator<Item = (i32, i32)> {
        (self.top..self.bottom()).flat_map(move |y| (self.left..self.right()).map(move |x| (x, y)))
    }
}

/// An image that is being drawn; drawing outside it has no effect.
pub(super) struct Canvas(RgbImage);

impl Canvas {
    /// An image filled with the background.
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self(RgbImage::from_pixel(width, height, BACKGROUND))
    }

    /// The finished image.
    pub(super) fn into_image(self) -> RgbImage {
        self.0
    }

    /// Mixes a colour into one pixel.
    pub(super) fn blend(&mut self, x: i32, y: i32, colour: Colour, opacity: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if let Some(pixel) = self.0.get_pixel_mut_checked(x, y) {
            *pixel = mix(*pixel, colour, opacity);
        }
    }

    /// Fills a rectangle.
    pub(super) fn fill(&mut self, area: Area, colour: Colour) {
        for (x, y) in area.pixels() {
            self.blend(x, y, colour, 1.0);
        }
    }

    /// Draws the border of a rectangle, one pixel wide, inside it.
    pub(super) fn frame(&mut self, area: Area, colour: Colour) {
        let Area { left, top, width, height } = area;
        for side in [
            Area::new(left, top, width, 1),
            Area::new(left, area.bottom() - 1, width, 1),
            Area::new(left, top, 1, height),
            Area::new(area.right() - 1, top, 1, height),
        ] {
            self.fill(side, colour);
        }
    }

    /// Draws a straight line with soft edges, `width` pixels wide.
    pub(super) fn line(&mut self, from: [f64; 2], to: [f64; 2], width: f64, colour: Colour) {
        let reach = width / 2.0 + 1.0;
        let bounds = |axis: usize| {
            let (low, high) = (from[axis].min(to[axis]) - reach, from[axis].max(to[axis]) + reach);
            (low.floor() as i32)..=(high.ceil() as i32)
        };
        for y in bounds(1) {
            for x in bounds(0) {
                let distance = distance_to_segment([f64::from(x), f64::from(y)], from, to);
                self.blend(x, y, colour, coverage(distance, width));
            }
        }
    }

    /// Draws a closed outline.
    pub(super) fn outline(&mut self, vertices: &[[f64; 2]], width: f64, colour: Colour) {
        for (index, vertex) in vertices.iter().enumerate() {
            self.line(*vertex, vertices[(index + 1) % vertices.len()], width, colour);
        }
    }

    /// Draws a circle, `width` pixels wide.
    pub(super) fn ring(&mut self, [x, y]: [f64; 2], radius: f64, width: f64, colour: Colour) {
        let reach = (radius + width).ceil() as i32 + 1;
        let (left, top) = (x.round() as i32 - reach, y.round() as i32 - reach);
        for (px, py) in Area::new(left, top, 2 * reach + 1, 2 * reach + 1).pixels() {
            let distance = (f64::from(px) - x).hypot(f64::from(py) - y);
            self.blend(px, py, colour, coverage((distance - radius).abs(), width));
        }
    }

    /// Draws a line of text with its top left corner at `(x, y)`.
    pub(super) fn text(&mut self, x: i32, y: i32, text: &str, font: Font, colour: Colour) {
        let mut left = x;
        for character in text.chars() {
            let raster =
                get_raster(character, font.weight, font.height).or_else(|| get_raster('?', font.weight, font.height));
            let Some(raster) = raster else { continue };
            for (row, values) in (0..).zip(raster.rows()) {
                for (column, value) in (0..).zip(values) {
                    if *value > 0 {
                        self.blend(left + column, y + row, colour, f32::from(*value) / 255.0);
                    }
                }
            }
            left += raster.width() as i32;
        }
    }

    /// Draws text that reads on any image: with a dark edge.
    pub(super) fn text_on_image(&mut self, x: i32, y: i32, text: &str, font: Font, colour: Colour) {
        for (dx, dy) in [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)] {
            self.text(x + dx, y + dy, text, font, Rgb([0, 0, 0]));
        }
        self.text(x, y, text, font, colour);
    }

    /// Draws text in lines of at most `width` pixels; returns the top of the next line.
    pub(super) fn paragraph(&mut self, x: i32, y: i32, width: i32, text: &str, font: Font, colour: Colour) -> i32 {
        let lines = font.wrap(text, width);
        for (index, line) in (0..).zip(&lines) {
            self.text(x, y + index * (font.line_height() + 2), line, font, colour);
        }
        y + lines.len() as i32 * (font.line_height() + 2)
    }
}

/// `under` covered by `over`.
pub(super) fn mix(under: Colour, over: Colour, opacity: f32) -> Colour {
    let channel = |index: usize| {
        let (under, over) = (f32::from(under.0[index]), f32::from(over.0[index]));
        // The cast cuts off, so this rounds, and without a call to a function.
        (under + (over - under) * opacity + 0.5) as u8
    };
    Rgb([channel(0), channel(1), channel(2)])
}

/// How much of a pixel a stroke covers whose middle is `distance` pixels away.
fn coverage(distance: f64, width: f64) -> f32 {
    (width / 2.0 + 0.5 - distance).clamp(0.0, 1.0) as f32
}

fn distance_to_segment(point: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let offset = [point[0] - from[0], point[1] - from[1]];
    let squared = along[0] * along[0] + along[1] * along[1];
    let share =
        if squared > 0.0 { ((offset[0] * along[0] + offset[1] * along[1]) / squared).clamp(0.0, 1.0) } else { 0.0 };
    (offset[0] - share * along[0]).hypot(offset[1] - share * along[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_outside_the_image_is_left_out() {
        let mut canvas = Canvas::new(8, 8);
        canvas.line([-5.0, -5.0], [20.0, 20.0], 2.0, TEXT);
        canvas.text(-4, 6, "Ay", Font::SMALL, TEXT);
        canvas.ring([0.0, 8.0], 6.0, 1.0, TEXT);
        let image = canvas.into_image();
        assert_eq!(image.get_pixel(4, 4), &TEXT);
        assert_eq!(image.get_pixel(7, 0), &BACKGROUND);
    }

    #[test]
    fn text_is_broken_between_words() {
        let width = Font::SMALL.width("seven letters");
        assert_eq!(Font::SMALL.wrap("seven letters and more", width), ["seven letters", "and more"]);
    }
}
