//! Quality checks: is this series a usable CT pulmonary angiogram?
//!
//! [`read_series`](crate::engine::volume::read_series) reports what is wrong with the objects and their positions.
//! [`check_images`] judges the images before the lungs are known, [`check_chest`] after, [`ranges`] compares them with
//! what a model was trained on. Each gives all reasons that apply, with the values they rest on. The settings say what
//! follows from a reason: see [`severity`].

mod airway;
mod cells;
mod chest;
mod contrast;
mod energy;
mod great_vessels;
mod mediastinum;
mod phases;
pub mod ranges;
mod slices;
#[cfg(test)]
mod tests;
mod values;

use self::cells::Cells;
use self::mediastinum::{Mediastinum, Place};
use super::enhancement::Enhancement;
use super::findings::{Completeness, Lungs};
use crate::config::{QualityConfig, Severity};
use crate::engine::volume::{LungMask, Reason, Rejection, Volume};

/// What follows from a reason. Reasons without a setting leave nothing whole to analyse, so they reject.
pub fn severity(reason: Reason, settings: &QualityConfig) -> Severity {
    match reason {
        Reason::NotAChest => settings.not_a_chest,
        Reason::NoContrast => settings.no_contrast,
        Reason::UnevenContrast => settings.uneven_contrast,
        Reason::ContrastUnknown => settings.contrast_unknown,
        Reason::AorticPhase => settings.aortic_phase,
        Reason::TooFewSlices => settings.too_few_slices,
        Reason::SkippedSlices => settings.skipped_slices,
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

/// Judges a volume before its lungs are known: what its numbers are; number, distance, thickness and numbering of slices.
pub fn check_images(volume: &Volume, settings: &QualityConfig) -> Vec<Rejection> {
    let slices = [
        slices::too_few(volume, settings.fewest_slices),
        slices::skipped(volume),
        slices::too_thick(volume, settings.thickest_slice_mm),
    ];
    let energies = [settings.lowest_energy_kev, settings.highest_energy_kev];
    let numbers = [values::implausible(volume), values::bright_edges(volume), energy::untried(volume, energies)];
    slices.into_iter().chain(numbers).flatten().collect()
}

/// What the images of a chest show of its quality.
#[derive(Debug, Clone, Default)]
pub struct ChestQuality {
    /// What is wrong.
    pub rejections: Vec<Rejection>,
    /// How bright contrast agent makes the great vessels.
    pub enhancement: Enhancement,
}

/// Judges a volume with its lungs: are they there, whole, of a person's size, and is there contrast agent between them,
/// timed for the pulmonary arteries? `lungs` and `completeness` are those of the mask.
pub fn check_chest(
    volume: &Volume,
    mask: &LungMask,
    lungs: &Lungs,
    completeness: &Completeness,
    settings: &QualityConfig,
) -> ChestQuality {
    if let Some(rejection) = chest::not_a_chest(volume, mask, lungs, settings.smallest_lung_cm2) {
        // Cut lungs and vessels cannot be judged where there are no lungs.
        return ChestQuality { rejections: vec![rejection], ..ChestQuality::default() };
    }
    let Some(cells) = Cells::of(volume, mask) else {
        return ChestQuality {
            rejections: vec![contrast::unknown(0.0, Place::BetweenLungs)],
            ..ChestQuality::default()
        };
    };
    let mediastinum = Mediastinum::of(&cells);
    let enhancement = great_vessels::measure(&mediastinum, &volume.geometry);
    let contrast = contrast::check(&mediastinum, settings.lowest_contrast_hu)
        .or_else(|| phases::check(&mediastinum, settings.largest_contrast_step_hu));
    let rejections = [
        contrast,
        great_vessels::aortic_phase(&enhancement, settings),
        chest::cut(volume, mask, completeness, settings.largest_cut_cm2),
        chest::implausible(&volume.geometry, lungs, settings.largest_lungs_ml),
    ];
    ChestQuality { rejections: rejections.into_iter().flatten().collect(), enhancement }
}
