//! Step `fit`: the loop that all networks share.
//!
//! AdamW with linear warm-up and a cosine, gradients accumulated and clipped by their global norm, the best checkpoint
//! by the validation figure, early stop, resume. Everything drawn depends on the seed, the epoch and the step alone, so
//! a resumed fit continues with the batches an unbroken one would have seen. A loader thread keeps batches ready.

mod checkpoint;
pub(crate) mod embolism;
pub(crate) mod head;
pub(crate) mod lungs;
mod optimiser;
pub(crate) mod patches;
#[cfg(test)]
mod speed;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::TrainError;
use super::configuration::Fit;
use super::progress;
pub(crate) use checkpoint::{Checkpoints, Progress};
pub(crate) use optimiser::Optimiser;

/// What a kind of network does differently from the others.
pub(crate) trait Task: Sync {
    /// Its weights.
    type Network: Module + Send;
    /// What one step learns from, on the host.
    type Batch: Send;

    /// Fresh weights.
    fn network(&self, device: &Device) -> Self::Network;
    /// The exams of each step of an epoch.
    fn plan(&self, random: &mut ChaCha8Rng) -> Vec<Vec<usize>>;
    /// Reads and varies what one step learns from.
    fn load(&self, exams: &[usize], random: &mut ChaCha8Rng) -> Result<Self::Batch, TrainError>;
    /// Loss of a batch, `[1]`.
    fn loss(&self, network: &Self::Network, batch: Self::Batch, device: &Device) -> Tensor<1>;
    /// Figures on validation exams; the first decides which checkpoint is best (more is better).
    fn validate(&self, network: &Self::Network, device: &Device) -> Result<Vec<(&'static str, f64)>, TrainError>;
}

/// One line of `log.jsonl`.
#[derive(Debug, Serialize)]
struct EpochLine<'a> {
    epoch: usize,
    loss: f64,
    learning_rate: f64,
    seconds: f64,
    waited_seconds: f64,
    #[serde(flatten)]
    validation: BTreeMap<&'a str, f64>,
    best: bool,
}

/// The device that the configuration asks for.
pub(crate) fn device(settings: &Fit) -> Result<Device, TrainError> {
    match settings.device.as_str() {
        "auto" => Ok(Device::default()),
        "cpu" => Ok(Device::flex()),
        other => cuda(other),
    }
}

#[cfg(feature = "cuda")]
fn cuda(name: &str) -> Result<Device, TrainError> {
    let number = name.strip_prefix("cuda:").and_then(|number| number.parse::<usize>().ok());
    number.map(Device::cuda).ok_or_else(|| unknown_device(name))
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: &str) -> Result<Device, TrainError> {
    Err(unknown_device(name))
}

fn unknown_device(name: &str) -> TrainError {
    let built = if cfg!(feature = "cuda") { "" } else { "; this program was built without the feature `cuda`" };
    TrainError::Exams(format!("fit.device = \"{name}\": \"auto\", \"cpu\" or \"cuda:N\" was expected{built}"))
}

/// Weights to begin with on a device: to be learnt where it keeps gradients, plain where it does not.
pub(crate) fn begun<M: Module>(start: &M, device: &Device) -> M {
    let network = start.clone().to_device(device);
    if device.is_autodiff() { network.train() } else { network }
}

/// A generator for one place of a run.
pub(crate) fn random_at(seed: u64, epoch: usize, step: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(((epoch as u64) << 32) | step as u64);
    random
}

/// A generator of its own for one exam of a step.
pub(crate) fn fork(random: &mut ChaCha8Rng) -> ChaCha8Rng {
    ChaCha8Rng::from_rng(random)
}

/// Fits a network and gives its best weights on `device`, without gradients.
pub(crate) fn run<T: Task>(task: &T, settings: &Fit, folder: &Path, device: &Device) -> Result<T::Network, TrainError> {
    let learning = device.clone().autodiff();
    device.seed(settings.seed);
    let checkpoints = Checkpoints::new(folder)?;
    let mut network = task.network(&learning);
    let mut optimiser = Optimiser::new(settings);
    let mut progress = Progress::default();
    if let Some(found) = checkpoints.resume(&mut network, &mut optimiser)? {
        progress = found;
        tracing::info!(epoch = progress.epoch, "resuming the fit");
    }
    let started = Instant::now();
    let before = progress.seconds;
    while progress.epoch < settings.epochs && !stops(settings, &progress) {
        let epoch = progress.epoch;
        let clock = Clock { settings, started, before };
        let (learnt, line) = run_epoch(task, &clock, network, &mut optimiser, epoch, &learning)?;
        network = learnt;
        let validation = task.validate(&network.valid(), device)?;
        progress.epoch += 1;
        progress.seconds = clock.seconds();
        let figure = validation.first().map_or(f64::NAN, |(_, value)| *value);
        let best = progress.best.is_none_or(|best| figure > best);
        if best {
            progress.best = Some(figure);
            progress.best_epoch = progress.epoch;
            checkpoints.save_best(&network)?;
        }
        checkpoints.save(&network, &optimiser, &progress)?;
        let line = EpochLine { validation: validation.into_iter().collect(), best, ..line };
        log(folder, &line)?;
    }
    checkpoints.best(task.network(device))
}

/// How much of the fit lies behind, by epochs or by time, whichever runs out first.
struct Clock<'a> {
    settings: &'a Fit,
    started: Instant,
    before: f64,
}

impl Clock<'_> {
    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// From 0 to 1: what the learning rate's cosine follows.
    fn done(&self, epochs: f64) -> f64 {
        let limit = 60.0 * self.settings.maximum_minutes;
        let by_time = if limit > 0.0 { self.seconds() / limit } else { 0.0 };
        (epochs / self.settings.epochs as f64).max(by_time)
    }
}

fn stops(settings: &Fit, progress: &Progress) -> bool {
    let patience = settings.patience > 0 && progress.epoch >= progress.best_epoch + settings.patience;
    let time = settings.maximum_minutes > 0.0 && progress.seconds >= 60.0 * settings.maximum_minutes;
    patience || time
}

fn run_epoch<T: Task>(
    task: &T,
    clock: &Clock<'_>,
    network: T::Network,
    optimiser: &mut Optimiser<T::Network>,
    epoch: usize,
    device: &Device,
) -> Result<(T::Network, EpochLine<'static>), TrainError> {
    let (settings, started) = (clock.settings, Instant::now());
    let plan = task.plan(&mut random_at(settings.seed, epoch, u32::MAX as usize));
    let steps = plan.len();
    let bar = progress::bar(steps as u64, "fit");
    let mut accumulator = GradientsAccumulator::new();
    let (mut total, mut waited) = (0.0, 0.0);
    let network = std::thread::scope(|scope| {
        let mut network = network;
        let (sender, receiver) = sync_channel(2);
        scope.spawn(move || {
            for (step, exams) in plan.iter().enumerate() {
                let batch = task.load(exams, &mut random_at(settings.seed, epoch, step));
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        for step in 0..steps {
            let asked = Instant::now();
            let Ok(batch) = receiver.recv() else { break };
            let batch = batch?;
            waited += asked.elapsed().as_secs_f64();
            let loss = task.loss(&network, batch, device);
            let value = f64::from(loss.clone().inner().into_scalar::<f32>());
            if !value.is_finite() {
                return Err(TrainError::Diverged { epoch: epoch + 1, step: step + 1 });
            }
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            accumulator.accumulate(&network, gradients);
            if (step + 1) % settings.accumulate == 0 || step + 1 == steps {
                let epochs = epoch as f64 + (step + 1) as f64 / steps as f64;
                network = optimiser.step(network, accumulator.grads(), clock.done(epochs));
            }
            total += value;
            bar.inc(1);
            bar.set_message(format!("epoch {}/{} loss {:.4}", epoch + 1, settings.epochs, total / (step + 1) as f64));
        }
        Ok(network)
    })?;
    bar.finish_and_clear();
    let line = EpochLine {
        epoch: epoch + 1,
        loss: total / steps.max(1) as f64,
        learning_rate: optimiser.learning_rate(),
        seconds: started.elapsed().as_secs_f64(),
        waited_seconds: waited,
        validation: BTreeMap::new(),
        best: false,
    };
    Ok((network, line))
}

fn log(folder: &Path, line: &EpochLine<'_>) -> Result<(), TrainError> {
    let figures: Vec<String> = line.validation.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    tracing::info!(
        "epoch {} loss {:.4} {} ({:.0} s){}",
        line.epoch,
        line.loss,
        figures.join(" "),
        line.seconds,
        if line.best { ", the best so far" } else { "" }
    );
    let path = folder.join("log.jsonl");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(TrainError::file("opening", &path))?;
    let text = serde_json::to_string(line).unwrap_or_default();
    writeln!(file, "{text}").map_err(TrainError::file("writing", &path))
}
