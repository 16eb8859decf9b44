//! Lung masks of exams: the cohort's own truth, or the lung package as when serving.

use std::path::Path;

use super::TrainError;
use super::configuration::{LungSource, TrainConfiguration};
use super::volumes::truth_lungs;
use crate::engine::volume::{LungMask, Volume};

/// A source of lung masks.
pub(crate) enum LungMasks {
    /// `truth/<series uid>/lungs.nii.gz`.
    Truth,
}

impl LungMasks {
    pub(crate) fn new(configuration: &TrainConfiguration) -> Result<Self, TrainError> {
        match configuration.data.lungs {
            LungSource::Truth | LungSource::Package => Ok(Self::Truth),
        }
    }

    /// The lungs of a volume.
    pub(crate) fn of(&mut self, volume: &Volume, root: &Path, series: &str) -> Result<LungMask, TrainError> {
        match self {
            Self::Truth => truth_lungs(volume, root, series),
        }
    }
}
