//! Why networks cannot be loaded.

use crate::engine::models::package::PackageError;
use crate::engine::models::package_id::PackageId;
use crate::engine::models::registry::RegistryError;
use crate::engine::models::session::SessionError;

/// Why the models cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The packages.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// One package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// ONNX Runtime.
    #[error(transparent)]
    Runtime(SessionError),
    /// A package's network does not do what its manifest says.
    #[error("model package {package}: {file}: {problem}")]
    Unfit {
        /// The package.
        package: PackageId,
        /// The file.
        file: String,
        /// What was found and what was expected.
        problem: String,
    },
}
