//! Step `evaluate`: logits of whole exams from the exported networks in ONNX Runtime, calibration and operating point
//! on validation, figures on the test. What is measured is what is served.

mod running;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::calibration::{Platt, operating_point};
use super::configuration::TrainConfiguration;
use super::dataset::Dataset;
use super::labels::Split;
use super::metrics::{Confusion, Scored, auroc, average_precision, calibration_error, with_interval};
use crate::engine::analyse::embolism::at_operating_point;
use crate::engine::analyse::findings::Decision;
use crate::engine::models::ModelsError;
use crate::engine::models::manifest::{Calibration, Kind, Metric, OperatingPoint};
use crate::engine::models::registry::Package;
use running::SplitLogits;
pub(crate) use running::batch;

/// What an evaluation found; `evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    /// Figures by `split.name`.
    pub(crate) metrics: BTreeMap<String, Metric>,
    /// Of the embolism classifier.
    pub(crate) calibration: Option<Calibration>,
    /// Of the embolism classifier.
    pub(crate) operating_point: Option<OperatingPoint>,
    /// SHA-256 of the package of networks that was run.
    pub(crate) networks_sha256: String,
}

impl Evaluation {
    /// Of networks that were not evaluated yet.
    pub(crate) fn uncalibrated(kind: Kind) -> Self {
        let of_classifier = kind == Kind::EmbolismClassifier;
        let calibration = Calibration {
            temperature: 1.0,
            bias: 0.0,
            isotonic: None,
            slice_temperature: 1.0,
            slice_bias: 0.0,
            slices_fitted: false,
            targets: BTreeMap::new(),
        };
        let chosen = "not chosen yet".to_owned();
        let point = OperatingPoint { threshold: 0.5, indeterminate: [0.5, 0.5], chosen };
        Self {
            metrics: BTreeMap::new(),
            calibration: of_classifier.then_some(calibration),
            operating_point: of_classifier.then_some(point),
            networks_sha256: String::new(),
        }
    }

    /// Reads `evaluation.json`.
    pub(crate) fn read(path: &Path) -> Result<Self, TrainError> {
        if !path.is_file() {
            return Err(TrainError::StepMissing { path: path.to_owned(), step: "evaluate" });
        }
        let text = std::fs::read_to_string(path).map_err(TrainError::file("reading", path))?;
        serde_json::from_str(&text).map_err(|error| TrainError::table(path, None, error.to_string()))
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// One row of `predictions.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prediction {
    pub(crate) series: String,
    pub(crate) split: Split,
    pub(crate) embolism: bool,
    pub(crate) logit: f64,
    /// Calibrated.
    pub(crate) probability: f64,
    /// At the operating point.
    pub(crate) decision: Decision,
}

/// Evaluates the embolism classifier on whole exams.
pub(crate) fn embolism(
    configuration: &TrainConfiguration,
    networks: &Package,
    splits: &[(Split, Dataset)],
) -> Result<(Evaluation, Vec<Prediction>), TrainError> {
    let logits = running::embolism(networks, splits)?;
    let settings = &configuration.evaluation;
    let nothing = SplitLogits { split: Split::Validation, series: vec![], exams: vec![], slices: vec![] };
    let validation = logits.iter().find(|split| split.split == Split::Validation).unwrap_or(&nothing);
    let (exam, fitted_slice) = (Platt::fit(&validation.exams), Platt::fit(&validation.slices));
    let (exam, slice) = (exam.unwrap_or(Platt::IDENTITY), fitted_slice.unwrap_or(Platt::IDENTITY));
    let point = operating_point(&exam.apply(&validation.exams), settings.sensitivity, settings.indeterminate_share);
    let mut metrics = BTreeMap::new();
    let mut predictions = Vec::new();
    for split in &logits {
        let name = split.split.name();
        let exams = exam.apply(&split.exams);
        figures(&mut metrics, name, &exams, &slice.apply(&split.slices), point.threshold, configuration);
        predictions.extend(split.series.iter().zip(&split.exams).zip(&exams).map(|((series, raw), exam)| Prediction {
            series: series.clone(),
            split: split.split,
            embolism: raw.positive,
            logit: raw.score,
            probability: exam.score,
            decision: at_operating_point(exam.score, &point),
        }));
    }
    let calibration = Calibration {
        temperature: exam.temperature,
        bias: exam.bias,
        isotonic: None,
        slice_temperature: slice.temperature,
        slice_bias: slice.bias,
        slices_fitted: fitted_slice.is_some(),
        targets: BTreeMap::new(),
    };
    let networks_sha256 = digest(networks)?;
    let evaluation =
        Evaluation { metrics, calibration: Some(calibration), operating_point: Some(point), networks_sha256 };
    Ok((evaluation, predictions))
}

/// SHA-256 of a package.
pub(crate) fn digest(networks: &Package) -> Result<String, TrainError> {
    Ok(networks.contents().map_err(ModelsError::from)?.identity.sha256)
}

fn figures(
    metrics: &mut BTreeMap<String, Metric>,
    split: &str,
    exams: &[Scored],
    slices: &[Scored],
    threshold: f64,
    configuration: &TrainConfiguration,
) {
    let (resamplings, seed) = (configuration.evaluation.bootstrap, configuration.fit.seed);
    let mut insert = |name: &str, metric: Option<Metric>| {
        if let Some(metric) = metric {
            metrics.insert(format!("{split}.{name}"), metric);
        }
    };
    let plain = |value: f64| Some(Metric { value, interval: None });
    insert("exam_auroc", with_interval(exams, resamplings, seed, auroc));
    insert("exam_average_precision", with_interval(exams, resamplings, seed, average_precision));
    insert("exam_calibration_error", plain(calibration_error(exams)));
    insert("slice_auroc", auroc(slices).and_then(plain));
    insert("slice_average_precision", average_precision(slices).and_then(plain));
    let table = Confusion::at(exams, threshold);
    for (name, _) in table.figures() {
        let figure = |exams: &[Scored]| {
            Confusion::at(exams, threshold)
                .figures()
                .into_iter()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| value)
        };
        insert(&format!("exam_{name}"), with_interval(exams, resamplings, seed, figure));
    }
    for (name, count) in [
        ("true_positives", table.true_positive),
        ("false_negatives", table.false_negative),
        ("true_negatives", table.true_negative),
        ("false_positives", table.false_positive),
    ] {
        insert(name, plain(count as f64));
    }
}

/// Evaluates the lung network on all prepared slices.
pub(crate) fn lungs(
    configuration: &TrainConfiguration,
    networks: &Package,
    splits: &[(Split, Dataset)],
) -> Result<Evaluation, TrainError> {
    let mut metrics = BTreeMap::new();
    for (split, overlaps) in running::lungs(networks, splits)? {
        for (side, name) in ["left", "right"].into_iter().enumerate() {
            let values: Vec<f64> = overlaps.iter().map(|exam| exam[side].dice()).collect();
            let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
            let metric = with_interval(&values, configuration.evaluation.bootstrap, configuration.fit.seed, mean);
            if let Some(metric) = metric {
                metrics.insert(format!("{}.dice_{name}", split.name()), metric);
            }
        }
    }
    Ok(Evaluation { metrics, calibration: None, operating_point: None, networks_sha256: digest(networks)? })
}
