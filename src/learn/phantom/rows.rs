//! The rows of an exam in the tables of a cohort.

use super::emboli::Age;
use super::exam::{Exam, Quality, Truth};
use super::identifiers::Identifiers;
use super::level::Level;
use super::recipe::Recipe;
use crate::cohort::{SliceRow, TruthRow};

/// The emboli in one slice.
pub(super) struct SeenEmboli {
    pub(super) microlitres: u64,
    /// See [`Slice::shows_emboli`](super::Slice::shows_emboli).
    pub(super) visible: bool,
}

/// The rows of an exam.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) truth: TruthRow,
    /// Lowest slice first.
    pub(super) slices: Vec<SliceRow>,
}

impl Rows {
    pub(super) fn of(exam: &Exam, identifiers: &Identifiers, seen: &[SeenEmboli]) -> Self {
        let shared = exam_labels(exam, identifiers);
        let slice = |(index, emboli): (usize, &SeenEmboli)| SliceRow {
            instance: identifiers.instance(index).to_string(),
            pe_present_on_image: u8::from(emboli.visible),
            ..shared.clone()
        };
        Self { truth: truth(exam, identifiers, seen), slices: seen.iter().enumerate().map(slice).collect() }
    }
}

/// The labels of the exam in the row of every slice. `pe_present_on_image` follows the emboli in an indeterminate exam
/// too, which is neither positive nor negative in every other column.
fn exam_labels(exam: &Exam, identifiers: &Identifiers) -> SliceRow {
    let truth = exam.truth();
    let positive = truth.pe() && !truth.indeterminate;
    let dilated = exam.heart.right_ventricle_dilated;
    SliceRow {
        study: identifiers.study.to_string(),
        series: identifiers.series.to_string(),
        negative_exam_for_pe: u8::from(!truth.pe() && !truth.indeterminate),
        qa_motion: u8::from(exam.disease.motion.is_some()),
        qa_contrast: u8::from(exam.quality != Quality::Good),
        flow_artifact: u8::from(!exam.disease.flow.is_empty()),
        rv_lv_ratio_gte_1: u8::from(positive && dilated),
        rv_lv_ratio_lt_1: u8::from(positive && !dilated),
        leftsided_pe: u8::from(positive && truth.left),
        rightsided_pe: u8::from(positive && truth.right),
        chronic_pe: u8::from(positive && truth.age == Some(Age::Chronic)),
        acute_and_chronic_pe: u8::from(positive && truth.age == Some(Age::Both)),
        central_pe: u8::from(positive && truth.level.is_some_and(|level| level <= Level::Main)),
        indeterminate: u8::from(truth.indeterminate),
        ..SliceRow::default()
    }
}

fn truth(exam: &Exam, identifiers: &Identifiers, seen: &[SeenEmboli]) -> TruthRow {
    let truth = exam.truth();
    let scanner = &exam.scanner;
    TruthRow {
        exam: exam.recipe().index,
        study_instance_uid: identifiers.study.to_string(),
        series_instance_uid: identifiers.series.to_string(),
        patient_id: identifiers.patient.clone(),
        pe: u8::from(truth.pe()),
        indeterminate: u8::from(truth.indeterminate),
        side: side(&truth),
        most_proximal_level: truth.level.map_or("", Level::name),
        clots: exam.emboli.len(),
        clot_ml: seen.iter().map(|emboli| emboli.microlitres).sum::<u64>() as f64 / 1000.0,
        positive_slices: seen.iter().filter(|emboli| emboli.visible).count(),
        slices: seen.len(),
        confounders: exam.disease.names.join(";"),
        enhancement: match exam.quality {
            Quality::Good => "good",
            Quality::Poor => "poor",
            Quality::NonDiagnostic => "non-diagnostic",
        },
        pulmonary_hu: f64::from(exam.enhancement.pulmonary).round(),
        scanner: scanner.model,
        kernel: scanner.kernel,
        slice_thickness_mm: rounded(scanner.thickness, 100.0),
        slice_spacing_mm: rounded(scanner.spacing, 100.0),
        pixel_mm: rounded(scanner.pixel, 1e4),
        noise_hu: rounded(scanner.noise, 100.0),
        orientation: scanner.orientation.code(),
        twin_study_instance_uid: paired_study(exam.recipe()),
        site: exam.recipe().site.name(),
        chronic_clots: exam.emboli.iter().filter(|embolus| embolus.chronic).count(),
    }
}

fn side(truth: &Truth) -> &'static str {
    match (truth.left, truth.right) {
        (true, true) => "both",
        (true, false) => "left",
        (false, true) => "right",
        (false, false) => "",
    }
}

/// The study of the exam that differs in the emboli alone, or nothing.
fn paired_study(recipe: &Recipe) -> String {
    let study = |index| Identifiers::of(&Recipe { index, ..recipe.clone() }).study;
    recipe.paired_with.map_or_else(String::new, |index| study(index).to_string())
}

/// Rounded to a fraction of one: to hundredths for 100 `parts`.
fn rounded(value: f32, parts: f64) -> f64 {
    (f64::from(value) * parts).round() / parts
}
