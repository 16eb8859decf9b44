//! From weights to metrics and packages.

use super::*;
use crate::engine::models::Selection;

fn runtime() -> Runtime {
    TrainingContext::of_environment().runtime().expect("ONNX Runtime")
}

const LUNGS: &[&str] = &[
    "kind=lung-segmentation",
    "input.window=[-1000, 400]",
    "input.crop=body",
    "input.size=[40, 56]",
    "input.spacing_mm=5",
    "input.neighbours=0",
    "augmentation.flip=0",
    "lung_network.widths=[8, 8, 8, 8]",
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
    let ranges = &network.manifest().training.ranges;
    assert_eq!((ranges.slice_mm, ranges.pixel_mm), (Some([0.0, 3.0]), Some([0.0, 6.0])));
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
fn one_command_makes_a_lung_package_that_distinguishes_left_from_right() {
    let trial = Trial::new(6, Labelled::None, LUNGS);
    let longer = ["fit.epochs=14", "fit.exams_per_step=1", "fit.warm_up_steps=10", "fit.learning_rate=6e-3"];
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
    let datasets =
        steps::testing::datasets_of(&configuration, &TrainingContext::of_environment()).expect("prepared exams");
    let data: &Dataset = &datasets[0].1;
    let series = &data.exams[0].series;
    let folder = trial.path("cohort").join("train").join(series.replace("1.3.", "1.2.")).join(series);
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("series").map(|entry| entry.expect("file").path()).collect();
    let volume = read_series(&files, &files::LIMITS).volume.expect("volume");
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
    assert!(lines[0].contains("0 of 216 slices labelled"), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("NaN")), "{lines:?}");
    let package = Package::open(&trial.path("onnx/trial/0.1.0")).expect("package");
    assert!(!package.manifest().calibration[0].slices_fitted, "there was no slice to fit on");
    let card = std::fs::read_to_string(trial.path("onnx/trial/0.1.0/card.md")).expect("card");
    assert!(card.contains("Slices are not calibrated"), "{card}");
}

#[test]
fn weights_are_not_evaluated_on_exams_that_were_split_again() {
    let trial = Trial::new(8, Labelled::All, &["fit.epochs=1", "fit.head_epochs=0", "package.name=trial"]);
    let configuration = trial.configuration(&[]);
    run(Step::All, &configuration).expect("trained");
    // Test exams may change: nothing was trained on them.
    cohort(&trial.path("other-site"), 6, Labelled::All, None);
    let other_site = trial.configuration(&[&format!("data.test_root={}", trial.path("other-site").display())]);
    rename_patients(&trial.path("other-site"));
    prepare(&other_site).and_then(|_| run(Step::Evaluate, &other_site)).expect("evaluated on other test exams");
    cohort(&trial.path("cohort"), 12, Labelled::All, None);
    prepare(&configuration).expect("more exams");
    for step in [Step::Evaluate, Step::Export] {
        let error = run(step, &configuration).expect_err("trained on some of them").to_string();
        assert!(error.contains("weights fitted to other exams"), "{error}");
    }
}

/// Gives the exams of a cohort other patients and UIDs than those that [`cohort`] gave.
fn rename_patients(root: &Path) {
    let table = std::fs::read_to_string(root.join("train.csv")).expect("table");
    std::fs::write(
        root.join("train.csv"),
        table.replace("1.2.", "5.2.").replace("1.3.", "5.3.").replace("1.4.", "5.4."),
    )
    .expect("table");
    for exam in 0..6 {
        let (study, series) = (format!("5.2.{exam}"), format!("5.3.{exam}"));
        let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
        let folder = root.join("train").join(&study).join(&series);
        std::fs::create_dir_all(&folder).expect("folder");
        testing::write_series(&exam_volume(exam % 2 == 1, exam), &folder, |slice, object| {
            object.put(text(tags::STUDY_INSTANCE_UID, VR::UI, &study));
            object.put(text(tags::SERIES_INSTANCE_UID, VR::UI, &series));
            object.put(text(tags::SOP_INSTANCE_UID, VR::UI, &format!("5.4.{exam}.{slice}")));
            object.put(text(tags::PATIENT_ID, VR::LO, &format!("another {exam}")));
        });
        let truth = root.join("truth");
        std::fs::rename(truth.join(format!("1.3.{exam}")), truth.join(&series)).expect("renamed");
    }
}

#[test]
fn a_head_that_belongs_to_another_encoder_is_not_evaluated() {
    let trial = Trial::new(6, Labelled::All, &["fit.epochs=1", "fit.head_epochs=1"]);
    let configuration = trial.configuration(&[]);
    prepare(&configuration).and_then(|_| run(Step::Fit, &configuration)).expect("fitted");
    let path = configuration.experiment().join("head/progress.json");
    let mut progress: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("progress")).expect("JSON");
    progress["begun_with"] = "0".repeat(64).into();
    std::fs::write(&path, progress.to_string()).expect("written");
    let error = run(Step::Evaluate, &configuration).expect_err("another encoder").to_string();
    assert!(error.contains("run `pe-node train fit` to its end"), "{error}");
}

#[test]
fn an_exported_package_replaces_no_other_and_does_not_become_active() {
    let trial = Trial::new(8, Labelled::All, &["fit.epochs=1", "fit.head_epochs=0"]);
    let exported = |more: &[&str]| run(Step::All, &trial.configuration(more));
    exported(&["package.name=first"]).expect("trained");
    exported(&["package.name=first"]).expect("the same package again");
    let manifest = || std::fs::read(trial.path("onnx/first/0.1.0/model.toml")).expect("manifest");
    let before = manifest();
    let error =
        exported(&["package.name=first", "work.experiment=other", "fit.seed=9"]).expect_err("taken").to_string();
    assert!(error.contains("package.directory") && error.contains("another version"), "{error}");
    assert_eq!(manifest(), before);
    exported(&["package.name=second", "work.experiment=other", "fit.seed=9"]).expect("under another name");
    let models = TrainingContext::of_environment().models_in(&trial.path("onnx"));
    let registry = Registry::open(&models).expect("packages");
    let active = registry.select(Kind::EmbolismClassifier, &Selection::Active).expect("the one that was there");
    assert_eq!(active.id().to_string(), "first/0.1.0");
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
    let evaluation = Evaluation::read(&folder.join("evaluation.json")).expect("metrics");
    assert_eq!((evaluation.calibration.len(), evaluation.networks_sha256.len()), (2, 2));
    assert!(evaluation.notes.iter().any(|note| note.starts_with("member 1: exams")), "{:?}", evaluation.notes);
    for note in ["too few validation exams of a class", "reached by the mean of 2 networks", "too few for intervals"] {
        assert!(evaluation.notes.iter().any(|said| said.contains(note)), "{note}: {:?}", evaluation.notes);
    }
    let predictions: Vec<Prediction> = table::read(&folder.join("predictions.csv"), Step::Evaluate).expect("table");
    for one in &predictions {
        let of_fold = one.split == Split::Validation;
        assert_eq!((one.member.is_some(), one.standard_deviation.is_some()), (of_fold, !of_fold), "{one:?}");
    }
    let of = |split| predictions.iter().filter(|one| one.split == split).count();
    assert_eq!((of(Split::Validation), of(Split::Test)), (8, 4), "every exam is answered once");
    let targets: Vec<TargetPrediction> = table::read(&folder.join("targets.csv"), Step::Evaluate).expect("table");
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
    let calibration = &package.manifest().calibration[0];
    assert_eq!((calibration.exam_fitted, calibration.slices_fitted), (false, false));
    let card = std::fs::read_to_string(trial.path("onnx/trial/0.1.0/card.md")).expect("card");
    assert!(card.contains("Exams are not calibrated"), "{card}");
    assert!(card.contains("| truth | present | undetermined | absent |\n"), "{card}");
    let report = std::fs::read_to_string(configuration.experiment().join("report.html")).expect("report");
    for answer in ["found", "undetermined", "false alarms", "correctly cleared"] {
        assert!(report.contains(&format!("</b>{answer}</td>")), "{answer}");
    }
    let path = configuration.experiment().join("evaluation.json");
    let mut evaluation = Evaluation::read(&path).expect("metrics");
    assert!(evaluation.notes[0].contains("evaluation.calibration = \"none\""), "{:?}", evaluation.notes);
    evaluation.networks_sha256 = vec!["0".repeat(64)];
    std::fs::write(&path, evaluation.to_json()).expect("written");
    let error = run(Step::Export, &configuration).expect_err("other networks").to_string();
    assert!(error.contains("run `pe-node train evaluate` again"), "{error}");
}
