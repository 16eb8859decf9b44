//! Fits on a GPU, or on software that stands in for one, beside the same fits on the CPU.
//!
//! SwiftShader is such software (Debian: chromium-common); with it, matrix products come out wrong, and so do the fits.

use super::*;

/// Losses of each epoch of a fit of two steps.
fn fitted(trial: &Trial, device: &str, settings: &[&str]) -> Vec<f64> {
    let (device, experiment) =
        (format!("fit.device={device}"), format!("work.experiment={}", device.replace(':', "-")));
    let configuration = trial.configuration(&[settings, &[&device, &experiment]].concat());
    prepare(&configuration).expect("prepared");
    run(Step::Fit, &configuration).expect("fitted");
    // Compares ONNX Runtime with the weights.
    run(Step::Evaluate, &configuration).expect("exported and evaluated");
    let log = std::fs::read_to_string(configuration.experiment().join("network/log.jsonl")).expect("log");
    let line = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect("JSON") };
    let value = |line: &serde_json::Value, key: &str| line[key].as_f64().expect("a number");
    log.lines().map(line).flat_map(|line| [value(&line, "loss"), value(&line, "gradient_norm")]).collect()
}

fn same_on_vulkan(settings: &[&str]) {
    let usual = ["input.size=[32, 32]", "input.spacing_mm=2.5", "fit.epochs=2", "fit.head_epochs=1"];
    let trial = Trial::new(6, Labelled::All, &[&usual, settings].concat());
    let (cpu, vulkan) = (fitted(&trial, "cpu", &[]), fitted(&trial, "vulkan:0", &[]));
    assert_eq!(cpu.len(), 4);
    for (cpu, vulkan) in cpu.iter().zip(&vulkan) {
        assert!((cpu - vulkan).abs() < 5e-4 * cpu.abs().max(0.1), "{settings:?}: {cpu} {vulkan}");
    }
    println!("{settings:?}: {cpu:?} {vulkan:?}");
}

const SMALL: [&str; 2] = ["encoder.width=0.125", "encoder.depth=0.25"];

fn architecture(name: &str, sequence: &str) {
    let (name, sequence) = (format!("encoder.architecture={name}"), format!("head.sequence={sequence}"));
    let small = if name.ends_with("pyramid") { &SMALL[..0] } else { &SMALL };
    same_on_vulkan(&[small, &[&name, &sequence]].concat());
}

#[test]
fn the_pyramid_is_fitted_on_vulkan_as_on_the_cpu() {
    architecture("pyramid", "attention");
}

#[test]
fn residual_networks_are_fitted_on_vulkan_as_on_the_cpu() {
    architecture("resnet18", "recurrent");
    architecture("resnet50", "none");
}

#[test]
fn networks_with_attention_are_fitted_on_vulkan_as_on_the_cpu() {
    architecture("vit_base_patch16", "none");
    architecture("coatnet0", "attention");
}

#[test]
fn efficient_networks_are_fitted_on_vulkan_as_on_the_cpu() {
    architecture("efficientnetv2_s", "none");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let trial = Trial::new(6, Labelled::All, &["fit.device=vulkan:99"]);
    let configuration = trial.configuration(&[]);
    prepare(&configuration).expect("prepared");
    let problem = run(Step::Fit, &configuration).expect_err("no such device").to_string();
    assert!(problem.contains("there is no vulkan:99") && problem.contains("devices were found"), "{problem}");
}

/// Operators of the networks, each on the same values on both devices: where a fit differs, this says which does.
#[test]
fn operators_give_on_vulkan_what_they_give_on_the_cpu() {
    use burn::nn::conv::Conv2dConfig;
    use burn::nn::{BatchNormConfig, PaddingConfig2d};
    use burn::tensor::activation::{relu, sigmoid};
    use burn::tensor::{Device, Int, Tensor, TensorData};
    type Operator = Box<dyn Fn(Tensor<4>, &Device) -> Tensor<4>>;

    let values = |shape: [usize; 4], seed: usize| {
        let count: usize = shape.iter().product();
        let value = |place: usize| ((place * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0;
        TensorData::new((0..count).map(value).collect::<Vec<f32>>(), shape)
    };
    let given =
        move |shape: [usize; 4], seed: usize, device: &Device| Tensor::<4>::from_data(values(shape, seed), device);
    let convolved = move |kernel: [usize; 2], stride: usize, groups: usize| -> Operator {
        Box::new(move |input, device| {
            let margin = kernel.map(|side| side / 2);
            let mut layer = Conv2dConfig::new([8, 8], kernel)
                .with_stride([stride, stride])
                .with_groups(groups)
                .with_bias(false)
                .with_padding(PaddingConfig2d::Explicit(margin[0], margin[1], margin[0], margin[1]))
                .init(device);
            let shape = layer.weight.dims();
            layer.weight = burn::module::Param::from_tensor(given(shape, 3, device));
            layer.forward(input)
        })
    };
    let operators: Vec<(&str, Operator)> = vec![
        ("convolution 3 x 3", convolved([3, 3], 1, 1)),
        ("convolution 3 x 3, stride 2", convolved([3, 3], 2, 1)),
        ("convolution 1 x 1", convolved([1, 1], 1, 1)),
        ("convolution along", convolved([5, 1], 1, 1)),
        ("depthwise convolution", convolved([3, 3], 1, 8)),
        ("normalisation", Box::new(|input, device| BatchNormConfig::new(8).init(device).forward(input))),
        ("relu", Box::new(|input, _| relu(input))),
        ("sigmoid", Box::new(|input, _| sigmoid(input))),
        ("tanh", Box::new(|input, _| input.mul_scalar(3.0).tanh())),
        (
            "exponential, sum, logarithm",
            Box::new(|input, _| {
                let [count, channels, rows, columns] = input.dims();
                input.exp().reshape([count, channels, 1, rows * columns]).sum_dim(3).log()
            }),
        ),
        ("product from the left", Box::new(move |input, device| given([1, 1, 12, 6], 5, device).matmul(input))),
        ("product from the right", Box::new(move |input, device| input.matmul(given([1, 1, 10, 7], 6, device)))),
        ("product of each", Box::new(move |input, device| input.matmul(given([4, 8, 10, 7], 6, device)))),
        (
            "narrow and cat",
            Box::new(|input, _| {
                let parts = vec![input.clone().narrow(0, 2, 2), input.narrow(0, 0, 1)];
                Tensor::cat(parts, 0)
            }),
        ),
        ("select", Box::new(|input, device| input.select(1, Tensor::<1, Int>::from_ints([3, 0, 7], device)))),
        ("maximum and quotient", Box::new(|input, _| input.clone() / input.abs().add_scalar(1.0).sum_dim(1))),
    ];
    let mut differing = Vec::new();
    for (name, operator) in operators {
        let result = |device: &Device| -> (Vec<f32>, Vec<f32>) {
            let device = device.clone().autodiff();
            let input = given([4, 8, 6, 10], 1, &device).require_grad();
            let output = operator(input.clone(), &device);
            let weights = given(output.dims(), 2, &device);
            let gradients = (output.clone() * weights).sum().backward();
            let gradient = input.grad(&gradients).expect("a gradient");
            let numbers = |tensor: Tensor<4>| tensor.into_data().iter::<f32>().collect();
            (numbers(output.inner()), numbers(gradient))
        };
        let gpu = Device::enumerate(burn::tensor::DeviceType::Vulkan).first().cloned().expect("a device");
        let (cpu, vulkan) = (result(&Device::flex()), result(&gpu));
        let furthest = |one: &[f32], other: &[f32]| {
            one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
        };
        let (output, gradient) = (furthest(&cpu.0, &vulkan.0), furthest(&cpu.1, &vulkan.1));
        println!("{name}: output {output:e}, gradient {gradient:e}");
        if !(output < 1e-3 && gradient < 1e-3) {
            differing.push(name);
        }
    }
    assert!(differing.is_empty(), "{differing:?}");
}
