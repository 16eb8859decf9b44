//! Step `volumes`: DICOM to prepared images and their targets, once, so that no fit ever decodes DICOM.
//!
//! Images come from [`Preparer`], the preparation that serves: what is kept here are its values, bit for bit. The files
//! of one preparation lie in a folder named after its digest, so a changed configuration never meets old images.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use ndarray::ArrayView3;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::configuration::{LungSource, TrainConfiguration};
use super::files::{self, CohortFiles, LIMITS, table};
use super::labels::{Exam, Exclusion, SliceLabel, Split};
use super::loss::UNLABELLED;
use super::lung_masks::{LungMasks, nearest};
use super::progress;
use crate::dicom::elements;
use crate::engine::models::manifest::Kind;
use crate::engine::volume::preparation::Preparer;
use crate::engine::volume::{Volume, VoxelPoint, nifti, read_series};

/// One row of `prepared.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PreparedExam {
    /// Series Instance UID; the images lie in `<series>.images`, the targets in `<series>.targets`.
    pub(crate) series: String,
    /// What the exam is used for.
    pub(crate) split: Split,
    /// Embolism in the exam.
    pub(crate) embolism: bool,
    /// Prepared slices.
    pub(crate) slices: usize,
    /// Prepared slices that carry a label.
    pub(crate) labelled_slices: usize,
    /// Prepared slices with embolism.
    pub(crate) positive_slices: usize,
    /// The images are marked as synthetic: SyntheticData (0008,001C) is YES.
    pub(crate) synthetic: bool,
    /// Digest of what else the exam was prepared from: cohort, labels, lungs. Others make another exam.
    pub(crate) sources_sha256: String,
}

/// Folder of prepared images of this configuration.
pub(crate) fn folder(configuration: &TrainConfiguration) -> PathBuf {
    let parameters = format!("{:?} {:?} {:?}", configuration.kind, configuration.input, configuration.data.lungs);
    configuration.work.directory.join("volumes").join(&files::digest(parameters.as_bytes())[..12])
}

/// Path of an exam's images: 32-bit floating point numbers, little-endian, `[D, H, W]`.
pub(crate) fn images_path(folder: &Path, series: &str) -> PathBuf {
    folder.join(format!("{series}.images"))
}

/// Path of an exam's targets, one byte each: `[D]` (1, 0, 255 for unlabelled) for embolism, `[D, H, W]` (class) for
/// lungs.
pub(crate) fn targets_path(folder: &Path, series: &str) -> PathBuf {
    folder.join(format!("{series}.targets"))
}

/// Path of an exam's embolus mask on the prepared grid, one byte a pixel, `[D, H, W]`; not there for an exam without
/// emboli, nor for a cohort without masks.
pub(crate) fn emboli_path(folder: &Path, series: &str) -> PathBuf {
    folder.join(format!("{series}.emboli"))
}

/// Where a cohort keeps the embolus mask of a series, if it has masks.
fn emboli_truth(exam: &Exam) -> PathBuf {
    Path::new(&exam.root).join("truth").join(&exam.series).join("clots.nii.gz")
}

/// Prepares all exams that are not prepared yet. Gives the table of prepared exams and what was excluded.
pub(crate) fn prepare(
    configuration: &TrainConfiguration,
    exams: &[Exam],
    slices: Vec<SliceLabel>,
) -> Result<(Vec<PreparedExam>, Vec<Exclusion>), TrainError> {
    let folder = folder(configuration);
    files::create_folder(&folder)?;
    let mut labels: BTreeMap<String, BTreeMap<String, Option<u8>>> = BTreeMap::new();
    for slice in slices {
        labels.entry(slice.series).or_default().insert(slice.instance, slice.embolism);
    }
    let mut cohorts: BTreeMap<&str, Vec<&Exam>> = BTreeMap::new();
    for exam in exams {
        cohorts.entry(&exam.root).or_default().push(exam);
    }
    let mut masks = LungMasks::new(configuration)?;
    let (mut prepared, mut excluded) = (Vec::new(), Vec::new());
    let bar = progress::bar(exams.len() as u64, "volumes");
    for (root, exams) in cohorts {
        let root = Path::new(root);
        let wanted = exams.iter().map(|exam| (exam.study.as_str(), exam.series.as_str()));
        let files = CohortFiles::find(root, wanted)?;
        for exam in exams {
            let empty = BTreeMap::new();
            let slices = labels.get(&exam.series).unwrap_or(&empty);
            match prepare_exam(configuration, &folder, exam, slices, &files, &mut masks) {
                Ok(row) => prepared.push(row),
                Err(reason) => excluded.push(Exclusion {
                    series: exam.series.clone(),
                    step: "volumes".to_owned(),
                    reason: reason.to_string(),
                }),
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok((prepared, excluded))
}

fn prepare_exam(
    configuration: &TrainConfiguration,
    folder: &Path,
    exam: &Exam,
    labels: &BTreeMap<String, Option<u8>>,
    files: &CohortFiles,
    masks: &mut LungMasks,
) -> Result<PreparedExam, TrainError> {
    let row_path = folder.join(format!("{}.csv", exam.series));
    let sources = format!("{} {} {labels:?} {}", exam.root, exam.embolism, masks.identity());
    let sources_sha256 = files::digest(sources.as_bytes());
    let masked = configuration.fit.mask_weight > 0.0 && exam.embolism && emboli_truth(exam).is_file();
    if let Ok(mut rows) = table::read::<PreparedExam>(&row_path, "volumes")
        && let Some(mut row) = rows.pop()
        && row.sources_sha256 == sources_sha256
        && (!masked || emboli_path(folder, &exam.series).is_file())
    {
        row.split = exam.split;
        return Ok(row);
    }
    let paths = files.series(&exam.series).unwrap_or_default();
    let reading = read_series(paths, &LIMITS);
    let volume = reading.volume.ok_or_else(|| {
        let reasons: Vec<String> = reading.rejections.iter().map(|rejection| rejection.explanation.clone()).collect();
        TrainError::Exams(format!("no volume: {}", reasons.join("; ")))
    })?;
    let lungs = masks.of(&volume, Path::new(&exam.root), &exam.series)?;
    let preparer = Preparer::new(&volume, Some(&lungs), &configuration.input)?;
    let targets = match configuration.kind {
        Kind::EmbolismClassifier => slice_targets(&volume, &preparer, exam, labels),
        Kind::LungSegmentation => nearest(&lungs.0, &volume.geometry, preparer.geometry()).into_raw_vec_and_offset().0,
    };
    let images = preparer.images(0..preparer.slices());
    files::write_whole(&images_path(folder, &exam.series), bytes_of(images.view()))?;
    files::write_whole(&targets_path(folder, &exam.series), &targets)?;
    if masked {
        let emboli = emboli_on(&volume, &preparer, &emboli_truth(exam))?;
        files::write_whole(&emboli_path(folder, &exam.series), &emboli)?;
    }
    let of_slices = configuration.kind == Kind::EmbolismClassifier;
    let count = |wanted: fn(u8) -> bool| targets.iter().filter(|target| of_slices && wanted(**target)).count();
    let row = PreparedExam {
        series: exam.series.clone(),
        split: exam.split,
        embolism: exam.embolism,
        slices: preparer.slices(),
        labelled_slices: count(|target| target != UNLABELLED),
        positive_slices: count(|target| target == 1),
        synthetic: elements::text(&volume.header, tags::SYNTHETIC_DATA).is_some_and(|value| value == "YES"),
        sources_sha256,
    };
    // Written last: while it is not there, the exam is not prepared.
    table::write(&row_path, std::slice::from_ref(&row))?;
    Ok(row)
}

fn bytes_of(images: ArrayView3<'_, f32>) -> &[u8] {
    images.to_slice().map_or(&[], bytemuck::cast_slice)
}

/// Labels of source slices on prepared ones: positive if one of its source slices is, unlabelled if all of them are.
/// Every slice of a negative exam is negative only where its label says so.
fn slice_targets(
    volume: &Volume,
    preparer: &Preparer<'_>,
    exam: &Exam,
    labels: &BTreeMap<String, Option<u8>>,
) -> Vec<u8> {
    let mut targets = vec![UNLABELLED; preparer.slices()];
    let mut known: Vec<(usize, u8)> = Vec::new();
    for (index, slice) in volume.slices.iter().enumerate() {
        let Some(Some(label)) = labels.get(slice.sop_instance_uid.as_str()) else { continue };
        known.push((index, *label));
        if let Some(prepared) = preparer.prepared_slice(index) {
            let target = &mut targets[prepared];
            *target = if *target == UNLABELLED { *label } else { (*target).max(*label) };
        }
    }
    // Where slices are thicker than the prepared step, a prepared slice may have no source slice of its own; between
    // two neighbours that agree it takes their label.
    if exam.labelled_slices == exam.slices {
        for prepared in 0..targets.len() {
            let (before, after) = (targets[..prepared].iter().rev(), targets[prepared + 1..].iter());
            let nearest =
                |mut side: Box<dyn Iterator<Item = &u8> + '_>| side.find(|target| **target != UNLABELLED).copied();
            if targets[prepared] == UNLABELLED
                && let (Some(before), Some(after)) = (nearest(Box::new(before)), nearest(Box::new(after)))
                && before == after
            {
                targets[prepared] = before;
            }
        }
    }
    targets
}

/// An embolus mask on the prepared grid: every prepared pixel that is nearest to a voxel of an embolus.
fn emboli_on(volume: &Volume, preparer: &Preparer<'_>, path: &Path) -> Result<Vec<u8>, TrainError> {
    let (voxels, geometry) = nifti::read(path)?;
    let [columns, rows, slices] = preparer.geometry().size;
    let mut emboli = vec![0; columns * rows * slices];
    for ((slice, row, column), _) in voxels.indexed_iter().filter(|(_, value)| **value > 0.5) {
        let place = geometry.to_patient(VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 });
        let source = volume.geometry.to_voxel(place).slice.round();
        let found = preparer.geometry().to_voxel(place);
        let (row, column) = (found.row.round(), found.column.round());
        let inside = source >= 0.0 && row >= 0.0 && column >= 0.0 && row < rows as f64 && column < columns as f64;
        if inside && let Some(slice) = preparer.prepared_slice(source as usize) {
            emboli[(slice * rows + row as usize) * columns + column as usize] = 1;
        }
    }
    Ok(emboli)
}

/// The lung masks that this configuration asks for, in words.
pub(crate) fn lung_source(configuration: &TrainConfiguration) -> &'static str {
    match configuration.data.lungs {
        LungSource::Truth => "truth masks",
        LungSource::Package => "the lung package",
    }
}
