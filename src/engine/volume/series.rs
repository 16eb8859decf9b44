//! Folders and files to studies and series.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use rayon::prelude::*;

use super::rejection::{Reason, Rejection};
use super::slice_header::{identifier, sop_class_of};
use crate::dicom::bounded::{self, Limits, ReadError};
use crate::dicom::elements::DataSet;
use crate::dicom::{ObjectKind, Uid};

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
    /// Series with images, in the order of study and series UID.
    pub series: Vec<SeriesFiles>,
    /// Files that look like DICOM and cannot be read or placed, with the reason.
    pub unreadable: Vec<(PathBuf, Rejection)>,
    /// Number of files that are not DICOM, and were passed over.
    pub ignored: usize,
    /// Number of DICOM objects that belong to no image, and were passed over: directories, reports, segmentations.
    pub no_images: usize,
}

impl Grouping {
    /// What cannot be read, one entry a cause: the first of its files, how many there are, and why.
    pub fn unreadable_by_cause(&self) -> Vec<(&Path, usize, &Rejection)> {
        let mut causes: Vec<(&Path, usize, &Rejection)> = Vec::new();
        for (path, rejection) in &self.unreadable {
            match causes.iter_mut().find(|(_, _, known)| *known == rejection) {
                Some((_, count, _)) => *count += 1,
                None => causes.push((path, 1, rejection)),
            }
        }
        causes
    }
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
    let identities: Vec<Result<Identity, Rejection>> = files.par_iter().map(|path| identify(path, limits)).collect();
    let mut series: BTreeMap<(Uid, Uid), Vec<(PathBuf, ObjectKind)>> = BTreeMap::new();
    for (path, identity) in files.into_iter().zip(identities) {
        match identity {
            Ok(Identity::OfSeries(study, one, kind)) => series.entry((study, one)).or_default().push((path, kind)),
            Ok(Identity::NoImage) => grouping.no_images += 1,
            Ok(Identity::NotDicom) => grouping.ignored += 1,
            Err(rejection) => grouping.unreadable.push((path, rejection)),
        }
    }
    for ((study_instance_uid, series_instance_uid), files) in series {
        if files.iter().all(|(_, kind)| *kind == ObjectKind::NoImage) {
            grouping.no_images += files.len();
            continue;
        }
        let files = files.into_iter().map(|(path, _)| path).collect();
        grouping.series.push(SeriesFiles { study_instance_uid, series_instance_uid, files });
    }
    grouping
}

/// What a file is.
enum Identity {
    /// An object of a series (study, series).
    OfSeries(Uid, Uid, ObjectKind),
    /// A DICOM object that is of no series with images.
    NoImage,
    /// No DICOM.
    NotDicom,
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

/// What a file is. Pixel data need not be whole: who reads the series reports that, and knows whose slice it was.
fn identify(path: &Path, limits: &Limits) -> Result<Identity, Rejection> {
    let claims_dicom = claims_dicom(path).map_err(ReadError::from)?;
    let object = match bounded::open_header(path, limits) {
        Ok(object) => object,
        Err(error) if claims_dicom => return Err(error.into()),
        Err(_) => return Ok(Identity::NotDicom),
    };
    let header: &DataSet = &object;
    // Where the class is not known, whoever reads the object says so.
    let kind = sop_class_of(&object).as_ref().map_or(ObjectKind::OtherImage, ObjectKind::of);
    let study = identifier(header, tags::STUDY_INSTANCE_UID, "Study Instance UID");
    let series = identifier(header, tags::SERIES_INSTANCE_UID, "Series Instance UID");
    match (study, series) {
        (Ok(study), Ok(series)) => Ok(Identity::OfSeries(study, series, kind)),
        _ if kind == ObjectKind::NoImage => Ok(Identity::NoImage),
        (study, series) if claims_dicom => {
            let problems: Vec<String> = [study.err(), series.err()].into_iter().flatten().collect();
            Err(Rejection::new(Reason::Unreadable, problems.join("; ")))
        }
        _ => Ok(Identity::NotDicom),
    }
}

/// True if a file says by its name or by the magic word (PS3.10 7.1) that it is DICOM. Names that begin with a dot say
/// nothing: file managers write such files beside others, with their names.
fn claims_dicom(path: &Path) -> std::io::Result<bool> {
    let hidden = path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with('.'));
    let named = path
        .extension()
        .and_then(OsStr::to_str)
        .is_some_and(|extension| ["dcm", "dicom", "ima"].iter().any(|known| extension.eq_ignore_ascii_case(known)));
    let mut start = Vec::with_capacity(132);
    std::fs::File::open(path)?.take(132).read_to_end(&mut start)?;
    Ok((named && !hidden) || start.get(128..) == Some(b"DICM"))
}

#[cfg(test)]
mod tests {
    use dicom_core::{DataElement, PrimitiveValue, VR};
    use dicom_dictionary_std::uids;

    use super::super::testing::{LIMITS, SUPINE, ct_image, geometry, test_data, volume, write, write_series};
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
        std::fs::write(path("._000.dcm"), "what a file manager knows of a file").expect("write");
        std::fs::write(path("rubbish.dcm"), "no DICOM either").expect("write");
        std::fs::write(path("more rubbish.dcm"), "no DICOM either").expect("write");
        let whole = std::fs::read(path("study/1.2.3.4/000.dcm")).expect("read");
        std::fs::write(path("cut"), &whole[..whole.len() - 20]).expect("write");
        std::fs::write(path("cut off"), &whole[..200]).expect("write");

        let absent = path("absent");
        // A path given twice counts once.
        let grouping = group_by_series(&[path(""), path("study"), absent.clone()], &LIMITS);
        let series: Vec<(&str, usize)> =
            grouping.series.iter().map(|series| (series.series_instance_uid.as_str(), series.files.len())).collect();
        assert_eq!(series, [("1.2.3.4", 5), ("1.2.3.9", 4)], "a slice whose pixels are cut off is known by its header");
        assert_eq!(grouping.ignored, 3);
        let causes: Vec<(&Path, usize, Reason)> = grouping
            .unreadable_by_cause()
            .into_iter()
            .map(|(path, files, rejection)| (path, files, rejection.reason))
            .collect();
        assert_eq!(
            causes,
            [
                (absent.as_path(), 1, Reason::Unreadable),
                (path("cut off").as_path(), 1, Reason::Truncated),
                (path("more rubbish.dcm").as_path(), 2, Reason::Unreadable)
            ]
        );
    }

    #[test]
    fn objects_that_are_no_images_are_counted_unless_they_lie_in_a_series_of_images() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let source = volume(geometry([8, 8, 4], [1.0, 1.0, 1.0], SUPINE), |_| 0.0);
        write_series(&source, folder.path(), |_, _| ());
        let other = |name: &str, class: &str, series: Option<&str>| {
            let object = ct_image(&source, 0, |object| {
                let text = |tag, value: &str| DataElement::new(tag, VR::UI, PrimitiveValue::from(value));
                object.put(text(tags::SOP_CLASS_UID, class));
                match series {
                    Some(series) => drop(object.put(text(tags::SERIES_INSTANCE_UID, series))),
                    None => drop(object.take_element(tags::SERIES_INSTANCE_UID)),
                }
            });
            write(object, &folder.path().join(name));
        };
        other("DICOMDIR", uids::MEDIA_STORAGE_DIRECTORY_STORAGE, None);
        other("report", uids::COMPREHENSIVE3_DSR_STORAGE, Some("1.2.3.7"));
        other("page", uids::SECONDARY_CAPTURE_IMAGE_STORAGE, Some("1.2.3.4"));
        let grouping = group_by_series(&[folder.path().to_owned()], &LIMITS);
        assert_eq!((grouping.series.len(), grouping.series[0].files.len()), (1, 5));
        assert_eq!((grouping.no_images, grouping.ignored, grouping.unreadable.len()), (2, 0, 0));
    }

    #[test]
    fn an_identifier_of_other_characters_is_not_called_missing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let source = volume(geometry([8, 8, 4], [1.0, 1.0, 1.0], SUPINE), |_| 0.0);
        write_series(&source, folder.path(), |_, object| {
            let guid = PrimitiveValue::from("{3F2504E0-4F89-11D3-9A0C-0305E82C3301}");
            object.put(DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, guid));
        });
        let grouping = group_by_series(&[folder.path().to_owned()], &LIMITS);
        let causes = grouping.unreadable_by_cause();
        assert_eq!((causes.len(), causes[0].1), (1, 4));
        let explanation = &causes[0].2.explanation;
        assert!(explanation.contains("Study Instance UID (0020,000D) is not usable"), "{explanation}");
        assert!(explanation.contains("letters and digits"), "{explanation}");
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
