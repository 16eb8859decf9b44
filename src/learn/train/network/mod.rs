//! The networks that can be trained here, written in operations that `burn-onnx` exports.
//!
//! Batch normalisation is used in the fit alone: a fitted network is folded into plain convolutions before it is
//! evaluated, exported and served, so a slice's result depends on no other slice. Exponentials are taken of bounded
//! logits ([`blocks::bounded`]), so no maximum has to be subtracted.

mod backbone;
pub(crate) mod blocks;
mod embolism;
mod encoder;
mod head;
#[cfg(test)]
mod learning;
mod lungs;
mod neck;
#[cfg(test)]
mod parity;
mod published;
mod recurrence;
mod weights;

pub(crate) use embolism::EmbolismNetwork;
pub(crate) use encoder::{Encoded, Encoder};
pub(crate) use head::{ExamReading, Head};
pub(crate) use lungs::LungNetwork;
pub use weights::WeightsError;
