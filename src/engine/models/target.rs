//! The targets of a classifier: embolism, and the further labels of RSPECT.

use serde::{Deserialize, Serialize};

/// A property that an exam has or does not have. Each names the column of the same meaning in RSPECT's `train.csv`
/// (Colak et al. 2021, doi 10.1148/ryai.2021200254).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownTarget, parse_err_fn = UnknownTarget::from)]
pub enum Target {
    /// Any pulmonary embolism: the opposite of `negative_exam_for_pe`.
    PulmonaryEmbolism,
    /// Embolism in the patient's left lung: `leftsided_pe`.
    LeftSidedPe,
    /// Embolism in the patient's right lung: `rightsided_pe`.
    RightSidedPe,
    /// Embolism in a central artery: `central_pe`.
    CentralPe,
    /// The right ventricle is at least as wide as the left: `rv_lv_ratio_gte_1`.
    #[serde(rename = "rv-lv-ratio-gte-1")]
    #[strum(serialize = "rv-lv-ratio-gte-1")]
    RvLvRatioGte1,
    /// All emboli are chronic: `chronic_pe`.
    ChronicPe,
    /// Acute and chronic emboli: `acute_and_chronic_pe`.
    AcuteAndChronicPe,
}

impl Target {
    /// How many there are.
    pub const COUNT: usize = 7;
    /// All of them; the main one first.
    pub const ALL: [Self; Self::COUNT] = [
        Self::PulmonaryEmbolism,
        Self::LeftSidedPe,
        Self::RightSidedPe,
        Self::CentralPe,
        Self::RvLvRatioGte1,
        Self::ChronicPe,
        Self::AcuteAndChronicPe,
    ];

    /// The name in manifests and tables.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What it means, in words for a reader.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::PulmonaryEmbolism => "pulmonary embolism",
            Self::LeftSidedPe => "left-sided embolism",
            Self::RightSidedPe => "right-sided embolism",
            Self::CentralPe => "central embolism",
            Self::RvLvRatioGte1 => "RV/LV ratio of 1 or more",
            Self::ChronicPe => "chronic embolism",
            Self::AcuteAndChronicPe => "acute and chronic embolism",
        }
    }

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The same target of the mirror image: left and right change places.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::LeftSidedPe => Self::RightSidedPe,
            Self::RightSidedPe => Self::LeftSidedPe,
            other => other,
        }
    }
}

/// A text that does not name a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a target; targets are {}", .0, Target::ALL.map(Target::name).join(", "))]
pub struct UnknownTarget(String);

impl From<&str> for UnknownTarget {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_serialised_alike() {
        for (index, target) in Target::ALL.into_iter().enumerate() {
            assert_eq!(target.name().parse(), Ok(target));
            assert_eq!(serde_json::to_string(&target).expect("serialised"), format!("\"{target}\""));
            assert_eq!(target.index(), index);
            assert_eq!(target.mirrored().mirrored(), target);
        }
    }
}
