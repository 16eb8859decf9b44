//! Closing outlines and filling holes on one slice.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis, AxisDescription, Slice};

use super::disjoint::DisjointSets;
use super::runs::{Run, connected_runs, set, stretches};
use crate::engine::volume::part::bounds;

/// A part of an image, for `slice_each_axis`.
pub(super) fn part(rows: Range<usize>, columns: Range<usize>) -> impl FnMut(AxisDescription) -> Slice {
    move |axis| Slice::from(if axis.axis == Axis(0) { rows.clone() } else { columns.clone() })
}

/// A disc around a pixel, its radius in pixels.
pub(super) fn disc(radius: usize) -> Vec<(isize, usize)> {
    let reach = radius as isize;
    // Per row of the disc: its offset and half width.
    (-reach..=reach)
        .map(|row| (row, (((radius * radius) as f64 + 0.25 - (row * row) as f64).max(0.0)).sqrt().floor() as usize))
        .collect()
}

/// Closing (dilation, then erosion) of a mask with a disc, then filling of holes: pixels from which no path leads to
/// the edge of the image. Holes of more than `greatest` pixels are not filled but returned. The mask never shrinks.
pub(super) fn close_and_fill(mask: &mut Array2<bool>, radius: usize, greatest: usize) -> Vec<Vec<Run>> {
    let Some([of_rows, of_columns]) = bounds(&mask.view(), |inside| *inside) else { return Vec::new() };
    let (top, left) = (of_rows.start, of_columns.start);
    // A frame as wide as the disc and one pixel more lets the dilated mask grow and the outside flow around it.
    let frame = radius + 1;
    let mut work = Array2::from_elem((of_rows.len() + 2 * frame, of_columns.len() + 2 * frame), false);
    let (rows, columns) = (frame..frame + of_rows.len(), frame..frame + of_columns.len());
    let mut within = mask.slice_each_axis_mut(part(of_rows, of_columns));
    work.slice_each_axis_mut(part(rows.clone(), columns.clone())).assign(&within);
    if radius > 0 {
        let closed = eroded(&dilate(&work.view(), &disc(radius)).view(), radius);
        work.zip_mut_with(&closed, |inside, closed| *inside |= *closed);
    }
    let great = fill(&mut work, greatest);
    within.assign(&work.slice_each_axis(part(rows, columns)));
    let on_mask = |run: Run| Run {
        row: run.row + top - frame,
        columns: run.columns.start + left - frame..run.columns.end + left - frame,
        ..run
    };
    great.into_iter().map(|hole| hole.into_iter().map(on_mask).collect()).collect()
}

/// Fills the holes of a mask whose outermost pixels are not set; those of more than `greatest` pixels are returned.
fn fill(mask: &mut Array2<bool>, greatest: usize) -> Vec<Vec<Run>> {
    let mut sets = DisjointSets::default();
    let is_hole = |row: usize, line: &mut [u8]| set(line, &mask.row(row), |inside| !inside);
    let runs = connected_runs(mask.dim(), is_hole, &mut sets);
    let roots: Vec<usize> = runs.iter().map(|run| sets.root(run.number)).collect();
    let sizes = sets.sums(runs.iter().map(|run| (run.number, run.columns.len())));
    // The first run is part of the frame.
    let Some(outside) = roots.first().copied() else { return Vec::new() };
    let mut great: BTreeMap<usize, Vec<Run>> = BTreeMap::new();
    for (run, root) in runs.into_iter().zip(roots).filter(|(_, root)| *root != outside) {
        if sizes[root] > greatest {
            great.entry(root).or_default().push(run);
        } else {
            mask.row_mut(run.row).slice_axis_mut(Axis(0), Slice::from(run.columns)).fill(true);
        }
    }
    great.into_values().collect()
}

/// The mask without its rim: pixels all of whose disc lies inside. The mask counts as continued beyond the image.
pub(super) fn eroded(mask: &ArrayView2<'_, bool>, radius: usize) -> Array2<bool> {
    // Eroding is dilating what lies outside.
    let outside = mask.mapv(|inside| !inside);
    dilate(&outside.view(), &disc(radius)).mapv(|outside| !outside)
}

/// Every pixel within the disc of a set one. Rows are dilated as runs, so the cost grows with the disc's height, not
/// its area.
fn dilate(mask: &ArrayView2<'_, bool>, disc: &[(isize, usize)]) -> Array2<bool> {
    let (rows, columns) = mask.dim();
    let mut dilated = Array2::from_elem((rows, columns), false);
    let pixels = dilated.as_slice_mut().expect("a new array is contiguous");
    let mut line = vec![0; columns];
    for (row, inside) in mask.outer_iter().enumerate() {
        set(&mut line, &inside, |inside| *inside);
        for stretch in stretches(&line) {
            for (offset, half) in disc {
                let Some(target) = row.checked_add_signed(*offset).filter(|target| *target < rows) else { continue };
                let (first, end) = (stretch.start.saturating_sub(*half), (stretch.end + half).min(columns));
                pixels[target * columns + first..target * columns + end].fill(true);
            }
        }
    }
    dilated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_great_hole_is_returned_and_not_filled() {
        // A ring with a vessel of 4 pixels in it, around a hole of 36 pixels.
        let mut mask = Array2::from_shape_fn((20, 20), |(row, column)| {
            let within = |low: usize, high: usize| (low..high).contains(&row) && (low..high).contains(&column);
            within(3, 17) && !within(7, 13) && !((4..6).contains(&row) && (8..10).contains(&column))
        });
        let great = close_and_fill(&mut mask, 0, 10);
        assert!(mask[(4, 8)] && !mask[(10, 10)]);
        let pixels: Vec<_> = great.iter().flatten().flat_map(Run::pixels).collect();
        assert_eq!((great.len(), pixels.len(), pixels[0]), (1, 36, (7, 7)));
        assert!(close_and_fill(&mut mask, 0, 36).is_empty() && mask[(10, 10)]);
    }

    #[test]
    fn a_hole_is_filled_and_a_narrow_bay_closed() {
        let mut mask = Array2::from_elem((20, 20), false);
        for row in 4..16 {
            for column in 4..16 {
                let hole = (7..9).contains(&row) && (6..8).contains(&column);
                let bay = row == 11 && column >= 10;
                mask[(row, column)] = !hole && !bay;
            }
        }
        close_and_fill(&mut mask, 2, usize::MAX);
        assert!(mask[(7, 6)] && mask[(8, 7)], "hole");
        assert!(mask[(11, 11)], "bay");
        assert!(!mask[(3, 8)] && !mask[(16, 8)] && !mask[(8, 3)] && !mask[(8, 16)], "nothing grows outwards");
    }

    #[test]
    fn a_wide_bay_stays_open_and_a_mask_at_the_edge_keeps_its_size() {
        let mut mask = Array2::from_elem((30, 30), true);
        for row in 10..20 {
            for column in 10..30 {
                mask[(row, column)] = false;
            }
        }
        let before = mask.clone();
        close_and_fill(&mut mask, 2, usize::MAX);
        let grown = mask.iter().zip(&before).filter(|(after, before)| after != before).count();
        assert!(grown <= 8, "only the corners of the bay: {grown}");
    }

    #[test]
    fn a_disc_is_round() {
        assert_eq!(disc(2), vec![(-2, 0), (-1, 1), (0, 2), (1, 1), (2, 0)]);
        assert_eq!(disc(0), vec![(0, 0)]);
    }
}
