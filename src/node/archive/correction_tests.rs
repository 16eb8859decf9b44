//! Corrections that contradict each other, that are partial, or that meet rejections.

use dicom_core::VR;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue};
use dicom_dictionary_std::tags;

use super::correction_testing::*;
use super::testing::{received, slice, uid};
use super::*;
use crate::dicom::RejectionReason::{PatientSafety, Quality};
use crate::dicom::elements::DataSet;

const OTHER: Texts = &[(tags::PATIENT_ID, VR::LO, "P-3")];

#[tokio::test]
async fn proposals_that_contradict_each_other_are_told_apart_and_accepted_by_name() {
    let (_folder, archive) = with_slices(3).await;
    for (number, says) in [(1, CORRECTED), (2, OTHER), (3, OTHER)] {
        conflict_of(&archive, slice(STUDY, SERIES, number, says)).await;
    }
    let [conflict] = &conflicts(&archive).await[..] else { panic!("one study") };
    let counts: Vec<_> = conflict.proposals.iter().map(|proposal| (proposal.held, proposal.outstanding)).collect();
    assert!(counts.contains(&(1, 2)) && counts.contains(&(2, 1)), "{counts:?}");
    let unclear = archive.accept_held(&uid(STUDY), None, "a person").await;
    assert!(matches!(unclear, Err(DecisionError::Unclear(_))));
    let other = conflict.proposals.iter().find(|proposal| proposal.held == 2).expect("two objects");
    assert_eq!(accept(&archive, Some(&other.id)).await, Some(Accepted { corrected: 3, left: 0 }));
    assert_eq!(said(&archive, tags::PATIENT_ID).await, ["P-3", "P-3", "P-3"]);
    let conflict = &conflicts(&archive).await[0];
    assert_eq!((conflict.held, conflict.proposals.len()), (0, 0), "the other proposal is refused");
    let stale = archive.accept_held(&uid(STUDY), Some(&other.id), "a person").await;
    assert!(matches!(stale, Ok(None)), "nothing is held");
}

#[tokio::test]
async fn a_stray_slice_that_did_not_come_again_is_not_given_to_the_patient() {
    let (_folder, archive) = with_slices(2).await;
    archive.store(slice(STUDY, SERIES, 3, OTHER)).await.expect("the stray slice");
    for number in 1..=2 {
        conflict_of(&archive, slice(STUDY, SERIES, number, CORRECTED)).await;
    }
    let differing = &conflicts(&archive).await[0].proposals[0].differing;
    assert_eq!(differing.last().map(|one| (&*one.stored, &*one.received)), Some(("P-1", "P-2")));
    assert_eq!(accept(&archive, None).await, Some(Accepted { corrected: 2, left: 1 }));
    assert_eq!(said(&archive, tags::PATIENT_ID).await, ["P-2", "P-2", "P-3"]);
}

#[tokio::test]
async fn a_trusted_correction_of_attributes_that_no_search_knows_waits_for_the_whole_study_too() {
    let (_folder, archive) = with_slices(2).await;
    let with_other_ids = |number, id: &str| {
        let other = DataSet::from_element_iter([DataElement::new(tags::PATIENT_ID, VR::LO, id)]);
        let mut header = slice(STUDY, SERIES, number, &[]).header;
        header.put(DataElement::new(tags::OTHER_PATIENT_I_DS_SEQUENCE, VR::SQ, DataSetSequence::from(vec![other])));
        header.put(DataElement::new(tags::PATIENT_ADDRESS, VR::LO, PrimitiveValue::from("Street 1")));
        ReceivedInstance { rights: CORRECTING, ..received(header) }
    };
    assert_eq!(archive.store(with_other_ids(1, "A")).await.expect("store"), Stored::Held);
    assert_eq!(archive.store(with_other_ids(2, "B")).await.expect("store"), Stored::Held, "they disagree");
    assert_eq!(archive.store(with_other_ids(2, "A")).await.expect("store"), Stored::Corrected);
    assert_eq!(said(&archive, tags::PATIENT_ADDRESS).await, ["Street 1", "Street 1"]);
}

#[tokio::test]
async fn nobody_changes_the_patient_of_a_study_by_replacing_a_rejected_slice() {
    let (_folder, archive) = with_slices(2).await;
    reject(&archive, 1, Quality).await;
    assert_eq!(conflict_of(&archive, slice(STUDY, SERIES, 1, CORRECTED)).await, Conflict::Held);
    assert_eq!(archive.store(trusted(1, CORRECTED)).await.expect("store"), Stored::Held, "nor does a trusted sender");
    assert_eq!(patients(&archive).await, ["P-1"]);
    assert_eq!(said(&archive, tags::PATIENT_ID).await, ["P-1"]);
}

#[tokio::test]
async fn a_study_that_was_rejected_as_a_whole_may_come_again_under_another_patient() {
    let (_folder, archive) = with_slices(2).await;
    for number in 1..=2 {
        reject(&archive, number, Quality).await;
    }
    for number in 1..=2 {
        let stored = archive.store(slice(STUDY, SERIES, number, CORRECTED)).await.expect("store");
        assert_eq!(stored, Stored::Corrected);
    }
    assert_eq!(patients(&archive).await, ["P-2"]);
    assert_eq!(said(&archive, tags::PATIENT_ID).await, ["P-2", "P-2"]);
}

#[tokio::test]
async fn a_correction_leaves_rejected_slices_hidden_and_corrects_them_too() {
    for may_correct in [true, false] {
        let (_folder, archive) = with_slices(3).await;
        let record = reject(&archive, 1, PatientSafety).await;
        for number in 2..=3 {
            let _ = archive
                .store(ReceivedInstance {
                    rights: Rights { may_correct, may_reject: false },
                    ..slice(STUDY, SERIES, number, CORRECTED)
                })
                .await;
        }
        if !may_correct {
            assert_eq!(accept(&archive, None).await, Some(Accepted { corrected: 3, left: 0 }));
        }
        assert_eq!(said(&archive, tags::PATIENT_ID).await, ["P-2", "P-2"], "the rejected one is hidden");
        archive.restore(&uid(STUDY), &record, "a person".to_owned()).await.expect("restored");
        assert_eq!(said(&archive, tags::PATIENT_ID).await, ["P-2", "P-2", "P-2"], "it is not of the old patient");
    }
}

#[tokio::test]
async fn bytes_that_were_judged_and_removed_meanwhile_are_kept_again() {
    let (_folder, archive) = with_slices(1).await;
    let moved = slice(STUDY, SERIES, 1, &[(tags::IMAGE_POSITION_PATIENT, VR::DS, "0\\0\\99")]);
    let object = archive.keep(moved.clone()).await.expect("kept");
    assert_eq!(conflict_of(&archive, moved.clone()).await, Conflict::Image, "and its bytes are removed");
    let judged = archive.reconcile(&object, moved).await;
    assert!(matches!(judged, Err(ArchiveError::Conflict(Conflict::Image))), "{judged:?}");
}
