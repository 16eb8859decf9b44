//! The chest in coarse cells along the axes of the patient, with its lungs.

use ndarray::{Array3, ArrayView2, Axis};

use crate::engine::volume::preparation::{Crop, Preparation, Preparer};
use crate::engine::volume::{BACKGROUND, Geometry, LungMask, Volume, VoxelPoint};

/// Edge of a cell in millimetres: large enough to average noise and small calcifications away.
pub(super) const CELL_MM: f64 = 3.0;
/// Hounsfield units that cells can hold.
const WINDOW: [f64; 2] = [-1024.0, 1000.0];

/// The box around the lungs in cells: columns grow towards the patient's left, rows towards the back, slices towards the
/// head.
pub(super) struct Cells {
    /// Hounsfield units, `[slice, row, column]`.
    pub(super) hounsfield: Array3<f32>,
    /// Labels of the lung mask.
    pub(super) labels: Array3<u8>,
    grid: Geometry,
}

impl Cells {
    /// Averages a volume over cells; `None` if there are no lungs.
    pub(super) fn of(volume: &Volume, lungs: &LungMask) -> Option<Self> {
        let preparation = Preparation {
            normalisation: None,
            colour: None,
            window: WINDOW,
            size: [112, 144],
            spacing_mm: CELL_MM,
            slice_step_mm: CELL_MM,
            neighbours: 0,
            crop: Crop::LungBox,
        };
        let preparer = Preparer::new(volume, Some(lungs), &preparation).ok()?;
        let [low, high] = WINDOW.map(|end| end as f32);
        let hounsfield = preparer.images(0..preparer.slices()).mapv_into(|share| low + share * (high - low));
        let grid = preparer.geometry().clone();
        let labels = labels(&grid, hounsfield.dim(), volume, lungs);
        Some(Self { hounsfield, labels, grid })
    }

    /// Number of slices.
    pub(super) fn slices(&self) -> usize {
        self.hounsfield.len_of(Axis(0))
    }

    /// Cells and labels of each slice, lowest first.
    pub(super) fn each(&self) -> impl Iterator<Item = (ArrayView2<'_, f32>, ArrayView2<'_, u8>)> {
        self.hounsfield.outer_iter().zip(self.labels.outer_iter())
    }

    /// Height of a slice in the patient, millimetres towards the head.
    pub(super) fn height(&self, slice: usize) -> f64 {
        self.grid.to_patient(VoxelPoint { column: 0.0, row: 0.0, slice: slice as f64 }).0[2]
    }

    /// The voxel of the source in which the middle of a cell lies.
    pub(super) fn source(&self, [slice, row, column]: [usize; 3], source: &Geometry) -> VoxelPoint {
        let place = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
        let voxel = source.to_voxel(self.grid.to_patient(place));
        let within = |index: f64, axis: usize| index.round().clamp(0.0, source.size[axis] as f64 - 1.0);
        VoxelPoint { column: within(voxel.column, 0), row: within(voxel.row, 1), slice: within(voxel.slice, 2) }
    }
}

/// Labels of the lung mask at the middles of the cells.
fn labels(grid: &Geometry, size: (usize, usize, usize), volume: &Volume, lungs: &LungMask) -> Array3<u8> {
    Array3::from_shape_fn(size, |(slice, row, column)| {
        let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
        let source = volume.geometry.to_voxel(grid.to_patient(point));
        let place = [source.slice, source.row, source.column].map(f64::round);
        if place.iter().any(|index| *index < 0.0) {
            return BACKGROUND;
        }
        lungs.0.get(place.map(|index| index as usize)).copied().unwrap_or(BACKGROUND)
    })
}
