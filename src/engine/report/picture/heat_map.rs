//! One key slice: the image windowed for a CT pulmonary angiogram, under its heat map. Beside it is what a reader needs
//! to judge it, including the place of the maximum without the overlay.

use image::{Rgb, RgbImage};

use super::canvas::{ALERT, Area, Canvas, Font, HEIGHT, LINE, MUTED, TEXT, WARNING, WIDTH, mix};
use super::orientation::{letters, opposite};
use super::{palette, sampling};
use crate::engine::analyse::findings::{Decision, EvidenceMap, Findings, KeySlice};
use crate::engine::report::statements;
use crate::engine::volume::{SourceSlice, Volume, VoxelPoint};

/// Where the slice is drawn.
const IMAGE: Area = Area::new(0, 0, HEIGHT as i32, HEIGHT as i32);
/// Left edge and width of the text beside it.
const PANEL: (i32, i32) = (HEIGHT as i32 + 16, WIDTH as i32 - HEIGHT as i32 - 32);
/// Where the place of the maximum is drawn again without the overlay.
const INSET: Area = Area::new(PANEL.0, 286, PANEL.1, PANEL.1);
/// Where the colours are explained.
const COLOUR_BAR: Area = Area::new(PANEL.0, 626, PANEL.1, 18);
/// How much larger the inset is than the image.
const MAGNIFICATION: f64 = 2.0;

/// Draws one of the key slices.
pub(super) fn draw(volume: &Volume, findings: &Findings, map: &EvidenceMap, place: Place) -> RgbImage {
    let view = View::whole(volume, place.key_slice.slice, IMAGE);
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    draw_slice(&mut canvas, volume, &view, Some(map));
    draw_marks(&mut canvas, &view, place.key_slice);
    draw_orientation(&mut canvas, volume);
    draw_scale(&mut canvas, &view);
    draw_panel(&mut canvas, volume, findings, place);
    draw_inset(&mut canvas, volume, place.key_slice, &view);
    palette::draw_bar(&mut canvas, COLOUR_BAR);
    canvas.into_image()
}

/// A key slice and its place among those that are shown.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) key_slice: &'a KeySlice,
    /// From 0.
    pub(super) index: usize,
    pub(super) of: usize,
}

/// A part of a slice on an area of the picture.
struct View {
    area: Area,
    slice: usize,
    /// Grid position (column, row) in the middle of the area.
    centre: [f64; 2],
    /// Grid steps per pixel of the picture: columns, rows.
    step: [f64; 2],
    /// Millimetres per pixel of the picture.
    millimetres: f64,
}

impl View {
    /// The whole slice, true to its proportions.
    fn whole(volume: &Volume, slice: usize, area: Area) -> Self {
        let [columns, rows, _] = volume.geometry.size.map(|size| size as f64);
        let [between_columns, between_rows, _] = volume.geometry.spacing;
        let millimetres =
            (columns * between_columns / f64::from(area.width)).max(rows * between_rows / f64::from(area.height));
        Self {
            area,
            slice,
            centre: [(columns - 1.0) / 2.0, (rows - 1.0) / 2.0],
            step: [millimetres / between_columns, millimetres / between_rows],
            millimetres,
        }
    }

    /// A closer look on `area`, with `centre` in its middle.
    fn closer(&self, centre: [f64; 2], area: Area) -> Self {
        Self {
            area,
            slice: self.slice,
            centre,
            step: self.step.map(|step| step / MAGNIFICATION),
            millimetres: self.millimetres / MAGNIFICATION,
        }
    }

    fn middle(&self) -> [f64; 2] {
        [
            f64::from(self.area.left) + f64::from(self.area.width - 1) / 2.0,
            f64::from(self.area.top) + f64::from(self.area.height - 1) / 2.0,
        ]
    }

    /// The grid position shown by a pixel of the picture.
    fn voxel(&self, x: i32, y: i32) -> VoxelPoint {
        let [middle_x, middle_y] = self.middle();
        VoxelPoint {
            column: self.centre[0] + (f64::from(x) - middle_x) * self.step[0],
            row: self.centre[1] + (f64::from(y) - middle_y) * self.step[1],
            slice: self.slice as f64,
        }
    }

    /// The pixel of the picture that shows a grid position (column, row).
    fn pixel(&self, [column, row]: [f64; 2]) -> [f64; 2] {
        let [middle_x, middle_y] = self.middle();
        [middle_x + (column - self.centre[0]) / self.step[0], middle_y + (row - self.centre[1]) / self.step[1]]
    }
}

fn draw_slice(canvas: &mut Canvas, volume: &Volume, view: &View, map: Option<&EvidenceMap>) {
    for (x, y) in view.area.pixels() {
        let point = view.voxel(x, y);
        let grey = sampling::grey(volume, point);
        let mut colour = Rgb([grey; 3]);
        if let Some(map) = map {
            let evidence = sampling::evidence(map, volume.geometry.to_patient(point));
            let (over, opacity) = palette::overlay(evidence);
            colour = mix(colour, over, opacity);
        }
        canvas.blend(x, y, colour, 1.0);
    }
}

/// Outlines of high evidence and the place where it is greatest.
fn draw_marks(canvas: &mut Canvas, view: &View, key_slice: &KeySlice) {
    for outline in &key_slice.outlines {
        let vertices: Vec<[f64; 2]> = outline.iter().map(|vertex| view.pixel(*vertex)).collect();
        canvas.outline(&vertices, 1.0, Rgb([255, 255, 255]));
    }
    let peak = view.pixel([key_slice.peak.column, key_slice.peak.row]);
    for (colour, width) in [(Rgb([0, 0, 0]), 3.5), (Rgb([255, 255, 255]), 1.5)] {
        draw_cross_hair(canvas, peak, colour, width);
    }
}

/// Four strokes that leave the place itself uncovered.
fn draw_cross_hair(canvas: &mut Canvas, [x, y]: [f64; 2], colour: Rgb<u8>, width: f64) {
    let (near, far) = (12.0, 24.0);
    for [dx, dy] in [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]] {
        canvas.line([x + dx * near, y + dy * near], [x + dx * far, y + dy * far], width, colour);
    }
}

/// The side of the patient at each edge of the image, from the source's orientation.
fn draw_orientation(canvas: &mut Canvas, volume: &Volume) {
    let [along_row, along_column, _] = volume.geometry.directions;
    let font = Font::LARGE_BOLD;
    let middle = IMAGE.height / 2 - font.line_height() / 2;
    let centred = |text: &str| IMAGE.width / 2 - font.width(text) / 2;
    let (left, right) = (letters(opposite(along_row)), letters(along_row));
    let (top, bottom) = (letters(opposite(along_column)), letters(along_column));
    canvas.text_on_image(8, middle, &left, font, TEXT);
    canvas.text_on_image(IMAGE.width - 8 - font.width(&right), middle, &right, font, TEXT);
    canvas.text_on_image(centred(&top), 6, &top, font, TEXT);
    canvas.text_on_image(centred(&bottom), IMAGE.height - 6 - font.line_height(), &bottom, font, TEXT);
}

/// A bar of five centimetres.
fn draw_scale(canvas: &mut Canvas, view: &View) {
    let length = (50.0 / view.millimetres).round() as i32;
    let (left, bottom) = (IMAGE.left + 16, IMAGE.bottom() - 18);
    canvas.fill(Area::new(left - 1, bottom - 2, length + 2, 5), Rgb([0, 0, 0]));
    canvas.fill(Area::new(left, bottom - 1, length, 3), TEXT);
    canvas.text_on_image(left, bottom - 22, "5 cm", Font::SMALL_BOLD, TEXT);
}

fn draw_panel(canvas: &mut Canvas, volume: &Volume, findings: &Findings, Place { key_slice, index, of }: Place) {
    let (left, width) = PANEL;
    let slices = volume.slices.len();
    let image = image_name(&volume.slices[key_slice.slice]);
    canvas.text(left, 12, "Heat map for embolism", Font::LARGE_BOLD, TEXT);
    let place = format!("Key slice {} of {of}", index + 1);
    canvas.text(left, 44, &place, Font::MEDIUM, TEXT);
    let slice = format!("slice {} of {slices} from below{image}", key_slice.slice + 1);
    canvas.text(left, 70, &slice, Font::SMALL, MUTED);
    canvas.text(left, 104, "Probability, this slice", Font::SMALL, MUTED);
    canvas.text(left, 122, &format!("{} %", key_slice.probability.percent()), Font::HUGE_BOLD, TEXT);
    canvas.text(left, 166, "Whole exam", Font::SMALL, MUTED);
    let colour = match findings.decision {
        Decision::Present => ALERT,
        Decision::Undetermined => WARNING,
        Decision::Absent => TEXT,
    };
    let exam = format!("{} % {}", findings.probability.percent(), findings.decision);
    canvas.text(left, 184, &exam, Font::MEDIUM_BOLD, colour);
    if let Some(banner) = statements::banner(findings) {
        canvas.paragraph(left, 706, width, banner, Font::MEDIUM_BOLD, WARNING);
    }
    if statements::quality(findings).is_some() {
        canvas.text(left, 216, "Limited image quality", Font::SMALL_BOLD, WARNING);
    }
}

/// What a viewer calls an image, in parentheses.
fn image_name(slice: &SourceSlice) -> String {
    match (slice.instance_number, slice.image.frame()) {
        (_, Some(frame)) => format!(" (frame {frame})"),
        (Some(number), None) => format!(" (image {number})"),
        (None, None) => String::new(),
    }
}

/// The place of the maximum without the overlay.
fn draw_inset(canvas: &mut Canvas, volume: &Volume, key_slice: &KeySlice, whole: &View) {
    let centre = [key_slice.peak.column, key_slice.peak.row];
    let view = whole.closer(centre, INSET);
    canvas.text(INSET.left, INSET.top - 40, "The maximum, no overlay,", Font::SMALL, MUTED);
    canvas.text(INSET.left, INSET.top - 22, "magnified 2 times; W 700 L 100", Font::SMALL, MUTED);
    draw_slice(canvas, volume, &view, None);
    canvas.frame(INSET, LINE);
    let outlined = whole.pixel(centre);
    let half = f64::from(INSET.width) / 2.0 / MAGNIFICATION;
    let corners = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]];
    let square = corners.map(|[x, y]| [outlined[0] + x * half, outlined[1] + y * half]);
    draw_corners(canvas, &square);
}

/// The corners of the part that the inset shows.
fn draw_corners(canvas: &mut Canvas, square: &[[f64; 2]; 4]) {
    for (index, corner) in square.iter().enumerate() {
        for neighbour in [square[(index + 1) % 4], square[(index + 3) % 4]] {
            let towards = [corner[0] + (neighbour[0] - corner[0]) * 0.1, corner[1] + (neighbour[1] - corner[1]) * 0.1];
            canvas.line(*corner, towards, 1.0, MUTED);
        }
    }
}
