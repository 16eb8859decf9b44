//! Model packages: what they are ([`manifest`]), which is active ([`registry`], [`activation`]), how they come and are
//! promoted ([`folder`], [`import`]), and running them ([`networks`]).
//!
//! A package is a folder `<name>/<version>` with a manifest, one or more ONNX files and a card. The manifest carries
//! the parameters of the preparation and the digests of the files, so a network is only ever fed with images prepared
//! as those it learnt from, and only ever the network that was tested. [`session`] is the one file that knows ONNX
//! Runtime.

pub mod activation;
mod calibration;
pub mod folder;
pub mod import;
mod library;
pub mod manifest;
pub mod networks;
pub mod registry;
pub mod session;
pub mod target;
#[cfg(test)]
mod tests;
mod validation;

use serde::{Deserialize, Serialize};

pub use networks::{Models, ModelsError};
pub use validation::ManifestError;

/// The identity of a model that took part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// Name of the package.
    pub name: String,
    /// Version of the package.
    pub version: String,
    /// SHA-256 over the package's manifest and files.
    pub sha256: String,
}

impl ModelIdentity {
    /// `name/version`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }
}

/// Which program computed the networks: the execution provider and its device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider(pub String);
