//! Coded concepts ([PS3.3 8.8](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_8.8.html)) and
//! the ones this node speaks of.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A code value, the scheme that defines it and what it means, as in the Code Sequence macro.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Concept {
    /// Code Value (0008,0100).
    pub value: Cow<'static, str>,
    /// Coding Scheme Designator (0008,0102).
    pub scheme: Cow<'static, str>,
    /// Code Meaning (0008,0104).
    pub meaning: Cow<'static, str>,
}

impl Concept {
    /// A concept known when the program was written.
    pub const fn new(value: &'static str, scheme: &'static str, meaning: &'static str) -> Self {
        Self { value: Cow::Borrowed(value), scheme: Cow::Borrowed(scheme), meaning: Cow::Borrowed(meaning) }
    }
}

/// Concepts of SNOMED CT.
pub mod sct {
    use super::Concept;

    /// Pulmonary embolism.
    pub const PULMONARY_EMBOLISM: Concept = Concept::new("59282003", "SCT", "Pulmonary embolism");
    /// Pulmonary artery.
    pub const PULMONARY_ARTERY: Concept = Concept::new("81040000", "SCT", "Pulmonary artery");
    /// Lung.
    pub const LUNG: Concept = Concept::new("39607008", "SCT", "Lung");
    /// Right.
    pub const RIGHT: Concept = Concept::new("24028007", "SCT", "Right");
    /// Left.
    pub const LEFT: Concept = Concept::new("7771000", "SCT", "Left");
    /// Present.
    pub const PRESENT: Concept = Concept::new("52101004", "SCT", "Present");
    /// Absent.
    pub const ABSENT: Concept = Concept::new("272519000", "SCT", "Absent");
    /// Undetermined.
    pub const UNDETERMINED: Concept = Concept::new("373068000", "SCT", "Undetermined");
    /// Volume.
    pub const VOLUME: Concept = Concept::new("118565006", "SCT", "Volume");
    /// Finding site.
    pub const FINDING_SITE: Concept = Concept::new("363698007", "SCT", "Finding Site");
    /// Finding category.
    pub const FINDING_CATEGORY: Concept = Concept::new("276214006", "SCT", "Finding category");
    /// Laterality.
    pub const LATERALITY: Concept = Concept::new("272741003", "SCT", "Laterality");
}
