//! Exams and slices as they are listed, and those that are left out.

use serde::{Deserialize, Serialize};

use super::targets::TargetLabels;

/// Which of the configured cohorts an exam comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cohort {
    /// `data.root`.
    Main,
    /// `data.validation_root`.
    Validation,
    /// `data.test_root`.
    Test,
}

/// One exam of the table `exams.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exam {
    /// Study Instance UID.
    pub(crate) study: String,
    /// Series Instance UID.
    pub(crate) series: String,
    /// Digest that stands for the patient.
    pub(crate) patient: String,
    /// Cohort that it comes from.
    pub(crate) cohort: Cohort,
    /// Labels of the exam as a whole.
    pub(crate) targets: TargetLabels,
    /// Slices of the series in the table.
    pub(crate) slices: usize,
    /// Slices that carry a label.
    pub(crate) labelled_slices: usize,
    /// Slices labelled positive.
    pub(crate) positive_slices: usize,
    /// Folder of the cohort.
    pub(crate) root: String,
}

impl Exam {
    /// Embolism in the exam.
    pub(crate) fn embolism(&self) -> bool {
        self.targets.embolism()
    }
}

/// One row of a table of exclusions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exclusion {
    /// Series Instance UID, or the study's where there is none.
    pub(crate) series: String,
    /// Step that excluded it.
    pub(crate) step: String,
    /// Why.
    pub(crate) reason: String,
}

impl Exclusion {
    pub(crate) fn new(step: &str, series: &str, reason: impl Into<String>) -> Self {
        Self { series: series.to_owned(), step: step.to_owned(), reason: reason.into() }
    }
}

/// One row of `slices.csv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SliceLabel {
    /// Series Instance UID.
    pub(crate) series: String,
    /// SOP Instance UID.
    pub(crate) instance: String,
    /// Embolism on the slice, 1 or 0; empty where unlabelled.
    pub(crate) embolism: Option<u8>,
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// An exam of ten labelled slices.
    pub(crate) fn exam(index: usize, patient: &str, embolism: bool) -> Exam {
        Exam {
            study: format!("1.{index}"),
            series: format!("2.{index}"),
            patient: patient.to_owned(),
            cohort: Cohort::Main,
            targets: TargetLabels::of_embolism(embolism),
            slices: 10,
            labelled_slices: 10,
            positive_slices: 0,
            root: String::new(),
        }
    }
}
