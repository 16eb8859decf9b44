//! What the caller of a training provides: the model packages and ONNX Runtime. No part of the training reads settings
//! of the node by itself.

use std::path::Path;

use super::TrainError;
use super::configuration::Data;
use crate::config::{ModelsConfig, OnnxRuntimeConfig, QualityConfig};
use crate::engine::models::ModelsError;
use crate::engine::models::manifest::Kind;
use crate::engine::models::package::Package;
use crate::engine::models::registry::Registry;
use crate::engine::models::session::Runtime;

/// The parts of the node's settings that a training uses.
#[derive(Debug, Clone)]
pub struct TrainingContext {
    /// The model packages.
    pub models: ModelsConfig,
    /// ONNX Runtime, which runs networks.
    pub onnxruntime: OnnxRuntimeConfig,
    /// The quality checks, for the step `volumes` and for external validation.
    pub quality: QualityConfig,
    /// Commit that the program was built from; packages and reports name it.
    pub commit: &'static str,
}

impl TrainingContext {
    /// Starts ONNX Runtime.
    pub(super) fn runtime(&self) -> Result<Runtime, TrainError> {
        Ok(Runtime::start(&self.onnxruntime).map_err(ModelsError::Runtime)?)
    }

    /// Starts ONNX Runtime with one thread per network, for as many networks as there are cores.
    pub(super) fn single_threaded_runtime(&self) -> Result<Runtime, TrainError> {
        let settings = OnnxRuntimeConfig { threads: 1, ..self.onnxruntime.clone() };
        Ok(Runtime::start(&settings).map_err(ModelsError::Runtime)?)
    }

    /// The lung package as it is now: of the training's own folder where it names one, or that of the node.
    pub(super) fn lung_package(&self, data: &Data) -> Result<Package, TrainError> {
        let of_training = (!data.models_directory.as_os_str().is_empty()).then_some(&data.models_directory);
        let settings = of_training.map_or_else(|| self.models.clone(), |directory| self.models_in(directory));
        let registry = Registry::open(&settings).map_err(ModelsError::from)?;
        Ok(registry.select(Kind::LungSegmentation, &settings.lungs).map_err(ModelsError::from)?.clone())
    }

    /// The settings of packages for another folder.
    pub(super) fn models_in(&self, directory: &Path) -> ModelsConfig {
        ModelsConfig { directory: directory.to_owned(), ..self.models.clone() }
    }

    /// As from the command line: the defaults, overridden by the environment.
    #[cfg(test)]
    pub(super) fn of_environment() -> Self {
        let config = crate::config::Config::load(None, std::env::vars(), &[]).expect("settings");
        Self { models: config.models, onnxruntime: config.onnxruntime, quality: config.quality, commit: "unknown" }
    }
}
