//! The backbones that a configuration can name.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::coatnet::Coatnet;
use super::efficientnet::Efficientnet;
use super::levels::Levels;
use super::pyramid::Pyramid;
use super::resnet::{self, Resnet};
use super::vit::VisionTransformer;
use crate::learn::train::configuration::{Architecture, EncoderConfiguration};

/// A backbone. Whatever it is, its feature maps begin at half the input's resolution and every further one halves rows
/// and columns.
#[derive(Module, Debug)]
pub(crate) enum Backbone {
    /// Three levels of residual blocks: small and fast.
    Pyramid(Pyramid),
    /// ResNet-18, 34 or 50.
    Resnet(Resnet),
    /// EfficientNetV2-S.
    Efficientnet(Efficientnet),
    /// ViT-B/16, and convolutions beside it.
    VisionTransformer(VisionTransformer),
    /// Convolutions where maps are fine, attention where they are coarse.
    Coatnet(Coatnet),
}

impl Backbone {
    /// Fresh weights for slices with `channels` channels, and `extent` rows and columns.
    pub(crate) fn new(
        configuration: &EncoderConfiguration,
        channels: usize,
        extent: [usize; 2],
        device: &Device,
    ) -> Self {
        let size = configuration.multipliers();
        match configuration.architecture {
            Architecture::Pyramid => {
                Self::Pyramid(Pyramid::new(configuration.widths, configuration.blocks, channels, device))
            }
            Architecture::Resnet18 => Self::Resnet(Resnet::new(&resnet::RESNET_18, size, channels, device)),
            Architecture::Resnet34 => Self::Resnet(Resnet::new(&resnet::RESNET_34, size, channels, device)),
            Architecture::Resnet50 => Self::Resnet(Resnet::new(&resnet::RESNET_50, size, channels, device)),
            Architecture::Efficientnetv2S => Self::Efficientnet(Efficientnet::new(size, channels, device)),
            Architecture::VitBasePatch16 => {
                Self::VisionTransformer(VisionTransformer::new(size, channels, extent, device))
            }
            Architecture::Coatnet0 => Self::Coatnet(Coatnet::new(size, channels, extent, device)),
        }
    }

    /// Slices `[N, C, H, W]` to feature maps.
    pub(crate) fn forward(&self, slices: Tensor<4>) -> Levels {
        match self {
            Self::Pyramid(network) => network.forward(slices),
            Self::Resnet(network) => network.forward(slices),
            Self::Efficientnet(network) => network.forward(slices),
            Self::VisionTransformer(network) => network.forward(slices),
            Self::Coatnet(network) => network.forward(slices),
        }
    }

    /// Channels of each feature map, the finest first.
    pub(crate) fn channels(&self) -> Vec<usize> {
        match self {
            Self::Pyramid(network) => network.channels(),
            Self::Resnet(network) => network.channels(),
            Self::Efficientnet(network) => network.channels(),
            Self::VisionTransformer(network) => network.channels(),
            Self::Coatnet(network) => network.channels(),
        }
    }

    /// The same network without batch normalisation: as it is exported.
    pub(crate) fn folded(self) -> Self {
        match self {
            Self::Pyramid(network) => Self::Pyramid(network.folded()),
            Self::Resnet(network) => Self::Resnet(network.folded()),
            Self::Efficientnet(network) => Self::Efficientnet(network.folded()),
            Self::VisionTransformer(network) => Self::VisionTransformer(network.folded()),
            Self::Coatnet(network) => Self::Coatnet(network.folded()),
        }
    }
}
