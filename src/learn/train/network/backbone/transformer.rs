//! Parts of transformers (Vaswani et al. 2017, arXiv 1706.03762), on maps `[N, C, h, w]` throughout: projections are 1 x 1
//! convolutions.

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::learn::train::network::blocks::scales;

/// That of the published transformers.
const EPSILON: f64 = 1e-6;
/// Largest distance of an attention logit from the mean of its query's: `exp(80)`, summed over a thousand cells, is
/// within `f32`. Weights of trained networks stay far below it.
const LARGEST: f64 = 80.0;

/// A layer on each cell for itself.
pub(super) fn projection(channels: [usize; 2], device: &Device) -> Conv2d {
    Conv2dConfig::new(channels, [1, 1]).with_initializer(Initializer::XavierUniform { gain: 1.0 }).init(device)
}

/// Each cell's channels normalised to mean 0 and variance 1, then scaled and shifted (Ba et al. 2016, arXiv
/// 1607.06450).
#[derive(Module, Debug)]
pub(super) struct ChannelNorm {
    factor: Param<Tensor<1>>,
    offset: Param<Tensor<1>>,
}

impl ChannelNorm {
    pub(super) fn new(channels: usize, device: &Device) -> Self {
        Self { factor: scales([channels], 1.0, device), offset: scales([channels], 0.0, device) }
    }

    pub(super) fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let [_, channels, _, _] = map.dims();
        let mean = |values: Tensor<4>| values.sum_dim(1).div_scalar(channels as f64);
        let centred = map.clone() - mean(map);
        let deviation = mean(centred.clone() * centred.clone()).add_scalar(EPSILON).sqrt();
        let of_channel = |values: &Param<Tensor<1>>| values.val().reshape([1, channels, 1, 1]);
        centred / deviation * of_channel(&self.factor) + of_channel(&self.offset)
    }
}

/// What each cell attends to: query, key and value `[N, heads, channels of a head, cells]` to a map of that shape.
/// `biases` `[1, heads, keys, queries]` are added to the logits.
pub(super) fn attended([query, key, value]: [Tensor<4>; 3], biases: Option<Tensor<4>>) -> Tensor<4> {
    let [_, _, each, cells] = query.dims();
    // A product with a single row would be transposed by burn, which the exporter does not support.
    let products = if cells == 1 { (key * query).sum_dim(2) } else { transposed(key).matmul(query) };
    let logits = products.div_scalar((each as f64).sqrt());
    value.matmul(shares(match biases {
        Some(biases) => logits + biases,
        None => logits,
    }))
}

/// `[N, A, ...]` to the part of numbers `from..to` along an axis. Selected, as an exported slice would hold the number of
/// images.
pub(super) fn part(map: &Tensor<4>, axis: usize, [from, to]: [usize; 2]) -> Tensor<4> {
    map.clone().select(axis, Tensor::arange(from as i64..to as i64, &map.device()))
}

/// As many heads as divide the channels into parts of `of_head` or somewhat more.
pub(super) fn heads(channels: usize, of_head: usize) -> usize {
    (1..=channels / of_head).rev().find(|heads| channels.is_multiple_of(*heads)).unwrap_or(1)
}

/// `[N, heads, rows, columns]` to `[N, heads, columns, rows]`. The exporter does not support transposing: the values
/// are picked in the new order from each head's row of values.
fn transposed(input: Tensor<4>) -> Tensor<4> {
    let [count, heads, rows, columns] = input.dims();
    let order: Vec<i64> = (0..rows * columns).map(|place| (place % rows * columns + place / rows) as i64).collect();
    let order = Tensor::<1, Int>::from_data(TensorData::new(order, [rows * columns]), &input.device());
    input.reshape([count, heads, rows * columns]).select(2, order).reshape([count, heads, columns, rows])
}

/// Logits `[N, heads, keys, queries]` to weights that sum to 1 over the keys (softmax). The mean is subtracted and what
/// lies beyond [`LARGEST`] is cut off by rectifiers, as the exporter supports no maximum.
fn shares(logits: Tensor<4>) -> Tensor<4> {
    let [_, _, keys, _] = logits.dims();
    let centred = logits.clone() - logits.sum_dim(2).div_scalar(keys as f64);
    let above = relu(centred.clone().sub_scalar(LARGEST));
    let below = relu(centred.clone().neg().sub_scalar(LARGEST));
    let odds = (centred - above + below).exp();
    odds.clone() / odds.sum_dim(2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;
    use burn::tensor::activation::softmax;

    use super::*;

    #[test]
    fn picking_values_transposes() {
        let _drawing = crate::learn::train::generator::shared();
        let input = Tensor::<4>::random([2, 3, 4, 5], Distribution::Default, &Device::flex());
        let difference = (transposed(input.clone()) - input.swap_dims(2, 3)).abs().max().into_scalar::<f32>();
        assert!(difference == 0.0, "{difference}");
    }

    #[test]
    fn heads_divide_the_channels() {
        assert_eq!([192, 384, 96, 64, 8, 40].map(|channels| heads(channels, 32)), [6, 12, 3, 2, 1, 1]);
        assert_eq!([768, 96].map(|channels| heads(channels, 64)), [12, 1]);
    }

    #[test]
    fn shares_are_a_softmax_over_the_keys_and_finite_whatever_the_logits() {
        let _drawing = crate::learn::train::generator::shared();
        let logits = Tensor::<4>::random([2, 2, 9, 4], Distribution::Normal(30.0, 10.0), &Device::flex());
        let difference = (shares(logits.clone()) - softmax(logits.clone(), 2)).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-5, "{difference}");
        let extreme = shares(logits.mul_scalar(1e6)).into_data();
        assert!(extreme.iter::<f32>().all(f32::is_finite));
    }
}
