//! What is fitted: the kind of network, its batches and its loss.

use burn::module::Module;
use burn::tensor::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::learn::train::TrainError;
use crate::learn::train::loss::Terms;

/// What a kind of network does differently from the others.
pub(crate) trait Task: Sync {
    /// Its weights.
    type Network: Module + Send;
    /// What is trained on at once, on the host.
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
    /// Metrics on validation exams; the first decides which checkpoint is best (more is better).
    fn validate(&self, network: &Self::Network, device: &Device) -> Result<Vec<(&'static str, f64)>, TrainError>;
    /// The fit that this one continues, by the digest of its weights, where there is one.
    fn begun_with(&self) -> Option<&str> {
        None
    }
    /// Whether the weights that the fit begins with may be the best: training may make them worse.
    fn begins_fitted(&self) -> bool {
        false
    }
}

/// Initial weights on a device: to be trained where it keeps gradients, plain where it does not.
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

/// Prepared images must be finite: a NaN would turn every weight into NaN.
pub(crate) fn require_numbers(images: &[f32], series: &str) -> Result<(), TrainError> {
    if images.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(TrainError::Exams(format!(
        "the prepared images of series {series} hold pixels that are not numbers (NaN); remove them and prepare the \
         exam again, or take it out of the table of labels"
    )))
}
