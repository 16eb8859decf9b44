//! Parts of images.

use std::ops::Range;

use ndarray::ArrayView2;

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

/// Number of pixels of an image or a line for which `is` holds. The sum is not checked for overflow, pixel by pixel, so
/// that many are counted at once.
pub fn count<'a, T: 'a>(pixels: impl IntoIterator<Item = &'a T>, is: impl Fn(&T) -> bool) -> usize {
    pixels.into_iter().fold(0_usize, |count, pixel| count.wrapping_add(usize::from(is(pixel))))
}

/// The smallest part that holds two others.
pub fn hull(one: &Part, other: &Part) -> Part {
    [0, 1].map(|axis| one[axis].start.min(other[axis].start)..one[axis].end.max(other[axis].end))
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn the_bounds_hold_all_that_is_set_and_no_more() {
        let image = arr2(&[[0, 0, 0, 0], [0, 0, 7, 0], [0, 7, 0, 0], [0, 0, 0, 0]]);
        assert_eq!(bounds(&image.view(), |value| *value == 7), Some([1..3, 1..3]));
        assert_eq!(bounds(&image.view(), |value| *value == 8), None);
    }
}
