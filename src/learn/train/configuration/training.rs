//! All settings of a training together.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::checks::SettingError;
use super::data::{Data, Supervision, Work};
use super::evaluation::{Evaluation, Package};
use super::fit::{Augmentation, Fit};
use super::network::{EncoderConfiguration, HeadConfiguration, LungConfiguration};
use super::options;
use crate::config::ConfigError;
use crate::config::layers::Layered;
use crate::engine::models::manifest::Kind;
use crate::engine::volume::preparation::Preparation;

/// The commented defaults, which are also the reference of every key.
const DEFAULTS: &str = include_str!("../../../../configs/train.toml");

/// All settings of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfiguration {
    /// What is trained.
    pub kind: Kind,
    /// Where exams come from.
    pub data: Data,
    /// Which slice labels are used.
    pub supervision: Supervision,
    /// Where results go.
    pub work: Work,
    /// How images are prepared; stored in the package.
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
    /// How metrics and the operating point are found.
    pub evaluation: Evaluation,
    /// What is written at the end.
    pub package: Package,
}

impl TrainConfiguration {
    /// Merges defaults, file and flags (`KEY=VALUE`), and validates the result.
    pub fn load(file: Option<&Path>, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut layered = Layered::defaults(DEFAULTS)?;
        if let Some(path) = file {
            layered.merge_file(path).map_err(options::translated)?;
        }
        layered.merge_flags(overrides).map_err(options::translated)?;
        let configuration: Self = layered.typed()?;
        configuration.validate().map_err(|error| ConfigError::Invalid(error.to_string()))?;
        Ok(configuration)
    }

    /// Folder of the experiment: checkpoints, logs, results.
    pub(in super::super) fn experiment(&self) -> PathBuf {
        self.work.dir.join(&self.work.experiment)
    }

    /// The settings as TOML, as they are kept beside the weights.
    pub(in super::super) fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }

    /// The same without what concerns a fit, for networks that other software trained.
    pub(in super::super) fn to_toml_without_fit(&self) -> String {
        let mut sections = toml::Table::try_from(self).unwrap_or_default();
        for section in ["encoder", "lung_network", "fit", "augmentation"] {
            sections.remove(section);
        }
        if let Some(head) = sections.get_mut("head").and_then(toml::Value::as_table_mut) {
            head.retain(|key, _| key == "targets");
        }
        toml::to_string_pretty(&sections).unwrap_or_default()
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.data.validate()?;
        self.supervision.validate()?;
        self.fit.validate()?;
        let smallest = self.input.size.iter().copied().min().unwrap_or_default();
        self.fit.validate_patches(self.encoder.architecture.multiple(), smallest)?;
        self.augmentation.validate()?;
        self.evaluation.validate()?;
        self.head.validate()?;
        match self.kind {
            Kind::EmbolismClassifier => self.encoder.validate(&self.input),
            Kind::LungSegmentation => self.lung_network.validate(self.input.size),
        }
    }
}
