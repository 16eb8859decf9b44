//! Lung masks of exams: the cohort's own truth, or the lung package as when serving.

use std::path::Path;

use ndarray::Array3;

use super::TrainError;
use super::configuration::{LungSource, TrainConfiguration};
use crate::config::Config;
use crate::engine::analyse::lungs;
use crate::engine::models::ModelsError;
use crate::engine::models::manifest::Kind;
use crate::engine::models::networks::LungNetwork;
use crate::engine::models::registry::Registry;
use crate::engine::models::session::Runtime;
use crate::engine::volume::{BACKGROUND, Geometry, LungMask, Volume, VoxelPoint, nifti};

/// A source of lung masks.
pub(crate) enum LungMasks {
    /// `truth/<series uid>/lungs.nii.gz`.
    Truth,
    /// The active lung package in ONNX Runtime.
    Package {
        /// Its networks.
        network: Box<LungNetwork>,
        /// Digest of the package.
        sha256: String,
    },
}

impl LungMasks {
    /// Opens the source that the configuration names.
    pub(crate) fn new(configuration: &TrainConfiguration) -> Result<Self, TrainError> {
        if configuration.data.lungs == LungSource::Truth {
            return Ok(Self::Truth);
        }
        let mut config = Config::load(None, std::env::vars(), &[])?;
        if !configuration.data.models_directory.as_os_str().is_empty() {
            config.models.directory.clone_from(&configuration.data.models_directory);
        }
        let registry = Registry::open(&config.models).map_err(ModelsError::from)?;
        let package = registry.select(Kind::LungSegmentation, &config.models.lungs).map_err(ModelsError::from)?;
        let runtime = Runtime::start(&config.onnxruntime).map_err(ModelsError::Runtime)?;
        let network = Box::new(LungNetwork::load(package, &runtime)?);
        Ok(Self::Package { network, sha256: package.contents().map_err(ModelsError::from)?.identity.sha256 })
    }

    /// What tells masks of one source from those of another.
    pub(crate) fn identity(&self) -> &str {
        match self {
            Self::Truth => "truth",
            Self::Package { sha256, .. } => sha256,
        }
    }

    /// The lungs of a volume.
    pub(crate) fn of(&mut self, volume: &Volume, root: &Path, series: &str) -> Result<LungMask, TrainError> {
        match self {
            Self::Truth => truth(volume, root, series),
            Self::Package { network, .. } => Ok(lungs::segment(network, volume)?),
        }
    }
}

/// Reads the truth mask of a series onto the grid of its volume.
fn truth(volume: &Volume, root: &Path, series: &str) -> Result<LungMask, TrainError> {
    let path = root.join("truth").join(series).join("lungs.nii.gz");
    let (voxels, geometry) = nifti::read(&path)?;
    Ok(LungMask(nearest(&voxels.mapv(|value| value.round() as u8), &geometry, &volume.geometry)))
}

/// Labels on one grid to another: the nearest voxel's, background outside.
pub(crate) fn nearest(labels: &Array3<u8>, from: &Geometry, to: &Geometry) -> Array3<u8> {
    if same_grid(from, to) {
        return labels.clone();
    }
    let [columns, rows, slices] = to.size;
    Array3::from_shape_fn((slices, rows, columns), |(slice, row, column)| {
        let place = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
        let found = from.to_voxel(to.to_patient(place));
        let [column, row, slice] = [found.column, found.row, found.slice].map(f64::round);
        if column < 0.0 || row < 0.0 || slice < 0.0 {
            return BACKGROUND;
        }
        labels.get([slice as usize, row as usize, column as usize]).copied().unwrap_or(BACKGROUND)
    })
}

/// True if voxels of both grids lie within a hundredth of a millimetre of each other.
fn same_grid(one: &Geometry, other: &Geometry) -> bool {
    let corners = |grid: &Geometry| {
        let [columns, rows, slices] = grid.size.map(|size| size as f64 - 1.0);
        [[0.0, 0.0, 0.0], [columns, 0.0, 0.0], [0.0, rows, 0.0], [0.0, 0.0, slices]]
            .map(|[column, row, slice]| grid.to_patient(VoxelPoint { column, row, slice }).0)
    };
    let near = |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.01);
    one.size == other.size && corners(one).iter().zip(&corners(other)).all(|(a, b)| near(a, b))
}
