//! How the patient lay on the table.

/// How the patient lay on the table; patient coordinates in the headers are correct for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orientation {
    /// HFS: columns grow towards the patient's left, rows towards the back.
    HeadFirstSupine,
    /// FFS, stored as the gantry sees it: columns grow towards the patient's right.
    FeetFirstSupine,
    /// HFP: columns grow towards the right, rows towards the front.
    HeadFirstProne,
}

impl Orientation {
    /// Patient Position (0018,5100), [PS3.3 C.7.3.1.1.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.3.html#sect_C.7.3.1.1.2).
    pub fn code(self) -> &'static str {
        match self {
            Self::HeadFirstSupine => "HFS",
            Self::FeetFirstSupine => "FFS",
            Self::HeadFirstProne => "HFP",
        }
    }

    /// Whether columns and rows are stored against the patient's left and back.
    pub(super) fn flips(self) -> [bool; 2] {
        match self {
            Self::HeadFirstSupine => [false, false],
            Self::FeetFirstSupine => [true, false],
            Self::HeadFirstProne => [true, true],
        }
    }

    /// Directions in the patient along which column and row numbers grow.
    pub(super) fn directions(self) -> [[f64; 3]; 2] {
        let [across, along] = self.flips().map(|flip| if flip { -1.0 } else { 1.0 });
        [[across, 0.0, 0.0], [0.0, along, 0.0]]
    }
}
