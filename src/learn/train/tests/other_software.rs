//! Networks that other software trained, from ONNX files to packages. The files are those of `fixtures`, whose answers can be
//! computed by hand.

use super::*;
use crate::engine::models::manifest::{Layout, Ranges};
use crate::learn::train::{evaluate_networks, export_networks};

const ENCODER: &str = "fixtures/models/fixture-embolism/1.0.0/encoder.onnx";
const HEAD: &str = "fixtures/models/fixture-embolism/1.0.0/head.onnx";
const EXAM: &str = "fixtures/layouts/fixture-exam/1.0.0/network.onnx";

/// Exams prepared as the fixtures take them.
fn prepared(more: &[&str]) -> (Trial, TrainConfiguration) {
    let fixture = ["input.size=[128, 128]", "package.name=foreign", "package.data=made up by a test"];
    let trial = Trial::new(8, Labelled::All, &[&fixture[..], more].concat());
    let configuration = trial.configuration(&[]);
    prepare(&configuration).expect("prepared");
    (trial, configuration)
}

fn files(paths: &[&str]) -> Vec<PathBuf> {
    paths.iter().map(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).collect()
}

fn evaluated(configuration: &TrainConfiguration, paths: &[&str]) -> Result<Vec<String>, TrainError> {
    evaluate_networks(configuration, &TrainingContext::of_environment(), &files(paths))
}

fn exported(configuration: &TrainConfiguration, paths: &[&str]) -> Result<Vec<String>, TrainError> {
    export_networks(configuration, &TrainingContext::of_environment(), &files(paths))
}

fn card(trial: &Trial) -> String {
    std::fs::read_to_string(trial.path("onnx/foreign/0.1.0/card.md")).expect("card")
}

#[test]
fn encoder_and_head_of_other_software_become_a_package_that_claims_no_fit() {
    let (trial, configuration) = prepared(&["data.test_fraction=0.25"]);
    let lines = evaluated(&configuration, &[ENCODER, HEAD]).expect("evaluated");
    assert!(lines.iter().any(|line| line.starts_with("test.exams 2.000")), "{lines:?}");
    let report = std::fs::read_to_string(configuration.experiment().join("report.html")).expect("report");
    assert!(report.contains("other software") && !report.contains("learning_rate"));
    exported(&configuration, &[ENCODER, HEAD]).expect("exported");
    let package = Package::open(&trial.path("onnx/foreign/0.1.0")).expect("package");
    let network =
        networks::EmbolismNetwork::load(&package, &TrainingContext::of_environment().runtime().expect("started"))
            .expect("what the node serves");
    let training = &network.manifest().training;
    assert_eq!((training.data.as_str(), training.commit.as_str(), training.seed), ("made up by a test", "", 0));
    assert!(training.configuration_sha256.is_empty() && training.ranges == Ranges::default());
    assert!(training.counts.keys().all(|name| !name.starts_with("train_")), "{:?}", training.counts);
    assert_eq!(network.manifest().layout, Layout::EncoderHead);
    let card = card(&trial);
    assert!(card.contains("trained by other software, not by pe-node. Images") && card.contains("made up by a test"));
    for own in ["Loss:", "Seed", "Checkpoint", "trained on synthetic images alone"] {
        assert!(!card.contains(own), "{own}: {card}");
    }
    let other = exported(&configuration, &["fixtures/layouts/fixture-ensemble/1.0.0/encoder-1.onnx", HEAD]);
    let said = other.expect_err("it was not evaluated").to_string();
    assert!(said.contains("an evaluation of other networks: run `pe-node train evaluate --onnx` again"), "{said}");
    let fewer = trial.configuration(&["supervision.labelled_exams=0"]);
    prepare(&fewer).expect("prepared");
    let said = exported(&fewer, &[ENCODER, HEAD]).expect_err("other labels").to_string();
    assert!(said.contains("an evaluation of other exams or labels"), "{said}");
}

#[test]
fn a_network_over_exams_is_evaluated_without_values_of_slices() {
    let (trial, configuration) = prepared(&["head.targets=[\"pulmonary-embolism\", \"chronic-pe\"]"]);
    evaluated(&configuration, &[EXAM]).expect("evaluated");
    let evaluation = Evaluation::read(&configuration.experiment().join("evaluation.json")).expect("metrics");
    assert!(evaluation.metrics.contains_key("validation.exam_auroc"), "{:?}", evaluation.metrics);
    assert!(evaluation.metrics.keys().all(|name| !name.contains("slice")), "{:?}", evaluation.metrics);
    assert!(evaluation.notes.contains(&"slices: the network reads exams as a whole".to_owned()));
    exported(&configuration, &[EXAM]).expect("exported");
    let package = Package::open(&trial.path("onnx/foreign/0.1.0")).expect("package");
    assert_eq!(package.manifest().layout, Layout::Exam);
    assert_eq!(package.manifest().targets(), [Target::PulmonaryEmbolism, Target::ChronicPe]);
    let card = card(&trial);
    assert!(
        card.contains("no values of slices and no heat map") && !card.contains("Slices are not calibrated"),
        "{card}"
    );
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_what_it_has_and_what_was_expected() {
    let (_trial, configuration) = prepared(&[]);
    let cases: [(&[&str], &[&str]); 7] = [
        (
            &[HEAD, ENCODER],
            &["head.onnx: the network has no output `features`; it has slice_logits", "[N, 3, 128, 128]"],
        ),
        (&[ENCODER], &["encoder.onnx: the network has no output `exam_logit`; it has features, evidence"]),
        (&[EXAM], &["network.onnx: running the network: output `logits` has the shape 2, 1 was expected"]),
        (&[ENCODER, "fixtures/unfit/head-of-two-slices.onnx"], &["head-of-two-slices.onnx: running the network"]),
        (&["Cargo.toml"], &["Cargo.toml: loading the network"]),
        (&["missing.onnx"], &["reading", "missing.onnx"]),
        (&[ENCODER, HEAD, HEAD], &["3 files were named with --onnx; 1 (a network over all slices) or 2"]),
    ];
    for (paths, expected) in cases {
        let said = evaluated(&configuration, paths).expect_err("does not fit").to_string();
        assert!(expected.iter().all(|part| said.contains(part)), "{paths:?}: {said}");
    }
    std::fs::write(configuration.experiment().join("provenance.json"), "{}").expect("written");
    let said = evaluated(&configuration, &[ENCODER, HEAD]).expect_err("a fit of its own").to_string();
    assert!(said.contains("choose another work.experiment"), "{said}");
}
