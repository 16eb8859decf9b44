//! Step `fit`: the loop that all networks share.
//!
//! AdamW with linear warm-up and a cosine, gradients averaged over the exams of a step (however it is accumulated or
//! divided over devices) and clipped by their global norm, the best checkpoint by the validation figure, early stop,
//! resume. Everything drawn depends on the seed, the epoch and the batch alone, so a resumed fit continues with the
//! batches an unbroken one would have seen. A loader thread keeps batches ready.

mod checkpoint;
mod devices;
mod draw;
pub(crate) mod embolism;
mod epoch;
pub(crate) mod head;
mod log;
pub(crate) mod lungs;
mod optimiser;
pub(crate) mod patches;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::TrainError;
use super::configuration::Fit;
use super::loss::Terms;
use super::progress;
pub(crate) use checkpoint::{Checkpoints, Progress};
pub(crate) use devices::Devices;
pub(crate) use optimiser::Optimiser;

/// What a kind of network does differently from the others.
pub(crate) trait Task: Sync {
    /// Its weights.
    type Network: Module + Send;
    /// What is learnt from at once, on the host.
    type Batch: Send;

    /// The weights that the fit begins with.
    fn network(&self, device: &Device) -> Self::Network;
    /// The exams of each batch of an epoch.
    fn plan(&self, random: &mut ChaCha8Rng) -> Vec<Vec<usize>>;
    /// Reads and varies what a batch holds.
    fn load(&self, exams: &[usize], random: &mut ChaCha8Rng) -> Result<Self::Batch, TrainError>;
    /// Slices of a batch, or patches of them.
    fn slices(&self, batch: &Self::Batch) -> usize;
    /// Loss of a batch, a mean over its exams.
    fn loss(&self, network: &Self::Network, batch: Self::Batch, device: &Device) -> Terms;
    /// Figures on validation exams; the first decides which checkpoint is best (more is better).
    fn validate(&self, network: &Self::Network, device: &Device) -> Result<Vec<(&'static str, f64)>, TrainError>;
    /// The fit that this one goes on from, by the digest of its weights, where there is one.
    fn begun_with(&self) -> Option<&str> {
        None
    }
    /// Whether the weights that the fit begins with are a candidate for the best: what it learns may make them worse.
    fn begins_fitted(&self) -> bool {
        false
    }
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

/// A generator of its own for one exam of a batch.
pub(crate) fn fork(random: &mut ChaCha8Rng) -> ChaCha8Rng {
    ChaCha8Rng::from_rng(random)
}

/// Prepared images hold numbers alone; others would turn every weight into none.
pub(crate) fn require_numbers(images: &[f32], series: &str) -> Result<(), TrainError> {
    if images.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(TrainError::Exams(format!(
        "the prepared images of series {series} hold pixels that are no numbers (NaN); remove them and prepare the exam \
         again, or take it out of the table of labels"
    )))
}

/// Fits a network and gives its best weights on the first device, without gradients.
pub(crate) fn run<T: Task>(
    task: &T,
    settings: &Fit,
    folder: &Path,
    devices: &Devices,
) -> Result<T::Network, TrainError> {
    let learning = devices.learning();
    devices.seed(settings.seed);
    let checkpoints = Checkpoints::new(folder)?;
    let mut network = task.network(&learning);
    let mut optimiser = Optimiser::new(settings);
    let mut progress = match checkpoints.resume(&mut network, &mut optimiser, task.begun_with().unwrap_or_default())? {
        Some(progress) => progress,
        None => begin(task, &network, &optimiser, &checkpoints, devices)?,
    };
    log::write(folder, &progress.log)?;
    if progress.epoch > 0 && progress.epoch < settings.epochs {
        tracing::info!(epoch = progress.epoch, "resuming the fit");
    }
    let clock = Clock { settings, started: Instant::now(), before: progress.seconds };
    let bar = progress::bar(0, "fit");
    while progress.epoch < settings.epochs && !stops(settings, &progress) {
        // Whatever a network draws on its devices depends on the epoch alone, as in an unbroken fit.
        devices.seed(settings.seed.wrapping_add(progress.epoch as u64));
        let (learnt, mut line) = epoch::run(task, &clock, network, &mut optimiser, progress.epoch, devices, &bar)?;
        network = learnt;
        let validation = task.validate(&network.valid(), devices.main())?;
        progress.epoch += 1;
        progress.steps = optimiser.steps();
        progress.seconds = clock.seconds();
        line.best = take_best(&mut progress, &validation);
        line.figures.extend(validation.into_iter().map(|(name, value)| (name.to_owned(), value)));
        line.announce(settings.epochs, clock.left(progress.epoch));
        progress.log.push(line);
        checkpoints.save(&network, &optimiser, &progress)?;
        log::write(folder, &progress.log)?;
    }
    bar.finish_and_clear();
    checkpoints.best(task.network(devices.main()))
}

/// The state before the first epoch.
fn begin<T: Task>(
    task: &T,
    network: &T::Network,
    optimiser: &Optimiser<T::Network>,
    checkpoints: &Checkpoints,
    devices: &Devices,
) -> Result<Progress, TrainError> {
    let begun_with = task.begun_with().unwrap_or_default().to_owned();
    let mut progress = Progress { begun_with, ..Progress::default() };
    if task.begins_fitted() {
        let validation = task.validate(&network.valid(), devices.main())?;
        take_best(&mut progress, &validation);
        checkpoints.save(network, optimiser, &progress)?;
    }
    Ok(progress)
}

/// The device that keeps the weights.
pub(crate) fn device(settings: &Fit) -> Result<Device, TrainError> {
    Devices::new(settings).map(|devices| devices.main().clone())
}

/// Whether the epoch that has ended gave the best figure, which the progress then keeps. Of equal figures the first
/// stays, but weights that the fit only began with give way: what learnt more is preferred to them.
fn take_best(progress: &mut Progress, validation: &[(&'static str, f64)]) -> bool {
    let figure = validation.first().map_or(f64::NAN, |(_, value)| *value);
    let better = |best: f64| if progress.best_epoch == 0 { figure >= best } else { figure > best };
    let better = progress.best.is_none_or(better);
    if better {
        (progress.best, progress.best_epoch) = (Some(figure), progress.epoch);
    }
    better
}

/// Whether a fit of these settings has nothing left to do in a folder.
pub(crate) fn is_done(settings: &Fit, folder: &Path, begun_with: &str) -> Result<bool, TrainError> {
    let progress = Checkpoints::new(folder)?.progress()?;
    let done = |progress: &Progress| progress.epoch >= settings.epochs || stops(settings, progress);
    Ok(progress.is_some_and(|progress| progress.begun_with == begun_with && done(&progress)))
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

    /// Time to the end after so many epochs, if the rest takes as long as what lies behind.
    fn left(&self, epochs: usize) -> Duration {
        let done = self.done(epochs as f64).clamp(f64::EPSILON, 1.0);
        Duration::from_secs_f64((self.seconds() * (1.0 - done) / done).min(1e9))
    }
}

fn stops(settings: &Fit, progress: &Progress) -> bool {
    let patience = settings.patience > 0 && progress.epoch >= progress.best_epoch + settings.patience;
    let time = settings.maximum_minutes > 0.0 && progress.seconds >= 60.0 * settings.maximum_minutes;
    patience || time
}
