//! Exams with emboli made of exams without: filling defects are put into the contrast-filled vessels of the lungs, and
//! their mask, slice labels and level are known for nothing.
//!
//! Vessels are found in the image itself, by brightness within the lungs and by their width. Arteries and veins are not
//! told apart. A thrombus is a row of overlapping lumps of random size along a vessel, which is not how the phantoms
//! make theirs (tubes along the centre line): a network that learns these lumps has not seen the phantoms' emboli.

mod distance;
mod thrombus;
mod vessels;

use ndarray::Array3;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::engine::volume::Volume;
use thrombus::Painter;
pub(crate) use vessels::{VesselWidth, Vessels};

/// Fewest and most thrombi of an exam.
const THROMBI: std::ops::RangeInclusive<usize> = 1..=8;
/// Smallest area of a thrombus on a slice, in square millimetres, for which a reader would label the slice.
const VISIBLE_MM2: f64 = 5.0;

/// An exam with emboli that were put into it.
#[derive(Debug)]
pub(crate) struct Inserted {
    /// Hounsfield units, `[slice, row, column]`.
    pub(crate) hounsfield: Array3<i16>,
    /// 1 where there is an embolus, on the same grid.
    pub(crate) emboli: Array3<u8>,
    /// Width of the vessel of the most proximal one.
    pub(crate) most_proximal: VesselWidth,
}

impl Inserted {
    /// Whether each slice shows an embolus, lowest first.
    pub(crate) fn slice_labels(&self, pixel_mm2: f64) -> Vec<bool> {
        let area = |slice: ndarray::ArrayView2<'_, u8>| slice.iter().filter(|voxel| **voxel > 0).count() as f64;
        self.emboli.outer_iter().map(|slice| area(slice) * pixel_mm2 >= VISIBLE_MM2).collect()
    }
}

/// Puts some emboli into the vessels of an exam without embolism. `None` where none would be visible.
pub(crate) fn insert(volume: &Volume, vessels: &Vessels, random: &mut ChaCha8Rng) -> Option<Inserted> {
    let mut painter = Painter::new(volume, vessels);
    let wanted = random.random_range(THROMBI);
    let lodged: Vec<VesselWidth> = (0..wanted).filter_map(|_| painter.lodge(random)).collect();
    let (hounsfield, emboli) = painter.finish();
    let inserted = Inserted { hounsfield, emboli, most_proximal: lodged.into_iter().min()? };
    let [column_mm, row_mm, _] = volume.geometry.spacing;
    inserted.slice_labels(column_mm * row_mm).contains(&true).then_some(inserted)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::engine::volume::{LEFT_LUNG, LungMask, RIGHT_LUNG, testing};

    /// Two lungs that meet before and behind the heart, each with a wide vessel that rises obliquely and a narrow one
    /// beside it, or with none.
    fn exam(contrast: bool) -> (Volume, LungMask) {
        let side = |x: f64| if x > 0.0 { LEFT_LUNG } else { RIGHT_LUNG };
        let in_lung = |[x, y, _]: [f64; 3]| {
            let meet = x.abs() < 30.0 && (y.abs() - 35.0).abs() < 5.0;
            meet || ((x.abs() - 60.0) / 45.0).powi(2) + (y / 60.0).powi(2) < 1.0
        };
        let heart = |[x, y, _]: [f64; 3]| x.hypot(y) < 12.0;
        let vessel = |[x, y, z]: [f64; 3]| {
            let across = (x.abs() - 60.0 - 0.2 * z).hypot(y);
            let narrow = (x.abs() - 80.0).hypot(y - 20.0 - 0.1 * z);
            across < 5.0 || narrow < 2.6
        };
        let hounsfield = move |place: [f64; 3]| match place {
            _ if in_lung(place) && contrast && vessel(place) => 350.0,
            _ if in_lung(place) => -850.0,
            _ if contrast && heart(place) => 350.0,
            _ => 40.0,
        };
        let volume = testing::volume(testing::geometry([120, 80, 40], [2.0, 2.0, 2.0], testing::SUPINE), hounsfield);
        let mask = ndarray::Array3::from_shape_fn(volume.hounsfield.dim(), |(slice, row, column)| {
            let place = volume.geometry.to_patient([column, row, slice].into()).0;
            if in_lung(place) { side(place[0]) } else { 0 }
        });
        (volume, LungMask(mask))
    }

    #[test]
    fn emboli_lie_within_vessels_and_darken_nothing_else() {
        let (volume, lungs) = exam(true);
        let vessels = Vessels::find(&volume, &lungs).expect("vessels");
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..12 {
            let inserted = insert(&volume, &vessels, &mut ChaCha8Rng::seed_from_u64(seed)).expect("visible emboli");
            let mut marked = 0;
            for ((place, after), before) in inserted.hounsfield.indexed_iter().zip(&volume.hounsfield) {
                let embolus = inserted.emboli[place] > 0;
                marked += usize::from(embolus);
                assert!(*after <= *before, "nothing becomes brighter");
                assert!(!embolus || (*before == 350 && *after < 250), "{before} {after}");
                assert!(lungs.0[place] > 0 || before == after, "only vessels of the lungs change: {before} {after}");
            }
            assert!(marked > 3, "{marked}");
            let labels = inserted.slice_labels(4.0);
            let shown = labels.iter().filter(|label| **label).count();
            assert!((1..=labels.len()).contains(&shown), "{shown}");
            seen.insert(inserted.most_proximal);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [VesselWidth::Lobar, VesselWidth::Segmental]);
    }

    #[test]
    fn one_seed_makes_one_exam_and_another_seed_another() {
        let (volume, lungs) = exam(true);
        let vessels = Vessels::find(&volume, &lungs).expect("vessels");
        let emboli = |seed| insert(&volume, &vessels, &mut ChaCha8Rng::seed_from_u64(seed)).expect("visible").emboli;
        assert_eq!(emboli(1), emboli(1));
        assert_ne!(emboli(1), emboli(2));
    }

    #[test]
    fn an_exam_without_contrast_gets_none() {
        let (volume, lungs) = exam(false);
        assert!(Vessels::find(&volume, &lungs).is_none());
    }
}
