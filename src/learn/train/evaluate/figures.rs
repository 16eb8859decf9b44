//! Figures of what was said of exams and slices, each with the split that it was found on in its name.

use std::collections::BTreeMap;

use super::members::Answer;
use super::{Prediction, TargetPrediction};
use crate::engine::models::manifest::Metric;
use crate::engine::models::target::Target;
use crate::learn::train::bootstrap::{ByPatient, Resampling};
use crate::learn::train::labels::Split;
use crate::learn::train::metrics::{
    Confusion, Scored, auroc, average_precision, brier_score, calibration_error, sensitivity_at,
};

/// All figures of validation and test.
pub(super) fn all(answers: &[Answer<'_>], threshold: f64, resampling: Resampling) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    for split in [Split::Validation, Split::Test] {
        let answers: Vec<&Answer> = answers.iter().filter(|answer| answer.split() == split).collect();
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

/// Figures of exam probabilities at a threshold, with intervals over patients. A figure that these exams do not define,
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
    let figures = resampling.metrics(exams, |exams| {
        let of_probabilities = [
            ("auroc", auroc(exams)),
            ("average_precision", average_precision(exams)),
            ("sensitivity_at_90_specificity", sensitivity_at(exams, 0.9)),
            ("brier_score", brier_score(exams)),
            ("calibration_error", (!exams.is_empty()).then(|| calibration_error(exams))),
        ];
        let defined = of_probabilities.into_iter().filter_map(|(name, value)| Some((name, value?)));
        defined.chain(Confusion::at(exams, threshold).figures()).collect()
    });
    let counts = counts.into_iter().map(|(name, value)| (name.to_owned(), plain(value)));
    counts.chain(figures.into_iter().map(|(name, metric)| (format!("exam_{name}"), metric))).collect()
}

/// Slices of one exam are alike, so that an interval over slices would be too narrow: they have none.
pub(super) fn of_slices(slices: &[Scored]) -> Vec<(&'static str, Metric)> {
    let [count, positive] = counts(slices);
    let figures = [
        ("labelled_slices", (count > 0.0).then_some(count)),
        ("positive_slices", (count > 0.0).then_some(positive)),
        ("slice_auroc", auroc(slices)),
        ("slice_average_precision", average_precision(slices)),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name, plain(value?)))).collect()
}

/// Figures of what is said beside embolism, target by target, of the exams whose label is known. The predictions of the
/// same exams say whom they show.
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
        let figures = of_target(&exams.into_iter().collect(), resampling).into_iter();
        figures.map(move |(name, metric)| (format!("{}.{target}.{name}", split.name()), metric))
    };
    groups.into_iter().flat_map(named).collect()
}

fn of_target(exams: &ByPatient<Scored>, resampling: Resampling) -> Vec<(&'static str, Metric)> {
    let [count, positive] = counts(&exams.exams());
    let mut metrics = vec![("exams", plain(count)), ("positive_exams", plain(positive))];
    let figures: [(_, fn(&[Scored]) -> Option<f64>); 3] =
        [("auroc", auroc), ("average_precision", average_precision), ("brier_score", brier_score)];
    metrics.extend(figures.into_iter().filter_map(|(name, figure)| Some((name, resampling.metric(exams, figure)?))));
    metrics
}

/// Mean spread of the members' probabilities on the test exams, where an ensemble answered.
pub(super) fn of_spread(predictions: &[Prediction]) -> Option<(String, Metric)> {
    let test = predictions.iter().filter(|one| one.split == Split::Test);
    let spreads: Vec<f64> = test.filter_map(|one| one.spread).collect();
    Some(("test.exam_spread_mean".to_owned(), plain(mean(&spreads)?)))
}

/// How far the members of an ensemble are apart on the test exams: mean and standard deviation of their areas.
pub(super) fn of_members(answers: &[Answer<'_>]) -> BTreeMap<String, Metric> {
    let test: Vec<&Answer> = answers.iter().filter(|answer| answer.split() == Split::Test).collect();
    let members = test.first().map_or(0, |answer| answer.members.len());
    let of_member = |member: usize| {
        let scored = |answer: &&Answer| Scored { score: answer.members[member], positive: answer.exam.embolism };
        auroc(&test.iter().map(scored).collect::<Vec<_>>())
    };
    let areas: Vec<f64> = (0..members).filter_map(of_member).collect();
    let figures = [
        ("test.members", (members > 0).then_some(members as f64)),
        ("test.members_exam_auroc_mean", mean(&areas)),
        ("test.members_exam_auroc_deviation", deviation(&areas)),
    ];
    figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), plain(value?)))).collect()
}

/// `None` without values.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation (Bessel's); `None` for fewer than two values.
pub(super) fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    Some((values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_figures_of_the_authors_and_more_are_there_and_those_undefined_are_left_out() {
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
            assert!(found.contains_key(name), "{name} is missing of {:?}", found.keys());
        }
        let cells =
            ["true_positives", "false_negatives", "true_negatives", "false_positives"].map(|name| found[name].value);
        assert!((cells.iter().sum::<f64>() - 40.0).abs() < 1e-12);
        let one_class: Vec<(String, Metric)> = of_exams(&[exam(0)].into_iter().collect(), 0.5, resampling);
        assert!(!one_class.iter().any(|(name, _)| name == "exam_auroc" || name == "exam_specificity"));
        assert!(one_class.iter().all(|(_, metric)| metric.value.is_finite()));
    }

    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert!((deviation(&[1.0, 3.0]).expect("two") - 2.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!((deviation(&[1.0]), mean(&[])), (None, None));
    }
}
