//! The points of curves.

use super::super::metrics::Scored;

/// Scores by falling value, in groups of equal ones: positives and negatives called at or above each.
fn calls(scored: &[Scored]) -> Vec<(f64, f64)> {
    let mut order: Vec<&Scored> = scored.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (mut positives, mut negatives) = (0.0, 0.0);
    order
        .chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq())
        .map(|tied| {
            let found = tied.iter().filter(|one| one.positive).count() as f64;
            positives += found;
            negatives += tied.len() as f64 - found;
            (positives, negatives)
        })
        .collect()
}

/// Receiver operating characteristic: (1 - specificity, sensitivity). Empty if a class is missing.
pub(super) fn receiver_operating_characteristic(scored: &[Scored]) -> Vec<(f64, f64)> {
    let calls = calls(scored);
    let Some(&(positives, negatives)) = calls.last().filter(|all| all.0 > 0.0 && all.1 > 0.0) else {
        return Vec::new();
    };
    let points = calls.iter().map(|(found, alarms)| (alarms / negatives, found / positives));
    std::iter::once((0.0, 0.0)).chain(points).collect()
}

/// (recall, precision) at each threshold. Empty without positives.
pub(super) fn precision_recall(scored: &[Scored]) -> Vec<(f64, f64)> {
    let calls = calls(scored);
    let Some(&(positives, _)) = calls.last().filter(|all| all.0 > 0.0) else { return Vec::new() };
    calls.iter().map(|(found, alarms)| (found / positives, found / (found + alarms))).collect()
}

/// Reliability diagram in ten bins of equal width: (mean probability, share of positives) of each that holds any.
pub(super) fn reliability(scored: &[Scored]) -> Vec<(f64, f64)> {
    let bins = 10.0;
    (0..10)
        .filter_map(|bin| {
            let inside: Vec<&Scored> =
                scored.iter().filter(|one| ((one.score * bins) as i32).clamp(0, 9) == bin).collect();
            let count = inside.len() as f64;
            let mean = inside.iter().map(|one| one.score).sum::<f64>() / count;
            let positive = inside.iter().filter(|one| one.positive).count() as f64 / count;
            (!inside.is_empty()).then_some((mean, positive))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(pairs: &[(f64, bool)]) -> Vec<Scored> {
        pairs.iter().map(|(score, positive)| Scored { score: *score, positive: *positive }).collect()
    }

    #[test]
    fn curves_of_a_known_order() {
        let some = scored(&[(0.9, true), (0.8, false), (0.3, true), (0.1, false)]);
        let roc = receiver_operating_characteristic(&some);
        assert_eq!(roc, [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        assert_eq!(precision_recall(&some), [(0.5, 1.0), (0.5, 0.5), (1.0, 2.0 / 3.0), (1.0, 0.5)]);
    }

    #[test]
    fn ties_are_called_together_and_one_class_has_no_curve() {
        assert_eq!(receiver_operating_characteristic(&scored(&[(0.5, true), (0.5, false)])), [(0.0, 0.0), (1.0, 1.0)]);
        assert!(receiver_operating_characteristic(&scored(&[(0.5, true)])).is_empty());
        assert!(precision_recall(&scored(&[(0.5, false)])).is_empty());
    }

    #[test]
    fn bins_without_exams_have_no_point_and_certainty_belongs_to_the_last() {
        assert_eq!(reliability(&scored(&[(1.0, true), (0.05, false)])), [(0.05, 0.0), (1.0, 1.0)]);
    }
}
