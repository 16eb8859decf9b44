//! Dates and times as they should have been written: the forms of ACR-NEMA (`2020.01.01`, `12:00:00`), which old senders
//! use, are not those of DICOM ([PS3.5
//! 6.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_6.2.html), DA and TM).

use dicom_core::header::Header as _;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_object::mem::InMemElement;
use jiff::civil::Date;

/// A date as DA; `None` for what is none.
pub fn date(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.trim_matches([' ', '\0']).split(['.', '-', '/']).collect();
    let (year, month, day) = match parts.as_slice() {
        [one] if one.len() == 8 && one.is_ascii() => (&one[..4], &one[4..6], &one[6..]),
        [year, month, day] if year.len() == 4 => (*year, *month, *day),
        _ => return None,
    };
    let [year, month, day] = [digits(year)?, digits(month)?, digits(day)?];
    let valid = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    valid.ok().map(|date| date.strftime("%Y%m%d").to_string())
}

/// A time as TM; `None` for what is none.
pub fn time(text: &str) -> Option<String> {
    let text = text.trim_matches([' ', '\0']);
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let parts: Vec<&str> = if whole.contains(':') {
        whole.split(':').collect()
    } else {
        whole.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok()).collect()
    };
    // A leap second is allowed.
    let limits = [23, 59, 60];
    let within = |(part, limit): (&&str, &u32)| part.len() == 2 && digits(part).is_some_and(|value| value <= *limit);
    let valid = (1..=limits.len()).contains(&parts.len()) && parts.iter().zip(&limits).all(within);
    let fraction = match fraction {
        None => String::new(),
        Some(fraction) if parts.len() == 3 && (1..=6).contains(&fraction.len()) && digits(fraction).is_some() => {
            format!(".{fraction}")
        }
        Some(_) => return None,
    };
    valid.then(|| parts.concat() + &fraction)
}

/// An element whose dates and times are written as DICOM wants them; empty where they are none. Others stay as they are.
pub fn repaired(element: &InMemElement) -> InMemElement {
    let repair = match element.vr() {
        VR::DA => date,
        VR::TM => time,
        _ => return element.clone(),
    };
    let Ok(values) = element.value().to_multi_str() else { return element.clone() };
    let values = values.iter().map(|value| repair(value).unwrap_or_default());
    DataElement::new(element.tag(), element.vr(), PrimitiveValue::Strs(values.collect()))
}

fn digits(text: &str) -> Option<u32> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_forms_are_written_as_dicom_wants_them_and_what_is_none_is_not_written() {
        for (text, expected) in [
            ("20200131", Some("20200131")),
            ("2020.01.31 ", Some("20200131")),
            ("2020-01-31", Some("20200131")),
            ("20200231", None),
            ("31.01.2020", None),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(date(text).as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            ("120000", Some("120000")),
            ("12:00:00", Some("120000")),
            ("12:00:00.5", Some("120000.5")),
            ("1200", Some("1200")),
            ("235960.123456 ", Some("235960.123456")),
            ("12:0:0", None),
            ("250000", None),
            ("1200.5", None),
            ("noon", None),
        ] {
            assert_eq!(time(text).as_deref(), expected, "{text}");
        }
    }
}
