//! The steps of `pe-node train`, each from the files of the one before to its own.

mod evaluating;
mod fitting;
mod preparing;

use std::path::PathBuf;
use std::str::FromStr;

use super::TrainError;
use super::boxes::Boxes;
use super::configuration::TrainConfiguration;
use super::dataset::{Dataset, PreparedExam, Use};
use super::files::table;
use super::labels::{Exclusion, Split};
use super::lungs::Lungs;
use super::slices;
use super::stage::{Shard, Stage as _};
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
pub fn run(step: Step, configuration: &TrainConfiguration, shard: Shard) -> Result<Vec<String>, TrainError> {
    if shard != Shard::ALL && !step.has_shards() {
        let problem = "a shard was named; only the steps volumes, slices, lungs and boxes go exam by exam";
        return Err(TrainError::Exams(problem.to_owned()));
    }
    let paths = Paths::new(configuration);
    match step {
        Step::Labels => preparing::read_labels(configuration, &paths),
        Step::Volumes => preparing::volumes(configuration, &paths, shard),
        Step::Slices => preparing::slices(configuration, &paths, shard),
        Step::Lungs => preparing::lungs(configuration, &paths, shard),
        Step::Boxes => preparing::boxes(configuration, &paths, shard),
        Step::Fit => fitting::fit_weights(configuration, &paths),
        Step::Evaluate => evaluating::evaluate_weights(configuration, &paths),
        Step::Export => evaluating::export_package(configuration, &paths),
        Step::All => {
            let mut lines = Vec::new();
            for step in Step::ORDER {
                lines.extend(run(step, configuration, Shard::ALL)?);
            }
            Ok(lines)
        }
    }
}

/// Where the steps' files lie.
#[derive(Debug, Clone)]
struct Paths {
    exams: PathBuf,
    slices: PathBuf,
    excluded_labels: PathBuf,
    /// Of the experiment as a whole.
    splits: PathBuf,
    /// Of one fit: the experiment's folder, or that of a fold.
    fit: PathBuf,
    /// Number of the fit.
    number: usize,
}

impl Paths {
    fn new(configuration: &TrainConfiguration) -> Self {
        let labels = configuration.work.dir.join("labels");
        let experiment = configuration.experiment();
        Self {
            exams: labels.join("exams.csv"),
            slices: labels.join("slices.csv"),
            excluded_labels: labels.join("exclusions.csv"),
            splits: experiment.join("splits.csv"),
            fit: experiment,
            number: 0,
        }
    }

    /// The same for each fit of the experiment: one, or one a fold.
    fn fits(&self, configuration: &TrainConfiguration) -> Vec<Self> {
        if configuration.data.folds < 2 {
            return vec![self.clone()];
        }
        let fold = |number| Self { fit: self.fit.join(format!("fold-{number}")), number, ..self.clone() };
        (0..configuration.data.folds).map(fold).collect()
    }

    /// What the weights are of.
    fn identity(&self) -> PathBuf {
        self.fit.join("fit.sha256")
    }

    fn prepared(&self) -> PathBuf {
        self.fit.join("prepared.csv")
    }

    fn excluded(&self) -> PathBuf {
        self.fit.join("exclusions.csv")
    }

    fn evaluation(&self) -> PathBuf {
        self.fit.join("evaluation.json")
    }

    /// Checkpoints of a fit: `network` for all weights, `head` for the head alone.
    fn checkpoints(&self, what: &str) -> PathBuf {
        self.fit.join(what)
    }
}

/// Prepared exams of each split that has any, in one fit. Writes down which they are and which were left out.
fn datasets(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<(Split, Dataset)>, TrainError> {
    let lungs = Lungs::new(configuration)?;
    let stage = Boxes::new(configuration, &lungs);
    let (boxes, mut exclusions) = preparing::prepared(configuration, paths, &lungs)?;
    let assignments = Assignment::read(&paths.splits)?;
    let labels = slices::folder(configuration);
    let mut exams = Vec::with_capacity(boxes.len());
    for made in &boxes {
        let Some(Assigned { place, slice_labels }) = assignments.get(&made.exam.series).copied() else {
            return Err(TrainError::StepMissing { path: paths.splits.clone(), step: "labels" });
        };
        let (supervision, seed) = (configuration.supervision, configuration.fit.seed);
        let usage = Use { split: place.split(paths.number), slice_labels, supervision, seed };
        exams.push(PreparedExam::new(made, &labels, usage)?);
    }
    let of_labels: Vec<Exclusion> = table::read(&paths.excluded_labels, "labels")?;
    exclusions.splice(0..0, of_labels);
    table::write(&paths.excluded(), &exclusions)?;
    table::write(&paths.prepared(), &exams)?;
    let of = |split| {
        let some = exams.iter().filter(|exam| exam.split == split).cloned().collect();
        Dataset::new(stage.folder().to_owned(), &configuration.input, some)
    };
    let all = [Split::Train, Split::Validation, Split::Test].map(|split| (split, of(split)));
    Ok(all.into_iter().filter(|(_, data)| !data.exams.is_empty()).collect())
}

/// Prepared exams of the experiment's first fit.
#[cfg(test)]
pub(super) fn datasets_of(configuration: &TrainConfiguration) -> Result<Vec<(Split, Dataset)>, TrainError> {
    datasets(configuration, &Paths::new(configuration).fits(configuration)[0])
}

fn split(datasets: &[(Split, Dataset)], wanted: Split) -> Result<&Dataset, TrainError> {
    let found = datasets.iter().find(|(split, _)| *split == wanted);
    found.map(|(_, data)| data).ok_or_else(|| {
        TrainError::Exams(format!("no exams for {wanted:?}; give more exams or another share (data.*_fraction)"))
    })
}
