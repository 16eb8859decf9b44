//! The exams with the worst predictions, with pictures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use maud::{Markup, html};
use ndarray::ArrayView2;

use super::groups::Attributes;
use super::markup::number;
use super::metric_tables::MetricTables;
use crate::engine::analyse::findings::Decision;
use crate::engine::report::evidence_colour;
use crate::learn::train::evaluate::Prediction;
use crate::learn::train::labels::Split;

/// A picture inside the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    png: Vec<u8>,
    /// What it shows.
    caption: String,
}

impl Picture {
    /// An image as it is; `None` if it cannot be encoded, such as one without pixels.
    pub(crate) fn new(image: &RgbImage, caption: String) -> Option<Self> {
        let mut png = std::io::Cursor::new(Vec::new());
        image.write_to(&mut png, ImageFormat::Png).ok()?;
        Some(Self { png: png.into_inner(), caption })
    }

    /// A prepared slice, values from 0 to 1 row by row, under the evidence of its cells, calibrated from 0 to 1.
    pub(crate) fn of_prepared(
        slice: &[f32],
        [rows, columns]: [usize; 2],
        evidence: &ArrayView2<'_, f32>,
        caption: String,
    ) -> Option<Self> {
        let mut image = RgbImage::new(columns as u32, rows as u32);
        let step = [rows as f64 / evidence.nrows() as f64, columns as f64 / evidence.ncols() as f64];
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let grey = f64::from(slice[y as usize * columns + x as usize]) * 255.0;
            let place = [(f64::from(y) + 0.5) / step[0] - 0.5, (f64::from(x) + 0.5) / step[1] - 0.5];
            let (Rgb(colour), opacity) = evidence_colour(between(evidence, place));
            let mixed = colour.map(|over| grey + (f64::from(over) - grey) * f64::from(opacity));
            *pixel = Rgb(mixed.map(|value| value.round() as u8));
        }
        Self::new(&image, caption)
    }

    fn data_url(&self) -> String {
        format!("data:image/png;base64,{}", STANDARD.encode(&self.png))
    }
}

/// The value of cells at a place (row, column): interpolated linearly between their centres, that of the edge beyond
/// them.
fn between(cells: &ArrayView2<'_, f32>, [row, column]: [f64; 2]) -> f64 {
    let (row, column) = (row.clamp(0.0, cells.nrows() as f64 - 1.0), column.clamp(0.0, cells.ncols() as f64 - 1.0));
    let (top, left) = (row.floor() as usize, column.floor() as usize);
    let (bottom, right) = ((top + 1).min(cells.nrows() - 1), (left + 1).min(cells.ncols() - 1));
    let (down, across) = (row.fract(), column.fract());
    let at = |row: usize, column: usize| f64::from(cells[(row, column)]);
    let mix = |one: f64, other: f64, share: f64| one + (other - one) * share;
    mix(mix(at(top, left), at(top, right), across), mix(at(bottom, left), at(bottom, right), across), down)
}

/// One of the exams with the worst predictions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) prediction: Prediction,
    /// Where there is one.
    pub(crate) picture: Option<Picture>,
}

/// Misses with the lowest probabilities, then false alarms with the highest, at most `each` of each kind. Undetermined
/// exams are neither.
pub(crate) fn worst(predictions: &[Prediction], split: Split, each: usize) -> Vec<&Prediction> {
    let of = |embolism: bool| {
        let wrong = if embolism { Decision::Absent } else { Decision::Present };
        let wrong = move |one: &&Prediction| one.split == split && one.embolism == embolism && one.decision == wrong;
        let mut wrong: Vec<&Prediction> = predictions.iter().filter(wrong).collect();
        wrong.sort_by(|a, b| a.probability.total_cmp(&b.probability));
        if !embolism {
            wrong.reverse();
        }
        wrong.truncate(each);
        wrong
    };
    [of(true), of(false)].concat()
}

/// The exams with the worst predictions, one figure each.
pub(super) fn figures(metrics: &MetricTables<'_>, cases: &[Case], attributes: &Attributes) -> Markup {
    if cases.is_empty() {
        return html! {};
    }
    html! {
        h2 #cases { "Exams with the worst predictions" }
        p.quiet {
            "Of the " (metrics.exams_of(metrics.main_split())) ": missed emboli with the lowest and false alarms with the "
            "highest probabilities. Colour is the network's attribution map on a scale fixed from 0 to 1."
        }
        div.cases { @for case in cases { (figure(case, attributes)) } }
    }
}

fn figure(case: &Case, attributes: &Attributes) -> Markup {
    let Prediction { series, embolism, probability, standard_deviation, .. } = &case.prediction;
    let verdict = if *embolism { "Missed embolism" } else { "False alarm" };
    html! {
        figure {
            @if let Some(picture) = &case.picture { img src=(picture.data_url()) alt=(picture.caption); }
            figcaption {
                strong { (verdict) ": probability " (number(*probability)) }
                @if let Some(deviation) = standard_deviation { " ± " (number(*deviation)) }
                br;
                @if let Some(picture) = &case.picture { (picture.caption) br; }
                @for (name, value) in attributes.of(series) { (name) " " (value) "; " }
                br;
                code { (series) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::learn::train::evaluate::testing::prediction;

    #[test]
    fn the_worst_are_the_surest_errors_of_each_kind() {
        let of = |n: u32, embolism, probability| prediction(n, embolism, probability);
        let predictions = [
            of(0, true, 0.3),
            of(1, true, 0.1),
            of(2, true, 0.9),
            of(3, false, 0.95),
            of(4, false, 0.6),
            of(5, false, 0.2),
            of(6, false, 0.99),
            Prediction { decision: Decision::Undetermined, ..of(7, false, 0.999) },
        ];
        let worst = worst(&predictions, Split::Test, 2);
        let series: Vec<&str> = worst.iter().map(|one| one.series.as_str()).collect();
        assert_eq!(series, ["2.25.1", "2.25.0", "2.25.6", "2.25.3"]);
        assert!(super::worst(&predictions, Split::Validation, 2).is_empty());
    }

    #[test]
    fn evidence_colours_its_place_and_leaves_the_rest_grey() {
        let slice = vec![0.5_f32; 8 * 16];
        let evidence = arr2(&[[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]);
        let picture = Picture::of_prepared(&slice, [8, 16], &evidence.view(), "slice".to_owned()).expect("a picture");
        let image = image::load_from_memory(&picture.png).expect("a PNG").to_rgb8();
        assert_eq!(image.dimensions(), (16, 8));
        assert_eq!(*image.get_pixel(1, 6), Rgb([128; 3]));
        let Rgb([red, green, blue]) = *image.get_pixel(15, 0);
        assert!(red > green && red > blue, "{red} {green} {blue}");
    }

    #[test]
    fn cells_are_joined_by_straight_lines() {
        let cells = arr2(&[[0.0_f32, 1.0], [2.0, 3.0]]);
        for (place, expected) in [([0.0, 0.0], 0.0), ([0.5, 0.5], 1.5), ([1.0, 0.25], 2.25), ([-3.0, 9.0], 1.0)] {
            assert!((between(&cells.view(), place) - expected).abs() < 1e-9, "{place:?}");
        }
    }
}
