//! Where exams come from, which of their labels are used, and where results go.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checks::{SettingError, share};

/// Where exams come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Cohort in RSPECT's layout.
    pub root: PathBuf,
    /// Cohort for validation; empty to split `root`.
    pub validation_root: PathBuf,
    /// Cohort for the test; empty to split `root`.
    pub test_root: PathBuf,
    /// Table of labels in each cohort's folder.
    pub labels: PathBuf,
    /// List of exams that are left out; empty for none.
    pub exclude: PathBuf,
    /// Table of what each exam is used for; empty to draw it.
    pub splits: PathBuf,
    /// Seed of that draw.
    pub split_seed: u64,
    /// Number of folds; fewer than 2 for one fit.
    pub folds: usize,
    /// Share of patients for validation.
    pub validation_fraction: f64,
    /// Share of patients for the test.
    pub test_fraction: f64,
    /// Exams used of each cohort; 0 for all.
    pub maximum_exams: usize,
    /// Where lung masks come from.
    pub lungs: LungSource,
    /// Folder of the lung package.
    pub models_directory: PathBuf,
}

/// Where lung masks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LungSource {
    /// `truth/<series uid>/lungs.nii.gz` in the cohort.
    Truth,
    /// The active lung package, as when serving.
    Package,
}

/// Where results go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Folder of tables, prepared images and experiments.
    pub dir: PathBuf,
    /// Name of the experiment.
    pub experiment: String,
    /// How the pixels of prepared images are kept.
    pub pixels: PixelFormat,
}

/// How the pixels of prepared images are kept on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelFormat {
    /// Bit for bit as they are served.
    #[default]
    F32,
    /// Half the space; intensities between 0 and 1 are rounded to 0.0005 at most.
    F16,
}

/// Which slice labels are used: the others are treated as unlabelled. Counted on source slices, before any sampling;
/// exam labels are used for all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervision {
    /// Share of the exams whose slice labels are used.
    pub labelled_exams: f64,
    /// Share of the labelled slices that are used in each of these exams.
    pub labelled_slices: f64,
    /// What is known of the slices of an exam without embolism.
    pub negatives: Negatives,
}

/// What is known of the slices of an exam without embolism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negatives {
    /// None of them shows an embolus: the exam label says so, and no slice label is needed.
    Free,
    /// Only what slice labels say.
    Labelled,
}

impl Data {
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        if self.folds >= 2 && !self.validation_root.as_os_str().is_empty() {
            let both =
                format!("data.folds = {} and data.validation_root = {}", self.folds, self.validation_root.display());
            return Err(SettingError::new(both, "folds validate on each other; set one of them"));
        }
        share("data.validation_fraction", self.validation_fraction)?;
        share("data.test_fraction", self.test_fraction)?;
        let apart = self.validation_fraction + self.test_fraction;
        if self.splits.as_os_str().is_empty() && apart >= 1.0 {
            let both = format!(
                "data.validation_fraction = {} and data.test_fraction = {}",
                self.validation_fraction, self.test_fraction
            );
            return Err(SettingError::new(both, "together less than 1 was expected, or no exam is left to train on"));
        }
        Ok(())
    }
}

impl Supervision {
    pub(super) fn validate(self) -> Result<(), SettingError> {
        share("supervision.labelled_exams", self.labelled_exams)?;
        share("supervision.labelled_slices", self.labelled_slices)
    }
}
