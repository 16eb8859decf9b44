//! Columns of `train.csv`, found by name and read cell by cell.

use csv::StringRecord;

/// Study Instance UID.
pub const STUDY: &str = "StudyInstanceUID";
/// Series Instance UID.
pub const SERIES: &str = "SeriesInstanceUID";
/// SOP Instance UID: a table that has it has labels of slices.
pub const INSTANCE: &str = "SOPInstanceUID";
/// 1 where a slice shows embolism, empty where the slice was not labelled.
pub const SLICE_LABEL: &str = "pe_present_on_image";
/// RSPECT's label of an exam: 1 where there is no embolism.
pub const EXAM_NEGATIVE: &str = "negative_exam_for_pe";
/// The label of an exam in tables without slices: 1 where there is embolism.
pub const EXAM_POSITIVE: &str = "pe_present_in_exam";
/// 1 where no reader could decide.
pub const INDETERMINATE: &str = "indeterminate";
/// 1 where the right ventricle is at least as wide as the left one.
pub const RATIO_AT_LEAST_ONE: &str = "rv_lv_ratio_gte_1";
/// 1 where the right ventricle is narrower than the left one.
pub const RATIO_BELOW_ONE: &str = "rv_lv_ratio_lt_1";

/// A cell that is neither 0, 1 nor empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{column} = `{cell}`: 0, 1 or nothing was expected")]
pub struct FlagError {
    column: String,
    cell: String,
}

/// The place of a column. Spreadsheet programs begin a table with a byte order mark.
pub fn place(headers: &StringRecord, name: &str) -> Option<usize> {
    headers.iter().position(|header| header.trim().trim_start_matches('\u{feff}') == name)
}

/// The cell of a column called `name`: 0, 1, or nothing for unlabelled.
pub fn flag(record: &StringRecord, place: usize, name: &str) -> Result<Option<bool>, FlagError> {
    match record.get(place).unwrap_or_default().trim() {
        "" => Ok(None),
        "0" => Ok(Some(false)),
        "1" => Ok(Some(true)),
        other => Err(FlagError { column: name.to_owned(), cell: other.to_owned() }),
    }
}
