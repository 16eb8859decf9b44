//! The value of an element as bytes that do not depend on its encoding.

use std::borrow::Cow;

use dicom_core::PrimitiveValue;
use dicom_object::mem::InMemElement;

/// True of an element without a value: the same as none.
pub(super) fn is_empty(element: &InMemElement) -> bool {
    match element.items() {
        Some(items) => items.is_empty(),
        None => canonical(element).is_empty(),
    }
}

/// The value of an element that is no sequence: text as UTF-8 without padding, numbers in little endian. An element of
/// unknown representation gives the same bytes: implicit VR has them in little endian, too (PS3.5 A.1).
pub(super) fn canonical(element: &InMemElement) -> Cow<'_, [u8]> {
    let Some(value) = element.value().primitive() else { return Cow::Borrowed(&[]) };
    match value {
        PrimitiveValue::Str(text) => text_bytes(std::slice::from_ref(text)),
        PrimitiveValue::Strs(texts) => text_bytes(texts),
        PrimitiveValue::Tags(tags) => {
            Cow::Owned(tags.iter().flat_map(|tag| [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat()).collect())
        }
        PrimitiveValue::U16(values) => little_endian(values, u16::to_le_bytes),
        PrimitiveValue::I16(values) => little_endian(values, i16::to_le_bytes),
        PrimitiveValue::U32(values) => little_endian(values, u32::to_le_bytes),
        PrimitiveValue::I32(values) => little_endian(values, i32::to_le_bytes),
        PrimitiveValue::U64(values) => little_endian(values, u64::to_le_bytes),
        PrimitiveValue::I64(values) => little_endian(values, i64::to_le_bytes),
        PrimitiveValue::F32(values) => little_endian(values, f32::to_le_bytes),
        PrimitiveValue::F64(values) => little_endian(values, f64::to_le_bytes),
        // Bytes, and dates that were parsed.
        other => trimmed(other.to_bytes()),
    }
}

fn text_bytes(texts: &[String]) -> Cow<'_, [u8]> {
    if let [text] = texts
        && !text.contains('\\')
    {
        return trimmed(Cow::Borrowed(text.as_bytes()));
    }
    let values = texts.iter().flat_map(|text| text.split('\\')).map(|value| value.trim_matches([' ', '\0']));
    trimmed(Cow::Owned(values.collect::<Vec<_>>().join("\\").into_bytes()))
}

fn little_endian<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Cow<'static, [u8]> {
    trimmed(Cow::Owned(values.iter().flat_map(|value| bytes(*value)).collect()))
}

/// Without the padding of an even length. Leading spaces are padding of some texts, and never a difference.
fn trimmed(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    let start = bytes[..end].iter().position(|byte| *byte != b' ').unwrap_or(end);
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[start..end]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(end);
            bytes.drain(..start);
            Cow::Owned(bytes)
        }
    }
}
