//! Images as runs of pixels along rows, and which of them are connected.

use std::ops::Range;

use memchr::memchr;
use ndarray::{ArrayView1, ArrayViewMut1};

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

/// The stretches of a line whose pixels are set: 1, and 0 elsewhere.
pub(super) fn stretches(line: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next + memchr(1, &line[next..])?;
        next = memchr(0, &line[start..]).map_or(line.len(), |length| start + length);
        Some(start..next)
    })
}

/// Sets the pixels of a line where `is` holds for the value.
pub(super) fn set<T>(line: &mut [u8], values: &ArrayView1<'_, T>, is: impl Fn(&T) -> bool) {
    ArrayViewMut1::from(line).zip_mut_with(values, |set, value| *set = u8::from(is(value)));
}

/// The runs of an image of rows and columns, row by row, each with a number of its own; runs that share a side of a pixel
/// are in one set. `set` sets the pixels of a row.
pub(super) fn connected_runs(
    (rows, columns): (usize, usize),
    set: impl Fn(usize, &mut [u8]),
    sets: &mut DisjointSets,
) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut line = vec![0; columns];
    let mut above = 0..0;
    for row in 0..rows {
        set(row, &mut line);
        let first = runs.len();
        for columns in stretches(&line) {
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
    use ndarray::arr2;

    use super::*;

    #[test]
    fn a_line_is_split_into_its_stretches() {
        let found: Vec<_> = stretches(&[1, 1, 0, 1, 0, 0, 1]).collect();
        assert_eq!(found, vec![0..2, 3..4, 6..7]);
        assert_eq!(stretches(&[0, 0]).count(), 0);
    }

    #[test]
    fn runs_that_touch_are_in_one_set_and_corners_do_not_touch() {
        let mut sets = DisjointSets::default();
        let image = arr2(&[[1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]);
        let is_set = |row: usize, line: &mut [u8]| set(line, &image.row(row), |value| *value == 1);
        let runs = connected_runs(image.dim(), is_set, &mut sets);
        let roots: Vec<usize> = runs.iter().map(|run| sets.root(run.number)).collect();
        assert_eq!(roots, vec![0, 0, 0, 3]);
    }
}
