//! The networks that can be learnt here, written in operations that `burn-onnx` exports.
//!
//! Batch normalisation serves the fit alone: a fitted network is folded into plain convolutions before it is evaluated,
//! exported and served, so that a slice's result depends on no other slice. Exponentials are taken of bounded logits
//! ([`blocks::bounded`]), so that no maximum has to be subtracted.

mod backbone;
pub(crate) mod blocks;
mod encoder;
mod head;
#[cfg(test)]
mod learning;
mod lungs;
mod neck;
#[cfg(test)]
mod parity;
mod recurrence;
mod weights;

pub(crate) use encoder::{Encoded, Encoder};
pub(crate) use head::Head;
pub(crate) use lungs::LungNetwork;

use burn::module::Module;

/// Slice encoder and exam head, learnt together and exported apart.
#[derive(Module, Debug)]
pub(crate) struct EmbolismNetwork {
    /// Slices to features and evidence.
    pub(crate) encoder: Encoder,
    /// Features of an exam's slices to logits.
    pub(crate) head: Head,
}
