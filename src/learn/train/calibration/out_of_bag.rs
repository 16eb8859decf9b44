//! What sensitivity and specificity to expect of a threshold that was chosen on few exams.

use super::fitting::{FEW, map_at};
use super::operating_point::{Rule, threshold};
use super::platt::Platt;
use crate::engine::models::manifest::{Metric, TargetCalibration};
use crate::learn::train::bootstrap::{ByPatient, Resampling};
use crate::learn::train::metrics::{Confusion, Scored, mean, wilson_interval};
use crate::learn::train::resampled::quantile;

/// A validation exam before calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Validated<'a> {
    /// The networks that answered, numbered from 0, each with its logit: of folds the one that was not trained on the
    /// exam, of exams of another site all.
    pub(crate) logits: &'a [(usize, f64)],
    /// The truth.
    pub(crate) positive: bool,
}

/// What new exams like the validation exams will show at the operating point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    pub(crate) sensitivity: Metric,
    pub(crate) specificity: Metric,
}

impl Expected {
    /// Calibrates and chooses the threshold on patients drawn with replacement, and measures both on the patients that
    /// were not drawn, again and again: the mean is free of the optimism of choosing and measuring on the same exams
    /// (Efron and Tibshirani 1997, doi 10.1080/01621459.1997.10474007). `None` with fewer than 20 exams of a class.
    ///
    /// Intervals are of 95 %: how much the share changes among all exams with the threshold that a draw chose. What is
    /// measured on the patients that were not drawn would vary more, because they are fewer. Few exams take few values of a
    /// share near 1, so an interval is at least Wilson's.
    pub(crate) fn of(rule: &Rule, exams: &ByPatient<Validated<'_>>, resampling: Resampling) -> Option<Self> {
        let all = exams.exams();
        let positives = all.iter().filter(|one| one.positive).count();
        if positives.min(all.len() - positives) < FEW {
            return None;
        }
        let draws = resampling.each_with_rest(exams, |drawn, rest| {
            let (maps, threshold) = chosen(rule, drawn)?;
            let rates = |exams: &[Validated<'_>]| Rates::of(&calibrated(exams, &maps), threshold);
            Some((rates(rest), rates(&all)))
        });
        let draws: Vec<(Rates, Rates)> = draws.into_iter().flatten().collect();
        Some(Self {
            sensitivity: expected(&draws, exams.patients_with(|one| one.positive), |rates| rates.sensitivity)?,
            specificity: expected(&draws, exams.patients_with(|one| !one.positive), |rates| rates.specificity)?,
        })
    }
}

/// Sensitivity and specificity; `None` where a class is missing.
#[derive(Debug, Clone, Copy)]
struct Rates {
    sensitivity: Option<f64>,
    specificity: Option<f64>,
}

impl Rates {
    fn of(scored: &[Scored], threshold: f64) -> Self {
        let Confusion { true_positive, false_negative, true_negative, false_positive } =
            Confusion::at(scored, threshold);
        let share = |hits: u64, others: u64| (hits + others > 0).then(|| hits as f64 / (hits + others) as f64);
        Self { sensitivity: share(true_positive, false_negative), specificity: share(true_negative, false_positive) }
    }
}

/// Mean over the patients that were not drawn, and the interval of all exams moved there. `patients` have such an exam.
fn expected(draws: &[(Rates, Rates)], patients: usize, of: fn(&Rates) -> Option<f64>) -> Option<Metric> {
    let value = mean(&draws.iter().filter_map(|(rest, _)| of(rest)).collect::<Vec<_>>())?;
    let mut all: Vec<f64> = draws.iter().filter_map(|(_, all)| of(all)).collect();
    all.sort_by(f64::total_cmp);
    let moved = value - mean(&all)?;
    let [low, high] = [0.025, 0.975].map(|share| (quantile(&all, share) + moved).clamp(0.0, 1.0));
    let [least, greatest] = wilson_interval(value, patients)?;
    Some(Metric { value, interval: Some([low.min(least), high.max(greatest)]) })
}

/// The map of each member and the threshold, by these exams.
fn chosen(rule: &Rule, exams: &[Validated<'_>]) -> Option<(Vec<Option<TargetCalibration>>, f64)> {
    let members = exams.iter().flat_map(|one| one.logits).map(|(member, _)| *member).max()? + 1;
    let of_member = |member: usize| {
        let own = |one: &Validated<'_>| {
            let (_, logit) = one.logits.iter().find(|(of, _)| *of == member)?;
            Some(Scored { score: *logit, positive: one.positive })
        };
        let logits: Vec<Scored> = exams.iter().filter_map(own).collect();
        map_at(rule.method, rule.criterion.prevalence(), &logits)
    };
    let maps: Vec<_> = (0..members).map(of_member).collect();
    let threshold = threshold(rule.criterion, &calibrated(exams, &maps))?;
    Some((maps, threshold))
}

/// Probabilities of exams, the mean of the networks that answered; without a map, logits as they are.
fn calibrated(exams: &[Validated<'_>], maps: &[Option<TargetCalibration>]) -> Vec<Scored> {
    let unchanged = TargetCalibration::from(Platt::IDENTITY);
    let probability = |(member, logit): &(usize, f64)| {
        maps.get(*member).and_then(Option::as_ref).unwrap_or(&unchanged).probability(*logit)
    };
    let scored = |one: &Validated<'_>| {
        let score = one.logits.iter().map(probability).sum::<f64>() / one.logits.len() as f64;
        Scored { score, positive: one.positive }
    };
    exams.iter().map(scored).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::configuration::{CalibrationMethod, Criterion};

    /// Of every third exam another network is asked.
    fn logits(count: usize) -> Vec<(usize, f64)> {
        let logit = |n: usize| (n * 37 % 101) as f64 / 25.0 + if n.is_multiple_of(2) { 1.5 } else { 0.0 };
        (0..count).map(|n| (n % 3 / 2, logit(n))).collect()
    }

    fn expected(count: usize) -> Option<Expected> {
        let logits = logits(count);
        let exam = |(n, logit): (usize, _)| {
            (n, Validated { logits: std::slice::from_ref(logit), positive: n.is_multiple_of(2) })
        };
        let exams: ByPatient<Validated<'_>> = logits.iter().enumerate().map(exam).collect();
        Expected::of(&RULE, &exams, Resampling { count: 200, seed: 3 })
    }

    const RULE: Rule = Rule {
        method: CalibrationMethod::Temperature,
        criterion: Criterion::Sensitivity { wanted: 0.8, prevalence: None },
        undetermined: 0.1,
    };

    #[test]
    fn what_is_wanted_is_expected_and_more_exams_make_it_surer() {
        let width = |metric: Metric| metric.interval.map_or(f64::NAN, |[low, high]| high - low);
        let [few, many] = [80, 800].map(|count| expected(count).expect("enough exams"));
        for Expected { sensitivity, specificity } in [few, many] {
            assert!((sensitivity.value - 0.8).abs() < 0.05, "{sensitivity:?}");
            for metric in [sensitivity, specificity] {
                let [low, high] = metric.interval.expect("an interval");
                assert!(low <= metric.value && metric.value <= high, "{metric:?}");
            }
        }
        assert!(width(many.sensitivity) < width(few.sensitivity) / 2.0);
    }

    #[test]
    fn few_exams_allow_no_expectation() {
        assert_eq!(expected(30), None);
    }
}
