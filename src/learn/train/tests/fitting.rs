//! From prepared exams to weights.

use super::*;

#[test]
fn the_encoder_is_trained_on_patches_first_where_there_are_masks() {
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
fn a_stopped_fit_continues_as_if_it_had_not_been_stopped() {
    // One rate throughout: the cosine follows the time that a fit has, which is how this one is stopped.
    let rates = ["fit.learning_rate=1e-3", "fit.final_learning_rate=1e-3", "fit.warm_up_steps=0"];
    let trial = Trial::new(6, Labelled::All, &[&["fit.epochs=3", "fit.head_epochs=0"][..], &rates].concat());
    let whole = trial.configuration(&["work.experiment=whole"]);
    prepare(&whole).expect("prepared");
    let _alone = generator::alone();
    run_alone(Step::Fit, &whole).expect("fitted");
    let stopped = trial.configuration(&["work.experiment=parts", "fit.maximum_minutes=1e-9"]);
    run_alone(Step::Labels, &stopped).expect("splits");
    for _ in 0..2 {
        run_alone(Step::Fit, &stopped).expect("one epoch");
    }
    assert_eq!(losses(&stopped).len(), 1, "a fit whose time is up does nothing");
    run_alone(Step::Fit, &trial.configuration(&["work.experiment=parts"])).expect("the rest");
    let (whole, parts) = (losses(&whole), losses(&stopped));
    assert_eq!(whole.len(), 3);
    for (whole, part) in whole.iter().zip(&parts) {
        // Sums over threads differ in their last digits, which a fit carries on.
        assert!((whole - part).abs() < 5e-3, "{whole} {part}");
    }
}

#[test]
fn a_head_is_fitted_again_when_its_network_has_changed() {
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
        let digest = files::digest(&std::fs::read(weights).expect("weights"));
        assert_eq!(progress("head")["begun_with"], digest.as_str(), "the head starts from the best network");
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
fn further_targets_are_trained_where_they_are_known() {
    let targets = r#"head.targets=["pulmonary-embolism", "left-sided-pe", "right-sided-pe", "chronic-pe"]"#;
    let trial = Trial::new(6, Labelled::All, &[targets, "fit.epochs=1", "fit.head_epochs=1"]);
    let table = trial.path("cohort").join("train.csv");
    let text = std::fs::read_to_string(&table).expect("table");
    let mut lines = text.lines();
    let mut more = format!("{},leftsided_pe,rightsided_pe\n", lines.next().expect("header"));
    for line in lines {
        // The last exam has no labels of its sides.
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
fn every_share_of_slice_labels_trains() {
    let trial = Trial::new(8, Labelled::All, &["fit.epochs=1", "fit.head_epochs=1"]);
    for share in ["0", "0.1", "1"] {
        let [experiment, package] = ["work.experiment", "package.name"].map(|key| format!("{key}=share-{share}"));
        let supervision = format!("supervision.labelled_exams={share}");
        let configuration = trial.configuration(&[&supervision, &experiment, &package]);
        run(Step::All, &configuration).expect("trained");
        assert!(losses(&configuration).iter().all(|loss| loss.is_finite()), "{share}");
    }
}

#[test]
fn each_fold_validates_one_fit() {
    let trial = Trial::new(8, Labelled::All, &["data.folds=2", "fit.epochs=1", "fit.head_epochs=0"]);
    let configuration = trial.configuration(&[]);
    prepare(&configuration).and_then(|_| run(Step::Fit, &configuration)).expect("fitted");
    let validation = |fold: usize| -> Vec<String> {
        let path = configuration.experiment().join(format!("fold-{fold}/prepared.csv"));
        let exams: Vec<PreparedExam> = table::read(&path, Step::Fit).expect("table");
        let of_split = exams.into_iter().filter(|exam| exam.split.name() == "validation");
        of_split.map(|exam| exam.series).collect()
    };
    let (first, second) = (validation(0), validation(1));
    assert_eq!((first.len(), second.len()), (4, 4));
    assert!(first.iter().all(|series| !second.contains(series)));
    assert!(configuration.experiment().join("fold-1/network/log.jsonl").is_file());
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
    fitted(&["fit.epochs=2"]).expect("a longer fit is not another one");
    let others =
        [&["fit.seed=5", "data.validation_fraction=0.5"][..], &["fit.slice_weight=0.5"], &["augmentation.flip=0"]];
    for other in others {
        let error = fitted(other).expect_err("another fit");
        assert!(error.to_string().contains("work.experiment"), "{error}");
    }
}

#[test]
fn weights_of_another_version_of_the_program_are_refused_with_the_reason() {
    let trial = Trial::new(6, Labelled::All, &["fit.epochs=1", "fit.head_epochs=0"]);
    let configuration = trial.configuration(&[]);
    prepare(&configuration).and_then(|_| run(Step::Fit, &configuration)).expect("fitted");
    let provenance = configuration.experiment().join("provenance.json");
    std::fs::remove_file(&provenance).expect("removed");
    std::fs::write(configuration.experiment().join("fit.sha256"), "00").expect("as the version before kept it");
    let refused = || run(Step::Fit, &configuration).expect_err("another version").to_string();
    assert!(refused().contains("of another version of this program"), "{}", refused());
    std::fs::write(&provenance, "{\"version\":0,\"sha256\":\"00\"}").expect("a later or earlier form");
    assert!(refused().contains("of another version of this program") && refused().contains("work.experiment"));
}
