//! Intervals by resampling patients with all of their exams (Efron 1979, percentile method), and differences of two
//! models on the same exams.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::metrics::Scored;
use crate::engine::models::manifest::Metric;

/// Exams by patient. A patient's exams are alike: intervals that drew them one by one would be too narrow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ByPatient<T>(Vec<Vec<T>>);

impl<T: Copy> ByPatient<T> {
    /// All exams.
    pub(crate) fn exams(&self) -> Vec<T> {
        self.0.concat()
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
    /// each draw, in order.
    pub(crate) fn each<T: Copy + Sync, R: Send>(
        self,
        ByPatient(patients): &ByPatient<T>,
        of: impl Fn(&[T]) -> R + Sync,
    ) -> Vec<R> {
        let draw = |number: usize| {
            let mut random = ChaCha8Rng::seed_from_u64(self.seed);
            random.set_stream(number as u64);
            let draw = |_| &patients[random.random_range(0..patients.len())];
            let drawn: Vec<&Vec<T>> = (0..patients.len()).map(draw).collect();
            of(&drawn.into_iter().flatten().copied().collect::<Vec<_>>())
        };
        // Every draw of a single patient is the same: the interval would have no width.
        let count = if patients.len() < 2 { 0 } else { self.count };
        (0..count).into_par_iter().map(draw).collect()
    }

    /// A metric and its 95 % interval; `None` if it is not defined on all exams.
    pub(crate) fn metric<T: Copy + Sync>(
        self,
        exams: &ByPatient<T>,
        metric: impl Fn(&[T]) -> Option<f64> + Sync,
    ) -> Option<Metric> {
        let value = metric(&exams.exams())?;
        Some(Metric { value, interval: self.interval(self.each(exams, metric)) })
    }

    /// Metrics by name with their intervals: those that are defined on all exams.
    pub(crate) fn metrics<T: Copy + Sync>(
        self,
        exams: &ByPatient<T>,
        metrics: impl Fn(&[T]) -> Vec<(&'static str, f64)> + Sync,
    ) -> Vec<(&'static str, Metric)> {
        let draws = self.each(exams, &metrics);
        let found = |draw: &Vec<(&'static str, f64)>, name| {
            draw.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
        };
        metrics(&exams.exams())
            .into_iter()
            .map(|(name, value)| {
                let interval = self.interval(draws.iter().map(|draw| found(draw, name)).collect());
                (name, Metric { value, interval })
            })
            .collect()
    }

    /// The 95 % interval of drawn values; `None` where a metric was undefined in more than half of the draws, as with
    /// one positive exam.
    fn interval(self, draws: Vec<Option<f64>>) -> Option<[f64; 2]> {
        let mut values: Vec<f64> = draws.into_iter().flatten().collect();
        if values.is_empty() || 2 * values.len() < self.count {
            return None;
        }
        values.sort_by(f64::total_cmp);
        Some([quantile(&values, 0.025), quantile(&values, 0.975)])
    }
}

/// The value below which the given share of sorted values lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((share * sorted.len() as f64) as usize).min(sorted.len() - 1)]
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
    let value = difference(&pairs.exams())?;
    let draws = resampling.each(pairs, difference);
    let mut values: Vec<f64> = draws.iter().copied().flatten().collect();
    values.sort_by(f64::total_cmp);
    let at_least = if values.is_empty() { f64::NEG_INFINITY } else { quantile(&values, 0.05) };
    Some(Difference { metric: Metric { value, interval: resampling.interval(draws) }, at_least })
}

#[cfg(test)]
mod tests {
    use super::super::metrics::auroc;
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
    fn the_interval_of_a_share_is_that_of_the_binomial_distribution() {
        let exams: ByPatient<bool> = (0..400).map(|n| (n, n % 4 == 0)).collect();
        let metric = Resampling { count: 2000, seed: 5 }.metric(&exams, |exams| Some(share(exams))).expect("metric");
        let [low, high] = metric.interval.expect("interval");
        // 0.25 ± 1.96 sqrt(0.25 x 0.75 / 400)
        assert!((low - 0.2076).abs() < 0.006 && (high - 0.2924).abs() < 0.006, "{low} {high}");
    }

    #[test]
    fn a_metric_that_most_draws_lack_has_no_interval() {
        let rare: ByPatient<Scored> = (0..3).map(|n| (n, Scored { score: f64::from(n), positive: n == 0 })).collect();
        assert_eq!(RESAMPLING.metric(&rare, |_| None), None);
        let only_positives = |drawn: &[Scored]| drawn.iter().filter(|one| one.positive).count().checked_sub(1);
        let metric = RESAMPLING.metric(&rare, |drawn| (only_positives(drawn)? == 0).then_some(1.0));
        assert_eq!(metric.map(|metric| metric.interval), Some(None), "one positive alone is in 12 of 27 draws");
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
