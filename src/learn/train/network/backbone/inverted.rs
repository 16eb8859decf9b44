//! Inverted residual blocks with squeeze and excitation ("MBConv").

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::sigmoid;
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

use crate::learn::train::network::blocks::{Normalised, convolution, silu};

/// The squeezed layer has the block's input channels divided by this.
const SQUEEZE: usize = 4;

/// Sizes of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) channels: [usize; 2],
    /// The block works in this many times its input channels.
    pub(super) expansion: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

/// Wide within, narrow at both ends, each channel convolved for itself (Sandler et al. 2018, doi
/// 10.1109/CVPR.2018.00474), its channels weighted by what the whole map holds (Hu et al. 2018, doi
/// 10.1109/CVPR.2018.00745).
#[derive(Module, Debug)]
pub(super) struct Inverted {
    expand: Option<Normalised>,
    depthwise: Normalised,
    squeeze: Conv2d,
    excite: Conv2d,
    project: Normalised,
    residual: bool,
}

impl Inverted {
    pub(super) fn new(shape: Shape, device: &Device) -> Self {
        let [inputs, outputs] = shape.channels;
        let within = inputs * shape.expansion;
        let squeezed = (inputs / SQUEEZE).max(1);
        Self {
            expand: (shape.expansion > 1).then(|| Normalised::grouped([inputs, within], 1, 1, 1, device)),
            depthwise: Normalised::grouped([within, within], shape.kernel, shape.stride, within, device),
            squeeze: convolution([within, squeezed], 1, 1, device),
            excite: convolution([squeezed, within], 1, 1, device),
            project: Normalised::grouped([within, outputs], 1, 1, 1, device),
            residual: shape.stride == 1 && inputs == outputs,
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.project.outputs()
    }

    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let expanded = match &self.expand {
            Some(expand) => silu(expand.forward(input.clone())),
            None => input.clone(),
        };
        let map = silu(self.depthwise.forward(expanded));
        let whole = silu(self.squeeze.forward(adaptive_avg_pool2d(map.clone(), [1, 1])));
        let projected = self.project.forward(map * sigmoid(self.excite.forward(whole)));
        if self.residual { projected + input } else { projected }
    }

    pub(super) fn folded(self) -> Self {
        Self {
            expand: self.expand.map(Normalised::folded),
            depthwise: self.depthwise.folded(),
            project: self.project.folded(),
            ..self
        }
    }
}
