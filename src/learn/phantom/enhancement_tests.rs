//! The quality checks measure the great vessels of phantoms, whose contrast is known.

use dicom_object::InMemDicomObject;
use ndarray::Array3;
use rayon::prelude::*;

use super::heart::Enhancement;
use super::render::Slice;
use super::{Exam, Preset, Recipe};
use crate::config::Config;
use crate::engine::analyse::enhancement::Vessel;
use crate::engine::analyse::findings::Completeness;
use crate::engine::analyse::lungs::measure;
use crate::engine::analyse::quality::check_chest;
use crate::engine::volume::{LungMask, Reason, Volume};

/// The images of an exam with its true lungs.
fn scanned(exam: &Exam) -> (Volume, LungMask) {
    let geometry = exam.geometry();
    let [columns, rows, slices] = geometry.size;
    let (mut hounsfield, mut lungs) = (Array3::zeros((slices, rows, columns)), Array3::zeros((slices, rows, columns)));
    let storage = exam.scanner.storage;
    let rendered: Vec<Slice> = exam.slices().collect();
    for (slice, rendered) in rendered.iter().enumerate() {
        for (index, (stored, lung)) in rendered.stored.iter().zip(&rendered.lungs).enumerate() {
            let place = (slice, index / columns, index % columns);
            hounsfield[place] = (storage.hounsfield(*stored) as i16).max(-1024);
            lungs[place] = *lung;
        }
    }
    let volume = Volume::new(geometry, hounsfield, Vec::new(), InMemDicomObject::new_empty());
    (volume, LungMask(lungs))
}

#[test]
fn great_vessels_are_measured_as_bright_as_they_are_and_tell_the_phase() {
    let settings = Config::from_defaults(&[]).expect("defaults").quality;
    let (trunk, aorta) = (260.0, 330.0);
    let mut exam = Exam::draw(&Recipe { pe: Some(false), ..Recipe::new(Preset::Light, 9, 2) });
    exam.enhancement = Enhancement { cava: trunk, pulmonary: trunk, venous: aorta, aorta };
    let (volume, mask) = scanned(&exam);
    let lungs = measure(&mask, &volume.geometry);
    let quality = check_chest(&volume, &mask, &lungs, &Completeness::default(), &settings);
    let found: Vec<Reason> = quality.rejections.iter().map(|rejection| rejection.reason).collect();
    assert_eq!(found, [Reason::AorticPhase], "{:?}", quality.rejections);
    let of = |vessel: Option<Vessel>| vessel.expect("measured").hounsfield;
    let measured = [of(quality.enhancement.trunk), of(quality.enhancement.aorta)];
    let near = |measured: f64, truth: f32| (measured - f64::from(truth)).abs() < 0.05 * f64::from(truth);
    assert!(near(measured[0], trunk) && near(measured[1], aorta), "{measured:?} of {trunk} and {aorta} HU");
}
