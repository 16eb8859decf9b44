//! Quality checks: is this series a usable CT pulmonary angiogram?
//!
//! [`read_series`](crate::engine::volume::read_series) reports what is wrong with the objects and their positions.
//! [`check_images`] judges the images before the lungs are known, [`check_chest`] after, [`ranges`] compares them with
//! what a model was trained on. Each gives all reasons that apply, with the values they rest on. The settings say what
//! follows from a reason: see [`severity`].

mod chest;
mod contrast;
mod energy;
pub mod ranges;
#[cfg(test)]
mod tests;
mod values;

use dicom_dictionary_std::tags;

use super::findings::Lungs;
use crate::config::{QualityConfig, Severity};
use crate::dicom::elements::number;
use crate::engine::volume::{LungMask, Reason, Rejection, Volume};

/// What follows from a reason. Reasons without a setting leave nothing whole to analyse, so they reject.
pub fn severity(reason: Reason, settings: &QualityConfig) -> Severity {
    match reason {
        Reason::NotAChest => settings.not_a_chest,
        Reason::NoContrast => settings.no_contrast,
        Reason::UnevenContrast => settings.uneven_contrast,
        Reason::ContrastUnknown => settings.contrast_unknown,
        Reason::TooFewSlices => settings.too_few_slices,
        Reason::TooThick => settings.too_thick,
        Reason::LungsCut => settings.lungs_cut,
        Reason::LungsIncomplete => settings.lungs_incomplete,
        Reason::ImplausibleLungs => settings.implausible_lungs,
        Reason::OutsideTraining => Severity::Warn,
        Reason::ImplausibleValues => settings.implausible_values,
        Reason::UntriedEnergy => settings.untried_energy,
        Reason::WrongModality
        | Reason::Projection
        | Reason::NotHounsfield
        | Reason::MissingSlices
        | Reason::BadGeometry
        | Reason::MixedPatients
        | Reason::Truncated
        | Reason::Unreadable
        | Reason::Hostile => Severity::Reject,
    }
}

/// Judges a volume before its lungs are known: what its numbers are; number, distance and thickness of slices.
pub fn check_images(volume: &Volume, settings: &QualityConfig) -> Vec<Rejection> {
    let slices =
        too_few(volume, settings.fewest_slices).into_iter().chain(too_thick(volume, settings.thickest_slice_mm));
    let energies = [settings.lowest_energy_kev, settings.highest_energy_kev];
    slices.chain(values::implausible(volume)).chain(energy::untried(volume, energies)).collect()
}

fn too_few(volume: &Volume, fewest: usize) -> Option<Rejection> {
    let slices = volume.geometry.size[2];
    (slices < fewest).then(|| {
        let explanation = format!("{slices} usable CT slices; at least {fewest} were expected");
        Rejection::new(Reason::TooFewSlices, explanation)
    })
}

fn too_thick(volume: &Volume, thickest: f64) -> Option<Rejection> {
    let distance = volume.geometry.spacing[2];
    let thickness = number(&volume.header, tags::SLICE_THICKNESS).filter(|thickness| *thickness > 0.0);
    (distance.max(thickness.unwrap_or(0.0)) > thickest).then(|| {
        let thickness = thickness.map_or_else(|| "not stated".to_owned(), |thickness| format!("{thickness:.2} mm"));
        Rejection::new(
            Reason::TooThick,
            format!("slices lie {distance:.2} mm apart, thickness {thickness}; at most {thickest} mm are expected"),
        )
    })
}

/// Judges a volume with its lungs: are they there, whole, of a person's size, and is there contrast agent between them?
/// `lungs` are those of the mask.
pub fn check_chest(volume: &Volume, mask: &LungMask, lungs: &Lungs, settings: &QualityConfig) -> Vec<Rejection> {
    if let Some(rejection) = chest::not_a_chest(volume, mask, settings.smallest_lung_cm2) {
        // Cut lungs and vessels cannot be judged where there are no lungs.
        return vec![rejection];
    }
    let contrast = contrast::check(volume, mask, settings.lowest_contrast_hu);
    let cut = chest::cut(volume, mask, settings.largest_cut_cm2);
    let implausible = chest::implausible(&volume.geometry, lungs, settings.largest_lungs_ml);
    contrast.into_iter().chain(cut).chain(implausible).collect()
}
