use std::collections::BTreeSet;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use jiff::Timestamp;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::StorageConfig;
use crate::dicom::SeriesId;
use crate::engine::pipeline::{AnalysisSummary, testing};
use crate::engine::volume::{Reason, Rejection};
use crate::node::archive::testing::{open, slice, storage, uid};
use crate::node::archive::{Archive, ArchiveReader};
use crate::node::queue::Selection;

/// A running node: series `1.1.1` (3 slices) and `1.1.2` (2) of study `1.1` analysed, that of `1.2` rejected, that of
/// `1.3` not complete.
struct Running {
    folder: tempfile::TempDir,
    config: StorageConfig,
    archive: Archive,
}

impl Running {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let config = storage(&folder.path().join("archive"));
        let archive = open(&config).await;
        let store = archive.index();
        for (study, series, slices, analysed) in [
            ("1.1", "1.1.1", 3, Some(true)),
            ("1.1", "1.1.2", 2, Some(true)),
            ("1.2", "1.2.1", 2, Some(false)),
            ("1.3", "1.3.1", 2, None),
        ] {
            let mut members = Vec::new();
            for number in 1..=slices {
                let accession = format!("ACC-{study}");
                let object = slice(study, series, number, &[(tags::ACCESSION_NUMBER, VR::SH, &accession)]);
                archive.store(object).await.expect("store");
                members.push((uid(&format!("{series}.{number}")), format!("{number:064}")));
            }
            if let Some(analysed) = analysed {
                let now = Timestamp::now();
                let (revision, selection) = (i64::from(slices), Selection::Analyse(members));
                store.decide(&SeriesId::new(uid(study), uid(series)), revision, &selection, now).await.expect("decide");
                let job = store.claim(now).await.expect("claim").expect("due");
                store.finish(&job, &summary(analysed), &[], now).await.expect("finish");
            }
        }
        Self { folder, config, archive }
    }

    async fn export(&self, labels: &str, include_rejected: bool, copy: bool) -> (Exported, PathBuf) {
        let (table, out) = (self.folder.path().join("labels.csv"), self.folder.path().join("out"));
        fs::write(&table, labels).expect("write");
        let export = Export { labels: table, out: out.clone(), include_rejected, copy };
        let reader = ArchiveReader::open(&self.config).await.expect("beside the running node");
        (export.run(&reader, |_| ()).await.expect("exported"), out)
    }
}

fn summary(analysed: bool) -> AnalysisSummary {
    let rejection = Rejection { reason: Reason::NoContrast, explanation: String::new() };
    if analysed { testing::analysed(|_| ()) } else { testing::rejected(vec![rejection]) }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let listing = fs::read_dir(folder).expect("listing").flatten();
    listing.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

const LABELS: &str = "AccessionNumber,StudyInstanceUID,pe_present_in_exam\nacc-1.1,,1\n,1.2,0\n,1.3,0\n,9.9,1\n,1.1,1\n\
                      ACC-7,,1\n,nonsense,1\n";

#[tokio::test]
async fn a_study_becomes_a_folder_and_a_row_and_every_other_row_an_exclusion_with_its_line() {
    let node = Running::new().await;
    for copy in [false, true] {
        // The second export finds the files of the first, which is harmless.
        let (exported, out) = node.export(LABELS, false, copy).await;
        assert_eq!(exported, Exported { exams: 1, positive: 1, slices: 3, excluded: 6 });
        let table = fs::read_to_string(out.join("train.csv")).expect("table");
        assert_eq!(table, "StudyInstanceUID,SeriesInstanceUID,pe_present_in_exam\n1.1,1.1.1,1\n");
        let series = out.join("train/1.1/1.1.1");
        assert_eq!(names(&series), ["1.1.1.1.dcm", "1.1.1.2.dcm", "1.1.1.3.dcm"].map(str::to_owned).into());
        assert_eq!(names(&out), ["exclusions.csv", "train", "train.csv"].map(str::to_owned).into());
        let exclusions = fs::read_to_string(out.join("exclusions.csv")).expect("exclusions");
        let rows: Vec<&str> = exclusions.lines().collect();
        let expected = [
            ("3,1.2,", "rejected (no-contrast)"),
            ("4,1.3,", "complete yet"),
            ("5,9.9,", "does not have the study"),
            ("6,1.1,", "on line 2 already"),
            ("7,ACC-7,", "no study in the archive has the accession number"),
            ("8,nonsense,", "nonsense"),
        ];
        assert_eq!(rows.len(), 1 + expected.len(), "{exclusions}");
        for (row, (begin, reason)) in rows[1..].iter().zip(expected) {
            assert!(row.starts_with(begin) && row.contains(reason), "{row}");
        }
    }
}

#[tokio::test]
async fn rejected_series_are_exported_on_demand_and_an_interrupted_export_is_completed() {
    let node = Running::new().await;
    let (exported, out) = node.export("StudyInstanceUID,label\n1.2,0\n1.1,1\n", true, true).await;
    assert_eq!((exported.exams, exported.positive, exported.slices), (2, 1, 5));
    let series = out.join("train/1.2/1.2.1");
    fs::remove_file(series.join("1.2.1.2.dcm")).expect("remove");
    fs::create_dir_all(out.join("train/1.2/.partial-1.2.1")).expect("folder");
    node.export("StudyInstanceUID,label\n1.2,0\n1.1,1\n", true, true).await;
    assert_eq!(names(&series).len(), 2);
    assert_eq!(names(&out.join("train/1.2")), ["1.2.1".to_owned()].into());
}

#[tokio::test]
async fn a_series_whose_slices_still_arrive_is_not_complete() {
    let node = Running::new().await;
    let labels = "StudyInstanceUID,label\n1.1,1\n";
    node.archive.store(slice("1.1", "1.1.1", 4, &[])).await.expect("store");
    let (exported, out) = node.export(labels, false, true).await;
    assert_eq!((exported.exams, exported.slices), (1, 2), "the other series");
    assert_eq!(names(&out.join("train/1.1")), ["1.1.2".to_owned()].into());
    node.archive.store(slice("1.1", "1.1.2", 3, &[])).await.expect("store");
    let (exported, out) = node.export(labels, false, true).await;
    assert_eq!((exported.exams, exported.excluded), (0, 1));
    let exclusions = fs::read_to_string(out.join("exclusions.csv")).expect("exclusions");
    assert!(exclusions.contains("2,1.1,") && exclusions.contains("complete yet"), "{exclusions}");
}

#[tokio::test]
async fn there_must_be_an_archive() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let error = ArchiveReader::open(&storage(folder.path())).await.expect_err("none").to_string();
    assert!(error.contains("storage.path"), "{error}");
    assert!(names(folder.path()).is_empty(), "nothing was made");
}
