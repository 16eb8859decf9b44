//! A rejection note: a Key Object Selection that tells an archive not to use results any more, because newer ones replaced
//! them ([TID 2010](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_TID_2010.html), IHE Imaging Object
//! Change Management).
//!
//! The title of what was replaced is (113001, DCM, Rejected for Quality Reasons). Of the four titles of that profile it is the one that leaves the
//! objects to those who have to look them up: a report that was read is neither unsafe to keep (113037), nor of another
//! patient (113038), nor to be deleted (113039). PS3.16 has no title for what was replaced.
//! Results under a patient that was corrected have the title that the corrected images would have (113038).

use std::collections::BTreeMap;

use dicom_dictionary_std::{tags, uids};

use super::element::{Compose, empty};
use super::header::{Document, ObjectIdentity, Reference, in_series};
use super::plain_header::PlainHeader;
use super::sr::{ContentItem, Relationship, SrDocument, device_items, language};
use super::{ReportError, ResultKind, ResultObject};
use crate::dicom::concept::dcm;
use crate::dicom::elements::DataSet;
use crate::dicom::{RejectionReason, Uid};

/// A result that an archive has and that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplacedResult {
    /// Series Instance UID.
    pub series_instance_uid: Uid,
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// SOP Class UID.
    pub sop_class_uid: Uid,
}

impl ReplacedResult {
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

/// The note. Its identity derives from the results and from `newer`, the job whose results replaced them.
///
/// # Errors
/// The header lacks an attribute that every result needs.
pub fn rejection_note(
    header: &PlainHeader<'_>,
    replaced: &[ReplacedResult],
    reason: RejectionReason,
    newer: &str,
) -> Result<ResultObject, ReportError> {
    let derived = |part| {
        let replaced = replaced.iter().map(|result| result.sop_instance_uid.as_str());
        Uid::derived(replaced.chain([newer, ResultKind::RejectionNote.name(), part]))
    };
    let identity = ObjectIdentity {
        kind: ResultKind::RejectionNote,
        series: derived("series"),
        reference: Reference::object(uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE, derived("instance")),
    };
    let (title, description) = match reason {
        RejectionReason::IncorrectWorklistEntry => {
            (&dcm::INCORRECT_MODALITY_WORKLIST_ENTRY, "Results under a patient or study that was corrected.")
        }
        _ => (&dcm::REJECTED_FOR_QUALITY_REASONS, "Results that a newer analysis of the series replaced."),
    };
    let root = ContentItem::container(title, Some("2010"))
        .child(Relationship::HasConceptModifier, language())
        .children(Relationship::HasObservationContext, device_items(&header.device()))
        .child(Relationship::Contains, ContentItem::text(&dcm::KEY_OBJECT_DESCRIPTION, description))
        .children(Relationship::Contains, replaced.iter().map(ReplacedResult::item));
    let data_set = header
        .compose(&identity, "KO", "PE: replaced results")
        .with_items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new())
        .with_items(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![evidence(&header.study, replaced)]);
    Document { identity, data_set: data_set.with_root(root) }.into_result()
}

/// The results by their series, as in the evidence sequence.
fn evidence(study: &Uid, replaced: &[ReplacedResult]) -> DataSet {
    let mut series: BTreeMap<&Uid, Vec<_>> = BTreeMap::new();
    for result in replaced {
        series.entry(&result.series_instance_uid).or_default().push(result.reference().item());
    }
    let series = series.into_iter().map(|(uid, instances)| in_series(uid, instances)).collect();
    empty().with(tags::STUDY_INSTANCE_UID, study.as_str()).with_items(tags::REFERENCED_SERIES_SEQUENCE, series)
}
