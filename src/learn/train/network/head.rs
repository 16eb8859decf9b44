//! From the features of an exam's slices to its logits: a sequence along the slices, then attention pooling.

use burn::module::{Initializer, Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};

use super::blocks::{bounded, scales};
use super::recurrence::Recurrence;
use crate::learn::train::configuration::{HeadConfiguration, SequenceKind};

/// The stack of slices is an image of D rows and one column: convolutions give the context along it.
#[derive(Module, Debug)]
pub(crate) struct Head {
    embed: Conv2d,
    /// Absent where each slice is read for itself.
    sequence: Option<Sequence>,
    read: Conv2d,
    attend: Conv2d,
    slice_to_exam: Param<Tensor<1>>,
    slice_to_attention: Param<Tensor<1>>,
}

/// How a slice gets information from other slices before it is read.
#[derive(Module, Debug)]
enum Sequence {
    /// From its neighbours.
    Context(Context),
    /// From those below and above, one after another.
    Recurrence(Recurrence),
}

/// A convolution along the stack, added to what it is given.
#[derive(Module, Debug)]
struct Context {
    convolution: Conv2d,
    scale: Param<Tensor<1>>,
}

impl Context {
    fn forward(&self, embedded: Tensor<4>) -> Tensor<4> {
        let context = relu(self.convolution.forward(embedded.clone()));
        embedded + context * self.scale.val().reshape([1, 1, 1, 1])
    }
}

/// What the head gives for one exam of D slices.
pub(crate) struct ExamReading {
    /// `[D]`: the pooled evidence of each slice.
    pub(crate) slices: Tensor<1>,
    /// `[T]`: a logit for each target of the configuration, embolism first.
    pub(crate) exam: Tensor<1>,
    /// `[D]`, summing to 1.
    pub(crate) attention: Tensor<1>,
}

impl ExamReading {
    /// The logit of embolism, `[1]`.
    pub(crate) fn embolism(&self) -> Tensor<1> {
        self.exam.clone().narrow(0, 0, 1)
    }
}

impl Head {
    /// A head for `features` numbers per slice. It begins as a soft maximum over the slice logits.
    pub(crate) fn new(configuration: &HeadConfiguration, features: usize, device: &Device) -> Self {
        let (width, targets) = (configuration.width, configuration.targets.len());
        let along = |channels: [usize; 2], kernel: [usize; 2]| {
            Conv2dConfig::new(channels, kernel)
                .with_padding(PaddingConfig2d::Explicit(kernel[0] / 2, 0, kernel[0] / 2, 0))
                .init(device)
        };
        let (sequence, state) = match configuration.sequence {
            SequenceKind::Attention => {
                let convolution = along([width, width], [configuration.context, 1]);
                (Some(Sequence::Context(Context { convolution, scale: scales([1], 0.1, device) })), width)
            }
            SequenceKind::Recurrent => {
                (Some(Sequence::Recurrence(Recurrence::new(width, configuration.steps, device))), 2 * width)
            }
            SequenceKind::None => (None, width),
        };
        let quiet = Initializer::Normal { mean: 0.0, std: 0.02 };
        let reading =
            |outputs| Conv2dConfig::new([state, outputs], [1, 1]).with_initializer(quiet.clone()).init(device);
        Self {
            embed: along([1, width], [1, features]),
            sequence,
            read: reading(targets),
            attend: reading(1),
            slice_to_exam: scales([targets], 1.0, device),
            slice_to_attention: scales([1], 1.0, device),
        }
    }

    /// Features `[D, F]` of an exam's slices, lowest first, to its logits.
    pub(crate) fn forward(&self, features: Tensor<2>) -> ExamReading {
        let [slices, length] = features.dims();
        let [targets] = self.slice_to_exam.dims();
        let first = Tensor::<1, Int>::from_ints([0], &features.device());
        let logits = features.clone().select(1, first).reshape([1, 1, slices, 1]);
        let weighted = |weight: &Param<Tensor<1>>| logits.clone() * weight.val().reshape([1, -1, 1, 1]);

        let embedded = relu(self.embed.forward(features.reshape([1, 1, slices, length])));
        let state = match &self.sequence {
            Some(Sequence::Context(context)) => context.forward(embedded),
            Some(Sequence::Recurrence(recurrence)) => recurrence.forward(embedded),
            None => embedded,
        };

        let odds = bounded(weighted(&self.slice_to_attention) + self.attend.forward(state.clone())).exp();
        let attention = odds.clone() / odds.sum_dim(2);
        let readings = weighted(&self.slice_to_exam) + self.read.forward(state);
        ExamReading {
            slices: logits.reshape([slices]),
            exam: (readings * attention.clone()).sum_dim(2).reshape([targets]),
            attention: attention.reshape([slices]),
        }
    }
}
