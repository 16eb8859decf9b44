//! The lungs: the network's labels, refined to the outline that the source images show, and measured.
//!
//! The network was trained on phantoms alone, so it is asked only for what phantoms can teach: where each lung lies.
//! The outline is the images' own, found on the source grid from Hounsfield units; see `refinement`.

mod completeness;
mod cut;
mod disjoint;
mod enclosure;
mod ends;
mod largest_components;
mod logits;
mod morphology;
mod recovery;
mod refinement;
mod regions;
mod runs;
mod scale;

use ndarray::parallel::prelude::*;
use ndarray::{Array1, Array3, ArrayView2, Axis};

pub use self::completeness::completeness;
use self::logits::Logits;
use super::AnalyseError;
use super::findings::{Lung, Lungs};
use crate::engine::models::networks::LungNetwork;
use crate::engine::volume::part::count;
use crate::engine::volume::preparation::Preparer;
use crate::engine::volume::{Geometry, LEFT_LUNG, LungMask, RIGHT_LUNG, Volume, VoxelPoint};

/// Finds left and right lung on the grid of the volume.
///
/// # Errors
/// The network failed, or its images cannot be prepared from this volume.
pub fn segment(network: &mut LungNetwork, volume: &Volume) -> Result<LungMask, AnalyseError> {
    let mut labels = network_labels(network, volume)?;
    refinement::refine(volume, &mut labels);
    Ok(LungMask(labels))
}

/// Counts voxels and finds a centre in each lung.
pub fn measure(mask: &LungMask, geometry: &Geometry) -> Lungs {
    Lungs { left: measure_side(mask, geometry, LEFT_LUNG), right: measure_side(mask, geometry, RIGHT_LUNG) }
}

/// The network's label for each voxel of the source.
fn network_labels(network: &mut LungNetwork, volume: &Volume) -> Result<Array3<u8>, AnalyseError> {
    let preparer = Preparer::new(volume, None, &network.manifest().input)?;
    let values =
        network.read_stack(preparer.slices(), |range| Ok(preparer.batch(range))).map_err(AnalyseError::lungs)?;
    let [rows, columns] = network.manifest().input.size;
    Ok(Logits::new(values, network.classes(), preparer.upsampler(rows, columns)).labels(volume.hounsfield.dim()))
}

fn measure_side(mask: &LungMask, geometry: &Geometry, side: u8) -> Option<Lung> {
    let moments: Vec<[u64; 3]> =
        mask.0.axis_iter(Axis(0)).into_par_iter().map(|image| slice_moments(&image, side)).collect();
    let voxels: u64 = moments.iter().map(|[count, ..]| count).sum();
    if voxels == 0 {
        return None;
    }
    let mean = |sum: u64| sum as f64 / voxels as f64;
    let centroid = VoxelPoint {
        column: mean(moments.iter().map(|[_, columns, _]| columns).sum()),
        row: mean(moments.iter().map(|[_, _, rows]| rows).sum()),
        slice: mean(moments.iter().enumerate().map(|(slice, [count, ..])| slice as u64 * count).sum()),
    };
    Some(Lung {
        voxels,
        millilitres: voxels as f64 * geometry.voxel_millilitres(),
        centre: nearest_voxel(mask, side, centroid, &moments)?,
    })
}

/// Number of voxels of a label on a slice and the sums of their columns and rows.
fn slice_moments(image: &ArrayView2<'_, u8>, side: u8) -> [u64; 3] {
    let mut of_columns = Array1::<u32>::zeros(image.ncols());
    let (mut voxels, mut rows) = (0, 0);
    for (row, line) in image.outer_iter().enumerate() {
        let of_row = count(line, |label| *label == side) as u64;
        if of_row > 0 {
            // There are fewer rows than overflow it.
            of_columns.zip_mut_with(&line, |count, label| *count = count.wrapping_add(u32::from(*label == side)));
            (voxels, rows) = (voxels + of_row, rows + of_row * row as u64);
        }
    }
    let columns = of_columns.iter().zip(0_u64..).map(|(count, column)| u64::from(*count) * column).sum();
    [voxels, columns, rows]
}

/// The voxel of the mask nearest to its centroid, on the nearest slice that has one: a lung curves around the heart,
/// and its centroid need not lie inside.
fn nearest_voxel(mask: &LungMask, side: u8, centroid: VoxelPoint, moments: &[[u64; 3]]) -> Option<VoxelPoint> {
    let distance = |a: f64, b: f64| (a - b).abs();
    let slice = (0..moments.len())
        .filter(|slice| moments[*slice][0] > 0)
        .min_by(|a, b| distance(*a as f64, centroid.slice).total_cmp(&distance(*b as f64, centroid.slice)))?;
    let image = mask.0.index_axis(Axis(0), slice);
    image
        .indexed_iter()
        .filter(|(_, label)| **label == side)
        .map(|((row, column), _)| VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 })
        .min_by(|a, b| {
            let far = |point: &VoxelPoint| (point.column - centroid.column).hypot(point.row - centroid.row);
            far(a).total_cmp(&far(b))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::volume::PatientPoint;

    #[test]
    fn a_lung_is_measured_and_its_centre_lies_inside() {
        let geometry = Geometry {
            size: [20, 10, 3],
            spacing: [0.5, 0.5, 2.0],
            directions: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            origin: PatientPoint([0.0; 3]),
        };
        // A crescent: its centroid lies in the hollow.
        let mask = LungMask(Array3::from_shape_fn((3, 10, 20), |(_, row, column)| {
            u8::from(row == 0 || row == 9 || column == 0) * RIGHT_LUNG
        }));
        let lungs = measure(&mask, &geometry);
        assert_eq!(lungs.left, None);
        let right = lungs.right.expect("a right lung");
        assert_eq!(right.voxels, 3 * (20 + 20 + 8));
        assert!((right.millilitres - 144.0 * 0.0005).abs() < 1e-12);
        let centre = right.centre;
        assert_eq!(mask.0[(centre.slice as usize, centre.row as usize, centre.column as usize)], RIGHT_LUNG);
        assert!((centre.slice - 1.0).abs() < 1e-9);
    }
}
