//! Hostile text as a table of labels.

use super::table;
use crate::dicom::fuzzing::written;

/// A table of labels, of slices or of exams.
pub(crate) fn labels(bytes: &[u8]) {
    let _ = table::read(written(bytes, "csv").path());
}
