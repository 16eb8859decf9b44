//! Whole trainings on a handful of made-up exams: boxes of tissue with two lungs, a bright vessel and, in positive
//! exams, a dark clot in it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use ndarray::Array4;

use super::dataset::{Dataset, PreparedExam};
use super::evaluate::{Evaluation, Prediction, TargetPrediction};
use super::labels::{Cohort, Exam, Split};
use super::{Shard, Step, TrainConfiguration, TrainError};
use crate::config::Config;
use crate::engine::models::manifest::IntendedUse;
use crate::engine::models::networks;
use crate::engine::models::registry::Package;
use crate::engine::models::session::{Runtime, SessionError};
use crate::engine::models::target::Target;
use crate::engine::volume::preparation::Preparer;
use crate::engine::volume::{LEFT_LUNG, LungMask, RIGHT_LUNG, Volume, nifti, read_series, testing};

const SLICES: usize = 24;

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
        let clots = volume.hounsfield.mapv(|value| u8::from(value == 30));
        nifti::write(&truth.join("clots.nii.gz"), &clots, &volume.geometry).expect("mask");
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
const PREPARING: [Step; 5] = [Step::Labels, Step::Volumes, Step::Slices, Step::Lungs, Step::Boxes];

fn run(step: Step, configuration: &TrainConfiguration) -> Result<Vec<String>, TrainError> {
    super::run(step, configuration, Shard::ALL)
}

fn prepare(configuration: &TrainConfiguration) -> Result<Vec<String>, TrainError> {
    let lines: Result<Vec<Vec<String>>, TrainError> =
        PREPARING.into_iter().map(|step| run(step, configuration)).collect();
    Ok(lines?.concat())
}

/// All exams as a fit sees them.
fn prepared_exams(configuration: &TrainConfiguration) -> Vec<PreparedExam> {
    prepare(configuration).expect("prepared");
    let datasets = super::steps::datasets_of(configuration).expect("exams");
    datasets.into_iter().flat_map(|(_, data)| data.exams).collect()
}

fn runtime() -> Runtime {
    Runtime::start(&Config::load(None, std::env::vars(), &[]).expect("defaults").onnxruntime).expect("ONNX Runtime")
}

const LUNGS: &[&str] = &[
    "kind=lung-segmentation",
    "input.window=[-1000, 400]",
    "input.crop=body",
    "input.size=[40, 56]",
    "input.spacing_mm=5",
    "input.neighbours=0",
    "augmentation.flip=0",
    "lung_network.widths=[4, 8, 8, 8]",
    "package.name=trial-lungs",
];

#[test]
fn one_command_makes_an_embolism_package_that_the_node_loads() {
    let trial = Trial::new(8, Labelled::All, &["package.name=trial"]);
    let lines = run(Step::All, &trial.configuration(&[])).expect("trained");
    assert!(lines.iter().any(|line| line.starts_with("validation.exam_auroc")), "{lines:?}");
    let package = Package::open(&trial.path("onnx/trial/0.1.0")).expect("package");
    let network = networks::EmbolismNetwork::load(&package, &runtime()).expect("loads");
    assert_eq!(network.manifest().training.counts["train_exams"], 6);
    assert_eq!(
        network.manifest().training.counts["train_labelled_slices"],
        network.manifest().training.counts["train_slices"]
    );
    let card = std::fs::read_to_string(trial.path("onnx/trial/0.1.0/card.md")).expect("card");
    assert_eq!(
        network.manifest().intended_use,
        IntendedUse::Demonstration,
        "whatever was asked for: the images are made up"
    );
    assert!(card.contains("Research use; trained on synthetic images alone"), "{card}");
}

#[test]
fn one_command_makes_a_lung_package_that_tells_left_from_right() {
    let trial = Trial::new(6, Labelled::None, LUNGS);
    let longer = ["fit.epochs=30", "fit.exams_per_step=1", "fit.warm_up_steps=5", "fit.learning_rate=5e-3"];
    run(Step::All, &trial.configuration(&longer)).expect("trained");
    let package = Package::open(&trial.path("onnx/trial-lungs/0.1.0")).expect("package");
    let dice = ["validation.dice_left", "validation.dice_right"].map(|name| package.manifest().metrics[name].value);
    assert!(dice.iter().all(|dice| *dice > 0.8), "{dice:?}");
    networks::LungNetwork::load(&package, &runtime()).expect("loads");
}

#[test]
fn a_training_batch_is_bit_for_bit_what_is_served() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let configuration = trial.configuration(&[]);
    prepare(&configuration).expect("prepared");
    let datasets = super::steps::datasets_of(&configuration).expect("prepared exams");
    let data: &Dataset = &datasets[0].1;
    let series = &data.exams[0].series;
    let folder = trial.path("cohort").join("train").join(series.replace("1.3.", "1.2.")).join(series);
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("series").map(|entry| entry.expect("file").path()).collect();
    let volume = read_series(&files, &super::files::LIMITS).volume.expect("volume");
    let preparer = Preparer::new(&volume, Some(&mask(&volume)), &configuration.input).expect("preparer");
    let slices: Vec<usize> = (0..preparer.slices()).collect();
    let trained = data.batch(0, &slices, |image| image).expect("batch");
    let served = preparer.batch(0..preparer.slices());
    assert_eq!(data.exams[0].slices, preparer.slices());
    assert!(served.iter().any(|value| *value > 0.2 && *value < 0.8));
    assert!(trained.iter().zip(&served).all(|(trained, served)| trained.to_bits() == served.to_bits()));
}

#[test]
fn exam_labels_alone_train() {
    let trial = Trial::new(6, Labelled::None, &["fit.epochs=1", "package.name=trial"]);
    let lines = run(Step::All, &trial.configuration(&[])).expect("trained");
    assert!(lines[0].contains("0 of 144 slices labelled"), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("NaN")), "{lines:?}");
    let package = Package::open(&trial.path("onnx/trial/0.1.0")).expect("package");
    assert!(!package.manifest().calibration[0].slices_fitted, "there was no slice to fit on");
    let card = std::fs::read_to_string(trial.path("onnx/trial/0.1.0/card.md")).expect("card");
    assert!(card.contains("Slices are not calibrated"), "{card}");
}

#[test]
fn exams_from_another_folder_or_with_other_lungs_are_prepared_anew() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let first = prepared_exams(&trial.configuration(&[]));
    assert_eq!(prepared_exams(&trial.configuration(&[])), first);
    std::fs::rename(trial.path("cohort"), trial.path("moved")).expect("rename");
    let moved = prepared_exams(&trial.configuration(&[&format!("data.root={}", trial.path("moved").display())]));
    assert_eq!(moved.len(), first.len());
    for exam in &moved {
        let before = first.iter().find(|before| before.series == exam.series).expect("the same exam");
        assert_ne!(before.sources_sha256, exam.sources_sha256);
    }
}

#[test]
fn patches_teach_the_encoder_first_where_there_are_masks() {
    let patches = ["fit.patch_epochs=6", "fit.patch_size=32", "fit.patches_per_step=8", "fit.mask_weight=0.5"];
    let trial = Trial::new(6, Labelled::All, &patches);
    let configuration = trial.configuration(&["fit.epochs=1", "fit.patch_learning_rate=1e-2", "package.name=trial"]);
    run(Step::All, &configuration).expect("trained");
    let losses = losses_of(&configuration, "patches");
    assert!(losses.len() == 6 && losses[5] < 0.8 * losses[0], "{losses:?}");
    let refused = TrainConfiguration::load(None, &["fit.patch_epochs=1".to_owned()]).expect_err("no masks").to_string();
    assert!(refused.contains("fit.mask_weight is 0"), "{refused}");
}

#[test]
fn a_fit_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let trial = Trial::new(6, Labelled::All, &["fit.epochs=3", "fit.head_epochs=0"]);
    let whole = trial.configuration(&["work.experiment=whole"]);
    prepare(&whole).and_then(|_| run(Step::Fit, &whole)).expect("fitted");
    let stopped = trial.configuration(&["work.experiment=parts", "fit.maximum_minutes=1e-9"]);
    run(Step::Labels, &stopped).expect("splits");
    for _ in 0..2 {
        run(Step::Fit, &stopped).expect("one epoch");
    }
    assert_eq!(losses(&stopped).len(), 1, "a fit whose time is up does nothing");
    run(Step::Fit, &trial.configuration(&["work.experiment=parts"])).expect("the rest");
    let (whole, parts) = (losses(&whole), losses(&stopped));
    assert_eq!(whole.len(), 3);
    for (whole, part) in whole.iter().zip(&parts) {
        // Sums over threads differ in their last digits, which a fit carries on.
        assert!((whole - part).abs() < 5e-3, "{whole} {part}");
    }
}

#[test]
fn a_head_is_fitted_anew_when_its_network_is_another_one() {
    let trial = Trial::new(6, Labelled::All, &["fit.epochs=1", "fit.head_epochs=1"]);
    let fitted = |rate: &str| {
        let configuration = trial.configuration(&[rate]);
        run(Step::Fit, &configuration).expect("fitted");
        let progress = |fitted: &str| -> serde_json::Value {
            let path = configuration.experiment().join(fitted).join("progress.json");
            serde_json::from_slice(&std::fs::read(path).expect("progress")).expect("JSON")
        };
        let best = progress("network")["best_epoch"].as_u64().expect("a number");
        let weights = configuration.experiment().join(format!("network/weights-{best}.bpk"));
        let digest = super::files::digest(&std::fs::read(weights).expect("weights"));
        assert_eq!(progress("head")["begun_with"], digest.as_str(), "the head goes on from the best network");
        (digest, losses_of(&configuration, "head").len())
    };
    prepare(&trial.configuration(&[])).expect("prepared");
    let one = fitted("fit.learning_rate=1e-3");
    std::fs::remove_dir_all(trial.configuration(&[]).experiment().join("network")).expect("removed");
    let two = fitted("fit.learning_rate=5e-3");
    assert_ne!(one.0, two.0);
    assert_eq!((one.1, two.1), (1, 1));
}

#[test]
fn targets_beside_embolism_are_learnt_where_they_are_known() {
    let targets = r#"head.targets=["pulmonary-embolism", "left-sided-pe", "right-sided-pe", "chronic-pe"]"#;
    let trial = Trial::new(6, Labelled::All, &[targets, "fit.epochs=1", "fit.head_epochs=1"]);
    let table = trial.path("cohort").join("train.csv");
    let text = std::fs::read_to_string(&table).expect("table");
    let mut lines = text.lines();
    let mut more = format!("{},leftsided_pe,rightsided_pe\n", lines.next().expect("header"));
    for line in lines {
        // The last exam says nothing of its sides.
        let sides = if line.starts_with("1.2.5,") { "," } else { "1,0" };
        let sides = if line.ends_with(",1") { "0,0" } else { sides };
        let _ = writeln!(more, "{line},{sides}");
    }
    std::fs::write(&table, more).expect("table");
    let configuration = trial.configuration(&[]);
    prepare(&configuration).and_then(|_| run(Step::Fit, &configuration)).expect("fitted");
    for fitted in ["network", "head"] {
        let log = std::fs::read_to_string(configuration.experiment().join(fitted).join("log.jsonl")).expect("log");
        let line: serde_json::Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
        assert!(line["loss_target"].as_f64().is_some_and(|loss| loss > 0.0), "{fitted}: {line}");
    }
}

fn losses(configuration: &TrainConfiguration) -> Vec<f64> {
    losses_of(configuration, "network")
}

fn losses_of(configuration: &TrainConfiguration, fitted: &str) -> Vec<f64> {
    let path = configuration.experiment().join(fitted).join("log.jsonl");
    let text = std::fs::read_to_string(path).expect("log");
    let loss =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["loss"].as_f64().expect("number");
    text.lines().map(loss).collect()
}

#[test]
fn corrected_labels_reach_a_training_that_was_prepared_before() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let configuration = trial.configuration(&[]);
    let counts = || -> Vec<(bool, usize)> {
        prepared_exams(&configuration).iter().map(|exam| (exam.embolism, exam.labelled_slices)).collect()
    };
    let before = counts();
    assert!(before.iter().any(|(embolism, _)| *embolism) && before.iter().all(|(_, labelled)| *labelled > 0));
    cohort(&trial.path("cohort"), 6, Labelled::None, Some(false));
    assert_eq!(counts(), [(false, 0); 6]);
}

#[test]
fn a_fit_is_not_resumed_on_other_exams() {
    let trial = Trial::new(6, Labelled::All, &["fit.epochs=1", "fit.head_epochs=0"]);
    let fitted = |more: &[&str]| {
        let configuration = trial.configuration(more);
        prepare(&configuration).expect("prepared");
        run(Step::Fit, &configuration)
    };
    fitted(&[]).expect("fitted");
    fitted(&["fit.epochs=2"]).expect("longer is no other fit");
    let error = fitted(&["fit.seed=5", "data.validation_fraction=0.5"]).expect_err("another split");
    assert!(error.to_string().contains("work.experiment"), "{error}");
}

#[test]
fn exams_of_one_class_are_refused_with_the_reason() {
    let trial = Trial::new(1, Labelled::All, &[]);
    cohort(&trial.path("cohort"), 6, Labelled::All, Some(true));
    let error = run(Step::All, &trial.configuration(&[])).expect_err("one class").to_string();
    assert!(error.contains("exams for training are positive"), "{error}");
}

#[test]
fn an_empty_table_and_a_missing_step_say_what_to_do() {
    let trial = Trial::new(1, Labelled::All, &[]);
    let error = run(Step::Fit, &trial.configuration(&[])).expect_err("nothing prepared").to_string();
    assert!(error.contains("run `pe-node train labels` first"), "{error}");
    let header = "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,pe_present_on_image,negative_exam_for_pe\n";
    std::fs::write(trial.path("cohort/train.csv"), header).expect("table");
    let error = run(Step::Labels, &trial.configuration(&[])).expect_err("empty").to_string();
    assert!(error.contains("no exams are listed"), "{error}");
    std::fs::write(trial.path("cohort/train.csv"), "").expect("table");
    let error = run(Step::Labels, &trial.configuration(&[])).expect_err("empty").to_string();
    assert!(error.contains("`StudyInstanceUID` is missing"), "{error}");
}

#[test]
fn an_exam_that_cannot_be_read_is_excluded_with_its_reason() {
    let trial = Trial::new(6, Labelled::All, &[]);
    std::fs::remove_dir_all(trial.path("cohort/train/1.2.3")).expect("removed");
    for entry in std::fs::read_dir(trial.path("cohort/train/1.2.4/1.3.4")).expect("series").take(SLICES / 2) {
        let path = entry.expect("file").path();
        let bytes = std::fs::read(&path).expect("file");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("cut");
    }
    let configuration = trial.configuration(&[]);
    let lines = prepare(&configuration).expect("the others are prepared");
    let tables = ["work/labels/exclusions.csv", "work/volumes-exclusions.csv"];
    let excluded: String = tables.iter().filter_map(|path| std::fs::read_to_string(trial.path(path)).ok()).collect();
    assert!(lines[0].contains("1 exclusions") && lines[1].contains("4 exams from DICOM, 1 excluded"), "{lines:?}");
    assert!(excluded.contains("1.3.3,labels,the series has no files"), "{excluded}");
    assert!(excluded.contains("1.3.4,volumes,\"no volume: 12 usable CT slices"), "{excluded}");
}

#[test]
fn an_unknown_device_and_an_unknown_key_are_refused() {
    let error = TrainConfiguration::load(None, &["fit.epoch=3".to_owned()]).expect_err("unknown key").to_string();
    assert!(error.contains("did you mean `fit.epochs`"), "{error}");
    let trial = Trial::new(6, Labelled::All, &[]);
    let configuration = trial.configuration(&["fit.device=tpu"]);
    prepare(&configuration).expect("prepared");
    assert!(matches!(run(Step::Fit, &configuration), Err(TrainError::Exams(text)) if text.contains("\"tpu\"")));
}

#[test]
fn validation_exams_come_from_their_own_cohort_and_share_no_patient() {
    let trial = Trial::new(6, Labelled::All, &[]);
    cohort(&trial.path("other"), 8, Labelled::All, None);
    let other = format!("data.validation_root={}", trial.path("other").display());
    let configuration = trial.configuration(&[other.as_str()]);
    run(Step::Labels, &configuration).expect("labels");
    let path = configuration.work.dir.join("labels/exams.csv");
    let exams: Vec<Exam> = super::files::table::read(&path, "labels").expect("table");
    let of = |cohort| exams.iter().filter(|exam| exam.cohort == cohort).count();
    assert_eq!((of(Cohort::Main), of(Cohort::Validation)), (6, 2));
}

#[test]
fn slice_labels_are_counted_on_source_slices_and_tests_keep_theirs() {
    let trial = Trial::new(24, Labelled::All, &["data.test_fraction=0.25", "data.validation_fraction=0.25"]);
    let quarter = trial.configuration(&["supervision.labelled_exams=0.5", "supervision.labelled_slices=0.25"]);
    let exams = prepared_exams(&quarter);
    let labelled = |split: &str| -> Vec<usize> {
        let of_split = exams.iter().filter(|exam| exam.split.name() == split);
        of_split.map(|exam| exam.labelled_source_slices).filter(|labelled| *labelled > 0).collect()
    };
    assert_eq!((labelled("train"), labelled("validation")), (vec![SLICES / 4; 6], vec![SLICES / 4; 4]));
    assert_eq!(labelled("test"), [SLICES; 6]);
    let nothing = trial.configuration(&["supervision.labelled_exams=0", "work.experiment=none"]);
    assert!(prepared_exams(&nothing).iter().all(|exam| exam.split.name() == "test" || exam.labelled_slices == 0));
}

#[test]
fn every_share_of_slice_labels_trains() {
    let trial = Trial::new(8, Labelled::All, &["fit.epochs=1", "fit.head_epochs=1"]);
    for share in ["0", "0.1", "1"] {
        let experiment = format!("work.experiment=share-{share}");
        let configuration = trial.configuration(&[&format!("supervision.labelled_exams={share}"), &experiment]);
        run(Step::All, &configuration).expect("trained");
        assert!(losses(&configuration).iter().all(|loss| loss.is_finite()), "{share}");
    }
}

#[test]
fn two_columns_of_exam_labels_are_enough() {
    let trial = Trial::new(6, Labelled::All, &["data.labels=exams.csv", "fit.epochs=1", "fit.head_epochs=1"]);
    let rows: String = (0..6).fold(String::new(), |rows, exam| rows + &format!("1.2.{exam},{}\n", exam % 2));
    std::fs::write(trial.path("cohort/exams.csv"), format!("StudyInstanceUID,pe_present_in_exam\n{rows}"))
        .expect("table");
    let configuration = trial.configuration(&["package.name=trial"]);
    run(Step::All, &configuration).expect("trained");
    let package = Package::open(&trial.path("onnx/trial/0.1.0")).expect("package");
    assert_eq!(package.manifest().training.counts["train_labelled_slices"], 0);
    let joined = std::fs::read_to_string(trial.path("work/slices.csv")).expect("table");
    assert!(joined.contains(&format!("1.3.0,{SLICES},0,0,0,{SLICES},")), "{joined}");
}

#[test]
fn labels_and_images_that_do_not_match_are_listed() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let table = std::fs::read_to_string(trial.path("cohort/train.csv")).expect("table");
    let mut table: Vec<&str> = table.lines().filter(|line| !line.contains(",1.4.2.5,")).collect();
    table.push("1.2.3,1.3.3,1.4.3.99,1,0");
    std::fs::write(trial.path("cohort/train.csv"), table.join("\n")).expect("table");
    prepare(&trial.configuration(&[])).expect("prepared");
    let joined = std::fs::read_to_string(trial.path("work/slices.csv")).expect("table");
    assert!(joined.contains(&format!("1.3.3,{SLICES},{SLICES},8,1,0,1.4.3.99")), "{joined}");
    assert!(joined.contains(&format!("1.3.2,{SLICES},{},0,0,1,1.4.2.5", SLICES - 1)), "{joined}");
}

#[test]
fn shards_of_each_step_make_what_one_run_makes() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let whole = prepared_exams(&trial.configuration(&[]));
    let apart = trial.configuration(&[&format!("work.dir={}", trial.path("apart").display())]);
    run(Step::Labels, &apart).expect("labels");
    for step in &PREPARING[1..] {
        for shard in ["2/3", "0/3", "1/3"] {
            super::run(*step, &apart, shard.parse().expect("shard")).expect("done");
        }
    }
    let datasets = super::steps::datasets_of(&apart).expect("exams");
    let exams: Vec<PreparedExam> = datasets.into_iter().flat_map(|(_, data)| data.exams).collect();
    assert_eq!(exams, whole);
    assert!(super::run(Step::Fit, &apart, "0/3".parse().expect("shard")).is_err());
}

#[test]
fn each_fold_validates_one_fit() {
    let trial = Trial::new(8, Labelled::All, &["data.folds=2", "fit.epochs=1", "fit.head_epochs=0"]);
    let configuration = trial.configuration(&[]);
    prepare(&configuration).and_then(|_| run(Step::Fit, &configuration)).expect("fitted");
    let validation = |fold: usize| -> Vec<String> {
        let path = configuration.experiment().join(format!("fold-{fold}/prepared.csv"));
        let exams: Vec<PreparedExam> = super::files::table::read(&path, "fit").expect("table");
        let of_split = exams.into_iter().filter(|exam| exam.split.name() == "validation");
        of_split.map(|exam| exam.series).collect()
    };
    let (first, second) = (validation(0), validation(1));
    assert_eq!((first.len(), second.len()), (4, 4));
    assert!(first.iter().all(|series| !second.contains(series)));
    assert!(configuration.experiment().join("fold-1/network/log.jsonl").is_file());
}

#[test]
fn folds_are_evaluated_as_one_ensemble() {
    let folds = ["data.folds=2", "data.test_fraction=0.34", "fit.epochs=1", "fit.head_epochs=0"];
    let trial = Trial::new(12, Labelled::All, &folds);
    let configuration =
        trial.configuration(&["head.targets=[\"pulmonary-embolism\", \"left-sided-pe\"]", "package.name=trial"]);
    prepare(&configuration).and_then(|_| run(Step::Fit, &configuration)).expect("fitted");
    let lines = run(Step::Evaluate, &configuration).expect("evaluated");
    assert!(lines.iter().any(|line| line.starts_with("test.members_exam_auroc_mean")), "{lines:?}");
    let folder = configuration.experiment();
    let evaluation = Evaluation::read(&folder.join("evaluation.json")).expect("figures");
    assert_eq!((evaluation.calibration.len(), evaluation.networks_sha256.len()), (2, 2));
    assert!(evaluation.notes.iter().any(|note| note.starts_with("member 1: exams")), "{:?}", evaluation.notes);
    let predictions: Vec<Prediction> =
        super::files::table::read(&folder.join("predictions.csv"), "evaluate").expect("table");
    for one in &predictions {
        let of_fold = one.split == Split::Validation;
        assert_eq!((one.member.is_some(), one.spread.is_some()), (of_fold, !of_fold), "{one:?}");
    }
    let of = |split| predictions.iter().filter(|one| one.split == split).count();
    assert_eq!((of(Split::Validation), of(Split::Test)), (8, 4), "every exam is answered once");
    let targets: Vec<TargetPrediction> =
        super::files::table::read(&folder.join("targets.csv"), "evaluate").expect("table");
    assert_eq!(targets.len(), predictions.len());
    assert!(targets.iter().all(|one| one.target == Target::LeftSidedPe && one.label.is_none()));
    let report = std::fs::read_to_string(folder.join("report.html")).expect("report");
    assert!(report.contains("fold 1 validation") && report.contains("Loss: network, fold 1"));
    run(Step::Export, &configuration).expect("exported");
    let package = Package::open(&trial.path("onnx/trial/0.1.0")).expect("package");
    let mut network = networks::EmbolismNetwork::load(&package, &runtime()).expect("loads");
    assert_eq!(network.manifest().calibration.len(), 2);
    let [rows, columns] = configuration.input.size;
    let channels = configuration.input.channels();
    let blank =
        |range: std::ops::Range<usize>| Ok::<_, SessionError>(Array4::zeros((range.len(), channels, rows, columns)));
    let readings = network.read_exam(5, blank).expect("read");
    assert_eq!(readings.iter().map(|reading| reading.targets.len()).collect::<Vec<_>>(), [2, 2], "each fold answers");
}

#[test]
fn what_was_evaluated_is_what_is_exported() {
    let trial = Trial::new(8, Labelled::All, &["package.name=trial", "fit.epochs=1", "fit.head_epochs=0"]);
    let configuration = trial.configuration(&["evaluation.calibration=none"]);
    run(Step::All, &configuration).expect("trained");
    let package = Package::open(&trial.path("onnx/trial/0.1.0")).expect("package");
    assert!(!package.manifest().calibration[0].slices_fitted);
    let path = configuration.experiment().join("evaluation.json");
    let mut evaluation = Evaluation::read(&path).expect("figures");
    assert!(evaluation.notes[0].contains("evaluation.calibration = \"none\""), "{:?}", evaluation.notes);
    evaluation.networks_sha256 = vec!["0".repeat(64)];
    std::fs::write(&path, evaluation.to_json()).expect("written");
    let error = run(Step::Export, &configuration).expect_err("other networks").to_string();
    assert!(error.contains("run `pe-node train evaluate` again"), "{error}");
}
