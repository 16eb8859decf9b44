//! A list of exams that are left out, as a site or another group keeps it.
//!
//! Each row names a study or a series in one of its cells; a header and further columns do not matter.

use std::collections::BTreeSet;
use std::path::Path;

use super::exam::Exam;
use crate::learn::train::{TrainError, table};

/// Rows of a list of exams that are left out.
pub(super) struct ExclusionList {
    rows: Vec<BTreeSet<String>>,
}

impl ExclusionList {
    pub(super) fn read(path: &Path) -> Result<Self, TrainError> {
        let mut reader = table::headless_reader(path)?;
        let cells = |record: csv::StringRecord| record.iter().map(|cell| cell.trim().to_owned()).collect();
        let rows = reader.records().map(|record| record.map(cells).map_err(|problem| table::error(path, &problem)));
        Ok(Self { rows: rows.collect::<Result<_, _>>()? })
    }

    /// Whether a row names the exam's study or series.
    pub(super) fn names(&self, exam: &Exam) -> bool {
        self.rows.iter().any(|row| row.contains(&exam.study) || row.contains(&exam.series))
    }

    /// Rows that name none of these exams; a header is one of them.
    pub(super) fn without_exam(&self, exams: &[Exam]) -> usize {
        let known: BTreeSet<&String> = exams.iter().flat_map(|exam| [&exam.study, &exam.series]).collect();
        self.rows.iter().filter(|row| !row.iter().any(|cell| known.contains(cell))).count()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }
}
