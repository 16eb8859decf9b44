//! Typed getters over data sets as they are found in practice: padded, empty, multi-valued where one value belongs, or
//! with a number in the wrong representation. A missing, an empty and an unreadable value are all `None`; callers that
//! must distinguish them check for themselves.

use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};

use super::Uid;

/// The data set form used throughout: an in-memory object with the standard dictionary.
pub type DataSet = InMemDicomObject;

/// The first value of a text element, padding removed; `None` if absent or empty.
pub fn text(data_set: &DataSet, tag: Tag) -> Option<String> {
    let value = data_set.element_opt(tag).ok()??.value().to_str().ok()?;
    let first = value.split('\\').next().unwrap_or_default().trim_matches(['\0', ' ']);
    (!first.is_empty()).then(|| first.to_owned())
}

/// All values of a text element, padding removed, empty values kept; empty if absent.
pub fn texts(data_set: &DataSet, tag: Tag) -> Vec<String> {
    let Ok(Some(element)) = data_set.element_opt(tag) else { return Vec::new() };
    let Ok(values) = element.value().to_multi_str() else { return Vec::new() };
    values.iter().flat_map(|value| value.split('\\')).map(|value| value.trim_matches(['\0', ' ']).to_owned()).collect()
}

/// A unique identifier.
pub fn uid(data_set: &DataSet, tag: Tag) -> Option<Uid> {
    Uid::parse(&text(data_set, tag)?).ok()
}

/// The items of a sequence; none if it is absent.
pub fn items(data_set: &DataSet, tag: Tag) -> &[DataSet] {
    data_set.get(tag).and_then(|element| element.items()).unwrap_or_default()
}

/// The first value as a finite number, also from decimal and integer strings.
pub fn number(data_set: &DataSet, tag: Tag) -> Option<f64> {
    numbers(data_set, tag)?.first().copied()
}

/// All values as finite numbers; `None` if the element is absent, empty or holds anything else.
pub fn numbers(data_set: &DataSet, tag: Tag) -> Option<Vec<f64>> {
    let values = data_set.element_opt(tag).ok()??.value().to_multi_float64().ok()?;
    (!values.is_empty() && values.iter().all(|value| value.is_finite())).then_some(values)
}

/// Patient's Age (0010,1010) in years ([PS3.5
/// 6.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_6.2.html), AS).
pub fn age_years(data_set: &DataSet) -> Option<f64> {
    let value = text(data_set, tags::PATIENT_AGE)?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let count = f64::from(digits.parse::<u16>().ok()?);
    match unit {
        "Y" => Some(count),
        "M" => Some(count / 12.0),
        "W" => Some(count * 7.0 / 365.25),
        "D" => Some(count / 365.25),
        _ => None,
    }
}

/// The first value as a whole number.
pub fn integer(data_set: &DataSet, tag: Tag) -> Option<i64> {
    data_set.element_opt(tag).ok()??.value().to_int::<i64>().ok()
}
