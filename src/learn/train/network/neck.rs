//! Feature maps of any backbone to evidence: from the coarsest map to the finest, each adding the result of the one
//! below it (feature pyramids, Lin et al. 2017, doi 10.1109/CVPR.2017.106).

use burn::module::{Initializer, Module};
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::backbone::Levels;
use super::blocks::{Normalised, all_folded, bounded, convolution, resized};

/// Joins feature maps on the way up and reads evidence off the finest.
#[derive(Module, Debug)]
pub(super) struct Neck {
    /// From each map, the finest but one first, to the next finer.
    up: Vec<Normalised>,
    merge: Normalised,
    evidence: Conv2d,
}

impl Neck {
    /// For maps with these numbers of channels, the finest first, which has `cells` cells.
    pub(super) fn new(channels: &[usize], cells: usize, device: &Device) -> Self {
        let finest = channels[0];
        let mut evidence = convolution([finest, 1], 1, 1, device);
        // At first all cells have about the same logit, and the slice logit of -2 is a probability of about one in ten.
        evidence.weight = Initializer::Normal { mean: 0.0, std: 0.02 }.init([1, finest, 1, 1], device);
        evidence.bias = Some(Initializer::Constant { value: -(cells as f64).ln() - 2.0 }.init([1], device));
        let up = channels.windows(2).map(|pair| Normalised::new([pair[1], pair[0]], 1, 1, device));
        Self { up: up.collect(), merge: Normalised::new([finest, finest], 3, 1, device), evidence }
    }

    /// The joined map `[N, C, h, w]`, and the logit of each of its cells `[N, 1, h, w]`.
    pub(super) fn forward(&self, levels: Levels) -> [Tensor<4>; 2] {
        let steps = levels.finer.into_iter().zip(&self.up).rev();
        let map = steps.fold(levels.coarsest, |map, (level, up)| {
            let [_, _, rows, columns] = level.dims();
            relu(level + resized(up.forward(map), [rows, columns]))
        });
        let map = relu(self.merge.forward(map));
        let evidence = bounded(self.evidence.forward(map.clone()));
        [map, evidence]
    }

    pub(super) fn folded(self) -> Self {
        Self { up: all_folded(self.up, Normalised::folded), merge: self.merge.folded(), evidence: self.evidence }
    }
}
