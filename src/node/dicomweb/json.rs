//! The DICOM JSON model ([PS3.18 Annex F](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/chapter_F.html)):
//! values by dicom-json, and what viewers need besides: bulk data by reference, decimal and integer strings as numbers,
//! no empty values.

use dicom_core::header::Header;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::mem::InMemElement;
use serde_json::{Map, Value, json};

use crate::dicom::elements::DataSet;

/// Binary values up to this many bytes are given inline.
const INLINE_BYTES: usize = 1024;

/// Where the large binary values of an instance are found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BulkData<'a> {
    /// Everything inline: query answers hold no bulk data.
    Inline,
    /// Under this URL, followed by the path of the element (`TAG` or `TAG/ITEM/TAG`).
    At(&'a str),
}

/// A data set as a DICOM JSON object.
pub(crate) fn object(data_set: &DataSet, bulk_data: BulkData<'_>) -> Map<String, Value> {
    nested(data_set, bulk_data, "")
}

/// The reference to Pixel Data or one of its float kinds, which are not read with the header.
pub(crate) fn pixel_data_reference(tag: Tag, url: &str) -> (String, Value) {
    let vr = match tag {
        tags::FLOAT_PIXEL_DATA => VR::OF,
        tags::DOUBLE_FLOAT_PIXEL_DATA => VR::OD,
        _ => VR::OW,
    };
    (key(tag), reference(vr, url, &key(tag)))
}

/// A tag as eight hexadecimal digits.
pub(crate) fn key(tag: Tag) -> String {
    format!("{:04X}{:04X}", tag.group(), tag.element())
}

/// An element with one text value, such as a URL.
pub(crate) fn text_element(vr: VR, value: &str) -> Value {
    json!({ "vr": vr.to_string(), "Value": [value] })
}

fn nested(data_set: &DataSet, bulk_data: BulkData<'_>, path: &str) -> Map<String, Value> {
    data_set
        .iter()
        // Group lengths and padding say nothing outside a file (F.2.2).
        .filter(|element| element.tag().element() != 0 && element.tag() != tags::DATA_SET_TRAILING_PADDING)
        .map(|element| {
            let key = key(element.tag());
            let value = self::element(element, bulk_data, &format!("{path}{key}"));
            (key, value)
        })
        .collect()
}

fn element(element: &InMemElement, bulk_data: BulkData<'_>, path: &str) -> Value {
    let vr = element.vr();
    if element.tag() == tags::SPECIFIC_CHARACTER_SET {
        // JSON is UTF-8, whatever the stored object is (F.2).
        return text_element(VR::CS, "ISO_IR 192");
    }
    if let Some(items) = element.value().items() {
        let items: Vec<Value> = items
            .iter()
            .enumerate()
            .map(|(index, item)| Value::Object(nested(item, bulk_data, &format!("{path}/{index}/"))))
            .collect();
        return with_values(vr, items);
    }
    if let BulkData::At(url) = bulk_data
        && is_bulk(element)
    {
        return reference(vr, url, path);
    }
    // An element whose value contradicts its representation is shown as empty rather than left out.
    let mut value = dicom_json::to_value(element).unwrap_or_else(|_| json!({ "vr": vr.to_string() }));
    let Some(values) = value.get_mut("Value").and_then(Value::as_array_mut).map(std::mem::take) else { return value };
    with_values(vr, values.into_iter().map(|value| tidy(vr, value)).collect())
}

/// True for a large binary value, which metadata refers to.
pub(super) fn is_bulk(element: &InMemElement) -> bool {
    let binary = matches!(element.vr(), VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN);
    let large = || element.value().primitive().is_none_or(|value| value.calculate_byte_len() > INLINE_BYTES);
    binary && element.value().items().is_none() && large()
}

fn reference(vr: VR, url: &str, path: &str) -> Value {
    json!({ "vr": vr.to_string(), "BulkDataURI": format!("{url}/{path}") })
}

/// No `Value` where there is nothing, as F.2.5 demands.
fn with_values(vr: VR, values: Vec<Value>) -> Value {
    let mut element = Map::from_iter([("vr".to_owned(), Value::from(vr.to_string()))]);
    if !values.iter().all(Value::is_null) {
        element.insert("Value".to_owned(), Value::Array(values));
    }
    Value::Object(element)
}

/// Decimal and integer strings as numbers where they are numbers; empty values as null.
fn tidy(vr: VR, value: Value) -> Value {
    match value {
        Value::String(text) => {
            let trimmed = text.trim_matches([' ', '\0']);
            match vr {
                _ if trimmed.is_empty() => Value::Null,
                VR::IS => trimmed.parse::<i64>().map_or_else(|_| Value::from(trimmed), Value::from),
                VR::DS => trimmed
                    .parse::<f64>()
                    .ok()
                    .and_then(serde_json::Number::from_f64)
                    .map_or_else(|| Value::from(trimmed), Value::Number),
                VR::UI | VR::CS | VR::AE | VR::DA | VR::TM | VR::DT => Value::from(trimmed),
                _ => Value::from(text.trim_end_matches([' ', '\0'])),
            }
        }
        Value::Object(name) if name.is_empty() => Value::Null,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, PrimitiveValue, dicom_value};

    use super::*;

    #[test]
    fn strings_of_numbers_become_numbers_and_nothing_becomes_null() {
        let data_set = DataSet::from_element_iter([
            DataElement::new(tags::IMAGE_POSITION_PATIENT, VR::DS, dicom_value!(Strs, ["-1.50", "2 ", ""])),
            DataElement::new(tags::INSTANCE_NUMBER, VR::IS, "7 "),
            DataElement::new(tags::PATIENT_ID, VR::LO, ""),
            DataElement::new(tags::PATIENT_NAME, VR::PN, "A^B=C"),
            DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
        ]);
        let json = Value::Object(object(&data_set, BulkData::Inline));
        assert_eq!(json["00200032"]["Value"], json!([-1.5, 2.0, null]));
        assert_eq!(json["00200013"]["Value"], json!([7]));
        assert_eq!(json["00100020"], json!({ "vr": "LO" }));
        assert_eq!(json["00100010"]["Value"], json!([{ "Alphabetic": "A^B", "Ideographic": "C" }]));
        assert_eq!(json["00080005"]["Value"], json!(["ISO_IR 192"]));
    }

    #[test]
    fn large_binary_values_are_referred_to_and_coordinates_are_inline() {
        let graphic: Vec<f32> = (0..1000_u16).map(f32::from).collect();
        let item = DataSet::from_element_iter([
            DataElement::new(tags::GRAPHIC_DATA, VR::FL, PrimitiveValue::F32(graphic.into())),
            DataElement::new(tags::ENCAPSULATED_DOCUMENT, VR::OB, PrimitiveValue::from(vec![1_u8; 4096])),
            DataElement::new(tags::LUT_DATA, VR::OW, PrimitiveValue::from(vec![1_u8; 16])),
        ]);
        let data_set = DataSet::from_element_iter([DataElement::new(
            tags::CONTENT_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(vec![item]),
        )]);
        let json = Value::Object(object(&data_set, BulkData::At("http://h/bulkdata")));
        let item = &json["0040A730"]["Value"][0];
        assert_eq!(item["00700022"]["Value"].as_array().map(Vec::len), Some(1000));
        assert_eq!(item["00420011"]["BulkDataURI"], "http://h/bulkdata/0040A730/0/00420011");
        assert!(item["00283006"]["InlineBinary"].is_string());
    }
}
