//! What of a series was left out of its analysis. Codes are part of the contract with scripts, as those of rejections.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

/// Why images of a series took no part in its analysis, in the order of the documented table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum LeftOutKind {
    /// A localizer by its Image Type.
    Localizer,
    /// A page of a screen or of doses, or a page in colour.
    Page,
    /// No CT image, or one of another kind than is read.
    OtherObject,
    /// A projection through several slices (MIP, MinIP), or a rendering.
    Projection,
    /// A CT image of another quantity than Hounsfield units, such as an iodine map.
    NotHounsfield,
    /// A CT image whose place in the patient is not known.
    WithoutPosition,
    /// An object that cannot be read, or whose pixels cannot be decoded.
    Unreadable,
    /// An identical copy of a slice that was analysed.
    Copy,
    /// Another image at the position of a slice that was analysed.
    SamePosition,
    /// An image between two slices that were analysed.
    BetweenSlices,
    /// Images at one place, as bolus tracking makes them.
    OnePlace,
    /// Images in another plane: a localizer, a reformat.
    OtherPlane,
    /// Images in line with none of the slices that were analysed, or far from them.
    Elsewhere,
    /// Images in another frame of reference.
    OtherFrameOfReference,
    /// A further stack: another acquisition, phase or reconstruction.
    OtherStack,
    /// Images that were sent and refused, or held.
    Refused,
}

impl LeftOutKind {
    /// The code, as in CSV and API.
    pub fn code(self) -> &'static str {
        self.into()
    }
}

/// Images of a series that took no part in its analysis for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Why.
    pub kind: LeftOutKind,
    /// How many.
    pub images: usize,
    /// What was seen: acquisitions, instances, positions, values. Free of patient data.
    pub explanation: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} left out: {}", count(self.images), self.explanation)
    }
}

/// Images that were sent and did not come into their series, for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// How many.
    pub images: usize,
    /// What became of them, when and why. Free of patient data.
    pub explanation: String,
    /// True if the series lacks them, whatever its stack looks like. False if they may be changed copies of images that
    /// it has: only a gap in the stack shows that they are not.
    pub lacked: bool,
}

impl Refused {
    /// As images that were left out; none unless the series lacks them.
    pub(super) fn left_out(&self) -> Option<LeftOut> {
        let Self { images, explanation, lacked } = self;
        lacked.then(|| LeftOut { kind: LeftOutKind::Refused, images: *images, explanation: explanation.clone() })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of this series: {}", count(self.images), self.explanation)
    }
}

/// A number of images, in words.
fn count(images: usize) -> String {
    format!("{images} {}", if images == 1 { "image" } else { "images" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_a_code_for_scripts_and_a_sentence_for_people() {
        let left_out = LeftOut { kind: LeftOutKind::OnePlace, images: 12, explanation: "at 10.0 mm".to_owned() };
        assert_eq!(left_out.to_string(), "12 images left out: at 10.0 mm");
        let json = serde_json::json!({ "kind": "one-place", "images": 12, "explanation": "at 10.0 mm" });
        assert_eq!(serde_json::to_value(&left_out).expect("JSON"), json);
        assert_eq!(LeftOut { images: 1, ..left_out }.to_string(), "1 image left out: at 10.0 mm");
    }
}
