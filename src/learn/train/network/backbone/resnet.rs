//! Deep residual learning (He et al. 2016, doi 10.1109/CVPR.2016.90), laid out as in torchvision: the stride of a
//! bottleneck lies on its 3 x 3 convolution, convolutions have no offset.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};

use super::levels::Levels;
use crate::learn::train::configuration::Multipliers;
use crate::learn::train::network::blocks::{Normalised, all_folded, through};

/// Channels of the stem and of the blocks of each stage.
const STEM: usize = 64;
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// A bottleneck outputs this many times the channels that it works in.
const EXPANSION: usize = 4;

/// What distinguishes one ResNet from another.
pub(super) struct Variant {
    bottleneck: bool,
    blocks: [usize; 4],
}

pub(super) const RESNET_18: Variant = Variant { bottleneck: false, blocks: [2, 2, 2, 2] };
pub(super) const RESNET_34: Variant = Variant { bottleneck: false, blocks: [3, 4, 6, 3] };
pub(super) const RESNET_50: Variant = Variant { bottleneck: true, blocks: [3, 4, 6, 3] };

/// A ResNet without its classifier.
#[derive(Module, Debug)]
pub(crate) struct Resnet {
    pub(in crate::learn::train::network) stem: Normalised,
    pub(in crate::learn::train::network) stages: Vec<Vec<Block>>,
}

/// Convolutions one after another, whose sum with the input is the output.
#[derive(Module, Debug)]
pub(in crate::learn::train::network) struct Block {
    convolutions: Vec<Normalised>,
    shortcut: Option<Normalised>,
}

impl Resnet {
    pub(super) fn new(variant: &Variant, size: Multipliers, channels: usize, device: &Device) -> Self {
        let stem = size.channels(STEM);
        let mut inputs = stem;
        let mut stages = Vec::with_capacity(WIDTHS.len());
        for (stage, width) in WIDTHS.into_iter().enumerate() {
            let width = size.channels(width);
            let blocks = (0..size.blocks(variant.blocks[stage])).map(|block| {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let block = Block::new(variant.bottleneck, inputs, width, stride, device);
                inputs = block.outputs();
                block
            });
            stages.push(blocks.collect());
        }
        Self { stem: Normalised::grouped([channels, stem], 7, 2, 1, device), stages }
    }

    pub(super) fn channels(&self) -> Vec<usize> {
        let stages = self.stages.iter().filter_map(|blocks| blocks.last()).map(Block::outputs);
        std::iter::once(self.stem.outputs()).chain(stages).collect()
    }

    pub(super) fn forward(&self, slices: Tensor<4>) -> Levels {
        let stem = relu(self.stem.forward(slices));
        let pooled = |map| max_pool2d(map, MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]));
        self.stages.iter().enumerate().fold(Levels::begin(stem), |levels, (stage, blocks)| {
            levels.then(|map| through(blocks, if stage == 0 { pooled(map) } else { map }, Block::forward))
        })
    }

    pub(super) fn folded(self) -> Self {
        let folded = |blocks| all_folded(blocks, Block::folded);
        Self { stem: self.stem.folded(), stages: self.stages.into_iter().map(folded).collect() }
    }
}

impl Block {
    /// Two 3 x 3 convolutions, or a 3 x 3 convolution between two of 1 x 1.
    fn new(bottleneck: bool, inputs: usize, width: usize, stride: usize, device: &Device) -> Self {
        let layers: &[(usize, usize, usize, usize)] = if bottleneck {
            &[(inputs, width, 1, 1), (width, width, 3, stride), (width, EXPANSION * width, 1, 1)]
        } else {
            &[(inputs, width, 3, stride), (width, width, 3, 1)]
        };
        let normalised = |&(inputs, outputs, kernel, stride): &(usize, usize, usize, usize)| {
            Normalised::grouped([inputs, outputs], kernel, stride, 1, device)
        };
        let convolutions: Vec<Normalised> = layers.iter().map(normalised).collect();
        let outputs = if bottleneck { EXPANSION * width } else { width };
        let shortcut =
            (stride > 1 || inputs != outputs).then(|| Normalised::grouped([inputs, outputs], 1, stride, 1, device));
        Self { convolutions, shortcut }
    }

    fn outputs(&self) -> usize {
        self.convolutions.last().map_or(0, Normalised::outputs)
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let mut branch = input.clone();
        for (index, convolution) in self.convolutions.iter().enumerate() {
            branch = convolution.forward(if index == 0 { branch } else { relu(branch) });
        }
        let skipped = match &self.shortcut {
            Some(shortcut) => shortcut.forward(input),
            None => input,
        };
        relu(branch + skipped)
    }

    fn folded(self) -> Self {
        Self {
            convolutions: all_folded(self.convolutions, Normalised::folded),
            shortcut: self.shortcut.map(Normalised::folded),
        }
    }
}
