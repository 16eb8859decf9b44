//! The first page: the decision, its probability, what it rests on and what computed it.

use image::{Rgb, RgbImage};
use ndarray::Axis;

use super::canvas::{ACCENT, ALERT, Area, Canvas, Colour, Font, HEIGHT, LINE, MUTED, TEXT, WARNING, WIDTH, mix};
use super::{Context, palette, sampling};
use crate::engine::analyse::findings::{Decision, Findings};
use crate::engine::report::statements;
use crate::engine::volume::{PatientPoint, VoxelPoint};

/// Left edge and width of the text.
const COLUMN: (i32, i32) = (32, 588);
/// Where the coronal view is drawn.
const CORONAL: Area = Area::new(652, 152, 404, 310);
/// Where the colours are explained.
const COLOUR_BAR: Area = Area::new(652, 530, 404, 16);
/// Where it begins what computed the result.
const SMALL_PRINT: i32 = 578;
/// Where the notes end at the latest; lung volumes and slices stand below.
const NOTES_END: i32 = 434;
/// Left edge, width and height of the probabilities of the slices.
const PLOT: (i32, i32, i32) = (76, 544, 110);

/// Draws the page.
pub(super) fn draw(context: &Context) -> RgbImage {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    draw_title(&mut canvas, context.findings);
    draw_decision(&mut canvas, context.findings);
    let top = draw_notes(&mut canvas, context.findings, 240);
    let top = draw_lungs(&mut canvas, context.findings, top.max(296) + 12);
    let top = draw_slices(&mut canvas, context, top + 24);
    draw_advice(&mut canvas, context.findings, top + 18);
    draw_coronal(&mut canvas, context);
    draw_small_print(&mut canvas, context);
    canvas.into_image()
}

fn draw_title(canvas: &mut Canvas, findings: &Findings) {
    canvas.text(COLUMN.0, 20, "CT pulmonary angiogram: automatic analysis", Font::HUGE_BOLD, TEXT);
    if let Some(banner) = statements::banner(findings) {
        let bar = Area::new(0, 66, WIDTH as i32, 34);
        canvas.fill(bar, WARNING);
        let left = (bar.width - Font::LARGE_BOLD.width(banner)) / 2;
        canvas.text(left, bar.top + 5, banner, Font::LARGE_BOLD, Rgb([20, 16, 0]));
    }
}

/// Decision, probability and operating point.
fn draw_decision(canvas: &mut Canvas, findings: &Findings) {
    let (left, width) = COLUMN;
    let (word, colour) = match findings.decision {
        Decision::Present => ("PRESENT", ALERT),
        Decision::Absent => ("ABSENT", TEXT),
        Decision::Undetermined => ("UNDETERMINED", WARNING),
    };
    canvas.text(left, 118, "Pulmonary embolism", Font::MEDIUM, MUTED);
    canvas.text(left, 142, word, Font::HUGE_BOLD, colour);
    let number = format!("{} %", findings.probability.percent());
    let number_left = left + width - Font::HUGE_BOLD.width(&number);
    let label = if findings.is_calibrated() { "Probability (calibrated)" } else { "Probability (not calibrated)" };
    canvas.text(left + width - Font::MEDIUM.width(label), 118, label, Font::MEDIUM, MUTED);
    canvas.text(number_left, 142, &number, Font::HUGE_BOLD, TEXT);
    draw_probability_bar(canvas, findings, Area::new(left, 186, width, 26), colour);
}

/// What limits the result, what is wrong with the images, what was left out, and further results, as far as there is room;
/// returns where they end. The report has all of it.
fn draw_notes(canvas: &mut Canvas, findings: &Findings, top: i32) -> i32 {
    let (left, width) = COLUMN;
    let line_height = Font::SMALL.line_height() + 2;
    let notes = notes(findings);
    let wrapped = |(text, colour): &(String, Colour)| -> Vec<(String, Colour)> {
        Font::SMALL.wrap(text, width).into_iter().map(|line| (line, *colour)).collect()
    };
    let mut lines: Vec<(String, Colour)> = notes.iter().flat_map(wrapped).collect();
    let room = ((NOTES_END - top) / line_height) as usize;
    if lines.len() > room {
        lines.truncate(room - 1);
        lines.push(("... The report says more.".to_owned(), WARNING));
    }
    for (index, (line, colour)) in (0..).zip(&lines) {
        canvas.text(left, top + index * line_height, line, Font::SMALL, *colour);
    }
    top + lines.len() as i32 * line_height
}

/// The notes with their colours; what a reader must not overlook comes first.
fn notes(findings: &Findings) -> Vec<(String, Colour)> {
    let warnings = statements::undetermined(findings).into_iter().chain(statements::quality(findings));
    let passed = findings.warnings.is_empty().then(|| "Image quality: all quality checks passed".to_owned());
    let left_out = statements::left_out(findings);
    let further = statements::standard_deviation(findings).into_iter().chain(statements::targets(findings));
    let coloured = |colour: Colour| move |text: String| (text, colour);
    warnings
        .map(coloured(WARNING))
        .chain(left_out.map(coloured(WARNING)))
        .chain(passed.into_iter().map(coloured(MUTED)))
        .chain(further.map(coloured(TEXT)))
        .collect()
}

fn draw_probability_bar(canvas: &mut Canvas, findings: &Findings, area: Area, colour: Colour) {
    let at = |share: f64| area.left + (share.clamp(0.0, 1.0) * f64::from(area.width)).round() as i32;
    canvas.fill(area, mix(LINE, Rgb([0, 0, 0]), 0.4));
    let filled = at(findings.probability.value()) - area.left;
    canvas.fill(Area::new(area.left, area.top + 5, filled, area.height - 10), colour);
    if let Some(point) = &findings.classifier.operating_point {
        let [low, high] = point.indeterminate;
        let band = Area::new(at(low), area.top, at(high) - at(low), area.height);
        for (x, y) in band.pixels().filter(|(x, y)| (x + y) % 6 < 2) {
            canvas.blend(x, y, TEXT, 0.35);
        }
        let tick = at(point.threshold);
        canvas.fill(Area::new(tick - 1, area.top - 5, 3, area.height + 10), TEXT);
        let label = format!("operating point {} %", (point.threshold * 10_000.0).round() / 100.0);
        let width = Font::SMALL.width(&label);
        let left = (tick - width / 2).clamp(area.left, area.right() - width);
        canvas.text(left, area.bottom() + 6, &label, Font::SMALL, MUTED);
    }
    canvas.frame(area, LINE);
}

/// Volumes of the lungs, the patient's right first as on the images, and the enhancement of the great vessels; returns
/// where they end.
fn draw_lungs(canvas: &mut Canvas, findings: &Findings, top: i32) -> i32 {
    let (left, _) = COLUMN;
    let lungs = &findings.lungs;
    canvas.text(left, top, "Lung volumes", Font::MEDIUM, MUTED);
    for (side, lung, x) in [("right", &lungs.right, left), ("left", &lungs.left, left + 200)] {
        let volume = lung.as_ref().map_or_else(|| "not found".to_owned(), |lung| format!("{:.0} mL", lung.millilitres));
        canvas.text(x, top + 26, side, Font::SMALL, MUTED);
        canvas.text(x + 50, top + 23, &volume, Font::MEDIUM_BOLD, TEXT);
    }
    canvas.paragraph(left, top + 48, COLUMN.1, &statements::enhancement(findings), Font::SMALL, MUTED)
}

/// The probability of each slice along the body, with the key slices marked, or that there is none; returns where it
/// ends.
fn draw_slices(canvas: &mut Canvas, context: &Context, top: i32) -> i32 {
    let Some(evidence) = &context.findings.evidence else {
        canvas.text(COLUMN.0, top, "Probability by slice", Font::MEDIUM, MUTED);
        return canvas.paragraph(COLUMN.0, top + 26, COLUMN.1, statements::NO_EVIDENCE, Font::SMALL, WARNING);
    };
    canvas.text(COLUMN.0, top, "Probability by slice, from below (left) to above", Font::MEDIUM, MUTED);
    let plot = Area::new(PLOT.0, top + 36, PLOT.1, PLOT.2);
    canvas.fill(plot, mix(LINE, Rgb([0, 0, 0]), 0.65));
    let last = (context.volume.slices.len().max(2) - 1) as f64;
    let x = |slice: usize| f64::from(plot.left) + slice as f64 / last * f64::from(plot.width - 1);
    let y = |share: f64| f64::from(plot.bottom() - 1) - share * f64::from(plot.height - 1);
    for (share, label) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
        let height = y(share) as i32;
        canvas.fill(Area::new(plot.left, height, plot.width, 1), LINE);
        canvas.text(plot.left - 6 - Font::SMALL.width(label), height - 8, label, Font::SMALL, MUTED);
    }
    for pair in evidence.slices.windows(2) {
        let ends = [&pair[0], &pair[1]].map(|finding| [x(finding.slice), y(finding.probability.value())]);
        canvas.line(ends[0], ends[1], 1.6, ACCENT);
    }
    for key_slice in context.key_slices() {
        canvas.ring([x(key_slice.slice), y(key_slice.probability.value())], 3.0, 2.0, TEXT);
    }
    let slices = context.volume.slices.len().to_string();
    let legend = "rings: key slices";
    let centred = plot.left + (plot.width - Font::SMALL.width(legend)) / 2;
    for (left, text) in
        [(plot.left, "1"), (centred, legend), (plot.right() - Font::SMALL.width(&slices), slices.as_str())]
    {
        canvas.text(left, plot.bottom() + 4, text, Font::SMALL, MUTED);
    }
    plot.bottom() + 20
}

/// The coronal plane through the greatest evidence, overlaid with the greatest evidence along each line of sight;
/// without evidence the plane through the middle of the analysed field.
fn draw_coronal(canvas: &mut Canvas, context: &Context) {
    let volume = context.volume;
    let [low, high] = bounds(context);
    let evidence = context.findings.evidence.as_ref();
    let place =
        context.key_slices().first().map_or_else(|| context.findings.field.middle(), |key_slice| key_slice.peak);
    let peak = volume.geometry.to_patient(place);
    let extent = [high[0] - low[0], high[2] - low[2]];
    let step = (extent[0] / f64::from(CORONAL.width)).max(extent[1] / f64::from(CORONAL.height));
    let middle = [f64::midpoint(low[0], high[0]), f64::midpoint(low[2], high[2])];
    let projected = evidence.map(|evidence| {
        let cells = &evidence.map.cells;
        cells.fold_axis(Axis(1), 0.0_f32, |greatest, cell| greatest.max(*cell)).insert_axis(Axis(1))
    });
    let colour = |place: PatientPoint| {
        let cell = VoxelPoint { row: 0.0, ..evidence?.map.geometry.to_voxel(place) };
        sampling::interpolate(&projected.as_ref()?.view(), cell)
    };
    for (x, y) in CORONAL.pixels() {
        let right = f64::from(x - CORONAL.left) - f64::from(CORONAL.width - 1) / 2.0;
        let down = f64::from(y - CORONAL.top) - f64::from(CORONAL.height - 1) / 2.0;
        let place = PatientPoint([middle[0] + right * step, peak.0[1], middle[1] - down * step]);
        let grey = sampling::grey(volume, volume.geometry.to_voxel(place));
        let (over, opacity) = palette::overlay(colour(place).unwrap_or(0.0));
        canvas.blend(x, y, mix(Rgb([grey; 3]), over, opacity), 1.0);
    }
    canvas.frame(CORONAL, LINE);
    let middle = CORONAL.top + CORONAL.height / 2 - 12;
    canvas.text_on_image(CORONAL.left + 6, middle, "R", Font::LARGE_BOLD, TEXT);
    canvas.text_on_image(CORONAL.right() - 18, middle, "L", Font::LARGE_BOLD, TEXT);
    canvas.text_on_image(CORONAL.left + CORONAL.width / 2 - 5, CORONAL.top + 6, "H", Font::LARGE_BOLD, TEXT);
    let (title, caption) = match evidence {
        Some(_) => (
            "Maximum of the heat map",
            "Coronal plane through the maximum of the heat map; colours: maximum from front to back",
        ),
        None => ("What was analysed", "Coronal plane through the middle of the analysed field; no heat map"),
    };
    canvas.text(CORONAL.left, CORONAL.top - 30, title, Font::MEDIUM, MUTED);
    canvas.paragraph(CORONAL.left, CORONAL.bottom() + 6, CORONAL.width, caption, Font::SMALL, MUTED);
    if evidence.is_some() {
        palette::draw_bar(canvas, COLOUR_BAR);
    }
}

/// The box around the volume in the patient: lowest and highest coordinates in millimetres.
fn bounds(context: &Context) -> [[f64; 3]; 2] {
    let geometry = &context.volume.geometry;
    let [columns, rows, slices] = geometry.size.map(|size| size as f64 - 1.0);
    let ends = |last: f64| [0.0, last];
    let mut bounds = [[f64::INFINITY; 3], [f64::NEG_INFINITY; 3]];
    for slice in ends(slices) {
        for row in ends(rows) {
            for column in ends(columns) {
                let corner = geometry.to_patient(VoxelPoint { column, row, slice }).0;
                for axis in 0..3 {
                    bounds[0][axis] = bounds[0][axis].min(corner[axis]);
                    bounds[1][axis] = bounds[1][axis].max(corner[axis]);
                }
            }
        }
    }
    bounds
}

/// Models, execution provider, program: what computed this.
fn draw_small_print(canvas: &mut Canvas, context: &Context) {
    let (left, width) = (CORONAL.left, CORONAL.width);
    let findings = context.findings;
    canvas.text(left, SMALL_PRINT, "Computed by", Font::MEDIUM, MUTED);
    let models = findings.models.each().into_iter().map(|model| {
        let digest: String = model.sha256.chars().take(16).collect();
        format!("{} {}  sha256 {digest}...", model.package.name, model.package.version)
    });
    let training = format!("Training data of the classifier: {}", findings.classifier.training.data);
    let program = format!("pe-node {}, networks run on {}", context.software_version, findings.provider.0);
    let mut top = SMALL_PRINT + 26;
    for text in models.chain([training, program]) {
        top = canvas.paragraph(left, top, width, &text, Font::SMALL, TEXT);
    }
}

/// How to read the page.
fn draw_advice(canvas: &mut Canvas, findings: &Findings, top: i32) {
    let synthetic = if findings.synthetic { "The images are marked as synthetic. " } else { "" };
    let advice = if findings.evidence.is_some() {
        "The heat map shows what the network responded to; it is not an outline of an embolus."
    } else {
        ""
    };
    canvas.paragraph(COLUMN.0, top, COLUMN.1, &format!("{synthetic}{advice}"), Font::SMALL, MUTED);
}
