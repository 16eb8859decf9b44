//! EfficientNet (Tan and Le 2019, arXiv 1905.11946); at multipliers of 1 it is B0 without its classifier.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::inverted::{Inverted, Shape};
use super::levels::Levels;
use crate::learn::train::configuration::Multipliers;
use crate::learn::train::network::blocks::{Normalised, all_folded, silu, through};

const STEM: usize = 32;
/// Expansion, channels, blocks, stride of the first block, kernel of each stage (table 1).
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
];

/// An EfficientNet without its classifier.
#[derive(Module, Debug)]
pub(crate) struct Efficientnet {
    stem: Normalised,
    /// Blocks at the stem's resolution.
    finest: Vec<Inverted>,
    /// Blocks at each coarser resolution.
    coarser: Vec<Vec<Inverted>>,
}

impl Efficientnet {
    pub(super) fn new(size: Multipliers, channels: usize, device: &Device) -> Self {
        let stem = size.channels(STEM);
        let mut inputs = stem;
        let (mut finest, mut coarser) = (Vec::new(), Vec::<Vec<Inverted>>::new());
        for (expansion, width, blocks, stride, kernel) in STAGES {
            let outputs = size.channels(width);
            for block in 0..size.blocks(blocks) {
                let stride = if block == 0 { stride } else { 1 };
                if stride > 1 {
                    coarser.push(Vec::new());
                }
                let shape = Shape { channels: [inputs, outputs], expansion, kernel, stride };
                coarser.last_mut().unwrap_or(&mut finest).push(Inverted::new(shape, device));
                inputs = outputs;
            }
        }
        Self { stem: Normalised::grouped([channels, stem], 3, 2, 1, device), finest, coarser }
    }

    pub(super) fn channels(&self) -> Vec<usize> {
        let levels = std::iter::once(&self.finest).chain(&self.coarser);
        levels.filter_map(|blocks| blocks.last()).map(Inverted::outputs).collect()
    }

    pub(super) fn forward(&self, slices: Tensor<4>) -> Levels {
        let finest = through(&self.finest, silu(self.stem.forward(slices)), Inverted::forward);
        self.coarser
            .iter()
            .fold(Levels::begin(finest), |levels, blocks| levels.then(|map| through(blocks, map, Inverted::forward)))
    }

    pub(super) fn folded(self) -> Self {
        let folded = |blocks| all_folded(blocks, Inverted::folded);
        Self {
            stem: self.stem.folded(),
            finest: folded(self.finest),
            coarser: self.coarser.into_iter().map(folded).collect(),
        }
    }
}
