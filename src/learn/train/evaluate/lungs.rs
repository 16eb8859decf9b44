//! The evaluation of the lung network.

use std::collections::BTreeMap;

use super::evaluation::{Evaluation, sha256};
use super::inference;
use crate::engine::models::manifest::{Kind, Metric};
use crate::engine::models::package::Package;
use crate::learn::train::bootstrap::Resampling;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::dataset::{Dataset, PreparedExam};
use crate::learn::train::fit::lungs::Overlap;
use crate::learn::train::labels::Split;
use crate::learn::train::metrics::mean;
use crate::learn::train::{TrainError, TrainingContext};

/// Evaluates the lung network on all prepared slices.
pub(crate) fn lungs(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    networks: &Package,
    splits: &[(Split, Dataset)],
) -> Result<Evaluation, TrainError> {
    let resampling = Resampling { count: configuration.evaluation.bootstrap, seed: configuration.fit.seed };
    let mut metrics = BTreeMap::new();
    for ((split, data), overlaps) in splits.iter().zip(inference::lungs(networks, context, splits)?) {
        let split = split.name();
        metrics.insert(format!("{split}.exams"), Metric { value: overlaps.len() as f64, interval: None });
        for (side, name) in ["left", "right"].into_iter().enumerate() {
            let of_exam =
                |(exam, overlap): (&PreparedExam, &[Overlap; 2])| (exam.patient.clone(), overlap[side].dice());
            let values = data.exams.iter().zip(&overlaps).map(of_exam).collect();
            if let Some(metric) = resampling.metric(&values, mean) {
                metrics.insert(format!("{split}.dice_{name}"), metric);
            }
        }
    }
    let networks_sha256 = vec![sha256(networks)?];
    Ok(Evaluation { metrics, networks_sha256, ..Evaluation::uncalibrated(Kind::LungSegmentation) })
}
