//! What is damaged, gone or unknown to the index when a node starts, or later.

use std::fs;
use std::path::Path;

use dicom_dictionary_std::tags;

use super::correction_testing::*;
use super::testing::{archive, open, slice, storage, uid};
use super::*;
use crate::dicom::RejectionReason;
use crate::node::store::Store;

async fn reopened(folder: &Path, archive: Archive) -> Archive {
    archive.close().await;
    drop(archive);
    open(&storage(folder)).await
}

/// The archive of a folder whose index is lost.
async fn without_index(folder: &Path, archive: Archive) -> Archive {
    archive.close().await;
    drop(archive);
    Store::set_index_aside(&storage(folder)).expect("set aside").expect("there was one");
    open(&storage(folder)).await
}

async fn listed(archive: &Archive) -> Vec<StoredInstance> {
    archive.instances(&Scope::Study(uid(STUDY))).await.expect("instances")
}

async fn numbers(archive: &Archive) -> Vec<String> {
    listed(archive).await.iter().map(|instance| instance.sop_instance_uid.to_string()).collect()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path, bytes).expect("write");
}

async fn damaged(archive: &Archive) -> Vec<String> {
    match archive.check(&listed(archive).await).await {
        Ok(()) => Vec::new(),
        Err(ArchiveError::Damaged(objects)) => objects.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn each_kind_of_damage_is_seen_and_heals_by_sending_the_object_again() {
    let damages: [fn(&Path, &Path); 4] = [
        |file, _| flip(file),
        |file, _| fs::File::options().write(true).open(file).expect("open").set_len(700).expect("truncate"),
        |file, other| assert_ne!(fs::copy(other, file).expect("copy"), 0),
        |file, _| fs::remove_file(file).expect("remove"),
    ];
    for damage in damages {
        let (_folder, archive) = with_slices(3).await;
        let stored = listed(&archive).await;
        archive.check(&stored).await.expect("whole, and remembered to be");
        damage(&stored[1].path, &stored[2].path);
        assert_eq!(damaged(&archive).await, ["1.2.2"]);
        assert_eq!(archive.damaged().len(), 1);
        assert_eq!(archive.store(slice(STUDY, SERIES, 2, &[])).await.expect("store"), Stored::Already);
        assert!(archive.damaged().is_empty());
        assert!(damaged(&archive).await.is_empty());
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_named_from_the_start_on() {
    let (folder, archive) = with_slices(2).await;
    fs::remove_file(&listed(&archive).await[0].path).expect("remove");
    let archive = reopened(folder.path(), archive).await;
    let damaged: Vec<String> = archive.damaged().iter().map(ToString::to_string).collect();
    assert_eq!(damaged, ["1.2.1: its file is gone"]);
}

#[tokio::test]
async fn a_lost_index_is_made_anew_from_the_objects() {
    let (folder, archive) = with_slices(3).await;
    let before = numbers(&archive).await;
    let archive = without_index(folder.path(), archive).await;
    assert_eq!(numbers(&archive).await, before);
    assert!(damaged(&archive).await.is_empty());
}

#[tokio::test]
async fn an_older_index_is_caught_up_and_its_orphans_are_reclaimed() {
    let (folder, archive) = with_slices(2).await;
    archive.close().await;
    drop(archive);
    let index = folder.path().join("index.sqlite");
    fs::copy(&index, folder.path().join("backup")).expect("copy");
    let archive = open(&storage(folder.path())).await;
    archive.store(slice(STUDY, SERIES, 3, &[])).await.expect("store");
    let third = listed(&archive).await[2].clone();
    archive.close().await;
    drop(archive);
    // As versions before this one left it.
    fs::copy(folder.path().join("backup"), &index).expect("restore");
    fs::create_dir_all(folder.path().join("orphans")).expect("folder");
    fs::rename(&third.path, folder.path().join(format!("orphans/{}.dcm", third.blob.to_text()))).expect("move");
    let archive = open(&storage(folder.path())).await;
    assert_eq!(numbers(&archive).await, ["1.2.1", "1.2.2", "1.2.3"]);
    assert_eq!(fs::read_dir(folder.path().join("orphans")).expect("orphans").count(), 0);
}

#[tokio::test]
async fn files_that_the_index_knows_are_reclaimed_from_the_orphans() {
    let (folder, archive) = with_slices(2).await;
    let first = listed(&archive).await[0].clone();
    fs::create_dir_all(folder.path().join("orphans")).expect("folder");
    fs::rename(&first.path, folder.path().join(format!("orphans/{}.dcm", first.blob.to_text()))).expect("move");
    let archive = reopened(folder.path(), archive).await;
    assert!(damaged(&archive).await.is_empty());
}

#[tokio::test]
async fn a_damaged_file_is_not_reclaimed() {
    let (folder, archive) = with_slices(2).await;
    flip(&listed(&archive).await[0].path);
    let archive = without_index(folder.path(), archive).await;
    assert_eq!(numbers(&archive).await, ["1.2.2"]);
    assert_eq!(fs::read_dir(folder.path().join("orphans")).expect("orphans").count(), 1);
}

#[tokio::test]
async fn nothing_that_was_corrected_or_rejected_returns_with_an_index_that_is_made_anew() {
    let (folder, archive) = with_slices(4).await;
    for number in 1..=4 {
        archive.store(trusted(number, CORRECTED)).await.expect("store");
    }
    reject(&archive, 1, RejectionReason::PatientSafety).await;
    let restored = reject(&archive, 2, RejectionReason::PatientSafety).await;
    archive.restore(&uid(STUDY), &restored, "a person".to_owned()).await.expect("restore");
    let before = (numbers(&archive).await, patients(&archive).await, said(&archive, tags::PATIENT_ID).await);
    assert_eq!(before.0, ["1.2.2", "1.2.3", "1.2.4"]);
    assert_eq!(before.1, ["P-2"]);
    let archive = without_index(folder.path(), archive).await;
    let after = (numbers(&archive).await, patients(&archive).await, said(&archive, tags::PATIENT_ID).await);
    assert_eq!(after, before);
    assert!(!folder.path().join("orphans").exists());
}

#[tokio::test]
async fn what_was_held_is_held_again_and_the_first_object_stands() {
    let (folder, archive) = with_slices(1).await;
    assert_eq!(conflict_of(&archive, slice(STUDY, SERIES, 1, CORRECTED)).await, Conflict::Held);
    let archive = without_index(folder.path(), archive).await;
    assert_eq!(patients(&archive).await, ["P-1"]);
    assert_eq!(conflicts(&archive).await.len(), 1);
}

#[tokio::test]
async fn a_damaged_index_is_no_fault_of_the_sender() {
    let (folder, archive) = archive().await;
    for number in 1..=60 {
        archive.store(slice(STUDY, SERIES, number, &[])).await.expect("store");
    }
    archive.close().await;
    drop(archive);
    let index = folder.path().join("index.sqlite");
    let mut bytes = fs::read(&index).expect("read");
    // All pages but the first one and the last.
    let last = bytes.len() - 4096;
    bytes[8192..last].fill(0xA5);
    fs::write(&index, bytes).expect("write");
    let config = storage(folder.path());
    let failed = match Store::open(&config, super::testing::rules(&[], false)).await {
        Err(error) => error,
        Ok(store) => match Archive::open(&config, super::testing::limits(), store).await.err() {
            Some(ArchiveError::Index(error)) => error,
            other => panic!("{other:?}"),
        },
    };
    assert!(failed.to_string().contains("pe-node archive reindex"), "{failed}");
    Store::set_index_aside(&config).expect("set aside");
    let archive = open(&config).await;
    assert_eq!(listed(&archive).await.len(), 60);
}
