//! What can be wrong with a table of labels.

use crate::cohort::columns::FlagError;

/// What is wrong with a row of a table of labels, or with its header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowError {
    #[error("the column `{0}` is missing")]
    MissingColumn(&'static str),
    #[error("one of the columns `pe_present_in_exam` and `mask` is needed")]
    NoLabelColumn,
    #[error("{found} cells, {expected} were expected")]
    Cells { found: usize, expected: usize },
    #[error("the row names no exam")]
    NoExam,
    #[error("the row names no study")]
    NoStudy,
    #[error("the row has neither a label nor a mask")]
    NoLabel,
    #[error(transparent)]
    Flag(#[from] FlagError),
    #[error("{0} is empty: 0 or 1 was expected")]
    Empty(&'static str),
    #[error("the exam is indeterminate, neither positive nor negative")]
    Indeterminate,
    #[error("the ratio of the ventricles is both below one and at least one")]
    VentricleRatio,
    #[error("the exam's labels differ from those in its earlier rows")]
    OtherExamLabels,
    #[error("the row has a slice label and no SOPInstanceUID")]
    NoInstance,
    #[error("the SOP instance has another label in an earlier row")]
    OtherSliceLabel,
    #[error("the SOP instance is listed twice")]
    Repeated,
}

/// What is wrong with a row, with its line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {error}")]
pub(crate) struct RowProblem {
    pub(crate) line: u64,
    pub(crate) error: RowError,
}
