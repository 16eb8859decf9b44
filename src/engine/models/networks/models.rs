//! The two packages of an analysis, loaded together.

use super::embolism::EmbolismNetwork;
use super::error::ModelsError;
use super::lungs::LungNetwork;
use crate::config::{ModelsConfig, OnnxRuntimeConfig};
use crate::engine::models::identity::ModelIdentity;
use crate::engine::models::lineup::Packages;
use crate::engine::models::manifest::Kind;
use crate::engine::models::package::Package;
use crate::engine::models::registry::{Registry, directory};
use crate::engine::models::session::{Provider, Runtime};

/// The active packages, loaded. One thread owns them.
#[derive(Debug)]
pub struct Models {
    /// Finds the lungs.
    pub lungs: LungNetwork,
    /// Finds embolism.
    pub embolism: EmbolismNetwork,
    provider: Provider,
}

impl Models {
    /// Starts ONNX Runtime and loads the selected packages.
    pub fn load(models: &ModelsConfig, onnxruntime: &OnnxRuntimeConfig) -> Result<Self, ModelsError> {
        let registry = Registry::open(models)?;
        let lungs = registry.select(Kind::LungSegmentation, &models.lungs)?;
        let embolism = registry.select(Kind::EmbolismClassifier, &models.embolism)?;
        Self::of(lungs, embolism, onnxruntime)
    }

    /// Starts ONNX Runtime and loads exactly these packages of the configured folder.
    pub fn exactly(
        packages: &Packages,
        models: &ModelsConfig,
        onnxruntime: &OnnxRuntimeConfig,
    ) -> Result<Self, ModelsError> {
        let directory = directory(models)?;
        let lungs = Package::exactly(&packages.lungs, &directory)?;
        let embolism = Package::exactly(&packages.embolism, &directory)?;
        Self::of(&lungs, &embolism, onnxruntime)
    }

    /// Starts ONNX Runtime and loads two packages, wherever they lie.
    pub fn of(lungs: &Package, embolism: &Package, onnxruntime: &OnnxRuntimeConfig) -> Result<Self, ModelsError> {
        let runtime = Runtime::start(onnxruntime).map_err(ModelsError::Runtime)?;
        Ok(Self {
            lungs: LungNetwork::load(lungs, &runtime)?,
            embolism: EmbolismNetwork::load(embolism, &runtime)?,
            provider: runtime.provider(),
        })
    }

    /// Which packages they are.
    pub fn identities(&self) -> Packages {
        Packages { lungs: self.lungs.identity().clone(), embolism: self.embolism.identity().clone() }
    }

    /// The execution provider that runs the networks.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }
}

/// Loads a package of either kind to check that it can be used, and returns its identity.
pub fn verify(package: &Package, runtime: &Runtime) -> Result<ModelIdentity, ModelsError> {
    match package.manifest().kind {
        Kind::LungSegmentation => LungNetwork::load(package, runtime).map(|network| network.identity().clone()),
        Kind::EmbolismClassifier => EmbolismNetwork::load(package, runtime).map(|network| network.identity().clone()),
    }
}
