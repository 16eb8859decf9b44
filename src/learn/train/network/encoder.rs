//! Slices to an attribution map (`evidence`) whose pooling is the slice logit, and to the features of the exam head.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::backbone::Backbone;
use super::neck::Neck;
use super::weights;
use crate::learn::train::TrainError;
use crate::learn::train::configuration::{CELL, EncoderConfiguration};

/// Any backbone, and the evidence that is read from its feature maps. Evidence cells are [`CELL`] input pixels wide.
#[derive(Module, Debug)]
pub(crate) struct Encoder {
    backbone: Backbone,
    neck: Neck,
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
        let backbone = Backbone::new(configuration, channels, size, device);
        let cells = size[0] / CELL * (size[1] / CELL);
        Self { neck: Neck::new(&backbone.channels(), cells, device), backbone }
    }

    /// Takes the initial weights of the backbone from a file; see [`weights::load`].
    pub(crate) fn load(&mut self, channels: usize, path: &Path) -> Result<(), TrainError> {
        Ok(weights::load(&mut self.backbone, channels, path)?)
    }

    /// Length of the feature vector of a slice.
    pub(crate) fn features(&self) -> usize {
        let channels = self.backbone.channels();
        1 + channels.first().unwrap_or(&0) + channels.last().unwrap_or(&0)
    }

    /// Slices `[N, C, H, W]` to features and evidence.
    pub(crate) fn forward(&self, slices: Tensor<4>) -> Encoded {
        let levels = self.backbone.forward(slices);
        let coarsest = levels.coarsest.clone();
        let [map, evidence] = self.neck.forward(levels);
        Encoded { features: features(&evidence, map, coarsest), evidence }
    }

    /// The same network without batch normalisation: as it is exported.
    pub(crate) fn folded(self) -> Self {
        Self { backbone: self.backbone.folded(), neck: self.neck.folded() }
    }
}

/// Slice logit, mean features weighted by the evidence, and mean features of the whole slice.
fn features(evidence: &Tensor<4>, map: Tensor<4>, coarsest: Tensor<4>) -> Tensor<2> {
    let [slices, width, rows, columns] = map.dims();
    let odds = evidence.clone().reshape([slices, 1, rows * columns]).exp();
    let total = odds.clone().sum_dim(2);
    let pointed = (map.reshape([slices, width, rows * columns]) * odds).sum_dim(2) / total.clone();
    let [_, depth, rows, columns] = coarsest.dims();
    let whole = coarsest.reshape([slices, depth, rows * columns]).sum_dim(2).div_scalar((rows * columns) as f64);
    Tensor::cat(vec![total.log(), pointed, whole], 1).reshape([slices, 1 + width + depth])
}
