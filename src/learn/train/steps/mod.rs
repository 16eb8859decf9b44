//! The steps of `pe-node train`, each from the files of the one before to its own.

mod evaluating;
mod fitting;
mod preparing;

use std::path::PathBuf;
use std::str::FromStr;

use super::TrainError;
use super::configuration::TrainConfiguration;
use super::dataset::Dataset;
use super::files::table;
use super::labels::Split;
use super::volumes::{self, PreparedExam};

/// A step of the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `train.csv` to exams, slice labels and splits.
    Labels,
    /// DICOM to prepared images.
    Volumes,
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
    const ORDER: [Self; 5] = [Self::Labels, Self::Volumes, Self::Fit, Self::Evaluate, Self::Export];

    /// Names of all steps, as typed.
    pub const NAMES: [&'static str; 6] = ["labels", "volumes", "fit", "evaluate", "export", "all"];
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = Self::NAMES.iter().position(|name| *name == text);
        let place = place.ok_or_else(|| format!("`{text}` is no step; steps are {}", Self::NAMES.join(", ")))?;
        Ok(Self::ORDER.get(place).copied().unwrap_or(Self::All))
    }
}

/// Runs one step or all. Gives lines that say what was done.
pub fn run(step: Step, configuration: &TrainConfiguration) -> Result<Vec<String>, TrainError> {
    let paths = Paths::new(configuration);
    match step {
        Step::Labels => preparing::read_labels(configuration, &paths),
        Step::Volumes => preparing::prepare_volumes(configuration, &paths),
        Step::Fit => fitting::fit_weights(configuration, &paths),
        Step::Evaluate => evaluating::evaluate_weights(configuration, &paths),
        Step::Export => evaluating::export_package(configuration, &paths),
        Step::All => {
            let mut lines = Vec::new();
            for step in Step::ORDER {
                lines.extend(run(step, configuration)?);
            }
            Ok(lines)
        }
    }
}

/// Where the steps' files lie.
struct Paths {
    exams: PathBuf,
    slices: PathBuf,
    excluded_labels: PathBuf,
    prepared: PathBuf,
    excluded_volumes: PathBuf,
    volumes: PathBuf,
    experiment: PathBuf,
}

impl Paths {
    fn new(configuration: &TrainConfiguration) -> Self {
        let labels = configuration.work.directory.join("labels");
        let experiment = configuration.experiment();
        Self {
            exams: labels.join("exams.csv"),
            slices: labels.join("slices.csv"),
            excluded_labels: labels.join("exclusions.csv"),
            prepared: experiment.join("prepared.csv"),
            excluded_volumes: experiment.join("exclusions.csv"),
            volumes: volumes::folder(configuration),
            experiment,
        }
    }

    fn evaluation(&self) -> PathBuf {
        self.experiment.join("evaluation.json")
    }

    /// Checkpoints of a fit: `network` for all weights, `head` for the head alone.
    fn checkpoints(&self, what: &str) -> PathBuf {
        self.experiment.join(what)
    }
}

/// Prepared exams of each split that has any.
fn datasets(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<(Split, Dataset)>, TrainError> {
    let prepared: Vec<PreparedExam> = table::read(&paths.prepared, "volumes")?;
    let of = |split| {
        let exams = prepared.iter().filter(|exam| exam.split == split).cloned().collect();
        Dataset::new(paths.volumes.clone(), configuration.input.size, configuration.input.neighbours, exams)
    };
    let all = [Split::Train, Split::Validation, Split::Test].map(|split| (split, of(split)));
    Ok(all.into_iter().filter(|(_, data)| !data.exams.is_empty()).collect())
}

fn split(datasets: &[(Split, Dataset)], wanted: Split) -> Result<&Dataset, TrainError> {
    let found = datasets.iter().find(|(split, _)| *split == wanted);
    found.map(|(_, data)| data).ok_or_else(|| {
        TrainError::Exams(format!("no exams for {wanted:?}; give more exams or another share (data.*_fraction)"))
    })
}
