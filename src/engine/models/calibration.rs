//! From the logits of a network to probabilities, fitted on validation exams.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::target::Target;

/// Calibration of one member: the temperature divides a logit, the bias is added, and the logistic function or an
/// isotonic map makes a probability of it (Guo et al. 2017, arXiv:1706.04599).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Divisor of the exam's logit for embolism; positive.
    pub temperature: f64,
    /// Added after the division.
    pub bias: f64,
    /// Takes the place of the logistic function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isotonic: Option<Isotonic>,
    /// False if the above were not fitted, for want of exams or by choice: the exam's probability is then the network's
    /// own.
    #[serde(default = "fitted")]
    pub exam_fitted: bool,
    /// Divisor of slice logits.
    #[serde(default = "one")]
    pub slice_temperature: f64,
    /// Added to slice logits after the division.
    #[serde(default)]
    pub slice_bias: f64,
    /// False if there were no labelled slices to fit the two above on: values of single slices are then not calibrated.
    #[serde(default = "fitted")]
    pub slices_fitted: bool,
    /// Calibrations of the further targets that could be calibrated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<Target, TargetCalibration>,
}

/// Calibration of a further target's exam logit; as that of embolism.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetCalibration {
    /// Divisor of the logit; positive.
    pub temperature: f64,
    /// Added after the division.
    pub bias: f64,
    /// Takes the place of the logistic function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isotonic: Option<Isotonic>,
}

impl TargetCalibration {
    /// The probability of a logit; NaN where the logit is NaN.
    pub fn probability(&self, logit: f64) -> f64 {
        linked(logit / self.temperature + self.bias, self.isotonic.as_ref())
    }
}

fn one() -> f64 {
    1.0
}

fn fitted() -> bool {
    true
}

impl Calibration {
    /// Probability of embolism in the exam; NaN where the logit is NaN.
    pub fn exam(&self, logit: f64) -> f64 {
        linked(logit / self.temperature + self.bias, self.isotonic.as_ref())
    }

    /// The map of embolism alone.
    pub fn embolism(&self) -> TargetCalibration {
        TargetCalibration { temperature: self.temperature, bias: self.bias, isotonic: self.isotonic.clone() }
    }

    /// Probability of embolism on a slice, and in a cell of the evidence, whose logits are pooled to the slice's.
    pub fn slice(&self, logit: f64) -> f64 {
        logistic(logit / self.slice_temperature + self.slice_bias)
    }

    /// Probability of a further target. One without a calibration of its own gets the plain logistic function.
    pub fn target(&self, target: Target, logit: f64) -> f64 {
        self.targets.get(&target).map_or_else(|| logistic(logit), |of| of.probability(logit))
    }
}

fn linked(logit: f64, isotonic: Option<&Isotonic>) -> f64 {
    isotonic.map_or_else(|| logistic(logit), |map| map.at(logit))
}

fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// A map from logits to probabilities that never falls: straight between its knots, constant beyond them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<[f64; 2]>", into = "Vec<[f64; 2]>")]
pub struct Isotonic(Vec<[f64; 2]>);

/// Why knots are not an isotonic map.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IsotonicError {
    /// Fewer than two.
    #[error("an isotonic map has at least two knots, {0} were given")]
    TooFew(usize),
    /// One is not a logit with a probability.
    #[error("the knot {0:?} is not a logit with a probability")]
    NoKnot([f64; 2]),
    /// Two do not rise.
    #[error("the knots {0:?} and {1:?} do not rise")]
    Falling([f64; 2], [f64; 2]),
}

impl Isotonic {
    /// A map from its knots, each a logit and a probability.
    ///
    /// # Errors
    /// Fewer than two knots, logits that do not rise, or probabilities that fall or are not from 0 to 1.
    pub fn new(knots: Vec<[f64; 2]>) -> Result<Self, IsotonicError> {
        if knots.len() < 2 {
            return Err(IsotonicError::TooFew(knots.len()));
        }
        let is_knot = |[logit, probability]: &[f64; 2]| logit.is_finite() && (0.0..=1.0).contains(probability);
        if let Some(knot) = knots.iter().find(|knot| !is_knot(knot)) {
            return Err(IsotonicError::NoKnot(*knot));
        }
        match knots.windows(2).find(|pair| pair[0][0] >= pair[1][0] || pair[0][1] > pair[1][1]) {
            Some(pair) => Err(IsotonicError::Falling(pair[0], pair[1])),
            None => Ok(Self(knots)),
        }
    }

    /// The probability of a logit; NaN where the logit is NaN.
    pub fn at(&self, logit: f64) -> f64 {
        if logit.is_nan() {
            return logit;
        }
        let above = self.0.partition_point(|[knot, _]| *knot <= logit);
        match (above.checked_sub(1).map(|below| self.0[below]), self.0.get(above)) {
            (Some([low, from]), Some([high, to])) => from + (to - from) * (logit - low) / (high - low),
            (Some([_, last]), None) => last,
            (None, first) => first.map_or(f64::NAN, |[_, probability]| *probability),
        }
    }
}

impl TryFrom<Vec<[f64; 2]>> for Isotonic {
    type Error = IsotonicError;

    fn try_from(knots: Vec<[f64; 2]>) -> Result<Self, IsotonicError> {
        Self::new(knots)
    }
}

impl From<Isotonic> for Vec<[f64; 2]> {
    fn from(map: Isotonic) -> Self {
        map.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knots() -> Vec<[f64; 2]> {
        vec![[-2.0, 0.1], [0.0, 0.1], [1.0, 0.6], [3.0, 0.9]]
    }

    #[test]
    fn an_isotonic_map_is_straight_between_its_knots_and_never_falls() {
        let map = Isotonic::new(knots()).expect("rises");
        for (logit, probability) in [(-50.0, 0.1), (-1.0, 0.1), (0.5, 0.35), (1.0, 0.6), (2.0, 0.75), (9.0, 0.9)] {
            assert!((map.at(logit) - probability).abs() < 1e-12, "at {logit}: {}", map.at(logit));
        }
        let values: Vec<f64> = (-400..400).map(|step| map.at(f64::from(step) / 100.0)).collect();
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(map.at(f64::NAN).is_nan());
    }

    #[test]
    fn knots_that_fall_or_are_not_probabilities_are_refused() {
        let refused = |knots: Vec<[f64; 2]>| Isotonic::new(knots).expect_err("no isotonic map").to_string();
        assert!(refused(vec![[0.0, 0.5]]).contains("at least two"));
        assert!(refused(vec![[0.0, 0.5], [1.0, 0.4]]).contains("do not rise"));
        assert!(refused(vec![[0.0, 0.5], [0.0, 0.6]]).contains("do not rise"));
        assert!(refused(vec![[0.0, 0.5], [1.0, 1.1]]).contains("not a logit"));
        assert!(refused(vec![[f64::NAN, 0.5], [1.0, 0.6]]).contains("not a logit"));
    }

    #[test]
    fn temperature_and_bias_come_before_the_logistic_function_or_the_map() {
        let mut calibration: Calibration =
            toml::from_str("temperature = 2.0\nbias = 0.5\nslice_temperature = 1.5\nslice_bias = -0.25").expect("read");
        assert!((calibration.exam(3.0) - logistic(3.0 / 2.0 + 0.5)).abs() < 1e-12);
        assert!((calibration.slice(3.0) - logistic(3.0 / 1.5 - 0.25)).abs() < 1e-12);
        assert!((calibration.target(Target::ChronicPe, 3.0) - logistic(3.0)).abs() < 1e-12);
        assert!(calibration.exam_fitted, "unless a manifest says otherwise");
        calibration.isotonic = Some(Isotonic::new(knots()).expect("rises"));
        assert!((calibration.exam(1.0) - 0.6).abs() < 1e-12, "1 / 2 + 0.5 = 1");
        let chronic = TargetCalibration { temperature: 4.0, bias: 0.0, isotonic: calibration.isotonic.clone() };
        calibration.targets.insert(Target::ChronicPe, chronic);
        assert!((calibration.target(Target::ChronicPe, 2.0) - 0.35).abs() < 1e-12);
        let text = toml::to_string(&calibration).expect("written");
        assert_eq!(toml::from_str::<Calibration>(&text).expect("read back"), calibration);
    }
}
