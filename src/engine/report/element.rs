//! Composing data sets: value representations come from the dictionary, so that no call names them.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::header::HasLength;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::Tag;
use dicom_object::mem::InMemElement;

use crate::dicom::Concept;
use crate::dicom::elements::DataSet;

/// Name of this program, as manufacturer and as model.
pub const PRODUCT: &str = "pe-node";

/// Adding elements to a data set, one call per element.
pub(super) trait Compose: Sized {
    /// Puts a value; an empty text is an empty element (type 2).
    fn with(self, tag: Tag, value: impl Into<PrimitiveValue>) -> Self;
    /// Puts a sequence.
    fn with_items(self, tag: Tag, items: Vec<DataSet>) -> Self;

    /// Puts a code sequence of one item.
    fn with_concept(self, tag: Tag, concept: &Concept) -> Self {
        self.with_items(tag, vec![coded(concept)])
    }
}

impl Compose for DataSet {
    fn with(mut self, tag: Tag, value: impl Into<PrimitiveValue>) -> Self {
        self.put(DataElement::new(tag, representation(tag), value.into()));
        self
    }

    fn with_items(mut self, tag: Tag, items: Vec<DataSet>) -> Self {
        self.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
        self
    }
}

/// The value representation of a standard attribute; for Pixel Data of at most 8 bits a sample that is OB.
fn representation(tag: Tag) -> VR {
    if tag == tags::PIXEL_DATA {
        return VR::OB;
    }
    StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// A data set with nothing in it.
pub(super) fn empty() -> DataSet {
    DataSet::new_empty()
}

/// One item of a code sequence
/// ([PS3.3 8.8](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_8.8.html)). A value that Code Value
/// cannot hold is a Long Code Value.
pub(super) fn coded(concept: &Concept) -> DataSet {
    /// Characters of an SH.
    const LONGEST: usize = 16;
    let tag = if concept.value.len() > LONGEST { tags::LONG_CODE_VALUE } else { tags::CODE_VALUE };
    empty()
        .with(tag, concept.value.as_ref())
        .with(tags::CODING_SCHEME_DESIGNATOR, concept.scheme.as_ref())
        .with(tags::CODE_MEANING, concept.meaning.as_ref())
}

/// Several floating-point values of single precision.
pub(super) fn floats(values: impl IntoIterator<Item = f32>) -> PrimitiveValue {
    PrimitiveValue::F32(values.into_iter().collect())
}

/// Several 32-bit numbers.
pub(super) fn longs(values: impl IntoIterator<Item = u32>) -> PrimitiveValue {
    PrimitiveValue::U32(values.into_iter().collect())
}

/// Several texts.
pub(super) fn texts(values: impl IntoIterator<Item = String>) -> PrimitiveValue {
    PrimitiveValue::Strs(values.into_iter().collect())
}

/// A number as a decimal string: at most 16 characters, no exponent unless it needs one, `-0` never.
pub(super) fn decimal(value: f64) -> String {
    let shortest = format!("{}", if value == 0.0 { 0.0 } else { value });
    if shortest.len() <= 16 {
        return shortest;
    }
    let rounded = (0..=12).rev().map(|digits| format!("{value:.digits$}")).find(|text| text.len() <= 16);
    match rounded {
        // Digits beyond the sixteenth character are noise on any scale used here; a lone sign is not kept.
        Some(text) if text.parse() == Ok(0.0) => "0".to_owned(),
        Some(text) if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        Some(text) => text,
        None => format!("{value:.8e}"),
    }
}

/// Several numbers as decimal strings.
pub(super) fn decimals(values: impl IntoIterator<Item = f64>) -> PrimitiveValue {
    texts(values.into_iter().map(decimal))
}

/// `text` cut to what a value representation holds, at a character boundary; characters beyond ASCII become `?`, since
/// our own text must be valid in whatever character set the source uses.
pub(super) fn ascii(text: &str, longest: usize) -> String {
    text.chars()
        .map(|character| if (' '..='~').contains(&character) && character != '\\' { character } else { '?' })
        .take(longest)
        .collect()
}

/// Puts an element of another data set.
pub(super) fn with_element(mut data_set: DataSet, element: &InMemElement) -> DataSet {
    data_set.put(element.clone());
    data_set
}

/// True if the data set has the attribute with a value.
pub(super) fn has_value(data_set: &DataSet, tag: Tag) -> bool {
    data_set.get(tag).is_some_and(|element| element.length().0 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_strings_fit_sixteen_characters_and_keep_their_value() {
        for (value, text) in [
            (87.31, "87.31"),
            (-0.0, "0"),
            (100.0, "100"),
            (0.1 + 0.2, "0.3"),
            (-123.456_789_012_345_67, "-123.45678901235"),
            (1e-17, "0"),
            (-1e-17, "0"),
        ] {
            assert_eq!(decimal(value), text);
        }
        assert!(decimal(1e300).len() <= 16);
        assert!(decimal(f64::MIN).len() <= 16);
        let third = decimal(-1.0 / 3.0);
        assert!(third.len() <= 16 && (third.parse::<f64>().expect("number") + 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_code_that_is_too_long_for_its_attribute_has_another_one() {
        let tags_of = |value: &'static str| {
            let item = coded(&Concept::new(value, "99PENODE", "a meaning"));
            [tags::CODE_VALUE, tags::LONG_CODE_VALUE].map(|tag| has_value(&item, tag))
        };
        assert_eq!(tags_of("contrast-unknown"), [true, false]);
        assert_eq!(tags_of("implausible-lungs"), [false, true]);
    }

    #[test]
    fn our_text_is_ascii_without_value_delimiters() {
        assert_eq!(ascii("a\\b\u{e4}c", 10), "a?b?c");
        assert_eq!(ascii("abcdef", 3), "abc");
    }
}
