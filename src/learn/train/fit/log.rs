//! The log of a fit, epoch by epoch.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::learn::train::TrainError;
use crate::learn::train::files;

/// One line of `log.jsonl`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpochLine {
    /// From 1.
    pub(super) epoch: usize,
    /// Mean over the exams.
    pub(super) loss: f64,
    /// Learning rate of the last step.
    pub(super) learning_rate: f64,
    /// Mean over the steps of the gradients' joint norm before it was clipped.
    pub(super) gradient_norm: f64,
    /// Steps of the optimiser so far.
    pub(super) steps: usize,
    /// Seconds of training, without the validation.
    pub(super) seconds: f64,
    /// Slices, or patches of them, trained on per second.
    pub(super) slices_per_second: f64,
    /// Seconds spent waiting for the loader.
    pub(super) waited_seconds: f64,
    /// Share of the seconds that was spent waiting for the loader.
    pub(super) wait_share: f64,
    /// The best by its validation metric so far.
    pub(super) best: bool,
    /// Terms of the loss (`loss_exam`, ...), which add up to it, and metrics on validation exams (`exam_auroc`, ...).
    #[serde(flatten)]
    pub(super) metrics: BTreeMap<String, f64>,
}

impl EpochLine {
    /// Reports the epoch on the console, with the time that is left.
    pub(super) fn announce(&self, epochs: usize, left: Duration) {
        let metrics: Vec<String> = self.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        tracing::info!(
            "epoch {}/{epochs} loss {:.4} {} ({:.0} s, {:.0} slices/s, {:.1} % waiting; at most {} left){}",
            self.epoch,
            self.loss,
            metrics.join(" "),
            self.seconds,
            self.slices_per_second,
            100.0 * self.wait_share,
            indicatif::HumanDuration(left),
            if self.best { ", the best so far" } else { "" }
        );
    }
}

/// Writes all lines again, so that after a killed fit none is repeated and none is missing.
pub(super) fn write(folder: &Path, lines: &[EpochLine]) -> Result<(), TrainError> {
    let lines: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).unwrap_or_default() + "\n").collect();
    files::write_whole(&folder.join("log.jsonl"), lines.concat().as_bytes())
}
