//! Backbones: slices to feature maps, each half as fine as the one before.

mod architectures;
mod efficientnet;
mod hybrid;
mod inverted;
mod levels;
mod pyramid;
mod resnet;
mod transformer;
mod vit;

pub(crate) use architectures::Backbone;
pub(crate) use levels::Levels;
pub(crate) use resnet::Resnet;
