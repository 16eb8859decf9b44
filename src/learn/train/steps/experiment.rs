//! An experiment: its settings, what it is given, and where the files of its steps lie.

use std::path::PathBuf;

use crate::learn::train::TrainingContext;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::fit::FitPart;

/// An experiment, or one of its fits.
#[derive(Debug, Clone)]
pub(super) struct Experiment<'a> {
    pub(super) configuration: &'a TrainConfiguration,
    pub(super) context: &'a TrainingContext,
    /// The folder of one fit: the experiment's, or that of a fold.
    pub(super) folder: PathBuf,
    /// Number of the fit.
    pub(super) number: usize,
}

impl<'a> Experiment<'a> {
    pub(super) fn new(configuration: &'a TrainConfiguration, context: &'a TrainingContext) -> Self {
        Self { configuration, context, folder: configuration.experiment(), number: 0 }
    }

    /// Each fit of the experiment: one, or one per fold.
    pub(super) fn fits(&self) -> Vec<Self> {
        if self.configuration.data.folds < 2 {
            return vec![self.clone()];
        }
        let fold = |number| Self { folder: self.folder.join(format!("fold-{number}")), number, ..self.clone() };
        (0..self.configuration.data.folds).map(fold).collect()
    }

    /// The table of labelled exams, which all experiments of a work folder share.
    pub(super) fn exams(&self) -> PathBuf {
        self.labels().join("exams.csv")
    }

    /// Their slice labels.
    pub(super) fn slices(&self) -> PathBuf {
        self.labels().join("slices.csv")
    }

    /// Exams whose labels cannot be used.
    pub(super) fn excluded_labels(&self) -> PathBuf {
        self.labels().join("exclusions.csv")
    }

    fn labels(&self) -> PathBuf {
        self.configuration.work.dir.join("labels")
    }

    /// What the experiment, with all of its fits, uses each exam for.
    pub(super) fn splits(&self) -> PathBuf {
        self.configuration.experiment().join("splits.csv")
    }

    /// What the weights were fitted to, and how.
    pub(super) fn provenance(&self) -> PathBuf {
        self.folder.join("provenance.json")
    }

    /// The same as an earlier version wrote it.
    pub(super) fn earlier_provenance(&self) -> PathBuf {
        self.folder.join("fit.sha256")
    }

    pub(super) fn prepared(&self) -> PathBuf {
        self.folder.join("prepared.csv")
    }

    pub(super) fn excluded(&self) -> PathBuf {
        self.folder.join("exclusions.csv")
    }

    pub(super) fn evaluation(&self) -> PathBuf {
        self.folder.join("evaluation.json")
    }

    /// Checkpoints of a part of the fit.
    pub(super) fn checkpoints(&self, part: FitPart) -> PathBuf {
        self.folder.join(part.folder())
    }
}
