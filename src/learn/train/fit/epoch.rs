//! One pass over the training exams.
//!
//! A step of the optimiser trains on `accumulate` batches on each device. Each batch's loss is a mean over its exams;
//! it counts by its share of the exams of the step, so the gradients are those of the step's exams as one batch
//! ([`crate::learn::train::loss`] says why). Only batch normalisation sees one batch at a time, as in every
//! data-parallel fit that does not exchange statistics.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use rayon::prelude::*;

use super::clock::Clock;
use super::devices::Devices;
use super::log::EpochLine;
use super::optimiser::Optimiser;
use super::task::{Task, random_at};
use crate::learn::train::TrainError;
use crate::learn::train::progress::Progress;

/// Fewest batches that are loaded ahead of the device.
const AHEAD: usize = 2;

/// A batch and how much it counts in its step, from 0 to 1.
struct Loaded<B> {
    batch: B,
    share: f64,
}

/// The result of training on a batch.
struct BatchResult {
    gradients: GradientsParams,
    terms: Vec<(&'static str, f64)>,
    slices: usize,
}

/// Sums over the batches of an epoch.
#[derive(Default)]
struct Tally {
    steps: usize,
    batches: usize,
    slices: usize,
    norms: f64,
    waited: Duration,
    /// Each term, weighted by the exams of its batches.
    terms: BTreeMap<String, f64>,
}

impl Tally {
    fn loss(&self) -> f64 {
        self.terms.values().sum::<f64>() / self.steps.max(1) as f64
    }

    fn line(&self, epoch: usize, seconds: f64, optimiser: (f64, usize)) -> EpochLine {
        let steps = self.steps.max(1) as f64;
        let waited = self.waited.as_secs_f64();
        EpochLine {
            epoch: epoch + 1,
            loss: self.loss(),
            learning_rate: optimiser.0,
            gradient_norm: self.norms / steps,
            steps: optimiser.1,
            seconds,
            slices_per_second: self.slices as f64 / seconds,
            waited_seconds: waited,
            wait_share: waited / seconds,
            best: false,
            metrics: self.terms.iter().map(|(name, sum)| (format!("loss_{name}"), sum / steps)).collect(),
        }
    }
}

/// Trains on every batch of the epoch's plan. Returns the weights and the line of the log, without validation.
pub(super) fn run<T: Task>(
    task: &T,
    clock: &Clock<'_>,
    mut network: T::Network,
    optimiser: &mut Optimiser<T::Network>,
    epoch: usize,
    devices: &Devices,
    bar: &Progress,
) -> Result<(T::Network, EpochLine), TrainError> {
    let (settings, started) = (clock.settings, Instant::now());
    let plan = task.plan(&mut random_at(settings.seed, epoch, u32::MAX as usize));
    let steps: Vec<&[Vec<usize>]> = plan.chunks(settings.accumulate * devices.count()).collect();
    bar.resume((epoch * plan.len()) as u64, (settings.epochs * plan.len()) as u64);
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let loaded = loader(scope, task, &steps, settings.seed, epoch);
        let workers: Vec<Worker<T>> = devices.others().map(|device| Worker::start(scope, task, device)).collect();
        for (number, step) in steps.iter().enumerate() {
            let mut gradients = GradientsAccumulator::new();
            for round in step.chunks(devices.count()) {
                let asked = Instant::now();
                let batches = take(&loaded, round.len())?;
                tally.waited += asked.elapsed();
                let Some(together) = train_together(task, &network, batches, &devices.training(), &workers) else {
                    // A worker has panicked; the end of the scope reports why.
                    return Ok(());
                };
                for trained in together {
                    let value: f64 = trained.terms.iter().map(|(_, term)| term).sum();
                    if !value.is_finite() {
                        return Err(TrainError::Diverged { epoch: epoch + 1, step: number + 1 });
                    }
                    tally.batches += 1;
                    tally.slices += trained.slices;
                    for (name, term) in trained.terms {
                        *tally.terms.entry(name.to_owned()).or_default() += term;
                    }
                    gradients.accumulate(&network, trained.gradients);
                }
            }
            let epochs = epoch as f64 + (number + 1) as f64 / steps.len() as f64;
            network = optimiser.step(network.clone(), gradients.grads(), clock.done(epochs));
            if !optimiser.gradient_norm().is_finite() {
                return Err(TrainError::Diverged { epoch: epoch + 1, step: number + 1 });
            }
            tally.steps += 1;
            tally.norms += optimiser.gradient_norm();
            bar.inc(step.len() as u64);
            bar.set_message(format!("epoch {}/{} loss {:.4}", epoch + 1, settings.epochs, tally.loss()));
        }
        Ok(())
    })?;
    let line = tally.line(epoch, started.elapsed().as_secs_f64(), (optimiser.learning_rate(), optimiser.steps()));
    Ok((network, line))
}

/// A thread that reads the batches of all steps in their order, some ahead; it ends with the first that cannot be read,
/// or when the receiver is gone. Where there are more cores than exams in a batch it reads several at once.
fn loader<'scope, T: Task>(
    scope: &'scope Scope<'scope, '_>,
    task: &'scope T,
    steps: &'scope [&[Vec<usize>]],
    seed: u64,
    epoch: usize,
) -> Receiver<Result<Loaded<T::Batch>, TrainError>> {
    let shares = steps.iter().flat_map(|step| {
        let all: usize = step.iter().map(Vec::len).sum();
        step.iter().map(move |exams| (exams, exams.len() as f64 / all as f64))
    });
    let batches: Vec<(usize, (&Vec<usize>, f64))> = shares.enumerate().collect();
    let exams = batches.first().map_or(1, |(_, (exams, _))| exams.len().max(1));
    let together = (rayon::current_num_threads() / exams).max(1);
    let (sender, receiver) = sync_channel(AHEAD.max(together));
    let load = move |(number, (exams, share)): &(usize, (&Vec<usize>, f64))| {
        let batch = task.load(exams, &mut random_at(seed, epoch, *number))?;
        Ok(Loaded { batch, share: *share })
    };
    scope.spawn(move || {
        for some in batches.chunks(together) {
            let loaded: Vec<Result<Loaded<T::Batch>, TrainError>> = some.par_iter().map(load).collect();
            for loaded in loaded {
                let failed = loaded.is_err();
                if sender.send(loaded).is_err() || failed {
                    return;
                }
            }
        }
    });
    receiver
}

fn take<B>(loaded: &Receiver<Result<Loaded<B>, TrainError>>, count: usize) -> Result<Vec<Loaded<B>>, TrainError> {
    // The loader sends every batch of the plan, or an error and nothing more.
    loaded.iter().take(count).collect()
}

/// Loss and gradients of a batch, times its share of the step.
fn train<T: Task>(task: &T, network: &T::Network, loaded: Loaded<T::Batch>, device: &Device) -> BatchResult {
    let slices = task.slices(&loaded.batch);
    let terms = task.loss(network, loaded.batch, device);
    let values = terms.values().into_iter().map(|(name, value)| (name, value * loaded.share)).collect();
    let gradients =
        terms.total().map(|loss| GradientsParams::from_grads(loss.mul_scalar(loaded.share).backward(), network));
    BatchResult { gradients: gradients.unwrap_or_default(), terms: values, slices }
}

/// Trains on a batch on each device at once, the first here; `None` if one has panicked. The gradients lie on the first
/// device.
fn train_together<T: Task>(
    task: &T,
    network: &T::Network,
    batches: Vec<Loaded<T::Batch>>,
    device: &Device,
    workers: &[Worker<T>],
) -> Option<Vec<BatchResult>> {
    let mut batches = batches.into_iter();
    let first = batches.next();
    let busy: Vec<&Worker<T>> = workers.iter().zip(batches).map(|(worker, batch)| worker.ask(network, batch)).collect();
    let here = first.map(|batch| train(task, network, batch, device));
    let there = busy.into_iter().map(|worker| {
        let trained = worker.trained.recv().ok()?;
        // Gradients are plain tensors, without a history of their own.
        let gradients = trained.gradients.to_device(&device.clone().without_autodiff(), network);
        Some(BatchResult { gradients, ..trained })
    });
    here.map(Some).into_iter().chain(there).collect()
}

/// A further device, with a thread of its own for the whole epoch: running statistics of batch normalisation are kept
/// by thread and averaged over them.
struct Worker<T: Task> {
    batches: Sender<(T::Network, Loaded<T::Batch>)>,
    trained: Receiver<BatchResult>,
}

impl<T: Task> Worker<T> {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, task: &'scope T, device: Device) -> Self {
        let (batches, asked) = channel::<(T::Network, Loaded<T::Batch>)>();
        let (answer, trained): (SyncSender<BatchResult>, _) = sync_channel(1);
        scope.spawn(move || {
            for (network, loaded) in asked {
                if answer.send(train(task, &network.fork(&device), loaded, &device)).is_err() {
                    return;
                }
            }
        });
        Self { batches, trained }
    }

    fn ask(&self, network: &T::Network, batch: Loaded<T::Batch>) -> &Self {
        // A worker that has ended does not answer either.
        let _ = self.batches.send((network.clone(), batch));
        self
    }
}
