//! Folders and files to studies and series.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use rayon::prelude::*;

use super::rejection::{Reason, Rejection};
use crate::dicom::Uid;
use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::elements::uid;

/// The files of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesFiles {
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: Uid,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: Uid,
    /// Its files, in the order of their paths.
    pub files: Vec<PathBuf>,
}

/// What was found under some paths.
#[derive(Debug, Default)]
pub struct Grouping {
    /// Series, in the order of study and series UID.
    pub series: Vec<SeriesFiles>,
    /// Files that look like DICOM and cannot be read or placed, with the reason.
    pub unreadable: Vec<(PathBuf, Rejection)>,
    /// Number of files that are not DICOM, and were passed over.
    pub ignored: usize,
}

/// Finds DICOM files among `paths` and in folders below them, and groups them by study and series. A path that does not
/// exist is listed as unreadable. Links are followed, and a folder that several paths lead to counts once.
pub fn group_by_series(paths: &[PathBuf], limits: &Limits) -> Grouping {
    let mut walk = Walk::default();
    for path in paths {
        walk.collect(path);
    }
    let Walk { mut files, unreadable, .. } = walk;
    let mut grouping = Grouping { unreadable, ..Grouping::default() };
    files.sort();
    files.dedup();
    let identities: Vec<Result<Option<(Uid, Uid)>, Rejection>> =
        files.par_iter().map(|path| identify(path, limits)).collect();
    let mut series: BTreeMap<(Uid, Uid), Vec<PathBuf>> = BTreeMap::new();
    for (path, identity) in files.into_iter().zip(identities) {
        match identity {
            Ok(Some(key)) => series.entry(key).or_default().push(path),
            Ok(None) => grouping.ignored += 1,
            Err(rejection) => grouping.unreadable.push((path, rejection)),
        }
    }
    grouping.series = series
        .into_iter()
        .map(|((study_instance_uid, series_instance_uid), files)| SeriesFiles {
            study_instance_uid,
            series_instance_uid,
            files,
        })
        .collect();
    grouping
}

/// A walk through folders.
#[derive(Default)]
struct Walk {
    files: Vec<PathBuf>,
    unreadable: Vec<(PathBuf, Rejection)>,
    /// Folders that were seen, by their path without links: a link may lead back to where it lies.
    seen: BTreeSet<PathBuf>,
}

impl Walk {
    fn collect(&mut self, path: &Path) {
        if let Err(error) = self.enter(path) {
            self.unreadable.push((path.to_owned(), Rejection::new(Reason::Unreadable, error.to_string())));
        }
    }

    fn enter(&mut self, path: &Path) -> std::io::Result<()> {
        let metadata = std::fs::metadata(path)?;
        if metadata.is_file() {
            self.files.push(path.to_owned());
        }
        if !metadata.is_dir() || !self.seen.insert(path.canonicalize()?) {
            return Ok(());
        }
        let mut entries: Vec<PathBuf> = std::fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
        // Sorted by name: which of two paths into a folder counts must not depend on the disk.
        entries.sort();
        for entry in entries {
            self.collect(&entry);
        }
        Ok(())
    }
}

/// Study and series of a file; `None` if it is not DICOM.
fn identify(path: &Path, limits: &Limits) -> Result<Option<(Uid, Uid)>, Rejection> {
    let claims_dicom = claims_dicom(path).map_err(ReadError::from)?;
    let object = match bounded::open(path, limits) {
        Ok(object) => object,
        Err(error) if claims_dicom => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    let identity = uid(&object, tags::STUDY_INSTANCE_UID).zip(uid(&object, tags::SERIES_INSTANCE_UID));
    match identity {
        Some(identity) => Ok(Some(identity)),
        None if claims_dicom => {
            Err(Rejection::new(Reason::Unreadable, "the object has no Study or no Series Instance UID"))
        }
        None => Ok(None),
    }
}

/// True if a file says by its name or by the magic word (PS3.10 7.1) that it is DICOM.
fn claims_dicom(path: &Path) -> std::io::Result<bool> {
    let named = path
        .extension()
        .and_then(OsStr::to_str)
        .is_some_and(|extension| ["dcm", "dicom", "ima"].iter().any(|known| extension.eq_ignore_ascii_case(known)));
    let mut start = Vec::with_capacity(132);
    std::fs::File::open(path)?.take(132).read_to_end(&mut start)?;
    Ok(named || start.get(128..) == Some(b"DICM"))
}

#[cfg(test)]
mod tests {
    use dicom_core::{DataElement, PrimitiveValue, VR};

    use super::super::testing::{LIMITS, SUPINE, geometry, test_data, volume, write_series};
    use super::*;

    #[test]
    fn a_folder_is_grouped_into_series_and_files_that_are_not_dicom_are_ignored() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let source = volume(geometry([8, 8, 4], [1.0, 1.0, 1.0], SUPINE), |_| 0.0);
        for series in ["1.2.3.4", "1.2.3.9"] {
            let inner = folder.path().join("study").join(series);
            std::fs::create_dir_all(&inner).expect("folder");
            write_series(&source, &inner, |_, object| {
                object.put(DataElement::new(tags::SERIES_INSTANCE_UID, VR::UI, PrimitiveValue::from(series)));
            });
        }
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("notes.txt"), "no DICOM").expect("write");
        std::fs::write(path("empty"), "").expect("write");
        std::fs::write(path("rubbish.dcm"), "no DICOM either").expect("write");
        let whole = std::fs::read(path("study/1.2.3.4/000.dcm")).expect("read");
        std::fs::write(path("cut"), &whole[..whole.len() - 20]).expect("write");

        let absent = path("absent");
        // A path given twice counts once.
        let grouping = group_by_series(&[path(""), path("study"), absent.clone()], &LIMITS);
        let series: Vec<(&str, usize)> =
            grouping.series.iter().map(|series| (series.series_instance_uid.as_str(), series.files.len())).collect();
        assert_eq!(series, [("1.2.3.4", 4), ("1.2.3.9", 4)]);
        assert_eq!(grouping.ignored, 2);
        let unreadable: Vec<(PathBuf, Reason)> =
            grouping.unreadable.into_iter().map(|(path, rejection)| (path, rejection.reason)).collect();
        assert_eq!(
            unreadable,
            [(absent, Reason::Unreadable), (path("cut"), Reason::Truncated), (path("rubbish.dcm"), Reason::Unreadable)]
        );
    }

    #[cfg(unix)]
    #[test]
    fn linked_folders_are_read_once_and_a_cycle_of_links_ends() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = |name: &str| folder.path().join(name);
        let source = volume(geometry([8, 8, 4], [1.0, 1.0, 1.0], SUPINE), |_| 0.0);
        std::fs::create_dir_all(path("elsewhere/study")).expect("folder");
        std::fs::create_dir(path("cohort")).expect("folder");
        write_series(&source, &path("elsewhere/study"), |_, _| ());
        for (target, link) in [("elsewhere/study", "cohort/a"), ("elsewhere", "cohort/b"), ("cohort", "cohort/back")] {
            std::os::unix::fs::symlink(path(target), path(link)).expect("link");
        }
        let grouping = group_by_series(&[path("cohort")], &LIMITS);
        let files: Vec<usize> = grouping.series.iter().map(|series| series.files.len()).collect();
        assert_eq!((files, grouping.unreadable.len()), (vec![4], 0));
    }

    #[test]
    fn hostile_files_are_listed_as_such() {
        let Some(folder) = test_data("hostile") else { return };
        let grouping = group_by_series(&[folder], &LIMITS);
        assert_eq!(grouping.series, []);
        let reasons: Vec<Reason> = grouping.unreadable.iter().map(|(_, rejection)| rejection.reason).collect();
        assert!(reasons.iter().all(|reason| [Reason::Hostile, Reason::Truncated].contains(reason)), "{reasons:?}");
        assert_eq!(reasons.len(), 2);
    }
}
