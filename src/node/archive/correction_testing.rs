//! What tests of identity, corrections and rejections share.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use jiff::Timestamp;

use super::testing::{archive, slice, uid};
use super::*;
use crate::dicom::elements::text;
use crate::node::store::StudyConflict;

pub(super) const STUDY: &str = "1.1";
pub(super) const SERIES: &str = "1.2";

pub(super) const CORRECTING: Rights = Rights { may_correct: true, may_reject: false };

pub(super) type Texts<'a> = &'a [(Tag, VR, &'a str)];

pub(super) const CORRECTED: Texts = &[(tags::PATIENT_ID, VR::LO, "P-2"), (tags::PATIENT_NAME, VR::PN, "Roe^Jane")];

pub(super) fn trusted(number: u16, more: Texts) -> ReceivedInstance {
    ReceivedInstance { rights: CORRECTING, ..slice(STUDY, SERIES, number, more) }
}

pub(super) async fn with_slices(count: u16) -> (tempfile::TempDir, Archive) {
    let (folder, archive) = archive().await;
    for number in 1..=count {
        archive.store(slice(STUDY, SERIES, number, &[])).await.expect("store");
    }
    (folder, archive)
}

pub(super) async fn conflict_of(archive: &Archive, object: ReceivedInstance) -> Conflict {
    match archive.store(object).await {
        Err(ArchiveError::Conflict(conflict)) => conflict,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn conflicts(archive: &Archive) -> Vec<StudyConflict> {
    archive.index().study_conflicts(9, Timestamp::now()).await.expect("conflicts")
}

/// Patient IDs by which a search finds the study.
pub(super) async fn patients(archive: &Archive) -> Vec<String> {
    let mut found = Vec::new();
    for patient in ["P-1", "P-2"] {
        let query = Query { matching: vec![(tags::PATIENT_ID, patient.to_owned())], ..Query::default() };
        let answers = archive.find(Level::Study, &query).await.expect("find");
        found.extend(answers.iter().filter_map(|answer| text(answer, tags::PATIENT_ID)));
    }
    found
}

/// Accepts what is held for the study.
pub(super) async fn accept(archive: &Archive, proposal: Option<&str>) -> Option<Accepted> {
    archive.accept_held(&uid(STUDY), proposal, "a person").await.expect("accept")
}

/// What the listed objects say in an attribute, in order of their numbers.
pub(super) async fn said(archive: &Archive, tag: Tag) -> Vec<String> {
    let instances = archive.instances(&Scope::Study(uid(STUDY))).await.expect("instances");
    let header = |instance: &StoredInstance| {
        crate::dicom::bounded::open_header(&instance.path, &super::testing::limits()).expect("file")
    };
    instances.iter().map(|instance| text(&header(instance), tag).unwrap_or_default()).collect()
}

/// Rejects slices by hand; the names of the records.
pub(super) async fn reject(archive: &Archive, number: u16, reason: crate::dicom::RejectionReason) -> String {
    let scope = Scope::Instance(uid(STUDY), uid(SERIES), uid(&format!("{SERIES}.{number}")));
    archive.reject(&scope, reason, "a person".to_owned()).await.expect("reject");
    archive.index().records(&uid(STUDY)).await.expect("records").pop().expect("a record").id
}
