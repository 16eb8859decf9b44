//! Intervals by resampling patients with all of their exams (Efron 1979, bias-corrected), and differences of two models on
//! the same exams.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::metrics::{FEWEST, Scored};
use super::resampled::Resampled;
use crate::engine::models::manifest::Metric;

/// Most parts of the patients that are left out, one at a time, for the skew of a metric.
const PARTS: usize = 200;

/// Exams by patient. A patient's exams are alike: intervals that drew them one by one would be too narrow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ByPatient<T>(Vec<Vec<T>>);

impl<T: Copy> ByPatient<T> {
    /// All exams.
    pub(crate) fn exams(&self) -> Vec<T> {
        self.0.concat()
    }

    /// Number of patients with such an exam.
    pub(crate) fn patients_with(&self, exam: impl Fn(&T) -> bool) -> usize {
        self.0.iter().filter(|exams| exams.iter().any(&exam)).count()
    }

    /// Exams of the patients that are chosen, as often as they are.
    fn of(&self, patients: impl Iterator<Item = usize>) -> Vec<T> {
        patients.flat_map(|patient| &self.0[patient]).copied().collect()
    }

    /// What `of` makes of all exams but those of one part of the patients, part by part.
    fn leaving_out<R>(&self, of: impl Fn(&[T]) -> R) -> Vec<R> {
        let patients = self.0.len();
        let parts = patients.min(PARTS);
        let without = |part: usize| (0..patients).filter(move |patient| patient * parts / patients != part);
        (0..parts).map(|part| of(&self.of(without(part)))).collect()
    }
}

/// From pairs of a patient and a value of an exam, in any order.
impl<P: Ord, T> FromIterator<(P, T)> for ByPatient<T> {
    fn from_iter<I: IntoIterator<Item = (P, T)>>(exams: I) -> Self {
        let mut patients: BTreeMap<P, Vec<T>> = BTreeMap::new();
        for (patient, exam) in exams {
            patients.entry(patient).or_default().push(exam);
        }
        Self(patients.into_values().collect())
    }
}

/// How often patients are resampled, and with which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resampling {
    /// Number of draws.
    pub(crate) count: usize,
    /// Seed of the draws.
    pub(crate) seed: u64,
}

impl Resampling {
    /// Draws as many patients as there are, with replacement, `count` times. Returns what `of` makes of the exams of
    /// each draw, in order. Nothing with fewer than [`FEWEST`] patients.
    pub(crate) fn each<T: Copy + Sync, R: Send>(self, exams: &ByPatient<T>, of: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
        self.drawn(exams.0.len(), |patients| of(&exams.of(patients.iter().copied())))
    }

    /// As [`Self::each`], with the exams of the patients that were not drawn, too.
    pub(crate) fn each_with_rest<T: Copy + Sync, R: Send>(
        self,
        exams: &ByPatient<T>,
        of: impl Fn(&[T], &[T]) -> R + Sync,
    ) -> Vec<R> {
        self.drawn(exams.0.len(), |patients| {
            let mut rest = vec![true; exams.0.len()];
            for patient in patients {
                rest[*patient] = false;
            }
            let rest = (0..rest.len()).filter(|patient| rest[*patient]);
            of(&exams.of(patients.iter().copied()), &exams.of(rest))
        })
    }

    fn drawn<R: Send>(self, patients: usize, of: impl Fn(&[usize]) -> R + Sync) -> Vec<R> {
        let draw = |number: usize| {
            let mut random = ChaCha8Rng::seed_from_u64(self.seed);
            random.set_stream(number as u64);
            of(&(0..patients).map(|_| random.random_range(0..patients)).collect::<Vec<_>>())
        };
        let count = if patients < FEWEST { 0 } else { self.count };
        (0..count).into_par_iter().map(draw).collect()
    }

    /// A metric and its 95 % interval; `None` if it is not defined on all exams.
    pub(crate) fn metric<T: Copy + Sync>(
        self,
        exams: &ByPatient<T>,
        metric: impl Fn(&[T]) -> Option<f64> + Sync,
    ) -> Option<Metric> {
        let named = |exams: &[T]| metric(exams).map(|value| ("", value)).into_iter().collect();
        self.metrics(exams, named).pop().map(|(_, metric)| metric)
    }

    /// Metrics by name with their intervals: those that are defined on all exams.
    pub(crate) fn metrics<T: Copy + Sync>(
        self,
        exams: &ByPatient<T>,
        metrics: impl Fn(&[T]) -> Vec<(&'static str, f64)> + Sync,
    ) -> Vec<(&'static str, Metric)> {
        let named = self.resampled(exams, metrics).into_iter();
        named
            .map(|(name, value, resampled)| {
                let interval = resampled.map(|resampled| resampled.interval());
                (name, Metric { value, interval })
            })
            .collect()
    }

    /// Metrics by name with their resampled values; `None` for those of a metric that is undefined in more than half of
    /// the draws, as with one positive exam.
    fn resampled<T: Copy + Sync>(
        self,
        exams: &ByPatient<T>,
        metrics: impl Fn(&[T]) -> Vec<(&'static str, f64)> + Sync,
    ) -> Vec<(&'static str, f64, Option<Resampled>)> {
        let draws = self.each(exams, &metrics);
        let left_out = if draws.is_empty() { Vec::new() } else { exams.leaving_out(&metrics) };
        let of_name = |all: &[Vec<(&'static str, f64)>], name: &str| -> Vec<f64> {
            all.iter().flatten().filter(|(other, _)| *other == name).map(|(_, value)| *value).collect()
        };
        let resampled = |(name, value): (&'static str, f64)| {
            let found = of_name(&draws, name);
            let enough = 2 * found.len() >= draws.len();
            let resampled = enough.then(|| Resampled::new(value, found, &of_name(&left_out, name))).flatten();
            (name, value, resampled)
        };
        metrics(&exams.exams()).into_iter().map(resampled).collect()
    }
}

/// Scores of two models for one exam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Paired {
    /// One of each model.
    pub(crate) scores: [f64; 2],
    /// The truth.
    pub(crate) positive: bool,
}

/// By how much a metric of the first model exceeds that of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    /// The difference, with its two-sided 95 % interval.
    pub(crate) metric: Metric,
    /// Lower end of the one-sided 95 % interval: the first model is not inferior where it lies above minus the margin.
    pub(crate) at_least: f64,
}

/// Compares two models on the same exams, which are drawn in pairs; `None` if the metric is not defined.
pub(crate) fn difference(
    pairs: &ByPatient<Paired>,
    resampling: Resampling,
    metric: impl Fn(&[Scored]) -> Option<f64> + Sync,
) -> Option<Difference> {
    let of = |pairs: &[Paired], model: usize| {
        let scored = |pair: &Paired| Scored { score: pair.scores[model], positive: pair.positive };
        metric(&pairs.iter().map(scored).collect::<Vec<_>>())
    };
    let difference = |pairs: &[Paired]| Some(of(pairs, 0)? - of(pairs, 1)?);
    let named = |pairs: &[Paired]| difference(pairs).map(|value| ("", value)).into_iter().collect();
    let (_, value, resampled) = resampling.resampled(pairs, named).pop()?;
    let at_least = resampled.as_ref().map_or(f64::NEG_INFINITY, |resampled| resampled.end(0.05));
    let interval = resampled.map(|resampled| resampled.interval());
    Some(Difference { metric: Metric { value, interval }, at_least })
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{EQUAL, auroc, calibration_error};
    use super::*;

    const RESAMPLING: Resampling = Resampling { count: 400, seed: 1 };

    /// One exam per patient.
    fn exams(count: u32) -> ByPatient<Scored> {
        (0..count).map(|n| (n, Scored { score: f64::from(n * 7 % 10), positive: n % 3 == 0 })).collect()
    }

    #[test]
    fn the_interval_holds_the_metric_and_shrinks_with_more_exams() {
        let width = |scored: &ByPatient<Scored>| {
            let metric = RESAMPLING.metric(scored, auroc).expect("metric");
            let [low, high] = metric.interval.expect("interval");
            assert!(low <= metric.value && metric.value <= high);
            high - low
        };
        assert!(width(&exams(800)) < width(&exams(40)) / 2.0);
    }

    fn share(exams: &[bool]) -> f64 {
        exams.iter().filter(|exam| **exam).count() as f64 / exams.len() as f64
    }

    #[test]
    fn exams_of_one_patient_are_drawn_together() {
        // Four exams each that are all alike say no more than one, and leave an interval as wide as one does.
        let interval = |exams_each: u32| {
            let exams = (0..100).flat_map(|patient| (0..exams_each).map(move |_| (patient, patient % 4 == 0)));
            let metric = Resampling { count: 2000, seed: 5 }
                .metric(&exams.collect(), |exams| Some(share(exams)))
                .expect("metric");
            metric.interval.expect("interval")
        };
        let [one, four] = [interval(1), interval(4)];
        // 0.25 ± 1.96 sqrt(0.25 x 0.75 / 100)
        assert!((one[0] - 0.165).abs() < 0.011 && (one[1] - 0.335).abs() < 0.011, "{one:?}");
        assert!(one.iter().zip(four).all(|(one, four)| (one - four).abs() < 1e-12), "{four:?}");
    }

    #[test]
    fn a_single_patient_has_no_interval() {
        let exams: ByPatient<bool> = (0..50).map(|n| ("anonymous", n % 2 == 0)).collect();
        assert_eq!(RESAMPLING.metric(&exams, |exams| Some(share(exams))), Some(Metric { value: 0.5, interval: None }));
    }

    #[test]
    fn three_exams_have_no_interval() {
        let metric = RESAMPLING.metric(&exams(3), auroc).expect("both classes");
        assert_eq!(metric.interval, None);
    }

    #[test]
    fn no_interval_excludes_its_value() {
        for seed in 0..20 {
            // Calibrated exams: their calibration error is smaller than that of nearly all resampled ones.
            let exam = |n: u32| {
                let score = f64::from((n * 37 + seed * 11) % 100) / 100.0;
                (n, Scored { score, positive: f64::from(n * 61 % 97) / 97.0 < score })
            };
            let exams: ByPatient<Scored> = (0..98).map(exam).collect();
            let error = |exams: &[Scored]| calibration_error(exams, EQUAL);
            let Metric { value, interval } = RESAMPLING.metric(&exams, error).expect("defined");
            let [low, high] = interval.expect("enough exams");
            assert!(0.0 <= low && low <= value && value <= high && high - low < 0.2, "{value} ({low} to {high})");
        }
    }

    #[test]
    fn who_is_not_drawn_is_the_rest() {
        let exams: ByPatient<u32> = (0..30).map(|n| (n / 2, n)).collect();
        let shares = RESAMPLING.each_with_rest(&exams, |drawn, rest| {
            assert!(rest.iter().all(|exam| !drawn.contains(exam)) && drawn.len() == 30);
            rest.len() as f64 / 30.0
        });
        // (1 - 1/15)^15
        assert!((shares.iter().sum::<f64>() / 400.0 - 0.355).abs() < 0.02);
    }

    #[test]
    fn the_interval_of_a_share_is_that_of_the_binomial_distribution() {
        let exams: ByPatient<bool> = (0..400).map(|n| (n, n % 4 == 0)).collect();
        let metric = Resampling { count: 2000, seed: 5 }.metric(&exams, |exams| Some(share(exams))).expect("metric");
        let [low, high] = metric.interval.expect("interval");
        // 0.25 ± 1.96 sqrt(0.25 x 0.75 / 400)
        assert!((low - 0.2076).abs() < 0.006 && (high - 0.2924).abs() < 0.006, "{low} {high}");
    }

    #[test]
    fn a_metric_that_most_draws_lack_has_no_interval() {
        let rare: ByPatient<Scored> = (0..12).map(|n| (n, Scored { score: f64::from(n), positive: n == 0 })).collect();
        assert_eq!(RESAMPLING.metric(&rare, |_| None), None);
        let only_positives = |drawn: &[Scored]| drawn.iter().filter(|one| one.positive).count().checked_sub(1);
        let metric = RESAMPLING.metric(&rare, |drawn| (only_positives(drawn)? == 0).then_some(1.0));
        assert_eq!(metric.map(|metric| metric.interval), Some(None), "one positive alone is in 38 % of the draws");
    }

    #[test]
    fn all_metrics_share_their_draws() {
        let metrics =
            RESAMPLING.metrics(&exams(60), |drawn| auroc(drawn).into_iter().map(|value| ("auroc", value)).collect());
        assert_eq!(metrics, [("auroc", RESAMPLING.metric(&exams(60), auroc).expect("metric"))]);
    }

    #[test]
    fn a_paired_comparison_is_narrower_than_its_parts() {
        let pair = |(n, exam): (usize, Scored)| {
            // The second model errs a little more, on some of the same exams.
            let second = exam.score + if n % 5 == 0 { 1.5 } else { 0.0 };
            (n, Paired { scores: [exam.score, second], positive: exam.positive })
        };
        let pairs: ByPatient<Paired> = exams(200).exams().into_iter().enumerate().map(pair).collect();
        let found = difference(&pairs, RESAMPLING, auroc).expect("defined");
        let [low, high] = found.metric.interval.expect("interval");
        let [first_low, first_high] =
            RESAMPLING.metric(&exams(200), auroc).and_then(|metric| metric.interval).expect("one");
        assert!(low <= found.metric.value && found.metric.value <= high && low <= found.at_least);
        assert!(high - low < (first_high - first_low) / 2.0, "{low} to {high}");
    }

    #[test]
    fn a_model_does_not_differ_from_itself() {
        let pair = |(n, one): (usize, Scored)| (n, Paired { scores: [one.score; 2], positive: one.positive });
        let pairs: ByPatient<Paired> = exams(50).exams().into_iter().enumerate().map(pair).collect();
        let found = difference(&pairs, RESAMPLING, auroc).expect("defined");
        assert_eq!(found, Difference { metric: Metric { value: 0.0, interval: Some([0.0, 0.0]) }, at_least: 0.0 });
        let negatives = pairs.exams().into_iter().filter(|pair| !pair.positive).enumerate();
        assert_eq!(difference(&negatives.collect(), RESAMPLING, auroc), None, "one class");
    }
}
