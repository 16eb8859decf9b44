//! The embolism classifier.

use burn::module::Module;

use super::encoder::Encoder;
use super::head::Head;

/// Slice encoder and exam head, trained together and exported apart.
#[derive(Module, Debug)]
pub(crate) struct EmbolismNetwork {
    /// Slices to features and evidence.
    pub(crate) encoder: Encoder,
    /// Features of an exam's slices to logits.
    pub(crate) head: Head,
}
