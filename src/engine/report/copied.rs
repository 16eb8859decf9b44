//! Patient and study as in the source: viewers would show a second patient otherwise.

use dicom_core::header::Header as _;
use dicom_dictionary_std::tags;
use dicom_object::Tag;

use super::element::{Compose, empty};
use crate::dicom::dates;
use crate::dicom::elements::DataSet;

/// Patient, general study and patient study modules
/// ([PS3.3 C.7.1 and C.7.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.html)) outside
/// group 0010, clinical trial subject and study among them. Group 0010 is copied as a whole.
const COPIED: [Tag; 43] = [
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::ISSUER_OF_ACCESSION_NUMBER_SEQUENCE,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::REFERRING_PHYSICIAN_IDENTIFICATION_SEQUENCE,
    tags::CONSULTING_PHYSICIAN_NAME,
    tags::CONSULTING_PHYSICIAN_IDENTIFICATION_SEQUENCE,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::STUDY_DESCRIPTION,
    tags::PROCEDURE_CODE_SEQUENCE,
    tags::PHYSICIANS_OF_RECORD,
    tags::PHYSICIANS_OF_RECORD_IDENTIFICATION_SEQUENCE,
    tags::NAME_OF_PHYSICIANS_READING_STUDY,
    tags::PHYSICIANS_READING_STUDY_IDENTIFICATION_SEQUENCE,
    tags::ADMITTING_DIAGNOSES_DESCRIPTION,
    tags::ADMITTING_DIAGNOSES_CODE_SEQUENCE,
    tags::REFERENCED_STUDY_SEQUENCE,
    tags::REFERENCED_PATIENT_SEQUENCE,
    tags::CLINICAL_TRIAL_SPONSOR_NAME,
    tags::CLINICAL_TRIAL_PROTOCOL_ID,
    tags::CLINICAL_TRIAL_PROTOCOL_NAME,
    tags::CLINICAL_TRIAL_SITE_ID,
    tags::CLINICAL_TRIAL_SITE_NAME,
    tags::CLINICAL_TRIAL_SUBJECT_ID,
    tags::CLINICAL_TRIAL_SUBJECT_READING_ID,
    tags::CLINICAL_TRIAL_TIME_POINT_ID,
    tags::CLINICAL_TRIAL_TIME_POINT_DESCRIPTION,
    tags::PATIENT_IDENTITY_REMOVED,
    tags::DEIDENTIFICATION_METHOD,
    tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_ID,
    tags::REQUESTING_SERVICE,
    tags::REQUESTING_SERVICE_CODE_SEQUENCE,
    tags::REASON_FOR_VISIT,
    tags::REASON_FOR_VISIT_CODE_SEQUENCE,
    tags::ADMISSION_ID,
    tags::ISSUER_OF_ADMISSION_ID_SEQUENCE,
    tags::SERVICE_EPISODE_ID,
    tags::SERVICE_EPISODE_DESCRIPTION,
    tags::PATIENT_STATE,
    tags::REASON_FOR_PERFORMED_PROCEDURE_CODE_SEQUENCE,
];

/// Attributes of those modules that must be present, with or without a value (type 2).
const REQUIRED: [Tag; 9] = [
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::STUDY_ID,
];

/// The modules of the source, each attribute as it is. Dates and times of old forms are written as DICOM wants them, and
/// text is decoded and encoded again as UTF-8, which every consumer decodes to the same characters.
pub(super) fn patient_and_study(source: &DataSet) -> DataSet {
    let mut copy = empty();
    for tag in REQUIRED {
        copy = copy.with(tag, "");
    }
    for element in source {
        if element.tag().group() == 0x0010 || COPIED.contains(&element.tag()) {
            copy.put(dates::repaired(element));
        }
    }
    copy
}
