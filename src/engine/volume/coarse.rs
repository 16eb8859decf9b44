//! Every n-th voxel of a grid, for what needs no detail.

use ndarray::{Array3, ArrayView3, Slice};

use super::geometry::Geometry;

/// A grid of some of the voxels of another one.
///
/// It begins at the end of each axis that lies nearest to the right, the front or the feet of the patient, so that it has
/// the same voxels in whatever order they are stored.
#[derive(Debug, Clone)]
pub struct CoarseGrid {
    /// Where its points lie in the patient.
    pub geometry: Geometry,
    /// Columns, rows, slices from one point to the next.
    strides: [usize; 3],
    /// Column, row, slice of the first point.
    first: [usize; 3],
}

impl CoarseGrid {
    /// Points of a grid about so many millimetres apart.
    pub fn of(grid: &Geometry, millimetres: f64) -> Self {
        let strides = grid.spacing.map(|spacing| (millimetres / spacing).round().max(1.0) as usize);
        let first: [usize; 3] = std::array::from_fn(|axis| {
            if grows(&grid.directions[axis]) { 0 } else { grid.size[axis].saturating_sub(1) % strides[axis] }
        });
        let geometry = Geometry {
            size: std::array::from_fn(|axis| (grid.size[axis] - first[axis]).div_ceil(strides[axis])),
            spacing: std::array::from_fn(|axis| grid.spacing[axis] * strides[axis] as f64),
            directions: grid.directions,
            origin: grid.to_patient(first.into()),
        };
        Self { geometry, strides, first }
    }

    /// Its voxels of a volume or a mask on the other grid, `[slice, row, column]`.
    pub fn of_voxels<'voxels, T>(&self, voxels: &'voxels Array3<T>) -> ArrayView3<'voxels, T> {
        voxels.slice_each_axis(|axis| {
            let along = 2 - axis.axis.index();
            Slice::new(self.first[along] as isize, None, self.strides[along] as isize)
        })
    }
}

/// True if an axis runs to the left, the back or the head of the patient, whichever it runs to most.
fn grows(direction: &[f64; 3]) -> bool {
    direction.iter().copied().max_by(|one, other| one.abs().total_cmp(&other.abs())).is_none_or(|most| most > 0.0)
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::engine::volume::VoxelPoint;
    use crate::engine::volume::testing::{MIRRORED, PRONE, SUPINE, TURNED, geometry};

    /// The places of the voxels of a coarse grid, in the order of the patient's axes.
    fn places(orientation: [[f64; 3]; 2], size: [usize; 3]) -> Vec<[i64; 3]> {
        let grid = geometry(size, [1.0, 1.0, 2.0], orientation);
        let coarse = CoarseGrid::of(&grid, 4.0);
        let indices = Array3::from_shape_fn((size[2], size[1], size[0]), |(slice, row, column)| [column, row, slice]);
        let tenths = |place: [f64; 3]| place.map(|part| (part * 10.0).round() as i64);
        let chosen = coarse.of_voxels(&indices);
        let mut places: Vec<[i64; 3]> = chosen.iter().map(|index| tenths(grid.to_patient((*index).into()).0)).collect();
        let ((slice, row, column), index) = chosen.indexed_iter().nth(20).expect("a voxel");
        let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
        assert_eq!(tenths(coarse.geometry.to_patient(point).0), tenths(grid.to_patient((*index).into()).0));
        assert_eq!(coarse.geometry.size, [chosen.dim().2, chosen.dim().1, chosen.dim().0]);
        places.sort_unstable();
        places
    }

    #[test]
    fn the_same_voxels_are_chosen_in_whatever_order_they_are_stored() {
        let expected = places(SUPINE, [23, 18, 9]);
        assert_eq!(expected.len(), 6 * 5 * 5);
        for orientation in [PRONE, MIRRORED] {
            assert_eq!(places(orientation, [23, 18, 9]), expected);
        }
        assert_eq!(places(TURNED, [18, 23, 9]), expected);
    }
}
