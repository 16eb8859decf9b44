//! Tables on disk.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A table that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing the table {path}: {source}", path = path.display())]
pub struct TableError {
    path: PathBuf,
    source: csv::Error,
}

/// Writes a table under another name and renames it, so that no reader sees half of one. A table without rows still has
/// its header.
pub fn write_table<'a, T>(path: &Path, rows: impl IntoIterator<Item = &'a T>) -> Result<(), TableError>
where
    T: Serialize + Default + 'a,
{
    let draft = path.with_extension("csv.partial");
    encode(rows)
        .and_then(|table| Ok(fs::write(&draft, table)?))
        .and_then(|()| Ok(fs::rename(&draft, path)?))
        .map_err(|source| TableError { path: path.to_owned(), source })
}

fn encode<'a, T>(rows: impl IntoIterator<Item = &'a T>) -> Result<Vec<u8>, csv::Error>
where
    T: Serialize + Default + 'a,
{
    let mut rows = rows.into_iter().peekable();
    let mut writer = csv::Writer::from_writer(Vec::new());
    if rows.peek().is_none() {
        // The header is written with the first row: a default row is written and cut off.
        writer.serialize(T::default())?;
        let mut table = bytes(writer)?;
        let header = table.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        table.truncate(header);
        return Ok(table);
    }
    for row in rows {
        writer.serialize(row)?;
    }
    bytes(writer)
}

fn bytes(writer: csv::Writer<Vec<u8>>) -> Result<Vec<u8>, csv::Error> {
    writer.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cohort::columns::{self, place};
    use crate::cohort::{ExamRow, LevelRow, SliceRow, TruthRow};

    fn headers<T: Serialize + Default>() -> csv::StringRecord {
        let table = encode(&[] as &[T]).expect("columns");
        csv::Reader::from_reader(table.as_slice()).headers().expect("columns").clone()
    }

    #[test]
    fn tables_are_written_under_the_names_that_they_are_read_by() {
        let [slices, exams] = [headers::<SliceRow>(), headers::<ExamRow>()];
        for name in [
            columns::STUDY,
            columns::SERIES,
            columns::INSTANCE,
            columns::SLICE_LABEL,
            columns::EXAM_NEGATIVE,
            columns::INDETERMINATE,
            columns::RATIO_AT_LEAST_ONE,
            columns::RATIO_BELOW_ONE,
        ] {
            assert!(place(&slices, name).is_some(), "{name}");
        }
        assert_eq!(exams, vec![columns::STUDY, columns::SERIES, columns::EXAM_POSITIVE]);
    }

    #[test]
    fn the_levels_of_exams_are_read_from_the_table_of_the_truth() {
        let row = TruthRow { series_instance_uid: "1.2".into(), most_proximal_level: "lobar", ..TruthRow::default() };
        let table = encode(&[row]).expect("a table");
        let read: Vec<LevelRow> =
            csv::Reader::from_reader(table.as_slice()).deserialize().map(|row| row.expect("a row")).collect();
        assert_eq!(read, [LevelRow { series_instance_uid: "1.2".into(), most_proximal_level: "lobar".into() }]);
    }

    #[test]
    fn a_table_is_replaced_as_a_whole_and_has_a_header_without_rows() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("train.csv");
        write_table::<ExamRow>(&path, &[]).expect("written");
        assert_eq!(
            fs::read_to_string(&path).expect("table"),
            "StudyInstanceUID,SeriesInstanceUID,pe_present_in_exam\n"
        );
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1);
    }
}
