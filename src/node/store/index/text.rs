//! Text as the index keeps it: without padding.

use dicom_core::header::Header;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, DicomValue, PrimitiveValue, VR};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

const PADDING: [char; 2] = [' ', '\0'];

/// The element with padding removed from its text, also inside sequences; numbers and bytes stay.
pub(super) fn unpadded(element: &InMemElement) -> InMemElement {
    if let Some(items) = element.items() {
        let items: Vec<InMemDicomObject> =
            items.iter().map(|item| InMemDicomObject::from_element_iter(item.iter().map(unpadded))).collect();
        return DataElement::new(element.tag(), element.vr(), DataSetSequence::from(items));
    }
    let DicomValue::Primitive(PrimitiveValue::Str(_) | PrimitiveValue::Strs(_)) = element.value() else {
        return element.clone();
    };
    let Ok(values) = element.value().to_multi_str() else { return element.clone() };
    let prose = matches!(element.vr(), VR::ST | VR::LT | VR::UT | VR::UR);
    let texts: Vec<String> = if prose {
        values.iter().map(|value| value.trim_end_matches(PADDING).to_owned()).collect()
    } else {
        let parts = values.iter().flat_map(|value| value.split('\\'));
        parts.map(|part| part.trim_matches(PADDING).to_owned()).collect()
    };
    if texts.iter().all(String::is_empty) {
        return DataElement::empty(element.tag(), element.vr());
    }
    DataElement::new(element.tag(), element.vr(), PrimitiveValue::Strs(texts.into()))
}
