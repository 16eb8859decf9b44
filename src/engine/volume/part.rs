//! Parts of images.

use std::ops::Range;

use ndarray::{ArrayView, ArrayView1, ArrayView2, Dimension};

/// Rows and columns of a part of an image.
pub type Part = [Range<usize>; 2];

/// The smallest part that holds every pixel for which `is` holds; `None` if there is none.
pub fn bounds<T>(image: &ArrayView2<'_, T>, is: impl Fn(&T) -> bool) -> Option<Part> {
    let lines = image.outer_iter().enumerate().filter_map(|(row, line)| {
        // Most rows hold nothing, and this loop has no branch.
        if !line.iter().fold(false, |any, value| any | is(value)) {
            return None;
        }
        let (first, last) = (line.iter().position(&is)?, line.iter().rposition(&is)?);
        Some([row..row + 1, first..last + 1])
    });
    lines.reduce(|one, other| hull(&one, &other))
}

/// Number of pixels of an image or a line for which `is` holds.
#[expect(clippy::needless_pass_by_value, reason = "a view is a reference already")]
pub fn count<T, D: Dimension>(pixels: ArrayView<'_, T, D>, is: impl Fn(&T) -> bool) -> usize {
    /// Pixels whose number fits in a byte, in groups of sixteen: so many bytes are counted at once.
    const FEW: usize = 240;
    // A check for overflow at each pixel would prevent it.
    let of_few = |few: &[T]| usize::from(few.iter().fold(0_u8, |count, pixel| count.wrapping_add(u8::from(is(pixel)))));
    let of_line = |line: ArrayView1<'_, T>| match line.to_slice() {
        Some(line) => line.chunks(FEW).map(of_few).sum(),
        None => line.iter().filter(|pixel| is(pixel)).count(),
    };
    pixels.rows().into_iter().map(of_line).sum()
}

/// The smallest part that holds two others.
pub fn hull(one: &Part, other: &Part) -> Part {
    [0, 1].map(|axis| one[axis].start.min(other[axis].start)..one[axis].end.max(other[axis].end))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, arr2};

    use super::*;

    #[test]
    fn all_pixels_are_counted_in_whatever_order_they_are_stored() {
        let image = Array2::from_elem((3, 600), 7);
        assert_eq!(count(image.view(), |value| *value == 7), 1800);
        assert_eq!(count(image.t(), |value| *value == 7), 1800);
        assert_eq!(count(image.row(1), |value| *value == 8), 0);
    }

    #[test]
    fn the_bounds_hold_all_that_is_set_and_no_more() {
        let image = arr2(&[[0, 0, 0, 0], [0, 0, 7, 0], [0, 7, 0, 0], [0, 0, 0, 0]]);
        assert_eq!(bounds(&image.view(), |value| *value == 7), Some([1..3, 1..3]));
        assert_eq!(bounds(&image.view(), |value| *value == 8), None);
    }
}
