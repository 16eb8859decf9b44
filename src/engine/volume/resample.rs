//! Resampling between grids whose axes run along each other, one axis at a time; and point by point where they do not.

use ndarray::{Array1, ArrayView3, ArrayViewMut2, Axis, Slice};

use super::geometry::{Geometry, VoxelPoint, dot};

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

/// The samples of one axis that make up one target sample: `weights[i]` belongs to source index `first + i`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tap {
    first: usize,
    weights: Vec<f32>,
}

/// Taps for each target index along one axis: the mean over a box as wide as the larger of the two sample distances.
/// A finer source is thereby averaged over the target's cell; a coarser one is interpolated linearly, because the
/// overlap of a box of the source's own width with two neighbouring cells is the linear weight of each.
fn taps(map: AxisMap, source: usize, target: usize, edge: Edge) -> Vec<Tap> {
    let half = map.scale.abs().max(1.0) / 2.0;
    (0..target).map(|index| tap(map.offset + map.scale * index as f64, half, source, edge)).collect()
}

fn tap(centre: f64, half: f64, source: usize, edge: Edge) -> Tap {
    let centre = held(centre, source, edge);
    let (low, high) = (centre - half, centre + half);
    let first = (low + 0.5).floor().max(0.0);
    let end = (high + 0.5).ceil().min(source as f64);
    if centre.is_nan() || first >= end {
        return Tap { first: 0, weights: Vec::new() };
    }
    let overlap = |index: f64| ((high.min(index + 0.5) - low.max(index - 0.5)) / (2.0 * half)).max(0.0);
    let mut weights: Vec<f64> = (first as usize..end as usize).map(|index| overlap(index as f64)).collect();
    if edge != Edge::Constant {
        let sum: f64 = weights.iter().sum();
        for weight in &mut weights {
            *weight /= sum;
        }
    }
    Tap { first: first as usize, weights: weights.into_iter().map(|weight| weight as f32).collect() }
}

/// A source index kept where the edge wants it; NaN where there is nothing.
fn held(index: f64, source: usize, edge: Edge) -> f64 {
    // Rounding must not open a hairline beside a cell.
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

impl Tap {
    fn indexed(&self) -> impl Iterator<Item = (usize, f32)> {
        self.weights.iter().enumerate().map(|(index, weight)| (self.first + index, *weight))
    }

    fn total(&self) -> f32 {
        self.weights.iter().sum()
    }
}

/// Edges in plane and across slices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edges {
    pub(super) in_plane: Edge,
    pub(super) slices: Edge,
}

/// A way between two grids at an angle.
#[derive(Debug, Clone)]
pub(super) struct Oblique {
    from: Geometry,
    to: Geometry,
    /// Samples in a target cell along its columns, rows, slices.
    samples: [usize; 3],
    edges: Edges,
}

/// A way from a source grid to a target grid, worked out once.
#[derive(Debug, Clone)]
pub(super) enum Resampler {
    /// Axes run along each other.
    Separable {
        columns: Vec<Tap>,
        rows: Vec<Tap>,
        slices: Vec<Tap>,
        /// True if source columns run along target rows.
        swapped: bool,
    },
    /// Axes are at an angle: every target voxel is the mean of trilinear samples spread over its cell.
    Oblique(Box<Oblique>),
}

impl Resampler {
    pub(super) fn new(source: &Geometry, target: &Geometry, edges: Edges) -> Self {
        let Some(maps) = parallel(source, target).filter(|maps| maps[2].target == 2) else {
            let samples = std::array::from_fn(|axis| {
                (target.spacing[axis] / source.spacing[nearest_axis(source, target.directions[axis])]).ceil() as usize
            });
            return Self::Oblique(Box::new(Oblique { from: source.clone(), to: target.clone(), samples, edges }));
        };
        let along = |axis: usize, edge| taps(maps[axis], source.size[axis], target.size[maps[axis].target], edge);
        Self::Separable {
            columns: along(0, edges.in_plane),
            rows: along(1, edges.in_plane),
            slices: along(2, edges.slices),
            swapped: maps[0].target == 1,
        }
    }

    /// Computes one slice of the target, `[row, column]`, from a source `[slice, row, column]`. `outside` stands where
    /// the source has nothing.
    pub(super) fn slice<T: Copy + Into<f32>>(
        &self,
        source: &ArrayView3<T>,
        slice: usize,
        outside: f32,
        target: ArrayViewMut2<f32>,
    ) {
        match self {
            Self::Separable { columns, rows, slices, swapped } => {
                let target = if *swapped { target.reversed_axes() } else { target };
                separable(source, &slices[slice], rows, columns, outside, target);
            }
            Self::Oblique(way) => oblique(way, source, slice, outside, target),
        }
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

fn nearest_axis(geometry: &Geometry, direction: [f64; 3]) -> usize {
    let cosine = |axis: &usize| dot(geometry.directions[*axis], direction).abs();
    (0..3).max_by(|a, b| cosine(a).total_cmp(&cosine(b))).unwrap_or(0)
}

fn separable<T: Copy + Into<f32>>(
    source: &ArrayView3<T>,
    slice: &Tap,
    rows: &[Tap],
    columns: &[Tap],
    outside: f32,
    mut target: ArrayViewMut2<f32>,
) {
    let first = columns.iter().filter(|tap| !tap.weights.is_empty()).map(|tap| tap.first).min().unwrap_or(0);
    let end = columns.iter().map(|tap| tap.first + tap.weights.len()).max().unwrap_or(0).max(first);
    let mut sums = Array1::<f32>::zeros(end - first);
    for (row, mut line) in rows.iter().zip(target.outer_iter_mut()) {
        sums.fill(0.0);
        for (slice, slice_weight) in slice.indexed() {
            let image = source.index_axis(Axis(0), slice);
            for (row, row_weight) in row.indexed() {
                let weight = slice_weight * row_weight;
                let pixels = image.row(row);
                let pixels = pixels.slice_axis(Axis(0), Slice::from(first..end));
                sums.zip_mut_with(&pixels, |sum, value| *sum += weight * (*value).into());
            }
        }
        let covered = slice.total() * row.total();
        for (column, pixel) in columns.iter().zip(line.iter_mut()) {
            let sum: f32 = column.indexed().map(|(index, weight)| weight * sums[index - first]).sum();
            *pixel = completed(sum, covered * column.total(), outside);
        }
    }
}

/// A weighted sum whose weights add up to `covered`, filled up to one with `outside`. Where nothing but rounding is
/// missing, `outside` takes no part: it may be anything, infinite too.
fn completed(sum: f32, covered: f32, outside: f32) -> f32 {
    let missing = 1.0 - covered;
    if missing > 1e-5 { sum + missing * outside } else { sum }
}

fn oblique<T: Copy + Into<f32>>(
    way: &Oblique,
    source: &ArrayView3<T>,
    slice: usize,
    outside: f32,
    mut target: ArrayViewMut2<f32>,
) {
    // Offsets of the samples within a target cell, in target index units.
    let spread = |count: usize| (0..count).map(move |i| (i as f64 + 0.5) / count as f64 - 0.5);
    let mut offsets = Vec::new();
    for z in spread(way.samples[2]) {
        for y in spread(way.samples[1]) {
            offsets.extend(spread(way.samples[0]).map(|x| [x, y, z]));
        }
    }
    for ((row, column), pixel) in target.indexed_iter_mut() {
        let mut sum = 0.0;
        for [x, y, z] in &offsets {
            let point = VoxelPoint { column: column as f64 + x, row: row as f64 + y, slice: slice as f64 + z };
            let place = way.from.to_voxel(way.to.to_patient(point));
            sum += trilinear(source, place, way.edges, outside);
        }
        *pixel = sum / offsets.len() as f32;
    }
}

fn trilinear<T: Copy + Into<f32>>(source: &ArrayView3<T>, place: VoxelPoint, edges: Edges, outside: f32) -> f32 {
    let (slices, rows, columns) = source.dim();
    let slices = linear(place.slice, slices, edges.slices);
    let rows = linear(place.row, rows, edges.in_plane);
    let columns = linear(place.column, columns, edges.in_plane);
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

    use super::super::testing::{MIRRORED, PRONE, SUPINE, TURNED, geometry};
    use super::*;

    const EDGES: Edges = Edges { in_plane: Edge::Nearest, slices: Edge::Nearest };

    const EXACT: f64 = 1e-3;
    /// Cells are taken as constant when they are averaged, which moves a place by less than 0.03 mm here.
    const MEAN: f64 = 0.2;

    fn weights(tap: &Tap) -> Vec<(usize, f32)> {
        tap.indexed().filter(|(_, weight)| *weight > 1e-6).collect()
    }

    #[test]
    fn finer_samples_are_averaged_by_their_share_of_the_cell() {
        let tap = tap(1.0, 1.25, 10, Edge::Constant);
        assert_eq!(weights(&tap), [(0, 0.3), (1, 0.4), (2, 0.3)]);
    }

    #[test]
    fn coarser_samples_are_interpolated_linearly() {
        assert_eq!(weights(&tap(3.25, 0.5, 10, Edge::Constant)), [(3, 0.75), (4, 0.25)]);
    }

    #[test]
    fn beyond_the_ends_each_edge_does_what_it_says() {
        assert_eq!(weights(&tap(-0.5, 0.5, 10, Edge::Constant)), [(0, 0.5)]);
        assert_eq!(weights(&tap(-3.0, 0.5, 10, Edge::Constant)), []);
        assert_eq!(weights(&tap(-3.0, 0.5, 10, Edge::Nearest)), [(0, 1.0)]);
        assert_eq!(weights(&tap(9.5, 0.5, 10, Edge::Cell)), [(9, 1.0)]);
        assert_eq!(weights(&tap(9.6, 0.5, 10, Edge::Cell)), []);
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
