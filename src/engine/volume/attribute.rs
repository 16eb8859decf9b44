//! Attributes that cannot be used, in words: name, tag and value.

use dicom_object::Tag;

use crate::dicom::elements::{DataSet, texts};

/// More of a value says nothing new.
const SHOWN: usize = 40;

/// Says of an attribute that it is missing, or what it holds instead of something usable.
pub(super) fn unusable(header: &DataSet, tag: Tag, name: &str) -> String {
    let text = texts(header, tag).join("\\");
    if text.is_empty() {
        return format!("{name} {tag} is missing");
    }
    format!("{name} {tag} has the value `{}`, which is not usable", excerpt(&text))
}

/// The beginning of a value. It is shown in logs and pages: nothing but what a number or a code is written with.
pub(super) fn excerpt(text: &str) -> String {
    let shown = |letter: char| if letter.is_ascii_alphanumeric() || "+-.,\\_ ".contains(letter) { letter } else { '?' };
    text.chars().take(SHOWN).map(shown).collect()
}
