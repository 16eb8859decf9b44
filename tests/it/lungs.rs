//! The lungs of phantoms as hospitals reconstruct them: cut by a circle or by the image, one lung without air.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use ndarray::{Array3, Axis, Slice};
use pe_node::config::{Config, DEFAULTS};
use pe_node::engine::analyse::findings::{Completeness, Lungs};
use pe_node::engine::analyse::lungs;
use pe_node::engine::models::Models;
use pe_node::engine::volume::{
    AIR, BACKGROUND, LEFT_LUNG, LungMask, RIGHT_LUNG, Volume, VoxelPoint, nifti, read_series,
};

use crate::predict::cohort;

/// A phantom and its true lungs.
struct Exam {
    volume: Volume,
    truth: Array3<u8>,
}

/// What the node finds in an exam.
struct Found {
    mask: Array3<u8>,
    lungs: Lungs,
    completeness: Completeness,
}

fn exam() -> Exam {
    let series = fs::read_dir(cohort().join("truth")).expect("truth").flatten().find(|entry| entry.path().is_dir());
    let series = series.expect("a series").file_name();
    let images =
        fs::read_dir(cohort().join("train")).expect("studies").flatten().map(|study| study.path().join(&series));
    let images = images.filter(|folder| folder.is_dir()).flat_map(|folder| fs::read_dir(folder).expect("images"));
    let files: Vec<PathBuf> = images.map(|file| file.expect("an image").path()).collect();
    let (truth, _) = nifti::read(&cohort().join("truth").join(&series).join("lungs.nii.gz")).expect("truth");
    let volume = read_series(&files, &settings().limits).volume.expect("a volume");
    Exam { volume, truth: truth.mapv(|label| label as u8) }
}

fn settings() -> Config {
    let mut config: Config = toml::from_str(DEFAULTS).expect("defaults");
    config.models.directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("onnx");
    config
}

impl Exam {
    /// Pixels farther than a radius from a place in the patient become padding; distances in millimetres.
    fn cut_by_circle(&mut self, radius: f64, to_the_left: f64) {
        let geometry = self.volume.geometry.clone();
        let [columns, rows, _] = geometry.size.map(|size| (size - 1) as f64 / 2.0);
        let centre = geometry.to_patient(VoxelPoint { column: columns, row: rows, slice: 0.0 }).0;
        for ((slice, row, column), value) in self.volume.hounsfield.indexed_iter_mut() {
            let point = VoxelPoint { column: column as f64, row: row as f64, slice: 0.0 };
            let place = geometry.to_patient(point).0;
            if (place[0] - centre[0] - to_the_left).hypot(place[1] - centre[1]) > radius {
                *value = AIR;
                self.truth[(slice, row, column)] = BACKGROUND;
            }
        }
    }

    /// Leaves columns and rows out at each side.
    fn cut_by_image(&mut self, margin: usize) {
        let geometry = &mut self.volume.geometry;
        geometry.origin = geometry.to_patient(VoxelPoint { column: margin as f64, row: margin as f64, slice: 0.0 });
        geometry.size = [geometry.size[0] - 2 * margin, geometry.size[1] - 2 * margin, geometry.size[2]];
        let [columns, rows, _] = geometry.size;
        let part = |axis: ndarray::AxisDescription| match axis.axis {
            Axis(1) => Slice::from(margin..margin + rows),
            Axis(2) => Slice::from(margin..margin + columns),
            _ => Slice::from(..),
        };
        self.volume.hounsfield = self.volume.hounsfield.slice_each_axis(part).to_owned();
        self.truth = self.truth.slice_each_axis(part).to_owned();
    }

    /// Fills a lung with fluid.
    fn without(&mut self, side: u8) {
        for (value, label) in self.volume.hounsfield.iter_mut().zip(&mut self.truth) {
            if *label == side {
                (*value, *label) = (12, BACKGROUND);
            }
        }
    }

    fn found(&self) -> Found {
        static MODELS: OnceLock<Mutex<Models>> = OnceLock::new();
        let load = || Mutex::new(Models::load(&settings().models, &settings().onnxruntime).expect("models"));
        let mut models = MODELS.get_or_init(load).lock().unwrap_or_else(PoisonError::into_inner);
        let mask = lungs::segment(&mut models.lungs, &self.volume).expect("lungs");
        let found = lungs::measure(&mask, &self.volume.geometry);
        let completeness = lungs::completeness(&self.volume, &mask, &found);
        let LungMask(mask) = mask;
        Found { mask, lungs: found, completeness }
    }

    /// Volume of a true lung that can be seen, in millilitres.
    fn millilitres(&self, side: u8) -> f64 {
        self.truth.iter().filter(|label| **label == side).count() as f64 * self.volume.geometry.voxel_millilitres()
    }

    /// Checks a lung that is found against what can be seen of it.
    fn assert_agrees(&self, found: &Found, side: u8) {
        let lung = if side == LEFT_LUNG { &found.lungs.left } else { &found.lungs.right };
        let millilitres = lung.as_ref().map_or(0.0, |lung| lung.millilitres);
        let wanted = self.millilitres(side);
        assert!((millilitres / wanted - 1.0).abs() < 0.05, "lung {side}: {millilitres:.0} instead of {wanted:.0} mL");
        let both = found.mask.iter().zip(&self.truth).filter(|(mask, truth)| **mask == side && **truth == side);
        let voxels = |labels: &Array3<u8>| labels.iter().filter(|label| **label == side).count();
        let dice = 2.0 * both.count() as f64 / (voxels(&found.mask) + voxels(&self.truth)) as f64;
        assert!(dice > 0.95, "lung {side}: Dice {dice:.3}");
    }
}

#[test]
fn whole_lungs_are_found_and_complete() {
    let exam = exam();
    let found = exam.found();
    exam.assert_agrees(&found, LEFT_LUNG);
    exam.assert_agrees(&found, RIGHT_LUNG);
    assert_eq!(found.completeness, Completeness::default());
}

#[test]
fn lungs_that_a_circle_cuts_are_found_as_far_as_they_are_seen_and_the_rest_is_told() {
    let mut exam = exam();
    let whole = exam.millilitres(RIGHT_LUNG);
    exam.cut_by_circle(130.0, 20.0);
    let found = exam.found();
    exam.assert_agrees(&found, LEFT_LUNG);
    exam.assert_agrees(&found, RIGHT_LUNG);
    let cut = whole - exam.millilitres(RIGHT_LUNG);
    let told = found.completeness.right.cut_ml;
    assert!(cut > 200.0 && (0.5..2.0).contains(&(told / cut)), "{told:.0} instead of {cut:.0} mL");
    assert!(found.completeness.limits_decision(&found.lungs));
}

#[test]
fn lungs_that_the_image_cuts_are_found_as_far_as_they_are_seen() {
    let mut exam = exam();
    let half = 115.0 / exam.volume.geometry.spacing[0];
    exam.cut_by_image((exam.volume.geometry.size[0] / 2).saturating_sub(half as usize));
    let found = exam.found();
    exam.assert_agrees(&found, LEFT_LUNG);
    exam.assert_agrees(&found, RIGHT_LUNG);
    assert!(
        found.completeness.right.cut_ml > 50.0 && found.completeness.left.cut_ml > 50.0,
        "{:?}",
        found.completeness
    );
}

#[test]
fn a_lung_that_is_gone_is_a_warning_and_does_not_limit_the_decision() {
    let mut exam = exam();
    exam.without(RIGHT_LUNG);
    let found = exam.found();
    exam.assert_agrees(&found, LEFT_LUNG);
    assert!(found.completeness.right.smaller_ml > 500.0, "{:?}", found.completeness);
    assert!(!found.completeness.limits_decision(&found.lungs));
}
