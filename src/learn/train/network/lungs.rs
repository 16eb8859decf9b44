//! A small 2D U-Net: background, left lung, right lung.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::blocks::{Normalised, Residual, all_folded, convolution, resized};
use crate::learn::train::configuration::LungConfiguration;

/// Classes of the lung network: background, left lung, right lung.
pub(crate) const CLASSES: usize = 3;

/// U-Net (Ronneberger et al. 2015) with residual blocks, sums in place of concatenations, linear upsampling.
#[derive(Module, Debug)]
pub(crate) struct LungNetwork {
    down: Vec<Normalised>,
    encode: Vec<Residual>,
    up: Vec<Normalised>,
    decode: Vec<Residual>,
    classify: Conv2d,
}

impl LungNetwork {
    /// A new network for slices with `channels` channels.
    pub(crate) fn new(configuration: &LungConfiguration, channels: usize, device: &Device) -> Self {
        let widths = &configuration.widths;
        let steps = || widths.windows(2).map(|pair| [pair[0], pair[1]]);
        let mut down = vec![Normalised::new([channels, widths[0]], 3, 1, device)];
        down.extend(steps().map(|channels| Normalised::new(channels, 3, 2, device)));
        Self {
            down,
            encode: widths.iter().map(|width| Residual::new(*width, device)).collect(),
            up: steps().map(|[fine, coarse]| Normalised::new([coarse, fine], 1, 1, device)).collect(),
            decode: steps().map(|[fine, _]| Residual::new(fine, device)).collect(),
            classify: convolution([widths[0], CLASSES], 1, 1, device),
        }
    }

    /// Slices `[N, C, H, W]` to class logits `[N, 3, H, W]`; H and W are multiples of 2 to the number of steps down.
    pub(crate) fn forward(&self, slices: Tensor<4>) -> Tensor<4> {
        let mut levels = Vec::with_capacity(self.down.len());
        let mut image = slices;
        for (down, encode) in self.down.iter().zip(&self.encode) {
            image = encode.forward(relu(down.forward(image)));
            levels.push(image.clone());
        }
        levels.pop();
        for (level, (up, decode)) in self.up.iter().zip(&self.decode).enumerate().rev() {
            let skipped = levels.swap_remove(level);
            let [_, _, rows, columns] = skipped.dims();
            image = decode.forward(relu(skipped + resized(up.forward(image), [rows, columns])));
        }
        self.classify.forward(image)
    }

    /// The same network without normalisation: as it is exported.
    pub(crate) fn folded(self) -> Self {
        Self {
            down: all_folded(self.down, Normalised::folded),
            encode: all_folded(self.encode, Residual::folded),
            up: all_folded(self.up, Normalised::folded),
            decode: all_folded(self.decode, Residual::folded),
            classify: self.classify,
        }
    }
}
