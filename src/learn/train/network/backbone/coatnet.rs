//! CoAtNet-0 (Dai et al. 2021, arXiv 2106.04803) as timm has it in `coatnet_0_rw_224`, without its classifier:
//! convolutions at quarter and eighth of the resolution, attention at a sixteenth and a 32nd.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::{adaptive_avg_pool2d, avg_pool2d};
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor};

use super::levels::Levels;
use super::placed_attention::PlacedAttention;
use super::transformer::{ChannelNorm, projection};
use crate::learn::train::configuration::Multipliers;
use crate::learn::train::network::blocks::{
    Normalised, Standardised, all_folded, convolution, gelu, plain, silu, through,
};

/// Channels of the stem's two convolutions.
const STEM: [usize; 2] = [32, 64];
/// Channels and blocks of the stages of convolutions and of those of attention.
const CONVOLUTIONS: [(usize, usize); 2] = [(96, 2), (192, 3)];
const ATTENTION: [(usize, usize); 2] = [(384, 7), (768, 2)];
/// Blocks work in this many times their channels.
const EXPANSION: usize = 4;
/// The squeezed layer has this share of the channels of its block.
const SQUEEZE: usize = 4;

/// A CoAtNet without its classifier.
#[derive(Module, Debug)]
pub(crate) struct Coatnet {
    stem: Normalised,
    widen: Conv2d,
    convolutions: Vec<Vec<Convolving>>,
    attention: Vec<Vec<Attending>>,
    norm: ChannelNorm,
}

/// An inverted residual block that is normalised before its convolutions. Its channels are weighted by what the whole
/// map holds (Hu et al. 2018, doi 10.1109/CVPR.2018.00745).
#[derive(Module, Debug)]
struct Convolving {
    /// Present in the first block of a stage, which halves the resolution.
    shortcut: Option<Conv2d>,
    before: Standardised,
    expand: Normalised,
    depthwise: Conv2d,
    squeeze: Conv2d,
    excite: Conv2d,
    within: Standardised,
    project: Conv2d,
}

/// Attention, then a layer on each cell for itself, each added to its input.
#[derive(Module, Debug)]
struct Attending {
    /// Present in the first block of a stage, which halves the resolution.
    shortcut: Option<Conv2d>,
    before_attention: ChannelNorm,
    attention: PlacedAttention,
    before_layer: ChannelNorm,
    expand: Conv2d,
    contract: Conv2d,
}

/// Rows and columns halved: the mean of each 2 x 2 cells.
fn halved(map: Tensor<4>) -> Tensor<4> {
    avg_pool2d(map, AvgPoolOptions::new([2, 2]).with_stride([2, 2]))
}

impl Coatnet {
    /// For slices of `channels` channels with `extent` rows and columns.
    pub(super) fn new(size: Multipliers, channels: usize, extent: [usize; 2], device: &Device) -> Self {
        let stem = STEM.map(|width| size.channels(width));
        let mut inputs = stem[1];
        let mut next = |width| {
            let outputs = size.channels(width);
            [std::mem::replace(&mut inputs, outputs), outputs]
        };
        let convolutions = CONVOLUTIONS.map(|(width, blocks)| {
            (0..size.blocks(blocks)).map(|block| Convolving::new(next(width), block == 0, device)).collect()
        });
        let mut cells = extent.map(|length| length / 8);
        let attention = ATTENTION.map(|(width, blocks)| {
            cells = cells.map(|length| length / 2);
            (0..size.blocks(blocks)).map(|block| Attending::new(next(width), cells, block == 0, device)).collect()
        });
        Self {
            stem: Normalised::grouped([channels, stem[0]], 3, 2, 1, device),
            widen: plain(stem, 3, 1, device),
            convolutions: convolutions.into(),
            attention: attention.into(),
            norm: ChannelNorm::new(inputs, device),
        }
    }

    pub(super) fn channels(&self) -> Vec<usize> {
        let outputs = |convolution: &Conv2d| convolution.weight.dims()[0];
        let convolutions = self.convolutions.iter().filter_map(|blocks| blocks.last()).map(|block| &block.project);
        let attention = self.attention.iter().filter_map(|blocks| blocks.last()).map(|block| &block.contract);
        std::iter::once(&self.widen).chain(convolutions).chain(attention).map(outputs).collect()
    }

    /// Rows and columns of the maps whose cells attend to each other, by stage.
    pub(in crate::learn::train::network) fn windows(&self) -> Vec<[usize; 2]> {
        self.attention.iter().filter_map(|blocks| blocks.last()).map(|block| block.attention.window()).collect()
    }

    pub(super) fn forward(&self, slices: Tensor<4>) -> Levels {
        let stem = Levels::begin(self.widen.forward(silu(self.stem.forward(slices))));
        let convolved = self
            .convolutions
            .iter()
            .fold(stem, |levels, blocks| levels.then(|map| through(blocks, map, Convolving::forward)));
        let attended = self
            .attention
            .iter()
            .fold(convolved, |levels, blocks| levels.then(|map| through(blocks, map, Attending::forward)));
        Levels { coarsest: self.norm.forward(attended.coarsest), ..attended }
    }

    pub(super) fn folded(self) -> Self {
        let folded = |blocks| all_folded(blocks, Convolving::folded);
        Self { stem: self.stem.folded(), convolutions: self.convolutions.into_iter().map(folded).collect(), ..self }
    }
}

impl Convolving {
    fn new([inputs, outputs]: [usize; 2], halves: bool, device: &Device) -> Self {
        let within = EXPANSION * inputs;
        Self {
            shortcut: halves.then(|| plain([inputs, outputs], 1, 1, device)),
            before: Standardised::new(inputs, device),
            expand: Normalised::grouped([inputs, within], 1, 1, 1, device),
            depthwise: plain([within, within], 3, within, device),
            squeeze: convolution([within, within / SQUEEZE], 1, 1, device),
            excite: convolution([within / SQUEEZE, within], 1, 1, device),
            within: Standardised::new(within, device),
            project: plain([within, outputs], 1, 1, device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let map = silu(self.before.forward(input.clone()));
        let (skipped, map) = match &self.shortcut {
            Some(shortcut) => (shortcut.forward(halved(input)), halved(map)),
            None => (input, map),
        };
        let map = self.depthwise.forward(silu(self.expand.forward(map)));
        let whole = relu(self.squeeze.forward(adaptive_avg_pool2d(map.clone(), [1, 1])));
        let map = silu(self.within.forward(map * sigmoid(self.excite.forward(whole))));
        skipped + self.project.forward(map)
    }

    fn folded(self) -> Self {
        Self { before: self.before.folded(), expand: self.expand.folded(), within: self.within.folded(), ..self }
    }
}

impl Attending {
    fn new([inputs, outputs]: [usize; 2], cells: [usize; 2], halves: bool, device: &Device) -> Self {
        Self {
            shortcut: halves.then(|| plain([inputs, outputs], 1, 1, device)),
            before_attention: ChannelNorm::new(inputs, device),
            attention: PlacedAttention::new([inputs, outputs], cells, device),
            before_layer: ChannelNorm::new(outputs, device),
            expand: projection([outputs, EXPANSION * outputs], device),
            contract: projection([EXPANSION * outputs, outputs], device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let map = self.before_attention.forward(input.clone());
        let (skipped, map) = match &self.shortcut {
            Some(shortcut) => (shortcut.forward(halved(input)), halved(map)),
            None => (input, map),
        };
        let map = skipped + self.attention.forward(map);
        map.clone() + self.contract.forward(gelu(self.expand.forward(self.before_layer.forward(map))))
    }
}
