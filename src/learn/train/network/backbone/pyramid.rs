//! A small fully convolutional pyramid.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::levels::Levels;
use crate::learn::train::network::blocks::{Normalised, Residual, all_folded, through};

/// Residual blocks at half, quarter and eighth of the input's resolution; each cell sees about a third of the slice.
#[derive(Module, Debug)]
pub(crate) struct Pyramid {
    stem: Normalised,
    fine: Vec<Residual>,
    to_middle: Normalised,
    middle: Vec<Residual>,
    to_coarse: Normalised,
    coarse: Vec<Residual>,
}

impl Pyramid {
    pub(super) fn new(widths: [usize; 3], blocks: [usize; 3], channels: usize, device: &Device) -> Self {
        let [fine, middle, coarse] = widths;
        let blocks = |level: usize, width| (0..blocks[level]).map(|_| Residual::new(width, device)).collect();
        Self {
            stem: Normalised::new([channels, fine], 5, 2, device),
            fine: blocks(0, fine),
            to_middle: Normalised::new([fine, middle], 3, 2, device),
            middle: blocks(1, middle),
            to_coarse: Normalised::new([middle, coarse], 3, 2, device),
            coarse: blocks(2, coarse),
        }
    }

    pub(super) fn channels(&self) -> Vec<usize> {
        [&self.stem, &self.to_middle, &self.to_coarse].map(Normalised::outputs).to_vec()
    }

    pub(super) fn forward(&self, slices: Tensor<4>) -> Levels {
        let stage = |down: &Normalised, blocks, map| through(blocks, relu(down.forward(map)), Residual::forward);
        Levels::begin(stage(&self.stem, &self.fine, slices))
            .then(|fine| stage(&self.to_middle, &self.middle, fine))
            .then(|middle| stage(&self.to_coarse, &self.coarse, middle))
    }

    pub(super) fn folded(self) -> Self {
        Self {
            stem: self.stem.folded(),
            fine: all_folded(self.fine, Residual::folded),
            to_middle: self.to_middle.folded(),
            middle: all_folded(self.middle, Residual::folded),
            to_coarse: self.to_coarse.folded(),
            coarse: all_folded(self.coarse, Residual::folded),
        }
    }
}
