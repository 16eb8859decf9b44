//! Every network in burn and, exported, in ONNX Runtime, as the node runs it: the same numbers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, Tensor};
use ndarray::{ArrayD, Axis, Ix2, Ix4};

use crate::engine::models::manifest::{Label, Manifest};
use crate::engine::models::networks as served;
use crate::engine::models::package::Package;
use crate::engine::models::session::Runtime;
use crate::engine::models::target::Target;
use crate::learn::train::export;
use crate::learn::train::files;
use crate::learn::train::fit::embolism;
use crate::learn::train::network::EmbolismNetwork;
use crate::learn::train::{TrainConfiguration, TrainingContext};

/// Largest difference of any output between burn and ONNX Runtime.
const LIMIT: f32 = 1e-4;
const ARCHITECTURES: [&str; 7] =
    ["pyramid", "resnet18", "resnet34", "resnet50", "efficientnetv2_s", "vit_base_patch16", "coatnet0"];
const SEQUENCES: [&str; 3] = ["attention", "recurrent", "none"];

/// Changes every weight a little, as a mistake would not show at values such as 0 or 1.
struct Shaken;

impl ModuleMapper for Shaken {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|values| {
            let noise = Tensor::random(values.dims(), Distribution::Normal(1.0, 0.1), &values.device());
            let offset = Tensor::random(values.dims(), Distribution::Normal(0.0, 0.01), &values.device());
            values * noise + offset
        })
    }
}

fn configuration(settings: &[String]) -> TrainConfiguration {
    TrainConfiguration::load(None, settings).expect("valid settings")
}

fn random(shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::random(shape, Distribution::Uniform(0.0, 1.0), device)
}

/// A network with weights and normalisation statistics unlike any initial ones, folded.
fn network(configuration: &TrainConfiguration) -> EmbolismNetwork {
    let device = Device::flex();
    device.seed(11);
    let training = device.clone().autodiff();
    let network = embolism::network(configuration, &training).map(&mut Shaken);
    let [rows, columns] = configuration.input.size;
    for _ in 0..20 {
        network.encoder.forward(random([2, configuration.input.channels(), rows, columns], &training));
    }
    let network = network.valid();
    EmbolismNetwork { encoder: network.encoder.folded(), head: network.head }
}

/// A package of the network, as a node would find it, and its ONNX files.
fn write(network: &EmbolismNetwork, configuration: &TrainConfiguration, folder: &Path) -> (Package, Vec<PathBuf>) {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("onnx/embolism");
    let version =
        std::fs::read_dir(bundled).expect("the bundled package").next().expect("a version").expect("readable");
    let text = std::fs::read_to_string(version.path().join("model.toml")).expect("the bundled manifest");
    let mut manifest = Manifest::parse(&text).expect("a manifest");
    let exported = export::embolism(network, configuration.input.channels(), configuration.input.size);
    let folder = manifest.id().folder_in(folder);
    std::fs::create_dir_all(&folder).expect("folder");
    for (file, exported) in manifest.files.iter_mut().zip(exported.expect("exported")) {
        file.sha256 = files::digest(&exported.bytes);
        file.outputs = exported.outputs.iter().map(|name| (*name).to_owned()).collect();
        std::fs::write(folder.join(&file.path), &exported.bytes).expect("written");
    }
    manifest.input = configuration.input.clone();
    let targets = configuration.head.targets.iter().enumerate();
    manifest.labels = targets.map(|(index, target)| Label { index, name: target.name().to_owned() }).collect();
    std::fs::write(folder.join("model.toml"), manifest.to_toml()).expect("written");
    let files = manifest.files.iter().map(|file| folder.join(&file.path)).collect();
    (Package::open(&folder).expect("a package"), files)
}

fn array<const D: usize>(tensor: Tensor<D>) -> ArrayD<f32> {
    let shape = tensor.dims().to_vec();
    ArrayD::from_shape_vec(shape, tensor.into_data().iter::<f32>().collect()).expect("values for the shape")
}

/// Largest difference.
fn difference<const D: usize>(expected: Tensor<D>, found: &ArrayD<f32>) -> f32 {
    let expected = array(expected);
    assert_eq!(expected.shape(), found.shape());
    assert!(expected.iter().all(|value| value.is_finite()) && expected.iter().any(|value| *value != 0.0));
    expected.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn runtime() -> Runtime {
    TrainingContext::of_environment().runtime().expect("ONNX Runtime")
}

/// Largest differences of features and evidence for some numbers of slices.
fn of_encoder(
    network: &EmbolismNetwork,
    loaded: &mut served::EmbolismNetwork,
    input: [usize; 3],
    counts: &[usize],
) -> f32 {
    let largest = counts.iter().map(|count| {
        let slices = random([*count, input[0], input[1], input[2]], &Device::flex());
        let batch = array(slices.clone()).into_dimensionality::<Ix4>().expect("four axes");
        let found = loaded.encode(&batch.view()).expect("encoded");
        let expected = network.encoder.forward(slices);
        let logits: Vec<f32> = expected.features.clone().narrow(1, 0, 1).into_data().iter::<f32>().collect();
        let [_, _, rows, columns] = expected.evidence.dims();
        let pooled = expected.evidence.clone().reshape([*count, rows * columns]).exp().sum_dim(1).log();
        let pooled: Vec<f32> = pooled.into_data().iter::<f32>().collect();
        assert!(
            logits.iter().zip(&pooled).all(|(logit, pooled)| (logit - pooled).abs() < 1e-4),
            "the map is the score"
        );
        assert_eq!([rows, columns], [input[1] / 2, input[2] / 2]);
        let features = difference(expected.features, &found.features.into_dyn());
        features.max(difference(expected.evidence, &found.evidence.insert_axis(Axis(1)).into_dyn()))
    });
    largest.fold(0.0, f32::max)
}

/// Largest differences of slice logits, exam logits and attention for some numbers of slices.
fn of_head(network: &EmbolismNetwork, loaded: &mut served::EmbolismNetwork, counts: &[usize]) -> f32 {
    let largest = counts.iter().map(|count| {
        let shape = [*count, network.encoder.features()];
        let features = Tensor::<2>::random(shape, Distribution::Normal(0.0, 2.0), &Device::flex());
        let stack = array(features.clone()).into_dimensionality::<Ix2>().expect("two axes");
        let found = loaded.read(&stack.view()).expect("read");
        let expected = network.head.forward(features);
        let slices = difference(expected.slices, &found.slices.into_dyn());
        let exam = difference(expected.exam, &found.exam.into_dyn());
        slices.max(exam).max(difference(expected.attention, &found.attention.into_dyn()))
    });
    largest.fold(0.0, f32::max)
}

/// Checks files with `onnx.checker`. Without the peers the check is skipped and reported as such; in CI that is a
/// failure.
fn check(paths: &[PathBuf]) {
    let Some(python) = crate::testing::python() else { return };
    let script = "import onnx, sys\nfor path in sys.argv[1:]: onnx.checker.check_model(path, full_check=True)";
    let done = Command::new(python).args(["-c", script]).args(paths).output().expect("Python runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn small(more: &[&str]) -> Vec<String> {
    let settings = ["input.size=[40, 48]", "encoder.widths=[8, 8, 16]", "head.width=8", "head.steps=5"];
    settings.iter().chain(more).map(|setting| (*setting).to_owned()).collect()
}

#[test]
fn every_backbone_gives_the_same_in_burn_and_in_onnx_runtime() {
    let _drawing = crate::learn::train::generator::shared();
    let (folder, runtime) = (tempfile::tempdir().expect("folder"), runtime());
    let (mut files, mut report) = (Vec::new(), String::new());
    for architecture in ARCHITECTURES {
        let mut settings = small(&["input.neighbours=1"]);
        settings.push(format!("encoder.architecture={architecture}"));
        if architecture != "pyramid" {
            settings.extend(["encoder.width=0.125".to_owned(), "encoder.depth=0.25".to_owned()]);
        }
        if architecture.starts_with("vit") {
            settings.push("input.size=[32, 48]".to_owned());
        }
        let configuration = configuration(&settings);
        let [rows, columns] = configuration.input.size;
        let network = network(&configuration);
        let (package, written) = write(&network, &configuration, &folder.path().join(architecture));
        files.extend(written);
        let mut loaded = served::EmbolismNetwork::load(&package, &runtime).expect("loaded");
        let largest = of_encoder(&network, &mut loaded, [3, rows, columns], &[1, 3, 8]);
        let _ = writeln!(report, "{architecture}: {largest:.1e}");
        assert!(largest < LIMIT, "{report}");
    }
    println!("{report}");
    check(&files);
}

#[test]
fn every_head_gives_the_same_in_burn_and_in_onnx_runtime_for_any_number_of_slices_and_targets() {
    let _drawing = crate::learn::train::generator::shared();
    let (folder, runtime) = (tempfile::tempdir().expect("folder"), runtime());
    let (mut files, mut report) = (Vec::new(), String::new());
    for sequence in SEQUENCES {
        for targets in [1, 3, Target::COUNT] {
            let mut settings = small(&["input.neighbours=0"]);
            let names = Target::ALL[..targets].iter().map(|target| format!("{:?}", target.name()));
            settings.push(format!("head.targets=[{}]", names.collect::<Vec<_>>().join(", ")));
            settings.push(format!("head.sequence={sequence}"));
            let configuration = configuration(&settings);
            let network = network(&configuration);
            let (package, written) =
                write(&network, &configuration, &folder.path().join(format!("{sequence}-{targets}")));
            files.extend(written);
            let mut loaded = served::EmbolismNetwork::load(&package, &runtime).expect("loaded");
            let largest = of_head(&network, &mut loaded, &[1, 4, 40]);
            let _ = writeln!(report, "{sequence}, {targets} targets: {largest:.1e}");
            assert!(largest < LIMIT, "{report}");
        }
    }
    println!("{report}");
    check(&files);
}

/// The table of `tests/bench/results/networks.md`: full sizes, one JSON line each.
#[test]
#[ignore = "a measurement: tests/bench/networks.py runs it"]
fn networks_of_full_size_are_compared_and_timed() {
    const COUNT: usize = 4;
    let (scratch, runtime) = (tempfile::tempdir().expect("folder"), runtime());
    let folder = std::env::var_os("PE_NODE_NETWORKS").map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    let only = std::env::var("PE_NODE_ONLY").unwrap_or_default();
    for architecture in ARCHITECTURES.into_iter().filter(|name| only.is_empty() || only == *name) {
        let configuration = configuration(&[format!("encoder.architecture={architecture}")]);
        let network = network(&configuration);
        let (package, written) = write(&network, &configuration, &folder.join(architecture));
        let mut loaded = served::EmbolismNetwork::load(&package, &runtime).expect("loaded");
        let [rows, columns] = configuration.input.size;
        let channels = configuration.input.channels();
        let encoder = of_encoder(&network, &mut loaded, [channels, rows, columns], &[1, COUNT]);
        let head = of_head(&network, &mut loaded, &[COUNT, 100]);
        let slices = random([COUNT, channels, rows, columns], &Device::flex());
        let batch = array(slices.clone()).into_dimensionality::<Ix4>().expect("four axes");
        let best = |run: &mut dyn FnMut()| {
            let seconds = (0..3).map(|_| {
                let started = Instant::now();
                run();
                started.elapsed().as_secs_f64()
            });
            1000.0 * seconds.fold(f64::INFINITY, f64::min) / COUNT as f64
        };
        let burn = best(&mut || drop(network.encoder.forward(slices.clone()).features.into_data()));
        let onnx = best(&mut || drop(loaded.encode(&batch.view()).expect("encoded")));
        println!(
            "{}",
            serde_json::json!({
                "architecture": architecture,
                "parameters": network.encoder.num_params(),
                "features": network.encoder.features(),
                "encoder_difference": encoder,
                "head_difference": head,
                "burn_ms": burn,
                "onnxruntime_ms": onnx,
                "files": written,
            })
        );
    }
}
