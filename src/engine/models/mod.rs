//! Model packages: what they are ([`manifest`], [`package`]), which is active ([`registry`], [`activation`]), and
//! running them ([`networks`]). Nothing here changes a package or the folder of packages; that is [`crate::packages`].
//!
//! A package is a folder `<name>/<version>` with a manifest, one or more ONNX files and a card. The manifest carries
//! the parameters of the preparation and the digests of the files. So a network is only ever given images that were
//! prepared as those it was trained on, and only the network that was tested runs. [`session`] is the one file that
//! knows ONNX Runtime.

pub mod activation;
mod calibration;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod identity;
mod library;
pub mod lineup;
pub mod manifest;
mod members;
pub mod networks;
pub mod package;
pub mod package_id;
pub mod registry;
pub mod selection;
pub mod session;
mod syntax;
pub mod target;
#[cfg(test)]
mod tests;
mod validation;

pub use identity::ModelIdentity;
pub use networks::{Models, ModelsError};
pub use package_id::PackageId;
pub use selection::Selection;
pub use session::Provider;
pub use syntax::SyntaxError;
pub use validation::ManifestError;
