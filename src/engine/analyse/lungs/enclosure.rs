//! What lies around the pixels of a slice: the body, or a table, clothes and padding.

use memchr::{memchr, memrchr};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Zip};

use super::runs::{set, stretches};

/// The outermost thick tissue in every row and column of a slice. Table tops, clothes and tubes are thin.
pub(super) struct Enclosure {
    rows: Vec<Option<(usize, usize)>>,
    columns: Vec<Option<(usize, usize)>>,
}

impl Enclosure {
    /// Finds tissue, not darker than `tissue`, that is at least `thickness` pixels thick along columns and along rows. A
    /// row runs long through the shell of a table that slants a little; a column does not.
    pub(super) fn of(image: &ArrayView2<'_, i16>, tissue: i16, thickness: [usize; 2]) -> Self {
        let lengths = lengths_along_columns(image, tissue);
        let least = u16::try_from(thickness[1]).unwrap_or(u16::MAX);
        let mut rows = vec![None; image.nrows()];
        // First row, and the row after the last one.
        let (mut first, mut end) = (Array1::<u16>::zeros(image.ncols()), Array1::<u16>::zeros(image.ncols()));
        let (mut whole, mut is_tissue) = (Array1::<u16>::zeros(image.ncols()), vec![0; image.ncols()]);
        let mut thick = is_tissue.clone();
        for (row, lengths) in lengths.outer_iter().enumerate().rev() {
            // The lowest pixel of a stretch has its whole length, which the pixels above it take.
            whole.zip_mut_with(&lengths, |whole, length| *whole = if *length == 0 { 0 } else { (*whole).max(*length) });
            set(&mut thick, &whole.view(), |whole| *whole >= least);
            set(&mut is_tissue, &lengths, |length| *length > 0);
            for short in stretches(&is_tissue).filter(|stretch| stretch.len() < thickness[0]) {
                thick[short].fill(0);
            }
            rows[row] = memchr(1, &thick).zip(memrchr(1, &thick));
            if rows[row].is_some() {
                let (this, next) = (row as u16, (row + 1) as u16);
                Zip::from(&mut first).and(&mut end).and(&ArrayView1::from(&thick)).for_each(|first, end, thick| {
                    *first = if *thick == 1 { this } else { *first };
                    *end = if *thick == 1 { (*end).max(next) } else { *end };
                });
            }
        }
        let ends = first.into_iter().zip(end);
        let ends = ends.map(|(first, end)| Some((usize::from(first), usize::from(end.checked_sub(1)?))));
        Self { rows, columns: ends.collect() }
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

/// For each pixel of tissue, how many there are from it up to the next one that is none: row by row, because the pixels of
/// a column lie far apart in memory.
fn lengths_along_columns(image: &ArrayView2<'_, i16>, tissue: i16) -> Array2<u16> {
    let mut lengths = Array2::<u16>::zeros(image.dim());
    let mut above = Array1::<u16>::zeros(image.ncols());
    for (line, mut lengths) in image.outer_iter().zip(lengths.outer_iter_mut()) {
        Zip::from(&mut above).and(&mut lengths).and(&line).for_each(|above, length, value| {
            *above = if *value >= tissue { above.saturating_add(1) } else { 0 };
            *length = *above;
        });
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_below_the_back_is_not_thick_and_the_wall_of_the_chest_is() {
        // A body with a lung in rows 6..14, air below it, and a table top of two rows.
        let image = Array2::from_shape_fn((30, 30), |(row, column)| match (row, column) {
            (6..14, 10..20) => -850,
            (2..18, 5..25) => 40,
            (22..24, _) => -200,
            _ => -1000,
        });
        let enclosure = Enclosure::of(&image.view(), -400, [3, 3]);
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
        assert_eq!(Enclosure::of(&image.view(), -400, [3, 3]).sides((12, 12)), 0);
    }

    #[test]
    fn a_lung_that_the_image_cuts_has_three_sides() {
        let image = Array2::from_shape_fn((20, 20), |(row, column)| match (row, column) {
            (6..14, ..8) => -850,
            _ => 40,
        });
        let enclosure = Enclosure::of(&image.view(), -400, [3, 3]);
        let lung = || (0..8).map(|column| (10, column));
        assert!(enclosure.holds(lung(), true) && !enclosure.holds(lung(), false));
    }
}
