//! ViT-B/16 (Dosovitskiy et al. 2021, arXiv 2010.11929) as timm has it in `vit_base_patch16_224`, without its classifier.
//!
//! Its patches are 16 pixels wide, wider than an embolus. Convolutions beside the transformer give the fine maps that the
//! evidence is read from (Chen et al. 2023, arXiv 2205.08534, section 3.3); no file has weights for them.

use burn::module::{Initializer, Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::levels::Levels;
use super::transformer::{ChannelNorm, attended, heads, part, projection};
use crate::learn::train::configuration::{Multipliers, PATCH};
use crate::learn::train::network::blocks::{Normalised, all_folded, gelu, through};

const WIDTH: usize = 768;
const BLOCKS: usize = 12;
/// Channels of an attention head, where there are that many.
const OF_HEAD: usize = 64;
/// The layer between the two projections of a block is this many times as wide.
const EXPANSION: usize = 4;
/// Channels of the convolutions at half, quarter and eighth of the resolution.
const FINE: [usize; 3] = [24, 48, 96];

/// A transformer on patches, and the convolutions beside it.
#[derive(Module, Debug)]
pub(crate) struct VisionTransformer {
    fine: Vec<Normalised>,
    /// What published weights are for.
    pub(in crate::learn::train::network) transformer: PatchTransformer,
}

/// Transformer blocks on the patches of a slice and the class token, which comes before them.
#[derive(Module, Debug)]
pub(crate) struct PatchTransformer {
    patches: Conv2d,
    /// `[C, 1 + cells]`: the class token, then the embedding of each patch's place, row by row.
    places: Param<Tensor<2>>,
    blocks: Vec<Block>,
    norm: ChannelNorm,
    rows: usize,
    columns: usize,
}

/// Attention, then a layer on each token for itself, each added to its input.
#[derive(Module, Debug)]
struct Block {
    before_attention: ChannelNorm,
    /// The queries of all heads, then the keys, then the values.
    projections: Conv2d,
    output: Conv2d,
    before_layer: ChannelNorm,
    expand: Conv2d,
    contract: Conv2d,
    heads: usize,
}

impl VisionTransformer {
    /// For slices of `channels` channels with `extent` rows and columns.
    pub(super) fn new(size: Multipliers, channels: usize, extent: [usize; 2], device: &Device) -> Self {
        let [half, quarter, eighth] = FINE.map(|width| size.channels(width));
        let down = |channels| Normalised::grouped(channels, 3, 2, 1, device);
        Self {
            fine: vec![down([channels, half]), down([half, quarter]), down([quarter, eighth])],
            transformer: PatchTransformer::new(size, channels, extent, device),
        }
    }

    pub(super) fn channels(&self) -> Vec<usize> {
        let fine = self.fine.iter().map(Normalised::outputs);
        fine.chain([self.transformer.patches.weight.dims()[0]]).collect()
    }

    pub(super) fn forward(&self, slices: Tensor<4>) -> Levels {
        let coarsest = self.transformer.forward(slices.clone());
        let finer = self.fine.iter().scan(slices, |map, convolution| {
            *map = relu(convolution.forward(map.clone()));
            Some(map.clone())
        });
        Levels { finer: finer.collect(), coarsest }
    }

    pub(super) fn folded(self) -> Self {
        Self { fine: all_folded(self.fine, Normalised::folded), ..self }
    }
}

impl PatchTransformer {
    fn new(size: Multipliers, channels: usize, extent: [usize; 2], device: &Device) -> Self {
        let width = size.channels(WIDTH);
        let [rows, columns] = extent.map(|length| length / PATCH);
        let places = Initializer::Normal { mean: 0.0, std: 0.02 }.init([width, 1 + rows * columns], device);
        Self {
            patches: Conv2dConfig::new([channels, width], [PATCH, PATCH])
                .with_stride([PATCH, PATCH])
                .with_initializer(Initializer::XavierUniform { gain: 1.0 })
                .init(device),
            places,
            blocks: (0..size.blocks(BLOCKS)).map(|_| Block::new(width, device)).collect(),
            norm: ChannelNorm::new(width, device),
            rows,
            columns,
        }
    }

    /// Rows and columns of the patches of a whole slice.
    pub(in crate::learn::train::network) fn window(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Slices `[N, C, H, W]` to the normalised patches `[N, C', H / 16, W / 16]`, without the class token.
    fn forward(&self, slices: Tensor<4>) -> Tensor<4> {
        let map = self.patches.forward(slices);
        let [count, channels, rows, columns] = map.dims();
        let cells = rows * columns;
        // The class token has no pixels: zeros, to which its values are added.
        let tokens = map.reshape([count, channels, cells, 1]).pad((0, 0, 1, 0), 0.0) + self.places([rows, columns]);
        let tokens = self.norm.forward(through(&self.blocks, tokens, Block::forward));
        part(&tokens, 2, [1, 1 + cells]).reshape([count, channels, rows, columns])
    }

    /// `[1, C, 1 + cells, 1]`: what is added to the tokens. Parts of a slice are placed in its middle.
    fn places(&self, [rows, columns]: [usize; 2]) -> Tensor<4> {
        let places = self.places.val();
        let [channels, _] = places.dims();
        let tokens = 1 + rows * columns;
        if [rows, columns] == self.window() {
            return places.reshape([1, channels, tokens, 1]);
        }
        let [above, before] = [(self.rows - rows) / 2, (self.columns - columns) / 2];
        let of_cell = |cell: usize| (1 + (above + cell / columns) * self.columns + before + cell % columns) as i64;
        let chosen: Vec<i64> = std::iter::once(0).chain((0..rows * columns).map(of_cell)).collect();
        let chosen = Tensor::<1, Int>::from_data(TensorData::new(chosen, [tokens]), &places.device());
        places.select(1, chosen).reshape([1, channels, tokens, 1])
    }
}

impl Block {
    fn new(width: usize, device: &Device) -> Self {
        Self {
            before_attention: ChannelNorm::new(width, device),
            projections: projection([width, 3 * width], device),
            output: projection([width, width], device),
            before_layer: ChannelNorm::new(width, device),
            expand: projection([width, EXPANSION * width], device),
            contract: projection([EXPANSION * width, width], device),
            heads: heads(width, OF_HEAD),
        }
    }

    fn forward(&self, tokens: Tensor<4>) -> Tensor<4> {
        let tokens = tokens.clone() + self.attention(self.before_attention.forward(tokens));
        tokens.clone() + self.contract.forward(gelu(self.expand.forward(self.before_layer.forward(tokens))))
    }

    fn attention(&self, tokens: Tensor<4>) -> Tensor<4> {
        let shape = tokens.dims();
        let [count, channels, length, _] = shape;
        let projected =
            self.projections.forward(tokens).reshape([count, 3 * self.heads, channels / self.heads, length]);
        let parts = [0, 1, 2].map(|kind| part(&projected, 1, [kind * self.heads, (kind + 1) * self.heads]));
        self.output.forward(attended(parts, None).reshape(shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::train::configuration::TrainConfiguration;

    #[test]
    fn a_part_of_a_slice_has_the_places_of_its_middle() {
        let small = ["encoder.architecture=vit_base_patch16", "encoder.width=0.01"].map(str::to_owned);
        let configuration = TrainConfiguration::load(None, &small).expect("valid settings");
        let transformer = PatchTransformer::new(configuration.encoder.multipliers(), 1, [64, 80], &Device::flex());
        let values = |places: Tensor<4>| places.into_data().iter::<f32>().collect::<Vec<f32>>();
        let (whole, part) = (values(transformer.places([4, 5])), values(transformer.places([2, 1])));
        // The class token, then the third cell of the second and of the third of four rows.
        let expected = [whole[0], whole[1 + 5 + 2], whole[1 + 10 + 2]];
        assert_eq!(part[..3].iter().map(|value| value.to_bits()).collect::<Vec<_>>(), expected.map(f32::to_bits));
    }
}
