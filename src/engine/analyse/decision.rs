//! From a probability to a decision.

use super::findings::{Decision, Probability};
use crate::engine::models::manifest::{IntendedUse, OperatingPoint};
use crate::engine::volume::{Reason, Rejection};

/// What limits the decision on an exam, whatever its probability; the later the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Nothing.
    None,
    /// Something was not seen where embolism may be: it is not called absent.
    NotAbsent,
    /// The models must not decide on such images.
    NoDecision,
}

impl Limit {
    /// By what the models may be used for. `intended_use` is the most restricted one of all models that took part. A
    /// package for demonstration does not decide on images of a patient: only where the images say that they are
    /// synthetic (0008,001C), or where the site allows it.
    pub fn by_use(intended_use: IntendedUse, synthetic: bool, allow_demonstration: bool) -> Self {
        if intended_use != IntendedUse::Demonstration || synthetic || allow_demonstration {
            Self::None
        } else {
            Self::NoDecision
        }
    }

    /// By what is wrong with the images. No package decides on images of a kind that it was not trained on, nor on one that
    /// nobody tried it on.
    pub fn by_images(warnings: &[Rejection]) -> Self {
        let of_reason = |warning: &Rejection| match warning.reason {
            Reason::OutsideTraining | Reason::UntriedEnergy => Self::NoDecision,
            reason if reason.hides_embolism() => Self::NotAbsent,
            _ => Self::None,
        };
        warnings.iter().map(of_reason).max().unwrap_or(Self::None)
    }

    /// By whether so much lung was not seen that embolism may be there.
    pub fn by_lungs(unseen: bool) -> Self {
        if unseen { Self::NotAbsent } else { Self::None }
    }
}

/// The decision for a probability at the package's operating point, if it has one.
pub fn decide(probability: Probability, point: Option<&OperatingPoint>, limit: Limit) -> Decision {
    let Some(point) = point.filter(|_| limit < Limit::NoDecision) else { return Decision::Undetermined };
    match at_operating_point(probability.value(), point) {
        Decision::Absent if limit == Limit::NotAbsent => Decision::Undetermined,
        decision => decision,
    }
}

/// The decision for a calibrated probability at an operating point.
pub fn at_operating_point(probability: f64, point: &OperatingPoint) -> Decision {
    let [low, high] = point.indeterminate;
    if (low..high).contains(&probability) {
        Decision::Undetermined
    } else if probability >= point.threshold {
        Decision::Present
    } else {
        Decision::Absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::models::manifest::Manifest;

    fn point() -> OperatingPoint {
        let text = include_str!("../../../fixtures/models/fixture-embolism/1.0.0/model.toml");
        Manifest::parse(text).expect("fixture").operating_point.expect("operating point")
    }

    fn decided(probability: f64, limit: Limit) -> Decision {
        decide(Probability::new(probability).expect("probability"), Some(&point()), limit)
    }

    #[test]
    fn the_operating_point_and_its_band_decide() {
        assert_eq!(decided(0.44, Limit::None), Decision::Absent);
        assert_eq!(decided(0.45, Limit::None), Decision::Undetermined);
        assert_eq!(decided(0.54, Limit::None), Decision::Undetermined);
        assert_eq!(decided(0.55, Limit::None), Decision::Present);
        let none = decide(Probability::new(0.99).expect("probability"), None, Limit::None);
        assert_eq!(none, Decision::Undetermined);
    }

    #[test]
    fn without_a_band_the_threshold_itself_is_present() {
        let point = OperatingPoint { indeterminate: [0.5, 0.5], ..point() };
        assert_eq!([0.5, 0.499].map(|at| at_operating_point(at, &point)), [Decision::Present, Decision::Absent]);
    }

    #[test]
    fn a_limit_forbids_absent_or_any_decision() {
        assert_eq!([0.1, 0.9].map(|at| decided(at, Limit::NotAbsent)), [Decision::Undetermined, Decision::Present]);
        assert_eq!([0.1, 0.9].map(|at| decided(at, Limit::NoDecision)), [Decision::Undetermined; 2]);
    }

    #[test]
    fn a_demonstration_decides_on_synthetic_images_only_unless_the_site_allows_more() {
        let demonstration = |synthetic, allow| Limit::by_use(IntendedUse::Demonstration, synthetic, allow);
        assert_eq!(demonstration(false, false), Limit::NoDecision);
        assert_eq!([demonstration(true, false), demonstration(false, true)], [Limit::None; 2]);
        assert_eq!(Limit::by_use(IntendedUse::Clinical, false, false), Limit::None);
    }

    #[test]
    fn what_was_not_seen_forbids_absent_and_images_unlike_the_training_forbid_a_decision() {
        let of = |reasons: &[Reason]| {
            let warnings: Vec<Rejection> = reasons.iter().map(|reason| Rejection::new(*reason, "")).collect();
            Limit::by_images(&warnings)
        };
        assert_eq!(of(&[]), Limit::None);
        assert_eq!(of(&[Reason::TooThick, Reason::LungsCut]), Limit::None, "how much is missing of the lungs decides");
        assert_eq!(of(&[Reason::TooThick, Reason::AorticPhase]), Limit::NotAbsent);
        assert_eq!(of(&[Reason::OutsideTraining, Reason::ContrastUnknown]), Limit::NoDecision);
        assert_eq!(of(&[Reason::UntriedEnergy]), Limit::NoDecision);
        assert_eq!([true, false].map(Limit::by_lungs), [Limit::NotAbsent, Limit::None]);
    }
}
