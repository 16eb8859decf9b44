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
    /// The images do not show lungs.
    NotAChest,
    /// No contrast agent in the vessels of the chest.
    NoContrast,
    /// Fewer slices than an exam has.
    TooFewSlices,
    /// A gap in the slice positions.
    MissingSlices,
    /// Slices are too thick or too far apart for emboli to show.
    TooThick,
    /// The lungs are cut off at the top or the bottom of the stack.
    LungsCut,
    /// Lung beyond the field of view, missing from the segmentation, or much smaller on one side. A warning: it rejects no
    /// series.
    LungsIncomplete,
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

    /// One rejection per reason, in the order of [`Reason`]; explanations of the same reason are joined, repeated ones
    /// counted.
    pub fn merged(rejections: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut by_reason: BTreeMap<Reason, Vec<(String, usize)>> = BTreeMap::new();
        for rejection in rejections {
            let explanations = by_reason.entry(rejection.reason).or_default();
            match explanations.iter_mut().find(|(explanation, _)| *explanation == rejection.explanation) {
                Some((_, count)) => *count += 1,
                None => explanations.push((rejection.explanation, 1)),
            }
        }
        by_reason.into_iter().map(|(reason, explanations)| Self::new(reason, joined(&explanations))).collect()
    }
}

/// Explanations in one line: a few of them, with how often each came and how many were left out.
fn joined(explanations: &[(String, usize)]) -> String {
    const SHOWN: usize = 3;
    let mut parts: Vec<String> = explanations
        .iter()
        .take(SHOWN)
        .map(|(text, count)| if *count > 1 { format!("{text} ({count} times)") } else { text.clone() })
        .collect();
    let left_out: usize = explanations.iter().skip(SHOWN).map(|(_, count)| count).sum();
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
