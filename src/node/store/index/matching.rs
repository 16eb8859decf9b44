//! Does an attribute match a key? The rules of
//! [PS3.4 C.2.2.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_C.2.2.2.html), without any IO.

use dicom_core::VR;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_object::{StandardDataDictionary, Tag};

use super::query::ItemKeys;
use crate::dicom::elements::{DataSet, items, texts};

/// True if a key matches everything: empty, or nothing but asterisks.
pub(super) fn is_universal(pattern: &str) -> bool {
    pattern.trim().trim_matches('*').is_empty()
}

/// The members of a UID list, separated by commas or backslashes.
pub(super) fn list(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split([',', '\\']).map(|part| part.trim_matches([' ', '\0'])).filter(|part| !part.is_empty())
}

/// True if the text asks for wild card matching.
pub(super) fn has_wild_card(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// True if an attribute of the data set matches the key; one value of several is enough.
pub(super) fn matches(data_set: &DataSet, tag: Tag, pattern: &str) -> bool {
    if is_universal(pattern) {
        return true;
    }
    let representation = data_set.get(tag).map_or_else(|| standard_representation(tag), dicom_core::DataElement::vr);
    texts(data_set, tag)
        .iter()
        .filter(|value| !value.is_empty())
        .any(|value| matches_value(representation, value, pattern))
}

/// True if an item of the sequence matches all keys.
pub(super) fn matches_item(data_set: &DataSet, keys: &ItemKeys) -> bool {
    items(data_set, keys.sequence).iter().any(|item| {
        keys.matching.iter().all(|(tag, pattern)| matches(item, *tag, pattern))
            && keys.sequences.iter().all(|nested| matches_item(item, nested))
    })
}

/// The representation that the standard gives an attribute.
pub(super) fn standard_representation(tag: Tag) -> VR {
    StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed())
}

fn matches_value(representation: VR, value: &str, pattern: &str) -> bool {
    let pattern = pattern.trim_matches([' ', '\0']);
    match representation {
        VR::UI => list(pattern).any(|uid| uid == value),
        VR::DA => Ranged::DATE.matches(value, pattern),
        VR::TM => Ranged::TIME.matches(value, pattern),
        VR::DT => Ranged::DATE_TIME.matches(value, pattern),
        // Upper case is all that a code string can have, and no comma: lists are common here, though not in the standard.
        VR::CS => list(pattern).any(|pattern| wild_card(value, &pattern.to_uppercase())),
        VR::PN => matches_name(value, pattern),
        VR::DS | VR::IS | VR::FD | VR::FL | VR::SL | VR::SS | VR::SV | VR::UL | VR::US | VR::UV => {
            match (value.parse::<f64>(), pattern.parse::<f64>()) {
                (Ok(value), Ok(pattern)) => (value - pattern).abs() <= f64::EPSILON * value.abs(),
                _ => value == pattern,
            }
        }
        _ => wild_card(value, pattern),
    }
}

/// Person names match without regard to case, as a whole or by one of their component groups.
fn matches_name(value: &str, pattern: &str) -> bool {
    let fold = |text: &str| text.to_lowercase().trim_end_matches(['^', '=', ' ']).to_owned();
    let pattern = fold(pattern);
    wild_card(&fold(value), &pattern) || value.split('=').any(|group| wild_card(&fold(group), &pattern))
}

/// Values that are matched by `a-b`, `a-`, `-b`, or one date or time.
pub(super) struct Ranged {
    /// How many digits a value may have before its fraction.
    precisions: &'static [usize],
    /// Where pairs of digits stand that have a range: from this digit on, from this number to that.
    pairs: &'static [(usize, u8, u8)],
    /// What older forms of the standard put between the digits.
    separator: Option<char>,
}

impl Ranged {
    /// Dates (DA).
    pub(super) const DATE: Self = Self { precisions: &[8], pairs: &[(4, 1, 12), (6, 1, 31)], separator: Some('.') };
    /// Times (TM).
    pub(super) const TIME: Self =
        Self { precisions: &[2, 4, 6], pairs: &[(0, 0, 23), (2, 0, 59), (4, 0, 60)], separator: Some(':') };
    /// Both (DT).
    const DATE_TIME: Self = Self {
        precisions: &[4, 6, 8, 10, 12, 14],
        pairs: &[(4, 1, 12), (6, 1, 31), (8, 0, 23), (10, 0, 59), (12, 0, 60)],
        separator: None,
    };

    /// True if the pattern is a value or a range of this kind.
    pub(super) fn takes(&self, pattern: &str) -> bool {
        match self.bounds(pattern) {
            (first, Some(last)) => {
                (!first.is_empty() || !last.is_empty())
                    && [first, last].iter().all(|bound| bound.is_empty() || self.is_value(bound))
            }
            (value, None) => self.is_value(&value),
        }
    }

    /// True if the value lies in the range. A bound that is less precise than the value covers all that begins with it.
    fn matches(&self, value: &str, pattern: &str) -> bool {
        let value = self.plain(value);
        self.takes(pattern)
            && match self.bounds(pattern) {
                (first, Some(last)) => {
                    (first.is_empty() || value >= first)
                        && (last.is_empty() || value <= last || value.starts_with(&last))
                }
                (same, None) => value.starts_with(&same),
            }
    }

    /// First and last of a range; a single value is the first alone.
    fn bounds(&self, pattern: &str) -> (String, Option<String>) {
        match pattern.split_once('-') {
            Some((first, last)) => (self.plain(first), Some(self.plain(last))),
            None => (self.plain(pattern), None),
        }
    }

    fn plain(&self, text: &str) -> String {
        text.trim_matches([' ', '\0']).chars().filter(|character| Some(*character) != self.separator).collect()
    }

    fn is_value(&self, text: &str) -> bool {
        let (digits, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let numeric = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        numeric(digits)
            && numeric(fraction)
            && self.precisions.contains(&digits.len())
            && self.pairs.iter().all(|(from, least, greatest)| {
                let pair = digits.get(*from..from + 2).and_then(|pair| pair.parse::<u8>().ok());
                pair.is_none_or(|number| (*least..=*greatest).contains(&number))
            })
    }
}

/// `*` stands for any characters, `?` for exactly one.
fn wild_card(value: &str, pattern: &str) -> bool {
    let value: Vec<char> = value.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    let (mut at, mut in_pattern) = (0, 0);
    // Where to resume when the characters after the last asterisk turn out not to fit.
    let mut resume: Option<(usize, usize)> = None;
    while at < value.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                resume = Some((at, in_pattern + 1));
                in_pattern += 1;
            }
            Some(character) if *character == '?' || *character == value[at] => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((from, after)) = resume else { return false };
                resume = Some((from + 1, after));
                at = from + 1;
                in_pattern = after;
            }
        }
    }
    pattern[in_pattern..].iter().all(|character| *character == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_cards_match_as_the_standard_says() {
        for (pattern, expected) in
            [("PE*", true), ("*77", true), ("P?-7*", true), ("pe*", false), ("PE-?", false), ("*-*-*", false)]
        {
            assert_eq!(matches_value(VR::LO, "PE-77", pattern), expected, "{pattern}");
        }
        assert!(wild_card("aaab", "a*ab") && !wild_card("aaac", "a*ab"));
    }

    #[test]
    fn names_match_without_regard_to_case_and_by_component_group() {
        assert!(matches_value(VR::PN, "Müller^Jürgen", "MÜLLER*"));
        assert!(matches_value(VR::PN, "Yamada^Tarou=山田^太郎", "山田*"));
        assert!(matches_value(VR::PN, "Yamada^Tarou=山田^太郎", "yamada^tarou"));
        assert!(matches_value(VR::PN, "Doe^Jane^^", "doe^jane"));
        assert!(!matches_value(VR::PN, "Doe^Jane", "doe"));
    }

    #[test]
    fn dates_and_times_match_by_range_and_precision() {
        for (pattern, expected) in [
            ("20240131", true),
            ("20240101-20240201", true),
            ("-20240130", false),
            ("20240131-", true),
            ("2024.01.31", true),
            ("nonsense", false),
            ("2024013", false),
        ] {
            assert_eq!(matches_value(VR::DA, "20240131", pattern), expected, "{pattern}");
        }
        for (pattern, expected) in
            [("10", true), ("1015", true), ("10-1015", true), ("101531-", false), ("-101530", true), ("11-", false)]
        {
            assert_eq!(matches_value(VR::TM, "101530.25", pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn identifiers_match_by_list_and_numbers_by_value() {
        assert!(matches_value(VR::UI, "1.2.3", "1.2.4,1.2.3"));
        assert!(matches_value(VR::UI, "1.2.3", "1.2.4\\1.2.3"));
        assert!(!matches_value(VR::UI, "1.2.3", "1.2.*"));
        assert!(matches_value(VR::IS, "007", "7") && !matches_value(VR::IS, "70", "7"));
    }
}
