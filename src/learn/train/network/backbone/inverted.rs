//! Residual blocks that are wide within and narrow at both ends ("MBConv"; "FusedMBConv").

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::sigmoid;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

use crate::learn::train::network::blocks::{Normalised, convolution, silu};

/// The squeezed layer has the block's input channels divided by this.
const SQUEEZE: usize = 4;
const KERNEL: usize = 3;

/// Sizes of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) channels: [usize; 2],
    /// The block works in this many times its input channels.
    pub(super) expansion: usize,
    pub(super) stride: usize,
}

impl Shape {
    fn within(self) -> usize {
        self.channels[0] * self.expansion
    }

    fn is_residual(self) -> bool {
        self.stride == 1 && self.channels[0] == self.channels[1]
    }
}

/// Each channel is convolved for itself (Sandler et al. 2018, doi 10.1109/CVPR.2018.00474), and weighted by what the whole
/// map holds (Hu et al. 2018, doi 10.1109/CVPR.2018.00745).
#[derive(Module, Debug)]
pub(super) struct Inverted {
    expand: Normalised,
    depthwise: Normalised,
    squeeze: Conv2d,
    excite: Conv2d,
    project: Normalised,
    residual: bool,
}

impl Inverted {
    pub(super) fn new(shape: Shape, device: &Device) -> Self {
        let ([inputs, outputs], within) = (shape.channels, shape.within());
        let squeezed = (inputs / SQUEEZE).max(1);
        Self {
            expand: Normalised::of_tensorflow([inputs, within], 1, 1, 1, device),
            depthwise: Normalised::of_tensorflow([within, within], KERNEL, shape.stride, within, device),
            squeeze: convolution([within, squeezed], 1, 1, device),
            excite: convolution([squeezed, within], 1, 1, device),
            project: Normalised::of_tensorflow([within, outputs], 1, 1, 1, device),
            residual: shape.is_residual(),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.project.outputs()
    }

    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let map = silu(self.depthwise.forward(silu(self.expand.forward(input.clone()))));
        let whole = silu(self.squeeze.forward(adaptive_avg_pool2d(map.clone(), [1, 1])));
        let projected = self.project.forward(map * sigmoid(self.excite.forward(whole)));
        if self.residual { projected + input } else { projected }
    }

    pub(super) fn folded(self) -> Self {
        Self {
            expand: self.expand.folded(),
            depthwise: self.depthwise.folded(),
            project: self.project.folded(),
            ..self
        }
    }
}

/// One full convolution in place of the first two (Tan and Le 2021, arXiv 2104.00298, figure 2).
#[derive(Module, Debug)]
pub(super) struct Fused {
    expand: Normalised,
    /// Absent where the block is not wider within.
    project: Option<Normalised>,
    residual: bool,
}

impl Fused {
    pub(super) fn new(shape: Shape, device: &Device) -> Self {
        let ([inputs, outputs], within) = (shape.channels, shape.within());
        let widened = shape.expansion > 1;
        let first = [inputs, if widened { within } else { outputs }];
        Self {
            expand: Normalised::of_tensorflow(first, KERNEL, shape.stride, 1, device),
            project: widened.then(|| Normalised::of_tensorflow([within, outputs], 1, 1, 1, device)),
            residual: shape.is_residual(),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.project.as_ref().unwrap_or(&self.expand).outputs()
    }

    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let map = silu(self.expand.forward(input.clone()));
        let map = match &self.project {
            Some(project) => project.forward(map),
            None => map,
        };
        if self.residual { map + input } else { map }
    }

    pub(super) fn folded(self) -> Self {
        Self { expand: self.expand.folded(), project: self.project.map(Normalised::folded), ..self }
    }
}
