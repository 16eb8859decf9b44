//! Settings: defaults < file < environment < flags, merged as raw TOML, then resolved and validated once.
//!
//! Each part of the program receives its own section, never the whole [`Config`].

mod destination;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod layers;
mod loading;
mod network;
mod public_url;
mod quality;
mod sections;
#[cfg(test)]
mod tests;

pub use destination::{DestinationConfig, DestinationKind, DicomDestination, Fallback, Transport};
pub use error::ConfigError;
pub use loading::DEFAULTS;
pub use network::{Network, NetworkError};
pub use public_url::{PublicUrl, PublicUrlError};
pub use quality::{QualityConfig, Severity};
pub use sections::*;
