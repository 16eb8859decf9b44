//! What an analysis found, in numbers and grid positions; reports put it into DICOM.

use ndarray::Array3;
use serde::{Deserialize, Serialize};

use super::enhancement::Enhancement;
use crate::engine::models::lineup::Packages;
use crate::engine::models::manifest::{IntendedUse, Manifest};
use crate::engine::models::target::Target;
pub use crate::engine::models::{ModelIdentity, Provider};
use crate::engine::volume::preparation::Preparation;
use crate::engine::volume::{Geometry, LeftOut, Reason, Rejection, VoxelPoint};

/// A probability, between 0 and 1.
///
/// ```
/// use pe_node::engine::analyse::findings::Probability;
///
/// assert_eq!(Probability::new(0.876_54).unwrap().percent(), 87.65);
/// assert!(Probability::new(1.2).is_none() && Probability::new(f64::NAN).is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Probability(f64);

impl Probability {
    /// A probability from a number; `None` if it is not a finite number from 0 to 1.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// From 0 to 1.
    pub fn value(self) -> f64 {
        self.0
    }

    /// In percent, rounded to two decimals: the one number that SR, CSV, API and pictures show.
    pub fn percent(self) -> f64 {
        (self.0 * 10_000.0).round() / 100.0
    }
}

/// The decision on pulmonary embolism in the exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Decision {
    /// At or above the operating point.
    Present,
    /// Below the operating point.
    Absent,
    /// Inside the indeterminate band, or the package must not decide on such images.
    Undetermined,
}

/// A classifier's answer for one target in the exam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetFinding {
    /// The target.
    pub target: Target,
    /// Mean over all members of the classifier.
    pub probability: Probability,
    /// Standard deviation over the members; `None` for a single network.
    #[serde(flatten, with = "standard_deviation")]
    pub standard_deviation: Option<f64>,
    /// False if there were no cases to calibrate on: the probability is then the network's own.
    pub calibrated: bool,
}

/// A standard deviation in JSON, also under its former name.
mod standard_deviation {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Names {
        #[serde(default)]
        standard_deviation: Option<f64>,
        #[serde(default)]
        spread: Option<f64>,
    }

    #[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        Names { standard_deviation: *value, spread: *value }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Names::deserialize(deserializer).map(|names| names.standard_deviation.or(names.spread))
    }
}

/// Volumes of the lungs and a point inside each, on the source grid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lungs {
    /// The patient's left lung; `None` when no voxel of it was found.
    pub left: Option<Lung>,
    /// The patient's right lung.
    pub right: Option<Lung>,
}

impl Lungs {
    /// True if at least one lung was found.
    pub fn has_lungs(&self) -> bool {
        self.left.is_some() || self.right.is_some()
    }

    /// The volume of both in millilitres.
    pub fn millilitres(&self) -> f64 {
        [&self.left, &self.right].into_iter().flatten().map(|lung| lung.millilitres).sum()
    }
}

/// One lung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lung {
    /// Number of voxels in the mask.
    pub voxels: u64,
    /// Their volume in millilitres.
    pub millilitres: f64,
    /// A voxel of the mask near its centroid (whole numbers), on a slice of the source.
    pub centre: VoxelPoint,
}

/// What is missing of the lungs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Completeness {
    /// Of the patient's left lung.
    pub left: SideCompleteness,
    /// Of the patient's right lung.
    pub right: SideCompleteness,
}

/// What is missing of one lung, in millilitres; 0 where nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SideCompleteness {
    /// Beyond the field of view: an estimate.
    pub cut_ml: f64,
    /// Below and above the stack: an estimate.
    pub beyond_stack_ml: f64,
    /// Air within the chest that looks like lung and is not in the mask.
    pub lost_ml: f64,
    /// How much smaller the lung is than the other one, if it is much smaller and nothing else explains it: an effusion,
    /// a collapse, an operation.
    pub smaller_ml: f64,
}

impl SideCompleteness {
    /// Lung that is there and was not analysed, in millilitres.
    pub fn unseen_ml(&self) -> f64 {
        self.cut_ml + self.beyond_stack_ml + self.lost_ml
    }
}

impl Completeness {
    /// Share of both lungs that may be unseen in an exam that is called free of embolism.
    const UNSEEN_SHARE: f64 = 0.1;

    /// True if so much lung was not seen that embolism cannot be called absent. Lung that is smaller by disease was seen.
    pub fn limits_decision(&self, lungs: &Lungs) -> bool {
        let unseen = self.left.unseen_ml() + self.right.unseen_ml();
        unseen > Self::UNSEEN_SHARE * (lungs.millilitres() + unseen)
    }

    /// Lung below and above the stack, in millilitres: an estimate.
    pub fn beyond_stack_ml(&self) -> f64 {
        self.left.beyond_stack_ml + self.right.beyond_stack_ml
    }

    /// What is missing within the stack, in words; `None` if nothing is.
    pub fn explanation(&self) -> Option<String> {
        let sides = [("left", "right", &self.left), ("right", "left", &self.right)];
        let parts: Vec<String> = sides.into_iter().flat_map(|(name, other, side)| side.parts(name, other)).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The reason, if anything is missing.
    pub fn warning(&self) -> Option<Rejection> {
        self.explanation().map(|explanation| Rejection::new(Reason::LungsIncomplete, explanation))
    }
}

impl SideCompleteness {
    fn parts(&self, name: &str, other: &str) -> impl Iterator<Item = String> {
        let part = |millilitres: f64, text: String| (millilitres > 0.0).then_some(text);
        [
            part(self.cut_ml, format!("about {:.0} mL of the {name} lung lie beyond the field of view", self.cut_ml)),
            part(
                self.lost_ml,
                format!("about {:.0} mL of the {name} lung are missing from the segmentation", self.lost_ml),
            ),
            part(
                self.smaller_ml,
                format!("the {name} lung is {:.0} mL smaller than the {other} lung", self.smaller_ml),
            ),
        ]
        .into_iter()
        .flatten()
    }
}

/// The classifier's answer for one slice of the source. Source slices between two prepared ones take the nearer one's
/// values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SliceFinding {
    /// Index into `Volume::slices`.
    pub slice: usize,
    /// Calibrated probability of embolism on this slice.
    pub probability: Probability,
    /// Share of the exam's attention, from 0 to 1.
    pub attention: f64,
}

/// A slice shown to the reader: where evidence is greatest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeySlice {
    /// Index into `Volume::slices`.
    pub slice: usize,
    /// Calibrated probability of embolism on this slice.
    pub probability: Probability,
    /// The voxel of greatest evidence (whole column and row within the image).
    pub peak: VoxelPoint,
    /// Outlines of the regions of high evidence: closed polygons of (column, row) in pixels, first point not repeated.
    pub outlines: Vec<Vec<[f64; 2]>>,
}

/// Evidence for embolism as a small volume of its own: the network's answer for each cell, from 0 to 1 and zero outside
/// lungs and hilar region. Cells are at most 5 mm wide.
#[derive(Debug, Clone)]
pub struct EvidenceMap {
    /// `[slice, row, column]`; one entry per prepared slice.
    pub cells: Array3<f32>,
    /// The grid of the cells in the patient.
    pub geometry: Geometry,
}

/// What a classifier's answer rests on, if it reads slices.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// One entry per source slice inside the analysed range, lowest first.
    pub slices: Vec<SliceFinding>,
    /// The slices to show, greatest evidence first; never empty.
    pub key_slices: Vec<KeySlice>,
    /// Evidence cell by cell.
    pub map: EvidenceMap,
}

/// The field that the classifier read, on one image: the outline of its field on the middle slice of the analysed
/// range.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysedField {
    /// Index into `Volume::slices`.
    pub slice: usize,
    /// Corners, one after the other, as (column, row) in pixels within the image.
    pub corners: [[f64; 2]; 4],
}

impl AnalysedField {
    /// The middle of the field.
    pub fn middle(&self) -> VoxelPoint {
        let mean = |axis: usize| self.corners.iter().map(|corner| corner[axis]).sum::<f64>() / 4.0;
        VoxelPoint { column: mean(0), row: mean(1), slice: self.slice as f64 }
    }
}

/// All that an analysis found in one series.
#[derive(Debug, Clone)]
pub struct Findings {
    /// Probability of embolism in the exam: the mean over all members of the classifier. [`Self::is_calibrated`] says
    /// whether it is calibrated.
    pub probability: Probability,
    /// Standard deviation of that probability over the members; `None` for a single network.
    pub standard_deviation: Option<f64>,
    /// The decision at the operating point.
    pub decision: Decision,
    /// The classifier's answers for the further targets.
    pub targets: Vec<TargetFinding>,
    /// What the answer rests on; `None` if the classifier reads exams as a whole and cannot say.
    pub evidence: Option<Evidence>,
    /// The field that the classifier read.
    pub field: AnalysedField,
    /// Lung volumes.
    pub lungs: Lungs,
    /// What is missing of the lungs.
    pub completeness: Completeness,
    /// How bright contrast agent makes the great vessels.
    pub enhancement: Enhancement,
    /// What is wrong with the images although they were analysed, in the order of `Reason`.
    pub warnings: Vec<Rejection>,
    /// What of the series was not analysed.
    pub left_out: Vec<LeftOut>,
    /// True if the images say that they are synthetic (0008,001C).
    pub synthetic: bool,
    /// The intended use of all models together: the most restricted one.
    pub intended_use: IntendedUse,
    /// The embolism classifier's manifest: operating point, calibration, intended use.
    pub classifier: Manifest,
    /// Identity of each model that took part.
    pub models: Packages,
    /// Which execution provider ran the networks.
    pub provider: Provider,
}

impl Findings {
    /// True if the probability of embolism is calibrated for every member.
    pub fn is_calibrated(&self) -> bool {
        self.classifier.is_calibrated(Target::PulmonaryEmbolism)
    }

    /// How the classifier's images were prepared.
    pub fn preparation(&self) -> &Preparation {
        &self.classifier.input
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lungs(left: f64, right: f64) -> Lungs {
        let lung = |millilitres: f64| {
            let centre = VoxelPoint { column: 0.0, row: 0.0, slice: 0.0 };
            Some(Lung { voxels: 1, millilitres, centre })
        };
        Lungs { left: lung(left), right: lung(right) }
    }

    #[test]
    fn unseen_lung_limits_the_decision_from_a_tenth_on_and_disease_does_not() {
        let cut = |cut_ml: f64| Completeness {
            right: SideCompleteness { cut_ml, ..SideCompleteness::default() },
            ..Completeness::default()
        };
        assert!(!cut(190.0).limits_decision(&lungs(900.0, 900.0)));
        assert!(cut(210.0).limits_decision(&lungs(900.0, 900.0)));
        let smaller = SideCompleteness { smaller_ml: 1500.0, ..SideCompleteness::default() };
        assert!(!Completeness { left: smaller, ..Completeness::default() }.limits_decision(&lungs(300.0, 1800.0)));
    }

    #[test]
    fn what_is_missing_is_named_with_its_side_and_nothing_is_said_of_whole_lungs() {
        assert_eq!(Completeness::default().warning(), None);
        let left = SideCompleteness { cut_ml: 240.4, lost_ml: 120.0, ..SideCompleteness::default() };
        let right = SideCompleteness { smaller_ml: 800.0, ..SideCompleteness::default() };
        let warning = Completeness { left, right }.warning().expect("a warning");
        assert_eq!(warning.reason.code(), "lungs-incomplete");
        assert_eq!(
            warning.explanation,
            "about 240 mL of the left lung lie beyond the field of view; about 120 mL of the left lung are missing from \
             the segmentation; the right lung is 800 mL smaller than the left lung"
        );
    }
}
