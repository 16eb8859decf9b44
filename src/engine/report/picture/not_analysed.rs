//! The page of an exam that was not analysed.

use image::{Rgb, RgbImage};

use super::canvas::{Area, Canvas, Font, HEIGHT, MUTED, TEXT, WARNING, WIDTH};

/// Left edge and width of the text.
const COLUMN: (i32, i32) = (64, 960);
/// Where the reasons end at the latest.
const REASONS_END: i32 = 600;

/// Draws the page: that nothing was found out, why, and what to make of it.
pub(in crate::engine::report) fn draw(reasons: &[String], has_earlier_result: bool, version: &str) -> RgbImage {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let (left, width) = COLUMN;
    canvas.text(left, 20, "CT pulmonary angiogram: automatic analysis", Font::HUGE_BOLD, TEXT);
    let bar = Area::new(0, 72, WIDTH as i32, 56);
    canvas.fill(bar, WARNING);
    let headline = if has_earlier_result { "LATER IMAGES NOT ANALYSED" } else { "NOT ANALYSED" };
    let centred = (bar.width - Font::HUGE_BOLD.width(headline)) / 2;
    canvas.text(centred, bar.top + 10, headline, Font::HUGE_BOLD, Rgb([20, 16, 0]));
    let statement = if has_earlier_result {
        "The result of the earlier images of this series stays as it is. Nothing is known of the images that came later."
    } else {
        "No finding was made. This is no statement about pulmonary embolism: neither present nor absent."
    };
    let mut top = canvas.paragraph(left, 160, width, statement, Font::LARGE_BOLD, TEXT) + 24;
    canvas.text(left, top, "Why", Font::MEDIUM, MUTED);
    top += 32;
    for reason in reasons {
        if top > REASONS_END {
            canvas.text(left, top, "... The node's dashboard says more.", Font::MEDIUM, WARNING);
            break;
        }
        top = canvas.paragraph(left, top, width, reason, Font::MEDIUM, TEXT) + 10;
    }
    canvas.text(left, HEIGHT as i32 - 48, &format!("pe-node {version}. Research use only."), Font::SMALL, MUTED);
    canvas.into_image()
}
