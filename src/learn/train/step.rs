//! The steps of a training, in their order.

use strum::IntoEnumIterator as _;

/// A step of the training. Its name is what a user types.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumIter, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "lowercase")]
pub enum Step {
    /// Tables of labels to exams, slice labels and splits.
    Labels,
    /// DICOM to volumes.
    Volumes,
    /// Slice labels mapped to the slices of the volumes.
    Slices,
    /// Lung masks.
    Lungs,
    /// Crops around the lungs, prepared for the network. `boxes` is its earlier name.
    #[strum(to_string = "crops", serialize = "boxes")]
    Crops,
    /// Weights.
    Fit,
    /// Metrics, calibration, operating point.
    Evaluate,
    /// The model package.
    Export,
    /// All of them, in this order.
    All,
}

impl Step {
    /// The name, as typed.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// All steps but `all`, in their order.
    pub(super) fn order() -> impl Iterator<Item = Self> {
        Self::iter().filter(|step| *step != Self::All)
    }

    /// Whether the step processes exam by exam and can be divided over machines.
    pub(super) fn has_shards(self) -> bool {
        matches!(self, Self::Volumes | Self::Slices | Self::Lungs | Self::Crops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_known_by_its_name_and_crops_by_the_earlier_one_too() {
        assert_eq!("boxes".parse(), Ok(Step::Crops));
        assert_eq!(Step::Crops.to_string(), "crops");
        assert!(Step::iter().all(|step| step.name().parse() == Ok(step)));
        assert_eq!(Step::order().count(), 8);
    }
}
