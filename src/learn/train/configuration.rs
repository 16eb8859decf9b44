//! Settings of a training: `configs/train.toml` holds every key with its default.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::network::{EncoderConfiguration, HeadConfiguration, LungConfiguration};
use crate::config::ConfigError;
use crate::config::layers::Layered;
use crate::engine::models::manifest::{IntendedUse, Kind};
use crate::engine::volume::preparation::Preparation;

/// The commented defaults, which are also the reference of every key.
pub(super) const DEFAULTS: &str = include_str!("../../../configs/train.toml");

/// All settings of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfiguration {
    /// What is learnt.
    pub kind: Kind,
    /// Where exams come from.
    pub data: Data,
    /// Where results go.
    pub work: Work,
    /// How images are prepared; travels in the package.
    pub input: Preparation,
    /// Slice encoder of the embolism classifier.
    pub encoder: EncoderConfiguration,
    /// Exam head of the embolism classifier.
    pub head: HeadConfiguration,
    /// Lung network.
    pub lung_network: LungConfiguration,
    /// How weights are fitted.
    pub fit: Fit,
    /// How training images are varied.
    pub augmentation: Augmentation,
    /// How figures and the operating point are found.
    pub evaluation: Evaluation,
    /// What is written at the end.
    pub package: Package,
}

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
    pub directory: PathBuf,
    /// Name of the experiment.
    pub experiment: String,
}

/// How weights are fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// Of everything that is drawn.
    pub seed: u64,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// Passes over the training exams.
    pub epochs: usize,
    /// Time limit; 0 for none.
    pub maximum_minutes: f64,
    /// Exams in one step.
    pub exams_per_step: usize,
    /// Slices drawn of each.
    pub slices_per_exam: usize,
    /// Neighbouring slices drawn together.
    pub run_length: usize,
    /// Steps whose gradients are added up.
    pub accumulate: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Learning rate at the end of the cosine.
    pub final_learning_rate: f64,
    /// Steps of linear warm-up.
    pub warm_up_steps: usize,
    /// Of AdamW.
    pub weight_decay: f64,
    /// Largest joint norm of the gradients.
    pub gradient_norm: f64,
    /// Weight of the exams' term of the loss.
    pub exam_weight: f64,
    /// Weight of the labelled slices' term.
    pub slice_weight: f64,
    /// Weight of the term of evidence cells against embolus masks.
    pub mask_weight: f64,
    /// Share of positive exams among those drawn; 0 to draw as they come.
    pub positive_share: f64,
    /// Epochs without a better figure before the end; 0 for no early stop.
    pub patience: usize,
    /// One of so many slices of a validation exam is looked at during the fit.
    pub validation_stride: usize,
    /// Epochs on patches before whole slices, for cohorts with masks of the emboli; 0 for none.
    pub patch_epochs: usize,
    /// Time limit of them; 0 for none.
    pub patch_minutes: f64,
    /// Patches in one step.
    pub patches_per_step: usize,
    /// Rows and columns of a patch.
    pub patch_size: usize,
    /// Highest learning rate on patches.
    pub patch_learning_rate: f64,
    /// Training exams on whose whole stacks the head is fitted; 0 for none.
    pub head_exams: usize,
    /// Passes over them.
    pub head_epochs: usize,
    /// Highest learning rate of the head's own fit.
    pub head_learning_rate: f64,
}

/// How training images are varied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Largest shift in millimetres.
    pub shift_mm: f64,
    /// Largest change of size.
    pub scale: f64,
    /// Largest rotation.
    pub rotation_degrees: f64,
    /// Largest offset of the intensity, which runs from 0 to 1.
    pub offset: f64,
    /// Largest change of the contrast.
    pub factor: f64,
    /// Largest standard deviation of added noise.
    pub noise: f64,
    /// Largest change of the exponent of a power law over the intensity.
    pub gamma: f64,
    /// Chance of exchanging left and right.
    pub flip: f64,
}

/// How figures and the operating point are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Resamplings for intervals.
    pub bootstrap: usize,
    /// Wanted on validation exams.
    pub sensitivity: f64,
    /// Share of validation exams in the indeterminate band.
    pub indeterminate_share: f64,
}

/// What is written at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name of the package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SPDX identifier.
    pub license: String,
    /// Folder of packages.
    pub directory: PathBuf,
    /// What it may be used for.
    pub intended_use: IntendedUse,
    /// What the training images were, in words.
    pub data: String,
}

impl TrainConfiguration {
    /// Merges defaults, file and flags (`KEY=VALUE`), and validates the result.
    pub fn load(file: Option<&Path>, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut layered = Layered::defaults(DEFAULTS)?;
        if let Some(path) = file {
            layered.merge_file(path)?;
        }
        layered.merge_flags(overrides)?;
        let configuration: Self = layered.typed()?;
        configuration.validate().map_err(ConfigError::Invalid)?;
        Ok(configuration)
    }

    /// Folder of the experiment: checkpoints, logs, results.
    pub(super) fn experiment(&self) -> PathBuf {
        self.work.directory.join(&self.work.experiment)
    }

    /// The settings as TOML, as they are kept beside the weights.
    pub(super) fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }

    fn validate(&self) -> Result<(), String> {
        let fit = &self.fit;
        let positive = [
            ("fit.epochs", fit.epochs),
            ("fit.exams_per_step", fit.exams_per_step),
            ("fit.slices_per_exam", fit.slices_per_exam),
            ("fit.run_length", fit.run_length),
            ("fit.accumulate", fit.accumulate),
            ("fit.validation_stride", fit.validation_stride),
            ("fit.patches_per_step", fit.patches_per_step),
            ("evaluation.bootstrap", self.evaluation.bootstrap),
            ("head.width", self.head.width),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{key} = 0: at least 1 was expected"));
        }
        if !fit.slices_per_exam.is_multiple_of(fit.run_length) {
            return Err(format!(
                "fit.run_length = {}: a divisor of fit.slices_per_exam = {} was expected",
                fit.run_length, fit.slices_per_exam
            ));
        }
        let shares = [
            ("data.validation_fraction", self.data.validation_fraction),
            ("data.test_fraction", self.data.test_fraction),
            ("fit.exam_weight", fit.exam_weight),
            ("fit.slice_weight", fit.slice_weight),
            ("fit.mask_weight", fit.mask_weight),
            ("fit.positive_share", fit.positive_share),
            ("augmentation.flip", self.augmentation.flip),
            ("evaluation.sensitivity", self.evaluation.sensitivity),
            ("evaluation.indeterminate_share", self.evaluation.indeterminate_share),
        ];
        if let Some((key, value)) = shares.iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            return Err(format!("{key} = {value}: a number from 0 to 1 was expected"));
        }
        if fit.exam_weight + fit.slice_weight <= 0.0 {
            return Err("fit.exam_weight and fit.slice_weight are both 0: nothing would be learnt".to_owned());
        }
        let smallest = self.input.size.iter().copied().min().unwrap_or_default();
        if fit.patch_epochs > 0 && (!fit.patch_size.is_multiple_of(8) || !(16..=smallest).contains(&fit.patch_size)) {
            return Err(format!(
                "fit.patch_size = {}: a multiple of 8 from 16 to {smallest} was expected",
                fit.patch_size
            ));
        }
        if fit.patch_epochs > 0 && fit.mask_weight == 0.0 {
            return Err("fit.patch_epochs: patches are learnt from masks; fit.mask_weight is 0".to_owned());
        }
        if self.head.context.is_multiple_of(2) {
            return Err(format!("head.context = {}: an odd number was expected", self.head.context));
        }
        if self.package.intended_use != IntendedUse::Demonstration && self.package.data.is_empty() {
            return Err("package.data is empty: say what the training images were".to_owned());
        }
        if self.kind == Kind::LungSegmentation && self.augmentation.flip > 0.0 {
            return Err("augmentation.flip: 0 was expected for lungs, whose classes are sides".to_owned());
        }
        let (multiple, levels) = match self.kind {
            Kind::EmbolismClassifier => (8, self.encoder.widths.len()),
            Kind::LungSegmentation => {
                (1 << self.lung_network.widths.len().saturating_sub(1), self.lung_network.widths.len())
            }
        };
        if levels == 0 || self.input.size.iter().any(|size| *size == 0 || !size.is_multiple_of(multiple)) {
            return Err(format!("input.size = {:?}: multiples of {multiple} were expected", self.input.size));
        }
        Ok(())
    }
}
