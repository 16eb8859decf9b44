//! The log of a fit, epoch by epoch.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::learn::train::TrainError;
use crate::learn::train::{files, table};

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
    /// Seconds of training, without the validation.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

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

/// Writes all lines again, so that after a killed fit none is repeated and none is missing: as JSON, and as a table.
pub(super) fn write(folder: &Path, lines: &[EpochLine]) -> Result<(), TrainError> {
    let values: Vec<Value> = lines.iter().filter_map(|line| serde_json::to_value(line).ok()).collect();
    let text: String = lines.iter().map(|line| serde_json::to_string(line).unwrap_or_default() + "\n").collect();
    files::write_whole(&folder.join("log.jsonl"), text.as_bytes())?;
    let (columns, rows) = cells(&values);
    table::write_cells(&folder.join("log.csv"), &columns, &rows)
}

/// A row per epoch, with a column for all that any of them has.
fn cells(lines: &[Value]) -> (Vec<&str>, Vec<Vec<String>>) {
    let mut columns: Vec<&str> = Vec::new();
    for name in lines.iter().filter_map(Value::as_object).flat_map(|line| line.keys()) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let cell = |line: &Value, name: &&str| line.get(name).map_or_else(String::new, Value::to_string);
    let rows = lines.iter().map(|line| columns.iter().map(|name| cell(line, name)).collect()).collect();
    (columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_a_fit_has_a_column_for_what_any_epoch_logged() {
        let folder = tempfile::tempdir().expect("folder");
        let line = |epoch, name: &str| EpochLine {
            epoch,
            loss: 0.5,
            metrics: BTreeMap::from([(name.to_owned(), 0.25)]),
            ..EpochLine::default()
        };
        write(folder.path(), &[line(1, "exam_auroc"), line(2, "dice")]).expect("written");
        let text = std::fs::read_to_string(folder.path().join("log.csv")).expect("table");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(|row| row.expect("a row")).collect();
        let cell = |row: usize, name: &str| rows[row].get(name).cloned().unwrap_or_default();
        assert_eq!([cell(0, "epoch"), cell(1, "epoch"), cell(0, "loss")], ["1", "2", "0.5"]);
        assert_eq!([cell(0, "exam_auroc"), cell(0, "dice"), cell(1, "dice")], ["0.25", "", "0.25"]);
    }
}
