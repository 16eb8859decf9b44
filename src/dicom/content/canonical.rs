//! The value of an element as bytes that do not depend on its encoding.

use std::borrow::Cow;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::header::Header;
use dicom_core::{PrimitiveValue, VR};
use dicom_object::StandardDataDictionary;
use dicom_object::mem::InMemElement;

/// True of an element without a value: the same as none.
pub(super) fn is_empty(element: &InMemElement) -> bool {
    match element.items() {
        Some(items) => items.is_empty(),
        None => canonical(element).is_empty(),
    }
}

/// The value of an element that is no sequence: text as UTF-8 without padding, numbers in little endian. An element of
/// unknown representation gives the same bytes: implicit VR has them in little endian, too (PS3.5 A.1). What may be
/// written in several ways is written in one: numbers in decimal, names without empty components at their end, times
/// without zeros at their end.
pub(super) fn canonical(element: &InMemElement) -> Cow<'_, [u8]> {
    let Some(value) = element.value().primitive() else { return Cow::Borrowed(&[]) };
    let one_way: Option<fn(&str) -> String> = match representation(element) {
        VR::DS | VR::IS => Some(number),
        VR::PN => Some(name),
        VR::TM | VR::DT => Some(time),
        _ => None,
    };
    match (value, one_way) {
        (PrimitiveValue::Str(text), _) => text_bytes(std::slice::from_ref(text), one_way),
        (PrimitiveValue::Strs(texts), _) => text_bytes(texts, one_way),
        (PrimitiveValue::Tags(tags), _) => {
            Cow::Owned(tags.iter().flat_map(|tag| [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat()).collect())
        }
        (PrimitiveValue::U16(values), _) => little_endian(values, u16::to_le_bytes),
        (PrimitiveValue::I16(values), _) => little_endian(values, i16::to_le_bytes),
        (PrimitiveValue::U32(values), _) => little_endian(values, u32::to_le_bytes),
        (PrimitiveValue::I32(values), _) => little_endian(values, i32::to_le_bytes),
        (PrimitiveValue::U64(values), _) => little_endian(values, u64::to_le_bytes),
        (PrimitiveValue::I64(values), _) => little_endian(values, i64::to_le_bytes),
        (PrimitiveValue::F32(values), _) => little_endian(values, f32::to_le_bytes),
        (PrimitiveValue::F64(values), _) => little_endian(values, f64::to_le_bytes),
        // A text of unknown representation.
        (PrimitiveValue::U8(bytes), Some(_)) => match str::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text_bytes(&[text.to_owned()], one_way).into_owned()),
            Err(_) => trimmed(Cow::Borrowed(bytes)),
        },
        // Bytes, and dates that were parsed.
        (other, _) => trimmed(other.to_bytes()),
    }
}

/// The representation of an element; that of the standard where the sender did not know it.
fn representation(element: &InMemElement) -> VR {
    match element.vr() {
        VR::UN => StandardDataDictionary.by_tag(element.tag()).map_or(VR::UN, |entry| entry.vr().relaxed()),
        known => known,
    }
}

/// A number as one text, where it is one.
fn number(text: &str) -> String {
    text.parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
        .map_or_else(|| text.to_owned(), |number| (number + 0.0).to_string())
}

/// A name without empty components and groups at its end (PS3.5 6.2.1.1).
fn name(text: &str) -> String {
    let groups: Vec<&str> = text.split('=').map(|group| group.trim_end_matches(['^', ' '])).collect();
    groups.join("=").trim_end_matches('=').to_owned()
}

/// A time without zeros at the end of its fraction.
fn time(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit.is_ascii_digit()) => {
            format!("{whole}.{}", fraction.trim_end_matches('0')).trim_end_matches('.').to_owned()
        }
        _ => text.to_owned(),
    }
}

fn text_bytes(texts: &[String], one_way: Option<fn(&str) -> String>) -> Cow<'_, [u8]> {
    if let ([text], None) = (texts, one_way)
        && !text.contains('\\')
    {
        return trimmed(Cow::Borrowed(text.as_bytes()));
    }
    let values = texts.iter().flat_map(|text| text.split('\\')).map(|value| value.trim_matches([' ', '\0']));
    let values = values.map(|value| one_way.map_or_else(|| value.to_owned(), |one_way| one_way(value)));
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
