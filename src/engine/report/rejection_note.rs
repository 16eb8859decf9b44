//! A rejection note: a Key Object Selection that tells an archive not to use results any more, because newer ones replaced
//! them, or because they or their images were rejected or corrected ([TID 2010](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_TID_2010.html), IHE Imaging Object
//! Change Management).
//!
//! The title of what was replaced is (113001, DCM, Rejected for Quality Reasons). Of the four titles of that profile it is the one that leaves the
//! objects to those who have to look them up: a report that was read is neither unsafe to keep (113037), nor of another
//! patient (113038), nor to be deleted (113039). PS3.16 has no title for what was replaced.
//! Results under a patient that was corrected have the title that the corrected images would have (113038), and results of
//! rejected images the title by which these were rejected.

use std::collections::BTreeMap;
use std::fmt;

use dicom_dictionary_std::{tags, uids};

use super::element::{Compose, empty};
use super::header::{Document, ObjectIdentity, Reference, in_series};
use super::plain_header::PlainHeader;
use super::sr::{ContentItem, Relationship, SrDocument, device_items, language};
use super::{ReportError, ResultKind, ResultObject};
use crate::dicom::concept::{Concept, dcm};
use crate::dicom::elements::DataSet;
use crate::dicom::{RejectionReason, Uid};

/// Why results are not to be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteCause {
    /// Newer ones replaced them.
    Replaced,
    /// Their patient or study was corrected.
    Corrected,
    /// They, or images that they were found in, were rejected for this reason.
    Rejected(RejectionReason),
}

impl NoteCause {
    /// The title, and a sentence for readers.
    fn texts(self) -> (Concept, &'static str) {
        let title = match self {
            Self::Replaced | Self::Rejected(RejectionReason::Quality) => dcm::REJECTED_FOR_QUALITY_REASONS,
            Self::Corrected | Self::Rejected(RejectionReason::IncorrectWorklistEntry) => {
                dcm::INCORRECT_MODALITY_WORKLIST_ENTRY
            }
            Self::Rejected(RejectionReason::PatientSafety) => dcm::REJECTED_FOR_PATIENT_SAFETY_REASONS,
            Self::Rejected(RejectionReason::RetentionExpired) => dcm::DATA_RETENTION_POLICY_EXPIRED,
        };
        let description = match self {
            Self::Replaced => "Results that a newer analysis of the series replaced.",
            Self::Corrected => "Results under a patient or study that was corrected.",
            Self::Rejected(_) => "Results that were rejected, or whose images were.",
        };
        (title, description)
    }
}

impl fmt::Display for NoteCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced => formatter.write_str("replaced"),
            Self::Corrected => formatter.write_str("corrected"),
            Self::Rejected(reason) => reason.fmt(formatter),
        }
    }
}

/// A result that an archive has and that is not to be used any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RejectedResult {
    /// Series Instance UID.
    pub series_instance_uid: Uid,
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// SOP Class UID.
    pub sop_class_uid: Uid,
}

impl RejectedResult {
    fn reference(&self) -> Reference {
        Reference::object(self.sop_class_uid.as_str(), self.sop_instance_uid.clone())
    }

    /// Pictures and segmentations are images; documents are not.
    fn item(&self) -> ContentItem {
        let documents = [uids::COMPREHENSIVE3_DSR_STORAGE, uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE];
        let reference = self.reference();
        if documents.contains(&self.sop_class_uid.as_str()) {
            ContentItem::composite(&reference)
        } else {
            ContentItem::image(None, &reference)
        }
    }
}

/// The note. Its identity derives from the results and from `occasion`: what made them so, and who is told.
///
/// # Errors
/// The header lacks an attribute that every result needs.
pub fn rejection_note(
    header: &PlainHeader<'_>,
    rejected: &[RejectedResult],
    cause: NoteCause,
    occasion: &[&str],
) -> Result<ResultObject, ReportError> {
    let derived = |part| {
        let rejected = rejected.iter().map(|result| result.sop_instance_uid.as_str());
        Uid::derived(rejected.chain(occasion.iter().copied()).chain([ResultKind::RejectionNote.name(), part]))
    };
    let identity = ObjectIdentity {
        kind: ResultKind::RejectionNote,
        series: derived("series"),
        reference: Reference::object(uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE, derived("instance")),
    };
    let (title, description) = cause.texts();
    let root = ContentItem::container(&title, Some("2010"))
        .child(Relationship::HasConceptModifier, language())
        .children(Relationship::HasObservationContext, device_items(&header.device()))
        .child(Relationship::Contains, ContentItem::text(&dcm::KEY_OBJECT_DESCRIPTION, description))
        .children(Relationship::Contains, rejected.iter().map(RejectedResult::item));
    let data_set = header
        .compose(
            &identity,
            "KO",
            if cause == NoteCause::Replaced { "PE: replaced results" } else { "PE: rejected results" },
        )
        .with_items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new())
        .with_items(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![evidence(&header.study, rejected)]);
    Document { identity, data_set: data_set.with_root(root) }.into_result()
}

/// The results by their series, as in the evidence sequence.
fn evidence(study: &Uid, rejected: &[RejectedResult]) -> DataSet {
    let mut series: BTreeMap<&Uid, Vec<_>> = BTreeMap::new();
    for result in rejected {
        series.entry(&result.series_instance_uid).or_default().push(result.reference().item());
    }
    let series = series.into_iter().map(|(uid, instances)| in_series(uid, instances)).collect();
    empty().with(tags::STUDY_INSTANCE_UID, study.as_str()).with_items(tags::REFERENCED_SERIES_SEQUENCE, series)
}
