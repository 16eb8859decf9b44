//! Why an exam is not exported.

use serde::Serialize;

use super::error::ExportError;
use crate::dicom::Uid;
use crate::dicom::uid::UidError;
use crate::node::store::StoreError;

/// A row of the table of labels that could not be exported: a row of `exclusions.csv`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Exclusion {
    /// Its line in the table of labels.
    pub line: u64,
    /// The exam as that row names it.
    pub exam: String,
    /// Why.
    pub reason: String,
}

impl Exclusion {
    pub(super) fn new(line: u64, exam: &str, reason: &ExclusionReason) -> Self {
        Self { line, exam: exam.to_owned(), reason: reason.to_string() }
    }
}

/// Why an exam is not exported.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExclusionReason {
    #[error("the label is `{0}`: 0 or 1 was expected")]
    Label(String),
    #[error("the row names no exam")]
    NoExam,
    #[error("the labels on the lines {} contradict each other", .0.iter().map(u64::to_string).collect::<Vec<_>>().join(", "))]
    Contradiction(Vec<u64>),
    #[error("the exam is listed on line {0} already")]
    Repeated(u64),
    #[error(transparent)]
    StudyUid(#[from] UidError),
    #[error("no study in the archive has the accession number")]
    UnknownAccession,
    #[error("{0} studies have the accession number")]
    AmbiguousAccession(usize),
    #[error("the archive does not have the study")]
    UnknownStudy,
    #[error("no series of the study is complete yet, or none has CT images")]
    NoSeries,
    #[error("no series of the study was analysed: {0}")]
    NotAnalysed(String),
    #[error("the archive no longer has the image {0}")]
    LostImage(Uid),
}

/// Why an exam was not exported: it is left out, or nothing can be exported.
#[derive(Debug)]
pub(super) enum ExamError {
    Excluded(ExclusionReason),
    Failed(ExportError),
}

impl From<ExclusionReason> for ExamError {
    fn from(reason: ExclusionReason) -> Self {
        Self::Excluded(reason)
    }
}

impl From<ExportError> for ExamError {
    fn from(error: ExportError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for ExamError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}
