//! One pass over the training exams.
//!
//! A step of the optimiser trains on `accumulate` batches on each device. Each batch's loss is a mean over its exams;
//! it counts by its share of the exams of the step, so the gradients are those of the step's exams as one batch
//! ([`crate::learn::train::loss`] says why). Only batch normalisation sees one batch at a time, as in every
//! data-parallel fit that does not exchange statistics.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
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
use super::reading_ahead::ahead;
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

/// What training on a batch gave besides its gradients.
struct Trained {
    terms: Vec<(&'static str, f64)>,
    slices: usize,
}

/// What a device has trained on in a step.
struct Share<M: Module> {
    gradients: GradientsAccumulator<M>,
    batches: Vec<Trained>,
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
    fn add(&mut self, trained: Trained) {
        self.batches += 1;
        self.slices += trained.slices;
        for (name, term) in trained.terms {
            *self.terms.entry(name.to_owned()).or_default() += term;
        }
    }

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
            let mut share = Share::new();
            for round in step.chunks(devices.count()) {
                let asked = Instant::now();
                let batches = take(&loaded, round.len())?;
                tally.waited += asked.elapsed();
                let mut batches = batches.into_iter();
                let first = batches.next();
                workers.iter().zip(batches).for_each(|(worker, batch)| worker.ask(&network, batch));
                if let Some(batch) = first {
                    share.train(task, &network, batch, &devices.training());
                }
            }
            let busy = workers.iter().take(step.len().saturating_sub(1));
            let Some(others) = busy.map(Worker::share).collect::<Option<Vec<_>>>() else {
                // A worker has panicked; the end of the scope reports why.
                return Ok(());
            };
            for (mut gradients, batches) in others.into_iter().map(|other| (other.gradients, other.batches)) {
                // Gradients are plain tensors, without a history of their own. They come once for all batches of a step.
                let there = gradients.grads().to_device(devices.main(), &network);
                share.gradients.accumulate(&network, there);
                share.batches.extend(batches);
            }
            if share.batches.iter().any(|trained| !trained.loss().is_finite()) {
                return Err(TrainError::Diverged { epoch: epoch + 1, step: number + 1 });
            }
            share.batches.drain(..).for_each(|trained| tally.add(trained));
            let epochs = epoch as f64 + (number + 1) as f64 / steps.len() as f64;
            network = optimiser.step(network.clone(), share.gradients.grads(), clock.done(epochs));
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

/// The batches of all steps in their order, read some ahead. Where there are more cores than exams in a batch, several are
/// read at once.
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
    let load = move |(number, (exams, share)): &(usize, (&Vec<usize>, f64))| {
        let batch = task.load(exams, &mut random_at(seed, epoch, *number))?;
        Ok(Loaded { batch, share: *share })
    };
    let parts: Vec<Vec<_>> = batches.chunks(together).map(<[_]>::to_vec).collect();
    let read = parts.into_iter().flat_map(move |some| some.par_iter().map(load).collect::<Vec<_>>());
    ahead(scope, AHEAD.max(together), read)
}

fn take<B>(loaded: &Receiver<Result<Loaded<B>, TrainError>>, count: usize) -> Result<Vec<Loaded<B>>, TrainError> {
    // The loader sends every batch of the plan, or an error and nothing more.
    loaded.iter().take(count).collect()
}

impl Trained {
    fn loss(&self) -> f64 {
        self.terms.iter().map(|(_, term)| term).sum()
    }
}

impl<M: Module> Share<M> {
    fn new() -> Self {
        Self { gradients: GradientsAccumulator::new(), batches: Vec::new() }
    }

    /// Adds the gradients of a batch, times its share of the step.
    fn train<T: Task<Network = M>>(&mut self, task: &T, network: &M, loaded: Loaded<T::Batch>, device: &Device) {
        let slices = task.slices(&loaded.batch);
        let terms = task.loss(network, loaded.batch, device);
        let values = terms.values().into_iter().map(|(name, value)| (name, value * loaded.share)).collect();
        self.batches.push(Trained { terms: values, slices });
        if let Some(loss) = terms.total() {
            let gradients = GradientsParams::from_grads(loss.mul_scalar(loaded.share).backward(), network);
            self.gradients.accumulate(network, gradients);
        }
    }
}

/// A further device, with a thread of its own for the whole epoch: running statistics of batch normalisation are kept
/// by thread and averaged over them.
struct Worker<T: Task> {
    asked: SyncSender<Asked<T>>,
    shares: Receiver<Share<T::Network>>,
}

/// What a worker is asked for.
enum Asked<T: Task> {
    /// To train on a batch.
    Batch(Box<T::Network>, Loaded<T::Batch>),
    /// For its share of the step.
    Share,
}

impl<T: Task> Worker<T> {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, task: &'scope T, device: Device) -> Self {
        let (asked, asking) = sync_channel::<Asked<T>>(1);
        let (sender, shares) = sync_channel(1);
        scope.spawn(move || {
            let mut share = Share::new();
            for asked in asking {
                match asked {
                    Asked::Batch(network, loaded) => share.train(task, &network.fork(&device), loaded, &device),
                    Asked::Share => {
                        if sender.send(std::mem::replace(&mut share, Share::new())).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Self { asked, shares }
    }

    /// Waits where the worker is a batch behind. A worker that has ended gives no share either.
    fn ask(&self, network: &T::Network, batch: Loaded<T::Batch>) {
        let _ = self.asked.send(Asked::Batch(Box::new(network.clone()), batch));
    }

    /// `None` if the worker has panicked.
    fn share(&self) -> Option<Share<T::Network>> {
        self.asked.send(Asked::Share).ok()?;
        self.shares.recv().ok()
    }
}
