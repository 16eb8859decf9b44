//! What `benches/training_step.rs` times and `benches/operating_point.rs` simulates; nothing else uses it.

mod operating_points;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use super::TrainError;
use super::configuration::TrainConfiguration;
use super::fit::Optimiser;
use super::loss;
use super::network::Encoder;
pub use operating_points::{Deployed, SimulatedExam};

/// Slices of a step.
const SLICES: usize = 32;

/// Training steps of the slice encoder: forward, backward, clipping, AdamW.
pub struct EncoderSteps {
    encoder: Encoder,
    optimiser: Optimiser<Encoder>,
    device: Device,
    pixels: Vec<f32>,
    shape: [usize; 4],
}

/// A pixel of the batch, the same as in `tests/bench/torch_training.py`.
fn pixel(place: usize) -> f32 {
    (place * 7919 % 1000) as f32 / 1000.0
}

impl EncoderSteps {
    /// With fresh weights, for settings that differ from the defaults.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn new(settings: &[&str]) -> Result<Self, TrainError> {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let configuration = TrainConfiguration::load(None, &settings)?;
        let device = Device::flex().autodiff();
        let [rows, columns] = configuration.input.size;
        let shape = [SLICES, configuration.input.channels(), rows, columns];
        Ok(Self {
            encoder: Encoder::new(&configuration.encoder, shape[1], configuration.input.size, &device),
            optimiser: Optimiser::new(&configuration.fit),
            device,
            pixels: (0..shape.iter().product()).map(pixel).collect(),
            shape,
        })
    }

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        self.encoder.num_params()
    }

    /// One step; returns its loss.
    pub fn step(&mut self) -> f32 {
        let images = Tensor::<4>::from_data(TensorData::new(self.pixels.clone(), self.shape), &self.device);
        let logits = self.encoder.forward(images).features.narrow(1, 0, 1).reshape([SLICES]);
        let labels: Vec<u8> = (0..SLICES).map(|slice| (slice % 2) as u8).collect();
        let Some(loss) = loss::labelled(logits, &labels, 1.0) else { return f32::NAN };
        let value = loss.clone().inner().into_scalar::<f32>();
        let gradients = GradientsParams::from_grads(loss.backward(), &self.encoder);
        self.encoder = self.optimiser.step(self.encoder.clone(), gradients, 0.0);
        value
    }
}
