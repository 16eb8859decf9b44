//! Writing a model package, checked by the program that serves it before it takes its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array4, ArrayViewD, Axis};

use super::TrainError;
use super::card;
use super::configuration::TrainConfiguration;
use super::dataset::Dataset;
use super::evaluate::Evaluation;
use super::export::{self, Exported};
use super::files;
use super::labels::Split;
use super::network::{EmbolismNetwork, LungNetwork};
use crate::config::Config;
use crate::engine::models::ModelsError;
use crate::engine::models::manifest::{File, IntendedUse, Kind, Label, Layout, Manifest, Role, Training};
use crate::engine::models::networks as served;
use crate::engine::models::registry::Package;
use crate::engine::models::session::Runtime;

/// Largest difference of any output between training and ONNX Runtime.
const PARITY: f32 = 1e-4;
/// Slices of a validation exam on which both are compared.
const COMPARED: usize = 12;

/// The networks of a package.
pub(crate) enum Networks {
    /// Lung segmentation.
    Lungs(LungNetwork),
    /// Embolism classification.
    Embolism(Box<EmbolismNetwork>),
}

/// Writes `<directory>/<name>/<version>` and gives its path. The package is complete, loads in ONNX Runtime and agrees
/// with the training program before it gets its name.
pub(crate) fn write(
    configuration: &TrainConfiguration,
    networks: &Networks,
    evaluation: &Evaluation,
    datasets: &[(Split, Dataset)],
    data_sha256: &str,
    device: &Device,
) -> Result<PathBuf, TrainError> {
    let settings = &configuration.package;
    let (channels, size) = (configuration.input.channels(), configuration.input.size);
    let files: Vec<(Role, &str, Exported)> = match networks {
        Networks::Lungs(network) => vec![(Role::Network, "lungs.onnx", export::lungs(network, channels, size)?)],
        Networks::Embolism(network) => {
            let features = configuration.encoder.features();
            let [encoder, head] = export::embolism(network, channels, size, features)?;
            vec![(Role::Encoder, "encoder.onnx", encoder), (Role::Head, "head.onnx", head)]
        }
    };
    let manifest = manifest(configuration, &files, evaluation, datasets, data_sha256);
    let folder = settings.directory.join(&settings.name).join(&settings.version);
    let scratch = settings.directory.join(format!(".partial-{}", settings.name));
    let partial = scratch.join(&settings.name).join(&settings.version);
    remove_folder(&scratch)?;
    files::create_folder(&partial)?;
    for (_, path, exported) in &files {
        files::write_whole(&partial.join(path), &exported.bytes)?;
    }
    files::write_whole(&partial.join("model.toml"), manifest.to_toml().as_bytes())?;
    let metrics = serde_json::to_string_pretty(evaluation).unwrap_or_default();
    files::write_whole(&partial.join("metrics.json"), metrics.as_bytes())?;
    files::write_whole(&partial.join("card.md"), card::text(configuration, &manifest).as_bytes())?;
    let (_, data) = datasets
        .iter()
        .max_by_key(|(split, _)| *split)
        .ok_or_else(|| TrainError::Exams("no prepared exam to compare training and ONNX Runtime on".to_owned()))?;
    compare(networks, &partial, data, device)?;
    remove_folder(&folder)?;
    if let Some(parent) = folder.parent() {
        files::create_folder(parent)?;
    }
    std::fs::rename(&partial, &folder).map_err(TrainError::file("renaming", &partial))?;
    remove_folder(&scratch)?;
    Ok(folder)
}

fn remove_folder(path: &Path) -> Result<(), TrainError> {
    if path.exists() { std::fs::remove_dir_all(path).map_err(TrainError::file("removing", path)) } else { Ok(()) }
}

fn manifest(
    configuration: &TrainConfiguration,
    files: &[(Role, &str, Exported)],
    evaluation: &Evaluation,
    datasets: &[(Split, Dataset)],
    data_sha256: &str,
) -> Manifest {
    let names: &[&str] = match configuration.kind {
        Kind::LungSegmentation => &["background", "left-lung", "right-lung"],
        Kind::EmbolismClassifier => &["pulmonary-embolism"],
    };
    let package = &configuration.package;
    let synthetic = datasets.iter().any(|(_, data)| data.exams.iter().any(|exam| exam.synthetic));
    if synthetic && package.intended_use != IntendedUse::Demonstration {
        tracing::warn!(
            "some exams are synthetic, so the package is for demonstration, not for {} (package.intended_use)",
            package.intended_use
        );
    }
    Manifest {
        schema: 1,
        name: package.name.clone(),
        version: package.version.clone(),
        kind: configuration.kind,
        intended_use: if synthetic { IntendedUse::Demonstration } else { package.intended_use },
        license: package.license.clone(),
        layout: match configuration.kind {
            Kind::LungSegmentation => Layout::Slices,
            Kind::EmbolismClassifier => Layout::EncoderHead,
        },
        input: configuration.input.clone(),
        patches: None,
        files: files
            .iter()
            .map(|(role, path, exported)| File {
                role: *role,
                member: 0,
                path: (*path).to_owned(),
                sha256: files::digest(&exported.bytes),
                inputs: vec![exported.input.to_owned()],
                outputs: exported.outputs.iter().map(|name| (*name).to_owned()).collect(),
            })
            .collect(),
        labels: names.iter().enumerate().map(|(index, name)| Label { index, name: (*name).to_owned() }).collect(),
        calibration: evaluation.calibration.clone().into_iter().collect(),
        operating_point: evaluation.operating_point.clone(),
        training: Training {
            data: package.data.clone(),
            commit: commit(),
            configuration_sha256: files::digest(configuration.to_toml().as_bytes()),
            data_sha256: data_sha256.to_owned(),
            seed: configuration.fit.seed,
            counts: counts(datasets),
        },
        metrics: evaluation.metrics.clone(),
    }
}

/// The commit of the working tree that the program runs in, where there is one.
fn commit() -> String {
    let output = std::process::Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=40"]).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if text.is_empty() { "unknown".to_owned() } else { text }
}

fn counts(datasets: &[(Split, Dataset)]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (split, data) in datasets {
        let name = format!("{split:?}").to_lowercase();
        let mut insert = |what: &str, count: usize| counts.insert(format!("{name}_{what}"), count as u64);
        insert("exams", data.exams.len());
        insert("positive_exams", data.exams.iter().filter(|exam| exam.embolism).count());
        insert("slices", data.exams.iter().map(|exam| exam.slices).sum());
        insert("labelled_slices", data.exams.iter().map(|exam| exam.labelled_slices).sum());
        insert("positive_slices", data.exams.iter().map(|exam| exam.positive_slices).sum());
    }
    counts
}

/// Runs the package in ONNX Runtime and the networks in the training program on the same slices.
fn compare(networks: &Networks, folder: &Path, data: &Dataset, device: &Device) -> Result<(), TrainError> {
    let package = Package::open(folder).map_err(ModelsError::from)?;
    let runtime =
        Runtime::start(&Config::load(None, std::env::vars(), &[])?.onnxruntime).map_err(ModelsError::Runtime)?;
    let exam = 0;
    let slices: Vec<usize> = (0..data.exams[exam].slices.min(COMPARED)).collect();
    let [rows, columns] = data.size();
    let shape = [slices.len(), data.channels(), rows, columns];
    let values = data.batch(exam, &slices, |image| image)?;
    let images = Tensor::<4>::from_data(TensorData::new(values.clone(), shape), device);
    let input = Array4::from_shape_vec(shape, values).map_err(|error| TrainError::Export(error.to_string()))?;
    let failed = |source| TrainError::Models(ModelsError::Runtime(source));
    match networks {
        Networks::Lungs(network) => {
            let mut loaded = served::LungNetwork::load(&package, &runtime)?;
            let logits = loaded.logits(&input.view()).map_err(failed)?;
            agree("logits", network.forward(images), logits.view().into_dyn())
        }
        Networks::Embolism(network) => {
            let mut loaded = served::EmbolismNetwork::load(&package, &runtime)?;
            let encoded = loaded.encode(&input.view()).map_err(failed)?;
            let expected = network.encoder.forward(images);
            agree("features", expected.features.clone(), encoded.features.view().into_dyn())?;
            agree("evidence", expected.evidence, encoded.evidence.insert_axis(Axis(1)).view().into_dyn())?;
            let read = loaded.read(&encoded.features.view()).map_err(failed)?;
            let expected = network.head.forward(expected.features);
            agree("slice logits", expected.slices.clone(), read.slices.view().into_dyn())?;
            agree("exam logits", expected.exam.clone(), read.exam.view().into_dyn())?;
            agree("attention", expected.attention, read.attention.view().into_dyn())
        }
    }
}

fn agree<const D: usize>(
    output: &'static str,
    expected: Tensor<D>,
    found: ArrayViewD<'_, f32>,
) -> Result<(), TrainError> {
    let expected: Vec<f32> = expected.into_data().iter::<f32>().collect();
    let difference = expected.iter().zip(found.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    if expected.len() == found.len() && difference <= PARITY {
        tracing::info!("{output}: ONNX Runtime differs from training by {difference:.1e}");
        return Ok(());
    }
    Err(TrainError::Parity { output, difference, limit: PARITY })
}
