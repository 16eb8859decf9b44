//! How long a training step takes: what `tests/bench/training_speed.py` runs beside PyTorch.
//!
//! `cargo test --release --lib -- --ignored --nocapture training_step` prints one JSON line a network.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use super::Optimiser;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::loss;
use crate::learn::train::network::Encoder;

/// Slices of a step.
const SLICES: usize = 32;

/// A pixel of the batch that both programs learn from.
fn pixel(place: usize) -> f32 {
    (place * 7919 % 1000) as f32 / 1000.0
}

/// Seconds of each of some training steps of the encoder: forward, backward, clipping, AdamW.
fn steps(configuration: &TrainConfiguration, count: usize) -> (usize, Vec<f64>) {
    let device = Device::flex().autodiff();
    let [rows, columns] = configuration.input.size;
    let channels = configuration.input.channels();
    let mut encoder = Encoder::new(&configuration.encoder, channels, configuration.input.size, &device);
    let parameters = encoder.num_params();
    let mut optimiser = Optimiser::new(&configuration.fit);
    let shape = [SLICES, channels, rows, columns];
    let pixels: Vec<f32> = (0..shape.iter().product()).map(pixel).collect();
    let labels: Vec<u8> = (0..SLICES).map(|slice| (slice % 2) as u8).collect();
    let seconds = (0..count)
        .map(|_| {
            let started = Instant::now();
            let images = Tensor::<4>::from_data(TensorData::new(pixels.clone(), shape), &device);
            let logits = encoder.forward(images).features.narrow(1, 0, 1).reshape([SLICES]);
            let loss = loss::labelled(logits, &labels, 1.0).expect("labels");
            assert!(loss.clone().inner().into_scalar::<f32>().is_finite());
            let gradients = GradientsParams::from_grads(loss.backward(), &encoder);
            encoder = optimiser.step(encoder.clone(), gradients, 0.0);
            started.elapsed().as_secs_f64()
        })
        .collect();
    (parameters, seconds)
}

#[test]
#[ignore = "a measurement: tests/bench/training_speed.py runs it"]
fn a_training_step_is_timed() {
    let count = std::env::var("PE_NODE_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    for (name, overrides) in [
        ("pyramid", &[][..]),
        ("residual", &["input.size=[96, 96]", "encoder.widths=[24, 48, 96]", "encoder.blocks=[2, 2, 1]"]),
    ] {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let configuration = TrainConfiguration::load(None, &overrides).expect("valid");
        let (parameters, seconds) = steps(&configuration, count);
        println!("{}", serde_json::json!({ "network": name, "parameters": parameters, "seconds": seconds }));
    }
}
