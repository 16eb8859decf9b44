//! What became of each object of a request, and how the client is told
//! ([PS3.18 10.5.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.5.3.html),
//! [I.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/chapter_I.html)).

use axum::http::StatusCode;
use dicom_core::VR;
use dicom_dictionary_std::tags;
use serde_json::{Map, Value, json};

use crate::dicom::bounded::ReadError;
use crate::dicom::{SeriesId, Uid};
use crate::node::archive::ArchiveError;
use crate::node::dicomweb::json::{key, text_element};

/// Why an object was not stored: values of Failure Reason (0008,1197). They equal the statuses of C-STORE
/// ([PS3.4 B.2.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_B.2.3.html)) where both
/// interfaces can fail alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureReason {
    /// The archive is full.
    Full,
    /// The object is larger than is accepted.
    TooLarge,
    /// Other uploads use the memory that it needs.
    Overloaded,
    /// A fault on this side, which passes or is repaired.
    Fault,
    /// The file meta information contradicts the data set, or an identifier is missing.
    Mismatch,
    /// The object cannot be read.
    Unreadable,
    /// The transfer syntax is not accepted.
    TransferSyntax,
    /// The sender may not do this here.
    NotAuthorized,
    /// The SOP Instance UID is that of another object.
    IdentifierTaken,
    /// The SOP class is not one of storage.
    SopClass,
    /// The object belongs to another study than the URL names.
    OtherStudy,
}

impl FailureReason {
    /// The value of Failure Reason.
    pub(super) fn code(self) -> u16 {
        match self {
            Self::Full | Self::TooLarge | Self::Overloaded | Self::Fault => 0xA700,
            Self::Mismatch => 0xA900,
            Self::Unreadable => 0xC000,
            Self::TransferSyntax => 0xC122,
            Self::NotAuthorized => 0x0124,
            Self::IdentifierTaken => 0xC100,
            Self::SopClass => 0x0122,
            Self::OtherStudy => 0xC409,
        }
    }
}

impl From<&ReadError> for FailureReason {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Truncated(_) | ReadError::Hostile(_) | ReadError::Unreadable(_) => Self::Unreadable,
            ReadError::Io(_) => Self::Fault,
        }
    }
}

impl From<&ArchiveError> for FailureReason {
    fn from(error: &ArchiveError) -> Self {
        match error {
            ArchiveError::Full(_) => Self::Full,
            ArchiveError::Unfit(_) => Self::Mismatch,
            ArchiveError::Forbidden(_) => Self::NotAuthorized,
            ArchiveError::Conflict(_) => Self::IdentifierTaken,
            ArchiveError::Damaged(_)
            | ArchiveError::Disk { .. }
            | ArchiveError::Record(..)
            | ArchiveError::Index(_)
            | ArchiveError::Closed => Self::Fault,
        }
    }
}

/// The identifiers of an object, as far as it states them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SopIdentity {
    pub(super) sop_class_uid: Option<Uid>,
    pub(super) sop_instance_uid: Option<Uid>,
}

/// Why an object is not stored, and which one.
pub(super) type Failure = (FailureReason, SopIdentity);

/// What became of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartOutcome {
    /// It is durable.
    Stored { sop_class_uid: Uid, sop_instance_uid: Uid, series: SeriesId },
    /// It is not.
    Failed { identity: SopIdentity, reason: FailureReason },
}

impl PartOutcome {
    /// True if the object is durable.
    pub(super) fn is_stored(&self) -> bool {
        matches!(self, Self::Stored { .. })
    }

    /// A part that did not arrive in full.
    pub(super) fn cut_off() -> Self {
        Self::Failed { identity: SopIdentity::default(), reason: FailureReason::Unreadable }
    }

    /// All parts beyond the most that one request may have.
    pub(super) fn left_out() -> Self {
        Self::Failed { identity: SopIdentity::default(), reason: FailureReason::TooLarge }
    }
}

/// The answer to a request: status (Table 10.5.3-1) and DICOM JSON.
pub(super) fn answer(outcomes: &[PartOutcome], base: &str) -> (StatusCode, Value) {
    let mut referenced = Vec::new();
    let mut failed = Vec::new();
    for outcome in outcomes {
        match outcome {
            PartOutcome::Stored { .. } => referenced.push(stored_item(outcome, base)),
            PartOutcome::Failed { identity, reason } => failed.push(failed_item(identity, *reason)),
        }
    }
    let mut response = Map::new();
    if let Some(study) = common_study(outcomes) {
        response.insert(key(tags::RETRIEVE_URL), text_element(VR::UR, &format!("{base}/studies/{study}")));
    }
    for (tag, items) in [(tags::FAILED_SOP_SEQUENCE, failed), (tags::REFERENCED_SOP_SEQUENCE, referenced)] {
        if !items.is_empty() {
            response.insert(key(tag), json!({ "vr": "SQ", "Value": items }));
        }
    }
    (status(outcomes), Value::Object(response))
}

fn status(outcomes: &[PartOutcome]) -> StatusCode {
    let all = |reason: FailureReason| {
        outcomes.iter().all(|outcome| matches!(outcome, PartOutcome::Failed { reason: known, .. } if *known == reason))
    };
    let any = |reason: FailureReason| {
        outcomes.iter().any(|outcome| matches!(outcome, PartOutcome::Failed { reason: known, .. } if *known == reason))
    };
    let stored = outcomes.iter().filter(|outcome| outcome.is_stored()).count();
    match stored {
        0 if all(FailureReason::Full) => StatusCode::INSUFFICIENT_STORAGE,
        0 if all(FailureReason::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
        // Whatever else is wrong with the request, it cannot be judged now.
        0 if any(FailureReason::Overloaded) || any(FailureReason::Fault) => StatusCode::SERVICE_UNAVAILABLE,
        0 => StatusCode::CONFLICT,
        _ if stored < outcomes.len() => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    }
}

/// The study of all stored objects, if it is one.
fn common_study(outcomes: &[PartOutcome]) -> Option<&Uid> {
    let mut studies = outcomes.iter().filter_map(|outcome| match outcome {
        PartOutcome::Stored { series, .. } => Some(&series.study_instance_uid),
        PartOutcome::Failed { .. } => None,
    });
    let first = studies.next()?;
    studies.all(|study| study == first).then_some(first)
}

fn stored_item(outcome: &PartOutcome, base: &str) -> Value {
    let PartOutcome::Stored { sop_class_uid, sop_instance_uid, series } = outcome else { return Value::Null };
    let SeriesId { study_instance_uid, series_instance_uid } = series;
    let url = format!("{base}/studies/{study_instance_uid}/series/{series_instance_uid}/instances/{sop_instance_uid}");
    Value::Object(Map::from_iter([
        (key(tags::REFERENCED_SOP_CLASS_UID), text_element(VR::UI, sop_class_uid.as_str())),
        (key(tags::REFERENCED_SOP_INSTANCE_UID), text_element(VR::UI, sop_instance_uid.as_str())),
        (key(tags::RETRIEVE_URL), text_element(VR::UR, &url)),
    ]))
}

/// One item per failure, with the identifiers that the object states: none if it is not DICOM.
fn failed_item(identity: &SopIdentity, reason: FailureReason) -> Value {
    let mut item = Map::from_iter([(key(tags::FAILURE_REASON), json!({ "vr": "US", "Value": [reason.code()] }))]);
    for (tag, uid) in [
        (tags::REFERENCED_SOP_CLASS_UID, &identity.sop_class_uid),
        (tags::REFERENCED_SOP_INSTANCE_UID, &identity.sop_instance_uid),
    ] {
        if let Some(uid) = uid {
            item.insert(key(tag), text_element(VR::UI, uid.as_str()));
        }
    }
    Value::Object(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Uid {
        Uid::parse(text).expect("uid")
    }

    fn stored() -> PartOutcome {
        PartOutcome::Stored {
            sop_class_uid: uid("1.1"),
            sop_instance_uid: uid("1.2"),
            series: SeriesId::new(uid("1.3"), uid("1.4")),
        }
    }

    fn failed(reason: FailureReason) -> PartOutcome {
        let identity = SopIdentity { sop_class_uid: Some(uid("1.1")), sop_instance_uid: Some(uid("1.9")) };
        PartOutcome::Failed { identity, reason }
    }

    #[test]
    fn the_status_says_whether_all_some_or_none_was_stored() {
        let status = |outcomes: &[PartOutcome]| answer(outcomes, "").0.as_u16();
        assert_eq!(status(&[stored(), stored()]), 200);
        assert_eq!(status(&[stored(), failed(FailureReason::Unreadable)]), 202);
        assert_eq!(status(&[failed(FailureReason::Unreadable), failed(FailureReason::Full)]), 409);
        assert_eq!(status(&[failed(FailureReason::TooLarge)]), 413);
        assert_eq!(status(&[failed(FailureReason::Full)]), 507);
        assert_eq!(status(&[failed(FailureReason::Overloaded)]), 503);
    }

    #[test]
    fn every_failure_is_an_item_and_empty_sequences_are_left_out() {
        let (_, response) = answer(&[stored()], "http://h/dicomweb");
        assert_eq!(response["00081190"]["Value"][0], "http://h/dicomweb/studies/1.3");
        assert_eq!(
            response["00081199"]["Value"][0]["00081190"]["Value"][0],
            "http://h/dicomweb/studies/1.3/series/1.4/instances/1.2"
        );
        assert!(response.get("00081198").is_none());
        let nameless = PartOutcome::Failed { identity: SopIdentity::default(), reason: FailureReason::Unreadable };
        let (_, response) = answer(&[failed(FailureReason::OtherStudy), nameless], "");
        assert_eq!(response["00081198"]["Value"][0]["00081197"]["Value"], json!([0xC409]));
        assert_eq!(response["00081198"]["Value"][0]["00081155"]["Value"], json!(["1.9"]));
        assert_eq!(response["00081198"]["Value"][1], json!({ "00081197": { "vr": "US", "Value": [0xC000] } }));
        assert!(response.get("00081199").is_none());
    }
}
