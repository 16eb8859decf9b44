//! Backbones: slices to feature maps, each about half as fine as the one before.

mod architectures;
mod coatnet;
mod efficientnet;
mod inverted;
mod levels;
mod placed_attention;
mod pyramid;
mod resnet;
mod transformer;
mod vit;

pub(crate) use architectures::Backbone;
pub(crate) use levels::Levels;
