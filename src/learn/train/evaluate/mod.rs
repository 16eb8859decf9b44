//! Step `evaluate`: logits of whole exams from the exported networks in ONNX Runtime, calibration and operating point
//! on validation, figures on the test. What is measured is what is served.
//!
//! Of an ensemble each member is calibrated on the validation exams of its own fold, which it did not learn from; the
//! operating point comes from all folds together, and the test exams are answered by the mean of all members.

mod comparison;
mod elsewhere;
mod figures;
mod members;
mod pictures;
mod running;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bootstrap::{ByPatient, Resampling};
use super::calibration::operating_point;
use super::configuration::TrainConfiguration;
use super::dataset::{Dataset, PreparedExam};
use super::files::table;
use super::fit::lungs::Overlap;
use super::labels::Split;
use super::metrics::Scored;
use super::package::ExportedFit;
use super::{TrainError, TrainingContext};
use crate::engine::analyse::embolism::at_operating_point;
use crate::engine::analyse::findings::Decision;
use crate::engine::models::ModelsError;
use crate::engine::models::manifest::{Calibration, Kind, Metric, OperatingPoint};
use crate::engine::models::registry::Package;
use crate::engine::models::target::Target;
pub use elsewhere::{Elsewhere, evaluate_elsewhere};
use members::Answer;
pub(crate) use pictures::cases;
pub(crate) use running::batch;

/// What an evaluation found; `evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    /// Figures by `split.name`.
    pub(crate) metrics: BTreeMap<String, Metric>,
    /// Of each member of an embolism classifier.
    pub(crate) calibration: Vec<Calibration>,
    /// Of the embolism classifier.
    pub(crate) operating_point: Option<OperatingPoint>,
    /// SHA-256 of the packages of networks that were run, one a member.
    pub(crate) networks_sha256: Vec<String>,
    /// How calibration came about, and what the exams did not allow, a sentence each.
    pub(crate) notes: Vec<String>,
}

impl Evaluation {
    /// Of networks that were not evaluated yet.
    pub(crate) fn uncalibrated(kind: Kind) -> Self {
        let of_classifier = kind == Kind::EmbolismClassifier;
        let chosen = "not chosen yet".to_owned();
        let point = OperatingPoint { threshold: 0.5, indeterminate: [0.5, 0.5], chosen };
        Self {
            metrics: BTreeMap::new(),
            calibration: of_classifier.then(members::uncalibrated).into_iter().collect(),
            operating_point: of_classifier.then_some(point),
            networks_sha256: Vec::new(),
            notes: Vec::new(),
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

    /// The figures as lines for a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let shown = |(name, metric): (&String, &Metric)| {
            let interval = metric.interval.map_or_else(String::new, |[low, high]| format!(" ({low:.3} to {high:.3})"));
            format!("{name} {:.3}{interval}", metric.value)
        };
        self.metrics.iter().map(shown).collect()
    }
}

/// One row of `predictions.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prediction {
    pub(crate) series: String,
    pub(crate) split: Split,
    /// The label.
    pub(crate) embolism: bool,
    /// Mean of the members' logits, before calibration; empty where a package gave its probability alone.
    pub(crate) logit: Option<f64>,
    /// Calibrated; the mean of the members.
    pub(crate) probability: f64,
    /// Standard deviation of the members' probabilities; empty where one network answered.
    pub(crate) spread: Option<f64>,
    /// At the operating point.
    pub(crate) decision: Decision,
    /// The member that answered, where the exam belongs to its fold; empty where all did.
    pub(crate) member: Option<usize>,
    pub(crate) study: String,
    /// Digest that stands for the patient.
    pub(crate) patient: String,
}

impl Prediction {
    /// Probability and truth.
    pub(crate) fn scored(&self) -> Scored {
        Scored { score: self.probability, positive: self.embolism }
    }
}

/// Probabilities and truths of the exams of a split.
pub(crate) fn scored(predictions: &[Prediction], split: Split) -> ByPatient<Scored> {
    let of_split = predictions.iter().filter(|one| one.split == split);
    of_split.map(|one| (one.patient.as_str(), one.scored())).collect()
}

/// One row of `targets.csv`: what is said of an exam beside embolism.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TargetPrediction {
    pub(crate) series: String,
    pub(crate) split: Split,
    pub(crate) target: Target,
    /// The label; empty where nobody said.
    pub(crate) label: Option<bool>,
    /// Mean of the members' logits; empty where a package gave its probability alone.
    pub(crate) logit: Option<f64>,
    /// Calibrated; the mean of the members.
    pub(crate) probability: f64,
}

/// What the evaluation of a classifier gives.
pub(crate) struct Outcome {
    pub(crate) evaluation: Evaluation,
    pub(crate) predictions: Vec<Prediction>,
    pub(crate) targets: Vec<TargetPrediction>,
}

/// Evaluates the embolism classifier, one network or an ensemble with a member a fit, on whole exams.
pub(crate) fn embolism(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    fits: &[ExportedFit],
) -> Result<Outcome, TrainError> {
    let settings = &configuration.evaluation;
    let targets = &configuration.head.targets;
    let test = fits.first().and_then(|fit| fit.exams(Split::Test));
    let (mut answers, mut calibration, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let mut of_test = Vec::new();
    for (number, fit) in fits.iter().enumerate() {
        let mut classifier = running::Classifier::load(&fit.draft, context)?;
        let validation = fit.exams(Split::Validation);
        let own = validation.map_or_else(|| Ok(Vec::new()), |data| classifier.logits(data))?;
        let exams = validation.map_or(&[][..], |data| &data.exams);
        let (calibrated, said) = members::calibrate(settings.calibration, targets, exams, &own);
        notes.extend(said.into_iter().map(|said| members::named(number, fits.len(), said)));
        let alone = (fits.len() > 1).then_some(number);
        let answer = |(exam, logits)| Answer::new(exam, targets, std::slice::from_ref(&calibrated), &[logits], alone);
        answers.extend(exams.iter().zip(&own).map(answer));
        calibration.push(calibrated);
        of_test.push(test.map_or_else(|| Ok(Vec::new()), |data| classifier.logits(data))?);
    }
    let validation: Vec<Scored> = answers.iter().map(Answer::scored).collect();
    let point = operating_point(&validation, settings.sensitivity, settings.indeterminate_share);
    for (place, exam) in test.iter().flat_map(|data| &data.exams).enumerate() {
        let logits: Vec<_> = of_test.iter().map(|member| &member[place]).collect();
        answers.push(Answer::new(exam, targets, &calibration, &logits, None));
    }
    let resampling = Resampling { count: settings.bootstrap, seed: configuration.fit.seed };
    let mut metrics = figures::all(&answers, point.threshold, resampling);
    if fits.len() > 1 {
        metrics.extend(figures::of_members(&answers));
    }
    let predictions: Vec<Prediction> = answers.iter().map(|answer| answer.prediction(&point)).collect();
    metrics.extend(figures::of_spread(&predictions));
    if !settings.compare_with.is_empty() {
        let path = configuration.work.dir.join(&settings.compare_with).join("predictions.csv");
        let other = table::read(&path, "evaluate")?;
        let (differences, said) = comparison::with(&settings.compare_with, &predictions, &other, resampling);
        metrics.extend(differences);
        notes.push(said);
    }
    let targets: Vec<TargetPrediction> = answers.iter().flat_map(Answer::of_targets).collect();
    metrics.extend(figures::of_targets(&targets, &predictions, resampling));
    let networks_sha256 = digests(fits)?;
    let evaluation = Evaluation { metrics, calibration, operating_point: Some(point), networks_sha256, notes };
    Ok(Outcome { evaluation, predictions, targets })
}

/// SHA-256 of the networks of each fit.
pub(crate) fn digests(fits: &[ExportedFit]) -> Result<Vec<String>, TrainError> {
    fits.iter().map(|fit| digest(&fit.draft)).collect()
}

/// SHA-256 of a package.
fn digest(networks: &Package) -> Result<String, TrainError> {
    Ok(networks.contents().map_err(ModelsError::from)?.identity.sha256)
}

/// Evaluates the lung network on all prepared slices.
pub(crate) fn lungs(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    networks: &Package,
    splits: &[(Split, Dataset)],
) -> Result<Evaluation, TrainError> {
    let resampling = Resampling { count: configuration.evaluation.bootstrap, seed: configuration.fit.seed };
    let mut metrics = BTreeMap::new();
    for ((split, data), overlaps) in splits.iter().zip(running::lungs(networks, context, splits)?) {
        let split = split.name();
        metrics.insert(format!("{split}.exams"), Metric { value: overlaps.len() as f64, interval: None });
        for (side, name) in ["left", "right"].into_iter().enumerate() {
            let of_exam =
                |(exam, overlap): (&PreparedExam, &[Overlap; 2])| (exam.patient.clone(), overlap[side].dice());
            let values = data.exams.iter().zip(&overlaps).map(of_exam).collect();
            if let Some(metric) = resampling.metric(&values, figures::mean) {
                metrics.insert(format!("{split}.dice_{name}"), metric);
            }
        }
    }
    let networks_sha256 = vec![digest(networks)?];
    Ok(Evaluation { metrics, networks_sha256, ..Evaluation::uncalibrated(Kind::LungSegmentation) })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A test exam of the given number, label and probability.
    pub(in super::super) fn prediction(number: u32, embolism: bool, probability: f64) -> Prediction {
        Prediction {
            series: format!("2.25.{number}"),
            split: Split::Test,
            embolism,
            logit: Some((probability / (1.0 - probability)).ln()),
            probability,
            spread: None,
            decision: if probability < 0.5 { Decision::Absent } else { Decision::Present },
            member: None,
            study: format!("2.26.{number}"),
            patient: format!("2.27.{number}"),
        }
    }

    #[test]
    fn predictions_are_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("predictions.csv");
        let ensemble = Prediction { spread: Some(0.125), ..prediction(1, true, 0.75) };
        let of_fold = Prediction { member: Some(2), split: Split::Validation, ..prediction(2, false, 0.25) };
        let rows = [ensemble, of_fold, Prediction { logit: None, ..prediction(3, true, 0.5) }];
        table::write(&path, &rows).expect("written");
        assert_eq!(table::read::<Prediction>(&path, "evaluate").expect("read"), rows);
    }
}
