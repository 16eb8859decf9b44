//! The networks that can be learnt here, written in operations that `burn-onnx` exports.
//!
//! There is no normalisation layer: residual branches begin at zero (SkipInit, De and Smith 2020), which trains as well
//! at this depth, costs nothing and computes the same in training, export and serving. Exponentials are taken of
//! bounded logits ([`blocks::bounded`]), so that no maximum has to be subtracted.

pub(crate) mod blocks;
mod encoder;
mod head;
mod lungs;

pub(crate) use encoder::{CELL, Encoded, Encoder, EncoderConfiguration};
pub(crate) use head::{Head, HeadConfiguration};
pub(crate) use lungs::{LungConfiguration, LungNetwork};

use burn::module::Module;

/// Slice encoder and exam head, learnt together and exported apart.
#[derive(Module, Debug)]
pub(crate) struct EmbolismNetwork {
    /// Slices to features and evidence.
    pub(crate) encoder: Encoder,
    /// Features of an exam's slices to logits.
    pub(crate) head: Head,
}
