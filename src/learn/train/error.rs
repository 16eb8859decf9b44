//! Why a training step failed.

use std::path::{Path, PathBuf};

use super::configuration::SettingError;
use super::network::WeightsError;
use super::step::Step;
use crate::config::ConfigError;
use crate::engine::analyse::AnalyseError;
use crate::engine::models::ModelsError;
use crate::engine::models::session::SessionError;
use crate::engine::volume::nifti::NiftiError;
use crate::engine::volume::preparation::PreparationError;
use crate::packages::folder::FolderError;

/// Why a training step failed. Each error names what was being done and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// A setting cannot be used for these exams.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A file cannot be read or written.
    #[error("{action} {path}: {source}", path = path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A table is not valid.
    #[error("{path}{place}: {problem}", path = path.display(), place = line.map_or(String::new(), |line| format!(", line {line}")))]
    Table {
        /// The file.
        path: PathBuf,
        /// Line of the problem, from 1.
        line: Option<u64>,
        /// What was found and what was expected.
        problem: String,
    },
    /// The exams do not allow what was asked for.
    #[error("{0}")]
    Exams(String),
    /// A step's input is missing.
    #[error("{path} is not there; run `pe-node train {step}` first", path = path.display())]
    StepMissing {
        /// What is missing.
        path: PathBuf,
        /// The step that makes it.
        step: Step,
    },
    /// A step has not done all exams.
    #[error(
        "{missing} of {all} exams lack the step `{step}`; run `pe-node train {step}`, or the shards that are missing"
    )]
    StepIncomplete {
        /// The step.
        step: Step,
        /// Exams without an outcome.
        missing: usize,
        /// Exams in the table.
        all: usize,
    },
    /// A mask cannot be read.
    #[error(transparent)]
    Nifti(#[from] NiftiError),
    /// Images cannot be prepared.
    #[error(transparent)]
    Preparation(#[from] PreparationError),
    /// The lungs of an exam cannot be found.
    #[error(transparent)]
    Analyse(#[from] AnalyseError),
    /// The lung package, or the exported package, does not run.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The package cannot be written to the folder of packages.
    #[error("exporting to package.directory = {directory}: {source}", directory = directory.display())]
    Publishing {
        /// The folder of packages.
        directory: PathBuf,
        /// What prevents it, `package.version` for instance.
        source: Box<FolderError>,
    },
    /// The network cannot be written as ONNX.
    #[error("exporting the network: {0}; use only operations that burn-onnx can export")]
    Export(String),
    /// A checkpoint cannot be read or written.
    #[error("checkpoint {path}: {problem}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        problem: String,
    },
    /// Initial weights cannot be read from a file.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The loss is no longer a finite number.
    #[error("the loss of step {step} of epoch {epoch} is not a finite number; lower fit.learning_rate")]
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// Step, from 1.
        step: usize,
    },
    /// A file is not a network of the layout that was asked for.
    #[error("{path}: {problem}; {expected} was expected", path = path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// What it has.
        problem: String,
        /// What the layout needs.
        expected: String,
    },
    /// ONNX Runtime and the training program disagree.
    #[error("ONNX Runtime differs from training by {difference:.1e} on {output}, at most {limit:.0e} was expected")]
    Parity {
        /// The output.
        output: &'static str,
        /// Largest difference.
        difference: f32,
        /// What is allowed.
        limit: f32,
    },
}

impl From<SessionError> for TrainError {
    fn from(source: SessionError) -> Self {
        Self::Models(ModelsError::Runtime(source))
    }
}

impl TrainError {
    /// For `map_err` on file operations.
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(super) fn table(path: &Path, line: Option<u64>, problem: impl Into<String>) -> Self {
        Self::Table { path: path.to_owned(), line, problem: problem.into() }
    }
}
