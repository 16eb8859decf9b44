//! Are the images of the kind that a model was trained on?

use dicom_dictionary_std::tags;

use super::slices::thickness;
use crate::dicom::elements::{age_years, text};
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
    let problems = problems(volume, &model.training.ranges);
    (!problems.is_empty()).then(|| {
        Rejection::new(
            Reason::OutsideTraining,
            format!("{} was not trained on {}", model.id(), problems.join(", nor on ")),
        )
    })
}

/// Each value that lies outside its range, with both.
fn problems(volume: &Volume, ranges: &Ranges) -> Vec<String> {
    let slice = thickness(volume).unwrap_or(0.0).max(volume.geometry.spacing[2]);
    let [column_mm, row_mm, _] = volume.geometry.spacing;
    let problems = [
        outside("slices", slice, "mm", ranges.slice_mm.or(Some(USUAL_SLICES))),
        outside("pixels", column_mm.max(row_mm), "mm", ranges.pixel_mm),
        age_years(&volume.header).and_then(|years| outside("an age", years, "years", ranges.age_years)),
        foreign_kernel(volume, &ranges.kernels),
    ];
    problems.into_iter().flatten().collect()
}

fn outside(what: &str, value: f64, unit: &str, range: Option<[f64; 2]>) -> Option<String> {
    let [low, high] = range?;
    let inside = value >= low * (1.0 - ROUNDING) && value <= high * (1.0 + ROUNDING);
    (!inside).then(|| format!("{what} of {value:.2} {unit} (only {low} to {high})"))
}

fn foreign_kernel(volume: &Volume, kernels: &[String]) -> Option<String> {
    let kernel = text(&volume.header, tags::CONVOLUTION_KERNEL).filter(|_| !kernels.is_empty())?;
    let known = kernels.iter().any(|known| known.eq_ignore_ascii_case(&kernel));
    (!known).then(|| format!("the kernel {kernel} (only {})", kernels.join(", ")))
}

#[cfg(test)]
mod tests {
    use dicom_core::{DataElement, VR};

    use super::*;
    use crate::engine::volume::testing;

    /// Two slices of 1 mm with pixels of this size, of a woman of 17 and with the kernel `B70f`.
    fn images(pixel_mm: f64) -> Volume {
        let geometry = testing::geometry([8, 8, 2], [pixel_mm, pixel_mm, 1.0], testing::SUPINE);
        let mut volume = testing::volume(geometry, |_| 0.0);
        volume.header.put(DataElement::new(tags::PATIENT_AGE, VR::AS, "017Y"));
        volume.header.put(DataElement::new(tags::CONVOLUTION_KERNEL, VR::SH, "B70f"));
        volume
    }

    fn one(change: impl FnOnce(&mut Ranges)) -> Ranges {
        let mut ranges = Ranges::default();
        change(&mut ranges);
        ranges
    }

    #[test]
    fn what_is_stated_is_compared_and_nothing_else() {
        let pixels = one(|ranges| ranges.pixel_mm = Some([0.0, 1.8]));
        assert_eq!(problems(&images(2.3), &Ranges::default()), [""; 0]);
        assert_eq!(problems(&images(1.81), &pixels), [""; 0], "rounding");
        assert_eq!(problems(&images(2.3), &pixels), ["pixels of 2.30 mm (only 0 to 1.8)"]);
        let slices = one(|ranges| ranges.slice_mm = Some([0.0, 0.8]));
        assert_eq!(problems(&images(0.7), &slices), ["slices of 1.00 mm (only 0 to 0.8)"]);
        let adults = one(|ranges| ranges.age_years = Some([18.0, 90.0]));
        assert_eq!(problems(&images(0.7), &adults), ["an age of 17.00 years (only 18 to 90)"]);
        let kernels = |known: &str| one(|ranges| ranges.kernels = vec!["Br40".to_owned(), known.to_owned()]);
        assert_eq!(problems(&images(0.7), &kernels("b70F")), [""; 0]);
        assert_eq!(problems(&images(0.7), &kernels("Br44")), ["the kernel B70f (only Br40, Br44)"]);
        let mut unstated = images(0.7);
        unstated.header.remove_element(tags::PATIENT_AGE);
        unstated.header.remove_element(tags::CONVOLUTION_KERNEL);
        let all = Ranges { age_years: adults.age_years, ..kernels("Br44") };
        assert_eq!(problems(&unstated, &all), [""; 0], "nobody knows");
    }
}
