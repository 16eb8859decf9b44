//! Are the images of the kind that a model was trained on?

use dicom_dictionary_std::tags;

use super::slices::thickness;
use crate::dicom::elements::{text, texts};
use crate::engine::models::manifest::{Manifest, Ranges};
use crate::engine::volume::{Reason, Rejection, Volume};

/// Slices of a package that does not say how thick those were that it was trained on, in millimetres. Guidelines for
/// CTPA ask for 3 mm or less (ACR-NASCI-SPR practice parameter for body CT angiography: 1.5 mm or less preferred); half
/// a millimetre is left for rounding. In 5 mm slices a segmental artery is one voxel.
const USUAL_SLICES: [f64; 2] = [0.0, 3.5];
/// Share by which a value may lie outside a range: values are rounded where they are written.
const ROUNDING: f64 = 0.01;

/// That the images lie outside what the model was trained on, with each value and its range. No decision is made on
/// such images.
pub fn check(volume: &Volume, model: &Manifest) -> Option<Rejection> {
    let Ranges { slice_mm, pixel_mm, age_years, kernels } = &model.training.ranges;
    let slice = thickness(volume).unwrap_or(0.0).max(volume.geometry.spacing[2]);
    let problems: Vec<String> = [
        outside("slices", slice, "mm", slice_mm.or(Some(USUAL_SLICES))),
        outside("pixels", volume.geometry.spacing[0].max(volume.geometry.spacing[1]), "mm", *pixel_mm),
        age(volume).and_then(|years| outside("an age", years, "years", *age_years)),
        foreign_kernel(volume, kernels),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!problems.is_empty()).then(|| {
        Rejection::new(
            Reason::OutsideTraining,
            format!("{} was not trained on {}", model.id(), problems.join(", nor on ")),
        )
    })
}

fn outside(what: &str, value: f64, unit: &str, range: Option<[f64; 2]>) -> Option<String> {
    let [low, high] = range?;
    let inside = value >= low * (1.0 - ROUNDING) && value <= high * (1.0 + ROUNDING);
    (!inside).then(|| format!("{what} of {value:.2} {unit} (only {low} to {high})"))
}

/// Patient's Age (0010,1010) in years ([PS3.5
/// 6.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_6.2.html), AS).
fn age(volume: &Volume) -> Option<f64> {
    let value = text(&volume.header, tags::PATIENT_AGE)?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let count: f64 = digits.parse().ok()?;
    match unit {
        "Y" => Some(count),
        "M" => Some(count / 12.0),
        "W" => Some(count * 7.0 / 365.25),
        "D" => Some(count / 365.25),
        _ => None,
    }
}

fn foreign_kernel(volume: &Volume, kernels: &[String]) -> Option<String> {
    let stated = texts(&volume.header, tags::CONVOLUTION_KERNEL);
    let kernel = stated.first().filter(|_| !kernels.is_empty())?;
    let known = kernels.iter().any(|known| known.eq_ignore_ascii_case(kernel));
    (!known).then(|| format!("the kernel {kernel} (only {})", kernels.join(", ")))
}
