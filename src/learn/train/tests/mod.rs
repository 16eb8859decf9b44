//! Whole trainings on a handful of made-up exams: boxes of tissue with two lungs, a bright vessel and, in positive
//! exams, a dark embolus in it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use ndarray::Array4;

use super::dataset::{Dataset, PreparedExam};
use super::evaluate::{Evaluation, Prediction, TargetPrediction};
use super::labels::{Cohort, Exam, Split};
use super::{Portion, Step, TrainConfiguration, TrainError, TrainingContext, files, generator, steps, table};
use crate::engine::models::manifest::{IntendedUse, Kind};
use crate::engine::models::networks;
use crate::engine::models::package::Package;
use crate::engine::models::registry::Registry;
use crate::engine::models::session::{Runtime, SessionError};
use crate::engine::models::target::Target;
use crate::engine::volume::preparation::Preparer;
use crate::engine::volume::{LEFT_LUNG, LungMask, RIGHT_LUNG, Volume, nifti, read_series, testing};

mod fitting;
#[cfg(feature = "vulkan")]
mod gpu;
mod other_software;
mod packages;
mod planning;
mod preparing;
mod splitting;

/// A few more than the node requires of a series.
const SLICES: usize = 36;

/// Whether a place lies in the left lung, the right lung or neither.
fn lung([x, y, _]: [f64; 3]) -> u8 {
    let inside = |centre: f64| ((x - centre) / 45.0).powi(2) + (y / 60.0).powi(2) < 1.0;
    match (inside(60.0), inside(-60.0)) {
        (true, _) => LEFT_LUNG,
        (_, true) => RIGHT_LUNG,
        _ => 0,
    }
}

fn hounsfield(positive: bool, exam: usize) -> impl Fn([f64; 3]) -> f64 {
    move |place @ [x, y, z]| {
        let shade = exam as f64 * 3.0;
        match place {
            _ if (x / 130.0).powi(2) + (y / 90.0).powi(2) > 1.0 => -1000.0,
            _ if positive && x.hypot(y) < 9.0 && z.abs() < 12.0 => 30.0,
            _ if x.hypot(y) < 15.0 => 330.0 + shade,
            _ if lung(place) > 0 => -850.0 + shade,
            _ => 40.0,
        }
    }
}

fn exam_volume(positive: bool, exam: usize) -> Volume {
    testing::volume(testing::geometry([48, 40, SLICES], [6.0, 6.0, 3.0], testing::SUPINE), hounsfield(positive, exam))
}

/// Which slices carry a label.
#[derive(Clone, Copy, PartialEq)]
enum Labelled {
    All,
    None,
}

/// Writes exams in RSPECT's layout, every second one positive unless `only` says otherwise.
fn cohort(root: &Path, exams: usize, labelled: Labelled, only: Option<bool>) {
    let mut table =
        "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,pe_present_on_image,negative_exam_for_pe\n".to_owned();
    for exam in 0..exams {
        let positive = only.unwrap_or(exam % 2 == 1);
        let (study, series) = (format!("1.2.{exam}"), format!("1.3.{exam}"));
        let folder = root.join("train").join(&study).join(&series);
        std::fs::create_dir_all(&folder).expect("folder");
        let volume = exam_volume(positive, exam);
        let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
        testing::write_series(&volume, &folder, |slice, object| {
            object.put(text(tags::STUDY_INSTANCE_UID, VR::UI, &study));
            object.put(text(tags::SERIES_INSTANCE_UID, VR::UI, &series));
            object.put(text(tags::SOP_INSTANCE_UID, VR::UI, &format!("1.4.{exam}.{slice}")));
            object.put(text(tags::PATIENT_ID, VR::LO, &format!("patient {exam}")));
            object.put(text(tags::SYNTHETIC_DATA, VR::CS, "YES"));
        });
        for slice in 0..SLICES {
            let height = (slice as f64 - (SLICES as f64 - 1.0) / 2.0) * 3.0;
            let present = u8::from(positive && height.abs() < 12.0);
            let label = if labelled == Labelled::All { present.to_string() } else { String::new() };
            let _ = writeln!(table, "{study},{series},1.4.{exam}.{slice},{label},{}", u8::from(!positive));
        }
        let truth = root.join("truth").join(&series);
        std::fs::create_dir_all(&truth).expect("folder");
        nifti::write(&truth.join("lungs.nii.gz"), &mask(&volume).0, &volume.geometry).expect("mask");
        let emboli = volume.hounsfield.mapv(|value| u8::from(value == 30));
        nifti::write(&truth.join("clots.nii.gz"), &emboli, &volume.geometry).expect("mask");
    }
    std::fs::write(root.join("train.csv"), table).expect("table");
}

fn mask(volume: &Volume) -> LungMask {
    use crate::engine::volume::VoxelPoint;
    LungMask(ndarray::Array3::from_shape_fn(volume.hounsfield.dim(), |(slice, row, column)| {
        let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
        lung(volume.geometry.to_patient(point).0)
    }))
}

/// A training in a temporary folder.
struct Trial {
    folder: tempfile::TempDir,
    overrides: Vec<String>,
}

impl Trial {
    fn new(exams: usize, labelled: Labelled, overrides: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        cohort(&folder.path().join("cohort"), exams, labelled, None);
        let small = [
            "data.lungs=truth",
            "data.validation_fraction=0.34",
            "data.test_fraction=0",
            "input.size=[64, 80]",
            "input.spacing_mm=2.5",
            "input.slice_step_mm=3",
            "encoder.widths=[4, 8, 8]",
            "head.width=8",
            "lung_network.widths=[4, 8]",
            "fit.exams_per_step=4",
            "fit.epochs=2",
            "fit.head_epochs=2",
            "fit.warm_up_steps=1",
            "evaluation.bootstrap=20",
            "fit.device=cpu",
            "package.intended_use=research",
            "package.data=made up by tests",
        ];
        let overrides = small.iter().chain(overrides).map(|text| (*text).to_owned()).collect();
        Self { folder, overrides }
    }

    fn configuration(&self, more: &[&str]) -> TrainConfiguration {
        let mut overrides = self.overrides.clone();
        overrides.push(format!("data.root={}", self.path("cohort").display()));
        overrides.push(format!("work.dir={}", self.path("work").display()));
        overrides.push(format!("package.directory={}", self.path("onnx").display()));
        overrides.extend(more.iter().map(|text| (*text).to_owned()));
        TrainConfiguration::load(None, &overrides).expect("valid")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Steps that come before the fit.
const PREPARING: [Step; 5] = [Step::Labels, Step::Volumes, Step::Slices, Step::Lungs, Step::Crops];

fn run(step: Step, configuration: &TrainConfiguration) -> Result<Vec<String>, TrainError> {
    let _drawing = generator::shared();
    run_alone(step, configuration)
}

/// As [`run`], for a test that holds the generator.
fn run_alone(step: Step, configuration: &TrainConfiguration) -> Result<Vec<String>, TrainError> {
    super::run(step, configuration, &TrainingContext::of_environment(), Portion::All)
}

fn prepare(configuration: &TrainConfiguration) -> Result<Vec<String>, TrainError> {
    let lines: Result<Vec<Vec<String>>, TrainError> =
        PREPARING.into_iter().map(|step| run(step, configuration)).collect();
    Ok(lines?.concat())
}

/// All exams as a fit sees them.
fn prepared_exams(configuration: &TrainConfiguration) -> Vec<PreparedExam> {
    prepare(configuration).expect("prepared");
    let datasets = steps::testing::datasets_of(configuration, &TrainingContext::of_environment()).expect("exams");
    datasets.into_iter().flat_map(|(_, data)| data.exams).collect()
}
