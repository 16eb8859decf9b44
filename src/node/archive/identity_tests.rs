//! Objects whose SOP Instance UID is known: duplicates, corrections, conflicts, damage.

use std::path::Path;

use bytes::Bytes;
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use super::correction_testing::*;
use super::testing::{limits, open, slice, storage, uid};
use super::*;
use crate::dicom::bounded;
use crate::dicom::content;
use crate::dicom::elements::text;
use crate::node::store::{Record, RecordedChange, Replacement};

/// The same object as another sender would encode it.
fn encoded_as(object: &ReceivedInstance, transfer_syntax_uid: &str) -> ReceivedInstance {
    let mut bytes = Vec::new();
    let syntax = TransferSyntaxRegistry.get(transfer_syntax_uid).expect("known");
    object.header.write_dataset_with_ts(&mut bytes, syntax).expect("write");
    let (header, pixels) = content::read(&bytes, transfer_syntax_uid, &limits()).expect("read");
    let transfer_syntax_uid = uid(transfer_syntax_uid);
    ReceivedInstance { transfer_syntax_uid, data_set: Bytes::from(bytes), header, pixels, ..object.clone() }
}

fn files(folder: &Path) -> usize {
    let shards = std::fs::read_dir(folder.join("blobs")).expect("blobs");
    shards.map(|shard| std::fs::read_dir(shard.expect("shard").path()).expect("list").count()).sum()
}

#[tokio::test]
async fn the_same_content_in_another_encoding_or_from_a_router_is_a_duplicate() {
    let (folder, archive) = with_slices(1).await;
    let object = slice(STUDY, SERIES, 1, &[]);
    for syntax in [uids::IMPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2.2"] {
        assert_eq!(archive.store(encoded_as(&object, syntax)).await.expect("store"), Stored::Already, "{syntax}");
    }
    let routed = slice(STUDY, SERIES, 1, &[(tags::RETRIEVE_AE_TITLE, VR::AE, "ROUTER")]);
    assert_eq!(archive.store(routed).await.expect("store"), Stored::Already);
    let routed = slice(STUDY, SERIES, 1, &[(tags::INSTITUTION_NAME, VR::LO, "Hospital")]);
    assert_eq!(archive.store(routed).await.expect("store"), Stored::Already);
    assert_eq!((files(folder.path()), conflicts(&archive).await.len()), (1, 0));
}

#[tokio::test]
async fn another_image_under_a_known_identifier_is_a_failure_that_is_shown_and_costs_nothing() {
    let (folder, archive) = with_slices(1).await;
    let moved = || slice(STUDY, SERIES, 1, &[(tags::IMAGE_POSITION_PATIENT, VR::DS, "0\\0\\99")]);
    assert_eq!(conflict_of(&archive, moved()).await, Conflict::Image);
    assert_eq!(conflict_of(&archive, moved()).await, Conflict::Image);
    let other_series = slice(STUDY, "7.7", 1, &[(tags::SOP_INSTANCE_UID, VR::UI, "1.2.1")]);
    assert_eq!(conflict_of(&archive, other_series).await, Conflict::Address);
    assert_eq!(files(folder.path()), 1);
    let [conflict] = &conflicts(&archive).await[..] else { panic!("one study") };
    assert_eq!((conflict.held, conflict.refused), (0, 2));
    let trusted = ReceivedInstance { rights: CORRECTING, ..moved() };
    assert_eq!(conflict_of(&archive, trusted).await, Conflict::Image, "trust does not reach so far");
}

#[tokio::test]
async fn a_changed_patient_is_held_until_a_person_accepts_the_study() {
    let (_folder, archive) = with_slices(2).await;
    let description = (tags::STUDY_DESCRIPTION, VR::LO, "CT chest");
    let corrected = [CORRECTED, &[description]].concat();
    for number in 1..=2 {
        assert_eq!(conflict_of(&archive, slice(STUDY, SERIES, number, &corrected)).await, Conflict::Held);
    }
    assert_eq!(patients(&archive).await, ["P-1"], "nothing has changed");
    let moved = slice(STUDY, SERIES, 2, &[(tags::IMAGE_POSITION_PATIENT, VR::DS, "0\\0\\99")]);
    assert_eq!(conflict_of(&archive, moved).await, Conflict::Image, "shown after what a person decides on");
    let [conflict] = &conflicts(&archive).await[..] else { panic!("one study") };
    let [proposal] = &conflict.proposals[..] else { panic!("one proposal") };
    assert_eq!((conflict.held, conflict.refused, proposal.held, proposal.outstanding), (2, 1, 2, 0));
    let differing = proposal.differing.iter().map(|one| (&*one.attribute, &*one.stored, &*one.received));
    let expected =
        [("StudyDescription", "", "CT chest"), ("PatientName", "Doe^Jane", "Roe^Jane"), ("PatientID", "P-1", "P-2")];
    assert_eq!(differing.collect::<Vec<_>>(), expected);

    assert_eq!(accept(&archive, None).await, Some(Accepted { corrected: 2, left: 0 }));
    assert_eq!(patients(&archive).await, ["P-2"], "the right patient alone");
    let query = Query { matching: vec![(description.0, "CT chest".to_owned())], ..Query::default() };
    assert_eq!(archive.find(Level::Study, &query).await.expect("find").len(), 1, "found by its new description");
    assert_eq!(conflicts(&archive).await[0].held, 0);
    let unassembled = archive.index().unassembled().await.expect("unassembled");
    assert_eq!(unassembled.len(), 1, "it is analysed again");
    let instances = archive.instances(&Scope::Study(uid(STUDY))).await.expect("instances");
    let file = bounded::open_header(&instances[0].path, &limits()).expect("file");
    assert_eq!(text(&file, tags::PATIENT_ID).as_deref(), Some("P-2"));
    let records = archive.index().records(&uid(STUDY)).await.expect("records");
    assert_eq!((records.len(), records[0].by.as_str()), (1, "a person"));
    // What was before is a duplicate of nothing now: sent again, it would take the correction back.
    assert_eq!(conflict_of(&archive, slice(STUDY, SERIES, 1, &[])).await, Conflict::Held);
}

#[tokio::test]
async fn a_person_who_accepts_a_part_of_a_study_corrects_the_whole() {
    let (_folder, archive) = with_slices(2).await;
    let others: Texts = &[(tags::INSTITUTION_NAME, VR::LO, "Hospital")];
    archive.store(encoded_as(&slice(STUDY, SERIES, 3, others), uids::IMPLICIT_VR_LITTLE_ENDIAN)).await.expect("store");
    conflict_of(&archive, slice(STUDY, SERIES, 1, CORRECTED)).await;
    assert_eq!(conflicts(&archive).await[0].proposals[0].outstanding, 2);
    assert_eq!(accept(&archive, None).await, Some(Accepted { corrected: 3, left: 0 }));
    for instance in archive.instances(&Scope::Study(uid(STUDY))).await.expect("instances") {
        let file = bounded::open_header(&instance.path, &limits()).expect("file");
        let values = [tags::PATIENT_ID, tags::PATIENT_NAME].map(|tag| text(&file, tag).unwrap_or_default());
        assert_eq!(values, ["P-2", "Roe^Jane"]);
        let is_third = instance.sop_instance_uid == uid("1.2.3");
        assert_eq!(text(&file, tags::INSTITUTION_NAME).is_some(), is_third, "nothing else has changed");
    }
    // The slices come again, corrected: they are what is stored.
    assert_eq!(archive.store(trusted(2, CORRECTED)).await.expect("store"), Stored::Already);
}

#[tokio::test]
async fn a_person_can_refuse_what_is_held() {
    let (_folder, archive) = with_slices(1).await;
    conflict_of(&archive, slice(STUDY, SERIES, 1, CORRECTED)).await;
    assert_eq!(archive.refuse_held(&uid(STUDY)).await.expect("refuse"), 1);
    assert_eq!(accept(&archive, None).await, None);
    assert_eq!(patients(&archive).await, ["P-1"]);
}

#[tokio::test]
async fn a_trusted_correction_takes_effect_when_the_whole_study_has_come_again() {
    let (_folder, archive) = with_slices(3).await;
    assert_eq!(archive.store(trusted(1, CORRECTED)).await.expect("store"), Stored::Held);
    assert_eq!(archive.store(trusted(2, CORRECTED)).await.expect("store"), Stored::Held);
    assert_eq!(archive.store(trusted(2, CORRECTED)).await.expect("again"), Stored::Held);
    assert_eq!(patients(&archive).await, ["P-1"]);
    assert_eq!(conflicts(&archive).await[0].proposals[0].outstanding, 1);
    assert_eq!(archive.store(trusted(3, CORRECTED)).await.expect("store"), Stored::Corrected);
    assert_eq!(patients(&archive).await, ["P-2"]);
    assert_eq!(archive.store(trusted(1, CORRECTED)).await.expect("store"), Stored::Already);
}

#[tokio::test]
async fn trusted_objects_that_disagree_correct_nothing() {
    let (_folder, archive) = with_slices(2).await;
    assert_eq!(archive.store(trusted(1, CORRECTED)).await.expect("store"), Stored::Held);
    let other = &[(tags::PATIENT_ID, VR::LO, "P-3")];
    assert_eq!(archive.store(trusted(2, other)).await.expect("store"), Stored::Held);
    assert_eq!(patients(&archive).await, ["P-1"]);
}

#[tokio::test]
async fn a_stray_slice_that_is_sent_right_is_mended_at_once() {
    let (_folder, archive) = with_slices(2).await;
    archive.store(slice(STUDY, SERIES, 3, CORRECTED)).await.expect("the stray slice");
    assert_eq!(archive.store(trusted(3, &[])).await.expect("sent right"), Stored::Corrected);
    for instance in archive.instances(&Scope::Study(uid(STUDY))).await.expect("instances") {
        let file = bounded::open_header(&instance.path, &limits()).expect("file");
        assert_eq!(text(&file, tags::PATIENT_ID).as_deref(), Some("P-1"));
    }
}

#[tokio::test]
async fn a_damaged_object_is_healed_by_sending_it_again() {
    let (_folder, archive) = with_slices(1).await;
    let path = archive.instances(&Scope::Study(uid(STUDY))).await.expect("instances")[0].path.clone();
    let mut bytes = std::fs::read(&path).expect("read");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&path, &bytes).expect("damage");
    let other = slice(STUDY, SERIES, 1, CORRECTED);
    assert_eq!(conflict_of(&archive, other).await, Conflict::Damaged, "nobody knows in what it differs");
    let again = encoded_as(&slice(STUDY, SERIES, 1, &[]), uids::IMPLICIT_VR_LITTLE_ENDIAN);
    assert_eq!(archive.store(again.clone()).await.expect("store"), Stored::Already);
    let healed = &archive.instances(&Scope::Study(uid(STUDY))).await.expect("instances")[0];
    assert!(std::fs::read(&healed.path).expect("read").ends_with(&again.data_set));
    assert_eq!(healed.transfer_syntax_uid.as_str(), uids::IMPLICIT_VR_LITTLE_ENDIAN);
}

#[tokio::test]
async fn a_record_that_the_index_does_not_know_is_applied_at_the_next_start() {
    let (folder, archive) = with_slices(1).await;
    let stored = archive.instances(&Scope::Study(uid(STUDY))).await.expect("instances").remove(0);
    // As an object that did not come again is written: no row of the index knows its file.
    let written = archive.keep(slice(STUDY, SERIES, 1, CORRECTED)).await.expect("kept");
    let replacement = Replacement { sop_instance_uid: stored.sop_instance_uid, from: stored.blob, to: written.blob() };
    let change =
        RecordedChange::Correction { objects: vec![replacement], changes_patient: true, replaces_rejected: false };
    let record = Record::new("a person".to_owned(), uid(STUDY), change);
    archive.records.write(&record).expect("written, and then the node died");
    archive.close().await;
    drop(archive);
    let archive = open(&storage(folder.path())).await;
    assert_eq!(patients(&archive).await, ["P-2"]);
    assert_eq!(archive.index().records(&uid(STUDY)).await.expect("records"), [record]);
}
