//! A package for a site: calibration and operating point fitted to exams of the site, weights as they are.

use super::cohort::LocalExam;
use super::request::ExternalValidation;
use super::validation::{analyse, models, package};
use crate::engine::models::manifest::{Calibration, TargetCalibration};
use crate::engine::models::package::Package;
use crate::learn::train::bootstrap::{ByPatient, Resampling};
use crate::learn::train::calibration::{self, Expected, FEW, Rule, Validated, cross_fitted, operating_point};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::evaluate::evaluation::{Evaluation, sha256};
use crate::learn::train::evaluate::members::named;
use crate::learn::train::evaluate::reached;
use crate::learn::train::evaluate::summary::Measured;
use crate::learn::train::labels::{Exclusion, Split};
use crate::learn::train::metrics::{Scored, mean};
use crate::learn::train::{TrainError, TrainingContext};

/// A package with what was fitted to exams of a site.
pub(crate) struct Recalibrated {
    /// The package before.
    pub(crate) package: Package,
    /// Calibration, operating point and metrics of the site.
    pub(crate) evaluation: Evaluation,
    /// Labelled studies that could not be analysed.
    pub(crate) exclusions: Vec<Exclusion>,
}

/// Fits calibration and operating point of a package to labelled studies of a site. Nothing is written.
///
/// # Errors
/// A table that cannot be read, a package that cannot be used, fewer than 20 exams with or without embolism, or a network
/// whose logits do not rise with the truth.
pub(crate) fn recalibrated(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    request: &ExternalValidation,
) -> Result<Recalibrated, TrainError> {
    let package = package(configuration, request)?;
    let networks_sha256 = vec![sha256(&package)?];
    let mut models = models(configuration, context, &package)?;
    let (cohort, exclusions) = analyse(&mut models, context, request)?;
    let (exams, notes) = cohort.exams();
    let mut evaluation = refitted(configuration, &exams, &package.manifest().calibration)?;
    evaluation.notes.extend(notes);
    Ok(Recalibrated { package, evaluation: Evaluation { networks_sha256, ..evaluation }, exclusions })
}

/// Calibration of each member and the operating point of all together, with the metrics to expect of them.
///
/// Every exam is answered by the mean of all members, as in service. To choose the threshold and to measure, each exam is
/// calibrated by maps that were fitted without it.
fn refitted(
    configuration: &TrainConfiguration,
    exams: &[LocalExam],
    before: &[Calibration],
) -> Result<Evaluation, TrainError> {
    let settings = &configuration.evaluation;
    let rule = Rule::from(settings);
    let positive = exams.iter().filter(|exam| exam.positive).count();
    if positive.min(exams.len() - positive) < FEW {
        return Err(TrainError::Exams(format!(
            "{positive} exams with embolism and {} without were analysed; add labelled exams until there are {FEW} of each",
            exams.len() - positive
        )));
    }
    let members = before.len();
    let fitted = before
        .iter()
        .enumerate()
        .map(|(member, before)| {
            OfMember::new(&rule, exams, member, before)
                .map_err(|said| TrainError::Exams(format!("{}; nothing was written", named(member, members, said))))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let of_all = |place: usize| mean(&fitted.iter().map(|member| member.probabilities[place]).collect::<Vec<_>>());
    let scored: ByPatient<Scored> = exams
        .iter()
        .enumerate()
        .map(|(place, exam)| {
            let score = of_all(place).unwrap_or(f64::NAN);
            (exam.patient.as_str(), Scored { score, positive: exam.positive })
        })
        .collect();
    let point = operating_point(&scored.exams(), &rule);
    let resampling = Resampling { count: settings.bootstrap, seed: configuration.fit.seed };
    let validated: ByPatient<Validated<'_>> = exams
        .iter()
        .map(|exam| (exam.patient.as_str(), Validated { logits: &exam.logits, positive: exam.positive }))
        .collect();
    let expected = Expected::of(&rule, &validated, resampling);
    let said = fitted.iter().enumerate().map(|(member, of)| named(member, members, of.said.clone()));
    let notes = said.chain([reached::expected_said(expected)]).collect();
    let measured = Measured { point: &point, prevalence: settings.criterion.prevalence(), resampling };
    let found = measured.of_exams(&scored).into_iter();
    let metrics = found.map(|(name, metric)| (format!("{}.{name}", Split::Validation.name()), metric));
    let metrics = metrics.chain(reached::metrics(expected)).collect();
    let calibration = fitted.into_iter().map(|member| member.calibration).collect();
    Ok(Evaluation { metrics, calibration, operating_point: Some(point), networks_sha256: Vec::new(), notes })
}

/// What was fitted of one member.
struct OfMember {
    calibration: Calibration,
    /// Of each exam, by a map that was fitted without it.
    probabilities: Vec<f64>,
    /// How it was found, in words.
    said: String,
}

impl OfMember {
    /// The error says why there is no calibration.
    fn new(rule: &Rule, exams: &[LocalExam], member: usize, before: &Calibration) -> Result<Self, String> {
        let logit = |exam: &LocalExam| exam.logits.iter().find(|(of, _)| *of == member).map(|(_, logit)| *logit);
        let scored = |exam: &LocalExam| Scored { score: logit(exam).unwrap_or(f64::NAN), positive: exam.positive };
        let logits: Vec<Scored> = exams.iter().map(scored).collect();
        let fitted = calibration::fit(rule.method, &logits, "exams").at(rule.criterion.prevalence(), &logits);
        if !fitted.calibrated {
            return Err(fitted.said);
        }
        let by_patient: Vec<(&str, Scored)> =
            exams.iter().map(|exam| exam.patient.as_str()).zip(logits.iter().copied()).collect();
        let probabilities = cross_fitted(rule, &by_patient, &fitted.map);
        let TargetCalibration { temperature, bias, isotonic } = fitted.map;
        let calibration = Calibration { temperature, bias, isotonic, exam_fitted: true, ..before.clone() };
        Ok(Self { calibration, probabilities, said: fitted.said })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::evaluation::uncalibrated;
    use super::*;

    /// Logits of two members, the second twice as sure of itself.
    fn exams(count: usize) -> Vec<LocalExam> {
        let logit = |n: usize| (n * 37 % 101) as f64 / 20.0 - 2.0 + if n.is_multiple_of(2) { 1.5 } else { 0.0 };
        (0..count)
            .map(|n| LocalExam {
                patient: format!("{n:04}"),
                positive: n.is_multiple_of(2),
                logits: vec![(0, logit(n)), (1, 2.0 * logit(n) + 3.0)],
            })
            .collect()
    }

    fn configuration(settings: &[&str]) -> TrainConfiguration {
        let settings: Vec<String> = settings.iter().map(|setting| format!("evaluation.{setting}")).collect();
        TrainConfiguration::load(None, &settings).expect("valid")
    }

    #[test]
    fn each_member_is_calibrated_on_the_site_and_slices_stay_as_they_are() {
        let before = [Calibration { slice_bias: -3.0, slices_fitted: true, ..uncalibrated() }, uncalibrated()];
        let settings = configuration(&["bootstrap=100", "sensitivity=0.9"]);
        let evaluation = refitted(&settings, &exams(200), &before).expect("enough exams");
        let [first, second] = &evaluation.calibration[..] else { panic!("two members") };
        assert!((second.temperature / first.temperature - 2.0).abs() < 1e-6, "{first:?} {second:?}");
        assert!((first.exam(0.5) - second.exam(4.0)).abs() < 1e-6, "both say the same of an exam");
        assert!(first.exam_fitted && (first.slice_bias + 3.0).abs() < 1e-12 && first.slices_fitted);
        let value = |name: &str| evaluation.metrics[&format!("validation.{name}")].value;
        assert!(
            (value("exam_sensitivity") - 0.9).abs() < 0.03 && (value("exam_expected_sensitivity") - 0.9).abs() < 0.03
        );
        assert!(value("exam_calibration_error") < 0.15, "{}", value("exam_calibration_error"));
        let point = evaluation.operating_point.expect("a classifier has one");
        assert!(point.chosen.contains("200 validation exams"), "{}", point.chosen);
    }

    #[test]
    fn the_sites_prevalence_is_in_the_bias() {
        let fitted = |settings: &[&str]| refitted(&configuration(settings), &exams(200), &[uncalibrated()]);
        let [here, there] = [&["bootstrap=20"][..], &["bootstrap=20", "prevalence=0.1"]]
            .map(|settings| fitted(settings).expect("enough exams").calibration[0].bias);
        assert!((here - there - 9.0_f64.ln()).abs() < 1e-9, "from odds of 1 to odds of 1/9");
    }

    #[test]
    fn too_few_exams_and_logits_that_fall_are_refused() {
        let refused = |exams: &[LocalExam]| {
            refitted(&configuration(&["bootstrap=20"]), exams, &[uncalibrated()]).expect_err("refused").to_string()
        };
        let few = refused(&exams(30));
        assert!(few.contains("15 exams with embolism and 15 without") && few.contains("20 of each"), "{few}");
        let falling: Vec<LocalExam> =
            exams(80).into_iter().map(|exam| LocalExam { positive: !exam.positive, ..exam }).collect();
        assert!(refused(&falling).contains("do not rise with the truth"), "{}", refused(&falling));
    }
}
