//! From a volume to findings: quality checks, lungs, embolism, evidence.
//!
//! Each stage is a function of the volume and of what the stages before it found. Networks are run in batches of
//! prepared slices or in patches, so that memory is bounded by the volume itself and one batch.

pub mod decision;
pub mod embolism;
pub mod enhancement;
mod ensemble;
pub mod evidence;
pub mod findings;
pub mod lungs;
pub mod quality;

use super::models::session::SessionError;
use super::volume::preparation::PreparationError;

/// Why a stage of the analysis failed. What is wrong with the images themselves is a rejection, not an error.
#[derive(Debug, thiserror::Error)]
pub enum AnalyseError {
    /// The images do not lend themselves to the network's preparation.
    #[error(transparent)]
    Preparation(#[from] PreparationError),
    /// A network failed.
    #[error("{stage}: {source}; `pe-node models verify` checks the package")]
    Network {
        /// What it was run for.
        stage: &'static str,
        /// What ONNX Runtime said.
        source: SessionError,
    },
    /// A number that should be a probability is not one.
    #[error("finding embolism: {0}; the package's calibration does not fit its networks")]
    Calibration(String),
}

impl AnalyseError {
    fn lungs(source: SessionError) -> Self {
        Self::Network { stage: "finding the lungs", source }
    }

    fn embolism(source: SessionError) -> Self {
        Self::Network { stage: "finding embolism", source }
    }
}
