//! Step `evaluate`: logits of whole exams, calibration and operating point on validation, figures on the test.

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::calibration::{Platt, operating_point};
use super::configuration::TrainConfiguration;
use super::dataset::Dataset;
use super::fit::embolism::{encode, scored_slices};
use super::fit::lungs::overlaps;
use super::labels::Split;
use super::metrics::{Confusion, Scored, auroc, average_precision, calibration_error, with_interval};
use super::network::{EmbolismNetwork, LungNetwork};
use super::progress;
use crate::engine::models::manifest::{Calibration, Metric, OperatingPoint};

/// What an evaluation found; `evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    /// Figures by `split.name`.
    pub(crate) metrics: BTreeMap<String, Metric>,
    /// Of the embolism classifier.
    pub(crate) calibration: Option<Calibration>,
    /// Of the embolism classifier.
    pub(crate) operating_point: Option<OperatingPoint>,
}

/// One row of `predictions.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prediction {
    pub(crate) series: String,
    pub(crate) split: Split,
    pub(crate) embolism: bool,
    pub(crate) logit: f64,
    pub(crate) probability: f64,
}

/// Raw logits of the exams of one split.
struct SplitLogits {
    split: Split,
    series: Vec<String>,
    exams: Vec<Scored>,
    slices: Vec<Scored>,
}

/// Evaluates the embolism classifier on whole exams.
pub(crate) fn embolism(
    configuration: &TrainConfiguration,
    network: &EmbolismNetwork,
    splits: &[(Split, Dataset)],
    device: &Device,
) -> Result<(Evaluation, Vec<Prediction>), TrainError> {
    let logits: Result<Vec<SplitLogits>, TrainError> =
        splits.iter().map(|(split, data)| split_logits(network, *split, data, device)).collect();
    let logits = logits?;
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
    Ok((Evaluation { metrics, calibration: Some(calibration), operating_point: Some(point) }, predictions))
}

fn split_logits(
    network: &EmbolismNetwork,
    split: Split,
    data: &Dataset,
    device: &Device,
) -> Result<SplitLogits, TrainError> {
    let bar = progress::bar(data.exams.len() as u64, "evaluate");
    let mut found = SplitLogits { split, series: vec![], exams: vec![], slices: vec![] };
    for (index, exam) in data.exams.iter().enumerate() {
        let slices: Vec<usize> = (0..exam.slices).collect();
        let reading = network.head.forward(encode(&network.encoder, data, index, &slices, device)?);
        found.series.push(exam.series.clone());
        let score = f64::from(reading.embolism().into_scalar::<f32>());
        found.exams.push(Scored { score, positive: exam.embolism });
        found.slices.extend(scored_slices(reading.slices, data.slice_labels(index).iter().copied()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(found)
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
    network: &LungNetwork,
    splits: &[(Split, Dataset)],
    device: &Device,
) -> Result<Evaluation, TrainError> {
    let mut metrics = BTreeMap::new();
    for (split, data) in splits {
        let bar = progress::bar(data.exams.len() as u64, "evaluate");
        let mut dice: Vec<[f64; 2]> = Vec::new();
        for exam in 0..data.exams.len() {
            dice.push(overlaps(network, data, exam, 1, device)?.map(|side| side.dice()));
            bar.inc(1);
        }
        bar.finish_and_clear();
        for (side, name) in ["left", "right"].into_iter().enumerate() {
            let values: Vec<f64> = dice.iter().map(|exam| exam[side]).collect();
            let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
            let metric = with_interval(&values, configuration.evaluation.bootstrap, configuration.fit.seed, mean);
            if let Some(metric) = metric {
                metrics.insert(format!("{}.dice_{name}", split.name()), metric);
            }
        }
    }
    Ok(Evaluation { metrics, calibration: None, operating_point: None })
}
