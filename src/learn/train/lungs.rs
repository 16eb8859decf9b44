//! Step `lungs`: a lung mask for each volume, by the lung package in ONNX Runtime as when serving, or the cohort's own.
//! A mask without lungs is valid too: the step `crops` knows whether it needs lungs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::configuration::{LungSource, TrainConfiguration};
use super::files::FileState;
use super::labels::Exam;
use super::stage::{self, Made, Outcome, Stage};
use super::step::Step;
use super::volumes::{self, StoredVolume};
use super::{TrainError, TrainingContext};
use crate::cohort::{Layout, Mask};
use crate::engine::analyse::{AnalyseError, lungs};
use crate::engine::models::ModelsError;
use crate::engine::models::networks::LungNetwork;
use crate::engine::models::package;
use crate::engine::volume::{BACKGROUND, Geometry, LungMask, Volume, VoxelPoint, nifti};

/// What the step found in an exam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FoundLungs {
    /// The volume that the mask lies on.
    pub(crate) volume: StoredVolume,
    left_ml: f64,
    right_ml: f64,
}

impl FoundLungs {
    /// Whether any were found.
    pub(crate) fn has_lungs(&self) -> bool {
        self.left_ml + self.right_ml > 0.0
    }
}

/// A row of the step's table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    series: String,
    left_ml: f64,
    right_ml: f64,
}

/// The step.
pub(crate) struct Lungs<'a> {
    folder: PathBuf,
    volumes: PathBuf,
    source: Source<'a>,
}

/// What a mask depends on besides the volume.
#[derive(Debug, Serialize)]
pub(crate) struct MaskSources {
    /// `truth`, or the digest of the package.
    masks: String,
    /// The cohort's own mask.
    mask: Option<FileState>,
}

/// A source of lung masks.
enum Source<'a> {
    /// `truth/<series uid>/lungs.nii.gz`.
    Truth,
    /// The lung package.
    Package(Box<Package<'a>>),
}

/// The lung package, and its network, loaded with the first exam.
struct Package<'a> {
    context: &'a TrainingContext,
    /// The package that was active when the step began: a promotion in between must not change which one runs.
    package: package::Package,
    sha256: String,
    network: Mutex<Option<LungNetwork>>,
}

impl<'a> Package<'a> {
    fn open(configuration: &TrainConfiguration, context: &'a TrainingContext) -> Result<Self, TrainError> {
        let package = context.lung_package(&configuration.data)?;
        let sha256 = package.contents().map_err(ModelsError::from)?.identity.sha256;
        Ok(Self { context, package, sha256, network: Mutex::new(None) })
    }

    fn segment(&self, volume: &Volume) -> Result<LungMask, TrainError> {
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let network = match &mut *network {
            Some(network) => network,
            none => none.insert(self.load()?),
        };
        Ok(lungs::segment(network, volume)?)
    }

    fn load(&self) -> Result<LungNetwork, TrainError> {
        Ok(LungNetwork::load(&self.package, &self.context.runtime()?)?)
    }
}

impl<'a> Source<'a> {
    fn open(configuration: &TrainConfiguration, context: &'a TrainingContext) -> Result<Self, TrainError> {
        match configuration.data.lungs {
            LungSource::Truth => Ok(Self::Truth),
            LungSource::Package => Ok(Self::Package(Box::new(Package::open(configuration, context)?))),
        }
    }

    /// What distinguishes masks of one source from those of another.
    fn name(&self) -> &str {
        match self {
            Self::Truth => "truth",
            Self::Package(package) => &package.sha256,
        }
    }
}

impl<'a> Lungs<'a> {
    /// Opens the source that the configuration names. Masks of one source lie in a folder of its own.
    pub(crate) fn new(configuration: &TrainConfiguration, context: &'a TrainingContext) -> Result<Self, TrainError> {
        let source = Source::open(configuration, context)?;
        let name: String = source.name().chars().take(12).collect();
        let folder = configuration.work.dir.join(format!("lungs-{name}"));
        Ok(Self { folder, volumes: volumes::folder(configuration), source })
    }

    /// Where the masks come from, in words.
    pub(crate) fn source(&self) -> &'static str {
        match self.source {
            Source::Truth => "truth masks",
            Source::Package(_) => "the lung package",
        }
    }

    /// The mask of an exam, on the grid of its volume.
    pub(crate) fn load(&self, exam: &Exam, volume: &Volume) -> Result<LungMask, TrainError> {
        read_labels(&stage::path(&self.folder, &exam.series, "nii.gz"), &volume.geometry)
    }

    fn find(&self, exam: &Exam, volume: &Volume) -> Result<LungMask, TrainError> {
        match &self.source {
            Source::Truth => read_labels(&truth(exam), &volume.geometry),
            Source::Package(package) => package.segment(volume),
        }
    }
}

impl Stage for Lungs<'_> {
    type Input = StoredVolume;
    type Output = FoundLungs;
    type Row = Row;
    type Sources = MaskSources;
    const STEP: Step = Step::Lungs;
    const VERSION: u32 = 2;

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn sources(&self, input: &Made<StoredVolume>) -> Option<MaskSources> {
        let mask = match self.source {
            Source::Truth => FileState::of(&truth(&input.exam)),
            Source::Package(_) => None,
        };
        Some(MaskSources { masks: self.source.name().to_owned(), mask })
    }

    /// Networks use all cores for one exam.
    fn side_by_side(&self) -> bool {
        matches!(self.source, Source::Truth)
    }

    fn make(&self, input: &Made<StoredVolume>) -> Result<Outcome<FoundLungs>, TrainError> {
        let series = &input.exam.series;
        let volume = volumes::load(&self.volumes, series, &input.value)?;
        let mask = match self.find(&input.exam, &volume) {
            Ok(mask) => mask,
            // These errors are faults of the exam; a network that fails, for want of memory for instance, is not.
            Err(error @ (TrainError::Nifti(_) | TrainError::Analyse(AnalyseError::Preparation(_)))) => {
                return Ok(Outcome::Excluded(format!("no lungs: {error}")));
            }
            Err(error) => return Err(error),
        };
        let found = lungs::measure(&mask, &volume.geometry);
        let [left_ml, right_ml] =
            [&found.left, &found.right].map(|lung| lung.as_ref().map_or(0.0, |lung| lung.millilitres));
        nifti::write(&stage::path(&self.folder, series, "nii.gz"), &mask.0, &volume.geometry)?;
        Ok(Outcome::Made(FoundLungs { volume: input.value.clone(), left_ml, right_ml }))
    }

    fn row(&self, exam: &Exam, found: &FoundLungs) -> Row {
        Row { series: exam.series.clone(), left_ml: found.left_ml, right_ml: found.right_ml }
    }
}

/// Where a cohort keeps the lungs of a series.
fn truth(exam: &Exam) -> PathBuf {
    Layout::below(&exam.root).mask(&exam.series, Mask::Lungs)
}

/// Reads a mask onto a grid.
fn read_labels(path: &Path, grid: &Geometry) -> Result<LungMask, TrainError> {
    let (voxels, geometry) = nifti::read(path)?;
    Ok(LungMask(nearest(&voxels.mapv(|value| value.round() as u8), &geometry, grid)))
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
