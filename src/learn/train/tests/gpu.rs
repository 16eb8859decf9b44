//! Fits on a GPU, or on software that stands in for one, beside the same fits on the CPU.
//!
//! `tests/bench/vulkan.py` runs these on SwiftShader, which needs no GPU.

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
    architecture("vit", "none");
    architecture("hybrid", "attention");
}

#[test]
fn efficient_networks_are_fitted_on_vulkan_as_on_the_cpu() {
    architecture("efficientnet", "none");
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let trial = Trial::new(6, Labelled::All, &["fit.device=vulkan:99"]);
    let configuration = trial.configuration(&[]);
    prepare(&configuration).expect("prepared");
    let problem = run(Step::Fit, &configuration).expect_err("no such device").to_string();
    assert!(problem.contains("there is no vulkan:99") && problem.contains("devices were found"), "{problem}");
}
