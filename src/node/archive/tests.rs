use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::Tag;

use super::testing::{archive, open, slice, storage, uid};
use super::*;
use crate::config::StorageConfig;
use crate::dicom::elements::{integer, text, texts};
use crate::node::store::BlobName;

async fn reopen(folder: &Path, archive: Archive) -> Archive {
    archive.close().await;
    drop(archive);
    open(&storage(folder)).await
}

fn files(folder: &Path) -> usize {
    let shards = std::fs::read_dir(folder.join("blobs")).expect("blobs");
    shards.map(|shard| std::fs::read_dir(shard.expect("shard").path()).expect("list").count()).sum()
}

fn query(matching: &[(Tag, &str)]) -> Query {
    Query { matching: matching.iter().map(|(tag, text)| (*tag, (*text).to_owned())).collect(), ..Query::default() }
}

async fn found(archive: &Archive, level: Level, matching: &[(Tag, &str)], shown: Tag) -> Vec<String> {
    let answers = archive.find(level, &query(matching)).await.expect("find");
    answers.iter().map(|answer| text(answer, shown).unwrap_or_default()).collect()
}

#[tokio::test]
async fn an_object_is_stored_once_as_received() {
    let (folder, archive) = archive().await;
    let object = slice("1.1", "1.2", 1, &[]);
    assert_eq!(archive.store(object.clone()).await.expect("store"), Stored::New);
    assert_eq!(archive.store(object.clone()).await.expect("store"), Stored::Already);
    assert_eq!(files(folder.path()), 1);

    let stored = archive.instances(&Scope::Study(uid("1.1"))).await.expect("instances");
    assert_eq!(stored.len(), 1);
    let bytes = std::fs::read(&stored[0].path).expect("read");
    assert!(bytes.ends_with(&object.data_set));
    let file = dicom_object::open_file(&stored[0].path).expect("DICOM file");
    assert_eq!(file.meta().media_storage_sop_instance_uid(), "1.2.1");
    assert_eq!(file.meta().transfer_syntax(), uids::EXPLICIT_VR_LITTLE_ENDIAN);
    assert_eq!(file.meta().implementation_class_uid(), crate::dicom::implementation::CLASS_UID);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash_and_the_rest_is_set_aside() {
    let (folder, archive) = archive().await;
    for number in 1..=5 {
        archive.store(slice("1.1", "1.2", number, &[])).await.expect("store");
    }
    // A draft, and a published file whose index row was never committed.
    std::fs::write(folder.path().join("incoming/77.tmp"), b"half").expect("write");
    let name = BlobName::of("00", "1.2").to_text();
    std::fs::write(folder.path().join(format!("blobs/{}/{name}.dcm", &name[..2])), b"orphan").expect("write");
    let archive = reopen(folder.path(), archive).await;
    assert_eq!(files(folder.path()), 5);
    assert_eq!(std::fs::read_dir(folder.path().join("incoming")).expect("incoming").count(), 0);
    // It is kept: the index may be another one than the one it was filed in.
    assert_eq!(std::fs::read(folder.path().join(format!("orphans/{name}.dcm"))).expect("kept"), b"orphan");
    let stored = archive.instances(&Scope::Series(uid("1.1"), uid("1.2"))).await.expect("instances");
    assert_eq!(stored.len(), 5);
    assert!(stored.iter().all(|instance| instance.path.exists()));
}

#[tokio::test]
async fn objects_that_arrive_together_are_all_stored() {
    let (folder, archive) = archive().await;
    let stores = (1..=100).map(|number| archive.store(slice("1.1", "1.2", number, &[])));
    let stored = futures_util::future::try_join_all(stores).await.expect("store");
    assert!(stored.iter().all(|stored| *stored == Stored::New));
    let archive = reopen(folder.path(), archive).await;
    let stored = archive.instances(&Scope::Study(uid("1.1"))).await.expect("instances");
    let numbers: Vec<String> = stored.iter().map(|instance| instance.sop_instance_uid.to_string()).collect();
    let expected: Vec<String> = (1..=100).map(|number| format!("1.2.{number}")).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn an_object_without_identifiers_is_unfit_and_hostile_ones_reach_no_path() {
    let (_folder, archive) = archive().await;
    let mut object = slice("1.1", "1.2", 1, &[]);
    object.header.put(dicom_core::DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, "../../../etc/passwd"));
    assert!(matches!(archive.store(object).await, Err(ArchiveError::Unfit(_))));
    let object = slice("1.1", "1.2", 1, &[(tags::PATIENT_ID, VR::LO, "'; DROP TABLE studies; --")]);
    archive.store(object).await.expect("store");
    let key = [(tags::PATIENT_ID, "'; drop table*")];
    assert!(found(&archive, Level::Study, &key, tags::PATIENT_ID).await.is_empty());
    let key = [(tags::PATIENT_ID, "'; DROP TABLE*")];
    assert_eq!(found(&archive, Level::Study, &key, tags::PATIENT_ID).await.len(), 1);
}

#[tokio::test]
async fn below_the_watermark_nothing_is_accepted() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let config =
        StorageConfig { path: folder.path().to_owned(), minimum_free_mib: 1 << 40, hide_quality_rejections: true };
    let archive = open(&config).await;
    assert!(matches!(archive.store(slice("1.1", "1.2", 1, &[])).await, Err(ArchiveError::Full(_))));
    assert_eq!(files(folder.path()), 0);
}

async fn filled() -> (tempfile::TempDir, Archive) {
    let (folder, archive) = archive().await;
    for number in 1..=3 {
        archive.store(slice("1.1", "1.1.1", number, &[])).await.expect("store");
    }
    let report = [
        (tags::MODALITY, VR::CS, "SR"),
        (tags::SERIES_NUMBER, VR::IS, "1"),
        (tags::SOP_CLASS_UID, VR::UI, uids::COMPREHENSIVE3_DSR_STORAGE),
    ];
    archive.store(slice("1.1", "1.1.2", 9, &report)).await.expect("store");
    let other = [
        (tags::PATIENT_NAME, VR::PN, "Müller^Jürgen"),
        (tags::PATIENT_ID, VR::LO, "P_2"),
        (tags::STUDY_DATE, VR::DA, "20250607"),
        (tags::MODALITY, VR::CS, "MR"),
        (tags::STUDY_DESCRIPTION, VR::LO, "MR head"),
        (tags::BODY_PART_EXAMINED, VR::CS, "HEAD"),
    ];
    archive.store(slice("1.4", "1.4.1", 1, &other)).await.expect("store");
    (folder, archive)
}

#[tokio::test]
async fn studies_are_found_by_every_kind_of_key() {
    let (_folder, archive) = filled().await;
    let cases: &[(&[(Tag, &str)], &[&str])] = &[
        (&[], &["1.4", "1.1"]),
        (&[(tags::PATIENT_NAME, "mÜLLER*")], &["1.4"]),
        (&[(tags::PATIENT_NAME, "doe^?ane")], &["1.1"]),
        (&[(tags::PATIENT_NAME, "doe")], &[]),
        (&[(tags::PATIENT_ID, "P-1")], &["1.1"]),
        (&[(tags::PATIENT_ID, "p-1")], &[]),
        (&[(tags::PATIENT_ID, "P_?")], &["1.4"]),
        (&[(tags::PATIENT_ID, "%")], &[]),
        (&[(tags::STUDY_DATE, "20240101-20241231")], &["1.1"]),
        (&[(tags::STUDY_DATE, "20250607")], &["1.4"]),
        (&[(tags::STUDY_DATE, "-20240131")], &["1.1"]),
        (&[(tags::STUDY_INSTANCE_UID, "1.4,1.1,1.9")], &["1.4", "1.1"]),
        (&[(tags::STUDY_INSTANCE_UID, "1.4\\1.9")], &["1.4"]),
        (&[(tags::MODALITIES_IN_STUDY, "SR")], &["1.1"]),
        (&[(tags::MODALITIES_IN_STUDY, "M*")], &["1.4"]),
        (&[(tags::SERIES_INSTANCE_UID, "1.1.2")], &["1.1"]),
        (&[(tags::STUDY_DESCRIPTION, "MR*"), (tags::PATIENT_NAME, "*")], &["1.4"]),
        (&[(tags::ACCESSION_NUMBER, "A1")], &[]),
    ];
    for (keys, expected) in cases {
        assert_eq!(&found(&archive, Level::Study, keys, tags::STUDY_INSTANCE_UID).await, expected, "{keys:?}");
    }
}

#[tokio::test]
async fn answers_carry_counts_modalities_and_what_was_asked_for() {
    let (_folder, archive) = filled().await;
    let study = &archive.find(Level::Study, &query(&[(tags::STUDY_INSTANCE_UID, "1.1")])).await.expect("find")[0];
    assert_eq!(integer(study, tags::NUMBER_OF_STUDY_RELATED_SERIES), Some(2));
    assert_eq!(integer(study, tags::NUMBER_OF_STUDY_RELATED_INSTANCES), Some(4));
    assert_eq!(texts(study, tags::MODALITIES_IN_STUDY), ["CT", "SR"]);
    assert!(study.get(tags::MODALITY).is_none());

    let asked = Query { include: vec![tags::BODY_PART_EXAMINED], ..query(&[(tags::MODALITY, "MR")]) };
    let series = &archive.find(Level::Series, &asked).await.expect("find")[0];
    assert_eq!(integer(series, tags::NUMBER_OF_SERIES_RELATED_INSTANCES), Some(1));
    assert_eq!(text(series, tags::BODY_PART_EXAMINED).as_deref(), Some("HEAD"));
    assert_eq!(text(series, tags::PATIENT_NAME).as_deref(), Some("Müller^Jürgen"));

    let instance_of = |include_all| Query { include_all, ..query(&[(tags::SOP_INSTANCE_UID, "1.1.1.2")]) };
    let lean = &archive.find(Level::Instance, &instance_of(false)).await.expect("find")[0];
    assert_eq!(integer(lean, tags::ROWS), Some(4));
    assert!(lean.get(tags::IMAGE_TYPE).is_none());
    let whole = &archive.find(Level::Instance, &instance_of(true)).await.expect("find")[0];
    assert_eq!(texts(whole, tags::IMAGE_TYPE), ["ORIGINAL", "PRIMARY", "AXIAL"]);
}

#[tokio::test]
async fn series_and_instances_come_in_order_and_in_pages() {
    let (_folder, archive) = filled().await;
    let key = [(tags::STUDY_INSTANCE_UID, "1.1")];
    let series = found(&archive, Level::Series, &key, tags::SERIES_INSTANCE_UID).await;
    assert_eq!(series, ["1.1.2", "1.1.1"], "series 1 before series 2");
    let page = Query { limit: Some(2), offset: 1, ..query(&[(tags::SERIES_INSTANCE_UID, "1.1.1")]) };
    let answers = archive.find(Level::Instance, &page).await.expect("find");
    let numbers: Vec<_> = answers.iter().filter_map(|answer| integer(answer, tags::INSTANCE_NUMBER)).collect();
    assert_eq!(numbers, [2, 3]);
    let keys = [(tags::IMAGE_TYPE, "AXIAL"), (tags::INSTANCE_NUMBER, "9")];
    assert_eq!(found(&archive, Level::Instance, &keys, tags::SOP_INSTANCE_UID).await, ["1.1.2.9"]);
}
