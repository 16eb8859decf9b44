//! Decisions against the truth: at the threshold, and with undetermined exams as their own answer.
//!
//! Two rules, which `docs/evaluation.md` states for users. Sensitivity, specificity and predictive values are *at the
//! threshold*: an undetermined exam counts on the side on which it lies. A *false alarm* is an exam without embolism that
//! is called present, a *miss* one with embolism that is called absent: an undetermined exam is neither.

use crate::engine::analyse::decision::at_operating_point;
use crate::engine::analyse::findings::Decision;
use crate::engine::models::manifest::{Metric, OperatingPoint};
use crate::learn::train::bootstrap::ByPatient;
use crate::learn::train::metrics::{Confusion, Scored, wilson_interval};

/// Answers in the order of the table.
pub(crate) const ANSWERS: [Decision; 3] = [Decision::Present, Decision::Undetermined, Decision::Absent];

/// Names of the counts of exams by truth and answer: a row with embolism and a row without, in the order of [`ANSWERS`].
pub(crate) const COUNTS: [(bool, [&str; 3]); 2] = [
    (true, ["embolism_called_present", "embolism_undetermined", "embolism_called_absent"]),
    (false, ["no_embolism_called_present", "no_embolism_undetermined", "no_embolism_called_absent"]),
];

/// All counts and shares of decisions by name; a share of no exams is left out.
pub(super) fn metrics(exams: &ByPatient<Scored>, point: &OperatingPoint) -> Vec<(&'static str, Metric)> {
    let all = exams.exams();
    let table = Confusion::at(&all, point.threshold);
    let decided = |one: &Scored| at_operating_point(one.score, point);
    let plain = |count: usize| Metric { value: count as f64, interval: None };
    let at_threshold = [
        ("true_positives", table.true_positive),
        ("false_negatives", table.false_negative),
        ("true_negatives", table.true_negative),
        ("false_positives", table.false_positive),
    ];
    let at_threshold = at_threshold.map(|(name, count)| (name, plain(count as usize)));
    let by_answer =
        COUNTS.iter().flat_map(|(embolism, names)| names.iter().zip(ANSWERS).map(move |of| (*embolism, of)));
    let by_answer = by_answer.map(|(embolism, (name, answer))| {
        let count = all.iter().filter(|one| one.positive == embolism && decided(one) == answer).count();
        (*name, plain(count))
    });
    at_threshold.into_iter().chain(by_answer).chain(shares(exams, point)).collect()
}

/// Shares of exams, each among the exams that it is about.
fn shares(exams: &ByPatient<Scored>, point: &OperatingPoint) -> Vec<(&'static str, Metric)> {
    let above = |one: &Scored| one.score >= point.threshold;
    let decided = |one: &Scored, answer| at_operating_point(one.score, point) == answer;
    let named = [
        ("exam_sensitivity", share(exams, |one| one.positive, above)),
        ("exam_specificity", share(exams, |one| !one.positive, |one| !above(one))),
        ("exam_ppv", share(exams, above, |one| one.positive)),
        ("exam_npv", share(exams, |one| !above(one), |one| !one.positive)),
        ("exam_accuracy", share(exams, |_| true, |one| above(one) == one.positive)),
        ("exam_found_rate", share(exams, |one| one.positive, |one| decided(one, Decision::Present))),
        ("exam_miss_rate", share(exams, |one| one.positive, |one| decided(one, Decision::Absent))),
        ("exam_false_alarm_rate", share(exams, |one| !one.positive, |one| decided(one, Decision::Present))),
        ("exam_undetermined_rate", share(exams, |_| true, |one| decided(one, Decision::Undetermined))),
    ];
    named.into_iter().filter_map(|(name, metric)| Some((name, metric?))).collect()
}

/// The share of exams that hold among those that count, with Wilson's interval. Exams of one patient are alike, so its
/// cases are patients.
fn share(
    exams: &ByPatient<Scored>,
    counts: impl Fn(&Scored) -> bool,
    holds: impl Fn(&Scored) -> bool,
) -> Option<Metric> {
    let among: Vec<Scored> = exams.exams().into_iter().filter(&counts).collect();
    let hits = among.iter().filter(|one| holds(one)).count();
    let value = hits as f64 / among.len() as f64;
    (!among.is_empty()).then(|| Metric { value, interval: wilson_interval(value, exams.patients_with(counts)) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn point() -> OperatingPoint {
        OperatingPoint { threshold: 0.5, indeterminate: [0.4, 0.6], chosen: String::new() }
    }

    /// 20 exams with embolism and 20 without, at 0.025, 0.075 and so on.
    fn exams(each: u32) -> ByPatient<Scored> {
        let exam = |n: u32| Scored { score: f64::from(n % 20) / 20.0 + 0.025, positive: n < 20 };
        (0..40).flat_map(|n| (0..each).map(move |_| (n, exam(n)))).collect()
    }

    #[test]
    fn an_undetermined_exam_is_neither_a_false_alarm_nor_a_miss() {
        let found: BTreeMap<&str, Metric> = metrics(&exams(1), &point()).into_iter().collect();
        let value = |name: &str| found[name].value;
        for (_, names) in COUNTS {
            assert_eq!(names.map(|name| value(name) as usize), [8, 4, 8]);
        }
        for (name, expected) in [
            ("exam_sensitivity", 0.5),
            ("exam_specificity", 0.5),
            ("exam_found_rate", 0.4),
            ("exam_miss_rate", 0.4),
            ("exam_false_alarm_rate", 0.4),
            ("exam_undetermined_rate", 0.2),
        ] {
            assert!((value(name) - expected).abs() < 1e-12, "{name}");
        }
        assert_eq!(value("false_positives") as usize, 10);
    }

    #[test]
    fn shares_have_wilsons_interval_over_patients() {
        let interval = |each: u32| {
            let found: BTreeMap<&str, Metric> = metrics(&exams(each), &point()).into_iter().collect();
            found["exam_sensitivity"].interval
        };
        assert_eq!(interval(1), wilson_interval(0.5, 20));
        assert_eq!(interval(3), interval(1), "three exams that are alike say no more than one");
    }

    #[test]
    fn three_exams_have_shares_without_intervals() {
        let three: ByPatient<Scored> = (0..3).map(|n| (n, Scored { score: 0.9, positive: true })).collect();
        let found: BTreeMap<&str, Metric> = metrics(&three, &point()).into_iter().collect();
        assert_eq!(found["exam_sensitivity"], Metric { value: 1.0, interval: None });
        assert!(!found.contains_key("exam_specificity"));
    }
}
