//! The loop itself, on a network of four weights.

use std::path::Path;

use burn::module::Initializer;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::checkpoint::Checkpoints;
use super::devices::Devices;
use super::task::{Task, random_at, require_numbers};
use super::training_loop::{is_done, run};
use crate::learn::train::configuration::{Fit, TrainConfiguration};
use crate::learn::train::loss::{self, ExamLabels, Terms, Weights};
use crate::learn::train::{TrainError, generator};

/// Made-up exams of three numbers each, positive where the first two outweigh the third.
struct Toy {
    exams: Vec<([f32; 3], u8)>,
    of_batch: usize,
    begun_with: Option<&'static str>,
    /// Exam whose numbers are NaN.
    broken: Option<usize>,
    /// Is trained on the opposite labels.
    misled: bool,
}

impl Toy {
    fn new(of_batch: usize) -> Self {
        let mut random = random_at(7, 0, 0);
        let exams = (0..22)
            .map(|_| {
                let numbers: [f32; 3] = std::array::from_fn(|_| random.random_range(-1.0..1.0));
                (numbers, u8::from(numbers[0] + numbers[1] > numbers[2]))
            })
            .collect();
        Self { exams, of_batch, begun_with: None, broken: None, misled: false }
    }

    fn terms(&self, network: &Linear, exams: &[usize], misled: bool, device: &Device) -> Terms {
        let numbers: Vec<f32> = exams.iter().flat_map(|exam| self.exams[*exam].0).collect();
        let label = |exam: &usize| self.exams[*exam].1 ^ u8::from(misled);
        let labels: Vec<ExamLabels> =
            exams.iter().map(|exam| ExamLabels { targets: vec![label(exam)], ..ExamLabels::default() }).collect();
        let logits = network.forward(Tensor::<2>::from_data(TensorData::new(numbers, [exams.len(), 3]), device));
        let weights = Weights { exam: 1.0, slice: 0.0, target: 0.0 };
        loss::embolism(logits, Tensor::zeros([0], device), &labels, weights)
    }
}

impl Task for Toy {
    type Network = Linear;
    type Batch = Vec<usize>;

    fn network(&self, device: &Device) -> Linear {
        // Nothing is drawn: tests that run in parallel draw from the same device.
        LinearConfig::new(3, 1).with_initializer(Initializer::Constant { value: 0.1 }).init(device)
    }

    fn plan(&self, random: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        let mut exams: Vec<usize> = (0..self.exams.len()).collect();
        exams.shuffle(random);
        exams.chunks(self.of_batch).map(<[usize]>::to_vec).collect()
    }

    fn load(&self, exams: &[usize], _random: &mut ChaCha8Rng) -> Result<Vec<usize>, TrainError> {
        for exam in exams.iter().filter(|exam| Some(**exam) == self.broken) {
            require_numbers(&[f32::NAN], &format!("1.2.{exam}"))?;
        }
        Ok(exams.to_vec())
    }

    fn slices(&self, batch: &Vec<usize>) -> usize {
        batch.len()
    }

    fn loss(&self, network: &Linear, batch: Vec<usize>, device: &Device) -> Terms {
        self.terms(network, &batch, self.misled, device)
    }

    fn validate(&self, network: &Linear, device: &Device) -> Result<Vec<(&'static str, f64)>, TrainError> {
        let all: Vec<usize> = (0..self.exams.len()).collect();
        Ok(vec![("likelihood", -self.terms(network, &all, false, device).values()[0].1)])
    }

    fn begun_with(&self) -> Option<&str> {
        self.begun_with
    }

    fn begins_fitted(&self) -> bool {
        self.begun_with.is_some()
    }
}

fn settings(overrides: &[&str]) -> Fit {
    let usual = ["fit.epochs=4", "fit.warm_up_steps=2", "fit.learning_rate=0.05", "fit.patience=0"];
    let all: Vec<String> = usual.iter().chain(overrides).map(|text| (*text).to_owned()).collect();
    TrainConfiguration::load(None, &all).expect("valid").fit
}

fn fit(task: &Toy, settings: &Fit, folder: &Path, devices: usize) -> Vec<f32> {
    let _seeding = generator::shared();
    let network = run(task, settings, folder, &Devices::repeated(&Device::flex(), devices)).expect("fitted");
    weights(&network)
}

fn weights(network: &Linear) -> Vec<f32> {
    network.weight.val().into_data().iter::<f32>().collect()
}

fn distance(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary folder")
}

#[test]
fn two_half_batches_give_the_step_of_the_whole() {
    // 22 exams: five steps of four and one of two, which halves of two and of one exam make up as well.
    let whole = fit(&Toy::new(4), &settings(&[]), folder().path(), 1);
    let accumulated = fit(&Toy::new(2), &settings(&["fit.accumulate=2"]), folder().path(), 1);
    let divided = fit(&Toy::new(2), &settings(&[]), folder().path(), 2);
    let both = fit(&Toy::new(1), &settings(&["fit.accumulate=2"]), folder().path(), 2);
    let uneven = fit(&Toy::new(3), &settings(&["fit.accumulate=4"]), folder().path(), 2);
    let all = fit(&Toy::new(22), &settings(&[]), folder().path(), 1);
    for (name, other) in [("accumulated", accumulated), ("divided", divided), ("both", both)] {
        assert!(distance(&whole, &other) < 1e-5, "{name}: {whole:?} {other:?}");
    }
    assert!(distance(&all, &uneven) < 1e-5, "{all:?} {uneven:?}");
    assert!(distance(&whole, &all) > 1e-3, "steps of other exams are other steps");
}

/// The files of a folder and what they hold.
fn files_of(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("folder");
    entries
        .map(|entry| entry.expect("entry").path())
        .map(|path| (path.clone(), std::fs::read(path).expect("file")))
        .collect()
}

#[test]
fn a_kill_between_the_files_of_a_checkpoint_changes_nothing() {
    // A constant learning rate: the first epochs do not depend on how many follow.
    let settings = |epochs: &str| settings(&["fit.final_learning_rate=0.05", epochs]);
    let unbroken = folder();
    let expected = fit(&Toy::new(4), &settings("fit.epochs=4"), unbroken.path(), 1);
    let log = |folder: &Path| std::fs::read_to_string(folder.join("log.jsonl")).expect("log");
    let broken = folder();
    fit(&Toy::new(4), &settings("fit.epochs=2"), broken.path(), 1);
    let before = files_of(broken.path());
    fit(&Toy::new(4), &settings("fit.epochs=3"), broken.path(), 1);
    let after = files_of(broken.path());
    // Some files of the third epoch reached the disk, in the order in which they are written; no older one is removed
    // yet.
    let new = |name: &str| after.iter().find(|(path, _)| path.ends_with(name)).expect("written").clone();
    for reached in 0..4 {
        for (path, _) in files_of(broken.path()) {
            std::fs::remove_file(path).expect("removed");
        }
        for (path, bytes) in &before {
            std::fs::write(path, bytes).expect("written");
        }
        for name in ["weights-3.bpk", "optimiser-3.bpk", "progress.json"].iter().take(reached) {
            let (path, bytes) = new(name);
            std::fs::write(path, bytes).expect("written");
        }
        let resumed = fit(&Toy::new(4), &settings("fit.epochs=4"), broken.path(), 1);
        assert!(distance(&resumed, &expected) < 1e-6, "{reached} files: {resumed:?} {expected:?}");
        let epochs: Vec<String> =
            log(broken.path()).lines().map(|line| line.split(',').next().unwrap_or_default().to_owned()).collect();
        assert_eq!(epochs, ["{\"epoch\":1", "{\"epoch\":2", "{\"epoch\":3", "{\"epoch\":4"], "{reached} files");
    }
    assert_eq!(log(broken.path()).lines().count(), log(unbroken.path()).lines().count());
}

#[test]
fn only_the_files_of_the_last_and_the_best_epoch_are_kept() {
    let folder = folder();
    fit(&Toy::new(4), &settings(&[]), folder.path(), 1);
    let progress = Checkpoints::new(folder.path()).expect("folder").progress().expect("read").expect("there");
    assert_eq!((progress.epoch, progress.steps, progress.log.len()), (4, 24, 4));
    let weights =
        files_of(folder.path()).iter().filter(|(path, _)| path.to_string_lossy().contains("weights-")).count();
    assert_eq!(weights, if progress.best_epoch == 4 { 1 } else { 2 });
}

#[test]
fn the_log_reports_terms_gradients_speed_and_waiting() {
    let folder = folder();
    fit(&Toy::new(4), &settings(&["fit.epochs=1"]), folder.path(), 1);
    let text = std::fs::read_to_string(folder.path().join("log.jsonl")).expect("log");
    let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for key in ["loss", "loss_exam", "gradient_norm", "learning_rate", "slices_per_second", "likelihood"] {
        assert!(line[key].as_f64().is_some_and(|value| value != 0.0), "{key} in {line}");
    }
    assert!(line["wait_share"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{line}");
    assert_eq!(line["loss"], line["loss_exam"]);
}

#[test]
fn a_fit_with_other_initial_weights_starts_again() {
    let folder = folder();
    let task = |begun_with| Toy { begun_with: Some(begun_with), ..Toy::new(4) };
    let first = fit(&task("one"), &settings(&["fit.epochs=3"]), folder.path(), 1);
    assert!(is_done(&settings(&["fit.epochs=3"]), folder.path(), "one").expect("read"));
    assert!(!is_done(&settings(&["fit.epochs=3"]), folder.path(), "another").expect("read"));
    let second = fit(&task("another"), &settings(&["fit.epochs=3"]), folder.path(), 1);
    assert!(distance(&first, &second) < 1e-6, "the same fit from its beginning: {first:?} {second:?}");
}

#[test]
fn weights_that_a_fit_makes_worse_are_not_replaced() {
    let kept = |misled| {
        let task = Toy { begun_with: Some("good"), misled, ..Toy::new(4) };
        let folder = folder();
        let kept = fit(&task, &settings(&[]), folder.path(), 1);
        let progress = Checkpoints::new(folder.path()).expect("folder").progress().expect("read").expect("there");
        (kept, progress.best_epoch)
    };
    let (worse, better) = (kept(true), kept(false));
    assert_eq!((worse.1, better.1), (0, 4));
    assert!(distance(&worse.0, &weights(&Toy::new(4).network(&Device::flex()))) < 1e-6);
}

#[test]
fn a_fit_stops_early_where_nothing_gets_better() {
    let folder = folder();
    fit(
        &Toy::new(4),
        &settings(&["fit.epochs=9", "fit.learning_rate=0", "fit.final_learning_rate=0", "fit.patience=2"]),
        folder.path(),
        1,
    );
    let progress = Checkpoints::new(folder.path()).expect("folder").progress().expect("read").expect("there");
    assert_eq!((progress.epoch, progress.best_epoch), (3, 1));
}

#[test]
fn pixels_that_are_nan_end_the_fit_and_name_the_series() {
    let task = Toy { broken: Some(5), ..Toy::new(4) };
    let _seeding = generator::shared();
    let problem = run(&task, &settings(&[]), folder().path(), &Devices::repeated(&Device::flex(), 1));
    let problem = problem.expect_err("broken").to_string();
    assert!(problem.contains("series 1.2.5") && problem.contains("not numbers"), "{problem}");
}

#[test]
fn a_loss_that_is_not_finite_ends_the_fit_and_leaves_the_last_checkpoint() {
    let folder = folder();
    fit(&Toy::new(4), &settings(&["fit.epochs=1"]), folder.path(), 1);
    let mut task = Toy::new(4);
    task.exams[0].0 = [f32::INFINITY; 3];
    let _seeding = generator::shared();
    let problem = run(&task, &settings(&[]), folder.path(), &Devices::repeated(&Device::flex(), 1));
    assert!(matches!(problem, Err(TrainError::Diverged { epoch: 2, .. })), "{:?}", problem.err());
    let progress = Checkpoints::new(folder.path()).expect("folder").progress().expect("read").expect("there");
    assert_eq!(progress.epoch, 1);
}
