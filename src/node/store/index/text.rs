//! Text as senders meant it: lenient with the values of Specific Character Set (0008,0005).
//!
//! dicom-object decodes by the first value of that attribute and, where it does not know it, byte for byte as
//! ISO 8859-1, which can be undone. That is done here for names such as `ISO IR 192`, for an empty first value followed
//! by code extensions, and for UTF-8 that nothing declares. Only the index reads this; stored bytes stay as they are.

use dicom_core::header::Header;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, DicomValue, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::text::{SpecificCharacterSet, TextCodec};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

use crate::dicom::elements::DataSet;

const PADDING: [char; 2] = [' ', '\0'];

/// How text that was taken for ISO 8859-1 is to be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    /// As it is.
    AsDecoded,
    /// Bytes in this character set.
    In(SpecificCharacterSet),
    /// Nothing is declared: UTF-8 if it is that, otherwise as it is.
    Guess,
}

impl Reading {
    /// The reading of a data set, from its Specific Character Set.
    pub(super) fn of(data_set: &DataSet) -> Self {
        let values = crate::dicom::elements::texts(data_set, tags::SPECIFIC_CHARACTER_SET);
        let default = SpecificCharacterSet::ISO_IR_6;
        let first = values.first().and_then(|value| SpecificCharacterSet::from_code(value));
        if first.is_some_and(|set| set != default) {
            return Self::AsDecoded;
        }
        let mut meant = values.iter().filter_map(|value| SpecificCharacterSet::from_code(&usual(value)));
        match meant.find(|set| *set != default) {
            Some(set) => Self::In(set),
            None => Self::Guess,
        }
    }

    /// The element with its text decoded again and padding removed, also inside sequences; numbers and bytes stay.
    pub(super) fn element(&self, element: &InMemElement) -> InMemElement {
        if let Some(items) = element.items() {
            let items: Vec<InMemDicomObject> = items
                .iter()
                .map(|item| InMemDicomObject::from_element_iter(item.iter().map(|inner| self.element(inner))))
                .collect();
            return DataElement::new(element.tag(), element.vr(), DataSetSequence::from(items));
        }
        let DicomValue::Primitive(PrimitiveValue::Str(_) | PrimitiveValue::Strs(_)) = element.value() else {
            return element.clone();
        };
        let Ok(values) = element.value().to_multi_str() else { return element.clone() };
        let by_character_set = matches!(element.vr(), VR::PN | VR::LO | VR::SH | VR::ST | VR::LT | VR::UC | VR::UT);
        let prose = matches!(element.vr(), VR::ST | VR::LT | VR::UT | VR::UR);
        let mut texts: Vec<String> = Vec::with_capacity(values.len());
        for value in values.iter() {
            let value = if by_character_set { self.text(value) } else { value.clone() };
            if prose {
                texts.push(value.trim_end_matches(PADDING).to_owned());
            } else {
                texts.extend(value.split('\\').map(|part| part.trim_matches(PADDING).to_owned()));
            }
        }
        if texts.iter().all(String::is_empty) {
            return DataElement::empty(element.tag(), element.vr());
        }
        DataElement::new(element.tag(), element.vr(), PrimitiveValue::Strs(texts.into()))
    }

    fn text(&self, text: &str) -> String {
        if *self == Self::AsDecoded || (text.is_ascii() && !text.contains('\u{1b}')) {
            return text.to_owned();
        }
        let bytes: Option<Vec<u8>> = text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect();
        let read = bytes.and_then(|bytes| match self {
            Self::AsDecoded => None,
            Self::In(set) => set.decode(&bytes).ok(),
            Self::Guess => String::from_utf8(bytes).ok(),
        });
        read.unwrap_or_else(|| text.to_owned())
    }
}

/// The defined term that a lenient spelling stands for: `iso ir 192` and `ISO-IR-192` mean `ISO_IR 192`.
fn usual(value: &str) -> String {
    let upper = value.to_uppercase();
    let words: Vec<&str> = upper.split([' ', '_', '-']).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        ["ISO", "IR", number] => format!("ISO_IR {number}"),
        ["ISO", "2022", "IR", number] => format!("ISO 2022 IR {number}"),
        ["UTF", "8"] | ["UTF8"] => "ISO_IR 192".to_owned(),
        other => other.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name as dicom-object hands it over when it reads these bytes as ISO 8859-1.
    fn name_in(character_set: Option<&str>, bytes: &[u8]) -> String {
        let mut data_set = DataSet::new_empty();
        if let Some(text) = character_set {
            data_set.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, text));
        }
        let latin: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let element = DataElement::new(tags::PATIENT_NAME, VR::PN, latin);
        Reading::of(&data_set).element(&element).to_str().expect("text").into_owned()
    }

    #[test]
    fn odd_spellings_and_undeclared_utf_8_are_read_as_meant() {
        let bytes = "Müller^Jürgen".as_bytes();
        for spelling in ["ISO IR 192", "iso_ir_192 ", "UTF-8"] {
            assert_eq!(name_in(Some(spelling), bytes), "Müller^Jürgen", "{spelling}");
        }
        assert_eq!(name_in(None, bytes), "Müller^Jürgen");
        assert_eq!(name_in(Some("ISO_IR 6"), b"M\xfcller"), "Müller");
        assert_eq!(name_in(Some("nonsense"), b"M\xfcller"), "Müller");
    }

    #[test]
    fn the_code_extension_is_used_where_the_first_value_is_empty() {
        let bytes = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B";
        assert_eq!(name_in(Some("\\ISO 2022 IR 87"), bytes), "Yamada^Tarou=山田^太郎");
    }

    #[test]
    fn what_was_declared_and_known_stays() {
        assert_eq!(name_in(Some("ISO_IR 100"), b"M\xc3\xbcller"), "MÃ¼ller");
    }
}
