//! What lies around the pixels of a slice: the body, or a table, clothes and padding.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, Axis, Slice, Zip};

use super::runs::stretches;
use crate::engine::volume::field_of_view::{FieldOfView, Place};

/// The outermost thick tissue in every row and column of a slice. Table tops, clothes and tubes are thin.
pub(super) struct Enclosure {
    rows: Vec<Option<(usize, usize)>>,
    columns: Vec<Option<(usize, usize)>>,
}

impl Enclosure {
    /// Finds tissue, not darker than `tissue`, that is at least `thickness` pixels thick along columns and along rows, or
    /// goes on beyond the field of view: of a wall that is cut there, one pixel may be seen. A row runs long through the
    /// shell of a table that slants a little; a column does not.
    pub(super) fn of(image: &ArrayView2<'_, i16>, field: &FieldOfView, tissue: i16, thickness: [usize; 2]) -> Self {
        let is_solid = |value: i16, place: Place| value >= tissue || place == Place::Outside;
        let solid = Zip::from(image).and(field.places()).map_collect(|value, place| is_solid(*value, *place));
        let mut thick = thick_along_rows(&solid, thickness[0]) & thick_along_columns(&solid, thickness[1]);
        Zip::from(&mut thick).and(image).for_each(|thick, value| *thick &= *value >= tissue);
        let ends = |axis: usize| {
            let lines = thick.axis_iter(Axis(axis));
            let is_thick = |pixel: &bool| *pixel;
            lines.map(|line| Some((line.iter().position(is_thick)?, line.iter().rposition(is_thick)?))).collect()
        };
        Self { rows: ends(0), columns: ends(1) }
    }

    /// On how many of its four sides a pixel has thick tissue.
    pub(super) fn sides(&self, (row, column): (usize, usize)) -> usize {
        let between = |ends: Option<(usize, usize)>, index: usize| {
            ends.map_or(0, |(first, last)| usize::from(first < index) + usize::from(last > index))
        };
        between(self.rows[row], column) + between(self.columns[column], row)
    }

    /// True if more than half of the pixels of a region have the thick tissue around them that there is around a lung: on
    /// all four sides, or on two where the edge of the field of view cuts the chest at a slant. A hollow of the back over
    /// a table has three sides, foam at the edge of the image one.
    pub(super) fn holds(&self, pixels: impl Iterator<Item = (usize, usize)>, at_edge: bool) -> bool {
        let least = if at_edge { 2 } else { 4 };
        let (mut all, mut enclosed) = (0, 0);
        for pixel in pixels {
            all += 1;
            enclosed += usize::from(self.sides(pixel) >= least);
        }
        2 * enclosed > all
    }
}

/// The pixels in stretches along rows that have at least a length or end at the edge of the image.
fn thick_along_rows(solid: &Array2<bool>, least: usize) -> Array2<bool> {
    let mut thick = Array2::from_elem(solid.dim(), false);
    let is_thick =
        |stretch: &Range<usize>| stretch.len() >= least || stretch.start == 0 || stretch.end == solid.ncols();
    for (line, mut thick) in solid.outer_iter().zip(thick.outer_iter_mut()) {
        for stretch in stretches(line, |_, solid| solid).filter(is_thick) {
            thick.slice_axis_mut(Axis(0), Slice::from(stretch)).fill(true);
        }
    }
    thick
}

/// The same along columns: row by row, because the pixels of a column lie far apart in memory.
fn thick_along_columns(solid: &Array2<bool>, least: usize) -> Array2<bool> {
    // What ends at the edge of the image is long enough.
    let least = u16::try_from(least).unwrap_or(u16::MAX);
    let mut lengths = Array2::<u16>::zeros(solid.dim());
    let mut above = Array1::from_elem(solid.ncols(), least);
    for (line, mut lengths) in solid.outer_iter().zip(lengths.outer_iter_mut()) {
        Zip::from(&mut above).and(&mut lengths).and(&line).for_each(|above, length, solid| {
            *above = above.saturating_add(1) * u16::from(*solid);
            *length = *above;
        });
    }
    // The lowest pixel of a stretch has its whole length, which the pixels above it take.
    let mut thick = Array2::from_elem(solid.dim(), false);
    let mut whole = Array1::from_elem(solid.ncols(), least);
    for (lengths, mut thick) in lengths.outer_iter().zip(thick.outer_iter_mut()).rev() {
        Zip::from(&mut whole).and(&mut thick).and(&lengths).for_each(|whole, thick, length| {
            *whole = if *length == 0 { 0 } else { (*whole).max(*length) };
            *thick = *whole >= least;
        });
    }
    thick
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn enclosure(image: &Array2<i16>) -> Enclosure {
        Enclosure::of(&image.view(), &FieldOfView::whole(image.dim()), -400, [3, 3])
    }

    #[test]
    fn a_table_below_the_back_is_not_thick_and_the_wall_of_the_chest_is() {
        // A body with a lung in rows 6..14, air below it, and a table top of two rows.
        let image = Array2::from_shape_fn((30, 30), |(row, column)| match (row, column) {
            (6..14, 10..20) => -850,
            (2..18, 5..25) => 40,
            (22..24, _) => -200,
            _ => -1000,
        });
        let enclosure = enclosure(&image);
        assert_eq!(enclosure.sides((10, 15)), 4);
        assert_eq!(enclosure.sides((20, 15)), 1, "between back and table");
        assert!(enclosure.holds([(10, 15), (7, 11), (20, 15)].into_iter(), false));
        assert!(!enclosure.holds([(10, 15), (20, 15)].into_iter(), false));
    }

    #[test]
    fn the_shell_of_a_table_that_slants_is_not_thick() {
        // Each row runs through six pixels of a shell of two rows: foam lies between two such shells.
        let image = Array2::from_shape_fn((30, 30), |(row, column)| match row + column / 3 {
            10 | 11 | 22 | 23 => -200,
            12..22 => -900,
            _ => -1000,
        });
        assert_eq!(enclosure(&image).sides((12, 12)), 0);
    }

    #[test]
    fn a_lung_that_the_image_cuts_has_three_sides() {
        let image = Array2::from_shape_fn((20, 20), |(row, column)| match (row, column) {
            (6..14, ..8) => -850,
            _ => 40,
        });
        let enclosure = enclosure(&image);
        let lung = || (0..8).map(|column| (10, column));
        assert!(enclosure.holds(lung(), true) && !enclosure.holds(lung(), false));
    }

    #[test]
    fn a_wall_that_the_field_of_view_leaves_a_pixel_of_is_thick_and_one_in_air_is_not() {
        // Columns: what lies beyond the wall, one pixel of wall, lung, body.
        let with = |beyond: i16| {
            let images = Array3::from_shape_fn((2, 20, 20), |(slice, row, column)| match (row, column) {
                (6..14, 5..12) => -850,
                (_, 4..) => 40,
                // Room air has noise.
                _ if beyond == -1000 => beyond + 50 * slice as i16,
                _ => beyond,
            });
            let field = FieldOfView::of(&images.view());
            Enclosure::of(&images.index_axis(Axis(0), 0), &field, -400, [3, 3]).sides((10, 8))
        };
        assert_eq!([with(-1024), with(-1000)], [4, 3]);
    }
}
