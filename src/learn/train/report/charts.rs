//! Charts as SVG text that needs no other file in a page.

use std::ops::Range;

use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;

/// Size of a chart in pixels.
const SIZE: (u32, u32) = (440, 340);
/// Colours of lines, in order; distinguishable also with red-green colour blindness (Okabe and Ito 2008).
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

/// A named line through points.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// The area between two curves over the same places, around one of the lines.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Band {
    /// Number of the line whose colour it takes.
    pub(super) line: usize,
    /// Place, lower end, upper end.
    pub(super) points: Vec<(f64, f64, f64)>,
}

/// What a chart shows.
pub(super) struct Chart {
    pub(super) title: String,
    /// Names of the axes, x first.
    pub(super) axes: [String; 2],
    pub(super) lines: Vec<Line>,
    /// 95 % intervals.
    pub(super) bands: Vec<Band>,
    /// Single places, such as the operating point.
    pub(super) marks: Vec<(f64, f64)>,
    /// Draws the diagonal: chance in a ROC curve, perfection in a reliability diagram.
    pub(super) diagonal: bool,
    /// Both axes go from 0 to 1.
    pub(super) unit: bool,
}

impl Chart {
    /// The chart as an `<svg>` element. One without points says so.
    pub(super) fn svg(&self) -> Markup {
        let mut svg = String::new();
        let drawn = self.draw(SVGBackend::with_string(&mut svg, SIZE));
        // Writing to a string cannot fail; what remains are ranges that plotters does not accept.
        if drawn.is_err() || self.lines.iter().all(|line| line.points.is_empty()) {
            return html! { p { (self.title) ": no points to draw." } };
        }
        PreEscaped(svg)
    }

    fn draw(&self, backend: SVGBackend<'_>) -> Result<(), Box<dyn std::error::Error>> {
        let area = backend.into_drawing_area();
        area.fill(&WHITE)?;
        let [x, y] = self.ranges();
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, ("sans-serif", 15))
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(48)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart.configure_mesh().x_desc(&self.axes[0]).y_desc(&self.axes[1]).light_line_style(WHITE).draw()?;
        if self.diagonal {
            let ends = [(x.start.max(y.start), x.start.max(y.start)), (x.end.min(y.end), x.end.min(y.end))];
            chart.draw_series(LineSeries::new(ends, RGBColor(150, 150, 150)))?;
        }
        for band in &self.bands {
            let there = band.points.iter().map(|(x, _, high)| (*x, *high));
            let back = band.points.iter().rev().map(|(x, low, _)| (*x, *low));
            let area: Vec<(f64, f64)> = there.chain(back).collect();
            let colour = COLOURS[band.line % COLOURS.len()];
            chart.draw_series(std::iter::once(Polygon::new(area, colour.mix(0.15).filled())))?;
        }
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        for place in &self.marks {
            chart.draw_series(std::iter::once(Circle::new(*place, 4, BLACK.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .draw()?;
        area.present()?;
        Ok(())
    }

    fn ranges(&self) -> [Range<f64>; 2] {
        if self.unit {
            return [0.0..1.0, 0.0..1.0];
        }
        let points = || self.lines.iter().flat_map(|line| &line.points);
        [around(points().map(|point| point.0)), around(points().map(|point| point.1))]
    }
}

/// A range that holds all values and is not empty.
fn around(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    match (low <= high, high > low) {
        (false, _) => 0.0..1.0,
        (true, false) => low - 0.5..high + 0.5,
        (true, true) => low..high,
    }
}
