//! The lungs: the network's labels, refined to the outline that the source images show, and measured.
//!
//! The network was trained on phantoms alone, so it is asked only for what phantoms can teach: where each lung lies.
//! The outline is the images' own, found on the source grid from Hounsfield units; see `refinement`.

mod completeness;
mod disjoint;
mod enclosure;
mod ends;
mod largest_components;
mod morphology;
mod recovery;
mod refinement;
mod regions;
mod runs;
mod scale;

use ndarray::parallel::prelude::*;
use ndarray::{Array1, Array2, Array3, Array4, ArrayView1, ArrayView2, Axis, Zip};

pub use self::completeness::completeness;
use self::morphology::part;
use super::AnalyseError;
use super::findings::{Lung, Lungs};
use crate::engine::models::networks::{LungClasses, LungNetwork};
use crate::engine::volume::part::{Part, count};
use crate::engine::volume::preparation::{Preparer, Upsampler};
use crate::engine::volume::{BACKGROUND, Geometry, LEFT_LUNG, LungMask, RIGHT_LUNG, Volume, VoxelPoint};

/// How far the logit of a lung must lie above that of the likeliest class that is no lung for the network to be sure:
/// odds of nine to one.
const SURE_MARGIN: f32 = 2.2;

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

/// The network's label for each voxel of the source; logits are interpolated, then compared.
fn network_labels(network: &mut LungNetwork, volume: &Volume) -> Result<Array3<u8>, AnalyseError> {
    let preparer = Preparer::new(volume, None, &network.manifest().input)?;
    let logits =
        network.read_stack(preparer.slices(), |range| Ok(preparer.batch(range))).map_err(AnalyseError::lungs)?;
    let [rows, columns] = network.manifest().input.size;
    let (upsampler, classes) = (preparer.upsampler(rows, columns), network.classes());
    let certain = certain(&logits, classes);
    let mut labels = Array3::from_elem(volume.hounsfield.dim(), BACKGROUND);
    labels.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(slice, mut labels)| {
        for (within, label) in upsampler.uniform_parts(&certain.view(), slice) {
            let [rows, columns] = within.clone();
            let mut labels = labels.slice_each_axis_mut(part(rows, columns));
            match label {
                Some(label) => labels.fill(label),
                None => labels.assign(&part_labels(&upsampler, &logits, classes, slice, &within)),
            }
        }
    });
    Ok(labels)
}

/// The label of each cell of the logits that voxels between such cells have for certain: what holds for all of them holds
/// for what is interpolated between them. `None` where the background is not the likelier of all three, and the network
/// is not sure of a lung.
fn certain(logits: &Array4<f32>, classes: &LungClasses) -> Array3<Option<u8>> {
    let of_cell = |logits: ArrayView1<'_, f32>| {
        let (side, margin) = classes.likelier_lung(|class| logits[class]);
        let lung = logits[classes.left].max(logits[classes.right]);
        match classes.other.first() {
            _ if margin >= SURE_MARGIN => Some(side | refinement::SURE),
            Some(background) if logits[*background] >= lung => Some(BACKGROUND),
            _ => None,
        }
    };
    Zip::from(logits.lanes(Axis(1))).par_map_collect(of_cell)
}

/// The likelier lung on a part of a slice, marked where the network is sure. Background is where no lung is likelier than
/// every other class, and everything outside the prepared grid.
fn part_labels(
    upsampler: &Upsampler,
    logits: &Array4<f32>,
    classes: &LungClasses,
    slice: usize,
    within: &Part,
) -> Array2<u8> {
    let on_source: Vec<Array2<f32>> =
        (0..logits.len_of(Axis(1))).map(|class| upsampler.part(&logits.view(), class, slice, within, 0.0)).collect();
    Array2::from_shape_fn(on_source[classes.left].dim(), |place| {
        match classes.likelier_lung(|class| on_source[class][place]) {
            (side, margin) if margin >= SURE_MARGIN => side | refinement::SURE,
            (side, margin) if margin > 0.0 => side,
            _ => BACKGROUND,
        }
    })
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
    fn a_voxel_is_lung_where_a_lung_is_likelier_than_each_other_class() {
        // Background, left, right, airway; a column each.
        let columns = [
            ([0.0, 5.0, 4.9, 0.0], LEFT_LUNG | refinement::SURE),
            ([0.0, 1.0, 5.0, 4.0], RIGHT_LUNG),
            ([0.0, 5.0, 1.0, 6.0], BACKGROUND),
            ([4.0, 5.0, 1.0, 0.0], LEFT_LUNG),
            ([0.0, 0.0, 0.0, 0.0], BACKGROUND),
        ];
        let logits = Array4::from_shape_fn((2, 4, 3, columns.len()), |(_, class, _, column)| columns[column].0[class]);
        let grid = Geometry {
            size: [columns.len(), 3, 2],
            spacing: [1.0, 1.0, 2.0],
            directions: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            origin: PatientPoint([0.0; 3]),
        };
        let classes = LungClasses { left: 1, right: 2, other: vec![0, 3] };
        let whole = part_labels(&Upsampler::new(&grid, &grid), &logits, &classes, 1, &[0..3, 0..columns.len()]);
        assert_eq!(whole.row(1).to_vec(), columns.map(|(_, label)| label));
    }

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
