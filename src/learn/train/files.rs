//! Files that steps read and write: DICOM files of a cohort, tables, digests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use sha2::{Digest, Sha256};

use super::TrainError;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::{elements, hexadecimal};
use crate::engine::volume::group_by_series;

/// What files of a cohort may claim: training reads what a user collected, yet a broken file must not end the machine.
pub(crate) const LIMITS: Limits = Limits { object_mib: 1024, depth: 64, elements: 200_000, pixels: 2_147_483_648 };

/// The DICOM files of each series of a cohort.
pub(crate) struct CohortFiles(BTreeMap<String, Vec<PathBuf>>);

impl CohortFiles {
    /// Finds the files of the wanted `(study, series)` pairs: in `ROOT/train/STUDY/SERIES` where that folder exists,
    /// anywhere below `ROOT/train` otherwise.
    pub(crate) fn find<'a>(root: &Path, wanted: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, TrainError> {
        let images = root.join("train");
        let mut files = BTreeMap::new();
        let mut elsewhere = false;
        for (study, series) in wanted {
            let folder = images.join(study).join(series);
            if !folder.is_dir() {
                elsewhere = true;
                continue;
            }
            let listing = std::fs::read_dir(&folder).map_err(TrainError::file("listing", &folder))?;
            let mut paths: Vec<PathBuf> = listing.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
            paths.sort();
            files.insert(series.to_owned(), paths);
        }
        if elsewhere {
            for series in group_by_series(&[images], &LIMITS).series {
                files.entry(series.series_instance_uid.to_string()).or_insert(series.files);
            }
        }
        Ok(Self(files))
    }

    /// The files of a series, in the order of their names.
    pub(crate) fn series(&self, series: &str) -> Option<&[PathBuf]> {
        self.0.get(series).map(Vec::as_slice)
    }

    /// A digest that stands for the patient of a series; the study where the images name none. The error says
    /// why the series cannot be used.
    pub(crate) fn patient(&self, series: &str) -> Result<String, String> {
        let files = self.series(series).filter(|files| !files.is_empty()).ok_or("the series has no files")?;
        let object = files.iter().find_map(|path| bounded::open(path, &LIMITS).ok());
        let object = object.ok_or("no file of the series can be read")?;
        let patient = elements::text(&object, tags::PATIENT_ID);
        let study = || elements::text(&object, tags::STUDY_INSTANCE_UID).unwrap_or_else(|| series.to_owned());
        let digest = digest(patient.unwrap_or_else(study).as_bytes());
        Ok(digest[..16].to_owned())
    }
}

/// SHA-256 as lower-case hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), TrainError> {
    std::fs::create_dir_all(path).map_err(TrainError::file("creating", path))
}

/// Writes a file beside its place and renames it, so that nothing half-written is taken for whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    std::fs::write(&partial, bytes).map_err(TrainError::file("writing", &partial))?;
    std::fs::rename(&partial, path).map_err(TrainError::file("renaming", &partial))
}

/// Tables that a person can open.
pub(crate) mod table {
    use std::fs::File;
    use std::path::Path;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::super::TrainError;

    /// A reader of the table at `path`.
    pub(crate) fn reader(path: &Path) -> Result<csv::Reader<File>, TrainError> {
        let file = File::open(path).map_err(TrainError::file("opening", path))?;
        Ok(csv::Reader::from_reader(file))
    }

    /// An error of the table's syntax, with its line.
    pub(crate) fn error(path: &Path, error: &csv::Error) -> TrainError {
        TrainError::table(path, error.position().map(csv::Position::line), error.to_string())
    }

    /// Reads all rows; `step` is what makes the table.
    pub(crate) fn read<T: DeserializeOwned>(path: &Path, step: &'static str) -> Result<Vec<T>, TrainError> {
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
        let bytes = writer.into_inner().map_err(|problem| TrainError::table(path, None, problem.to_string()))?;
        super::write_whole(path, &bytes)
    }
}
