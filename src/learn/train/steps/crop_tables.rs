//! Tables of the crops for programs that train on them in place of the step `fit`; `docs/crops-format.md` describes them.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::datasets::seen;
use super::experiment::Experiment;
use super::preparing::{self, Assignment};
use crate::engine::models::manifest::Kind;
use crate::learn::train::TrainError;
use crate::learn::train::configuration::{PixelFormat, TrainConfiguration};
use crate::learn::train::crops::{Crops, emboli_path, images_path};
use crate::learn::train::dataset::PreparedExam;
use crate::learn::train::labels::{Place, TargetLabels};
use crate::learn::train::loss::UNLABELLED;
use crate::learn::train::lungs::Lungs;
use crate::learn::train::stage::Stage as _;
use crate::learn::train::table;

/// The number of a fit that no fold validates: it sees the exams of all folds as training exams.
const NO_FOLD: usize = usize::MAX;

/// A row of `crops.csv`: an exam, its labels, and its files relative to the work folder.
#[derive(Debug, Serialize)]
struct CropRow<'a> {
    series: &'a str,
    study: &'a str,
    patient: &'a str,
    place: Place,
    embolism: u8,
    targets: TargetLabels,
    /// Emboli were put into it: an augmentation, for training alone.
    inserted: u8,
    images: PathBuf,
    pixels: PixelFormat,
    slices: usize,
    rows: usize,
    columns: usize,
    /// Neighbours on each side that are further channels when the network is served.
    neighbours: usize,
    /// Mask of the emboli; empty where there is none, and where no slice label of the exam is used, which it would give away.
    emboli: PathBuf,
}

/// A row of `crop-slices.csv`: a slice, and whether it shows an embolus; empty where that is unknown.
#[derive(Debug, Serialize)]
struct SliceRow<'a> {
    series: &'a str,
    slice: usize,
    embolism: Option<u8>,
}

/// Writes both tables of an experiment. Where a step before has not been run, says so instead: no fit of this program needs
/// them.
///
/// # Errors
/// A table that cannot be read or written.
pub(super) fn write(experiment: &Experiment<'_>) -> Result<Vec<String>, TrainError> {
    let configuration = experiment.configuration;
    if configuration.kind != Kind::EmbolismClassifier {
        return Ok(Vec::new());
    }
    let lungs = Lungs::new(configuration, experiment.context)?;
    let tables = ["crops.csv", "crop-slices.csv"].map(|name| configuration.experiment().join(name));
    let exams = match exams(experiment, &lungs) {
        Ok(exams) => exams,
        Err(missing @ (TrainError::StepMissing { .. } | TrainError::StepIncomplete { .. })) => {
            return Ok(vec![format!(
                "crops: no tables for other software: {missing}, and `pe-node train crops` again"
            )]);
        }
        Err(error) => return Err(error),
    };
    let crops = Crops::new(configuration, &lungs);
    let rows: Vec<CropRow<'_>> =
        exams.iter().map(|(exam, place)| row(configuration, crops.folder(), exam, *place)).collect();
    let slices: Vec<SliceRow<'_>> = exams.iter().flat_map(|(exam, _)| slices(exam)).collect();
    table::write(&tables[0], &rows)?;
    table::write(&tables[1], &slices)?;
    Ok(vec![format!("crops: tables for other software, {} and {}", tables[0].display(), tables[1].display())])
}

/// The prepared exams with their places. Which slice labels are used is the same in every fold.
fn exams(experiment: &Experiment<'_>, lungs: &Lungs<'_>) -> Result<Vec<(PreparedExam, Place)>, TrainError> {
    let configuration = experiment.configuration;
    let assignments = Assignment::read(&experiment.splits())?;
    let (crops, _) = preparing::prepared(experiment, lungs)?;
    let mut exams = Vec::with_capacity(crops.len());
    for made in &crops {
        if let Some(assigned) = assignments.get(&made.exam.series).copied() {
            let seen = seen(configuration, made, assigned, NO_FOLD)?;
            exams.extend(seen.into_iter().map(|exam| (exam, assigned.place)));
        }
    }
    Ok(exams)
}

fn row<'a>(configuration: &TrainConfiguration, folder: &Path, exam: &'a PreparedExam, place: Place) -> CropRow<'a> {
    let [rows, columns] = configuration.input.size;
    let relative = |path: &Path| path.strip_prefix(&configuration.work.dir).unwrap_or(path).to_owned();
    let emboli = emboli_path(folder, &exam.series);
    CropRow {
        series: &exam.series,
        study: &exam.study,
        patient: &exam.patient,
        place,
        embolism: u8::from(exam.embolism),
        targets: exam.targets,
        inserted: u8::from(exam.inserted),
        images: relative(&images_path(folder, &exam.series)),
        pixels: configuration.work.pixels,
        slices: exam.slices,
        rows,
        columns,
        neighbours: configuration.input.neighbours,
        emboli: if exam.shows_emboli() && emboli.is_file() { relative(&emboli) } else { PathBuf::new() },
    }
}

fn slices(exam: &PreparedExam) -> impl Iterator<Item = SliceRow<'_>> {
    let row = |(slice, label): (usize, &u8)| SliceRow {
        series: &exam.series,
        slice,
        embolism: Some(*label).filter(|label| *label != UNLABELLED),
    };
    exam.slice_labels.iter().enumerate().map(row)
}
