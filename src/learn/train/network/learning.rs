//! Every network can be trained: each weight gets a gradient, and a few steps distinguish two exams.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use super::EmbolismNetwork;
use crate::learn::train::TrainConfiguration;
use crate::learn::train::fit::{Optimiser, embolism};

/// Slices of an exam, pixels along their sides, steps.
const SLICES: usize = 4;
const SIDE: usize = 32;
const STEPS: usize = 16;

/// Names of weights without a gradient.
struct Forgotten<'a> {
    gradients: &'a GradientsParams,
    path: Vec<String>,
    found: Vec<String>,
}

impl ModuleVisitor for Forgotten<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if parameter.is_require_grad() && self.gradients.get::<D>(parameter.id).is_none() {
            self.found.push(self.path.join("."));
        }
    }
}

/// Slices of an exam that shows a bright spot, or does not.
fn exam(bright: bool, device: &Device) -> Tensor<4> {
    let pixel = |place: usize| {
        let (row, column) = (place / SIDE % SIDE, place % SIDE);
        let inside = bright && row.abs_diff(10) < 4 && column.abs_diff(20) < 4;
        (place * 7919 % 1000) as f32 / 2000.0 + if inside { 0.5 } else { 0.0 }
    };
    let pixels: Vec<f32> = (0..SLICES * SIDE * SIDE).map(pixel).collect();
    Tensor::from_data(TensorData::new(pixels, [SLICES, 1, SIDE, SIDE]), device)
}

/// Cross entropy of the embolism of a bright exam and of one that is not, each also of every slice.
fn loss(network: &EmbolismNetwork, device: &Device) -> Tensor<1> {
    let features = network.encoder.forward(Tensor::cat(vec![exam(true, device), exam(false, device)], 0)).features;
    let of_exam = |first: usize, sign: f64| {
        let reading = network.head.forward(features.clone().narrow(0, first, SLICES));
        let logits = Tensor::cat(vec![reading.exam, reading.slices], 0);
        logits.mul_scalar(-sign).exp().add_scalar(1.0).log().mean()
    };
    of_exam(0, 1.0) + of_exam(SLICES, -1.0)
}

#[test]
fn every_weight_of_every_network_is_trained() {
    let _drawing = crate::learn::train::generator::shared();
    for (architecture, sequence) in [
        ("pyramid", "none"),
        ("resnet18", "recurrent"),
        ("resnet50", "attention"),
        ("efficientnetv2_s", "none"),
        ("vit_base_patch16", "recurrent"),
        ("coatnet0", "attention"),
    ] {
        let mut settings = vec![
            format!("encoder.architecture={architecture}"),
            format!("head.sequence={sequence}"),
            format!("input.size=[{SIDE}, {SIDE}]"),
        ];
        let more = ["input.neighbours=0", "encoder.widths=[8, 8, 8]", "head.width=8", "head.steps=3"];
        let fit = ["fit.learning_rate=0.01", "fit.warm_up_steps=1", "fit.gradient_norm=10"];
        settings.extend(more.iter().chain(&fit).map(|setting| (*setting).to_owned()));
        if architecture != "pyramid" {
            settings.extend(["encoder.width=0.125".to_owned(), "encoder.depth=0.25".to_owned()]);
        }
        let configuration = TrainConfiguration::load(None, &settings).expect("valid settings");
        let device = Device::flex().autodiff();
        device.seed(4);
        let mut network = embolism::network(&configuration, &device);
        let mut optimiser = Optimiser::new(&configuration.fit);
        let mut losses = Vec::new();
        for _ in 0..STEPS {
            let loss = loss(&network, &device);
            losses.push(loss.clone().inner().into_scalar::<f32>());
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            let mut forgotten = Forgotten { gradients: &gradients, path: Vec::new(), found: Vec::new() };
            network.visit(&mut forgotten);
            assert!(forgotten.found.is_empty(), "{architecture}, {sequence}: no gradient for {:?}", forgotten.found);
            network = optimiser.step(network, gradients, 0.0);
        }
        assert!(losses[STEPS - 1] < 0.8 * losses[0], "{architecture}, {sequence}: {losses:?}");
    }
}
