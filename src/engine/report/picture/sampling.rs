//! Values of volume and evidence between grid points.

use ndarray::ArrayView3;

use crate::engine::analyse::findings::EvidenceMap;
use crate::engine::volume::{PatientPoint, Volume, VoxelPoint};

/// Lowest and highest Hounsfield unit of the window: centre 100, width 700, for a CT pulmonary angiogram.
const WINDOW: [f64; 2] = [-250.0, 450.0];

/// Grey value of a place on the volume's grid under the window; black outside.
pub(super) fn grey(volume: &Volume, point: VoxelPoint) -> u8 {
    let Some(hounsfield) = interpolate(&volume.hounsfield.view(), point) else { return 0 };
    let share = (hounsfield - WINDOW[0]) / (WINDOW[1] - WINDOW[0]);
    // The cast cuts off, so this rounds, and without a call to a function.
    (share.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

/// Evidence at a place in the patient, from 0 to 1; 0 outside the map.
pub(super) fn evidence(map: &EvidenceMap, place: PatientPoint) -> f64 {
    interpolate(&map.cells.view(), map.geometry.to_voxel(place)).unwrap_or(0.0).clamp(0.0, 1.0)
}

/// Linear interpolation between the eight neighbours. Up to half a voxel outside the grid the outermost value holds;
/// beyond there is none.
pub(super) fn interpolate<T: Copy + Into<f64>>(values: &ArrayView3<T>, point: VoxelPoint) -> Option<f64> {
    let (slices, rows, columns) = values.dim();
    let (s0, s1, ds) = neighbours(point.slice, slices)?;
    let (r0, r1, dr) = neighbours(point.row, rows)?;
    let (c0, c1, dc) = neighbours(point.column, columns)?;
    let at = |slice, row, column| -> f64 { values[[slice, row, column]].into() };
    let along_columns = |slice, row| lerp(at(slice, row, c0), at(slice, row, c1), dc);
    let along_rows = |slice| lerp(along_columns(slice, r0), along_columns(slice, r1), dr);
    Some(if s0 == s1 { along_rows(s0) } else { lerp(along_rows(s0), along_rows(s1), ds) })
}

fn lerp(from: f64, to: f64, share: f64) -> f64 {
    from + (to - from) * share
}

/// The two indices around a position and the share of the second.
fn neighbours(position: f64, size: usize) -> Option<(usize, usize, f64)> {
    let last = size.checked_sub(1)? as f64;
    if !(-0.5..=last + 0.5).contains(&position) {
        return None;
    }
    let position = position.clamp(0.0, last);
    let below = position as usize;
    let share = position - below as f64;
    Some((below, below + usize::from(share > 0.0), share))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn values_are_linear_between_voxels_and_end_half_a_voxel_outside() {
        let values = array![[[0.0_f32, 10.0], [20.0, 30.0]]];
        let at = |column, row, slice| interpolate(&values.view(), VoxelPoint { column, row, slice });
        assert_eq!(at(0.5, 0.5, 0.0), Some(15.0));
        assert_eq!(at(-0.4, 0.0, 0.3), Some(0.0));
        assert_eq!(at(-0.6, 0.0, 0.0), None);
        assert_eq!(at(1.0, 1.0, -0.5), Some(30.0));
    }
}
