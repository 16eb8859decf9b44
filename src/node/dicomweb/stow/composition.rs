//! Objects that come as metadata and bulk data
//! ([PS3.18 10.5.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_10.5.html), 8.7.3): DICOM JSON in
//! the first part, and in a part each the large values that it refers to by BulkDataURI.

use bytes::Bytes;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::value::{DataSetSequence, PixelFragmentSequence};
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use dicom_object::mem::InMemElement;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};
use serde_json::{Map, Value, json};

use super::envelope::DICOM_JSON;
use super::outcome::{Failure, FailureReason, SopIdentity};
use crate::dicom::Uid;
use crate::dicom::elements::DataSet;
use crate::node::dicomweb::json::key;
use crate::node::dicomweb::media::{MediaType, frame_transfer_syntax};
use crate::node::dicomweb::multipart::PartHeaders;
use crate::node::memory::Lease;

/// Longest metadata of a request in bytes; in memory it takes some times as much.
const MAXIMUM_METADATA: usize = 32 << 20;
/// Most characters of a decimal string
/// ([PS3.5 6.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_6.2.html), DS).
const DECIMAL_STRING: usize = 16;

/// The parts of a request.
#[derive(Default)]
pub(super) struct Composition {
    metadata: Vec<Result<(Bytes, Lease), FailureReason>>,
    bulk_data: Vec<BulkData>,
}

/// A part with a large value, or with one frame of it.
struct BulkData {
    location: String,
    media_type: Option<MediaType>,
    content: Result<(Bytes, Lease), FailureReason>,
}

/// A data set as it would have come in a file.
pub(super) struct Composed {
    pub(super) transfer_syntax_uid: String,
    pub(super) data_set: Bytes,
}

/// Why metadata makes no object.
#[derive(Debug, thiserror::Error)]
enum CompositionError {
    #[error("`{0}` is no tag")]
    Tag(String),
    #[error("element {0} has no value representation")]
    Representation(String),
    #[error("element {tag}: {source}")]
    Value { tag: Tag, source: serde_json::Error },
    #[error("no part has the bulk data of element {0}")]
    Missing(Tag),
    #[error("the bulk data of element {0} is no text")]
    Text(Tag),
    #[error("a part of the request was refused")]
    Part(FailureReason),
    #[error("transfer syntax {0} is not known")]
    TransferSyntax(String),
    #[error("writing the data set: {0}")]
    Write(Box<dicom_object::WriteError>),
}

impl CompositionError {
    fn reason(&self) -> FailureReason {
        match self {
            Self::Part(reason) => *reason,
            Self::TransferSyntax(_) => FailureReason::TransferSyntax,
            _ => FailureReason::Unreadable,
        }
    }
}

impl Composition {
    /// Takes in a part.
    pub(super) fn add(&mut self, headers: PartHeaders, content: Result<(Bytes, Lease), FailureReason>) {
        let PartHeaders { media_type, location } = headers;
        let json = media_type.as_ref().is_some_and(|media_type| media_type.essence == DICOM_JSON);
        match location.filter(|_| !json) {
            Some(location) => self.bulk_data.push(BulkData { location, media_type, content }),
            // The first part is metadata, whatever it is called.
            None => self.metadata.push(content),
        }
    }

    /// The data sets of the metadata: an array of them, or one.
    pub(super) fn data_sets(&self) -> Result<Vec<Map<String, Value>>, FailureReason> {
        let mut data_sets = Vec::new();
        for part in &self.metadata {
            let (text, _) = part.as_ref().map_err(|reason| *reason)?;
            if text.len() > MAXIMUM_METADATA {
                return Err(FailureReason::TooLarge);
            }
            match serde_json::from_slice(text) {
                Ok(Value::Object(data_set)) => data_sets.push(data_set),
                Ok(Value::Array(several)) => {
                    for data_set in several {
                        let Value::Object(data_set) = data_set else { return Err(FailureReason::Unreadable) };
                        data_sets.push(data_set);
                    }
                }
                _ => return Err(FailureReason::Unreadable),
            }
        }
        if data_sets.is_empty() { Err(FailureReason::Unreadable) } else { Ok(data_sets) }
    }

    /// One object of its metadata.
    pub(super) fn compose(&self, metadata: &Map<String, Value>) -> Result<Composed, Failure> {
        self.composed(metadata).map_err(|error| {
            tracing::info!(%error, "metadata sent by STOW-RS makes no object");
            (error.reason(), identity(metadata))
        })
    }

    fn composed(&self, metadata: &Map<String, Value>) -> Result<Composed, CompositionError> {
        let mut transfer_syntax_uid = uids::EXPLICIT_VR_LITTLE_ENDIAN.to_owned();
        let mut data_set = self.data_set(metadata, &mut transfer_syntax_uid)?;
        // JSON is UTF-8, whatever the object was (F.2).
        data_set.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"));
        let syntax = TransferSyntaxRegistry
            .get(&transfer_syntax_uid)
            .ok_or_else(|| CompositionError::TransferSyntax(transfer_syntax_uid.clone()))?;
        let mut bytes = Vec::new();
        data_set.write_dataset_with_ts(&mut bytes, syntax).map_err(|error| CompositionError::Write(Box::new(error)))?;
        Ok(Composed { transfer_syntax_uid, data_set: bytes.into() })
    }

    /// A data set; `transfer_syntax_uid` becomes that of its frames, where they are compressed.
    fn data_set(
        &self,
        metadata: &Map<String, Value>,
        transfer_syntax_uid: &mut String,
    ) -> Result<DataSet, CompositionError> {
        let mut data_set = DataSet::new_empty();
        for (name, element) in metadata {
            let tag: Tag = name.parse().map_err(|_| CompositionError::Tag(name.chars().take(16).collect()))?;
            // File meta information and group lengths are of a file, which this is not.
            if tag.group() > 2 && tag.element() != 0 {
                data_set.put(self.element(tag, element, transfer_syntax_uid)?);
            }
        }
        Ok(data_set)
    }

    fn element(
        &self,
        tag: Tag,
        element: &Value,
        transfer_syntax_uid: &mut String,
    ) -> Result<InMemElement, CompositionError> {
        let vr = representation(tag, element).ok_or_else(|| CompositionError::Representation(key(tag)))?;
        if let Some(uri) = element["BulkDataURI"].as_str() {
            return self.bulk_data(tag, vr, uri, transfer_syntax_uid);
        }
        if vr == VR::SQ {
            let items = element["Value"].as_array().map(Vec::as_slice).unwrap_or_default();
            let empty = Map::new();
            let items: Result<Vec<DataSet>, CompositionError> = items
                .iter()
                .map(|item| self.data_set(item.as_object().unwrap_or(&empty), transfer_syntax_uid))
                .collect();
            return Ok(DataElement::new(tag, vr, DataSetSequence::new(items?, Length::UNDEFINED)));
        }
        let alone = json!({ key(tag): tidy(vr, element.clone()) });
        let data_set: DataSet =
            dicom_json::from_value(alone).map_err(|source| CompositionError::Value { tag, source })?;
        data_set.into_iter().next().ok_or_else(|| CompositionError::Representation(key(tag)))
    }

    fn bulk_data(
        &self,
        tag: Tag,
        vr: VR,
        uri: &str,
        transfer_syntax_uid: &mut String,
    ) -> Result<InMemElement, CompositionError> {
        let mut contents = Vec::new();
        for part in self.bulk_data.iter().filter(|part| part.location == uri) {
            let (content, _) = part.content.as_ref().map_err(|reason| CompositionError::Part(*reason))?;
            contents.push((part.media_type.as_ref(), content));
        }
        let (media_type, first) = contents.first().copied().ok_or(CompositionError::Missing(tag))?;
        let syntax = media_type.and_then(frame_transfer_syntax).filter(|uid| *uid != uids::EXPLICIT_VR_LITTLE_ENDIAN);
        if let Some(syntax) = syntax.filter(|_| tag == tags::PIXEL_DATA) {
            syntax.clone_into(transfer_syntax_uid);
            let fragments: Vec<Vec<u8>> = contents.iter().map(|(_, frame)| padded(frame)).collect();
            return Ok(DataElement::new(tag, VR::OB, PixelFragmentSequence::new(Vec::new(), fragments)));
        }
        if matches!(vr, VR::LT | VR::ST | VR::UC | VR::UR | VR::UT) {
            let text = std::str::from_utf8(first).map_err(|_| CompositionError::Text(tag))?;
            return Ok(DataElement::new(tag, vr, PrimitiveValue::from(text)));
        }
        Ok(DataElement::new(tag, vr, PrimitiveValue::U8(padded(first).into())))
    }
}

/// The value representation that an element names, or the dictionary's: pydicom writes `OB or OW` for pixels.
fn representation(tag: Tag, element: &Value) -> Option<VR> {
    let known = || StandardDataDictionary.by_tag(tag).map(|entry| entry.vr().relaxed());
    let named = element.as_object()?.get("vr").and_then(Value::as_str);
    named.and_then(|vr| vr.parse().ok()).or_else(known)
}

/// Bytes of even number.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    if !padded.len().is_multiple_of(2) {
        padded.push(0);
    }
    padded
}

/// An element with values that dicom-json reads: no null among them, and no number that is too long for its string.
fn tidy(vr: VR, mut element: Value) -> Value {
    for value in element.get_mut("Value").and_then(Value::as_array_mut).into_iter().flatten() {
        match (vr, &*value) {
            (VR::PN, Value::Null) => *value = json!({}),
            (VR::DS | VR::IS, Value::Null) => *value = Value::from(""),
            (VR::DS, Value::Number(number)) => *value = Value::from(decimal_string(&number.to_string())),
            _ => {}
        }
    }
    element["vr"] = Value::from(vr.to_string());
    element
}

/// A number as precise as a decimal string can be.
fn decimal_string(number: &str) -> String {
    if number.len() <= DECIMAL_STRING {
        return number.to_owned();
    }
    let value: f64 = number.parse().unwrap_or_default();
    let shorter = (0..=DECIMAL_STRING).rev().map(|digits| format!("{value:.digits$}"));
    let scientific = (0..=DECIMAL_STRING).rev().map(|digits| format!("{value:.digits$e}"));
    let fits = |text: &String| text.len() <= DECIMAL_STRING;
    let plain = (value == 0.0 || value.abs() >= 1e-4).then(|| shorter.into_iter().find(fits)).flatten();
    plain.or_else(|| scientific.into_iter().find(fits)).unwrap_or_else(|| "0".to_owned())
}

/// What metadata says of its object.
fn identity(metadata: &Map<String, Value>) -> SopIdentity {
    let uid = |tag| {
        let text = metadata.get(&key(tag)).and_then(|element| element["Value"][0].as_str());
        text.and_then(|text| Uid::parse(text).ok())
    };
    SopIdentity { sop_class_uid: uid(tags::SOP_CLASS_UID), sop_instance_uid: uid(tags::SOP_INSTANCE_UID) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composition(parts: &[(&str, Option<&str>, &[u8])]) -> Composition {
        let mut composition = Composition::default();
        for (media_type, location, content) in parts {
            let headers =
                PartHeaders { media_type: MediaType::parse(media_type), location: location.map(str::to_owned) };
            composition.add(headers, Ok((Bytes::copy_from_slice(content), Lease::default())));
        }
        composition
    }

    #[test]
    fn numbers_fit_their_strings() {
        for (number, text) in [("-1.5", "-1.5"), ("0.12345678901234567", "0.12345678901235"), ("7", "7")] {
            assert_eq!(decimal_string(number), text);
        }
        let tiny = decimal_string("0.00000012345678901234");
        assert!(tiny.len() <= DECIMAL_STRING && (tiny.parse::<f64>().expect("number") - 1.234_567_89e-7).abs() < 1e-15);
    }

    #[test]
    fn metadata_without_its_bulk_data_makes_no_object_and_says_which() {
        let metadata = json!([{
            "00080018": { "vr": "UI", "Value": ["1.2.3"] },
            "7FE00010": { "vr": "OB or OW", "BulkDataURI": "b/1" },
        }]);
        let parts = composition(&[("application/dicom+json", None, metadata.to_string().as_bytes())]);
        let data_sets = parts.data_sets().expect("metadata");
        let error = parts.composed(&data_sets[0]).err().expect("an error");
        assert_eq!(error.to_string(), "no part has the bulk data of element (7FE0,0010)");
        let (reason, identity) = parts.compose(&data_sets[0]).err().expect("a failure");
        assert_eq!(reason, FailureReason::Unreadable);
        assert_eq!(identity.sop_instance_uid, Uid::parse("1.2.3").ok());
    }

    #[test]
    fn what_is_no_element_is_refused_by_its_tag() {
        for (metadata, told) in [
            (json!({ "00280010": 7 }), "element 00280010 has no value representation"),
            (json!({ "00091001": {} }), "element 00091001 has no value representation"),
            (json!({ "Rows": { "vr": "US" } }), "`Rows` is no tag"),
        ] {
            let error = Composition::default().composed(metadata.as_object().expect("an object")).err();
            assert_eq!(error.expect("an error").to_string(), told);
        }
    }

    #[test]
    fn what_is_no_metadata_is_refused() {
        for text in ["", "7", "[7]", "{", "[]"] {
            let parts = composition(&[("application/dicom+json", None, text.as_bytes())]);
            assert_eq!(parts.data_sets().err(), Some(FailureReason::Unreadable), "{text}");
        }
        let nested = "[".repeat(100_000);
        assert!(composition(&[("text/plain", None, nested.as_bytes())]).data_sets().is_err());
    }
}
