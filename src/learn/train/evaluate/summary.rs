//! Metrics of the predictions for exams and slices, each with the split that it was found on in its name.

use std::collections::BTreeMap;

use super::decisions;
use super::members::ExamAnswer;
use super::predictions::{Prediction, TargetPrediction};
use crate::engine::models::manifest::{Metric, OperatingPoint};
use crate::engine::models::target::Target;
use crate::learn::train::bootstrap::{ByPatient, Resampling};
use crate::learn::train::configuration::Prevalence;
use crate::learn::train::labels::Split;
use crate::learn::train::metrics::{
    Confusion, EQUAL, FEWEST, Scored, auroc, average_precision, brier_score, calibration_error, mean, sensitivity_at,
    standard_deviation, weights_at,
};

/// All metrics of validation and test.
pub(super) fn all(answers: &[ExamAnswer<'_>], measured: Measured<'_>) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    for split in [Split::Validation, Split::Test] {
        let answers: Vec<&ExamAnswer> = answers.iter().filter(|answer| answer.split() == split).collect();
        if answers.is_empty() {
            continue;
        }
        let exams = answers.iter().map(|answer| (&answer.exam.patient, answer.scored())).collect();
        let slices: Vec<Scored> = answers.iter().flat_map(|answer| &answer.slices).copied().collect();
        let found = measured.of_exams(&exams).into_iter().chain(of_slices(&slices));
        metrics.extend(found.map(|(name, metric)| (format!("{}.{name}", split.name()), metric)));
    }
    metrics
}

fn plain(value: f64) -> Metric {
    Metric { value, interval: None }
}

fn counts(scored: &[Scored]) -> [f64; 2] {
    [scored.len(), scored.iter().filter(|one| one.positive).count()].map(|count| count as f64)
}

/// Intervals where there are [`FEWEST`] exams of each class.
fn resampling_of(exams: &[Scored], resampling: Resampling) -> Resampling {
    let [count, positive] = counts(exams);
    let enough = positive.min(count - positive) >= FEWEST as f64;
    Resampling { count: if enough { resampling.count } else { 0 }, ..resampling }
}

/// By which decisions, and for which site, exams are measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured<'a> {
    pub(super) point: &'a OperatingPoint,
    /// `None`: as many exams show embolism as do.
    pub(super) prevalence: Option<Prevalence>,
    pub(super) resampling: Resampling,
}

impl Measured<'_> {
    /// Metrics of exam probabilities and decisions, with intervals over patients. A metric that these exams do not
    /// define, such as an area where all are positive, is left out.
    pub(super) fn of_exams(&self, exams: &ByPatient<Scored>) -> Vec<(&'static str, Metric)> {
        let all = exams.exams();
        let [count, positive] = counts(&all);
        let of_probabilities =
            resampling_of(&all, self.resampling).metrics(exams, |exams| self.of_probabilities(exams));
        let mut metrics = vec![("exams", plain(count)), ("positive_exams", plain(positive))];
        metrics.extend(of_probabilities);
        metrics.extend(decisions::metrics(exams, self.point));
        metrics
    }

    /// What is not a share of exams, and so has an interval by resampling.
    fn of_probabilities(&self, exams: &[Scored]) -> Vec<(&'static str, f64)> {
        let of_order = [
            ("exam_auroc", auroc(exams)),
            ("exam_average_precision", average_precision(exams)),
            ("exam_sensitivity_at_90_specificity", sensitivity_at(exams, 0.9)),
        ];
        let of_probabilities = match self.prevalence {
            None => vec![
                ("exam_brier_score", brier_score(exams, EQUAL)),
                ("exam_calibration_error", calibration_error(exams, EQUAL)),
            ],
            Some(site) => self.at_prevalence(exams, site).unwrap_or_default(),
        };
        let table = Confusion::at(exams, self.point.threshold).agreement();
        let defined = of_order.into_iter().chain(of_probabilities).filter_map(|(name, value)| Some((name, value?)));
        defined.chain(table).collect()
    }

    /// What changes with the share of exams that show embolism.
    fn at_prevalence(&self, exams: &[Scored], site: Prevalence) -> Option<Vec<(&'static str, Option<f64>)>> {
        let weights = weights_at(exams, site.share())?;
        let table = Confusion::at(exams, self.point.threshold);
        let share = |hits: u64, hit: usize, others: u64, other: usize| {
            let (hits, others) = (weights[hit] * hits as f64, weights[other] * others as f64);
            (hits + others > 0.0).then(|| hits / (hits + others))
        };
        Some(vec![
            ("exam_brier_score_at_prevalence", brier_score(exams, weights)),
            ("exam_calibration_error_at_prevalence", calibration_error(exams, weights)),
            ("exam_ppv_at_prevalence", share(table.true_positive, 1, table.false_positive, 0)),
            ("exam_npv_at_prevalence", share(table.true_negative, 0, table.false_negative, 1)),
        ])
    }
}

/// Which splits have too few exams of a class for intervals, one sentence each.
pub(super) fn too_few(metrics: &BTreeMap<String, Metric>) -> Vec<String> {
    let said = |split: Split| {
        let count = |name: &str| metrics.get(&format!("{}.{name}", split.name())).map(|metric| metric.value);
        let (all, positive) = (count("exams")?, count("positive_exams")?);
        (positive.min(all - positive) < FEWEST as f64).then(|| {
            format!(
                "{}: {positive:.0} exams with embolism and {:.0} without are too few for intervals, which need {FEWEST} of \
                 the class that a metric is about",
                split.name(),
                all - positive
            )
        })
    };
    [Split::Validation, Split::Test].into_iter().filter_map(said).collect()
}

/// Slices of one exam are alike: an interval over slices would be too narrow, and so they have none.
pub(super) fn of_slices(slices: &[Scored]) -> Vec<(&'static str, Metric)> {
    let [count, positive] = counts(slices);
    let metrics = [
        ("labelled_slices", (count > 0.0).then_some(count)),
        ("positive_slices", (count > 0.0).then_some(positive)),
        ("slice_auroc", auroc(slices)),
        ("slice_average_precision", average_precision(slices)),
    ];
    metrics.into_iter().filter_map(|(name, value)| Some((name, plain(value?)))).collect()
}

/// Metrics of each further target, over the exams whose label is known. The predictions of the same exams name their
/// patients.
pub(super) fn of_targets(
    targets: &[TargetPrediction],
    predictions: &[Prediction],
    resampling: Resampling,
) -> BTreeMap<String, Metric> {
    let patients: BTreeMap<&str, &str> =
        predictions.iter().map(|one| (one.series.as_str(), one.patient.as_str())).collect();
    let mut groups: BTreeMap<(Split, Target), Vec<(&str, Scored)>> = BTreeMap::new();
    for one in targets {
        let patient = patients.get(one.series.as_str()).copied().unwrap_or(&one.series);
        let known = one.label.map(|positive| (patient, Scored { score: one.probability, positive }));
        groups.entry((one.split, one.target)).or_default().extend(known);
    }
    let named = |((split, target), exams): ((Split, Target), Vec<(&str, Scored)>)| {
        let metrics = of_target(&exams.into_iter().collect(), resampling).into_iter();
        metrics.map(move |(name, metric)| (format!("{}.{target}.{name}", split.name()), metric))
    };
    groups.into_iter().flat_map(named).collect()
}

fn of_target(exams: &ByPatient<Scored>, resampling: Resampling) -> Vec<(&'static str, Metric)> {
    let all = exams.exams();
    let [count, positive] = counts(&all);
    let resampling = resampling_of(&all, resampling);
    let mut metrics = vec![("exams", plain(count)), ("positive_exams", plain(positive))];
    let defined: [(_, fn(&[Scored]) -> Option<f64>); 3] = [
        ("auroc", auroc),
        ("average_precision", average_precision),
        ("brier_score", |exams| brier_score(exams, EQUAL)),
    ];
    metrics.extend(defined.into_iter().filter_map(|(name, metric)| Some((name, resampling.metric(exams, metric)?))));
    metrics
}

/// Mean standard deviation of the members' probabilities on the test exams, where an ensemble answered.
pub(super) fn of_standard_deviations(predictions: &[Prediction]) -> Option<(String, Metric)> {
    let test = predictions.iter().filter(|one| one.split == Split::Test);
    let deviations: Vec<f64> = test.filter_map(|one| one.standard_deviation).collect();
    Some(("test.exam_standard_deviation_mean".to_owned(), plain(mean(&deviations)?)))
}

/// How much the members of an ensemble differ on the test exams: mean and standard deviation of their areas.
pub(super) fn of_members(answers: &[ExamAnswer<'_>]) -> BTreeMap<String, Metric> {
    let test: Vec<&ExamAnswer> = answers.iter().filter(|answer| answer.split() == Split::Test).collect();
    let members = test.first().map_or(0, |answer| answer.members.len());
    let of_member = |member: usize| {
        let scored = |answer: &&ExamAnswer| Scored { score: answer.members[member], positive: answer.exam.embolism };
        auroc(&test.iter().map(scored).collect::<Vec<_>>())
    };
    let areas: Vec<f64> = (0..members).filter_map(of_member).collect();
    let metrics = [
        ("test.members", (members > 0).then_some(members as f64)),
        ("test.members_exam_auroc_mean", mean(&areas)),
        ("test.members_exam_auroc_deviation", standard_deviation(&areas)),
    ];
    metrics.into_iter().filter_map(|(name, value)| Some((name.to_owned(), plain(value?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(exams: &ByPatient<Scored>, prevalence: Option<Prevalence>) -> Vec<(&'static str, Metric)> {
        let point = OperatingPoint { threshold: 0.5, indeterminate: [0.4, 0.6], chosen: String::new() };
        let resampling = Resampling { count: 50, seed: 1 };
        Measured { point: &point, prevalence, resampling }.of_exams(exams)
    }

    #[test]
    fn all_published_metrics_and_more_are_present_and_undefined_ones_are_left_out() {
        let exam = |n: u32| (n, Scored { score: f64::from(n) / 40.0, positive: n.is_multiple_of(3) || n > 30 });
        let exams: ByPatient<Scored> = (0..40).map(exam).collect();
        let found: BTreeMap<&str, Metric> = measured(&exams, None).into_iter().collect();
        for name in [
            "true_positives",
            "false_negatives",
            "true_negatives",
            "false_positives",
            "exam_sensitivity",
            "exam_specificity",
            "exam_ppv",
            "exam_npv",
            "exam_auroc",
            "exam_accuracy",
            "exam_balanced_accuracy",
            "exam_f1",
            "exam_kappa",
            "exam_mcc",
            "exam_average_precision",
            "exam_calibration_error",
            "exam_brier_score",
            "exam_sensitivity_at_90_specificity",
            "exam_false_alarm_rate",
            "exams",
            "positive_exams",
        ] {
            assert!(found.contains_key(name), "{name} is missing from {:?}", found.keys());
        }
        let cells =
            ["true_positives", "false_negatives", "true_negatives", "false_positives"].map(|name| found[name].value);
        assert!((cells.iter().sum::<f64>() - 40.0).abs() < 1e-12);
        let one_class = measured(&[exam(0)].into_iter().collect(), None);
        assert!(!one_class.iter().any(|(name, _)| *name == "exam_auroc" || *name == "exam_specificity"));
        assert!(one_class.iter().all(|(_, metric)| metric.value.is_finite()));
    }

    #[test]
    fn at_another_prevalence_predictive_values_and_calibration_are_those_of_the_site() {
        let exam =
            |n: u32| (n, Scored { score: f64::from(n % 10) / 10.0, positive: n < 50 && n % 10 > 2 || n % 10 > 7 });
        let exams: ByPatient<Scored> = (0..100).map(exam).collect();
        let [here, there] = [None, Prevalence::new(0.1)]
            .map(|prevalence| -> BTreeMap<&str, Metric> { measured(&exams, prevalence).into_iter().collect() });
        let [sensitivity, specificity] = ["exam_sensitivity", "exam_specificity"].map(|name| there[name].value);
        let expected = 0.1 * sensitivity / (0.1 * sensitivity + 0.9 * (1.0 - specificity));
        assert!((there["exam_ppv_at_prevalence"].value - expected).abs() < 1e-12, "Bayes");
        assert!(there["exam_npv_at_prevalence"].value > here["exam_npv"].value);
        assert_eq!(["exam_auroc", "exam_sensitivity", "exam_ppv"].map(|name| there[name] == here[name]), [true; 3]);
        assert!(!there.contains_key("exam_brier_score") && !here.contains_key("exam_brier_score_at_prevalence"));
    }
}
