//! What an evaluation found, as it is kept and read back.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::engine::models::ModelsError;
use crate::engine::models::manifest::{Calibration, Kind, Metric, OperatingPoint};
use crate::engine::models::package::Package;
use crate::learn::train::TrainError;
use crate::learn::train::step::Step;

/// Metrics and the names that they had in an earlier version, which `evaluation.json` keeps for one more version.
const EARLIER_NAMES: [(&str, &str); 3] = [
    ("test.exam_standard_deviation_mean", "test.exam_spread_mean"),
    ("test.emboli", "test.clots"),
    ("test.emboli_found", "test.clots_found"),
];

/// What an evaluation found; `evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    /// Metrics by `split.name`.
    pub(crate) metrics: BTreeMap<String, Metric>,
    /// Calibration of each member of an embolism classifier.
    pub(crate) calibration: Vec<Calibration>,
    /// Operating point of the embolism classifier.
    pub(crate) operating_point: Option<OperatingPoint>,
    /// SHA-256 of the packages of networks that were run, one per member.
    pub(crate) networks_sha256: Vec<String>,
    /// How calibration was found, and what the exams did not allow, one sentence each.
    pub(crate) notes: Vec<String>,
}

impl Evaluation {
    /// That of networks that were not evaluated yet.
    pub(crate) fn uncalibrated(kind: Kind) -> Self {
        let of_classifier = kind == Kind::EmbolismClassifier;
        let chosen = "not chosen yet".to_owned();
        let point = OperatingPoint { threshold: 0.5, indeterminate: [0.5, 0.5], chosen };
        Self {
            metrics: BTreeMap::new(),
            calibration: of_classifier.then(uncalibrated).into_iter().collect(),
            operating_point: of_classifier.then_some(point),
            networks_sha256: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Reads `evaluation.json`.
    pub(crate) fn read(path: &Path) -> Result<Self, TrainError> {
        if !path.is_file() {
            return Err(TrainError::StepMissing { path: path.to_owned(), step: Step::Evaluate });
        }
        let text = std::fs::read_to_string(path).map_err(TrainError::file("reading", path))?;
        let mut evaluation: Self =
            serde_json::from_str(&text).map_err(|error| TrainError::table(path, None, error.to_string()))?;
        for (name, earlier) in EARLIER_NAMES {
            if let Some(metric) = evaluation.metrics.remove(earlier) {
                evaluation.metrics.insert(name.to_owned(), metric);
            }
        }
        Ok(evaluation)
    }

    /// As JSON, with the earlier names of metrics too.
    pub(crate) fn to_json(&self) -> String {
        let mut written = self.clone();
        let earlier = |(name, earlier): (&str, &str)| Some((earlier.to_owned(), *self.metrics.get(name)?));
        written.metrics.extend(EARLIER_NAMES.into_iter().filter_map(earlier));
        serde_json::to_string_pretty(&written).unwrap_or_default()
    }

    /// The metrics as lines for a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let shown = |(name, metric): (&String, &Metric)| {
            let interval = metric.interval.map_or_else(String::new, |[low, high]| format!(" ({low:.3} to {high:.3})"));
            format!("{name} {:.3}{interval}", metric.value)
        };
        self.metrics.iter().map(shown).collect()
    }
}

/// Leaves logits as they are.
pub(super) fn uncalibrated() -> Calibration {
    Calibration {
        temperature: 1.0,
        bias: 0.0,
        isotonic: None,
        exam_fitted: false,
        slice_temperature: 1.0,
        slice_bias: 0.0,
        slices_fitted: false,
        targets: BTreeMap::new(),
    }
}

/// SHA-256 of a package of networks.
pub(crate) fn sha256(networks: &Package) -> Result<String, TrainError> {
    Ok(networks.contents().map_err(ModelsError::from)?.identity.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_of_an_earlier_version_is_read_and_its_names_are_written_for_one_version() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("evaluation.json");
        let metrics = BTreeMap::from([("test.emboli_found".to_owned(), Metric { value: 0.75, interval: None })]);
        let evaluation = Evaluation { metrics, ..Evaluation::uncalibrated(Kind::EmbolismClassifier) };
        let text = evaluation.to_json();
        assert!(text.contains("test.clots_found") && text.contains("test.emboli_found"), "{text}");
        let earlier = text.replace("test.emboli_found", "test.further");
        std::fs::write(&path, &text).expect("written");
        assert_eq!(Evaluation::read(&path).expect("read"), evaluation);
        std::fs::write(&path, earlier).expect("written");
        assert!(Evaluation::read(&path).expect("read").metrics.contains_key("test.emboli_found"));
    }
}
