//! Rejection notes: key object selections that say which objects are not to be used, and why
//! (IHE Imaging Object Change Management; titles of
//! [CID 7011](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_CID_7011.html) and
//! [CID 7010](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_CID_7010.html)).

use std::collections::BTreeSet;

use dicom_dictionary_std::{tags, uids};
use serde::{Deserialize, Serialize};

use super::elements::{DataSet, items, text, uid};
use super::{SeriesId, Uid};

/// Why objects are rejected, by the title of the note.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RejectionReason {
    /// (113001, DCM, Rejected for Quality Reasons).
    Quality,
    /// (113037, DCM, Rejected for Patient Safety Reasons).
    PatientSafety,
    /// (113038, DCM, Incorrect Modality Worklist Entry): the objects are of another patient or order.
    IncorrectWorklistEntry,
    /// (113039, DCM, Data Retention Policy Expired).
    RetentionExpired,
}

impl RejectionReason {
    fn of(code: &str) -> Option<Self> {
        match code {
            "113001" => Some(Self::Quality),
            "113037" => Some(Self::PatientSafety),
            "113038" => Some(Self::IncorrectWorklistEntry),
            "113039" => Some(Self::RetentionExpired),
            _ => None,
        }
    }

    /// True if what was found in the objects must not be read any more: they may be of another patient, or unsafe.
    pub fn voids_results(self) -> bool {
        matches!(self, Self::PatientSafety | Self::IncorrectWorklistEntry)
    }
}

/// A rejection note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectionNote {
    /// Why.
    pub reason: RejectionReason,
    /// The rejected objects, each with its series.
    pub objects: BTreeSet<(SeriesId, Uid)>,
}

impl RejectionNote {
    /// Reads a note; `None` of any other object.
    pub fn read(header: &DataSet) -> Option<Self> {
        if text(header, tags::SOP_CLASS_UID)? != uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE {
            return None;
        }
        let title = items(header, tags::CONCEPT_NAME_CODE_SEQUENCE).first()?;
        if text(title, tags::CODING_SCHEME_DESIGNATOR)? != "DCM" {
            return None;
        }
        let reason = RejectionReason::of(&text(title, tags::CODE_VALUE)?)?;
        Some(Self { reason, objects: referenced(header) })
    }
}

/// What the evidence of a document names (PS3.3 C.17.6.2).
fn referenced(header: &DataSet) -> BTreeSet<(SeriesId, Uid)> {
    let mut objects = BTreeSet::new();
    for study in items(header, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE) {
        for series in items(study, tags::REFERENCED_SERIES_SEQUENCE) {
            let address = uid(study, tags::STUDY_INSTANCE_UID).zip(uid(series, tags::SERIES_INSTANCE_UID));
            let Some((study, series_uid)) = address else { continue };
            let series_id = SeriesId::new(study, series_uid);
            let named = items(series, tags::REFERENCED_SOP_SEQUENCE);
            objects.extend(
                named
                    .iter()
                    .filter_map(|item| uid(item, tags::REFERENCED_SOP_INSTANCE_UID))
                    .map(|object| (series_id.clone(), object)),
            );
        }
    }
    objects
}
