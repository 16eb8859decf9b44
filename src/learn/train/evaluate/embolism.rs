//! The evaluation of the embolism classifier.

use super::comparison;
use super::evaluation::{Evaluation, sha256};
use super::inference::{Classifier, Logits};
use super::members::{self, ExamAnswer};
use super::predictions::{Prediction, TargetPrediction};
use super::reached;
use super::summary::{self, Measured};
use crate::engine::models::manifest::Calibration;
use crate::engine::models::target::Target;
use crate::learn::train::bootstrap::{ByPatient, Resampling};
use crate::learn::train::calibration::{Expected, Rule, Validated, cross_fitted, operating_point};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::dataset::Dataset;
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
    let fitted = (0..fits.len())
        .map(|number| OfFit::new((targets, &rule, context), fits, number, test))
        .collect::<Result<Vec<_>, _>>()?;
    let mut notes: Vec<String> = fitted.iter().flat_map(|fit| fit.notes.clone()).collect();
    let calibration: Vec<Calibration> = fitted.iter().map(|fit| fit.calibration.clone()).collect();
    let mut answers: Vec<ExamAnswer<'_>> = fitted.iter().flat_map(|fit| fit.answers.clone()).collect();
    let validation: Vec<Scored> = answers.iter().map(ExamAnswer::scored).collect();
    let point = operating_point(&validation, &rule);
    for (place, exam) in test.iter().flat_map(|data| &data.exams).enumerate() {
        let logits: Vec<_> = fitted.iter().map(|fit| &fit.test[place]).collect();
        answers.push(ExamAnswer::new(exam, targets, &calibration, &logits, None));
    }
    let resampling = Resampling { count: settings.bootstrap, seed: configuration.fit.seed };
    let measured = Measured { point: &point, prevalence: settings.criterion.prevalence(), resampling };
    let mut metrics = summary::all(&answers, measured);
    let validated: ByPatient<Validated<'_>> = fitted.iter().flat_map(OfFit::validated).collect();
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

/// What the network of one fit says of its own validation exams and of the test exams.
struct OfFit<'a> {
    answers: Vec<ExamAnswer<'a>>,
    calibration: Calibration,
    /// The fit with the logit of each validation exam.
    logits: Vec<(usize, f64)>,
    test: Vec<Logits>,
    notes: Vec<String>,
}

impl<'a> OfFit<'a> {
    fn new(
        (targets, rule, context): (&[Target], &Rule, &TrainingContext),
        fits: &'a [ExportedFit],
        number: usize,
        test: Option<&Dataset>,
    ) -> Result<Self, TrainError> {
        let mut classifier = Classifier::load(&fits[number].draft, context)?;
        let validation = fits[number].exams(Split::Validation);
        let own = validation.map_or_else(|| Ok(Vec::new()), |data| classifier.logits(data))?;
        let exams = validation.map_or(&[][..], |data| &data.exams);
        let (calibration, said) = members::calibrate(rule, targets, exams, &own);
        let scored = members::of_embolism(exams, &own);
        let alone = (fits.len() > 1).then_some(number);
        let answer =
            |(exam, logits)| ExamAnswer::new(exam, targets, std::slice::from_ref(&calibration), &[logits], alone);
        let answers = exams.iter().zip(&own).map(answer);
        let answers = if fits.len() > 1 {
            let probabilities = cross_fitted(rule, &scored, &calibration.embolism());
            answers.zip(probabilities).map(|(answer, value)| answer.with_probability(value)).collect()
        } else {
            answers.collect()
        };
        Ok(Self {
            answers,
            logits: scored.iter().map(|(_, one)| (number, one.score)).collect(),
            calibration,
            test: test.map_or_else(|| Ok(Vec::new()), |data| classifier.logits(data))?,
            notes: said.into_iter().map(|said| members::named(number, fits.len(), said)).collect(),
        })
    }

    /// The validation exams before calibration, with their patients.
    fn validated(&self) -> impl Iterator<Item = (&'a str, Validated<'_>)> {
        let validated = |(answer, logit)| -> (&'a str, Validated<'_>) {
            let answer: &ExamAnswer<'a> = answer;
            let logits = std::slice::from_ref(logit);
            (&answer.exam.patient, Validated { logits, positive: answer.exam.embolism })
        };
        self.answers.iter().zip(&self.logits).map(validated)
    }
}
