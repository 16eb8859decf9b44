//! Figures of binary classification, with bootstrap intervals over exams.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::engine::models::manifest::Metric;

/// A score and the truth it is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) score: f64,
    pub(crate) positive: bool,
}

/// Area under the receiver operating characteristic: the chance that a positive scores above a negative, ties counted
/// half (Mann and Whitney 1947). `None` if a class is missing.
pub(crate) fn auroc(scored: &[Scored]) -> Option<f64> {
    let mut order: Vec<&Scored> = scored.iter().collect();
    order.sort_by(|a, b| a.score.total_cmp(&b.score));
    let positives = scored.iter().filter(|one| one.positive).count() as f64;
    let negatives = scored.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut below = 0.0;
    let mut won = 0.0;
    for tied in order.chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq()) {
        let tied_positives = tied.iter().filter(|one| one.positive).count() as f64;
        let tied_negatives = tied.len() as f64 - tied_positives;
        won += tied_positives * (below + tied_negatives / 2.0);
        below += tied_negatives;
    }
    Some(won / (positives * negatives))
}

/// Mean of the precision at each positive, by falling score; ties count as the precision of their group.
pub(crate) fn average_precision(scored: &[Scored]) -> Option<f64> {
    let mut order: Vec<&Scored> = scored.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (mut seen, mut found, mut total) = (0.0, 0.0, 0.0);
    for tied in order.chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq()) {
        let positives = tied.iter().filter(|one| one.positive).count() as f64;
        seen += tied.len() as f64;
        found += positives;
        total += positives * found / seen;
    }
    (found > 0.0).then(|| total / found)
}

/// Calls at a threshold, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Confusion {
    pub(crate) true_positive: u64,
    pub(crate) false_negative: u64,
    pub(crate) true_negative: u64,
    pub(crate) false_positive: u64,
}

impl Confusion {
    /// Counts calls of scores at or above the threshold.
    pub(crate) fn at(scored: &[Scored], threshold: f64) -> Self {
        let count = |positive: bool, called: bool| {
            scored.iter().filter(|one| one.positive == positive && (one.score >= threshold) == called).count() as u64
        };
        Self {
            true_positive: count(true, true),
            false_negative: count(true, false),
            true_negative: count(false, false),
            false_positive: count(false, true),
        }
    }

    /// All figures of the table by name; a figure whose denominator is 0 is left out.
    pub(crate) fn figures(&self) -> Vec<(&'static str, f64)> {
        let [tp, fn_, tn, fp] =
            [self.true_positive, self.false_negative, self.true_negative, self.false_positive].map(|n| n as f64);
        let total = tp + fn_ + tn + fp;
        let (sensitivity, specificity) = (tp / (tp + fn_), tn / (tn + fp));
        let accuracy = (tp + tn) / total;
        let by_chance = ((tp + fn_) * (tp + fp) + (tn + fp) * (tn + fn_)) / (total * total);
        let correlation = (tp * tn - fp * fn_) / ((tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_)).sqrt();
        [
            ("sensitivity", sensitivity),
            ("specificity", specificity),
            ("ppv", tp / (tp + fp)),
            ("npv", tn / (tn + fn_)),
            ("accuracy", accuracy),
            ("balanced_accuracy", f64::midpoint(sensitivity, specificity)),
            ("f1", 2.0 * tp / (2.0 * tp + fp + fn_)),
            ("kappa", (accuracy - by_chance) / (1.0 - by_chance)),
            ("mcc", correlation),
        ]
        .into_iter()
        .filter(|(_, value)| value.is_finite())
        .collect()
    }
}

/// Expected calibration error over ten bins of equal width (Naeini et al. 2015).
pub(crate) fn calibration_error(scored: &[Scored]) -> f64 {
    let bins = 10;
    (0..bins)
        .map(|bin| {
            let inside = scored.iter().filter(|one| ((one.score * f64::from(bins)) as i32).min(bins - 1) == bin);
            inside.map(|one| one.score - f64::from(u8::from(one.positive))).sum::<f64>().abs()
        })
        .sum::<f64>()
        / scored.len().max(1) as f64
}

/// The figure and its 95 % percentile interval over resampled items; `None` if it is not defined on all of them.
pub(crate) fn with_interval<T: Copy>(
    items: &[T],
    resamplings: usize,
    seed: u64,
    figure: impl Fn(&[T]) -> Option<f64>,
) -> Option<Metric> {
    let value = figure(items)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut values: Vec<f64> = (0..resamplings)
        .filter_map(|_| {
            let drawn: Vec<T> = items.iter().map(|_| items[random.random_range(0..items.len())]).collect();
            figure(&drawn)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((share * values.len() as f64) as usize).min(values.len() - 1)];
    let interval = (!values.is_empty()).then(|| [at(0.025), at(0.975)]);
    Some(Metric { value, interval })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(pairs: &[(f64, bool)]) -> Vec<Scored> {
        pairs.iter().map(|(score, positive)| Scored { score: *score, positive: *positive }).collect()
    }

    #[test]
    fn the_area_counts_ordered_pairs_and_half_of_the_ties() {
        let some = scored(&[(0.1, false), (0.4, true), (0.4, false), (0.9, true)]);
        assert_eq!(auroc(&some), Some(0.875));
        assert_eq!(auroc(&scored(&[(0.1, false)])), None);
    }

    #[test]
    fn average_precision_of_a_perfect_order_is_one() {
        assert_eq!(average_precision(&scored(&[(0.9, true), (0.8, true), (0.1, false)])), Some(1.0));
        assert_eq!(average_precision(&scored(&[(0.9, false), (0.8, true)])), Some(0.5));
    }

    #[test]
    fn figures_of_a_known_table() {
        let some = scored(&[(0.9, true), (0.8, true), (0.2, true), (0.7, false), (0.1, false), (0.3, false)]);
        let figures: std::collections::BTreeMap<_, _> = Confusion::at(&some, 0.5).figures().into_iter().collect();
        assert!((figures["sensitivity"] - 2.0 / 3.0).abs() < 1e-12);
        assert!((figures["kappa"] - 1.0 / 3.0).abs() < 1e-12);
        assert!((figures["mcc"] - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_table_of_one_class_has_no_undefined_figures() {
        let figures = Confusion::at(&scored(&[(0.9, true)]), 0.5).figures();
        assert!(figures.iter().all(|(_, value)| value.is_finite()));
        assert!(!figures.iter().any(|(name, _)| *name == "specificity"));
    }

    #[test]
    fn the_interval_holds_the_figure_and_shrinks_with_more_exams() {
        let few: Vec<_> = (0..40_u32).map(|n| Scored { score: f64::from(n % 7), positive: n % 3 == 0 }).collect();
        let many: Vec<_> = few.iter().copied().cycle().take(800).collect();
        let width = |scored: &[Scored]| {
            let [low, high] = with_interval(scored, 400, 1, auroc).expect("figure").interval.expect("interval");
            assert!(low <= auroc(scored).expect("figure") && auroc(scored).expect("figure") <= high);
            high - low
        };
        assert!(width(&many) < width(&few) / 2.0);
    }
}
