//! Slices to an evidence map whose pooling is the slice logit, and to the features of the exam head.

use burn::module::{Initializer, Module};
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::blocks::{Normalised, Residual, all_folded, bounded, convolution, doubled};
use crate::learn::train::configuration::EncoderConfiguration;

/// Pixels along the side of an evidence cell.
pub(crate) const CELL: usize = 2;

/// A small fully convolutional pyramid. Evidence cells are two input pixels wide; each sees about a third of the slice.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    stem: Normalised,
    fine: Vec<Residual>,
    to_middle: Normalised,
    middle: Vec<Residual>,
    to_coarse: Normalised,
    coarse: Vec<Residual>,
    coarse_to_middle: Normalised,
    middle_to_fine: Normalised,
    merge: Normalised,
    evidence: Conv2d,
}

/// What the encoder gives for N slices.
pub(crate) struct Encoded {
    /// `[N, F]`: the slice logit first, then the context that the exam head reads.
    pub(crate) features: Tensor<2>,
    /// `[N, 1, h, w]`: logit of each cell; the logarithm of the sum of their exponentials is the slice logit.
    pub(crate) evidence: Tensor<4>,
}

impl Encoder {
    /// A new encoder of slices with `channels` channels and `size` rows and columns (multiples of 8).
    pub(crate) fn new(
        configuration: &EncoderConfiguration,
        channels: usize,
        size: [usize; 2],
        device: &Device,
    ) -> Self {
        let [fine, middle, coarse] = configuration.widths;
        let blocks =
            |level: usize, width| (0..configuration.blocks[level]).map(|_| Residual::new(width, device)).collect();
        let mut evidence = convolution([fine, 1], 1, 1, device);
        // At first every cell says the same and the slice logit is that of one in ten.
        let cells = (size[0] / CELL * (size[1] / CELL)) as f64;
        evidence.weight = Initializer::Normal { mean: 0.0, std: 0.02 }.init([1, fine, 1, 1], device);
        evidence.bias = Some(Initializer::Constant { value: -cells.ln() - 2.0 }.init([1], device));
        Self {
            stem: Normalised::new([channels, fine], 5, CELL, device),
            fine: blocks(0, fine),
            to_middle: Normalised::new([fine, middle], 3, 2, device),
            middle: blocks(1, middle),
            to_coarse: Normalised::new([middle, coarse], 3, 2, device),
            coarse: blocks(2, coarse),
            coarse_to_middle: Normalised::new([coarse, middle], 1, 1, device),
            middle_to_fine: Normalised::new([middle, fine], 1, 1, device),
            merge: Normalised::new([fine, fine], 3, 1, device),
            evidence,
        }
    }

    /// Slices `[N, C, H, W]` to features and evidence.
    pub(crate) fn forward(&self, slices: Tensor<4>) -> Encoded {
        let through = |blocks: &[Residual], input| blocks.iter().fold(input, |input, block| block.forward(input));
        let fine = through(&self.fine, relu(self.stem.forward(slices)));
        let middle = through(&self.middle, relu(self.to_middle.forward(fine.clone())));
        let coarse = through(&self.coarse, relu(self.to_coarse.forward(middle.clone())));
        let middle = relu(middle + doubled(self.coarse_to_middle.forward(coarse.clone())));
        let merged = fine + doubled(self.middle_to_fine.forward(middle));
        let merged = relu(self.merge.forward(relu(merged)));
        let evidence = bounded(self.evidence.forward(merged.clone()));
        Encoded { features: features(&evidence, merged, coarse), evidence }
    }

    /// The same network without normalisation: as it is exported.
    pub(crate) fn folded(self) -> Self {
        Self {
            stem: self.stem.folded(),
            fine: all_folded(self.fine),
            to_middle: self.to_middle.folded(),
            middle: all_folded(self.middle),
            to_coarse: self.to_coarse.folded(),
            coarse: all_folded(self.coarse),
            coarse_to_middle: self.coarse_to_middle.folded(),
            middle_to_fine: self.middle_to_fine.folded(),
            merge: self.merge.folded(),
            evidence: self.evidence,
        }
    }
}

/// Slice logit, what the evidence points at, and what the slice looks like as a whole.
fn features(evidence: &Tensor<4>, merged: Tensor<4>, coarse: Tensor<4>) -> Tensor<2> {
    let [slices, width, rows, columns] = merged.dims();
    let odds = evidence.clone().reshape([slices, 1, rows * columns]).exp();
    let total = odds.clone().sum_dim(2);
    let pointed = (merged.reshape([slices, width, rows * columns]) * odds).sum_dim(2) / total.clone();
    let [_, depth, rows, columns] = coarse.dims();
    let whole = coarse.reshape([slices, depth, rows * columns]).sum_dim(2).div_scalar((rows * columns) as f64);
    Tensor::cat(vec![total.log(), pointed, whole], 1).reshape([slices, 1 + width + depth])
}
