//! Recurrence along the slices (gated recurrent units, Cho et al. 2014, arXiv 1406.1078), for any number of slices.
//!
//! An exported network has no loop, so all slices take a fixed number of steps at once. In each step, a slice reads its
//! own features and the state of its neighbour of the step before. After S steps a slice's state is that of a unit
//! which read the S slices that end with it; in stacks of up to S slices, that of a unit which read them all.

use burn::module::{Initializer, Module};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::sigmoid;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};

/// Units that read the stack upwards and units that read it downwards.
#[derive(Module, Debug)]
pub(super) struct Recurrence {
    up: Unit,
    down: Unit,
    steps: usize,
}

impl Recurrence {
    pub(super) fn new(width: usize, steps: usize, device: &Device) -> Self {
        Self { up: Unit::new(width, device), down: Unit::new(width, device), steps }
    }

    /// `[1, C, D, 1]`, lowest slice first, to `[1, 2 C, D, 1]`.
    pub(super) fn forward(&self, sequence: Tensor<4>) -> Tensor<4> {
        let up = self.up.read(sequence.clone(), self.steps, below);
        let down = self.down.read(sequence, self.steps, above);
        Tensor::cat(vec![up, down], 1)
    }
}

/// A gated recurrent unit.
#[derive(Module, Debug)]
struct Unit {
    reset: Gate,
    update: Gate,
    candidate: Gate,
}

/// A gate's projections of a slice's features and of the state.
#[derive(Module, Debug)]
struct Gate {
    input: Conv2d,
    state: Conv2d,
}

impl Gate {
    fn new(width: usize, device: &Device) -> Self {
        let bound = 1.0 / (width as f64).sqrt();
        let projection = || {
            Conv2dConfig::new([width, width], [1, 1])
                .with_initializer(Initializer::Uniform { min: -bound, max: bound })
                .init(device)
        };
        Self { input: projection(), state: projection() }
    }
}

impl Unit {
    fn new(width: usize, device: &Device) -> Self {
        let gate = || Gate::new(width, device);
        Self { reset: gate(), update: gate(), candidate: gate() }
    }

    fn read(&self, sequence: Tensor<4>, steps: usize, neighbour: fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
        let [reset, update, candidate] =
            [&self.reset, &self.update, &self.candidate].map(|gate| gate.input.forward(sequence.clone()));
        let mut state = candidate.clone().mul_scalar(0.0);
        for _ in 0..steps {
            let before = neighbour(state);
            let reset = sigmoid(reset.clone() + self.reset.state.forward(before.clone()));
            let update = sigmoid(update.clone() + self.update.state.forward(before.clone()));
            let candidate = (candidate.clone() + reset * self.candidate.state.forward(before.clone())).tanh();
            state = candidate.clone() + update * (before - candidate);
        }
        state
    }
}

/// The state of the slice below, zero at the lowest.
fn below(state: Tensor<4>) -> Tensor<4> {
    moved(state, [1.0, 0.0], (1, 0))
}

/// The state of the slice above, zero at the highest.
fn above(state: Tensor<4>) -> Tensor<4> {
    moved(state, [0.0, 1.0], (0, 1))
}

/// A convolution along the stack that picks one of two neighbours: a slice or a concatenation would need the number of
/// slices, which an exported network does not know.
fn moved(state: Tensor<4>, picked: [f32; 2], padding: (usize, usize)) -> Tensor<4> {
    let [_, channels, _, _] = state.dims();
    let kernel = Tensor::from_data(TensorData::new(picked.repeat(channels), [channels, 1, 2, 1]), &state.device());
    conv2d(state, kernel, None, ConvOptions::new_with_padding([1, 1], [padding, (0, 0)], [1, 1], channels))
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::nn::{GateController, Gru, GruConfig};
    use burn::tensor::Distribution;

    use super::*;

    const WIDTH: usize = 6;

    /// The same weights in burn's own unit.
    fn reference(unit: &Unit, device: &Device) -> Gru {
        let copied = |gate: &Gate, into: GateController| {
            let weight = |from: &Conv2d| Param::from_tensor(from.weight.val().reshape([WIDTH, WIDTH]).transpose());
            let mut into = into;
            into.input_transform.weight = weight(&gate.input);
            into.input_transform.bias.clone_from(&gate.input.bias);
            into.hidden_transform.weight = weight(&gate.state);
            into.hidden_transform.bias.clone_from(&gate.state.bias);
            into
        };
        let gru = GruConfig::new(WIDTH, WIDTH, true).init(device);
        Gru {
            update_gate: copied(&unit.update, gru.update_gate.clone()),
            reset_gate: copied(&unit.reset, gru.reset_gate.clone()),
            new_gate: copied(&unit.candidate, gru.new_gate.clone()),
            ..gru
        }
    }

    /// States `[D, C]` of a unit that reads `[D, C]` slice by slice.
    fn read(gru: &Gru, sequence: Tensor<2>) -> Tensor<2> {
        gru.forward(sequence.unsqueeze(), None).squeeze_dim(0)
    }

    fn difference(a: Tensor<2>, b: Tensor<2>) -> f32 {
        (a - b).abs().max().into_scalar()
    }

    #[test]
    fn a_short_stack_is_read_as_by_a_loop_in_both_directions() {
        let _drawing = crate::learn::train::generator::shared();
        let device = Device::flex();
        let recurrence = Recurrence::new(WIDTH, 7, &device);
        for slices in [1, 5, 7] {
            let sequence = Tensor::<2>::random([slices, WIDTH], Distribution::Normal(0.0, 2.0), &device);
            let image = sequence.clone().transpose().reshape([1, WIDTH, slices, 1]);
            let found: Tensor<2> = recurrence.forward(image).reshape([2 * WIDTH, slices]).transpose();
            let up = read(&reference(&recurrence.up, &device), sequence.clone());
            let down = read(&reference(&recurrence.down, &device), sequence.flip([0])).flip([0]);
            let expected = Tensor::cat(vec![up, down], 1);
            assert!(difference(found, expected) < 1e-5, "{slices} slices");
        }
    }

    #[test]
    fn in_a_tall_stack_each_slice_is_read_with_as_many_below_it_as_there_are_steps() {
        let _drawing = crate::learn::train::generator::shared();
        let device = Device::flex();
        let (slices, steps) = (20, 6);
        let unit = Unit::new(WIDTH, &device);
        let sequence = Tensor::<2>::random([slices, WIDTH], Distribution::Normal(0.0, 2.0), &device);
        let image = sequence.clone().transpose().reshape([1, WIDTH, slices, 1]);
        let found: Tensor<2> = unit.read(image, steps, below).reshape([WIDTH, slices]).transpose();
        let last = 15;
        let window = sequence.narrow(0, last + 1 - steps, steps);
        let expected = read(&reference(&unit, &device), window).narrow(0, steps - 1, 1);
        assert!(difference(found.narrow(0, last, 1), expected) < 1e-5);
    }
}
