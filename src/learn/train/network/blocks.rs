//! Building blocks that all networks share.

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};

/// Largest magnitude of a logit before its exponential: a sum of a million such terms is far from the end of `f32`.
const LOGIT_BOUND: f64 = 20.0;

/// What TensorFlow's batch normalisation adds to variances.
const TENSORFLOW_EPSILON: f64 = 1e-3;

/// A convolution with a square kernel of odd size that keeps the size (stride 1) or halves it (stride 2).
pub(crate) fn convolution(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let margin = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(margin, margin, margin, margin))
        .with_initializer(Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: false })
        .init(device)
}

/// A convolution without offset, with a square kernel of odd size, that keeps the size; the channels in `groups`
/// groups.
pub(crate) fn plain(channels: [usize; 2], kernel: usize, groups: usize, device: &Device) -> Conv2d {
    without_offset(channels, kernel, groups).init(device)
}

fn without_offset(channels: [usize; 2], kernel: usize, groups: usize) -> Conv2dConfig {
    let margin = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_padding(PaddingConfig2d::Explicit(margin, margin, margin, margin))
        .with_groups(groups)
        .with_bias(false)
        .with_initializer(Initializer::KaimingNormal { gain: std::f64::consts::SQRT_2, fan_out_only: false })
}

/// A convolution whose output is normalised over the batch while it is fitted (Ioffe and Szegedy 2015). Once fitted,
/// [`Normalised::folded`] makes it a plain convolution of the same values, which is what is exported and served.
#[derive(Module, Debug)]
pub(crate) struct Normalised {
    convolution: Conv2d,
    normalisation: Option<BatchNorm>,
}

impl Normalised {
    pub(crate) fn new(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Self {
        let normalisation = Some(BatchNormConfig::new(channels[1]).init(device));
        Self { convolution: convolution(channels, kernel, stride, device), normalisation }
    }

    /// The same without the convolution's own offset, which the normalisation removes again; the channels in `groups`
    /// groups.
    pub(crate) fn grouped(channels: [usize; 2], kernel: usize, stride: usize, groups: usize, device: &Device) -> Self {
        let convolution = without_offset(channels, kernel, groups).with_stride([stride, stride]).init(device);
        Self { convolution, normalisation: Some(BatchNormConfig::new(channels[1]).init(device)) }
    }

    /// As networks that TensorFlow trained have it: the margin of an even map is one cell below and to the right alone where
    /// the convolution halves it, and the normalisation adds more to its variances.
    pub(crate) fn of_tensorflow(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
        device: &Device,
    ) -> Self {
        let convolution = without_offset(channels, kernel, groups)
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Same)
            .init(device);
        let normalisation = BatchNormConfig::new(channels[1]).with_epsilon(TENSORFLOW_EPSILON).init(device);
        Self { convolution, normalisation: Some(normalisation) }
    }

    /// Number of output channels.
    pub(crate) fn outputs(&self) -> usize {
        self.convolution.weight.dims()[0]
    }

    /// `[N, C, H, W]` to `[N, C', H', W']`.
    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let output = self.convolution.forward(input);
        match &self.normalisation {
            Some(normalisation) => normalisation.forward(output),
            None => output,
        }
    }

    /// The same function of an input, by the statistics of the fit, as a convolution alone.
    pub(crate) fn folded(mut self) -> Self {
        let Some(normalisation) = self.normalisation.take() else { return self };
        let variance = normalisation.running_var.value().add_scalar(normalisation.epsilon);
        let factor = normalisation.gamma.val() / variance.sqrt();
        let [channels] = factor.dims();
        let weight = self.convolution.weight.val() * factor.clone().reshape([channels, 1, 1, 1]);
        let bias = self.convolution.bias.as_ref().map(Param::val);
        let offset = bias.unwrap_or_else(|| factor.zeros_like()) - normalisation.running_mean.value();
        self.convolution.weight = Param::from_tensor(weight);
        self.convolution.bias = Some(Param::from_tensor(offset * factor + normalisation.beta.val()));
        self
    }
}

/// A normalisation over the batch that no convolution precedes directly. Once fitted, [`Standardised::folded`] makes it a
/// factor and an offset for each channel.
#[derive(Module, Debug)]
pub(crate) struct Standardised {
    normalisation: Option<BatchNorm>,
    factor: Option<Param<Tensor<1>>>,
    offset: Option<Param<Tensor<1>>>,
}

impl Standardised {
    pub(crate) fn new(channels: usize, device: &Device) -> Self {
        Self { normalisation: Some(BatchNormConfig::new(channels).init(device)), factor: None, offset: None }
    }

    /// `[N, C, H, W]` to the same shape.
    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let of_channel = |values: &Param<Tensor<1>>| values.val().reshape([1, -1, 1, 1]);
        match (&self.normalisation, &self.factor, &self.offset) {
            (Some(normalisation), _, _) => normalisation.forward(input),
            (None, Some(factor), Some(offset)) => input * of_channel(factor) + of_channel(offset),
            _ => input,
        }
    }

    pub(crate) fn folded(mut self) -> Self {
        let Some(normalisation) = self.normalisation.take() else { return self };
        let variance = normalisation.running_var.value().add_scalar(normalisation.epsilon);
        let factor = normalisation.gamma.val() / variance.sqrt();
        let offset = normalisation.beta.val() - normalisation.running_mean.value() * factor.clone();
        Self { normalisation: None, factor: Some(Param::from_tensor(factor)), offset: Some(Param::from_tensor(offset)) }
    }
}

/// Two 3 x 3 convolutions whose sum with the input is the output (He et al. 2016).
#[derive(Module, Debug)]
pub(crate) struct Residual {
    first: Normalised,
    second: Normalised,
}

impl Residual {
    pub(crate) fn new(channels: usize, device: &Device) -> Self {
        let convolution = || Normalised::new([channels, channels], 3, 1, device);
        Self { first: convolution(), second: convolution() }
    }

    /// `[N, C, H, W]` to the same shape.
    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let branch = self.second.forward(relu(self.first.forward(input.clone())));
        relu(input + branch)
    }

    pub(crate) fn folded(self) -> Self {
        Self { first: self.first.folded(), second: self.second.folded() }
    }
}

/// One block after the other.
pub(crate) fn through<B>(blocks: &[B], input: Tensor<4>, forward: impl Fn(&B, Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    blocks.iter().fold(input, |input, block| forward(block, input))
}

/// Every block folded.
pub(crate) fn all_folded<B>(blocks: Vec<B>, folded: impl Fn(B) -> B) -> Vec<B> {
    blocks.into_iter().map(folded).collect()
}

/// Trained numbers that multiply a tensor.
pub(crate) fn scales(count: [usize; 1], value: f64, device: &Device) -> Param<Tensor<1>> {
    Initializer::Constant { value }.init(count, device)
}

/// Rows and columns resized by linear interpolation: a product with a constant matrix for each. Burn's own
/// interpolation has no backward pass on a GPU (burn-cubecl 0.22), and on a CPU it takes twice as long.
pub(crate) fn resized(input: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, rows, columns] = input.dims();
    if [rows, columns] == size {
        return input;
    }
    let device = input.device();
    let constant =
        |values: Vec<f32>, shape: [usize; 4]| Tensor::<4>::from_data(TensorData::new(values, shape), &device);
    let of_rows = (0..size[0]).flat_map(|row| shares(row, rows, size[0])).collect();
    let of_columns: Vec<Vec<f32>> = (0..size[1]).map(|column| shares(column, columns, size[1])).collect();
    // Multiplied from the right: the same matrix with its axes exchanged.
    let of_columns = (0..columns).flat_map(|column| of_columns.iter().map(move |shares| shares[column])).collect();
    // Rows first: burn transposes a map of a single row for the other product, which the exporter does not support.
    let high = constant(of_rows, [1, 1, size[0], rows]).matmul(input);
    high.matmul(constant(of_columns, [1, 1, columns, size[1]]))
}

/// What each of `before` places contributes to one of `after` places when a line of values is interpolated linearly:
/// places are the centres of cells, and the outermost values reach to the border.
fn shares(place: usize, before: usize, after: usize) -> Vec<f32> {
    let at = ((place as f64 + 0.5) * before as f64 / after as f64 - 0.5).clamp(0.0, (before - 1) as f64);
    (0..before).map(|index| (1.0 - (at - index as f64).abs()).max(0.0) as f32).collect()
}

/// The smooth rectifier `x * sigmoid(x)` (SiLU, Hendrycks and Gimpel 2016; "Swish").
pub(crate) fn silu(input: Tensor<4>) -> Tensor<4> {
    input.clone() * sigmoid(input)
}

/// The Gaussian rectifier: `x` times the normal distribution at `x` (GELU, Hendrycks and Gimpel 2016). The error
/// function is that of Abramowitz and Stegun 1964, formula 7.1.26, right to 1.5e-7; the exporter supports none.
pub(crate) fn gelu(input: Tensor<4>) -> Tensor<4> {
    const COEFFICIENTS: [f64; 5] = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    const SCALE: f64 = 0.327_591_1 * std::f64::consts::FRAC_1_SQRT_2;
    let positive = relu(input.clone());
    // Not `abs`: at 0 the gradient of this sum is one half, as that of the function.
    let magnitude = positive.clone().mul_scalar(2.0) - input.clone();
    let term = magnitude.clone().mul_scalar(SCALE).add_scalar(1.0);
    // Its inverse; the exporter supports no division of a number.
    let term = term.clone() / (term.clone() * term);
    let [first, rest @ ..] = COEFFICIENTS;
    let sum = rest.into_iter().fold(term.clone().mul_scalar(first), |sum, next| sum.add_scalar(next) * term.clone());
    let tail = sum * (input.clone() * input).mul_scalar(-0.5).exp();
    positive - magnitude.mul_scalar(0.5) * tail
}

/// Logits squeezed into a range whose exponentials are safe; near zero it is the identity.
pub(crate) fn bounded<const D: usize>(logits: Tensor<D>) -> Tensor<D> {
    logits.div_scalar(LOGIT_BOUND).tanh().mul_scalar(LOGIT_BOUND)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;
    use burn::tensor::module::interpolate;
    use burn::tensor::ops::{InterpolateMode, InterpolateOptions};

    use super::*;

    #[test]
    fn maps_of_any_size_are_resized_as_burn_interpolates_them() {
        let _drawing = crate::learn::train::generator::shared();
        for (before, after) in
            [([3, 4], [6, 8]), ([3, 5], [5, 9]), ([23, 12], [45, 24]), ([9, 7], [4, 7]), ([1, 1], [2, 3])]
        {
            let input = Tensor::<4>::random([2, 3, before[0], before[1]], Distribution::Default, &Device::flex());
            let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
            let expected = interpolate(input.clone(), options.with_output_size(after));
            let difference = (resized(input, after) - expected).abs().max().into_scalar::<f32>();
            assert!(difference < 1e-6, "{before:?} to {after:?}: {difference}");
        }
    }

    #[test]
    fn the_gaussian_rectifier_is_exact() {
        let input = Tensor::<1>::from_floats([-9.0, -2.5, -1.0, -0.1, 0.0, 0.3, 1.0, 4.0], &Device::flex());
        let expected = burn::tensor::activation::gelu(input.clone());
        let found: Tensor<1> = gelu(input.reshape([1, 8, 1, 1])).reshape([8]);
        let difference = (found - expected).abs().max().into_scalar::<f32>();
        assert!(difference < 5e-7, "{difference}");
    }

    #[test]
    fn folding_changes_no_output() {
        let _drawing = crate::learn::train::generator::shared();
        let device = Device::flex();
        device.seed(3);
        let training = device.clone().autodiff();
        let block = Residual::new(4, &training);
        let random = |device: &Device| Tensor::<4>::random([6, 4, 9, 7], Distribution::Normal(3.0, 2.0), device);
        for _ in 0..20 {
            block.forward(random(&training));
        }
        let block = block.valid();
        let input = random(&device);
        let expected = block.forward(input.clone());
        let difference = (block.folded().forward(input.clone()) - expected.clone()).abs().max().into_scalar::<f32>();
        let untrained = (Residual::new(4, &device).forward(input) - expected).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-4, "{difference}");
        assert!(untrained > 0.1, "the statistics matter: {untrained}");
    }
}
