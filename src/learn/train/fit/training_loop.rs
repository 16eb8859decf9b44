//! The loop of a fit: epoch after epoch until its end, from its last checkpoint.

use std::path::Path;

use burn::module::Module;

use super::checkpoint::{Checkpoints, Progress};
use super::clock::Clock;
use super::devices::Devices;
use super::optimiser::Optimiser;
use super::task::Task;
use super::{epoch, log};
use crate::learn::train::configuration::Fit;
use crate::learn::train::{TrainError, progress};

/// Fits a network and returns its best weights on the first device, without gradients.
pub(crate) fn run<T: Task>(
    task: &T,
    settings: &Fit,
    folder: &Path,
    devices: &Devices,
) -> Result<T::Network, TrainError> {
    let training = devices.training();
    devices.seed(settings.seed);
    let checkpoints = Checkpoints::new(folder)?;
    let mut network = task.network(&training);
    let mut optimiser = Optimiser::new(settings);
    let mut progress = match checkpoints.resume(&mut network, &mut optimiser, task.begun_with().unwrap_or_default())? {
        Some(progress) => progress,
        None => begin(task, &network, &optimiser, &checkpoints, devices)?,
    };
    log::write(folder, &progress.log)?;
    if progress.epoch > 0 && progress.epoch < settings.epochs {
        tracing::info!(epoch = progress.epoch, "resuming the fit");
    }
    let clock = Clock::start(settings, progress.seconds);
    let bar = progress::bar(0, "fit");
    while progress.epoch < settings.epochs && !stops(settings, &progress) {
        // Whatever a network draws on its devices depends on the epoch alone, as in an unbroken fit.
        devices.seed(settings.seed.wrapping_add(progress.epoch as u64));
        let (trained, mut line) = epoch::run(task, &clock, network, &mut optimiser, progress.epoch, devices, &bar)?;
        network = trained;
        let validation = task.validate(&network.valid(), devices.main())?;
        progress.epoch += 1;
        progress.steps = optimiser.steps();
        progress.seconds = clock.seconds();
        line.best = take_best(&mut progress, &validation);
        line.metrics.extend(validation.into_iter().map(|(name, value)| (name.to_owned(), value)));
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

/// Whether the epoch that has ended gave the best metric, which the progress then keeps. Of equal metrics the first
/// stays, but trained weights replace initial ones.
fn take_best(progress: &mut Progress, validation: &[(&'static str, f64)]) -> bool {
    let metric = validation.first().map_or(f64::NAN, |(_, value)| *value);
    let better = |best: f64| if progress.best_epoch == 0 { metric >= best } else { metric > best };
    let better = progress.best.is_none_or(better);
    if better {
        (progress.best, progress.best_epoch) = (Some(metric), progress.epoch);
    }
    better
}

/// Whether a fit of these settings has nothing left to do in a folder.
pub(crate) fn is_done(settings: &Fit, folder: &Path, begun_with: &str) -> Result<bool, TrainError> {
    let progress = Checkpoints::new(folder)?.progress()?;
    let done = |progress: &Progress| progress.epoch >= settings.epochs || stops(settings, progress);
    Ok(progress.is_some_and(|progress| progress.begun_with == begun_with && done(&progress)))
}

fn stops(settings: &Fit, progress: &Progress) -> bool {
    let patience = settings.patience > 0 && progress.epoch >= progress.best_epoch + settings.patience;
    let time = settings.maximum_minutes > 0.0 && progress.seconds >= 60.0 * settings.maximum_minutes;
    patience || time
}
