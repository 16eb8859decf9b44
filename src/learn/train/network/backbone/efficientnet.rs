//! EfficientNetV2-S (Tan and Le 2021, arXiv 2104.00298) as timm has it in `tf_efficientnetv2_s`, without its classifier.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::inverted::{Fused, Inverted, Shape};
use super::levels::Levels;
use crate::learn::train::configuration::Multipliers;
use crate::learn::train::network::blocks::{Normalised, all_folded, silu, through};

const STEM: usize = 24;
/// Channels of the last layer.
const LAST: usize = 1280;
/// Expansion, channels, blocks, stride of the first block of each stage of fused blocks, and of the others (table 4).
const FUSED: [(usize, usize, usize, usize); 3] = [(1, 24, 2, 1), (4, 48, 4, 2), (4, 64, 4, 2)];
const INVERTED: [(usize, usize, usize, usize); 3] = [(4, 128, 6, 2), (6, 160, 9, 1), (6, 256, 15, 2)];

/// An EfficientNet without its classifier.
#[derive(Module, Debug)]
pub(crate) struct Efficientnet {
    stem: Normalised,
    /// Stages at half, quarter and eighth of the resolution.
    fused: Vec<Vec<Fused>>,
    /// Two stages at a sixteenth, one at a 32nd.
    inverted: Vec<Vec<Inverted>>,
    last: Normalised,
}

impl Efficientnet {
    pub(super) fn new(size: Multipliers, channels: usize, device: &Device) -> Self {
        let stem = size.channels(STEM);
        let mut inputs = stem;
        let mut shapes = |(expansion, width, blocks, stride)| -> Vec<Shape> {
            let outputs = size.channels(width);
            let shape = |block| Shape {
                channels: [std::mem::replace(&mut inputs, outputs), outputs],
                expansion,
                stride: if block == 0 { stride } else { 1 },
            };
            (0..size.blocks(blocks)).map(shape).collect()
        };
        let fused =
            FUSED.map(|stage| shapes(stage).into_iter().map(|shape| Fused::new(shape, device)).collect()).into();
        let inverted =
            INVERTED.map(|stage| shapes(stage).into_iter().map(|shape| Inverted::new(shape, device)).collect()).into();
        Self {
            stem: Normalised::of_tensorflow([channels, stem], 3, 2, 1, device),
            fused,
            inverted,
            last: Normalised::of_tensorflow([inputs, size.channels(LAST)], 1, 1, 1, device),
        }
    }

    pub(super) fn channels(&self) -> Vec<usize> {
        let fused = self.fused.iter().filter_map(|blocks| blocks.last()).map(Fused::outputs);
        let sixteenth = self.inverted.get(1).and_then(|blocks| blocks.last()).map(Inverted::outputs);
        fused.chain(sixteenth).chain([self.last.outputs()]).collect()
    }

    pub(super) fn forward(&self, slices: Tensor<4>) -> Levels {
        let fused = |levels: Levels, blocks: &Vec<Fused>| levels.then(|map| through(blocks, map, Fused::forward));
        let inverted = |stage: usize, map| through(&self.inverted[stage], map, Inverted::forward);
        let finest = through(&self.fused[0], silu(self.stem.forward(slices)), Fused::forward);
        self.fused[1..]
            .iter()
            .fold(Levels::begin(finest), fused)
            .then(|map| inverted(1, inverted(0, map)))
            .then(|map| silu(self.last.forward(inverted(2, map))))
    }

    pub(super) fn folded(self) -> Self {
        Self {
            stem: self.stem.folded(),
            fused: self.fused.into_iter().map(|blocks| all_folded(blocks, Fused::folded)).collect(),
            inverted: self.inverted.into_iter().map(|blocks| all_folded(blocks, Inverted::folded)).collect(),
            last: self.last.folded(),
        }
    }
}
