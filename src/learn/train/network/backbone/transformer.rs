//! Attention between the cells of a feature map (Vaswani et al. 2017, arXiv 1706.03762; Dosovitskiy et al. 2021, arXiv
//! 2010.11929), on maps `[N, C, h, w]` throughout: projections are 1 x 1 convolutions.

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::learn::train::network::blocks::{bounded, depthwise, gelu, scales};

/// Channels of an attention head, where there are that many.
const OF_HEAD: usize = 32;
/// The layer between the two projections of a block is this many times as wide.
const EXPANSION: usize = 4;
/// That of the published transformers.
const EPSILON: f64 = 1e-6;

/// Attention, then a layer on each cell for itself, each added to its input. A depthwise convolution encodes where
/// cells lie (Chu et al. 2021, arXiv 2102.10882), so that maps of any size can be read.
#[derive(Module, Debug)]
pub(super) struct Transformer {
    place: Conv2d,
    before_attention: ChannelNorm,
    attention: Attention,
    before_layer: ChannelNorm,
    expand: Conv2d,
    contract: Conv2d,
}

impl Transformer {
    pub(super) fn new(channels: usize, device: &Device) -> Self {
        Self {
            place: depthwise(channels, 3, device),
            before_attention: ChannelNorm::new(channels, device),
            attention: Attention::new(channels, device),
            before_layer: ChannelNorm::new(channels, device),
            expand: projection([channels, EXPANSION * channels], device),
            contract: projection([EXPANSION * channels, channels], device),
        }
    }

    pub(super) fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let map = map.clone() + self.place.forward(map);
        let map = map.clone() + self.attention.forward(self.before_attention.forward(map));
        map.clone() + self.contract.forward(gelu(self.expand.forward(self.before_layer.forward(map))))
    }
}

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

/// Attention with several heads.
#[derive(Module, Debug)]
struct Attention {
    query: Conv2d,
    key: Conv2d,
    value: Conv2d,
    output: Conv2d,
    heads: usize,
}

impl Attention {
    fn new(channels: usize, device: &Device) -> Self {
        let projected = || projection([channels, channels], device);
        Self { query: projected(), key: projected(), value: projected(), output: projected(), heads: heads(channels) }
    }

    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let [count, channels, rows, columns] = map.dims();
        let (each, cells) = (channels / self.heads, rows * columns);
        let of_heads = |values: Tensor<4>| values.reshape([count, self.heads, each, cells]);
        let query = of_heads(self.query.forward(map.clone()));
        let key = transposed(of_heads(self.key.forward(map.clone())));
        let value = of_heads(self.value.forward(map));
        // Keys along the rows, queries along the columns: each column's weights sum to 1.
        let weights = bounded(key.matmul(query).div_scalar((each as f64).sqrt())).exp();
        let weights = weights.clone() / weights.sum_dim(2);
        self.output.forward(value.matmul(weights).reshape([count, channels, rows, columns]))
    }
}

/// As many heads as divide the channels into parts of [`OF_HEAD`] or somewhat more.
pub(super) fn heads(channels: usize) -> usize {
    (1..=channels / OF_HEAD).rev().find(|heads| channels.is_multiple_of(*heads)).unwrap_or(1)
}

/// `[N, heads, rows, columns]` to `[N, heads, columns, rows]`. The exporter does not support transposing: the values
/// are picked in the new order from each head's row of values.
pub(super) fn transposed(input: Tensor<4>) -> Tensor<4> {
    let [count, heads, rows, columns] = input.dims();
    let order: Vec<i64> = (0..rows * columns).map(|place| (place % rows * columns + place / rows) as i64).collect();
    let order = Tensor::<1, Int>::from_data(TensorData::new(order, [rows * columns]), &input.device());
    input.reshape([count, heads, rows * columns]).select(2, order).reshape([count, heads, columns, rows])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

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
        assert_eq!([192, 384, 96, 64, 8, 40].map(heads), [6, 12, 3, 2, 1, 1]);
    }
}
