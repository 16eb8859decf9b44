//! What the numbers of an image stand for, as its attributes say: Hounsfield units of a slice, or something else.
//!
//! Multi-energy CT ([PS3.17 JJJJ.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part17/sect_JJJJ.3.html))
//! and workstations make images that look like a CT and hold other quantities. Multi-energy CT Processing Sequence
//! (0018,9363) and its Decomposition Method tell nothing: virtual monochromatic images, which are in Hounsfield units,
//! come from a decomposition too.

use std::fmt;

use dicom_dictionary_std::tags;

use super::attribute::excerpt;
use crate::dicom::elements::{DataSet, items, number, text, texts};

/// Why an image is no slice in Hounsfield units, in words with tag and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// A projection through several slices: a maximum hides an embolus.
    Projection(String),
    /// Its numbers are another quantity.
    NotHounsfield(String),
}

/// Rescale Types ([PS3.3 C.11.1.1.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.11.html))
/// that are not Hounsfield units.
const RESCALE_TYPES: [(&str, &str); 7] = [
    ("OD", "optical density"),
    ("MGML", "concentration of a material in mg/ml"),
    ("Z_EFF", "effective atomic number"),
    ("ED", "electron density"),
    ("EDW", "electron density relative to water"),
    ("HU_MOD", "Hounsfield units modified to show a material"),
    ("PCT", "percentage of a material"),
];

/// Values of Image Type of other quantities: multi-energy images ([PS3.3
/// C.8.2.1.1.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.8.2.html)), calculations with
/// several images and perfusion ([PS3.3
/// C.8.16.1.4](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.8.16.html)). Means, weighted sums
/// of energies and resampled images are not here: they stay Hounsfield units.
const IMAGE_TYPES: [(&str, &str); 18] = [
    ("MAT_SPECIFIC", "property of a material"),
    ("MAT_REMOVED", "image from which a material was removed, such as the contrast agent"),
    ("MAT_FRACTIONAL", "fraction of a material"),
    ("MAT_VALUE_BASED", "map of values for a material"),
    ("MAT_MODIFIED", "Hounsfield units modified to show a material"),
    ("EFF_ATOMIC_NUM", "effective atomic number"),
    ("ELECTRON_DENSITY", "electron density"),
    ("SUBTRACTION", "difference of images"),
    ("DIVISION", "quotient of images"),
    ("MULTIPLICATION", "product of images"),
    ("MASKED", "masked image"),
    ("STD_DEVIATION", "standard deviation"),
    ("T_TEST", "statistical test"),
    ("Z_SCORE", "statistical test"),
    ("RCBF", "perfusion"),
    ("RCBV", "perfusion"),
    ("MTT", "perfusion"),
    ("TTP", "perfusion"),
];

/// Projections and renderings in Image Type and in Volume Based Calculation Technique ([PS3.3
/// C.8.16.2.1.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.8.16.2.html)), without spaces
/// and underscores. `PROJECTION IMAGE`, `CSA MIP` and `MNIP` are what workstations write. An average projection is a
/// thick slice, whose thickness is judged as such.
const PROJECTIONS: [&str; 11] = [
    "MIP",
    "CSAMIP",
    "MINIP",
    "MNIP",
    "MAXIP",
    "MAXIMUM",
    "MINIMUM",
    "PROJECTIONIMAGE",
    "VOLUMERENDER",
    "SURFACERENDER",
    "CURVEDMPR",
];

/// Derivations of projections and renderings ([PS3.16 CID
/// 7203](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_CID_7203.html)).
const DERIVATIONS: [(&str, &str); 5] = [
    ("113073", "curved multiplanar reformatting"),
    ("113074", "volume rendering"),
    ("113075", "surface rendering"),
    ("113078", "maximum intensity projection"),
    ("113079", "minimum intensity projection"),
];

/// Checks that an image says nothing against being a slice in Hounsfield units. An image that does not say what its
/// numbers are passes: its pixels tell.
pub(super) fn check(header: &DataSet) -> Result<(), Unfit> {
    let refused = |what: String| Err(Unfit::NotHounsfield(what));
    if let Some(projection) = projection(header) {
        return Err(Unfit::Projection(projection));
    }
    if let Some(other) = other_image_type(header).or_else(|| other_rescale_type(header)) {
        return refused(other);
    }
    match text(header, tags::RESCALE_TYPE) {
        Some(unit) if is_hounsfield(&unit) => Ok(()),
        _ => other_mapping(header).map_or(Ok(()), refused),
    }
}

fn projection(header: &DataSet) -> Option<String> {
    let bare = |value: &str| value.to_ascii_uppercase().replace([' ', '_', '-'], "");
    let stated = |tag, name: &str| {
        let value = texts(header, tag).into_iter().find(|value| PROJECTIONS.contains(&bare(value).as_str()))?;
        Some(format!("a projection: {name} {tag} has the value {}", excerpt(&value)))
    };
    stated(tags::IMAGE_TYPE, "Image Type")
        .or_else(|| stated(tags::VOLUME_BASED_CALCULATION_TECHNIQUE, "Volume Based Calculation Technique"))
        .or_else(|| {
            let mut codes =
                items(header, tags::DERIVATION_CODE_SEQUENCE).iter().filter_map(|item| text(item, tags::CODE_VALUE));
            let (code, meaning) = codes.find_map(|code| known(&DERIVATIONS, &code))?;
            let tag = tags::DERIVATION_CODE_SEQUENCE;
            Some(format!("a projection: Derivation Code Sequence {tag} has the code {code}, {meaning}"))
        })
}

fn other_image_type(header: &DataSet) -> Option<String> {
    let (value, meaning) = texts(header, tags::IMAGE_TYPE).iter().find_map(|value| known(&IMAGE_TYPES, value))?;
    Some(format!("no Hounsfield units: Image Type {} has the value {value}, {meaning}", tags::IMAGE_TYPE))
}

fn other_rescale_type(header: &DataSet) -> Option<String> {
    let unit = text(header, tags::RESCALE_TYPE).filter(|unit| !is_hounsfield(unit) && !is_unspecified(unit))?;
    let meaning = known(&RESCALE_TYPES, &unit).map_or_else(String::new, |(_, meaning)| format!(", {meaning}"));
    Some(format!("no Hounsfield units: Rescale Type {} has the value {}{meaning}", tags::RESCALE_TYPE, excerpt(&unit)))
}

/// Units of Real World Value Mapping ([PS3.3
/// C.7.6.16.2.11](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.16.2.11.html)), where none
/// of them is the Hounsfield unit.
fn other_mapping(header: &DataSet) -> Option<String> {
    /// The Hounsfield unit in UCUM, and as it is written beside it.
    const HOUNSFIELD: [&str; 2] = ["[hnsf'U]", "HU"];
    let units: Vec<String> = items(header, tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE)
        .iter()
        .flat_map(|mapping| items(mapping, tags::MEASUREMENT_UNITS_CODE_SEQUENCE))
        .filter_map(|unit| text(unit, tags::CODE_VALUE))
        .collect();
    let first = units.first().filter(|_| !units.iter().any(|unit| HOUNSFIELD.contains(&unit.as_str())))?;
    let tag = tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE;
    Some(format!("no Hounsfield units: Real World Value Mapping Sequence {tag} has the unit {}", excerpt(first)))
}

fn is_hounsfield(unit: &str) -> bool {
    unit.eq_ignore_ascii_case("HU")
}

fn is_unspecified(unit: &str) -> bool {
    unit.eq_ignore_ascii_case("US")
}

fn known<'a>(table: &[(&'a str, &'a str)], value: &str) -> Option<(&'a str, &'a str)> {
    table.iter().copied().find(|(known, _)| known.eq_ignore_ascii_case(value))
}

/// A virtual monochromatic image: Hounsfield units as an X-ray beam of one energy would give them ([PS3.3
/// C.8.2.1.1.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.8.2.html), VMI).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Monochromatic {
    /// The energy in keV, where the image states it.
    pub kev: Option<f64>,
}

impl Monochromatic {
    /// What an image says of itself; `None` for an image of the usual spectrum of energies.
    ///
    /// Monoenergetic Energy Equivalent (0018,937C) is the energy. Images of scanners that do not know the attribute have
    /// it in words, `70 keV`, in Image Type, Series Description or Derivation Description.
    pub fn of(header: &DataSet) -> Option<Self> {
        let mut characteristics = items(header, tags::MULTIENERGY_CT_CHARACTERISTICS_SEQUENCE).iter();
        let kev = characteristics
            .find_map(|item| number(item, tags::MONOENERGETIC_ENERGY_EQUIVALENT))
            .or_else(|| {
                let described = [tags::IMAGE_TYPE, tags::SERIES_DESCRIPTION, tags::DERIVATION_DESCRIPTION];
                described.into_iter().flat_map(|tag| texts(header, tag)).find_map(|text| energy_in(&text))
            })
            .filter(|kev| *kev > 0.0);
        let stated = texts(header, tags::IMAGE_TYPE).iter().any(|value| value == "VMI");
        (stated || kev.is_some()).then_some(Self { kev })
    }
}

impl fmt::Display for Monochromatic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("virtual monochromatic images of ")?;
        match self.kev {
            Some(kev) => write!(formatter, "{kev} keV"),
            None => formatter.write_str("an energy that is not stated"),
        }
    }
}

/// The number before `keV` in a text.
fn energy_in(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let (before, after) = lower.split_once("kev")?;
    if after.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        return None;
    }
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    before.trim_end_matches([' ', '_']).rsplit(|letter| !is_number(letter)).next()?.parse().ok()
}

#[cfg(test)]
mod tests;
