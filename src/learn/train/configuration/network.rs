//! What the networks are made of.

use serde::{Deserialize, Serialize};

use super::at_least_one;
use crate::engine::models::target::Target;

/// Slice encoder of the embolism classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfiguration {
    /// Channels at half, quarter and eighth of the input's resolution.
    pub widths: [usize; 3],
    /// Residual blocks at each of these resolutions.
    pub blocks: [usize; 3],
}

/// Exam head of the embolism classifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConfiguration {
    /// What is said of an exam, in the order of [`Target::ALL`], embolism first.
    pub targets: Vec<Target>,
    /// Channels of the sequence along the slices.
    pub width: usize,
    /// Neighbouring slices that each step sees, an odd number.
    pub context: usize,
}

/// Lung network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LungConfiguration {
    /// Channels of each level; every level after the first halves rows and columns.
    pub widths: Vec<usize>,
}

impl EncoderConfiguration {
    /// Length of the feature vector of a slice.
    pub(crate) fn features(&self) -> usize {
        1 + self.widths[0] + self.widths[2]
    }
}

impl HeadConfiguration {
    pub(super) fn validate(&self) -> Result<(), String> {
        at_least_one(&[("head.width", self.width)])?;
        if self.context.is_multiple_of(2) {
            return Err(format!("head.context = {}: an odd number was expected", self.context));
        }
        let ordered = self.targets.windows(2).all(|pair| pair[0] < pair[1]);
        if !ordered || self.targets.first() != Some(&Target::PulmonaryEmbolism) {
            return Err(format!(
                "head.targets = {:?}: {} was expected, then any others of {}, in this order",
                self.targets.iter().map(|target| target.name()).collect::<Vec<_>>(),
                Target::PulmonaryEmbolism,
                Target::ALL.map(Target::name)[1..].join(", ")
            ));
        }
        Ok(())
    }
}

impl LungConfiguration {
    /// Slices have `size` rows and columns.
    pub(super) fn validate(&self, size: [usize; 2]) -> Result<(), String> {
        let Some(steps) = self.widths.len().checked_sub(1) else {
            return Err("lung_network.widths = []: at least one level was expected".to_owned());
        };
        multiples_of(1 << steps, size)
    }
}

/// Slices of `size` rows and columns can be halved as often as a network halves them.
pub(super) fn multiples_of(multiple: usize, size: [usize; 2]) -> Result<(), String> {
    if size.iter().any(|length| *length == 0 || !length.is_multiple_of(multiple)) {
        return Err(format!("input.size = {size:?}: multiples of {multiple} were expected"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_begin_with_embolism_and_keep_their_order() {
        let head = |targets: &[Target]| HeadConfiguration { targets: targets.to_vec(), width: 8, context: 3 };
        assert_eq!(head(&Target::ALL).validate(), Ok(()));
        assert_eq!(head(&[Target::PulmonaryEmbolism]).validate(), Ok(()));
        for wrong in [
            &[][..],
            &[Target::CentralPe],
            &[Target::PulmonaryEmbolism, Target::CentralPe, Target::LeftSidedPe],
            &[Target::PulmonaryEmbolism, Target::PulmonaryEmbolism],
        ] {
            let problem = head(wrong).validate().expect_err("wrong targets");
            assert!(problem.contains("head.targets") && problem.contains("left-sided-pe"), "{problem}");
        }
    }
}
