//! What lies around the pixels of a slice: the body, or a table, clothes and padding.

use memchr::{memchr, memrchr};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Zip};

use super::runs::{set, stretches};
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
        let least = u16::try_from(thickness[1]).unwrap_or(u16::MAX);
        let lengths = lengths_along_columns(image, field, tissue, least);
        let (count, mut rows) = (image.ncols(), vec![None; image.nrows()]);
        let mut columns = ColumnEnds::new(count);
        let (mut whole, mut solid, mut thick) = (Array1::from_elem(count, least), vec![0; count], vec![0; count]);
        for (row, lengths) in lengths.outer_iter().enumerate().rev() {
            // The lowest pixel of a stretch has its whole length, which the pixels above it take.
            whole.zip_mut_with(&lengths, |whole, length| *whole = if *length == 0 { 0 } else { (*whole).max(*length) });
            let is_thick =
                |thick: &mut u8, whole: &u16, value: &i16| *thick = u8::from(*whole >= least && *value >= tissue);
            Zip::from(ArrayViewMut1::from(&mut thick)).and(&whole).and(image.row(row)).for_each(is_thick);
            set(&mut solid, &lengths, |length| *length > 0);
            for short in stretches(&solid).filter(|stretch| stretch.len() < thickness[0]) {
                // What ends at the edge of the image goes on.
                if short.start > 0 && short.end < count {
                    thick[short].fill(0);
                }
            }
            rows[row] = memchr(1, &thick).zip(memrchr(1, &thick));
            if rows[row].is_some() {
                columns.add(row, &thick);
            }
        }
        Self { rows, columns: columns.found() }
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

/// The first and the last row in which each column holds thick tissue.
struct ColumnEnds {
    first: Array1<u16>,
    /// The row after the last one; 0 where there is none.
    end: Array1<u16>,
}

impl ColumnEnds {
    fn new(columns: usize) -> Self {
        Self { first: Array1::zeros(columns), end: Array1::zeros(columns) }
    }

    /// Adds a row that lies above all that were added.
    fn add(&mut self, row: usize, thick: &[u8]) {
        let (this, next) = (row as u16, (row + 1) as u16);
        Zip::from(&mut self.first).and(&mut self.end).and(&ArrayView1::from(thick)).for_each(|first, end, thick| {
            *first = if *thick == 1 { this } else { *first };
            *end = if *thick == 1 { (*end).max(next) } else { *end };
        });
    }

    fn found(self) -> Vec<Option<(usize, usize)>> {
        let ends = self.first.into_iter().zip(self.end);
        ends.map(|(first, end)| Some((usize::from(first), usize::from(end.checked_sub(1)?)))).collect()
    }
}

/// For each pixel of tissue or beyond the field of view, how many there are from it up to the next one that is neither; at
/// least `least` where there is none up to the edge of the image. Row by row, because the pixels of a column lie far apart
/// in memory.
fn lengths_along_columns(image: &ArrayView2<'_, i16>, field: &FieldOfView, tissue: i16, least: u16) -> Array2<u16> {
    let mut lengths = Array2::<u16>::zeros(image.dim());
    let mut above = Array1::from_elem(image.ncols(), least);
    for (row, mut lengths) in lengths.outer_iter_mut().enumerate() {
        let pixels = Zip::from(&mut above).and(&mut lengths).and(image.row(row)).and(field.row(row));
        pixels.for_each(|above, length, value, place| {
            let solid = *value >= tissue || *place == Place::Outside;
            *above = if solid { above.saturating_add(1) } else { 0 };
            *length = *above;
        });
    }
    lengths
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Axis};

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
