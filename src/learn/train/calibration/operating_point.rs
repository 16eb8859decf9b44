//! From a probability to a decision: the threshold, and the band of undetermined exams around it.

use super::fitting::FEW;
use super::platt::sigmoid;
use super::quantile::harrell_davis;
use crate::engine::models::manifest::OperatingPoint;
use crate::learn::train::configuration::{CalibrationMethod, Criterion, Evaluation};
use crate::learn::train::metrics::{Confusion, Scored};

/// How logits become decisions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rule {
    /// From logits to probabilities.
    pub(crate) method: CalibrationMethod,
    /// What the threshold is chosen for.
    pub(crate) criterion: Criterion,
    /// Share of exams in the band around it.
    pub(crate) undetermined: f64,
}

impl From<&Evaluation> for Rule {
    fn from(settings: &Evaluation) -> Self {
        Self { method: settings.calibration, criterion: settings.criterion, undetermined: settings.indeterminate_share }
    }
}

/// The threshold that the criterion asks for, by these probabilities. `None` if the exams of the class that it is about
/// are missing.
///
/// A single ordered value of few exams is noisy, so the threshold is a mean of all of them (see [`harrell_davis`]), taken
/// on log odds, where scores are spread evenly. `tests/bench/operating_point.py` compares the two.
pub(crate) fn threshold(criterion: Criterion, scored: &[Scored]) -> Option<f64> {
    let quantile = |positive: bool, share: f64| {
        let of_class = scored.iter().filter(|one| one.positive == positive);
        let mut scores: Vec<f64> = of_class.map(|one| log_odds(one.score)).collect();
        scores.sort_by(f64::total_cmp);
        harrell_davis(&scores, share).map(sigmoid)
    };
    match criterion {
        Criterion::Sensitivity { wanted, .. } => {
            quantile(true, 1.0 - wanted).map(|threshold| off_exams(threshold, scored, Side::Below))
        }
        Criterion::Specificity { wanted, .. } => {
            quantile(false, wanted).map(|threshold| off_exams(threshold, scored, Side::Above))
        }
        // Calling costs 1 - p, not calling costs p times the cost of a missed exam; p is the calibrated probability.
        Criterion::Cost { missed, .. } => Some(1.0 / (1.0 + missed)),
    }
}

/// Where a threshold goes that would lie upon an exam.
#[derive(Clone, Copy)]
enum Side {
    Below,
    Above,
}

/// A threshold that coincides with scores is moved half-way to the next one: tied exams fall on one side, whatever the
/// rounding of the last digit.
fn off_exams(threshold: f64, scored: &[Scored], side: Side) -> f64 {
    /// Scores are as good as equal within it.
    const EQUAL: f64 = 1e-9;
    if !scored.iter().any(|one| (one.score - threshold).abs() < EQUAL) {
        return threshold;
    }
    let scores = scored.iter().map(|one| one.score);
    let next = match side {
        Side::Below => scores.filter(|score| *score < threshold - EQUAL).fold(0.0, f64::max),
        Side::Above => scores.filter(|score| *score > threshold + EQUAL).fold(1.0, f64::min),
    };
    f64::midpoint(threshold, next)
}

/// Logarithm of the odds, finite for certainty too.
fn log_odds(probability: f64) -> f64 {
    let within = probability.clamp(1e-12, 1.0 - 1e-12);
    (within / (1.0 - within)).ln()
}

/// The operating point of a rule, chosen by these probabilities of validation exams.
pub(crate) fn operating_point(validation: &[Scored], rule: &Rule) -> OperatingPoint {
    let Some(threshold) = threshold(rule.criterion, validation) else {
        let class = if matches!(rule.criterion, Criterion::Specificity { .. }) { "negative" } else { "positive" };
        let chosen = format!("no validation exam is {class}: 0.5, without a band");
        return OperatingPoint { threshold: 0.5, indeterminate: [0.5, 0.5], chosen };
    };
    let indeterminate = band(threshold, validation, rule.undetermined);
    let table = Confusion::at(validation, threshold);
    let positives = table.true_positive + table.false_negative;
    let negatives = table.true_negative + table.false_positive;
    let few = if positives.min(negatives) < FEW as u64 { ", so few that it is uncertain" } else { "" };
    let chosen = format!(
        "{} on {} validation exams ({} of {positives} positive exams lie at or above it and {} of {negatives} negative \
         exams below{few}); the band around it holds {:.0} % of them",
        said(rule.criterion),
        validation.len(),
        table.true_positive,
        table.true_negative,
        rule.undetermined * 100.0,
    );
    OperatingPoint { threshold, indeterminate, chosen }
}

/// What the threshold is chosen for, in words.
fn said(criterion: Criterion) -> String {
    match criterion {
        Criterion::Sensitivity { wanted, .. } => format!("threshold for a sensitivity of {wanted} (Harrell-Davis)"),
        Criterion::Specificity { wanted, .. } => format!("threshold for a specificity of {wanted} (Harrell-Davis)"),
        Criterion::Cost { missed, prevalence } => format!(
            "threshold of least cost, where a missed embolism costs {missed} times as much as a false alarm and {} of \
             the exams show embolism",
            prevalence.share()
        ),
    }
}

/// Probabilities around the threshold that hold a share of the exams, half of them on either side.
fn band(threshold: f64, validation: &[Scored], share: f64) -> [f64; 2] {
    let mut scores: Vec<f64> = validation.iter().map(|one| one.score).collect();
    scores.sort_by(f64::total_cmp);
    let half = (share * scores.len() as f64 / 2.0).round() as usize;
    let Some(last) = scores.len().checked_sub(1).filter(|_| half > 0) else { return [threshold; 2] };
    let place = scores.partition_point(|score| *score < threshold);
    let [low, high] = [place.saturating_sub(half), place + half - 1].map(|index| scores[index.min(last)]);
    [low.min(threshold), high.max(threshold)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::configuration::Prevalence;

    fn rule(criterion: Criterion, undetermined: f64) -> Rule {
        Rule { method: CalibrationMethod::Temperature, criterion, undetermined }
    }

    fn sensitivity(wanted: f64) -> Criterion {
        Criterion::Sensitivity { wanted, prevalence: None }
    }

    fn exams() -> Vec<Scored> {
        (0..100_u32).map(|n| Scored { score: f64::from(n) / 100.0, positive: n % 4 != 0 && n > 20 }).collect()
    }

    #[test]
    fn the_operating_point_reaches_the_wanted_sensitivity() {
        let validation = exams();
        let point = operating_point(&validation, &rule(sensitivity(0.9), 0.1));
        let table = Confusion::at(&validation, point.threshold);
        let reached = table.true_positive as f64 / (table.true_positive + table.false_negative) as f64;
        assert!((0.88..0.93).contains(&reached), "{reached}");
        let [low, high] = point.indeterminate;
        assert!(low <= point.threshold && point.threshold <= high);
        let inside = validation.iter().filter(|one| (low..=high).contains(&one.score)).count();
        assert!((9..=11).contains(&inside), "{inside}");
    }

    #[test]
    fn a_specificity_is_reached_by_the_negative_exams() {
        let wanted = Criterion::Specificity { wanted: 0.8, prevalence: None };
        let point = operating_point(&exams(), &rule(wanted, 0.0));
        let table = Confusion::at(&exams(), point.threshold);
        let reached = table.true_negative as f64 / (table.true_negative + table.false_positive) as f64;
        assert!((0.77..0.83).contains(&reached), "{reached}");
        assert!(point.chosen.contains("specificity of 0.8"), "{}", point.chosen);
        let positives: Vec<Scored> = exams().into_iter().filter(|one| one.positive).collect();
        assert!(operating_point(&positives, &rule(wanted, 0.1)).chosen.contains("no validation exam is negative"));
    }

    #[test]
    fn the_least_cost_lies_where_the_odds_equal_the_ratio_of_costs() {
        let cost = Criterion::Cost { missed: 9.0, prevalence: Prevalence::new(0.15).expect("a share") };
        let point = operating_point(&exams(), &rule(cost, 0.0));
        assert!((point.threshold - 0.1).abs() < 1e-12);
        assert!(point.chosen.contains("9 times") && point.chosen.contains("0.15 of the exams"), "{}", point.chosen);
    }

    #[test]
    fn tied_exams_fall_on_one_side_of_the_threshold() {
        let tied = [Scored { score: 0.7, positive: true }, Scored { score: 0.7, positive: false }];
        let point = operating_point(&tied, &rule(sensitivity(0.9), 0.0));
        assert!((point.threshold - 0.35).abs() < 1e-12, "between the tied exams and 0");
        assert!(point.chosen.contains("1 of 1 positive") && point.chosen.contains("0 of 1 negative"));
        assert!(point.chosen.contains("uncertain"));
        let above = operating_point(&tied, &rule(Criterion::Specificity { wanted: 0.9, prevalence: None }, 0.0));
        assert!((above.threshold - 0.85).abs() < 1e-12, "between the tied exams and 1");
        let none = operating_point(&tied[1..], &rule(sensitivity(0.9), 0.1));
        assert!((none.threshold - 0.5).abs() < 1e-12 && none.chosen.contains("no validation exam is positive"));
    }
}
