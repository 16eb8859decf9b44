//! Tables that a person can open.

use std::fs::File;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TrainError;
use super::files;
use super::step::Step;

/// A reader of the table at `path`.
pub(crate) fn reader(path: &Path) -> Result<csv::Reader<File>, TrainError> {
    let file = File::open(path).map_err(TrainError::file("opening", path))?;
    Ok(csv::Reader::from_reader(file))
}

/// A reader of a table whose rows may be of different lengths.
pub(crate) fn flexible_reader(path: &Path) -> Result<csv::Reader<File>, TrainError> {
    let file = File::open(path).map_err(TrainError::file("opening", path))?;
    Ok(csv::ReaderBuilder::new().flexible(true).from_reader(file))
}

/// A reader of a table whose first row may be a header or not, and whose rows may be of different lengths.
pub(crate) fn headless_reader(path: &Path) -> Result<csv::Reader<File>, TrainError> {
    let file = File::open(path).map_err(TrainError::file("opening", path))?;
    Ok(csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(file))
}

/// An error of the table's syntax, with its line.
pub(crate) fn error(path: &Path, error: &csv::Error) -> TrainError {
    TrainError::table(path, error.position().map(csv::Position::line), error.to_string())
}

/// Reads all rows; `step` is what makes the table.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, step: Step) -> Result<Vec<T>, TrainError> {
    if !path.is_file() {
        return Err(TrainError::StepMissing { path: path.to_owned(), step });
    }
    reader(path)?.deserialize().map(|row| row.map_err(|problem| error(path, &problem))).collect()
}

/// Writes all rows.
pub(crate) fn write<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), TrainError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row).map_err(|problem| error(path, &problem))?;
    }
    finish(path, writer)
}

/// Writes rows of cells below the names of their columns.
pub(crate) fn write_cells(path: &Path, columns: &[&str], rows: &[Vec<String>]) -> Result<(), TrainError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(columns).and_then(|()| rows.iter().try_for_each(|row| writer.write_record(row)));
    written.map_err(|problem| error(path, &problem))?;
    finish(path, writer)
}

fn finish(path: &Path, writer: csv::Writer<Vec<u8>>) -> Result<(), TrainError> {
    let bytes = writer.into_inner().map_err(|problem| TrainError::table(path, None, problem.to_string()))?;
    files::write_whole(path, &bytes)
}
