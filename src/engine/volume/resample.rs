//! Resampling between grids: one axis at a time where their axes are parallel, point by point where they are not.

use std::ops::Range;

use ndarray::{Array1, ArrayView3, ArrayViewMut1, ArrayViewMut2, Axis, Slice};

use super::geometry::{Geometry, dot};
use super::part::Part;

/// Largest deviation of an axis that still counts as parallel: 0.1 degrees move a voxel 200 mm away by 0.35 mm.
const PARALLEL_COSINE: f64 = 0.999_998_5;

/// How indices along one axis of a target grid run along one axis of a source grid:
/// source index = `offset` + `scale` x target index.
#[derive(Debug, Clone, Copy, PartialEq)]
struct AxisMap {
    /// Axis of the target: 0 columns, 1 rows, 2 slices.
    target: usize,
    offset: f64,
    scale: f64,
}

/// What lies beyond the ends of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// A constant: weights may sum to less than one.
    Constant,
    /// The nearest sample.
    Nearest,
    /// The nearest sample within half a cell of the first and the last sample, nothing further out.
    Cell,
}

/// The samples of one axis that make up each target sample. Every target sample has the same number of weights, stored
/// one after the other; those beyond its reach are zero.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Taps {
    /// Index of the first source sample, one per target sample.
    first: Vec<usize>,
    width: usize,
    weights: Vec<f32>,
    /// Sum of the weights, one per target sample.
    totals: Vec<f32>,
}

impl Taps {
    /// The mean over a box as wide as the larger of the two sample distances. A finer source is thereby averaged over
    /// the target's cell; a coarser one is interpolated linearly, because the overlap of a box of the source's own
    /// width with two neighbouring cells is the linear weight of each.
    fn new(map: AxisMap, source: usize, target: usize, edge: Edge) -> Self {
        let half = map.scale.abs().max(1.0) / 2.0;
        // A box of this width touches at most this many cells.
        let width = ((2.0 * half).ceil() as usize + 1).min(source);
        let mut taps = Self { first: Vec::new(), width, weights: Vec::new(), totals: Vec::new() };
        for index in 0..target {
            taps.push(held(map.offset + map.scale * index as f64, source, edge), half, source, edge);
        }
        taps
    }

    fn push(&mut self, centre: f64, half: f64, source: usize, edge: Edge) {
        let (low, high) = (centre - half, centre + half);
        // The cast takes what lies below the first sample to 0.
        let first = ((low + 0.5).floor() as usize).min(source - self.width);
        let overlap = |index: usize| {
            let index = index as f64;
            if centre.is_nan() {
                return 0.0;
            }
            ((high.min(index + 0.5) - low.max(index - 0.5)) / (2.0 * half)).max(0.0)
        };
        let weights: Vec<f64> = (first..first + self.width).map(overlap).collect();
        let sum: f64 = weights.iter().sum();
        let scale = if edge != Edge::Constant && sum > 0.0 { 1.0 / sum } else { 1.0 };
        self.first.push(first);
        self.weights.extend(weights.iter().map(|weight| (weight * scale) as f32));
        self.totals.push((sum * scale) as f32);
    }

    /// Source indices and weights of a target sample.
    fn of(&self, index: usize) -> impl Iterator<Item = (usize, f32)> {
        let weights = &self.weights[index * self.width..(index + 1) * self.width];
        weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight != 0.0)
            .map(move |(i, weight)| (self.first[index] + i, *weight))
    }

    /// The source samples that a target sample takes something of.
    fn samples(&self, index: usize) -> Range<usize> {
        let mut samples = self.of(index).map(|(sample, _)| sample);
        let Some(first) = samples.next() else { return 0..0 };
        first..samples.last().unwrap_or(first) + 1
    }

    /// The target samples, as ranges of those that take something of the same source samples, with these.
    fn groups(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let mut groups: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        for index in 0..self.first.len() {
            let samples = self.samples(index);
            match groups.last_mut() {
                Some((range, of_range)) if *of_range == samples => range.end = index + 1,
                _ => groups.push((index..index + 1, samples)),
            }
        }
        groups
    }

    /// The source samples that the weights of some target samples lie at; `None` for no target sample.
    fn span(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let first = &self.first[range.clone()];
        Some(*first.iter().min()?..first.iter().max()? + self.width)
    }

    /// Applies the taps of some target samples along a line of source samples, which begins with a sample of the source.
    /// `covered` is the weight of the line itself.
    fn apply(
        &self,
        range: Range<usize>,
        (line, start): (&[f32], usize),
        covered: f32,
        outside: f32,
        target: ArrayViewMut1<'_, f32>,
    ) {
        let weights = self.weights[range.start * self.width..range.end * self.width].chunks_exact(self.width);
        let taps = self.first[range.clone()].iter().zip(weights).zip(&self.totals[range]);
        for (value, ((first, weights), total)) in target.into_iter().zip(taps) {
            let samples = &line[first - start..][..self.width];
            let sum = samples.iter().zip(weights).map(|(sample, weight)| sample * weight).sum();
            *value = completed(sum, covered * total, outside);
        }
    }
}

/// A source index, limited as the edge demands; NaN where there is no value.
fn held(index: f64, source: usize, edge: Edge) -> f64 {
    // Rounding must not leave a gap at the border of a cell.
    const ROUNDING: f64 = 1e-6;
    let last = source as f64 - 1.0;
    match edge {
        Edge::Constant => index,
        Edge::Cell if index < -0.5 - ROUNDING || index > last + 0.5 + ROUNDING => f64::NAN,
        Edge::Nearest | Edge::Cell => index.clamp(0.0, last),
    }
}

/// The two samples around a source index and their linear weights; beyond the ends, weights are zero.
fn linear(index: f64, source: usize, edge: Edge) -> [(usize, f32); 2] {
    let index = held(index, source, edge);
    let below = index.floor();
    let share = (index - below) as f32;
    [(below, 1.0 - share), (below + 1.0, share)].map(|(position, weight)| {
        if (0.0..source as f64).contains(&position) { (position as usize, weight) } else { (0, 0.0) }
    })
}

/// Edges in plane and across slices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edges {
    pub(super) in_plane: Edge,
    pub(super) slices: Edge,
}

/// The mapping between two grids at an angle: source indices (column, row, slice) are affine in target indices.
#[derive(Debug, Clone)]
pub(super) struct Oblique {
    /// Source indices of the target's first voxel.
    start: [f64; 3],
    /// Steps in source indices along target columns, rows, slices.
    steps: [[f64; 3]; 3],
    /// Samples in a target cell along its columns, rows, slices.
    samples: [usize; 3],
    edges: Edges,
}

impl Oblique {
    fn new(source: &Geometry, target: &Geometry, edges: Edges) -> Self {
        let start = source.to_voxel(target.origin);
        let steps = std::array::from_fn(|axis| {
            std::array::from_fn(|along| {
                dot(target.directions[axis], source.directions[along]) * target.spacing[axis] / source.spacing[along]
            })
        });
        let samples = std::array::from_fn(|axis| {
            let step: [f64; 3] = steps[axis];
            step.iter().fold(0.0_f64, |longest, part| longest.max(part.abs())).ceil().max(1.0) as usize
        });
        Self { start: [start.column, start.row, start.slice], steps, samples, edges }
    }

    /// A displacement in target indices as a displacement in source indices.
    fn along(&self, columns: f64, rows: f64, slices: f64) -> [f64; 3] {
        let [x, y, z] = self.steps;
        std::array::from_fn(|axis| columns * x[axis] + rows * y[axis] + slices * z[axis])
    }
}

/// The mapping from a source grid to a target grid, computed once.
#[derive(Debug, Clone)]
pub(super) enum Resampler {
    /// Axes are parallel.
    Separable {
        columns: Taps,
        rows: Taps,
        slices: Taps,
        /// True if source columns run along target rows.
        swapped: bool,
    },
    /// Axes are at an angle: every target voxel is the mean of trilinear samples spread over its cell.
    Oblique(Box<Oblique>),
}

impl Resampler {
    pub(super) fn new(source: &Geometry, target: &Geometry, edges: Edges) -> Self {
        let Some(maps) = parallel(source, target).filter(|maps| maps[2].target == 2) else {
            return Self::Oblique(Box::new(Oblique::new(source, target, edges)));
        };
        let along = |axis: usize, edge| Taps::new(maps[axis], source.size[axis], target.size[maps[axis].target], edge);
        Self::Separable {
            columns: along(0, edges.in_plane),
            rows: along(1, edges.in_plane),
            slices: along(2, edges.slices),
            swapped: maps[0].target == 1,
        }
    }

    /// Whether axes are parallel, so that places in plane are the same on every slice.
    pub(super) fn is_separable(&self) -> bool {
        matches!(self, Self::Separable { .. })
    }

    /// Divides a slice of the target, of a size in columns and rows, into parts whose voxels all take something of source
    /// samples of one value, with that value, and other parts, without one. What takes nothing of the source is left out.
    pub(super) fn uniform_parts<T: Copy + PartialEq>(
        &self,
        source: &ArrayView3<Option<T>>,
        slice: usize,
        [columns, rows]: [usize; 2],
    ) -> Vec<(Part, Option<T>)> {
        let Self::Separable { columns, rows, slices, swapped } = self else {
            return vec![([0..rows, 0..columns], None)];
        };
        let (of_columns, samples) = (columns.groups(), slices.samples(slice));
        let mut parts: Vec<(Part, Option<T>)> = Vec::new();
        for (rows, of_rows) in rows.groups() {
            let places = samples.clone().flat_map(|slice| of_rows.clone().map(move |row| (slice, row)));
            let lines = places.map(|(slice, row)| source.index_axis(Axis(0), slice).row(row).to_vec());
            let Some(line) = lines.reduce(|one, other| agreed(&one, &other)) else { continue };
            let first = parts.len();
            for (columns, of_columns) in of_columns.iter().filter(|(_, samples)| !samples.is_empty()) {
                let value = line[of_columns.start]
                    .filter(|value| line[of_columns.clone()].iter().all(|other| *other == Some(*value)));
                match parts[first..].last_mut() {
                    Some(([_, last], of_last)) if *of_last == value && last.end == columns.start => {
                        last.end = columns.end;
                    }
                    _ => parts.push(([rows.clone(), columns.clone()], value)),
                }
            }
        }
        if *swapped {
            for (part, _) in &mut parts {
                part.reverse();
            }
        }
        parts
    }

    /// Computes part of one slice of the target, `[row, column]`, from a source `[slice, row, column]`. `outside` is the
    /// value where the source has none.
    pub(super) fn part<T: Copy + Into<f32>>(
        &self,
        source: &ArrayView3<T>,
        slice: usize,
        part: &Part,
        outside: f32,
        target: ArrayViewMut2<f32>,
    ) {
        match self {
            Self::Separable { columns, rows, slices, swapped: false } => {
                separable(source, (slices, slice), [rows, columns], part, outside, target);
            }
            Self::Separable { columns, rows, slices, swapped: true } => {
                let part = &[part[1].clone(), part[0].clone()];
                separable(source, (slices, slice), [rows, columns], part, outside, target.reversed_axes());
            }
            Self::Oblique(mapping) => oblique(mapping, source, slice, part, outside, target),
        }
    }

    /// Computes one slice of the target as [`Self::part`].
    pub(super) fn slice<T: Copy + Into<f32>>(
        &self,
        source: &ArrayView3<T>,
        slice: usize,
        outside: f32,
        target: ArrayViewMut2<f32>,
    ) {
        let (rows, columns) = target.dim();
        self.part(source, slice, &[0..rows, 0..columns], outside, target);
    }
}

/// For each source axis, the target axis that runs along it; `None` if one is at an angle.
fn parallel(source: &Geometry, target: &Geometry) -> Option<[AxisMap; 3]> {
    let start = source.to_voxel(target.origin);
    let offsets = [start.column, start.row, start.slice];
    let mut maps = [AxisMap { target: 0, offset: 0.0, scale: 0.0 }; 3];
    for (axis, map) in maps.iter_mut().enumerate() {
        let cosine = |other: &usize| dot(source.directions[axis], target.directions[*other]);
        let along = (0..3).find(|other| cosine(other).abs() > PARALLEL_COSINE)?;
        let scale = cosine(&along).signum() * target.spacing[along] / source.spacing[axis];
        *map = AxisMap { target: along, offset: offsets[axis], scale };
    }
    Some(maps)
}

/// The values that two lines have in common.
fn agreed<T: Copy + PartialEq>(one: &[Option<T>], other: &[Option<T>]) -> Vec<Option<T>> {
    one.iter().zip(other).map(|(one, other)| one.filter(|_| one == other)).collect()
}

fn separable<T: Copy + Into<f32>>(
    source: &ArrayView3<T>,
    (slices, slice): (&Taps, usize),
    [rows, columns]: [&Taps; 2],
    [of_rows, of_columns]: &Part,
    outside: f32,
    mut target: ArrayViewMut2<f32>,
) {
    let Some(samples) = columns.span(of_columns) else { return };
    let mut sums = Array1::<f32>::zeros(samples.len());
    for (row, line) in of_rows.clone().zip(target.outer_iter_mut()) {
        sums.fill(0.0);
        for (slice, slice_weight) in slices.of(slice) {
            let image = source.index_axis(Axis(0), slice);
            for (row, row_weight) in rows.of(row) {
                let weight = slice_weight * row_weight;
                let values = image.row(row);
                let values = values.slice_axis(Axis(0), Slice::from(samples.clone()));
                sums.zip_mut_with(&values, |sum, value| *sum += weight * (*value).into());
            }
        }
        let covered = slices.totals[slice] * rows.totals[row];
        let sums = sums.as_slice().expect("a new array is contiguous");
        columns.apply(of_columns.clone(), (sums, samples.start), covered, outside, line);
    }
}

/// A weighted sum whose weights add up to `covered`, filled up to one with `outside`. Where only rounding is missing,
/// `outside` is not added, since it may be infinite.
fn completed(sum: f32, covered: f32, outside: f32) -> f32 {
    let missing = 1.0 - covered;
    if missing > 1e-5 { sum + missing * outside } else { sum }
}

fn oblique<T: Copy + Into<f32>>(
    mapping: &Oblique,
    source: &ArrayView3<T>,
    slice: usize,
    [rows, columns]: &Part,
    outside: f32,
    mut target: ArrayViewMut2<f32>,
) {
    let spread = |count: usize| (0..count).map(move |i| (i as f64 + 0.5) / count as f64 - 0.5);
    let mut offsets = Vec::new();
    for z in spread(mapping.samples[2]) {
        for y in spread(mapping.samples[1]) {
            offsets.extend(spread(mapping.samples[0]).map(|x| mapping.along(x, y, z)));
        }
    }
    let add = |a: [f64; 3], b: [f64; 3]| -> [f64; 3] { std::array::from_fn(|axis| a[axis] + b[axis]) };
    for ((row, column), pixel) in target.indexed_iter_mut() {
        let place = [column + columns.start, row + rows.start, slice].map(|index| index as f64);
        let centre = add(mapping.start, mapping.along(place[0], place[1], place[2]));
        let sum: f32 =
            offsets.iter().map(|offset| trilinear(source, add(centre, *offset), mapping.edges, outside)).sum();
        *pixel = sum / offsets.len() as f32;
    }
}

fn trilinear<T: Copy + Into<f32>>(source: &ArrayView3<T>, place: [f64; 3], edges: Edges, outside: f32) -> f32 {
    let (slices, rows, columns) = source.dim();
    let slices = linear(place[2], slices, edges.slices);
    let rows = linear(place[1], rows, edges.in_plane);
    let columns = linear(place[0], columns, edges.in_plane);
    let (mut sum, mut covered) = (0.0, 0.0);
    for (slice, slice_weight) in slices {
        for (row, row_weight) in rows {
            for (column, column_weight) in columns {
                let weight = slice_weight * row_weight * column_weight;
                sum += weight * source[(slice, row, column)].into();
                covered += weight;
            }
        }
    }
    completed(sum, covered, outside)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3};

    use super::super::VoxelPoint;
    use super::super::testing::{MIRRORED, PRONE, SUPINE, TURNED, geometry};
    use super::*;

    const EDGES: Edges = Edges { in_plane: Edge::Nearest, slices: Edge::Nearest };

    const EXACT: f64 = 1e-3;
    /// Cells are taken as constant when they are averaged, which moves a place by less than 0.03 mm here.
    const MEAN: f64 = 0.2;

    /// Weights of one target sample at a source index, for cells `scale` times as wide as the source's.
    fn weights(index: f64, scale: f64, edge: Edge) -> Vec<(usize, f32)> {
        let taps = Taps::new(AxisMap { target: 0, offset: index, scale }, 10, 1, edge);
        taps.of(0).collect()
    }

    #[test]
    fn finer_samples_are_averaged_by_their_share_of_the_cell() {
        assert_eq!(weights(1.0, 2.5, Edge::Constant), [(0, 0.3), (1, 0.4), (2, 0.3)]);
    }

    #[test]
    fn coarser_samples_are_interpolated_linearly() {
        assert_eq!(weights(3.25, 0.5, Edge::Constant), [(3, 0.75), (4, 0.25)]);
    }

    #[test]
    fn beyond_the_ends_each_edge_does_what_it_says() {
        assert_eq!(weights(-0.5, 0.5, Edge::Constant), [(0, 0.5)]);
        assert_eq!(weights(-3.0, 0.5, Edge::Constant), []);
        assert_eq!(weights(12.0, 0.5, Edge::Constant), []);
        assert_eq!(weights(-3.0, 0.5, Edge::Nearest), [(0, 1.0)]);
        assert_eq!(weights(9.0, 3.0, Edge::Nearest), [(8, 0.5), (9, 0.5)]);
        assert_eq!(weights(9.5, 0.5, Edge::Cell), [(9, 1.0)]);
        assert_eq!(weights(9.6, 0.5, Edge::Cell), []);
    }

    /// Resamples a linear function of the place and compares every target voxel with the function.
    fn keeps_a_plane(source: &Geometry, target: &Geometry, tolerance: f64) {
        let plane = |place: [f64; 3]| 3.0 * place[0] - 2.0 * place[1] + 5.0 * place[2];
        let [columns, rows, slices] = source.size;
        let voxels = Array3::from_shape_fn((slices, rows, columns), |(slice, row, column)| {
            let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
            plane(source.to_patient(point).0) as f32
        });
        let resampler = Resampler::new(source, target, EDGES);
        for slice in 0..target.size[2] {
            let mut image = Array2::zeros((target.size[1], target.size[0]));
            resampler.slice(&voxels.view(), slice, 0.0, image.view_mut());
            for ((row, column), value) in image.indexed_iter() {
                let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
                let expected = plane(target.to_patient(point).0);
                assert!((f64::from(*value) - expected).abs() < tolerance, "{value} instead of {expected} at {point:?}");
            }
        }
    }

    #[test]
    fn a_plane_stays_a_plane_in_every_orientation_finer_and_coarser() {
        let target = geometry([9, 7, 5], [2.1, 2.1, 2.5], SUPINE);
        for orientation in [SUPINE, PRONE, TURNED, MIRRORED] {
            keeps_a_plane(&geometry([60, 70, 40], [0.7, 0.6, 0.8], orientation), &target, MEAN);
            keeps_a_plane(&geometry([12, 13, 9], [4.0, 4.0, 5.0], orientation), &target, EXACT);
        }
    }

    #[test]
    fn a_plane_stays_a_plane_between_grids_at_an_angle() {
        let (sine, cosine) = 10_f64.to_radians().sin_cos();
        let leaning = geometry([60, 70, 60], [0.7, 0.6, 0.8], [[1.0, 0.0, 0.0], [0.0, cosine, sine]]);
        let upright = geometry([9, 7, 5], [2.1, 2.1, 2.5], SUPINE);
        assert!(matches!(Resampler::new(&leaning, &upright, EDGES), Resampler::Oblique(_)));
        keeps_a_plane(&leaning, &upright, EXACT);
    }
}
