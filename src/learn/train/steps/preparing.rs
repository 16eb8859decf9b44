//! From tables and DICOM to prepared exams.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::experiment::Experiment;
use crate::learn::train::TrainError;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::crops::{Crops, Prepared};
use crate::learn::train::labels::{self, Exam, Exclusion, Labels, Place, SplitTable};
use crate::learn::train::lungs::{FoundLungs, Lungs};
use crate::learn::train::slices::{Joined, Slices};
use crate::learn::train::stage::{self, Made, Merged, Shard, Stage};
use crate::learn::train::step::Step;
use crate::learn::train::supervision;
use crate::learn::train::table;
use crate::learn::train::volumes::{StoredVolume, Volumes};

/// What an experiment uses an exam for; a row of `splits.csv`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Assignment {
    pub(super) series: String,
    pub(super) place: Place,
    pub(super) slice_labels_used: bool,
}

/// The same without its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Assigned {
    pub(super) place: Place,
    pub(super) slice_labels: bool,
}

impl Assignment {
    pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Assigned>, TrainError> {
        let rows: Vec<Self> = table::read(path, Step::Labels)?;
        let assigned = |row: Self| {
            let Self { series, place, slice_labels_used } = row;
            (series, Assigned { place, slice_labels: slice_labels_used })
        };
        Ok(rows.into_iter().map(assigned).collect())
    }
}

pub(super) fn read_labels(experiment: &Experiment<'_>) -> Result<Vec<String>, TrainError> {
    let configuration = experiment.configuration;
    let labels = labels::read(&configuration.data)?;
    let assignments = assign(configuration, &labels.exams)?;
    keep(experiment, &labels, &assignments)?;
    let count = |wanted: fn(&Exam) -> usize| labels.exams.iter().map(wanted).sum::<usize>();
    let used = assignments.iter().filter(|assignment| assignment.slice_labels_used).count();
    let summary = format!(
        "labels: {} exams, {} with embolism, {} of {} slices labelled, labels of {used} exams used; {} exclusions, see {}",
        labels.exams.len(),
        count(|exam| usize::from(exam.embolism())),
        count(|exam| exam.labelled_slices),
        labels.slices.len(),
        labels.exclusions.len(),
        experiment.excluded_labels().display()
    );
    Ok(std::iter::once(summary).chain(labels.notes.into_iter().map(|note| format!("labels: {note}"))).collect())
}

/// Writes the tables that the other steps read.
pub(super) fn keep(experiment: &Experiment<'_>, labels: &Labels, assignments: &[Assignment]) -> Result<(), TrainError> {
    table::write(&experiment.slices(), &labels.slices)?;
    table::write(&experiment.excluded_labels(), &labels.exclusions)?;
    table::write(&experiment.exams(), &labels.exams)?;
    table::write(&experiment.splits(), assignments)
}

/// What each exam is used for, drawn or as the table of the configuration says. An exam that the table does not name is
/// not used.
pub(super) fn assign(configuration: &TrainConfiguration, all: &[Exam]) -> Result<Vec<Assignment>, TrainError> {
    let data = &configuration.data;
    let places: Vec<Option<Place>> = if data.splits.as_os_str().is_empty() {
        labels::assign_places(all, data).into_iter().map(Some).collect()
    } else {
        SplitTable::read(&data.splits, data.folds)?.places(all)?
    };
    let used = all.iter().zip(places).filter_map(|(exam, place)| Some((exam.clone(), place?)));
    let (exams, places): (Vec<Exam>, Vec<Place>) = used.unzip();
    let seed = configuration.fit.seed;
    let kept = supervision::exams_with_slice_labels(&exams, &places, configuration.supervision, seed);
    let assignment = |(exam, place): (&Exam, &Place)| Assignment {
        series: exam.series.clone(),
        place: *place,
        slice_labels_used: kept.contains(exam.series.as_str()),
    };
    Ok(exams.iter().zip(&places).map(assignment).collect())
}

/// All labelled exams.
fn labelled(experiment: &Experiment<'_>) -> Result<Vec<Made<()>>, TrainError> {
    let exams: Vec<Exam> = table::read(&experiment.exams(), Step::Labels)?;
    Ok(exams.into_iter().map(|exam| Made { exam, value: (), sources_sha256: String::new() }).collect())
}

pub(super) fn volumes(experiment: &Experiment<'_>, shard: Shard) -> Result<Vec<String>, TrainError> {
    let inputs = labelled(experiment)?;
    let exams: Vec<Exam> = inputs.iter().map(|input| input.exam.clone()).collect();
    let volumes = Volumes::new(experiment.configuration, &experiment.context.quality, &exams)?;
    take(&volumes, inputs, shard, "from DICOM")
}

pub(super) fn slices(experiment: &Experiment<'_>, shard: Shard) -> Result<Vec<String>, TrainError> {
    take(&joining(experiment)?, stored(experiment)?.made, shard, "joined with their labels")
}

pub(super) fn lungs(experiment: &Experiment<'_>, shard: Shard) -> Result<Vec<String>, TrainError> {
    let lungs = Lungs::new(experiment.configuration, experiment.context)?;
    take(&lungs, stored(experiment)?.made, shard, lungs.source())
}

pub(super) fn crops(experiment: &Experiment<'_>, shard: Shard) -> Result<Vec<String>, TrainError> {
    let lungs = Lungs::new(experiment.configuration, experiment.context)?;
    let found = found(experiment, &lungs)?;
    let mut lines = take(&Crops::new(experiment.configuration, &lungs), found, shard, "prepared")?;
    lines.extend(unused_folders(&experiment.configuration.work.dir));
    Ok(lines)
}

/// Names the folders of crops that an earlier version left under another name.
fn unused_folders(work: &Path) -> Option<String> {
    let entries = std::fs::read_dir(work).ok()?.flatten();
    let names = entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().display().to_string());
    let mut earlier: Vec<String> = names.filter(|name| name.starts_with("boxes-")).collect();
    earlier.sort();
    let these = earlier.join(", ");
    let what = "are of an earlier version and are not read any more: they can be deleted";
    (!earlier.is_empty()).then(|| format!("crops: {these} in {} {what}", work.display()))
}

/// Runs a step, and merges the outcomes unless only a shard was run.
fn take<S: Stage>(stage: &S, inputs: Vec<Made<S::Input>>, shard: Shard, how: &str) -> Result<Vec<String>, TrainError> {
    stage::run(stage, &inputs, shard)?;
    let folder = stage.folder().display();
    if shard != Shard::ALL {
        return Ok(vec![format!("{}: the shard is done, in {folder}", S::STEP)]);
    }
    let merged = stage::merge(stage, inputs)?;
    let (made, excluded) = (merged.made.len(), merged.exclusions.len());
    Ok(vec![format!("{}: {made} exams {how}, {excluded} excluded, in {folder}", S::STEP)])
}

fn stored(experiment: &Experiment<'_>) -> Result<Merged<StoredVolume>, TrainError> {
    stage::merge(&Volumes::stored(experiment.configuration), labelled(experiment)?)
}

fn joining(experiment: &Experiment<'_>) -> Result<Slices, TrainError> {
    Ok(Slices::new(experiment.configuration, table::read(&experiment.slices(), Step::Labels)?))
}

/// The exams whose lungs were looked for.
pub(super) fn found(experiment: &Experiment<'_>, lungs: &Lungs<'_>) -> Result<Vec<Made<FoundLungs>>, TrainError> {
    Ok(stage::merge(lungs, stored(experiment)?.made)?.made)
}

/// The prepared exams, and what the steps left out.
pub(super) fn prepared(
    experiment: &Experiment<'_>,
    lungs: &Lungs<'_>,
) -> Result<(Vec<Made<Prepared>>, Vec<Exclusion>), TrainError> {
    let volumes = stored(experiment)?;
    let joined: Merged<Joined> = stage::merge(&joining(experiment)?, volumes.made.clone())?;
    let found = stage::merge(lungs, volumes.made)?;
    let crops = stage::merge(&Crops::new(experiment.configuration, lungs), found.made)?;
    let exclusions = [volumes.exclusions, joined.exclusions, found.exclusions, crops.exclusions].concat();
    Ok((crops.made, exclusions))
}
