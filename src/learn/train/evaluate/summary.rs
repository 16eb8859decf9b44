//! Metrics of the predictions for exams and slices, each with the split that it was found on in its name.

use std::collections::BTreeMap;

use super::members::ExamAnswer;
use super::predictions::{Prediction, TargetPrediction};
use crate::engine::models::manifest::Metric;
use crate::engine::models::target::Target;
use crate::learn::train::bootstrap::{ByPatient, Resampling};
use crate::learn::train::labels::Split;
use crate::learn::train::metrics::{
    Confusion, Scored, auroc, average_precision, brier_score, calibration_error, mean, sensitivity_at,
    standard_deviation,
};

/// All metrics of validation and test.
pub(super) fn all(answers: &[ExamAnswer<'_>], threshold: f64, resampling: Resampling) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    for split in [Split::Validation, Split::Test] {
        let answers: Vec<&ExamAnswer> = answers.iter().filter(|answer| answer.split() == split).collect();
        if answers.is_empty() {
            continue;
        }
        let mut insert = |name: String, metric| metrics.insert(format!("{}.{name}", split.name()), metric);
        let exams = answers.iter().map(|answer| (&answer.exam.patient, answer.scored())).collect();
        for (name, metric) in of_exams(&exams, threshold, resampling) {
            insert(name, metric);
        }
        let slices: Vec<Scored> = answers.iter().flat_map(|answer| &answer.slices).copied().collect();
        for (name, metric) in of_slices(&slices) {
            insert(name.to_owned(), metric);
        }
    }
    metrics
}

fn plain(value: f64) -> Metric {
    Metric { value, interval: None }
}

fn counts(scored: &[Scored]) -> [f64; 2] {
    [scored.len(), scored.iter().filter(|one| one.positive).count()].map(|count| count as f64)
}

/// Metrics of exam probabilities at a threshold, with intervals over patients. A metric that these exams do not define,
/// such as an area where all are positive, is left out.
pub(super) fn of_exams(exams: &ByPatient<Scored>, threshold: f64, resampling: Resampling) -> Vec<(String, Metric)> {
    let all = exams.exams();
    let [count, positive] = counts(&all);
    let table = Confusion::at(&all, threshold);
    let counts = [
        ("exams", count),
        ("positive_exams", positive),
        ("true_positives", table.true_positive as f64),
        ("false_negatives", table.false_negative as f64),
        ("true_negatives", table.true_negative as f64),
        ("false_positives", table.false_positive as f64),
    ];
    let metrics = resampling.metrics(exams, |exams| {
        let of_probabilities = [
            ("auroc", auroc(exams)),
            ("average_precision", average_precision(exams)),
            ("sensitivity_at_90_specificity", sensitivity_at(exams, 0.9)),
            ("brier_score", brier_score(exams)),
            ("calibration_error", (!exams.is_empty()).then(|| calibration_error(exams))),
        ];
        let defined = of_probabilities.into_iter().filter_map(|(name, value)| Some((name, value?)));
        defined.chain(Confusion::at(exams, threshold).metrics()).collect()
    });
    let counts = counts.into_iter().map(|(name, value)| (name.to_owned(), plain(value)));
    counts.chain(metrics.into_iter().map(|(name, metric)| (format!("exam_{name}"), metric))).collect()
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
    let [count, positive] = counts(&exams.exams());
    let mut metrics = vec![("exams", plain(count)), ("positive_exams", plain(positive))];
    let defined: [(_, fn(&[Scored]) -> Option<f64>); 3] =
        [("auroc", auroc), ("average_precision", average_precision), ("brier_score", brier_score)];
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

    #[test]
    fn all_published_metrics_and_more_are_present_and_undefined_ones_are_left_out() {
        let exam = |n: u32| (n, Scored { score: f64::from(n) / 40.0, positive: n.is_multiple_of(3) || n > 30 });
        let exams: ByPatient<Scored> = (0..40).map(exam).collect();
        let resampling = Resampling { count: 50, seed: 1 };
        let found: BTreeMap<String, Metric> = of_exams(&exams, 0.5, resampling).into_iter().collect();
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
            "exams",
            "positive_exams",
        ] {
            assert!(found.contains_key(name), "{name} is missing from {:?}", found.keys());
        }
        let cells =
            ["true_positives", "false_negatives", "true_negatives", "false_positives"].map(|name| found[name].value);
        assert!((cells.iter().sum::<f64>() - 40.0).abs() < 1e-12);
        let one_class: Vec<(String, Metric)> = of_exams(&[exam(0)].into_iter().collect(), 0.5, resampling);
        assert!(!one_class.iter().any(|(name, _)| name == "exam_auroc" || name == "exam_specificity"));
        assert!(one_class.iter().all(|(_, metric)| metric.value.is_finite()));
    }
}
