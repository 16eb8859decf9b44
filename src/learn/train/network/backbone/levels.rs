//! What every backbone gives: feature maps, each half as fine as the one before.

use burn::tensor::Tensor;

/// Feature maps of N slices, `[N, C, h, w]` each.
pub(crate) struct Levels {
    /// All but the last, the finest first.
    pub(crate) finer: Vec<Tensor<4>>,
    /// The last.
    pub(crate) coarsest: Tensor<4>,
}

impl Levels {
    pub(super) fn begin(finest: Tensor<4>) -> Self {
        Self { finer: Vec::new(), coarsest: finest }
    }

    /// One more map, made of the coarsest.
    pub(super) fn then(mut self, stage: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Self {
        let coarser = stage(self.coarsest.clone());
        self.finer.push(std::mem::replace(&mut self.coarsest, coarser));
        self
    }
}
