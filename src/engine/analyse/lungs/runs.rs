//! Images as runs of pixels along rows, and which of them are connected.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2};

use super::disjoint::DisjointSets;

/// Neighbouring pixels of a row that fulfil the same condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) row: usize,
    pub(super) columns: Range<usize>,
    /// The run's number in the disjoint sets of connected runs.
    pub(super) number: usize,
}

impl Run {
    /// True if both runs have a column in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.columns.start < other.columns.end && other.columns.start < self.columns.end
    }

    /// Row and column of each pixel.
    pub(super) fn pixels(&self) -> impl Iterator<Item = (usize, usize)> {
        let row = self.row;
        self.columns.clone().map(move |column| (row, column))
    }
}

/// The stretches of a row where `is` holds for column and value.
pub(super) fn stretches<'a, T: Copy>(
    row: ArrayView1<'a, T>,
    is: impl Fn(usize, T) -> bool + 'a,
) -> impl Iterator<Item = Range<usize>> + 'a {
    let row = row.to_slice().map_or_else(|| Cow::Owned(row.to_vec()), Cow::Borrowed);
    let mut next = 0;
    std::iter::from_fn(move || {
        while next < row.len() && !is(next, row[next]) {
            next += 1;
        }
        let start = next;
        while next < row.len() && is(next, row[next]) {
            next += 1;
        }
        (start < next).then_some(start..next)
    })
}

/// The runs of an image where `is` holds for pixel and value, row by row, each with a number of its own; runs that share
/// a side of a pixel are in one set.
pub(super) fn connected_runs<T: Copy>(
    image: &ArrayView2<'_, T>,
    is: impl Fn((usize, usize), T) -> bool,
    sets: &mut DisjointSets,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut above = 0..0;
    for (row, line) in image.outer_iter().enumerate() {
        let first = runs.len();
        for columns in stretches(line, |column, value| is((row, column), value)) {
            let run = Run { row, columns, number: sets.add() };
            // What ends before this run ends before all further ones of its row.
            while above.start < above.end && runs[above.start].columns.end <= run.columns.start {
                above.start += 1;
            }
            for other in runs[above.clone()].iter().take_while(|other| other.columns.start < run.columns.end) {
                sets.join(other.number, run.number);
            }
            runs.push(run);
        }
        above = first..runs.len();
    }
    runs
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;

    #[test]
    fn a_row_is_split_into_its_stretches() {
        let found: Vec<_> = stretches(arr1(&[1, 1, 0, 1, 0, 0, 1]).view(), |_, value| value == 1).collect();
        assert_eq!(found, vec![0..2, 3..4, 6..7]);
        assert_eq!(stretches(arr1(&[0, 0]).view(), |_, value| value == 1).count(), 0);
    }

    #[test]
    fn runs_that_touch_are_in_one_set_and_corners_do_not_touch() {
        let mut sets = DisjointSets::default();
        let image = arr2(&[[1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]);
        let runs = connected_runs(&image.view(), |_, value| value == 1, &mut sets);
        let roots: Vec<usize> = runs.iter().map(|run| sets.root(run.number)).collect();
        assert_eq!(roots, vec![0, 0, 0, 3]);
    }
}
