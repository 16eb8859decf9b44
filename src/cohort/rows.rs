//! Rows of the tables of a cohort, as they are written.

use serde::{Deserialize, Serialize};

/// One row of `train.csv` with all columns of RSPECT: a slice, with the labels of its exam. 0 is no, 1 is yes.
///
/// An indeterminate exam is neither positive nor negative in any column of exams.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the columns are RSPECT's")]
pub struct SliceRow {
    #[serde(rename = "StudyInstanceUID")]
    pub study: String,
    #[serde(rename = "SeriesInstanceUID")]
    pub series: String,
    #[serde(rename = "SOPInstanceUID")]
    pub instance: String,
    pub pe_present_on_image: u8,
    pub negative_exam_for_pe: u8,
    pub qa_motion: u8,
    pub qa_contrast: u8,
    pub flow_artifact: u8,
    pub rv_lv_ratio_gte_1: u8,
    pub rv_lv_ratio_lt_1: u8,
    pub leftsided_pe: u8,
    pub chronic_pe: u8,
    pub true_filling_defect_not_pe: u8,
    pub rightsided_pe: u8,
    pub acute_and_chronic_pe: u8,
    pub central_pe: u8,
    pub indeterminate: u8,
}

/// One row of a `train.csv` that has labels of exams alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExamRow {
    /// Study Instance UID.
    #[serde(rename = "StudyInstanceUID")]
    pub study: String,
    /// Series Instance UID.
    #[serde(rename = "SeriesInstanceUID")]
    pub series: String,
    /// 1 where there is embolism.
    pub pe_present_in_exam: u8,
}

/// One row of `truth/exams.csv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TruthRow {
    /// Number of the exam in its cohort.
    pub exam: usize,
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Patient ID.
    pub patient_id: String,
    /// 1 where there is an embolus, also in an indeterminate exam.
    pub pe: u8,
    /// 1 where there is so little contrast that no reader could decide.
    pub indeterminate: u8,
    /// `left`, `right`, `both`, or empty.
    pub side: &'static str,
    /// Level of the most proximal embolus, or empty.
    pub most_proximal_level: &'static str,
    /// Number of emboli.
    pub clots: usize,
    /// Volume of all emboli in millilitres.
    pub clot_ml: f64,
    /// Slices on which a reader could see an embolus.
    pub positive_slices: usize,
    /// All slices.
    pub slices: usize,
    /// Names of the patient's other findings, joined by `;`.
    pub confounders: String,
    /// `good`, `poor` or `non-diagnostic`.
    pub enhancement: &'static str,
    /// Hounsfield units of the pulmonary arteries.
    pub pulmonary_hu: f64,
    /// Manufacturer's Model Name.
    pub scanner: &'static str,
    /// Convolution Kernel.
    pub kernel: &'static str,
    /// Slice Thickness in millimetres.
    pub slice_thickness_mm: f64,
    /// Distance of slices in millimetres.
    pub slice_spacing_mm: f64,
    /// Pixel Spacing in millimetres.
    pub pixel_mm: f64,
    /// Standard deviation of the noise in Hounsfield units.
    pub noise_hu: f64,
    /// Patient Position.
    pub orientation: &'static str,
    /// Study Instance UID of the paired exam, which differs in the emboli alone, or empty.
    pub twin_study_instance_uid: String,
    /// `internal` or `external`.
    pub site: &'static str,
    /// How many of the emboli are chronic.
    pub chronic_clots: usize,
}

/// The columns of `truth/exams.csv` that reports of accuracy read; further ones need not be there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LevelRow {
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Level of the most proximal embolus, or empty.
    pub most_proximal_level: String,
}
