//! A vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929) whose patches come from a convolutional stem (Xiao
//! et al. 2021, arXiv 2106.14881), which also gives the fine maps. At multipliers of 1 it is as large as DeiT-Ti.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::levels::Levels;
use super::transformer::{ChannelNorm, Transformer};
use crate::learn::train::configuration::Multipliers;
use crate::learn::train::network::blocks::{Normalised, all_folded, through};

/// Channels of the stem at half, quarter and eighth of the resolution; the last are those of the patches of 16 pixels.
const WIDTHS: [usize; 4] = [24, 48, 96, 192];
const BLOCKS: usize = 12;

/// A stem of convolutions, then transformer blocks at one resolution.
#[derive(Module, Debug)]
pub(crate) struct VisionTransformer {
    stem: Normalised,
    finer: Vec<Normalised>,
    patches: Normalised,
    blocks: Vec<Transformer>,
    norm: ChannelNorm,
}

impl VisionTransformer {
    pub(super) fn new(size: Multipliers, channels: usize, device: &Device) -> Self {
        let [half, quarter, eighth, width] = WIDTHS.map(|width| size.channels(width));
        let down = |channels| Normalised::grouped(channels, 3, 2, 1, device);
        Self {
            stem: down([channels, half]),
            finer: vec![down([half, quarter]), down([quarter, eighth])],
            patches: down([eighth, width]),
            blocks: (0..size.blocks(BLOCKS)).map(|_| Transformer::new(width, device)).collect(),
            norm: ChannelNorm::new(width, device),
        }
    }

    pub(super) fn channels(&self) -> Vec<usize> {
        let stem = std::iter::once(&self.stem).chain(&self.finer);
        stem.chain([&self.patches]).map(Normalised::outputs).collect()
    }

    pub(super) fn forward(&self, slices: Tensor<4>) -> Levels {
        let down = |convolution: &Normalised, map| relu(convolution.forward(map));
        let stem = Levels::begin(down(&self.stem, slices));
        let stem = self.finer.iter().fold(stem, |levels, convolution| levels.then(|map| down(convolution, map)));
        stem.then(|map| {
            let patches = down(&self.patches, map);
            self.norm.forward(through(&self.blocks, patches, Transformer::forward))
        })
    }

    pub(super) fn folded(self) -> Self {
        Self {
            stem: self.stem.folded(),
            finer: all_folded(self.finer, Normalised::folded),
            patches: self.patches.folded(),
            ..self
        }
    }
}
