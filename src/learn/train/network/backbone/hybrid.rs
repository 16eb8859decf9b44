//! Convolutions, then attention (the idea of CoAtNet, Dai et al. 2021, arXiv 2106.04803): inverted residual blocks at
//! quarter and eighth of the resolution, transformer blocks at a sixteenth and a 32nd. At multipliers of 1 it has the
//! widths and depths of CoAtNet-0.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::inverted::{Inverted, Shape};
use super::levels::Levels;
use super::transformer::{ChannelNorm, Transformer};
use crate::learn::train::configuration::Multipliers;
use crate::learn::train::network::blocks::{Normalised, all_folded, through};

const STEM: usize = 64;
/// Channels and blocks of the stages of convolutions and of those of attention.
const CONVOLUTIONS: [(usize, usize); 2] = [(96, 2), (192, 3)];
const ATTENTION: [(usize, usize); 2] = [(384, 5), (768, 2)];
const EXPANSION: usize = 4;

/// A stem, two stages of convolutions, two of attention.
#[derive(Module, Debug)]
pub(crate) struct Hybrid {
    stem: Vec<Normalised>,
    convolutions: Vec<Vec<Inverted>>,
    attention: Vec<AttentionStage>,
}

/// Half the resolution, then transformer blocks.
#[derive(Module, Debug)]
struct AttentionStage {
    down: Normalised,
    blocks: Vec<Transformer>,
    norm: ChannelNorm,
}

impl Hybrid {
    pub(super) fn new(size: Multipliers, channels: usize, device: &Device) -> Self {
        let stem = size.channels(STEM);
        let mut inputs = stem;
        let convolutions = CONVOLUTIONS.map(|(width, blocks)| {
            let outputs = size.channels(width);
            let blocks = (0..size.blocks(blocks)).map(|block| {
                let stride = if block == 0 { 2 } else { 1 };
                let channels = [std::mem::replace(&mut inputs, outputs), outputs];
                Inverted::new(Shape { channels, expansion: EXPANSION, kernel: 3, stride }, device)
            });
            blocks.collect()
        });
        let attention = ATTENTION.map(|(width, blocks)| {
            let outputs = size.channels(width);
            AttentionStage {
                down: Normalised::grouped([std::mem::replace(&mut inputs, outputs), outputs], 3, 2, 1, device),
                blocks: (0..size.blocks(blocks)).map(|_| Transformer::new(outputs, device)).collect(),
                norm: ChannelNorm::new(outputs, device),
            }
        });
        let stem = vec![
            Normalised::grouped([channels, stem], 3, 2, 1, device),
            Normalised::grouped([stem, stem], 3, 1, 1, device),
        ];
        Self { stem, convolutions: convolutions.into(), attention: attention.into() }
    }

    pub(super) fn channels(&self) -> Vec<usize> {
        let stem = self.stem.last().map(Normalised::outputs);
        let convolutions = self.convolutions.iter().filter_map(|blocks| blocks.last()).map(Inverted::outputs);
        stem.into_iter().chain(convolutions).chain(self.attention.iter().map(|stage| stage.down.outputs())).collect()
    }

    pub(super) fn forward(&self, slices: Tensor<4>) -> Levels {
        let stem = through(&self.stem, slices, |convolution, map| relu(convolution.forward(map)));
        let convolved = self
            .convolutions
            .iter()
            .fold(Levels::begin(stem), |levels, blocks| levels.then(|map| through(blocks, map, Inverted::forward)));
        self.attention.iter().fold(convolved, |levels, stage| {
            levels.then(|map| stage.norm.forward(through(&stage.blocks, stage.down.forward(map), Transformer::forward)))
        })
    }

    pub(super) fn folded(self) -> Self {
        let attention = self.attention.into_iter();
        Self {
            stem: all_folded(self.stem, Normalised::folded),
            convolutions: self.convolutions.into_iter().map(|blocks| all_folded(blocks, Inverted::folded)).collect(),
            attention: attention.map(|stage| AttentionStage { down: stage.down.folded(), ..stage }).collect(),
        }
    }
}
