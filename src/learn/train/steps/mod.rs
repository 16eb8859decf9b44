//! The steps of `pe-node train`, each from the files of the one before to its own.

mod evaluating;
mod experiment;
mod fitting;
mod preparing;

use std::str::FromStr;

use super::boxes::Boxes;
use super::configuration::TrainConfiguration;
use super::dataset::{Dataset, PreparedExam, Use};
use super::files::table;
use super::labels::{Exclusion, Split};
use super::lungs::Lungs;
use super::slices;
use super::stage::{Shard, Stage as _};
use super::{TrainError, TrainingContext};
use experiment::Experiment;
use preparing::{Assigned, Assignment};

/// A step of the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Tables of labels to exams, slice labels and splits.
    Labels,
    /// DICOM to volumes.
    Volumes,
    /// Slice labels onto the slices of the volumes.
    Slices,
    /// Lung masks.
    Lungs,
    /// What lies around the lungs, prepared for the network.
    Boxes,
    /// Weights.
    Fit,
    /// Figures, calibration, operating point.
    Evaluate,
    /// The model package.
    Export,
    /// All of them, in this order.
    All,
}

impl Step {
    const ORDER: [Self; 8] =
        [Self::Labels, Self::Volumes, Self::Slices, Self::Lungs, Self::Boxes, Self::Fit, Self::Evaluate, Self::Export];

    /// Names of all steps, as typed.
    pub const NAMES: [&'static str; 9] =
        ["labels", "volumes", "slices", "lungs", "boxes", "fit", "evaluate", "export", "all"];

    /// Whether the step goes exam by exam and can be spread over machines.
    fn has_shards(self) -> bool {
        matches!(self, Self::Volumes | Self::Slices | Self::Lungs | Self::Boxes)
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = Self::NAMES.iter().position(|name| *name == text);
        let place = place.ok_or_else(|| format!("`{text}` is no step; steps are {}", Self::NAMES.join(", ")))?;
        Ok(Self::ORDER.get(place).copied().unwrap_or(Self::All))
    }
}

/// Runs one step or all, of all exams or those of a shard. Gives lines that say what was done.
///
/// # Errors
/// A shard of a step that does not go exam by exam, and whatever ends a step.
pub fn run(
    step: Step,
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    shard: Shard,
) -> Result<Vec<String>, TrainError> {
    if shard != Shard::ALL && !step.has_shards() {
        let problem = "a shard was named; only the steps volumes, slices, lungs and boxes go exam by exam";
        return Err(TrainError::Exams(problem.to_owned()));
    }
    let experiment = Experiment::new(configuration, context);
    match step {
        Step::Labels => preparing::read_labels(&experiment),
        Step::Volumes => preparing::volumes(&experiment, shard),
        Step::Slices => preparing::slices(&experiment, shard),
        Step::Lungs => preparing::lungs(&experiment, shard),
        Step::Boxes => preparing::boxes(&experiment, shard),
        Step::Fit => fitting::fit_weights(&experiment),
        Step::Evaluate => evaluating::evaluate_weights(&experiment),
        Step::Export => evaluating::export_package(&experiment),
        Step::All => {
            let mut lines = Vec::new();
            for step in Step::ORDER {
                lines.extend(run(step, configuration, context, Shard::ALL)?);
            }
            Ok(lines)
        }
    }
}

/// Prepared exams of each split that has any, in one fit. Writes down which they are and which were left out.
fn datasets(experiment: &Experiment<'_>) -> Result<Vec<(Split, Dataset)>, TrainError> {
    let configuration = experiment.configuration;
    let lungs = Lungs::new(configuration, experiment.context)?;
    let stage = Boxes::new(configuration, &lungs);
    let (boxes, mut exclusions) = preparing::prepared(experiment, &lungs)?;
    let assignments = Assignment::read(&experiment.splits())?;
    let labels = slices::folder(configuration);
    let mut exams = Vec::with_capacity(boxes.len());
    for made in &boxes {
        let Some(Assigned { place, slice_labels }) = assignments.get(&made.exam.series).copied() else {
            return Err(TrainError::StepMissing { path: experiment.splits(), step: "labels" });
        };
        let (supervision, seed) = (configuration.supervision, configuration.fit.seed);
        let usage = Use { split: place.split(experiment.number), slice_labels, supervision, seed };
        exams.push(PreparedExam::new(made, &labels, usage)?);
    }
    let of_labels: Vec<Exclusion> = table::read(&experiment.excluded_labels(), "labels")?;
    exclusions.splice(0..0, of_labels);
    table::write(&experiment.excluded(), &exclusions)?;
    table::write(&experiment.prepared(), &exams)?;
    let of = |split| {
        let some = exams.iter().filter(|exam| exam.split == split).cloned().collect();
        Dataset::new(stage.folder().to_owned(), &configuration.input, some)
    };
    let all = [Split::Train, Split::Validation, Split::Test].map(|split| (split, of(split)));
    Ok(all.into_iter().filter(|(_, data)| !data.exams.is_empty()).collect())
}

/// Prepared exams of the experiment's first fit.
#[cfg(test)]
pub(super) fn datasets_of(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
) -> Result<Vec<(Split, Dataset)>, TrainError> {
    datasets(&Experiment::new(configuration, context).fits()[0])
}

fn split(datasets: &[(Split, Dataset)], wanted: Split) -> Result<&Dataset, TrainError> {
    let found = datasets.iter().find(|(split, _)| *split == wanted);
    found.map(|(_, data)| data).ok_or_else(|| {
        TrainError::Exams(format!("no exams for {wanted:?}; give more exams or another share (data.*_fraction)"))
    })
}
