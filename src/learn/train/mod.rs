//! Training lung segmentation and embolism classification, and writing model packages.
//!
//! ```text
//! train.csv, DICOM --labels--> exams.csv, slices.csv, splits.csv
//!                  --volumes-> NIfTI volumes, SOP Instance UID of each slice
//!                  --slices--> labels of each volume's slices
//!                  --lungs---> lung masks
//!                  --crops---> images around the lungs, prepared as for serving
//!                  --fit-----> checkpoints, log.jsonl
//!                  --evaluate> ONNX networks, evaluation.json, predictions.csv, targets.csv, report.html
//!                  --export--> package: model.toml, *.onnx, card.md, metrics.json
//! ```
//!
//! Each step reads what the one before wrote under `work.dir`, so it can be run alone and resumed. The method is
//! that of Hu et al., "High performance with fewer labels using semi-weakly supervised learning for pulmonary embolism
//! diagnosis", npj Digital Medicine 8 (2025), doi 10.1038/s41746-025-01594-2: exam labels for all exams, slice labels
//! for those that carry them.

mod augmentation;
#[doc(hidden)]
pub mod benchmarks;
mod bootstrap;
mod calibration;
mod card;
mod configuration;
mod context;
mod crops;
mod dataset;
mod error;
mod evaluate;
mod export;
mod exported;
mod files;
mod fit;
#[cfg(test)]
mod generator;
mod insertion;
pub(crate) mod labels;
mod loss;
mod lungs;
mod metrics;
mod named_draws;
mod network;
mod package;
mod progress;
mod provenance;
mod report;
mod resampled;
mod slices;
mod stage;
mod step;
mod steps;
mod supervision;
mod table;
#[cfg(test)]
mod tests;
mod volumes;

pub use configuration::{SettingError, TrainConfiguration};
pub use context::TrainingContext;
pub use error::TrainError;
pub use evaluate::{ExternalValidation, validate_externally};
pub use network::WeightsError;
pub use report::compare;
pub use stage::{Shard, ShardError};
pub use step::Step;
pub use steps::{Portion, evaluate_networks, export_networks, plan, recalibrate, run};
