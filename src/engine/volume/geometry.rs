//! Where voxels lie in the patient: geometry without voxels.
//!
//! Two frames of reference are distinguished by type. [`PatientPoint`] is in millimetres in the patient coordinate
//! system of [PS3.3 C.7.6.2.1.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.2.html): x
//! towards the patient's left, y towards the back, z towards the head (LPS). [`VoxelPoint`] is a continuous index into
//! a volume's own grid, zero at the centre of the first voxel.

use serde::{Deserialize, Serialize};

/// A point in the patient coordinate system: millimetres towards left, posterior, superior.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PatientPoint(pub [f64; 3]);

/// A continuous position on a volume's grid; whole numbers are voxel centres, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VoxelPoint {
    /// Along a row of pixels, from the first column.
    pub column: f64,
    /// Along a column of pixels, from the first row.
    pub row: f64,
    /// Along the stack, from the first slice of the volume.
    pub slice: f64,
}

/// The centre of a voxel given by column, row, slice.
impl From<[usize; 3]> for VoxelPoint {
    fn from(index: [usize; 3]) -> Self {
        let [column, row, slice] = index.map(|index| index as f64);
        Self { column, row, slice }
    }
}

/// The grid of a volume in the patient: size, spacing, orientation, origin. Slices are equally spaced and
/// perpendicular to the image plane; the volume is stored `[slice, row, column]`.
///
/// ```
/// use pe_node::engine::volume::{Geometry, PatientPoint, VoxelPoint};
///
/// let geometry = Geometry {
///     size: [512, 512, 300],
///     spacing: [0.75, 0.75, 1.0],
///     directions: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
///     origin: PatientPoint([-192.0, -192.0, -150.0]),
/// };
/// let middle = geometry.to_patient(VoxelPoint { column: 256.0, row: 256.0, slice: 150.0 });
/// assert_eq!(middle, PatientPoint([0.0, 0.0, 0.0]));
/// assert_eq!(geometry.to_voxel(middle).slice, 150.0);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// Number of voxels: columns, rows, slices.
    pub size: [usize; 3],
    /// Distance of voxel centres in millimetres: between columns, rows, slices. All positive.
    pub spacing: [f64; 3],
    /// Unit vectors in the patient along which column, row and slice indices grow.
    pub directions: [[f64; 3]; 3],
    /// Centre of voxel (0, 0, 0).
    pub origin: PatientPoint,
}

impl Geometry {
    /// The place of a grid position in the patient.
    pub fn to_patient(&self, point: VoxelPoint) -> PatientPoint {
        let mut place = self.origin.0;
        for (axis, index) in [point.column, point.row, point.slice].into_iter().enumerate() {
            let distance = index * self.spacing[axis];
            for (coordinate, component) in place.iter_mut().zip(self.directions[axis]) {
                *coordinate += distance * component;
            }
        }
        PatientPoint(place)
    }

    /// The grid position of a place in the patient; it may lie outside the volume.
    pub fn to_voxel(&self, point: PatientPoint) -> VoxelPoint {
        let offset: [f64; 3] = std::array::from_fn(|axis| point.0[axis] - self.origin.0[axis]);
        let along = |axis: usize| {
            let direction = self.directions[axis];
            (0..3).map(|component| offset[component] * direction[component]).sum::<f64>() / self.spacing[axis]
        };
        VoxelPoint { column: along(0), row: along(1), slice: along(2) }
    }

    /// Volume of one voxel in millilitres.
    pub fn voxel_millilitres(&self) -> f64 {
        self.spacing.iter().product::<f64>() / 1000.0
    }
}

/// Inner product.
pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Vector product, right-handed.
pub(super) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// Length.
pub(super) fn norm(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voxel_goes_to_the_patient_and_back() {
        let geometry = Geometry {
            size: [10, 20, 30],
            spacing: [0.7, 0.8, 2.5],
            directions: [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
            origin: PatientPoint([5.0, -7.0, 100.0]),
        };
        let place = geometry.to_patient(VoxelPoint { column: 3.0, row: 4.0, slice: 5.0 });
        assert_eq!(place, PatientPoint([5.0 - 3.2, -7.0 + 2.1, 112.5]));
        let back = geometry.to_voxel(place);
        assert!(
            (back.column - 3.0).abs() < 1e-12 && (back.row - 4.0).abs() < 1e-12 && (back.slice - 5.0).abs() < 1e-12
        );
    }
}
