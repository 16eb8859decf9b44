//! Connected pieces and holes of masks.

use ndarray::{Array2, Array3, ArrayView2};

/// Labels the pieces of a mask that are connected by faces: 0 background, then 1, 2, ... in the order of their first
/// voxel.
pub fn label(mask: &Array3<bool>) -> Array3<u32> {
    let (slices, rows, columns) = mask.dim();
    let mut labels = Array3::<u32>::zeros(mask.dim());
    let mut open = Vec::new();
    let mut next = 0;
    for (start, set) in mask.indexed_iter() {
        if !set || labels[start] != 0 {
            continue;
        }
        next += 1;
        labels[start] = next;
        open.push(start);
        while let Some((slice, row, column)) = open.pop() {
            let near = [
                (slice.wrapping_sub(1), row, column),
                (slice + 1, row, column),
                (slice, row.wrapping_sub(1), column),
                (slice, row + 1, column),
                (slice, row, column.wrapping_sub(1)),
                (slice, row, column + 1),
            ];
            for place in near {
                let inside = place.0 < slices && place.1 < rows && place.2 < columns;
                if inside && mask[place] && labels[place] == 0 {
                    labels[place] = next;
                    open.push(place);
                }
            }
        }
    }
    labels
}

/// Number of voxels of each label, background included.
pub fn sizes(labels: &Array3<u32>) -> Vec<usize> {
    let mut sizes = vec![0; labels.iter().max().map_or(0, |last| *last as usize + 1)];
    for label in labels {
        sizes[*label as usize] += 1;
    }
    sizes
}

/// The largest piece; `None` if there is none.
pub fn largest(labels: &Array3<u32>) -> Option<Array3<bool>> {
    let sizes = sizes(labels);
    let (largest, _) = sizes.iter().enumerate().skip(1).rev().max_by_key(|(_, size)| **size)?;
    Some(labels.mapv(|label| label as usize == largest))
}

/// A picture with its holes filled: background that is not connected to the border.
#[expect(clippy::needless_pass_by_value, reason = "a view is a reference already")]
pub fn filled(picture: ArrayView2<bool>) -> Array2<bool> {
    let (rows, columns) = picture.dim();
    let mut outside = Array2::from_elem((rows, columns), false);
    let mut open: Vec<(usize, usize)> = Vec::new();
    for row in 0..rows {
        for column in 0..columns {
            let at_border = row == 0 || column == 0 || row + 1 == rows || column + 1 == columns;
            if at_border && !picture[(row, column)] {
                outside[(row, column)] = true;
                open.push((row, column));
            }
        }
    }
    while let Some((row, column)) = open.pop() {
        let near = [(row.wrapping_sub(1), column), (row + 1, column), (row, column.wrapping_sub(1)), (row, column + 1)];
        for place in near {
            if picture.get(place) == Some(&false) && !outside[place] {
                outside[place] = true;
                open.push(place);
            }
        }
    }
    outside.mapv(|is_outside| !is_outside)
}
