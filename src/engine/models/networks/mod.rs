//! The active packages as networks with typed inputs and outputs.
//!
//! Every tensor is checked against the manifest when a package is loaded: name and element type, for inputs rank and
//! size as the file declares them, and then what the network really gives in trial runs on blank slices, with several
//! numbers of them, so that an axis that should be dynamic and is not shows at start and not in the first study.
//!
//! A package may hold several networks of one layout, its members. Each layout has its way through a prepared stack;
//! callers give the stack slice by slice and need not know it.

mod embolism;
mod loading;
mod lungs;
mod patches;

pub use embolism::{EmbolismNetwork, Encoded, ExamLogits, Reading, SliceReading};
pub use lungs::{LungClasses, LungNetwork};

use super::manifest::Kind;
use super::registry::{Package, Packages, Registry, RegistryError};
use super::session::{Runtime, SessionError};
use super::{ModelIdentity, Provider};
use crate::config::{ModelsConfig, OnnxRuntimeConfig};

/// Widest cell of an evidence map in millimetres: emboli of segmental arteries are about as large.
pub const WIDEST_CELL_MM: f64 = 5.0;
/// Slices that enter a network at once: enough to fill the cores, few enough to bound memory.
pub const BATCH: usize = 8;

/// Numbers of slices of the trial runs where a network takes any: one, as the last batch of an exam may hold, and more.
/// A number that is baked into a network differs from some of them.
const TRIALS: [usize; 3] = [1, 2, 3];

/// Why the models cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The packages.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// ONNX Runtime.
    #[error(transparent)]
    Runtime(SessionError),
    /// A package's network does not do what its manifest says.
    #[error("model package {package}: {file}: {problem}")]
    Unfit {
        /// `name/version`.
        package: String,
        /// The file.
        file: String,
        /// What was found and what was expected.
        problem: String,
    },
}

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
        let lungs = Package::exactly(&packages.lungs, models)?;
        let embolism = Package::exactly(&packages.embolism, models)?;
        Self::of(&lungs, &embolism, onnxruntime)
    }

    /// Starts ONNX Runtime and loads two packages, wherever they lie.
    pub fn of(lungs: &Package, embolism: &Package, onnxruntime: &OnnxRuntimeConfig) -> Result<Self, ModelsError> {
        let runtime = Runtime::start(onnxruntime).map_err(ModelsError::Runtime)?;
        Ok(Self {
            lungs: LungNetwork::load(lungs, &runtime)?,
            embolism: EmbolismNetwork::load(embolism, &runtime)?,
            provider: Provider(runtime.provider()),
        })
    }

    /// Identity of each package.
    pub fn identities(&self) -> Packages {
        Packages { lungs: self.lungs.identity().clone(), embolism: self.embolism.identity().clone() }
    }

    /// The execution provider that runs the networks.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }
}

/// Loads a package of either kind to see whether it can be used, and gives its identity.
pub fn verify(package: &Package, runtime: &Runtime) -> Result<ModelIdentity, ModelsError> {
    match package.manifest().kind {
        Kind::LungSegmentation => LungNetwork::load(package, runtime).map(|network| network.identity().clone()),
        Kind::EmbolismClassifier => EmbolismNetwork::load(package, runtime).map(|network| network.identity().clone()),
    }
}
