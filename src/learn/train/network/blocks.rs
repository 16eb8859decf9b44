//! Building blocks that all networks share.

use burn::module::{Initializer, Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

/// Largest magnitude of a logit before its exponential: a sum of a million such terms is far from the end of `f32`.
const LOGIT_BOUND: f64 = 20.0;

/// A convolution with a square kernel of odd size that keeps the size (stride 1) or halves it (stride 2).
pub(crate) fn convolution(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let margin = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(margin, margin, margin, margin))
        .with_initializer(Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: false })
        .init(device)
}

/// Two 3 x 3 convolutions whose sum with the input begins as the input alone.
#[derive(Module, Debug)]
pub(crate) struct Residual {
    first: Conv2d,
    second: Conv2d,
    scale: Param<Tensor<1>>,
}

impl Residual {
    pub(crate) fn new(channels: usize, device: &Device) -> Self {
        Self {
            first: convolution([channels, channels], 3, 1, device),
            second: convolution([channels, channels], 3, 1, device),
            scale: scale(0.1, device),
        }
    }

    /// `[N, C, H, W]` to the same shape.
    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let branch = self.second.forward(relu(self.first.forward(input.clone())));
        relu(input + branch * self.scale.val().reshape([1, 1, 1, 1]))
    }
}

/// A learnt number that multiplies a tensor.
pub(crate) fn scale(value: f64, device: &Device) -> Param<Tensor<1>> {
    Initializer::Constant { value }.init([1], device)
}

/// Doubles rows and columns by linear interpolation.
pub(crate) fn doubled(input: Tensor<4>) -> Tensor<4> {
    let [_, _, rows, columns] = input.dims();
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(false)
        .with_output_size([2 * rows, 2 * columns]);
    interpolate(input, options)
}

/// Logits squeezed into a range whose exponentials are safe; near zero it is the identity.
pub(crate) fn bounded<const D: usize>(logits: Tensor<D>) -> Tensor<D> {
    logits.div_scalar(LOGIT_BOUND).tanh().mul_scalar(LOGIT_BOUND)
}
