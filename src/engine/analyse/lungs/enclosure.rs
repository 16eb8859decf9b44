//! What lies around the pixels of a slice: the body, or a table, clothes and padding.

use ndarray::{Array1, Array2, ArrayView2, Axis, Slice, Zip};

use super::runs::stretches;

/// The outermost thick tissue in every row and column of a slice. Table tops, clothes and tubes are thin.
pub(super) struct Enclosure {
    rows: Vec<Option<(usize, usize)>>,
    columns: Vec<Option<(usize, usize)>>,
}

impl Enclosure {
    /// Finds tissue, not darker than `tissue`, that is at least `thickness` pixels thick along columns and along rows. A
    /// row runs long through the shell of a table that slants a little; a column does not.
    pub(super) fn of(image: &ArrayView2<'_, i16>, tissue: i16, thickness: [usize; 2]) -> Self {
        let thick = thick_along_rows(image, tissue, thickness[0]) & thick_along_columns(image, tissue, thickness[1]);
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

/// The pixels in stretches of tissue along rows that have at least a length.
fn thick_along_rows(image: &ArrayView2<'_, i16>, tissue: i16, least: usize) -> Array2<bool> {
    let mut thick = Array2::from_elem(image.dim(), false);
    for (line, mut thick) in image.outer_iter().zip(thick.outer_iter_mut()) {
        for stretch in stretches(line, |_, value| value >= tissue).filter(|stretch| stretch.len() >= least) {
            thick.slice_axis_mut(Axis(0), Slice::from(stretch)).fill(true);
        }
    }
    thick
}

/// The same along columns: row by row, because the pixels of a column lie far apart in memory.
fn thick_along_columns(image: &ArrayView2<'_, i16>, tissue: i16, least: usize) -> Array2<bool> {
    let mut lengths = Array2::<u16>::zeros(image.dim());
    let mut above = Array1::<u16>::zeros(image.ncols());
    for (line, mut lengths) in image.outer_iter().zip(lengths.outer_iter_mut()) {
        Zip::from(&mut above).and(&mut lengths).and(&line).for_each(|above, length, value| {
            *above = above.saturating_add(1) * u16::from(*value >= tissue);
            *length = *above;
        });
    }
    // The lowest pixel of a stretch has its whole length, which the pixels above it take.
    let mut thick = Array2::from_elem(image.dim(), false);
    let mut whole = Array1::<u16>::zeros(image.ncols());
    for (lengths, mut thick) in lengths.outer_iter().zip(thick.outer_iter_mut()).rev() {
        Zip::from(&mut whole).and(&mut thick).and(&lengths).for_each(|whole, thick, length| {
            *whole = if *length == 0 { 0 } else { (*whole).max(*length) };
            *thick = usize::from(*whole) >= least;
        });
    }
    thick
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
