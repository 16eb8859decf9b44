//! Step `crops`: crops the images of each exam and prepares them for a network.
//!
//! Images come from [`Preparer`], which also prepares the images that are served. Its values are kept bit for bit, unless
//! half precision is asked for, so no fit decodes or resamples again. The files of one preparation lie in a folder named
//! after its digest, so a changed configuration never uses old images.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use half::f16;
use ndarray::ArrayView3;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::configuration::{PixelFormat, TrainConfiguration};
use super::files::{self, FileState};
use super::insertion::{self, VesselWidth, Vessels};
use super::labels::Exam;
use super::lungs::{FoundLungs, Lungs, nearest};
use super::named_draws::generator;
use super::provenance::Provenance;
use super::stage::{self, Made, Outcome, Stage};
use super::step::Step;
use super::volumes::{self, Acquisition};
use crate::cohort::{Layout, Mask};
use crate::engine::models::manifest::Kind;
use crate::engine::volume::preparation::{Preparation, Preparer};
use crate::engine::volume::{Geometry, LungMask, Volume, VoxelPoint, nifti};

/// The prepared images of an exam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prepared {
    /// Prepared slices.
    pub(crate) slices: usize,
    /// For each source slice, lowest first, its prepared slice; -1 for those outside the crop.
    prepared_slice: Vec<i64>,
    /// The images are marked as synthetic.
    pub(crate) synthetic: bool,
    /// How the series was acquired.
    pub(crate) acquisition: Acquisition,
    /// The prepared grid.
    geometry: Geometry,
    /// How the pixels of the images are kept.
    #[serde(default)]
    pixels: PixelFormat,
    /// The same exam with emboli that were put into it, once or more.
    #[serde(default)]
    pub(crate) inserted: Vec<InsertedCrop>,
}

/// An exam without embolism into which emboli were put; its files lie under [`inserted_name`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InsertedCrop {
    /// Whether each source slice shows an embolus, lowest first.
    pub(crate) slice_labels: Vec<bool>,
    /// The widest vessel that holds one.
    most_proximal: VesselWidth,
}

/// What stands for the series in the names of the files of an exam into which emboli were put.
pub(crate) fn inserted_name(series: &str, number: usize) -> String {
    format!("{series}.inserted-{number}")
}

impl Prepared {
    /// Prepared slice of each source slice, lowest first; `None` for those outside the crop.
    pub(crate) fn of_source_slices(&self) -> impl Iterator<Item = Option<usize>> + '_ {
        self.prepared_slice.iter().map(|slice| usize::try_from(*slice).ok())
    }
}

/// A row of the step's table: the crop in the patient's coordinates (left, back, head) and the stack within.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    series: String,
    slices: usize,
    left_low_mm: f64,
    left_high_mm: f64,
    back_low_mm: f64,
    back_high_mm: f64,
    head_low_mm: f64,
    head_high_mm: f64,
}

/// What the images of all exams depend on.
#[derive(Serialize)]
struct CropSettings<'a> {
    kind: Kind,
    input: &'a Preparation,
    /// Name of the folder of the lung masks, which says where they come from.
    lung_masks: &'a str,
    /// Where it is not the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pixels: Option<PixelFormat>,
    /// How often emboli are put into each exam without embolism, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    insert_emboli: Option<usize>,
}

/// The step.
pub(crate) struct Crops<'a> {
    configuration: &'a TrainConfiguration,
    folder: PathBuf,
    lungs: &'a Lungs<'a>,
}

/// Path of an exam's images: floating point numbers of the [`PixelFormat`], little-endian, `[D, H, W]`.
pub(crate) fn images_path(folder: &Path, series: &str) -> PathBuf {
    stage::path(folder, series, "images")
}

/// Path of an exam's lungs on the prepared grid, one byte per pixel (class), `[D, H, W]`; for a lung network.
pub(crate) fn classes_path(folder: &Path, series: &str) -> PathBuf {
    stage::path(folder, series, "classes")
}

/// Path of an exam's embolus mask on the prepared grid, one byte per pixel, `[D, H, W]`; there is none for an exam
/// without emboli, nor for a cohort without masks.
pub(crate) fn emboli_path(folder: &Path, series: &str) -> PathBuf {
    stage::path(folder, series, "emboli")
}

/// Where a cohort keeps the embolus mask of a series, if it has masks.
fn emboli_truth(exam: &Exam) -> PathBuf {
    Layout::below(&exam.root).mask(&exam.series, Mask::Emboli)
}

impl<'a> Crops<'a> {
    pub(crate) fn new(configuration: &'a TrainConfiguration, lungs: &'a Lungs<'a>) -> Self {
        let lung_masks = lungs.folder().file_name().unwrap_or_default().to_string_lossy();
        let pixels = Some(configuration.work.pixels).filter(|pixels| *pixels != PixelFormat::default());
        let insert_emboli = Some(configuration.augmentation.insert_emboli).filter(|times| *times > 0);
        let (kind, input) = (configuration.kind, &configuration.input);
        let sources = CropSettings { kind, input, lung_masks: &lung_masks, pixels, insert_emboli };
        let digest = Provenance { made: "folder of crops", version: 1, sources }.sha256();
        Self { configuration, folder: configuration.work.dir.join(format!("crops-{}", &digest[..12])), lungs }
    }

    /// Puts emboli into an exam without embolism, as often as the settings say, and writes images and masks.
    fn insert(&self, exam: &Exam, volume: &Volume, mask: &LungMask) -> Result<Vec<InsertedCrop>, TrainError> {
        let mut written = Vec::new();
        let times = self.configuration.augmentation.insert_emboli;
        if times == 0 || self.configuration.kind != Kind::EmbolismClassifier || exam.embolism() {
            return Ok(written);
        }
        let Some(vessels) = Vessels::find(volume, mask) else { return Ok(written) };
        let [column_mm, row_mm, _] = volume.geometry.spacing;
        for number in 0..times {
            let name = inserted_name(&exam.series, number);
            let Some(inserted) = insertion::insert(volume, &vessels, &mut generator(&name)) else { continue };
            let (slice_labels, most_proximal) = (inserted.slice_labels(column_mm * row_mm), inserted.most_proximal);
            let marked = inserted.emboli.indexed_iter().filter(|(_, voxel)| **voxel > 0).map(|(place, _)| place);
            let slices = volume.slices.clone();
            let other = Volume::new(volume.geometry.clone(), inserted.hounsfield, slices, volume.header.clone());
            let preparer = Preparer::new(&other, Some(mask), &self.configuration.input)?;
            let emboli = emboli_on(&other, &preparer, marked, &other.geometry);
            let written_as = inserted_name(&exam.series, written.len());
            self.write_images(&written_as, &preparer)?;
            files::write_whole(&emboli_path(&self.folder, &written_as), &emboli)?;
            written.push(InsertedCrop { slice_labels, most_proximal });
        }
        Ok(written)
    }

    /// Writes all prepared slices; `name` is the series, or stands for it.
    fn write_images(&self, name: &str, preparer: &Preparer<'_>) -> Result<(), TrainError> {
        let images = preparer.images(0..preparer.slices());
        let bytes = bytes_of(images.view(), self.configuration.work.pixels);
        files::write_whole(&images_path(&self.folder, name), &bytes)
    }

    /// Whether the exam has an embolus mask and the network is trained on it.
    fn has_emboli(&self, exam: &Exam) -> bool {
        self.configuration.kind == Kind::EmbolismClassifier && exam.embolism() && emboli_truth(exam).is_file()
    }
}

impl Stage for Crops<'_> {
    type Input = FoundLungs;
    type Output = Prepared;
    type Row = Row;
    /// The mask of the emboli, where it is wanted.
    type Sources = Option<FileState>;
    const STEP: Step = Step::Crops;
    const VERSION: u32 = 2;

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn sources(&self, input: &Made<FoundLungs>) -> Option<Option<FileState>> {
        Some(self.has_emboli(&input.exam).then(|| FileState::of(&emboli_truth(&input.exam))).flatten())
    }

    fn products(&self, exam: &Exam) -> Vec<PathBuf> {
        vec![images_path(&self.folder, &exam.series)]
    }

    fn make(&self, input: &Made<FoundLungs>) -> Result<Outcome<Prepared>, TrainError> {
        let (exam, series) = (&input.exam, &input.exam.series);
        let volume = volumes::load(&volumes::folder(self.configuration), series, &input.value.volume)?;
        let mask = self.lungs.load(exam, &volume)?;
        let has_lungs = input.value.has_lungs();
        if self.configuration.kind == Kind::LungSegmentation && !has_lungs {
            return Ok(Outcome::Excluded("no lungs were found, and so there are none to train on".to_owned()));
        }
        // The preparation knows whether the crop needs lungs.
        let preparer = match Preparer::new(&volume, has_lungs.then_some(&mask), &self.configuration.input) {
            Ok(preparer) => preparer,
            Err(error) => return Ok(Outcome::Excluded(error.to_string())),
        };
        self.write_images(series, &preparer)?;
        if self.configuration.kind == Kind::LungSegmentation {
            files::write_whole(&classes_path(&self.folder, series), &classes_on(&mask, &volume, &preparer))?;
        }
        if self.has_emboli(exam) {
            let (voxels, geometry) = nifti::read(&emboli_truth(exam))?;
            let marked = voxels.indexed_iter().filter(|(_, value)| **value > 0.5).map(|(place, _)| place);
            let emboli = emboli_on(&volume, &preparer, marked, &geometry);
            files::write_whole(&emboli_path(&self.folder, series), &emboli)?;
        } else {
            // Weights must not be fitted to a mask that is gone.
            stage::remove(&emboli_path(&self.folder, series))?;
        }
        let place = |slice: usize| preparer.prepared_slice(slice).map_or(-1, |slice| slice as i64);
        Ok(Outcome::Made(Prepared {
            slices: preparer.slices(),
            prepared_slice: (0..volume.slices.len()).map(place).collect(),
            synthetic: input.value.volume.synthetic,
            acquisition: input.value.volume.acquisition.clone(),
            geometry: preparer.geometry().clone(),
            pixels: self.configuration.work.pixels,
            inserted: if has_lungs { self.insert(exam, &volume, &mask)? } else { Vec::new() },
        }))
    }

    fn row(&self, exam: &Exam, prepared: &Prepared) -> Row {
        let Geometry { size, spacing, origin, .. } = &prepared.geometry;
        let [left, back, head]: [[f64; 2]; 3] = std::array::from_fn(|axis| {
            let half = spacing[axis] / 2.0;
            [origin.0[axis] - half, origin.0[axis] + spacing[axis] * (size[axis] as f64 - 1.0) + half]
        });
        Row {
            series: exam.series.clone(),
            slices: prepared.slices,
            left_low_mm: left[0],
            left_high_mm: left[1],
            back_low_mm: back[0],
            back_high_mm: back[1],
            head_low_mm: head[0],
            head_high_mm: head[1],
        }
    }
}

fn bytes_of(images: ArrayView3<'_, f32>, pixels: PixelFormat) -> Cow<'_, [u8]> {
    match pixels {
        PixelFormat::F32 => images.to_slice().map_or(&[][..], bytemuck::cast_slice).into(),
        PixelFormat::F16 => {
            images.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect::<Vec<u8>>().into()
        }
    }
}

fn classes_on(mask: &LungMask, volume: &Volume, preparer: &Preparer<'_>) -> Vec<u8> {
    nearest(&mask.0, &volume.geometry, preparer.geometry()).into_raw_vec_and_offset().0
}

/// Marked voxels of a grid on the prepared one: every prepared pixel that is nearest to one of them.
fn emboli_on(
    volume: &Volume,
    preparer: &Preparer<'_>,
    marked: impl Iterator<Item = (usize, usize, usize)>,
    geometry: &Geometry,
) -> Vec<u8> {
    let [columns, rows, slices] = preparer.geometry().size;
    let mut emboli = vec![0; columns * rows * slices];
    for (slice, row, column) in marked {
        let place = geometry.to_patient(VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 });
        let source = volume.geometry.to_voxel(place).slice.round();
        let found = preparer.geometry().to_voxel(place);
        let (row, column) = (found.row.round(), found.column.round());
        let inside = source >= 0.0 && row >= 0.0 && column >= 0.0 && row < rows as f64 && column < columns as f64;
        if inside && let Some(slice) = preparer.prepared_slice(source as usize) {
            emboli[(slice * rows + row as usize) * columns + column as usize] = 1;
        }
    }
    emboli
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::TrainingContext;

    #[test]
    fn the_folder_of_crops_is_named_after_the_settings_of_the_preparation() {
        let folder = |settings: &[&str]| {
            let settings: Vec<String> =
                ["data.lungs=truth"].iter().chain(settings).map(|text| (*text).to_owned()).collect();
            let configuration = TrainConfiguration::load(None, &settings).expect("valid");
            let context = TrainingContext::of_environment();
            let lungs = Lungs::new(&configuration, &context).expect("truth");
            Crops::new(&configuration, &lungs).folder
        };
        assert_eq!(folder(&[]), Path::new("work/crops-e2436be38ffd"));
        assert_eq!(folder(&["work.dir=other"]).file_name(), folder(&[]).file_name(), "a work folder can be moved");
        assert_ne!(folder(&["input.spacing_mm=2"]), folder(&[]));
    }
}
