//! The points of curves.

use crate::learn::train::bootstrap::{ByPatient, Resampling};
use crate::learn::train::metrics::{Confusion, Scored};
use crate::learn::train::resampled::quantile;

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

/// Where a threshold lies on the receiver operating characteristic; `None` if a class is missing.
pub(super) fn call_at(scored: &[Scored], threshold: f64) -> Option<(f64, f64)> {
    let calls = Confusion::at(scored, threshold);
    let share = |hits: u64, others: u64| hits as f64 / (hits + others) as f64;
    let place = (share(calls.false_positive, calls.true_negative), share(calls.true_positive, calls.false_negative));
    (place.0.is_finite() && place.1.is_finite()).then_some(place)
}

/// (recall, precision) at each threshold. Empty without positives.
pub(super) fn precision_recall(scored: &[Scored]) -> Vec<(f64, f64)> {
    let calls = calls(scored);
    let Some(&(positives, _)) = calls.last().filter(|all| all.0 > 0.0) else { return Vec::new() };
    calls.iter().map(|(found, alarms)| (found / positives, found / (found + alarms))).collect()
}

/// Places at which bands are drawn.
const PLACES: usize = 100;

/// The 95 % interval of a curve at evenly spaced places from 0 to 1 over resampled patients: place, lower end, upper
/// end. Empty where the curve is empty.
pub(super) fn band(
    scored: &ByPatient<Scored>,
    resampling: Resampling,
    curve: fn(&[Scored]) -> Vec<(f64, f64)>,
) -> Vec<(f64, f64, f64)> {
    if curve(&scored.exams()).is_empty() {
        return Vec::new();
    }
    let place = |index: usize| index as f64 / PLACES as f64;
    let draws: Vec<Vec<f64>> = resampling
        .each(scored, |drawn| {
            let points = curve(drawn);
            if points.is_empty() {
                Vec::new()
            } else {
                (0..=PLACES).map(|index| height(&points, place(index))).collect()
            }
        })
        .into_iter()
        .filter(|heights| !heights.is_empty())
        .collect();
    if draws.is_empty() {
        return Vec::new();
    }
    (0..=PLACES)
        .map(|index| {
            let mut values: Vec<f64> = draws.iter().map(|heights| heights[index]).collect();
            values.sort_by(f64::total_cmp);
            (place(index), quantile(&values, 0.025), quantile(&values, 0.975))
        })
        .collect()
}

/// Height at a place of a curve whose places rise: linear between its points, the highest where it rises vertically,
/// that of its ends beyond them.
fn height(points: &[(f64, f64)], place: f64) -> f64 {
    let above = points.partition_point(|(x, _)| *x <= place);
    match (above.checked_sub(1).map(|below| points[below]), points.get(above)) {
        (Some((low, from)), Some((high, to))) => from + (to - from) * (place - low) / (high - low),
        (Some((_, last)), None) => last,
        (None, first) => first.map_or(0.0, |(_, y)| *y),
    }
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
        assert_eq!(call_at(&some, 0.5), Some((0.5, 0.5)));
        assert_eq!(call_at(&some[..1], 0.5), None);
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

    #[test]
    fn a_band_holds_its_curve_and_is_narrow_where_there_are_many_exams() {
        let exam = |n: u32| (n, Scored { score: f64::from(n * 37 % 101), positive: n * 37 % 101 > 40 + n % 30 });
        let many: ByPatient<Scored> = (0..600).map(exam).collect();
        let band = band(&many, Resampling { count: 200, seed: 1 }, receiver_operating_characteristic);
        let curve = receiver_operating_characteristic(&many.exams());
        assert_eq!(band.len(), PLACES + 1);
        let inside =
            band.iter().filter(|(x, low, high)| (low - 1e-9..=high + 1e-9).contains(&height(&curve, *x))).count();
        assert!(inside >= 95, "{inside} of 101 places");
        assert!(band.iter().all(|(_, low, high)| low <= high && high - low < 0.25));
        assert!(
            super::band(&[exam(0)].into_iter().collect(), Resampling { count: 9, seed: 1 }, precision_recall).len()
                <= PLACES + 1
        );
    }

    #[test]
    fn between_its_points_a_curve_is_straight_and_at_a_step_it_is_high() {
        let points = [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (1.0, 1.0)];
        for (place, expected) in [(0.0, 0.5), (0.25, 0.5), (0.75, 0.75), (1.0, 1.0), (2.0, 1.0)] {
            assert!((height(&points, place) - expected).abs() < 1e-12);
        }
    }
}
