//! What a training would take, before it runs.

use super::*;
use crate::learn::train::plan;

#[test]
fn a_plan_counts_and_measures_and_leaves_nothing_behind() {
    let trial = Trial::new(12, Labelled::All, &["fit.epochs=40", "supervision.labelled_exams=0.5"]);
    let configuration = trial.configuration(&[]);
    let _drawing = generator::shared();
    let lines = plan(&configuration, &TrainingContext::of_environment()).expect("planned");
    let said = |words: &str| assert!(lines.iter().any(|line| line.contains(words)), "{words}: {lines:#?}");
    said("train: 8 exams, 4 with embolism, slice labels of 4 used");
    said("slices 36 (36 to 36)");
    said("pixels 6 (6 to 6) mm, slices 3 (3 to 3) mm apart");
    said("fit, at most: ");
    said("disk 0.0 GB");
    let left = std::fs::read_dir(trial.path("work")).expect("work").count();
    assert_eq!(left, 0);
}

#[test]
fn a_plan_needs_both_classes_in_training_and_validation() {
    let trial = Trial::new(12, Labelled::All, &["data.validation_fraction=0"]);
    let refused = plan(&trial.configuration(&[]), &TrainingContext::of_environment()).expect_err("no validation");
    assert!(refused.to_string().contains("data.*_fraction"), "{refused}");
}
