//! Metrics of binary classification.

/// A score and the truth it is compared with.
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

    /// Metrics of the whole table by name; a metric whose denominator is 0 is left out. None is a share of exams.
    pub(crate) fn agreement(&self) -> Vec<(&'static str, f64)> {
        let [tp, fn_, tn, fp] =
            [self.true_positive, self.false_negative, self.true_negative, self.false_positive].map(|n| n as f64);
        let total = tp + fn_ + tn + fp;
        let by_chance = ((tp + fn_) * (tp + fp) + (tn + fp) * (tn + fn_)) / (total * total);
        let correlation = (tp * tn - fp * fn_) / ((tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_)).sqrt();
        [
            ("exam_balanced_accuracy", f64::midpoint(tp / (tp + fn_), tn / (tn + fp))),
            ("exam_f1", 2.0 * tp / (2.0 * tp + fp + fn_)),
            ("exam_kappa", ((tp + tn) / total - by_chance) / (1.0 - by_chance)),
            ("exam_mcc", correlation),
        ]
        .into_iter()
        .filter(|(_, value)| value.is_finite())
        .collect()
    }
}

/// How much exams without and with embolism count.
pub(crate) type ClassWeights = [f64; 2];

/// All exams count the same.
pub(crate) const EQUAL: ClassWeights = [1.0, 1.0];

/// Weights by which a share of the exams shows embolism; `None` if a class is missing.
pub(crate) fn weights_at(scored: &[Scored], share: f64) -> Option<ClassWeights> {
    let positives = scored.iter().filter(|one| one.positive).count() as f64;
    let here = positives / scored.len() as f64;
    (here > 0.0 && here < 1.0).then(|| [(1.0 - share) / (1.0 - here), share / here])
}

fn total(scored: &[Scored], weights: ClassWeights) -> f64 {
    scored.iter().map(|one| weights[usize::from(one.positive)]).sum()
}

/// Expected calibration error over ten bins of equal width (Naeini et al. 2015); `None` without exams.
pub(crate) fn calibration_error(scored: &[Scored], weights: ClassWeights) -> Option<f64> {
    const BINS: usize = 10;
    let mut excess = [0.0; BINS];
    for one in scored {
        let bin = ((one.score * BINS as f64) as usize).min(BINS - 1);
        excess[bin] += weights[usize::from(one.positive)] * (one.score - f64::from(u8::from(one.positive)));
    }
    let all = total(scored, weights);
    (all > 0.0).then(|| excess.iter().map(|bin| bin.abs()).sum::<f64>() / all)
}

/// Fewest patients, and fewest exams of each class that a metric is about, from which an interval is stated. Fewer say
/// next to nothing, and resampling them says too much.
pub(crate) const FEWEST: usize = 10;

/// Wilson's 95 % interval (1927) of a share of independent cases; `None` with fewer than [`FEWEST`].
pub(crate) fn wilson_interval(share: f64, cases: usize) -> Option<[f64; 2]> {
    let (all, z) = (cases as f64, 1.959_964);
    let centre = (share + z * z / (2.0 * all)) / (1.0 + z * z / all);
    let half = z / (1.0 + z * z / all) * (share * (1.0 - share) / all + z * z / (4.0 * all * all)).sqrt();
    // At 0 and 1 rounding must not exclude the share itself.
    (cases >= FEWEST).then(|| [(centre - half).clamp(0.0, share), (centre + half).clamp(share, 1.0)])
}

/// Mean squared distance of probability and truth (Brier 1950); `None` without exams.
pub(crate) fn brier_score(scored: &[Scored], weights: ClassWeights) -> Option<f64> {
    let squared =
        |one: &Scored| weights[usize::from(one.positive)] * (one.score - f64::from(u8::from(one.positive))).powi(2);
    let all = total(scored, weights);
    (all > 0.0).then(|| scored.iter().map(squared).sum::<f64>() / all)
}

/// The highest sensitivity of any threshold whose specificity is at least the given one; `None` if a class is missing.
pub(crate) fn sensitivity_at(scored: &[Scored], specificity: f64) -> Option<f64> {
    let mut order: Vec<&Scored> = scored.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let positives = scored.iter().filter(|one| one.positive).count() as f64;
    let negatives = scored.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let (mut found, mut alarms, mut best) = (0.0, 0.0, 0.0);
    for tied in order.chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq()) {
        let tied_positives = tied.iter().filter(|one| one.positive).count() as f64;
        found += tied_positives;
        alarms += tied.len() as f64 - tied_positives;
        // A share such as 1 - 2 / 20 lies a rounding error below 0.9.
        if 1.0 - alarms / negatives + 1e-12 < specificity {
            break;
        }
        best = found / positives;
    }
    Some(best)
}

/// Mean; `None` without values.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation (Bessel's); `None` for fewer than two values.
pub(crate) fn standard_deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    Some((values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)).sqrt())
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
    fn metrics_of_a_known_table() {
        let some = scored(&[(0.9, true), (0.8, true), (0.2, true), (0.7, false), (0.1, false), (0.3, false)]);
        let metrics: std::collections::BTreeMap<_, _> = Confusion::at(&some, 0.5).agreement().into_iter().collect();
        assert!((metrics["exam_balanced_accuracy"] - 2.0 / 3.0).abs() < 1e-12);
        assert!((metrics["exam_kappa"] - 1.0 / 3.0).abs() < 1e-12);
        assert!((metrics["exam_mcc"] - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_table_of_one_class_has_no_undefined_metrics() {
        let metrics = Confusion::at(&scored(&[(0.9, true)]), 0.5).agreement();
        assert!(metrics.iter().all(|(_, value)| value.is_finite()));
        assert!(!metrics.iter().any(|(name, _)| *name == "exam_balanced_accuracy"));
    }

    #[test]
    fn sensitivity_at_a_specificity_is_that_of_the_lowest_threshold_that_reaches_it() {
        // Ten negatives at 0.0 to 0.9; positives at 0.95, 0.85 and 0.3.
        let mut some: Vec<Scored> = (0..10).map(|n| Scored { score: f64::from(n) / 10.0, positive: false }).collect();
        some.extend(scored(&[(0.95, true), (0.85, true), (0.3, true)]));
        assert_eq!(sensitivity_at(&some, 1.0), Some(1.0 / 3.0));
        assert_eq!(sensitivity_at(&some, 0.9), Some(2.0 / 3.0), "one false alarm, at 0.9, is allowed");
        assert_eq!(sensitivity_at(&some, 0.3), Some(1.0), "the positive at 0.3 is tied with a negative");
        assert_eq!(sensitivity_at(&some, 0.4), Some(2.0 / 3.0));
        assert_eq!(sensitivity_at(&scored(&[(0.9, true)]), 0.9), None);
    }

    #[test]
    fn the_interval_of_a_share_is_wilsons() {
        // 17 of 20, computed by hand from Wilson's formula.
        let [low, high] = wilson_interval(17.0 / 20.0, 20).expect("exams");
        assert!((low - 0.6396).abs() < 1e-3 && (high - 0.9476).abs() < 1e-3, "{low} {high}");
        let [low, high] = wilson_interval(0.0, 10).expect("exams");
        assert!(low.abs() < 1e-12 && (high - 0.2775).abs() < 1e-3);
        assert_eq!(wilson_interval(1.0, 3), None, "three exams say nothing");
    }

    #[test]
    fn the_brier_score_is_the_mean_squared_distance_from_the_truth() {
        let score = brier_score(&scored(&[(0.8, true), (0.4, false)]), EQUAL).expect("exams");
        assert!((score - 0.1).abs() < 1e-12, "the mean of 0.04 and 0.16");
        assert_eq!(brier_score(&[], EQUAL), None);
    }

    #[test]
    fn the_calibration_error_weighs_the_distance_of_each_bin_by_its_exams() {
        // Bin 0.2 to 0.3: three exams of 0.25, one positive: off by 1/12. Bin 0.9 to 1: one of 0.95, positive.
        let some = scored(&[(0.25, true), (0.25, false), (0.25, false), (0.95, true)]);
        let error = |weights| calibration_error(&some, weights).expect("exams");
        assert!((error(EQUAL) - (3.0 / 12.0 + 0.05) / 4.0).abs() < 1e-12);
        // Two of four are positive. Where one of ten is, negatives count 1.8 and positives 0.2 times.
        let weights = weights_at(&some, 0.1).expect("both classes");
        assert!(weights.iter().zip([1.8, 0.2]).all(|(found, expected)| (found - expected).abs() < 1e-12));
        assert!((error(weights) - ((0.9 - 0.15) + 0.01) / 4.0).abs() < 1e-12);
        assert_eq!(weights_at(&some[..1], 0.1), None);
    }

    #[test]
    fn the_standard_deviation_is_that_of_a_sample() {
        assert!((standard_deviation(&[1.0, 3.0]).expect("two") - 2.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!((standard_deviation(&[1.0]), mean(&[])), (None, None));
    }
}
