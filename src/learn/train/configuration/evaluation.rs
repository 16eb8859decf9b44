//! How metrics and the operating point are found, and what is written at the end.

use std::path::PathBuf;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::checks::{SettingError, at_least_one, share};
use super::criterion::{Criterion, CriterionKeys, CriterionName};
use crate::engine::models::manifest::IntendedUse;
use crate::engine::models::package_id::{PackageId, PackageName, deserialize_version};

/// How metrics and the operating point are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "EvaluationKeys", into = "EvaluationKeys")]
pub struct Evaluation {
    /// From logits to probabilities.
    pub calibration: CalibrationMethod,
    /// Resamplings for intervals.
    pub bootstrap: usize,
    /// What the operating point is chosen for.
    pub criterion: Criterion,
    /// Share of validation exams in the indeterminate band.
    pub indeterminate_share: f64,
    /// Another experiment in the same work folder to compare with; empty for none.
    pub compare_with: String,
}

/// The section as it is written; `configs/train.toml` explains the keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluationKeys {
    calibration: CalibrationMethod,
    bootstrap: usize,
    criterion: CriterionName,
    sensitivity: f64,
    specificity: f64,
    missed_cost: f64,
    prevalence: f64,
    indeterminate_share: f64,
    compare_with: String,
}

impl TryFrom<EvaluationKeys> for Evaluation {
    type Error = SettingError;

    fn try_from(keys: EvaluationKeys) -> Result<Self, SettingError> {
        let EvaluationKeys { criterion, sensitivity, specificity, missed_cost, prevalence, .. } = keys;
        let criterion = CriterionKeys { criterion, sensitivity, specificity, missed_cost, prevalence };
        Ok(Self {
            calibration: keys.calibration,
            bootstrap: keys.bootstrap,
            criterion: criterion.try_into()?,
            indeterminate_share: keys.indeterminate_share,
            compare_with: keys.compare_with,
        })
    }
}

impl From<Evaluation> for EvaluationKeys {
    fn from(evaluation: Evaluation) -> Self {
        let Evaluation { calibration, bootstrap, criterion, indeterminate_share, compare_with } = evaluation;
        let CriterionKeys { criterion, sensitivity, specificity, missed_cost, prevalence } = criterion.into();
        Self {
            calibration,
            bootstrap,
            criterion,
            sensitivity,
            specificity,
            missed_cost,
            prevalence,
            indeterminate_share,
            compare_with,
        }
    }
}

/// How logits become probabilities, fitted on validation exams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalibrationMethod {
    /// A divisor and a bias (Platt 1999; Guo et al. 2017, arXiv:1706.04599).
    Temperature,
    /// A non-decreasing map that follows the exams; for hundreds of them. Single slices are calibrated by temperature.
    Isotonic,
    /// Logits as they are.
    None,
}

/// What is written at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name of the package.
    pub name: PackageName,
    /// Its version.
    #[serde(deserialize_with = "deserialize_version")]
    pub version: Version,
    /// SPDX identifier.
    pub license: String,
    /// Folder of packages.
    pub directory: PathBuf,
    /// What it may be used for, if the images were not synthetic.
    pub intended_use: IntendedUse,
    /// What the training images were, in words.
    pub data: String,
}

impl Package {
    /// Name and version.
    pub(in crate::learn::train) fn id(&self) -> PackageId {
        PackageId { name: self.name.clone(), version: self.version.clone() }
    }
}

impl Evaluation {
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        at_least_one(&[("evaluation.bootstrap", self.bootstrap)])?;
        share("evaluation.indeterminate_share", self.indeterminate_share)?;
        if matches!(self.criterion, Criterion::Cost { .. }) && self.calibration == CalibrationMethod::None {
            let problem = "evaluation.criterion = \"cost\" needs calibrated probabilities";
            return Err(SettingError::new("evaluation.calibration = \"none\"", problem));
        }
        Ok(())
    }
}

impl Package {
    /// The intended use of a package that was trained on such images. It is a demonstration if they are synthetic, and
    /// only then.
    pub(in super::super) fn intended_use(&self, synthetic: bool) -> IntendedUse {
        match self.intended_use {
            _ if synthetic => IntendedUse::Demonstration,
            IntendedUse::Demonstration => IntendedUse::Research,
            other => other,
        }
    }

    /// Refuses images that are neither synthetic nor described.
    pub(in super::super) fn require_description(&self, synthetic: bool) -> Result<(), SettingError> {
        if !synthetic && self.data.is_empty() {
            return Err(SettingError::new("package.data is empty", "say what the training images were"));
        }
        Ok(())
    }
}
