//! Settings of a training: `configs/train.toml` holds every key with its default.

mod checks;
mod criterion;
mod data;
mod device;
mod evaluation;
mod fit;
mod network;
mod options;
mod training;

pub use checks::SettingError;
pub(super) use criterion::{Criterion, Prevalence};
pub(super) use data::{Data, LungSource, Negatives, PixelFormat, Supervision};
pub(super) use device::{FitDevice, GpuInterface};
pub(super) use evaluation::{CalibrationMethod, Evaluation};
pub(super) use fit::{Augmentation, Fit};
pub(super) use network::{
    Architecture, CELL, EncoderConfiguration, HeadConfiguration, LungConfiguration, Multipliers, PATCH, SequenceKind,
};
pub use training::TrainConfiguration;
