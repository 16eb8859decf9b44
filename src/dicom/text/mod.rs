//! Text as bytes: values are decoded by their character set before they are split.
//!
//! dicom-object splits a value at each byte 0x5C, though that byte is the second of many characters in GBK and GB18030,
//! and it knows one character set a data set. So it is made to read all text byte for byte, as ISO 8859-1: the reading of
//! untrusted bytes hides Specific Character Set (0008,0005) from it under another tag. What it returns is decoded here,
//! once for everything that reads a data set: index, JSON, dashboard, results and objects that are encoded again.

mod character_set;
mod code_extensions;
#[cfg(test)]
mod tests;

use dicom_core::header::Header as _;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, DicomValue, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::mem::InMemElement;

use self::character_set::CharacterSet;
use super::elements::DataSet;

/// Where Specific Character Set stands while dicom-object reads: in no dictionary, and in the same place of the order.
pub(super) const HIDDEN: Tag = Tag(0x0008, 0x0007);

/// What every data set declares that holds more than ASCII once it is decoded: UTF-8
/// ([PS3.3 C.12.1.1.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.12.html)).
pub const UNICODE: &str = "ISO_IR 192";

/// Decodes the text of a data set that was read byte for byte. One that holds more than ASCII declares [`UNICODE`]
/// afterwards, so that it is encoded again as it is; another declares what it did.
pub(super) fn decode(mut data_set: DataSet) -> DataSet {
    let declared = data_set.take(HIDDEN).map(|element| values_of(&element));
    if !is_plain(&data_set) {
        let values = declared.iter().flatten().map(String::as_str);
        data_set = decoded(data_set, CharacterSet::declared(values));
        if holds_more_than_ascii(&data_set) {
            data_set.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, UNICODE));
            return data_set;
        }
    }
    if let Some(values) = declared {
        data_set.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, PrimitiveValue::Strs(values.into())));
    }
    data_set
}

/// True if a text at any depth holds more than ASCII.
pub fn holds_more_than_ascii(data_set: &DataSet) -> bool {
    data_set.iter().any(|element| match element.value() {
        DicomValue::Sequence(sequence) => sequence.items().iter().any(holds_more_than_ascii),
        DicomValue::Primitive(value) => strings(value).iter().any(|text| !text.is_ascii()),
        DicomValue::PixelSequence(_) => false,
    })
}

/// True if there is nothing to decode at any depth, and no character set of an item to remove.
fn is_plain(data_set: &DataSet) -> bool {
    data_set.iter().all(|element| {
        element.tag() != HIDDEN
            && match element.value() {
                DicomValue::Sequence(sequence) => sequence.items().iter().all(is_plain),
                DicomValue::Primitive(value) => {
                    strings(value).iter().all(|text| text.is_ascii() && !text.contains('\u{1B}'))
                }
                DicomValue::PixelSequence(_) => true,
            }
    })
}

/// An item that declares no character set has that of the data set around it.
fn decoded(mut data_set: DataSet, around: CharacterSet) -> DataSet {
    let declared = data_set.take(HIDDEN).map(|element| values_of(&element));
    let character_set = declared.map_or(around, |values| CharacterSet::declared(values.iter().map(String::as_str)));
    DataSet::from_element_iter(data_set.into_iter().map(|element| decoded_element(element, character_set)))
}

fn decoded_element(element: InMemElement, character_set: CharacterSet) -> InMemElement {
    let (tag, vr) = (element.tag(), element.vr());
    if element.items().is_some_and(|items| !items.iter().all(is_plain)) {
        let items = element.into_value().into_items().unwrap_or_default().into_iter();
        // Its length is another now.
        let items: Vec<DataSet> = items.map(|item| decoded(item, character_set)).collect();
        return DataElement::new(tag, vr, DataSetSequence::from(items));
    }
    // PS3.5 6.1.2.2: these alone are affected by Specific Character Set.
    if !matches!(vr, VR::PN | VR::LO | VR::SH | VR::UC | VR::ST | VR::LT | VR::UT) {
        return element;
    }
    let Some(bytes) = element.value().primitive().and_then(bytes_of) else { return element };
    let text = character_set.decode(&bytes, vr);
    if matches!(vr, VR::ST | VR::LT | VR::UT) {
        return DataElement::new(tag, vr, PrimitiveValue::Str(text));
    }
    DataElement::new(tag, vr, PrimitiveValue::Strs(text.split('\\').map(str::to_owned).collect()))
}

/// The bytes of a text that was read byte for byte; `None` for other values.
fn bytes_of(value: &PrimitiveValue) -> Option<Vec<u8>> {
    if let PrimitiveValue::U8(bytes) = value {
        return Some(bytes.to_vec());
    }
    let texts = strings(value);
    if texts.is_empty() {
        return None;
    }
    texts.join("\\").chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

fn strings(value: &PrimitiveValue) -> &[String] {
    match value {
        PrimitiveValue::Str(text) => std::slice::from_ref(text),
        PrimitiveValue::Strs(texts) => texts,
        _ => &[],
    }
}

/// The values of Specific Character Set, which is bytes where the transfer syntax leaves representations to the
/// dictionary. Control characters have no place in it, nor in a log that quotes it.
fn values_of(element: &InMemElement) -> Vec<String> {
    let bytes = element.value().primitive().and_then(bytes_of).unwrap_or_default();
    let text: String = bytes.iter().map(|byte| char::from(*byte)).filter(|character| !character.is_control()).collect();
    text.split('\\').map(|value| value.trim().to_owned()).collect()
}
