//! Files that steps read and write: DICOM files of a cohort, tables, digests.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::TrainError;
use crate::cohort::Layout;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::{elements, hexadecimal};
use crate::engine::volume::group_by_series;

/// Limits on what files of a cohort declare: training reads what a user collected, yet a broken file must not exhaust
/// the machine.
pub(crate) const LIMITS: Limits = Limits { object_mib: 1024, depth: 64, elements: 200_000, pixels: 2_147_483_648 };

/// Files of a series that are tried for its patient: one may be broken, but not all of them.
const TRIED: usize = 5;

/// Why a series of a cohort cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SeriesError {
    /// A study is named, and none of its series is there.
    #[error("the study has no files")]
    NoneOfStudy,
    /// A study is named, and it is not clear which of its series is meant.
    #[error("two series of the study have {files} files each: name one in SeriesInstanceUID")]
    Ambiguous {
        /// Files of each.
        files: usize,
    },
    /// The series is not there.
    #[error("the series has no files")]
    Empty,
    /// None of the files that were tried can be read.
    #[error("its first {tried} files cannot be read; {reason}")]
    Unreadable {
        /// How many were tried.
        tried: usize,
        /// The first of them, and what is wrong with it.
        reason: String,
    },
}

/// The DICOM files of each series of a cohort.
#[derive(Debug, Default)]
pub(crate) struct CohortFiles {
    series: BTreeMap<String, Vec<PathBuf>>,
    /// Series of the studies that were asked for without naming one.
    studies: BTreeMap<String, Vec<String>>,
}

impl CohortFiles {
    /// Finds the files of the wanted `(study, series)` pairs: in `ROOT/train/STUDY/SERIES` if any of them lies there,
    /// else anywhere below `ROOT/train`, by reading every file. A series may be empty: all series of the study are
    /// wanted, in `ROOT/train/STUDY` or else anywhere. Images may lie in `ROOT` itself where there is no `ROOT/train`.
    pub(crate) fn find<'a>(root: &Path, wanted: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, TrainError> {
        let images = Some(Layout::below(root).images()).filter(|path| path.is_dir()).unwrap_or_else(|| root.to_owned());
        let mut files = Self::default();
        let (mut studies, mut missing, mut scattered) = (Vec::new(), false, false);
        for (study, series) in wanted {
            let folder = images.join(study).join(series);
            match (series, folder.is_dir()) {
                ("", true) => studies.push(folder),
                ("", false) => scattered = true,
                (_, true) => drop(files.series.insert(series.to_owned(), listed(&folder)?)),
                (_, false) => missing = true,
            }
        }
        // Where some series have folders of their own, the others are missing: a whole cohort need not be read for
        // them.
        if scattered || (missing && files.series.is_empty()) {
            studies = vec![images];
        }
        for found in group_by_series(&studies, &LIMITS).series {
            let (study, series) = (found.study_instance_uid.to_string(), found.series_instance_uid.to_string());
            files.studies.entry(study).or_default().push(series.clone());
            files.series.entry(series).or_insert(found.files);
        }
        Ok(files)
    }

    /// The files of a series, in the order of their names.
    pub(crate) fn series(&self, series: &str) -> Option<&[PathBuf]> {
        self.series.get(series).map(Vec::as_slice)
    }

    /// The series of a study with the most files, where a table names the study alone.
    pub(crate) fn largest_series(&self, study: &str) -> Result<&str, SeriesError> {
        let count = |series: &str| self.series(series).map_or(0, <[PathBuf]>::len);
        let mut found: Vec<&str> = self.studies.get(study).into_iter().flatten().map(String::as_str).collect();
        found.sort_by_key(|series| std::cmp::Reverse(count(series)));
        match found[..] {
            [] => Err(SeriesError::NoneOfStudy),
            [first, second, ..] if count(first) == count(second) => Err(SeriesError::Ambiguous { files: count(first) }),
            [first, ..] => Ok(first),
        }
    }

    /// The digest that stands for the patient of a series.
    pub(crate) fn patient(&self, series: &str) -> Result<String, SeriesError> {
        let files = self.series(series).filter(|files| !files.is_empty()).ok_or(SeriesError::Empty)?;
        let mut reason = String::new();
        for path in files.iter().take(TRIED) {
            match bounded::open_header(path, &LIMITS) {
                Ok(image) => return Ok(patient_of(&image, series)),
                Err(error) if reason.is_empty() => {
                    reason = format!("{}: {error}", path.file_name().unwrap_or_default().display());
                }
                Err(_) => {}
            }
        }
        Err(SeriesError::Unreadable { tried: files.len().min(TRIED), reason })
    }
}

/// The files in a folder, in the order of their names.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let listing = std::fs::read_dir(folder).map_err(TrainError::file("listing", folder))?;
    let mut paths: Vec<PathBuf> = listing.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    Ok(paths)
}

/// A digest that stands for the patient of an image of a series; for the study where it names no patient.
pub(crate) fn patient_of(image: &InMemDicomObject, series: &str) -> String {
    let patient = elements::text(image, tags::PATIENT_ID);
    let study = || elements::text(image, tags::STUDY_INSTANCE_UID).unwrap_or_else(|| series.to_owned());
    short_digest(&patient.unwrap_or_else(study))
}

/// A digest long enough to distinguish the patients of a cohort.
pub(crate) fn short_digest(text: &str) -> String {
    digest(text.as_bytes())[..16].to_owned()
}

/// SHA-256 as lower-case hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// What distinguishes a file from one that replaced it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FileState {
    bytes: u64,
    /// Time of its last change.
    changed_nanoseconds: u64,
}

impl FileState {
    /// The state of a file now; `None` if there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        Some(Self { bytes: metadata.len(), changed_nanoseconds: changed.unwrap_or_default().as_nanos() as u64 })
    }
}

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), TrainError> {
    std::fs::create_dir_all(path).map_err(TrainError::file("creating", path))
}

/// Writes a file under another name and renames it: no half-written file is taken for a whole one. Several processes
/// may write the same file: each has a temporary file of its own, and the last one renamed stays.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folder(folder)?;
    let failed = || TrainError::file("writing", path);
    let readable = std::fs::Permissions::from_mode(0o666);
    let partial = tempfile::Builder::new().prefix(".partial-").permissions(readable).tempfile_in(folder);
    let mut partial = partial.map_err(failed())?;
    partial.write_all(bytes).map_err(failed())?;
    partial.persist(path).map_err(|error| failed()(error.error))?;
    Ok(())
}
