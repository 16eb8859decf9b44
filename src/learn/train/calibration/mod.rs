//! From logits to probabilities and decisions, on validation exams alone.

mod isotonic;

use super::configuration::CalibrationMethod;
use super::metrics::{Confusion, Scored};
use crate::engine::models::manifest::{OperatingPoint, TargetCalibration};

/// Fewest exams of each class. With fewer, what was chosen on them is reported as uncertain, and an isotonic map is not
/// fitted, since it has as many parameters as it finds steps.
const FEW: usize = 20;

/// How logits of one kind become probabilities, and how that was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fitted {
    /// The map.
    pub(crate) map: TargetCalibration,
    /// False where logits were left as they are.
    pub(crate) calibrated: bool,
    /// How it was found, in words.
    pub(crate) said: String,
}

/// Fits what the configuration asks for, or less where the exams do not allow it. `what` names the logits.
pub(crate) fn fit(method: CalibrationMethod, logits: &[Scored], what: &str) -> Fitted {
    let positives = logits.iter().filter(|one| one.positive).count();
    let negatives = logits.len() - positives;
    let found_on = format!("{} from validation ({positives} positive)", logits.len());
    let unchanged = |why: &str| Fitted {
        map: Platt::IDENTITY.into(),
        calibrated: false,
        said: format!("{what}: not calibrated, {why}"),
    };
    if method == CalibrationMethod::None {
        return unchanged("as evaluation.calibration = \"none\" asks");
    }
    if positives == 0 || negatives == 0 {
        return unchanged(&format!("because {found_on} are of one class"));
    }
    let Some(platt) = Platt::fit(logits) else {
        return unchanged(&format!("because on {found_on} the logits do not rise with the truth"));
    };
    let few = positives.min(negatives) < FEW;
    if method == CalibrationMethod::Isotonic && !few {
        let said = format!("{what}: isotonic map fitted to {found_on}");
        return Fitted { map: isotonic::fit(logits), calibrated: true, said };
    }
    let instead = if method == CalibrationMethod::Isotonic {
        format!(", as an isotonic map needs {FEW} of each class")
    } else {
        String::new()
    };
    let uncertain = if few { "; with so few it is uncertain" } else { "" };
    let said = format!("{what}: temperature and bias fitted to {found_on}{instead}{uncertain}");
    Fitted { map: platt.into(), calibrated: true, said }
}

/// `sigmoid(logit / temperature + bias)`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Platt {
    temperature: f64,
    bias: f64,
}

impl From<Platt> for TargetCalibration {
    fn from(Platt { temperature, bias }: Platt) -> Self {
        Self { temperature, bias, isotonic: None }
    }
}

impl Platt {
    /// Leaves logits as they are.
    const IDENTITY: Self = Self { temperature: 1.0, bias: 0.0 };
    /// Flattest and steepest slope that is accepted; beyond the steepest the classes are separated and the data do not
    /// determine the slope.
    const SLOPES: [f64; 2] = [0.05, 5.0];

    /// Fits slope and bias by Newton's method with Platt's (1999) smoothed targets, which keep separated classes
    /// finite. `None` if a class is missing or the scores do not rise with the truth.
    fn fit(logits: &[Scored]) -> Option<Self> {
        let positives = logits.iter().filter(|one| one.positive).count() as f64;
        let negatives = logits.len() as f64 - positives;
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        let targets = [1.0 / (negatives + 2.0), (positives + 1.0) / (positives + 2.0)];
        let (mut slope, mut bias) = (1.0, 0.0);
        for _ in 0..100 {
            let (mut gradient, mut hessian) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
            for one in logits {
                let probability = sigmoid(slope * one.score + bias);
                let difference = probability - targets[usize::from(one.positive)];
                let curvature = probability * (1.0 - probability);
                gradient = [gradient[0] + difference * one.score, gradient[1] + difference];
                hessian = [
                    hessian[0] + curvature * one.score * one.score,
                    hessian[1] + curvature * one.score,
                    hessian[2] + curvature,
                ];
            }
            let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
            if determinant.abs() < 1e-18 {
                break;
            }
            let step = [
                (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant,
                (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant,
            ];
            // A Newton step from afar may overshoot.
            let size = 1.0_f64.min(2.0 / (step[0].abs() + step[1].abs()).max(1e-12));
            slope -= size * step[0];
            bias -= size * step[1];
            if step[0].abs() + step[1].abs() < 1e-10 {
                break;
            }
        }
        if !slope.is_finite() || !bias.is_finite() || slope <= 0.0 {
            return None;
        }
        let [lowest, highest] = Self::SLOPES;
        let believed = slope.clamp(lowest, highest);
        let in_bounds = (lowest..=highest).contains(&slope);
        let bias = if in_bounds { bias } else { Self::bias_at(believed, logits, targets) };
        Some(Self { temperature: 1.0 / believed, bias })
    }

    /// The best bias for a given slope, where the probabilities sum to the targets: they rise with it, so by bisection.
    fn bias_at(slope: f64, logits: &[Scored], targets: [f64; 2]) -> f64 {
        let furthest = logits.iter().map(|one| (slope * one.score).abs()).fold(0.0, f64::max) + 50.0;
        let (mut low, mut high) = (-furthest, furthest);
        for _ in 0..100 {
            let middle = f64::midpoint(low, high);
            let excess = |one: &Scored| sigmoid(slope * one.score + middle) - targets[usize::from(one.positive)];
            if logits.iter().map(excess).sum::<f64>() > 0.0 { high = middle } else { low = middle }
        }
        f64::midpoint(low, high)
    }
}

fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// The highest threshold that reaches the wanted sensitivity on validation, and a band around it that holds the given
/// share of exams.
pub(crate) fn operating_point(validation: &[Scored], sensitivity: f64, undetermined: f64) -> OperatingPoint {
    let mut thresholds: Vec<f64> = validation.iter().filter(|one| one.positive).map(|one| one.score).collect();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    let wanted = (sensitivity * thresholds.len() as f64).ceil() as usize;
    let Some(lowest) = thresholds.get(wanted.saturating_sub(1)) else {
        let chosen = "no validation exam is positive: 0.5, without a band".to_owned();
        return OperatingPoint { threshold: 0.5, indeterminate: [0.5, 0.5], chosen };
    };
    // Between the exam that must be called and the next lower one, not upon it.
    let next = validation.iter().map(|one| one.score).filter(|score| score < lowest).fold(0.0, f64::max);
    let threshold = f64::midpoint(*lowest, next);
    let mut distances: Vec<f64> = validation.iter().map(|one| one.score).collect();
    distances.sort_by(f64::total_cmp);
    let place = distances.partition_point(|score| *score < threshold);
    let half = (undetermined * distances.len() as f64 / 2.0).round() as usize;
    let indeterminate = if half == 0 {
        [threshold, threshold]
    } else {
        [distances[place.saturating_sub(half)], distances[(place + half - 1).min(distances.len() - 1)]]
    };
    let [low, high] = [indeterminate[0].min(threshold), indeterminate[1].max(threshold)];
    let table = Confusion::at(validation, threshold);
    let few = if thresholds.len() < FEW { ", so few that it is uncertain" } else { "" };
    let chosen = format!(
        "highest threshold with a sensitivity of {sensitivity} on {} validation exams ({} of {} positive and {} of {} \
         negative exams called correctly{few}); the band around it holds {:.0} % of them",
        validation.len(),
        table.true_positive,
        table.true_positive + table.false_negative,
        table.true_negative,
        table.true_negative + table.false_positive,
        undetermined * 100.0,
    );
    OperatingPoint { threshold, indeterminate: [low, high], chosen }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separated_classes_far_from_zero_keep_their_middle() {
        let logits: Vec<Scored> = (0..200)
            .map(|n| n % 2 == 1)
            .map(|positive| Scored { score: if positive { 2.4 } else { 2.0 }, positive })
            .collect();
        let fitted = Platt::fit(&logits).expect("a fit");
        let probability = |logit: f64| sigmoid(logit / fitted.temperature + fitted.bias);
        assert!(probability(2.4) > 0.6 && probability(2.0) < 0.4, "{fitted:?}");
    }

    #[test]
    fn the_fit_recovers_a_known_temperature_and_bias() {
        // Of the exams at each logit, a share of sigmoid(logit / 2 - 0.5) is positive.
        let mut logits = Vec::new();
        for step in -20..=20 {
            let logit = f64::from(step) / 4.0;
            let positives = (1000.0 * sigmoid(logit / 2.0 - 0.5)).round() as usize;
            logits.extend((0..1000).map(|index| Scored { score: logit, positive: index < positives }));
        }
        let fitted = Platt::fit(&logits).expect("a fit");
        assert!((fitted.temperature - 2.0).abs() < 0.02 && (fitted.bias + 0.5).abs() < 0.02, "{fitted:?}");
    }

    #[test]
    fn separated_classes_and_single_classes_stay_finite() {
        let separated: Vec<_> = (-5..=5).map(|n| Scored { score: f64::from(n) * 10.0, positive: n > 0 }).collect();
        let fitted = Platt::fit(&separated).expect("a fit");
        assert!(fitted.temperature > 0.0 && fitted.temperature.is_finite() && fitted.bias.is_finite());
        assert_eq!(Platt::fit(&[Scored { score: 1.0, positive: true }]), None);
    }

    #[test]
    fn the_operating_point_reaches_the_wanted_sensitivity() {
        let validation: Vec<_> =
            (0..100_u32).map(|n| Scored { score: f64::from(n) / 100.0, positive: n % 4 != 0 && n > 20 }).collect();
        let point = operating_point(&validation, 0.9, 0.1);
        let table = Confusion::at(&validation, point.threshold);
        let sensitivity = table.true_positive as f64 / (table.true_positive + table.false_negative) as f64;
        assert!((0.9..0.93).contains(&sensitivity), "{sensitivity}");
        let [low, high] = point.indeterminate;
        assert!(low <= point.threshold && point.threshold <= high);
        let inside = validation.iter().filter(|one| (low..=high).contains(&one.score)).count();
        assert!((9..=11).contains(&inside), "{inside}");
    }

    fn balanced(count: usize) -> Vec<Scored> {
        (0..count)
            .map(|n| Scored { score: (n % 10) as f64 + if n % 2 == 0 { 1.5 } else { 0.0 }, positive: n % 2 == 0 })
            .collect()
    }

    #[test]
    fn what_the_exams_do_not_allow_is_not_fitted_and_that_is_stated() {
        let said = |method, logits: &[Scored]| {
            let fitted = fit(method, logits, "exams");
            (fitted.calibrated, fitted.map.isotonic.is_some(), fitted.said)
        };
        let (calibrated, isotonic, words) = said(CalibrationMethod::Isotonic, &balanced(200));
        assert!(calibrated && isotonic && words.contains("200 from validation (100 positive)"), "{words}");
        let (calibrated, isotonic, words) = said(CalibrationMethod::Isotonic, &balanced(30));
        assert!(calibrated && !isotonic && words.contains("needs 20 of each class"), "{words}");
        let (calibrated, _, words) = said(CalibrationMethod::Temperature, &balanced(30));
        assert!(calibrated && words.contains("uncertain"), "{words}");
        let (calibrated, _, words) = said(CalibrationMethod::None, &balanced(30));
        assert!(!calibrated && words.contains("not calibrated"), "{words}");
        let (calibrated, _, words) = said(CalibrationMethod::Temperature, &balanced(30)[..1]);
        assert!(!calibrated && words.contains("one class"), "{words}");
        let falling: Vec<Scored> = balanced(100).into_iter().map(|one| Scored { score: -one.score, ..one }).collect();
        let (calibrated, _, words) = said(CalibrationMethod::Isotonic, &falling);
        assert!(!calibrated && words.contains("do not rise"), "{words}");
    }

    #[test]
    fn tied_exams_fall_on_one_side_of_the_threshold() {
        let tied = [Scored { score: 0.7, positive: true }, Scored { score: 0.7, positive: false }];
        let point = operating_point(&tied, 0.9, 0.0);
        assert!((point.threshold - 0.35).abs() < 1e-12, "between the tied exams and 0");
        assert!(point.chosen.contains("1 of 1 positive and 0 of 1 negative") && point.chosen.contains("uncertain"));
        let none = operating_point(&tied[1..], 0.9, 0.1);
        assert!((none.threshold - 0.5).abs() < 1e-12 && none.chosen.contains("no validation exam is positive"));
    }
}
