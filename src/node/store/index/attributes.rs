//! Which attributes the index keeps at which level, and how it writes them down: as DICOM JSON (PS3.18 annex F).

use dicom_core::VR;
use dicom_core::header::Header;
use dicom_dictionary_std::tags;
use dicom_object::Tag;
use dicom_object::mem::InMemElement;

use super::query::Level;
use super::text::unpadded;
use crate::dicom::elements::{DataSet, text};

/// Attributes of the patient and the study (PS3.3 C.7.1, C.7.2).
const STUDY: &[Tag] = &[
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::STUDY_ID,
    tags::STUDY_DESCRIPTION,
    tags::ACCESSION_NUMBER,
    tags::ISSUER_OF_ACCESSION_NUMBER_SEQUENCE,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::PHYSICIANS_OF_RECORD,
    tags::NAME_OF_PHYSICIANS_READING_STUDY,
    tags::PROCEDURE_CODE_SEQUENCE,
    tags::ADMITTING_DIAGNOSES_DESCRIPTION,
    tags::ADMISSION_ID,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::OTHER_PATIENT_I_DS_SEQUENCE,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_BIRTH_TIME,
    tags::PATIENT_SEX,
    tags::PATIENT_AGE,
    tags::PATIENT_SIZE,
    tags::PATIENT_WEIGHT,
    tags::PATIENT_COMMENTS,
    tags::OCCUPATION,
    tags::ADDITIONAL_PATIENT_HISTORY,
    tags::PATIENT_SPECIES_DESCRIPTION,
    tags::PATIENT_IDENTITY_REMOVED,
    tags::DEIDENTIFICATION_METHOD,
];

/// Attributes of the series, its frame of reference and its equipment (PS3.3 C.7.3, C.7.4, C.7.5).
const SERIES: &[Tag] = &[
    tags::SERIES_INSTANCE_UID,
    tags::MODALITY,
    tags::SERIES_NUMBER,
    tags::SERIES_DATE,
    tags::SERIES_TIME,
    tags::SERIES_DESCRIPTION,
    tags::SERIES_DESCRIPTION_CODE_SEQUENCE,
    tags::LATERALITY,
    tags::BODY_PART_EXAMINED,
    tags::PATIENT_POSITION,
    tags::PROTOCOL_NAME,
    tags::PERFORMING_PHYSICIAN_NAME,
    tags::OPERATORS_NAME,
    tags::PERFORMED_PROCEDURE_STEP_START_DATE,
    tags::PERFORMED_PROCEDURE_STEP_START_TIME,
    tags::PERFORMED_PROCEDURE_STEP_ID,
    tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION,
    tags::PERFORMED_PROTOCOL_CODE_SEQUENCE,
    tags::REQUEST_ATTRIBUTES_SEQUENCE,
    tags::FRAME_OF_REFERENCE_UID,
    tags::POSITION_REFERENCE_INDICATOR,
    tags::MANUFACTURER,
    tags::MANUFACTURER_MODEL_NAME,
    tags::INSTITUTION_NAME,
    tags::INSTITUTIONAL_DEPARTMENT_NAME,
    tags::STATION_NAME,
    tags::DEVICE_SERIAL_NUMBER,
    tags::SOFTWARE_VERSIONS,
];

/// What a search for studies returns unasked (PS3.18 table 10.6.3-3), beside what is counted.
const STUDY_RETURN: &[Tag] = &[
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::TIMEZONE_OFFSET_FROM_UTC,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_ID,
    tags::STUDY_DESCRIPTION,
];

/// What a search for series returns unasked (PS3.18 table 10.6.3-4), beside what is counted.
const SERIES_RETURN: &[Tag] = &[
    tags::MODALITY,
    tags::SERIES_DESCRIPTION,
    tags::SERIES_INSTANCE_UID,
    tags::SERIES_NUMBER,
    tags::PERFORMED_PROCEDURE_STEP_START_DATE,
    tags::PERFORMED_PROCEDURE_STEP_START_TIME,
    tags::REQUEST_ATTRIBUTES_SEQUENCE,
];

/// What a search for instances returns unasked (PS3.18 table 10.6.3-5).
const INSTANCE_RETURN: &[Tag] = &[
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::INSTANCE_NUMBER,
    tags::ROWS,
    tags::COLUMNS,
    tags::BITS_ALLOCATED,
    tags::NUMBER_OF_FRAMES,
];

/// Texts longer than this, in bytes, are not kept in the index.
const LONGEST_TEXT: u32 = 1024;
/// Sequences longer than this, as JSON in bytes, are not kept in the index.
const LONGEST_SEQUENCE: usize = 4096;

/// The level an attribute is kept at.
pub(super) fn level_of(tag: Tag) -> Level {
    if STUDY.contains(&tag) {
        Level::Study
    } else if SERIES.contains(&tag) {
        Level::Series
    } else {
        Level::Instance
    }
}

impl Level {
    /// The attributes that the index keeps at this level; at the lowest one, every attribute that no other level has, but
    /// for bulk data, private ones and overlong texts.
    pub fn attributes(self) -> &'static [Tag] {
        match self {
            Self::Study => STUDY,
            Self::Series => SERIES,
            Self::Instance => INSTANCE_RETURN,
        }
    }
}

/// Attributes that clients search by or ask for, as far as the standard's tables and the index name them.
pub fn searchable() -> impl Iterator<Item = Tag> {
    let counted = [tags::MODALITIES_IN_STUDY, tags::SOP_CLASSES_IN_STUDY, tags::INSTANCE_AVAILABILITY];
    STUDY.iter().chain(SERIES).chain(INSTANCE_RETURN).copied().chain(counted)
}

/// True if a search at this level returns the attribute unasked. Attributes of higher levels are returned as well.
pub(super) fn is_returned(level: Level, tag: Tag) -> bool {
    STUDY_RETURN.contains(&tag)
        || (level >= Level::Series && SERIES_RETURN.contains(&tag))
        || (level >= Level::Instance && INSTANCE_RETURN.contains(&tag))
}

/// Attributes that no object carries: SQL matches their keys, or they are not matched.
pub(super) fn is_computed(tag: Tag) -> bool {
    [
        tags::MODALITIES_IN_STUDY,
        tags::SOP_CLASSES_IN_STUDY,
        tags::INSTANCE_AVAILABILITY,
        tags::NUMBER_OF_STUDY_RELATED_SERIES,
        tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
        tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
    ]
    .contains(&tag)
}

/// The attributes of an object that the index keeps, by level, as DICOM JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexedAttributes {
    pub(super) study: String,
    pub(super) series: String,
    pub(super) instance: String,
}

impl IndexedAttributes {
    /// Sorts the attributes of a header into levels; bulk data, private, overlong and unwritable ones are left out.
    pub(super) fn of(header: &DataSet) -> Self {
        let [mut study, mut series, mut instance] = [(); 3].map(|()| JsonObject::new());
        for element in header {
            if let Some(json) = json(&unpadded(element)) {
                let object = match level_of(element.tag()) {
                    Level::Study => &mut study,
                    Level::Series => &mut series,
                    Level::Instance => &mut instance,
                };
                object.push(element.tag(), &json);
            }
        }
        Self { study: study.finish(), series: series.finish(), instance: instance.finish() }
    }
}

/// All attributes of a data set as DICOM JSON; those that cannot be written are left out.
pub(in crate::node::store) fn written(data_set: &DataSet) -> String {
    let mut object = JsonObject::new();
    for element in data_set {
        if let Ok(json) = dicom_json::to_string(&unpadded(element)) {
            object.push(element.tag(), &json);
        }
    }
    object.finish()
}

/// A JSON object written piece by piece, since its members are JSON already.
struct JsonObject(String);

impl JsonObject {
    fn new() -> Self {
        Self("{".to_owned())
    }

    fn push(&mut self, tag: Tag, json: &str) {
        use std::fmt::Write as _;
        let comma = if self.0.len() > 1 { "," } else { "" };
        let _ = write!(self.0, "{comma}\"{:04X}{:04X}\":{json}", tag.group(), tag.element());
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// True if the index keeps this attribute where an object has it and it is not too long.
pub(super) fn is_kept(tag: Tag) -> bool {
    let group_length = tag.element() == 0;
    let private = tag.group() % 2 == 1;
    !group_length && !private && tag.group() >= 0x0008 && tag != tags::SPECIFIC_CHARACTER_SET
}

fn json(element: &InMemElement) -> Option<String> {
    if !is_kept(element.tag()) {
        return None;
    }
    let bulk = matches!(element.vr(), VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN);
    let overlong = element.items().is_none() && element.header().len.0 > LONGEST_TEXT;
    if bulk || overlong || element.value().multiplicity() > LONGEST_TEXT {
        return None;
    }
    let json = dicom_json::to_string(element).ok()?;
    (json.len() <= LONGEST_SEQUENCE).then_some(json)
}

/// Reads attributes that the index wrote. Elements that cannot be read back are left out.
pub(in crate::node::store) fn read(json: &str) -> DataSet {
    if let Ok(data_set) = dicom_json::from_str::<DataSet>(json) {
        return data_set;
    }
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let mut data_set = DataSet::new_empty();
    for (tag, element) in members {
        let single = serde_json::Value::Object([(tag, element)].into_iter().collect());
        if let Ok(part) = dicom_json::from_value::<DataSet>(single) {
            for element in part {
                data_set.put(element);
            }
        }
    }
    data_set
}

/// A text among attributes that the index wrote, in lower case; empty if there is none.
pub(super) fn folded(json: &str, tag: Tag) -> String {
    text(&read(json), tag).unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use dicom_core::{DataElement, PrimitiveValue};

    use super::*;
    use crate::dicom::elements::{integer, numbers};

    #[test]
    fn attributes_come_back_at_their_level_and_bulk_and_private_ones_do_not() {
        let header = DataSet::from_element_iter([
            DataElement::new(tags::PATIENT_NAME, VR::PN, "Doe^Jane "),
            DataElement::new(tags::MODALITY, VR::CS, "CT"),
            DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(512_u16)),
            DataElement::new(tags::PIXEL_SPACING, VR::DS, "0.7\\0.80 "),
            DataElement::new(Tag(0x0009, 0x0010), VR::LO, "VENDOR"),
            DataElement::new(tags::ICC_PROFILE, VR::OB, PrimitiveValue::from(vec![1_u8; 8])),
            DataElement::new(tags::IMAGE_COMMENTS, VR::LT, "x".repeat(5000)),
            DataElement::new(tags::WINDOW_CENTER, VR::DS, "soft tissue"),
        ]);
        let attributes = IndexedAttributes::of(&header);
        let [study, series, instance] =
            [&attributes.study, &attributes.series, &attributes.instance].map(|json| read(json));
        assert_eq!(text(&study, tags::PATIENT_NAME).as_deref(), Some("Doe^Jane"));
        assert_eq!(study.iter().count(), 1);
        assert_eq!(text(&series, tags::MODALITY).as_deref(), Some("CT"));
        assert_eq!(integer(&instance, tags::ROWS), Some(512));
        assert_eq!(numbers(&instance, tags::PIXEL_SPACING), Some(vec![0.7, 0.8]));
        assert!(instance.get(tags::ICC_PROFILE).is_none() && instance.get(tags::IMAGE_COMMENTS).is_none());
        assert!(instance.get(Tag(0x0009, 0x0010)).is_none());
    }

    #[test]
    fn one_unreadable_element_does_not_hide_the_others() {
        let data_set = read(r#"{"00080060":{"vr":"CS","Value":["CT"]},"00280010":{"vr":"US","Value":["many"]}}"#);
        assert_eq!(text(&data_set, tags::MODALITY).as_deref(), Some("CT"));
        assert!(data_set.get(tags::ROWS).is_none());
    }
}
