//! Calibration by temperature and bias (Platt 1999; Guo et al. 2017, arXiv:1706.04599).

use crate::engine::models::manifest::TargetCalibration;
use crate::learn::train::metrics::Scored;

/// `sigmoid(logit / temperature + bias)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Platt {
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
    pub(super) const IDENTITY: Self = Self { temperature: 1.0, bias: 0.0 };
    /// Flattest and steepest slope that is accepted; beyond the steepest the classes are separated and the data do not
    /// determine the slope.
    const SLOPES: [f64; 2] = [0.05, 5.0];

    /// Fits slope and bias by Newton's method with Platt's (1999) smoothed targets, which keep separated classes
    /// finite. `None` if a class is missing or the scores do not rise with the truth.
    pub(super) fn fit(logits: &[Scored]) -> Option<Self> {
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

pub(super) fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
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
}
