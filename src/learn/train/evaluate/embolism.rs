//! The evaluation of the embolism classifier.

use super::comparison;
use super::evaluation::{Evaluation, sha256};
use super::inference::Classifier;
use super::members::{self, ExamAnswer};
use super::predictions::{Prediction, TargetPrediction};
use super::reached;
use super::summary::{self, Measured};
use crate::learn::train::bootstrap::{ByPatient, Resampling};
use crate::learn::train::calibration::{Expected, Rule, Validated, cross_fitted, operating_point};
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
///
/// The operating point is chosen on the validation exams of all fits together. Where there are several, the probability of
/// a validation exam comes from a map that was fitted without it: pooling folds by maps that know their exams would make
/// them more alike than new exams are. Of a single network no map changes the order of exams, so its own is used.
pub(crate) fn embolism(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    fits: &[ExportedFit],
) -> Result<ClassifierEvaluation, TrainError> {
    let settings = &configuration.evaluation;
    let rule = Rule::from(settings);
    let targets = &configuration.head.targets;
    let test = fits.first().and_then(|fit| fit.exams(Split::Test));
    let (mut answers, mut calibration, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of_test, mut validated) = (Vec::new(), Vec::new());
    for (number, fit) in fits.iter().enumerate() {
        let mut classifier = Classifier::load(&fit.draft, context)?;
        let validation = fit.exams(Split::Validation);
        let own = validation.map_or_else(|| Ok(Vec::new()), |data| classifier.logits(data))?;
        let exams = validation.map_or(&[][..], |data| &data.exams);
        let (calibrated, said) = members::calibrate(&rule, targets, exams, &own);
        notes.extend(said.into_iter().map(|said| members::named(number, fits.len(), said)));
        let logits = members::of_embolism(exams, &own);
        validated.extend(logits.iter().map(|(patient, one)| (*patient, (number, one.score), one.positive)));
        let alone = (fits.len() > 1).then_some(number);
        let answer =
            |(exam, logits)| ExamAnswer::new(exam, targets, std::slice::from_ref(&calibrated), &[logits], alone);
        let found = exams.iter().zip(&own).map(answer);
        if fits.len() > 1 {
            let probabilities = cross_fitted(&rule, &logits, &calibrated.embolism());
            answers.extend(found.zip(probabilities).map(|(answer, value)| answer.with_probability(value)));
        } else {
            answers.extend(found);
        }
        calibration.push(calibrated);
        of_test.push(test.map_or_else(|| Ok(Vec::new()), |data| classifier.logits(data))?);
    }
    let validation: Vec<Scored> = answers.iter().map(ExamAnswer::scored).collect();
    let point = operating_point(&validation, &rule);
    for (place, exam) in test.iter().flat_map(|data| &data.exams).enumerate() {
        let logits: Vec<_> = of_test.iter().map(|member| &member[place]).collect();
        answers.push(ExamAnswer::new(exam, targets, &calibration, &logits, None));
    }
    let resampling = Resampling { count: settings.bootstrap, seed: configuration.fit.seed };
    let measured = Measured { point: &point, prevalence: settings.criterion.prevalence(), resampling };
    let mut metrics = summary::all(&answers, measured);
    let validated: ByPatient<Validated<'_>> = validated
        .iter()
        .map(|(patient, logit, positive)| {
            (patient, Validated { logits: std::slice::from_ref(logit), positive: *positive })
        })
        .collect();
    let expected = Expected::of(&rule, &validated, resampling);
    let model = if fits.len() > 1 { format!("the mean of {} networks", fits.len()) } else { "the network".to_owned() };
    notes.extend(reached::said(settings.criterion, expected, &metrics, &model));
    notes.extend(summary::too_few(&metrics));
    metrics.extend(reached::metrics(expected));
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
