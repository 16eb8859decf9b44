//! Coded concepts ([PS3.3 8.8](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_8.8.html)) and the
//! ones this node uses.

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

    /// Quantity.
    pub const QUANTITY: Concept = Concept::new("246205007", "SCT", "Quantity");
    /// Pulmonary embolism.
    pub const PULMONARY_EMBOLISM: Concept = Concept::new("59282003", "SCT", "Pulmonary embolism");
    /// Chronic pulmonary embolism.
    pub const CHRONIC_PULMONARY_EMBOLISM: Concept =
        Concept::new("133971000119108", "SCT", "Chronic pulmonary embolism");
    /// Standard deviation.
    pub const STANDARD_DEVIATION: Concept = Concept::new("386136009", "SCT", "Standard Deviation");
    /// Pulmonary artery.
    pub const PULMONARY_ARTERY: Concept = Concept::new("81040000", "SCT", "Pulmonary artery");
    /// Pulmonary trunk.
    pub const PULMONARY_TRUNK: Concept = Concept::new("45341000", "SCT", "Pulmonary trunk");
    /// Thoracic aorta.
    pub const THORACIC_AORTA: Concept = Concept::new("113262008", "SCT", "Thoracic aorta");
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
    /// Morphologically abnormal structure.
    pub const MORPHOLOGICALLY_ABNORMAL: Concept = Concept::new("49755003", "SCT", "Morphologically Abnormal Structure");
    /// Anatomical structure, as category of a segment.
    pub const ANATOMICAL_STRUCTURE: Concept = Concept::new("91723000", "SCT", "Anatomical Structure");
    /// Computed tomography, as the imaging procedure where the study names none.
    pub const COMPUTED_TOMOGRAPHY: Concept = Concept::new("77477000", "SCT", "Computed tomography");
    /// Chest.
    pub const CHEST: Concept = Concept::new("816094009", "SCT", "Chest");
}

/// Concepts of the DICOM Controlled Terminology
/// ([PS3.16 Annex D](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/chapter_D.html)).
pub mod dcm {
    use super::Concept;

    /// Imaging Measurement Report: root of TID 1500.
    pub const IMAGING_MEASUREMENT_REPORT: Concept = Concept::new("126000", "DCM", "Imaging Measurement Report");
    /// Imaging Measurements.
    pub const IMAGING_MEASUREMENTS: Concept = Concept::new("126010", "DCM", "Imaging Measurements");
    /// Measurement Group: TID 1410, 1411, 1501.
    pub const MEASUREMENT_GROUP: Concept = Concept::new("125007", "DCM", "Measurement Group");
    /// Image Library: TID 1600.
    pub const IMAGE_LIBRARY: Concept = Concept::new("111028", "DCM", "Image Library");
    /// Quality Finding.
    pub const QUALITY_FINDING: Concept = Concept::new("111052", "DCM", "Quality Finding");
    /// Image Library Group.
    pub const IMAGE_LIBRARY_GROUP: Concept = Concept::new("126200", "DCM", "Image Library Group");
    /// Language of Content Item and Descendants: TID 1204.
    pub const LANGUAGE: Concept = Concept::new("121049", "DCM", "Language of Content Item and Descendants");
    /// Observer Type: TID 1002.
    pub const OBSERVER_TYPE: Concept = Concept::new("121005", "DCM", "Observer Type");
    /// Device, as observer type.
    pub const DEVICE: Concept = Concept::new("121007", "DCM", "Device");
    /// Device Observer UID: TID 1004.
    pub const DEVICE_OBSERVER_UID: Concept = Concept::new("121012", "DCM", "Device Observer UID");
    /// Device Observer Name.
    pub const DEVICE_OBSERVER_NAME: Concept = Concept::new("121013", "DCM", "Device Observer Name");
    /// Device Observer Manufacturer.
    pub const DEVICE_OBSERVER_MANUFACTURER: Concept = Concept::new("121014", "DCM", "Device Observer Manufacturer");
    /// Device Observer Model Name.
    pub const DEVICE_OBSERVER_MODEL_NAME: Concept = Concept::new("121015", "DCM", "Device Observer Model Name");
    /// Device Observer Serial Number.
    pub const DEVICE_OBSERVER_SERIAL_NUMBER: Concept = Concept::new("121016", "DCM", "Device Observer Serial Number");
    /// Procedure reported.
    pub const PROCEDURE_REPORTED: Concept = Concept::new("121058", "DCM", "Procedure reported");
    /// Tracking Identifier.
    pub const TRACKING_IDENTIFIER: Concept = Concept::new("112039", "DCM", "Tracking Identifier");
    /// Tracking Unique Identifier.
    pub const TRACKING_UNIQUE_IDENTIFIER: Concept = Concept::new("112040", "DCM", "Tracking Unique Identifier");
    /// Finding.
    pub const FINDING: Concept = Concept::new("121071", "DCM", "Finding");
    /// Algorithm Name: TID 4019.
    pub const ALGORITHM_NAME: Concept = Concept::new("111001", "DCM", "Algorithm Name");
    /// Algorithm Version.
    pub const ALGORITHM_VERSION: Concept = Concept::new("111003", "DCM", "Algorithm Version");
    /// Algorithm Manufacturer.
    pub const ALGORITHM_MANUFACTURER: Concept = Concept::new("122405", "DCM", "Algorithm Manufacturer");
    /// Algorithm Parameters.
    pub const ALGORITHM_PARAMETERS: Concept = Concept::new("111002", "DCM", "Algorithm Parameters");
    /// Algorithm Family.
    pub const ALGORITHM_FAMILY: Concept = Concept::new("111000", "DCM", "Algorithm Family");
    /// Artificial Intelligence.
    pub const ARTIFICIAL_INTELLIGENCE: Concept = Concept::new("123110", "DCM", "Artificial Intelligence");
    /// Saliency.
    pub const SALIENCY: Concept = Concept::new("130404", "DCM", "Saliency");
    /// Median Attenuation Coefficient, in Hounsfield units.
    pub const MEDIAN_ATTENUATION: Concept = Concept::new("112182", "DCM", "Median Attenuation Coefficient");
    /// Probability.
    pub const PROBABILITY: Concept = Concept::new("122157", "DCM", "Probability");
    /// Source of Measurement.
    pub const SOURCE_OF_MEASUREMENT: Concept = Concept::new("121112", "DCM", "Source of Measurement");
    /// Image Region.
    pub const IMAGE_REGION: Concept = Concept::new("111030", "DCM", "Image Region");
    /// Comment.
    pub const COMMENT: Concept = Concept::new("121106", "DCM", "Comment");
    /// Modality.
    pub const MODALITY: Concept = Concept::new("121139", "DCM", "Modality");
    /// Computed Tomography, as a modality (CID 29).
    pub const COMPUTED_TOMOGRAPHY: Concept = Concept::new("CT", "DCM", "Computed Tomography");
    /// Segmentation, as a modality (CID 29).
    pub const SEGMENTATION_MODALITY: Concept = Concept::new("SEG", "DCM", "Segmentation");
    /// Target Region.
    pub const TARGET_REGION: Concept = Concept::new("123014", "DCM", "Target Region");
    /// Study Date.
    pub const STUDY_DATE: Concept = Concept::new("111060", "DCM", "Study Date");
    /// Study Time.
    pub const STUDY_TIME: Concept = Concept::new("111061", "DCM", "Study Time");
    /// Frame of Reference UID.
    pub const FRAME_OF_REFERENCE_UID: Concept = Concept::new("112227", "DCM", "Frame of Reference UID");
    /// Pixel Data Rows.
    pub const PIXEL_DATA_ROWS: Concept = Concept::new("110910", "DCM", "Pixel Data Rows");
    /// Pixel Data Columns.
    pub const PIXEL_DATA_COLUMNS: Concept = Concept::new("110911", "DCM", "Pixel Data Columns");
    /// Horizontal Pixel Spacing.
    pub const HORIZONTAL_PIXEL_SPACING: Concept = Concept::new("111026", "DCM", "Horizontal Pixel Spacing");
    /// Vertical Pixel Spacing.
    pub const VERTICAL_PIXEL_SPACING: Concept = Concept::new("111066", "DCM", "Vertical Pixel Spacing");
    /// Spacing between slices.
    pub const SPACING_BETWEEN_SLICES: Concept = Concept::new("112226", "DCM", "Spacing between slices");
    /// Slice Thickness.
    pub const SLICE_THICKNESS: Concept = Concept::new("112225", "DCM", "Slice Thickness");
    /// Image Orientation (Patient), six items: row X, Y, Z, column X, Y, Z.
    pub const IMAGE_ORIENTATION: [Concept; 6] = [
        Concept::new("110904", "DCM", "Image Orientation (Patient) Row X"),
        Concept::new("110905", "DCM", "Image Orientation (Patient) Row Y"),
        Concept::new("110906", "DCM", "Image Orientation (Patient) Row Z"),
        Concept::new("110907", "DCM", "Image Orientation (Patient) Column X"),
        Concept::new("110908", "DCM", "Image Orientation (Patient) Column Y"),
        Concept::new("110909", "DCM", "Image Orientation (Patient) Column Z"),
    ];
    /// Of Interest: title of a key object selection.
    pub const OF_INTEREST: Concept = Concept::new("113000", "DCM", "Of Interest");
    /// Title of a rejection note.
    pub const DATA_RETENTION_POLICY_EXPIRED: Concept = Concept::new("113039", "DCM", "Data Retention Policy Expired");
    /// Title of a rejection note.
    pub const REJECTED_FOR_PATIENT_SAFETY_REASONS: Concept =
        Concept::new("113037", "DCM", "Rejected for Patient Safety Reasons");
    /// Title of a rejection note.
    pub const INCORRECT_MODALITY_WORKLIST_ENTRY: Concept =
        Concept::new("113038", "DCM", "Incorrect Modality Worklist Entry");
    /// Title of a rejection note.
    pub const REJECTED_FOR_QUALITY_REASONS: Concept = Concept::new("113001", "DCM", "Rejected for Quality Reasons");
    /// Key Object Description.
    pub const KEY_OBJECT_DESCRIPTION: Concept = Concept::new("113012", "DCM", "Key Object Description");
    /// Referenced Segment: TID 1411.
    pub const REFERENCED_SEGMENT: Concept = Concept::new("121191", "DCM", "Referenced Segment");
    /// Source series for segmentation: TID 1411.
    pub const SOURCE_SERIES: Concept = Concept::new("121232", "DCM", "Source series for segmentation");
    /// Segmentation, as a derivation.
    pub const SEGMENTATION: Concept = Concept::new("113076", "DCM", "Segmentation");
    /// Source image for image processing operation.
    pub const SOURCE_IMAGE: Concept = Concept::new("121322", "DCM", "Source image for image processing operation");
    /// Processing Equipment.
    pub const PROCESSING_EQUIPMENT: Concept = Concept::new("109102", "DCM", "Processing Equipment");
    /// Acquisition Equipment.
    pub const ACQUISITION_EQUIPMENT: Concept = Concept::new("109101", "DCM", "Acquisition Equipment");
}

/// Concepts of the Unified Medical Language System.
pub mod umls {
    use super::Concept;

    /// Qualitative Evaluations: container of TID 1500.
    pub const QUALITATIVE_EVALUATIONS: Concept = Concept::new("C0034375", "UMLS", "Qualitative Evaluations");
}

/// Concepts of this program, where no terminology has one. Objects that use them describe the scheme.
pub mod own {
    use super::Concept;

    /// Coding Scheme Designator (0008,0102).
    pub const SCHEME: &str = "99PENODE";
    /// What the scheme is called.
    pub const NAME: &str = "pe-node quality checks";

    /// Attenuation of the pulmonary trunk as a multiple of the aorta's.
    pub const TRUNK_TO_AORTA: Concept =
        Concept::new("trunk-to-aorta", SCHEME, "Attenuation of pulmonary trunk relative to aorta");
}

/// English (United States), as the language of our documents.
pub const ENGLISH: Concept = Concept::new("en-US", "RFC5646", "English (United States)");

/// Units of UCUM.
pub mod ucum {
    use super::Concept;

    /// A number without a unit.
    pub const NO_UNITS: Concept = Concept::new("1", "UCUM", "no units");
    /// Percent.
    pub const PERCENT: Concept = Concept::new("%", "UCUM", "percent");
    /// Millilitre.
    pub const MILLILITRE: Concept = Concept::new("mL", "UCUM", "milliliter");
    /// Millimetre.
    pub const MILLIMETRE: Concept = Concept::new("mm", "UCUM", "millimeter");
    /// Number of pixels.
    pub const PIXELS: Concept = Concept::new("{pixels}", "UCUM", "pixels");
    /// Hounsfield unit.
    pub const HOUNSFIELD: Concept = Concept::new("[hnsf'U]", "UCUM", "Hounsfield unit");
    /// Ratio.
    pub const RATIO: Concept = Concept::new("{ratio}", "UCUM", "ratio");
    /// Direction cosine.
    pub const COSINE: Concept = Concept::new("{-1:1}", "UCUM", "{-1:1}");
}
