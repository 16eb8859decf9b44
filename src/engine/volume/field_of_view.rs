//! The field of view: which pixels of a series were reconstructed.
//!
//! Scanners fill what lies outside their circle of reconstruction with one value. Such pixels hold it on every slice and
//! are connected to a corner of the image. Room air does not: it has noise.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView1, ArrayView3, Axis};

use super::part::bounds;

/// Padding reads as air or darker, in Hounsfield units.
const PADDING_BELOW: i16 = -900;
/// How far the values of padding differ at most, in Hounsfield units: lossy compression disturbs them a little.
const TOLERANCE: u16 = 16;

/// A pixel, by row and column.
pub type Pixel = (usize, usize);

/// Where a pixel lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the padding.
    Outside,
    /// Reconstructed, next to the padding or to the edge of the image.
    Edge,
    /// Reconstructed.
    Inside,
}

/// The pixels that were reconstructed, `[row, column]`; the same on every slice.
#[derive(Debug, Clone)]
pub struct FieldOfView(Array2<Place>);

impl FieldOfView {
    /// Finds the padding of a series, `[slice, row, column]`.
    pub fn of(hounsfield: &ArrayView3<'_, i16>) -> Self {
        let (_, rows, columns) = hounsfield.dim();
        let mut padding = Array2::from_elem((rows, columns), false);
        if hounsfield.is_empty() {
            return Self::without(&padding);
        }
        for corner in [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)] {
            if !padding[corner] {
                add_padding(hounsfield, corner, &mut padding);
            }
        }
        Self::without(&padding)
    }

    /// A field of view that fills its image of rows and columns.
    pub fn whole(size: (usize, usize)) -> Self {
        Self::without(&Array2::from_elem(size, false))
    }

    fn without(padding: &Array2<bool>) -> Self {
        let is_outside = |row: usize, column: usize| padding.get((row, column)).is_none_or(|padding| *padding);
        Self(Array2::from_shape_fn(padding.dim(), |(row, column)| {
            if padding[(row, column)] {
                Place::Outside
            } else if neighbours((row, column)).into_iter().any(|(row, column)| is_outside(row, column)) {
                Place::Edge
            } else {
                Place::Inside
            }
        }))
    }

    /// Where a pixel lies, given by row and column.
    pub fn place(&self, pixel: Pixel) -> Place {
        self.0[pixel]
    }

    /// Where each pixel lies.
    pub fn places(&self) -> &Array2<Place> {
        &self.0
    }

    /// Where the pixels of a row lie.
    pub fn row(&self, row: usize) -> ArrayView1<'_, Place> {
        self.0.row(row)
    }

    /// The middle of what was reconstructed.
    pub fn middle(&self) -> Pixel {
        let seen = bounds(&self.0.view(), |place| *place != Place::Outside);
        let [rows, columns] = seen.unwrap_or_else(|| [0..self.0.nrows(), 0..self.0.ncols()]);
        (usize::midpoint(rows.start, rows.end), usize::midpoint(columns.start, columns.end))
    }
}

/// Marks the pixels around a corner that hold the corner's value on every slice.
fn add_padding(hounsfield: &ArrayView3<'_, i16>, corner: Pixel, padding: &mut Array2<bool>) {
    let Some(first) = hounsfield.outer_iter().next() else { return };
    let value = first[corner];
    let is_same = |other: i16| other.abs_diff(value) <= TOLERANCE;
    // Most corners hold noise: a few slices show it.
    if value >= PADDING_BELOW || !hounsfield.outer_iter().all(|image| is_same(image[corner])) {
        return;
    }
    let mut constant = Array2::from_elem(padding.dim(), false);
    for pixel in connected(corner, first.dim(), |pixel| is_same(first[pixel])) {
        constant[pixel] = true;
    }
    constant.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(row, mut constant)| {
        if constant.iter().any(|constant| *constant) {
            for image in hounsfield.outer_iter() {
                constant.zip_mut_with(&image.row(row), |constant, value| *constant &= is_same(*value));
            }
        }
    });
    for pixel in connected(corner, padding.dim(), |pixel| constant[pixel]) {
        padding[pixel] = true;
    }
}

/// The pixels for which `is` holds that are connected to `start`, which comes first.
fn connected(start: Pixel, (rows, columns): (usize, usize), is: impl Fn(Pixel) -> bool) -> Vec<Pixel> {
    let mut seen = Array2::from_elem((rows, columns), false);
    seen[start] = true;
    let mut found = vec![start];
    let mut next = 0;
    while next < found.len() {
        for pixel in neighbours(found[next]) {
            if pixel.0 < rows && pixel.1 < columns && !seen[pixel] && is(pixel) {
                seen[pixel] = true;
                found.push(pixel);
            }
        }
        next += 1;
    }
    found
}

/// The four neighbours of a pixel; those before the first row or column have an index beyond every image.
fn neighbours((row, column): Pixel) -> [Pixel; 4] {
    [(row.wrapping_sub(1), column), (row + 1, column), (row, column.wrapping_sub(1)), (row, column + 1)]
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::engine::volume::part;

    /// Noise of room air that depends on the place and the slice.
    fn noise(slice: usize, row: usize, column: usize) -> i16 {
        ((slice * 31 + row * 17 + column * 7) % 61) as i16 - 30
    }

    /// Room air within a circle of 12 pixels around (20, 22), and padding.
    fn padded(padding: impl Fn(usize, usize, usize) -> i16) -> Array3<i16> {
        Array3::from_shape_fn((30, 40, 40), |(slice, row, column)| {
            if (row as f64 - 20.0).hypot(column as f64 - 22.0) <= 12.0 {
                -1000 + noise(slice, row, column)
            } else {
                padding(slice, row, column)
            }
        })
    }

    #[test]
    fn padding_around_a_circle_is_outside_and_the_air_within_is_not() {
        let images = [padded(|_, _, _| -1024), padded(|slice, row, column| -1010 + noise(slice, row, column) / 4)];
        for images in images {
            let field = FieldOfView::of(&images.view());
            assert_eq!(field.place((0, 0)), Place::Outside);
            assert_eq!(field.place((20, 9)), Place::Outside);
            assert_eq!(field.place((20, 10)), Place::Edge);
            assert_eq!(field.place((20, 11)), Place::Inside);
            let seen = part::count(field.places().view(), |place| *place != Place::Outside) as f64;
            assert!((seen - 452.0).abs() < 20.0, "{seen}");
            assert_eq!(field.middle(), (20, 22));
        }
    }

    #[test]
    fn air_with_noise_and_tissue_in_the_corners_are_no_padding() {
        let room = Array3::from_shape_fn((30, 40, 40), |(slice, row, column)| -1000 + noise(slice, row, column));
        for images in [room, Array3::from_elem((30, 40, 40), 40)] {
            let field = FieldOfView::of(&images.view());
            assert_eq!((field.place((0, 5)), field.place((1, 5))), (Place::Edge, Place::Inside));
            assert!(field.places().iter().all(|place| *place != Place::Outside));
        }
    }
}
