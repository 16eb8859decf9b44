//! The evaluation of the embolism classifier.

use super::comparison;
use super::evaluation::{Evaluation, sha256};
use super::inference::Classifier;
use super::members::{self, ExamAnswer};
use super::predictions::{Prediction, TargetPrediction};
use super::summary;
use crate::learn::train::bootstrap::Resampling;
use crate::learn::train::calibration::operating_point;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::exported::ExportedFit;
use crate::learn::train::labels::Split;
use crate::learn::train::metrics::Scored;
use crate::learn::train::step::Step;
use crate::learn::train::table;
use crate::learn::train::{TrainError, TrainingContext};

/// The result of evaluating a classifier.
pub(crate) struct ClassifierEvaluation {
    pub(crate) evaluation: Evaluation,
    pub(crate) predictions: Vec<Prediction>,
    pub(crate) targets: Vec<TargetPrediction>,
}

/// Evaluates the embolism classifier, one network or an ensemble with one member per fit, on whole exams.
pub(crate) fn embolism(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    fits: &[ExportedFit],
) -> Result<ClassifierEvaluation, TrainError> {
    let settings = &configuration.evaluation;
    let targets = &configuration.head.targets;
    let test = fits.first().and_then(|fit| fit.exams(Split::Test));
    let (mut answers, mut calibration, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let mut of_test = Vec::new();
    for (number, fit) in fits.iter().enumerate() {
        let mut classifier = Classifier::load(&fit.draft, context)?;
        let validation = fit.exams(Split::Validation);
        let own = validation.map_or_else(|| Ok(Vec::new()), |data| classifier.logits(data))?;
        let exams = validation.map_or(&[][..], |data| &data.exams);
        let (calibrated, said) = members::calibrate(settings.calibration, targets, exams, &own);
        notes.extend(said.into_iter().map(|said| members::named(number, fits.len(), said)));
        let alone = (fits.len() > 1).then_some(number);
        let answer =
            |(exam, logits)| ExamAnswer::new(exam, targets, std::slice::from_ref(&calibrated), &[logits], alone);
        answers.extend(exams.iter().zip(&own).map(answer));
        calibration.push(calibrated);
        of_test.push(test.map_or_else(|| Ok(Vec::new()), |data| classifier.logits(data))?);
    }
    let validation: Vec<Scored> = answers.iter().map(ExamAnswer::scored).collect();
    let point = operating_point(&validation, settings.sensitivity, settings.indeterminate_share);
    for (place, exam) in test.iter().flat_map(|data| &data.exams).enumerate() {
        let logits: Vec<_> = of_test.iter().map(|member| &member[place]).collect();
        answers.push(ExamAnswer::new(exam, targets, &calibration, &logits, None));
    }
    let resampling = Resampling { count: settings.bootstrap, seed: configuration.fit.seed };
    let mut metrics = summary::all(&answers, point.threshold, resampling);
    if fits.len() > 1 {
        metrics.extend(summary::of_members(&answers));
    }
    let predictions: Vec<Prediction> = answers.iter().map(|answer| answer.prediction(&point)).collect();
    metrics.extend(summary::of_standard_deviations(&predictions));
    if !settings.compare_with.is_empty() {
        let path = configuration.work.dir.join(&settings.compare_with).join("predictions.csv");
        let other = table::read(&path, Step::Evaluate)?;
        let (differences, said) = comparison::with(&settings.compare_with, &predictions, &other, resampling);
        metrics.extend(differences);
        notes.push(said);
    }
    let targets: Vec<TargetPrediction> = answers.iter().flat_map(ExamAnswer::of_targets).collect();
    metrics.extend(summary::of_targets(&targets, &predictions, resampling));
    let networks_sha256 = fits.iter().map(|fit| sha256(&fit.draft)).collect::<Result<_, _>>()?;
    let evaluation = Evaluation { metrics, calibration, operating_point: Some(point), networks_sha256, notes };
    Ok(ClassifierEvaluation { evaluation, predictions, targets })
}
