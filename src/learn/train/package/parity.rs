//! Whether ONNX Runtime computes what the training program does.

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{ArrayViewD, Axis};

use crate::engine::models::networks as served;
use crate::engine::models::package::Package;
use crate::engine::models::session::Runtime;
use crate::learn::train::TrainError;
use crate::learn::train::dataset::Dataset;
use crate::learn::train::network::{EmbolismNetwork, LungNetwork};

/// Largest difference of an output between training and ONNX Runtime, relative to its largest value where that is above
/// 1: `f32` carries seven digits, whatever the size of the values.
const PARITY: f32 = 1e-4;
/// Slices of an exam on which both are compared.
const COMPARED: usize = 12;

/// The networks of a fit.
pub(crate) enum Networks {
    /// Lung segmentation.
    Lungs(LungNetwork),
    /// Embolism classification.
    Embolism(Box<EmbolismNetwork>),
}

/// Runs the package in ONNX Runtime and the networks in the training program on the same slices.
pub(super) fn compare(
    networks: &Networks,
    package: &Package,
    runtime: &Runtime,
    (data, device): (&Dataset, &Device),
) -> Result<(), TrainError> {
    let slices: Vec<usize> = (0..data.exams[0].slices.min(COMPARED)).collect();
    let input = data.served_batch(0, &slices)?;
    let shape: [usize; 4] = input.dim().into();
    let images = Tensor::<4>::from_data(TensorData::new(input.iter().copied().collect(), shape), device);
    match networks {
        Networks::Lungs(network) => {
            let mut loaded = served::LungNetwork::load(package, runtime)?;
            let logits = loaded.logits(&input.view())?;
            agree("logits", network.forward(images), logits.view().into_dyn())
        }
        Networks::Embolism(network) => {
            let mut loaded = served::EmbolismNetwork::load(package, runtime)?;
            let encoded = loaded.encode(&input.view())?;
            let expected = network.encoder.forward(images);
            agree("features", expected.features.clone(), encoded.features.view().into_dyn())?;
            agree("evidence", expected.evidence, encoded.evidence.insert_axis(Axis(1)).view().into_dyn())?;
            let read = loaded.read(&encoded.features.view())?;
            let expected = network.head.forward(expected.features);
            agree("slice logits", expected.slices, read.slices.view().into_dyn())?;
            agree("exam logits", expected.exam, read.exam.view().into_dyn())?;
            agree("attention", expected.attention, read.attention.view().into_dyn())
        }
    }
}

fn agree<const D: usize>(
    output: &'static str,
    expected: Tensor<D>,
    found: ArrayViewD<'_, f32>,
) -> Result<(), TrainError> {
    let expected: Vec<f32> = expected.into_data().iter::<f32>().collect();
    // `f32::max` would skip NaN.
    let larger = |a: f32, b: f32| if a.is_nan() || b <= a { a } else { b };
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, larger);
    let difference = largest(&mut expected.iter().zip(found.iter()).map(|(a, b)| (a - b).abs()));
    let limit = PARITY * largest(&mut expected.iter().map(|value| value.abs())).max(1.0);
    if expected.len() == found.len() && difference <= limit {
        tracing::info!("{output}: ONNX Runtime differs from training by {difference:.1e}");
        return Ok(());
    }
    Err(TrainError::Parity { output, difference, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_agree_to_the_digits_that_they_carry_and_never_where_one_is_nan() {
        let agrees = |expected: [f32; 2], found: [f32; 2]| {
            let expected = Tensor::<1>::from_data(TensorData::new(expected.to_vec(), [2]), &Device::flex());
            agree("logits", expected, ndarray::aview1(&found).into_dyn()).is_ok()
        };
        assert!(agrees([0.5, -0.5], [0.500_05, -0.5]));
        assert!(!agrees([0.5, -0.5], [0.501, -0.5]));
        assert!(agrees([900.0, -0.5], [900.05, -0.5]));
        assert!(!agrees([900.0, -0.5], [900.0, -0.3]));
        assert!(!agrees([0.5, -0.5], [f32::NAN, -0.5]));
    }
}
