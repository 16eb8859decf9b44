//! Why a series is not usable, as codes that are part of the contract with scripts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a series cannot be analysed, or not with confidence. Codes are part of the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    /// Positions, orientation or spacing are missing or contradict each other.
    BadGeometry,
    /// An object ends before its declared length.
    Truncated,
    /// An object or its pixel data cannot be read.
    Unreadable,
    /// An object claims more than the limits allow.
    Hostile,
}

impl Reason {
    /// All reasons, in the order of the documented table.
    pub const ALL: [Self; 11] = [
        Self::WrongModality,
        Self::NotAChest,
        Self::NoContrast,
        Self::TooFewSlices,
        Self::MissingSlices,
        Self::TooThick,
        Self::LungsCut,
        Self::BadGeometry,
        Self::Truncated,
        Self::Unreadable,
        Self::Hostile,
    ];

    /// The code of the reason, as in CSV and API.
    pub fn code(self) -> &'static str {
        match self {
            Self::WrongModality => "wrong-modality",
            Self::NotAChest => "not-a-chest",
            Self::NoContrast => "no-contrast",
            Self::TooFewSlices => "too-few-slices",
            Self::MissingSlices => "missing-slices",
            Self::TooThick => "too-thick",
            Self::LungsCut => "lungs-cut",
            Self::BadGeometry => "bad-geometry",
            Self::Truncated => "truncated",
            Self::Unreadable => "unreadable",
            Self::Hostile => "hostile",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

/// A reason and a sentence with its figures, free of patient data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The code.
    pub reason: Reason,
    /// What was found and what was expected.
    pub explanation: String,
}
