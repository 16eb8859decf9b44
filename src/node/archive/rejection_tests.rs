//! Rejection notes and rejections by hand.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};

use super::testing::{archive, received, slice, uid};
use super::*;
use crate::dicom::RejectionReason;
use crate::dicom::elements::DataSet;
use crate::node::store::RecordedChange;

const REJECTING: Rights = Rights { may_correct: false, may_reject: true };

fn item(elements: impl IntoIterator<Item = DataElement<dicom_object::InMemDicomObject>>) -> DataSet {
    DataSet::from_element_iter(elements)
}

fn sequence(tag: dicom_object::Tag, item: DataSet) -> DataElement<dicom_object::InMemDicomObject> {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![item]))
}

/// A note of a patient that rejects slice 2 of the series 1.2 of study 1.1.
fn note(code: &str, patient: &str, rights: Rights) -> ReceivedInstance {
    let object = item([DataElement::new(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, "1.2.2")]);
    let series = item([
        DataElement::new(tags::SERIES_INSTANCE_UID, VR::UI, "1.2"),
        sequence(tags::REFERENCED_SOP_SEQUENCE, object),
    ]);
    let study = item([
        DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, "1.1"),
        sequence(tags::REFERENCED_SERIES_SEQUENCE, series),
    ]);
    let title = item([
        DataElement::new(tags::CODE_VALUE, VR::SH, code),
        DataElement::new(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM"),
    ]);
    let header = item([
        DataElement::new(tags::SOP_CLASS_UID, VR::UI, uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE),
        DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, format!("1.9.{code}")),
        DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, "1.1"),
        DataElement::new(tags::SERIES_INSTANCE_UID, VR::UI, "1.9"),
        DataElement::new(tags::MODALITY, VR::CS, "KO"),
        DataElement::new(tags::PATIENT_ID, VR::LO, patient),
        sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, title),
        sequence(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, study),
    ]);
    ReceivedInstance { rights, ..received(header) }
}

async fn with_three_slices() -> (tempfile::TempDir, Archive) {
    let (folder, archive) = archive().await;
    for number in 1..=3 {
        archive.store(slice("1.1", "1.2", number, &[])).await.expect("store");
    }
    (folder, archive)
}

async fn shown(archive: &Archive) -> Vec<String> {
    let instances = archive.instances(&Scope::Series(uid("1.1"), uid("1.2"))).await.expect("instances");
    instances.into_iter().map(|instance| instance.sop_instance_uid.into()).collect()
}

#[tokio::test]
async fn what_a_note_rejects_is_neither_listed_nor_retrieved_and_its_series_is_assembled_again() {
    for code in ["113001", "113037", "113038", "113039"] {
        let (_folder, archive) = with_three_slices().await;
        archive.store(note(code, "P-1", REJECTING)).await.expect("store");
        assert_eq!(shown(&archive).await, ["1.2.1", "1.2.3"], "{code}");
        let one = Scope::Instance(uid("1.1"), uid("1.2"), uid("1.2.2"));
        assert!(archive.instances(&one).await.expect("instances").is_empty(), "{code}");
        let members = archive.index().members(&crate::dicom::SeriesId::new(uid("1.1"), uid("1.2"))).await;
        assert_eq!(members.expect("members").len(), 2, "{code}");
        let records = archive.index().records(&uid("1.1")).await.expect("records");
        assert!(matches!(records[0].change, RecordedChange::Rejection { note: Some(_), .. }), "{code}");
        archive.store(note(code, "P-1", REJECTING)).await.expect("again");
        assert_eq!(archive.index().records(&uid("1.1")).await.expect("records").len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_note_of_a_sender_without_the_right_or_of_another_patient_is_refused() {
    let (_folder, archive) = with_three_slices().await;
    let refused = archive.store(note("113037", "P-1", Rights::default())).await;
    assert!(matches!(refused, Err(ArchiveError::Forbidden(_))));
    let refused = archive.store(note("113037", "P-2", REJECTING)).await;
    assert!(matches!(refused, Err(ArchiveError::Unfit(_))));
    assert_eq!(shown(&archive).await.len(), 3);
    let key_images = archive.store(note("113000", "P-1", Rights::default())).await;
    assert_eq!(key_images.expect("another key object selection"), Stored::New);
}

#[tokio::test]
async fn a_rejection_by_hand_can_be_revoked() {
    let (_folder, archive) = with_three_slices().await;
    let scope = Scope::Instance(uid("1.1"), uid("1.2"), uid("1.2.2"));
    let by = || "a person".to_owned();
    assert_eq!(archive.reject(&scope, RejectionReason::Quality, by()).await.expect("reject"), 1);
    assert_eq!(shown(&archive).await.len(), 2);
    let sent_again = archive.store(slice("1.1", "1.2", 2, &[])).await.expect("store");
    assert_eq!((sent_again, shown(&archive).await.len()), (Stored::Already, 2), "it stays rejected");
    let record = archive.index().records(&uid("1.1")).await.expect("records").remove(0);
    assert_eq!(archive.restore(&uid("1.1"), "no such record", by()).await.expect("restore"), None);
    assert_eq!(archive.restore(&uid("1.1"), &record.id, by()).await.expect("restore"), Some(1));
    assert_eq!(shown(&archive).await.len(), 3);
}

#[tokio::test]
async fn another_image_takes_the_place_of_a_rejected_one() {
    let (_folder, archive) = with_three_slices().await;
    let moved = || slice("1.1", "1.2", 2, &[(tags::IMAGE_POSITION_PATIENT, VR::DS, "0\\0\\4.5")]);
    assert!(matches!(archive.store(moved()).await, Err(ArchiveError::Conflict(Conflict::Image))));
    let scope = Scope::Instance(uid("1.1"), uid("1.2"), uid("1.2.2"));
    archive.reject(&scope, RejectionReason::PatientSafety, "a person".to_owned()).await.expect("reject");
    assert_eq!(archive.store(moved()).await.expect("sent right"), Stored::Corrected);
    assert_eq!(shown(&archive).await.len(), 3);
}

#[tokio::test]
async fn an_object_is_in_use_again_when_no_rejection_names_it_any_more() {
    let (_folder, archive) = with_three_slices().await;
    let one = Scope::Instance(uid("1.1"), uid("1.2"), uid("1.2.2"));
    let by = || "a person".to_owned();
    archive.reject(&one, RejectionReason::Quality, by()).await.expect("reject");
    archive.store(note("113037", "P-1", REJECTING)).await.expect("a second rejection");
    let records = archive.index().records(&uid("1.1")).await.expect("records");
    archive.restore(&uid("1.1"), &records[0].id, by()).await.expect("restore");
    assert_eq!(shown(&archive).await.len(), 2, "the other one stands");
    archive.restore(&uid("1.1"), &records[1].id, by()).await.expect("restore");
    assert_eq!(shown(&archive).await.len(), 3);
}

#[tokio::test]
async fn what_is_rejected_before_it_comes_is_hidden_when_it_comes() {
    let (_folder, archive) = archive().await;
    archive.store(slice("1.1", "1.2", 1, &[])).await.expect("store");
    archive.store(note("113037", "P-1", REJECTING)).await.expect("store");
    archive.store(slice("1.1", "1.2", 2, &[])).await.expect("store");
    assert_eq!(shown(&archive).await, ["1.2.1"]);
}

#[tokio::test]
async fn a_note_hides_nothing_of_another_study_or_series() {
    let (_folder, archive) = archive().await;
    archive.store(slice("1.1", "1.2", 1, &[])).await.expect("store");
    let elsewhere = [(tags::SOP_INSTANCE_UID, VR::UI, "1.2.2")];
    for (study, series) in [("7.1", "7.2"), ("1.1", "1.3")] {
        let (_folder, archive) = super::testing::archive().await;
        archive.store(slice("1.1", "1.2", 1, &[])).await.expect("store");
        archive.store(slice(study, series, 9, &elsewhere)).await.expect("store");
        let refused = archive.store(note("113037", "P-1", REJECTING)).await;
        assert!(matches!(refused, Err(ArchiveError::Unfit(_))), "{study} {series}");
    }
    // The object came first under another study.
    archive.store(note("113037", "P-1", REJECTING)).await.expect("it is not here yet");
    archive.store(slice("7.1", "7.2", 9, &elsewhere)).await.expect("store");
    let stored = archive.instances(&Scope::Study(uid("7.1"))).await.expect("instances");
    assert_eq!(stored.len(), 1, "the note names it in a study that it is not of");
}
