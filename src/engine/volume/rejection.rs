//! Why a series is not usable, as codes that are part of the contract with scripts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

/// Why a series cannot be analysed, or not with confidence, in the order of the documented table. Codes are part of the
/// contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// Not a CT image storage object.
    WrongModality,
    /// Projections through several slices (MIP, MinIP), or renderings.
    Projection,
    /// The images hold another quantity than Hounsfield units, such as an iodine map.
    NotHounsfield,
    /// The numbers of air and tissue are not those that Hounsfield units have.
    ImplausibleValues,
    /// Virtual monochromatic images of an energy that was not tried, or that is not stated.
    UntriedEnergy,
    /// The images do not show lungs.
    NotAChest,
    /// No contrast agent in the vessels of the chest.
    NoContrast,
    /// Contrast agent at some heights of the chest only.
    UnevenContrast,
    /// Too little is seen of the vessels to tell whether there is contrast agent.
    ContrastUnknown,
    /// The contrast agent makes the aorta brighter than the pulmonary trunk.
    AorticPhase,
    /// Fewer slices than an exam has.
    TooFewSlices,
    /// A gap in the slice positions.
    MissingSlices,
    /// Evenly many slices between those that came seem lost.
    SkippedSlices,
    /// Slices are too thick or too far apart for emboli to show.
    TooThick,
    /// The lungs are cut off at the top or the bottom of the stack.
    LungsCut,
    /// Lung beyond the field of view, missing from the segmentation, or much smaller on one side.
    LungsIncomplete,
    /// The lungs are larger than any person's.
    ImplausibleLungs,
    /// The images are not of the kind that the model was trained on.
    OutsideTraining,
    /// Positions, orientation or spacing are missing or contradict each other.
    BadGeometry,
    /// The images do not name one patient.
    MixedPatients,
    /// An object ends before its declared length.
    Truncated,
    /// An object or its pixel data cannot be read.
    Unreadable,
    /// An object claims more than the limits allow.
    Hostile,
}

impl Reason {
    /// The code of the reason, as in CSV and API.
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// True if part of the lungs or of their vessels was not seen: embolism cannot be excluded then.
    pub fn hides_embolism(self) -> bool {
        match self {
            Self::Projection
            | Self::NotHounsfield
            | Self::ImplausibleValues
            | Self::NotAChest
            | Self::NoContrast
            | Self::UnevenContrast
            | Self::ContrastUnknown
            | Self::AorticPhase
            | Self::TooFewSlices
            | Self::MissingSlices
            | Self::SkippedSlices
            | Self::BadGeometry
            | Self::Truncated
            | Self::Unreadable => true,
            Self::WrongModality
            | Self::UntriedEnergy
            | Self::TooThick
            // How much of the lungs is missing decides; see `Completeness`.
            | Self::LungsCut
            | Self::LungsIncomplete
            | Self::ImplausibleLungs
            | Self::OutsideTraining
            | Self::MixedPatients
            | Self::Hostile => false,
        }
    }

    /// The reason in a few words, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::WrongModality => "Not a CT image",
            Self::Projection => "Projections (MIP, MinIP), no slices",
            Self::NotHounsfield => "Other quantities than Hounsfield units",
            Self::ImplausibleValues => "Air and tissue have no plausible Hounsfield units",
            Self::UntriedEnergy => "Virtual monochromatic images of an energy that was not tried",
            Self::NotAChest => "No lungs in the images",
            Self::NoContrast => "No contrast agent in the vessels of the chest",
            Self::UnevenContrast => "Contrast agent at some heights only",
            Self::ContrastUnknown => "Contrast agent cannot be judged",
            Self::AorticPhase => "Contrast agent in the aorta rather than in the pulmonary arteries",
            Self::TooFewSlices => "Too few slices",
            Self::MissingSlices => "Slices are missing",
            Self::SkippedSlices => "Slices between those that came seem lost",
            Self::TooThick => "Slices too thick or too far apart",
            Self::LungsCut => "The stack ends within the lungs",
            Self::LungsIncomplete => "Part of the lungs is missing",
            Self::ImplausibleLungs => "Lungs larger than a person's",
            Self::OutsideTraining => "Images unlike those that the model was trained on",
            Self::BadGeometry => "Positions or orientation missing or contradictory",
            Self::MixedPatients => "Images of several patients",
            Self::Truncated => "An object is not complete",
            Self::Unreadable => "An object cannot be read",
            Self::Hostile => "An object claims more than the limits allow",
        }
    }
}

/// A reason and a sentence with the values it rests on, free of patient data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The code.
    pub reason: Reason,
    /// What was found and what was expected.
    pub explanation: String,
}

impl Rejection {
    /// A reason and its explanation.
    pub fn new(reason: Reason, explanation: impl Into<String>) -> Self {
        Self { reason, explanation: explanation.into() }
    }

    /// That there are so few usable slices.
    pub fn too_few_slices(slices: usize, fewest: usize) -> Self {
        Self::new(Reason::TooFewSlices, format!("{slices} usable CT slices; at least {fewest} were expected"))
    }

    /// One rejection per reason, in the order of [`Reason`]; explanations of the same reason are joined, repeated ones
    /// counted.
    pub fn merged(rejections: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut by_reason: BTreeMap<Reason, Vec<String>> = BTreeMap::new();
        for rejection in rejections {
            by_reason.entry(rejection.reason).or_default().push(rejection.explanation);
        }
        by_reason.into_iter().map(|(reason, explanations)| Self::new(reason, joined(explanations))).collect()
    }
}

/// Sentences in one line: a few of them, with how often each came and how many were left out.
pub(super) fn joined(sentences: Vec<String>) -> String {
    const SHOWN: usize = 3;
    let mut counted: Vec<(String, usize)> = Vec::new();
    for sentence in sentences {
        match counted.iter_mut().find(|(known, _)| *known == sentence) {
            Some((_, count)) => *count += 1,
            None => counted.push((sentence, 1)),
        }
    }
    let left_out: usize = counted.iter().skip(SHOWN).map(|(_, count)| count).sum();
    let said = |(text, count): (String, usize)| if count > 1 { format!("{text} ({count} times)") } else { text };
    let mut parts: Vec<String> = counted.into_iter().take(SHOWN).map(said).collect();
    if left_out > 0 {
        parts.push(format!("and {left_out} more"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones_in_json_and_in_text() {
        for (reason, code) in [(Reason::NotAChest, "not-a-chest"), (Reason::TooFewSlices, "too-few-slices")] {
            assert_eq!((reason.code(), reason.to_string().as_str()), (code, code));
            assert_eq!(serde_json::to_value(reason).expect("JSON"), code);
        }
    }

    #[test]
    fn rejections_of_one_reason_become_one_that_counts_them() {
        let truncated = Rejection::new(Reason::Truncated, "ends early");
        let merged = Rejection::merged([
            truncated.clone(),
            Rejection::new(Reason::WrongModality, "an MR"),
            truncated.clone(),
            Rejection::new(Reason::Truncated, "no end"),
        ]);
        assert_eq!(merged.len(), 2);
        assert_eq!(merged[0], Rejection::new(Reason::WrongModality, "an MR"));
        assert_eq!(merged[1], Rejection::new(Reason::Truncated, "ends early (2 times); no end"));
    }
}
