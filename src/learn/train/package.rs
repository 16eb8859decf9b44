//! Writing a model package, checked by the program that serves it before it takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use jiff::Timestamp;
use ndarray::{ArrayViewD, Axis};

use super::card;
use super::configuration::TrainConfiguration;
use super::dataset::{Dataset, PreparedExam};
use super::evaluate::Evaluation;
use super::export::{self, Exported};
use super::exported::{ExportedFit, Splits, any_synthetic};
use super::files;
use super::labels::Split;
use super::network::{EmbolismNetwork, LungNetwork};
use super::step::Step;
use super::volumes::{self, Acquisition, Row};
use super::{TrainError, TrainingContext};
use crate::engine::models::ModelsError;
use crate::engine::models::PackageId;
use crate::engine::models::manifest::{File, IntendedUse, Kind, Label, Layout, Manifest, Ranges, Role, Training};
use crate::engine::models::networks as served;
use crate::engine::models::package::{Contents, MANIFEST, Package};
use crate::engine::models::session::Runtime;
use crate::packages::folder::Folder;
use crate::packages::import::Incoming;

/// Largest difference of an output between training and ONNX Runtime, relative to its largest value where that is above
/// 1: `f32` carries seven digits, whatever the size of the values.
const PARITY: f32 = 1e-4;
/// Slices of an exam on which both are compared.
const COMPARED: usize = 12;

/// The name of the networks under evaluation.
fn draft() -> PackageId {
    "draft/0.0.0".parse().expect("a package")
}

/// The networks of a fit.
pub(crate) enum Networks {
    /// Lung segmentation.
    Lungs(LungNetwork),
    /// Embolism classification.
    Embolism(Box<EmbolismNetwork>),
}

/// Writes the networks of a fit as a package of their own, not calibrated yet, and opens it. Evaluation runs them from
/// it, and [`write()`] takes them from it. Fails unless ONNX Runtime agrees with the training program on them.
pub(crate) fn write_draft(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    networks: &Networks,
    datasets: &Splits,
    experiment: &Path,
    device: &Device,
) -> Result<Package, TrainError> {
    let (channels, size) = (configuration.input.channels(), configuration.input.size);
    let exported: Vec<(Role, &str, Exported)> = match networks {
        Networks::Lungs(network) => vec![(Role::Network, "lungs.onnx", export::lungs(network, channels, size)?)],
        Networks::Embolism(network) => {
            let [encoder, head] = export::embolism(network, channels, size)?;
            vec![(Role::Encoder, "encoder.onnx", encoder), (Role::Head, "head.onnx", head)]
        }
    };
    let described = exported.iter().map(|(role, path, exported)| File {
        role: *role,
        member: 0,
        path: (*path).to_owned(),
        sha256: files::digest(&exported.bytes),
        inputs: vec![exported.input.to_owned()],
        outputs: exported.outputs.iter().map(|name| (*name).to_owned()).collect(),
    });
    let PackageId { name, version } = draft();
    let manifest = Manifest {
        name,
        version,
        intended_use: IntendedUse::Demonstration,
        ..manifest(
            configuration,
            context,
            described.collect(),
            &Evaluation::uncalibrated(configuration.kind),
            [datasets].into_iter(),
            "",
        )?
    };
    let (_, data) = datasets
        .iter()
        .max_by_key(|(split, _)| *split)
        .ok_or_else(|| TrainError::Exams("no prepared exam to compare training and ONNX Runtime on".to_owned()))?;
    let contents = exported.iter().map(|(_, path, exported)| (*path, exported.bytes.as_slice()));
    let agrees = |package: &Package| compare(networks, package, &context.runtime()?, (data, device));
    let folder = write_folder(&experiment.join("onnx"), &manifest, contents, agrees)?;
    Ok(Package::open(&folder).map_err(ModelsError::from)?)
}

/// Opens the networks that [`write_draft`] wrote.
pub(crate) fn open_draft(experiment: &Path) -> Result<Package, TrainError> {
    let folder = draft().folder_in(&experiment.join("onnx"));
    if !folder.is_dir() {
        return Err(TrainError::StepMissing { path: folder, step: Step::Evaluate });
    }
    Ok(Package::open(&folder).map_err(ModelsError::from)?)
}

/// Writes the package of the evaluated networks of one fit, or of an ensemble of fits, into the experiment's folder,
/// and returns its path. The package is complete before it gets its name; [`publish`] checks that it loads and runs.
pub(crate) fn write(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    experiment: &Path,
    fits: &[ExportedFit],
    evaluation: &Evaluation,
    data_sha256: &str,
) -> Result<PathBuf, TrainError> {
    let networks: Vec<Contents> =
        fits.iter().map(|fit| fit.draft.contents()).collect::<Result<_, _>>().map_err(ModelsError::from)?;
    let of_member = |(member, fit): (usize, &ExportedFit)| {
        let path = |path: &str| if fits.len() > 1 { format!("member-{member}-{path}") } else { path.to_owned() };
        let files = fit.draft.manifest().files.iter();
        files.map(|file| File { member, path: path(&file.path), ..file.clone() }).collect::<Vec<_>>()
    };
    let files = fits.iter().enumerate().flat_map(of_member).collect();
    let datasets = fits.iter().map(|fit| &fit.datasets[..]);
    let manifest = manifest(configuration, context, files, evaluation, datasets, data_sha256)?;
    let card = card::text(configuration, &manifest, evaluation);
    let metrics = evaluation.to_json();
    let paths = manifest.files.iter().map(|file| file.path.as_str());
    let contents = paths.zip(networks.iter().flat_map(Contents::files));
    let contents = contents.chain([("metrics.json", metrics.as_bytes()), ("card.md", card.as_bytes())]);
    write_folder(&experiment.join("package"), &manifest, contents, |_| Ok(()))
}

/// Writes the networks of a package again under another manifest, card and metrics, beside it, as [`publish`] does.
/// Returns where.
pub(crate) fn write_again(
    package: &Package,
    manifest: &Manifest,
    networks: &Contents,
    card: &str,
    evaluation: &Evaluation,
    context: &TrainingContext,
) -> Result<PathBuf, TrainError> {
    let folder = package.directory();
    let scratch = tempfile::tempdir().map_err(TrainError::file("creating a temporary folder for", folder))?;
    let metrics = evaluation.to_json();
    let contents = manifest.files.iter().map(|file| file.path.as_str()).zip(networks.files());
    let contents = contents.chain([("metrics.json", metrics.as_bytes()), ("card.md", card.as_bytes())]);
    let written = write_folder(scratch.path(), manifest, contents, |_| Ok(()))?;
    // A package lies in a folder of its version, in a folder of its name.
    let directory = folder.parent().and_then(Path::parent).unwrap_or(folder);
    publish(&written, directory, context)
}

/// Imports a package into a folder of packages as `pe-node models import` does, and returns its place there. The active
/// package does not change, and no other package of its name and version is replaced.
pub(crate) fn publish(package: &Path, directory: &Path, context: &TrainingContext) -> Result<PathBuf, TrainError> {
    let failed = |source| TrainError::Publishing { directory: directory.to_owned(), source: Box::new(source) };
    let folder = Folder::open(&context.models_in(directory)).map_err(failed)?;
    let incoming = Incoming::from_folder(package).map_err(failed)?;
    let imported = folder.import(&incoming, &context.runtime()?, Timestamp::now()).map_err(failed)?;
    Ok(imported.identity.package.folder_in(directory))
}

/// Writes a package under another name and renames it once it is complete and `good` accepts it.
fn write_folder<'a>(
    directory: &Path,
    manifest: &Manifest,
    contents: impl Iterator<Item = (&'a str, &'a [u8])>,
    good: impl FnOnce(&Package) -> Result<(), TrainError>,
) -> Result<PathBuf, TrainError> {
    let folder = manifest.id().folder_in(directory);
    let scratch = directory.join(format!(".partial-{}", manifest.name));
    let partial = manifest.id().folder_in(&scratch);
    remove_folder(&scratch)?;
    files::create_folder(&partial)?;
    for (path, bytes) in contents {
        files::write_whole(&partial.join(path), bytes)?;
    }
    files::write_whole(&partial.join(MANIFEST), manifest.to_toml().as_bytes())?;
    good(&Package::open(&partial).map_err(ModelsError::from)?)?;
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

fn manifest<'a>(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    files: Vec<File>,
    evaluation: &Evaluation,
    fits: impl Iterator<Item = &'a Splits> + Clone,
    data_sha256: &str,
) -> Result<Manifest, TrainError> {
    let names: Vec<&str> = match configuration.kind {
        Kind::LungSegmentation => vec!["background", "left-lung", "right-lung"],
        Kind::EmbolismClassifier => configuration.head.targets.iter().map(|target| target.name()).collect(),
    };
    let package = &configuration.package;
    let synthetic = fits.clone().any(any_synthetic);
    let intended_use = package.intended_use(synthetic);
    if intended_use != package.intended_use {
        let which = if synthetic { "some exams are" } else { "no exam is" };
        tracing::warn!("{which} synthetic: the package is for {intended_use}, not for {}", package.intended_use);
    }
    Ok(Manifest {
        schema: 1,
        name: package.name.clone(),
        version: package.version.clone(),
        kind: configuration.kind,
        intended_use,
        license: package.license.clone(),
        layout: match configuration.kind {
            Kind::LungSegmentation => Layout::Slices,
            Kind::EmbolismClassifier => Layout::EncoderHead,
        },
        input: configuration.input.clone(),
        patches: None,
        files,
        labels: names.iter().enumerate().map(|(index, name)| Label { index, name: (*name).to_owned() }).collect(),
        calibration: evaluation.calibration.clone(),
        operating_point: evaluation.operating_point.clone(),
        training: Training {
            data: package.data.clone(),
            commit: context.commit.to_owned(),
            configuration_sha256: files::digest(configuration.to_toml().as_bytes()),
            data_sha256: data_sha256.to_owned(),
            seed: configuration.fit.seed,
            counts: counts(fits.clone()),
            ranges: ranges(configuration, fits)?,
        },
        metrics: evaluation.metrics.clone(),
    })
}

/// What results must not be used for, in a sentence.
pub(crate) fn notice(configuration: &TrainConfiguration, synthetic: bool) -> &'static str {
    match configuration.package.intended_use(synthetic) {
        IntendedUse::Demonstration => {
            "Demonstration only: trained and measured on synthetic images. Nothing here says how it does on patients."
        }
        IntendedUse::Research => "Research use only: not for decisions about patients.",
        IntendedUse::Clinical => {
            "Metrics hold for exams like these; what is put to clinical use is the site's own decision."
        }
    }
}

/// The kind of images that the weights were fitted to. Thinner slices and smaller pixels are averaged to the same input, so
/// their ranges have no lower end.
fn ranges<'a>(
    configuration: &TrainConfiguration,
    fits: impl Iterator<Item = &'a Splits>,
) -> Result<Ranges, TrainError> {
    let trained = fits.flatten().filter(|(split, _)| *split == Split::Train);
    let series: BTreeSet<&str> =
        trained.flat_map(|(_, data)| data.exams.iter().map(|exam| exam.series.as_str())).collect();
    let rows = volumes::acquired(configuration)?;
    let rows: Vec<Row> = rows.into_iter().filter(|row| series.contains(row.series.as_str())).collect();
    let up_to = |value: fn(&Row) -> f64| rows.iter().map(value).reduce(f64::max).map(|greatest| [0.0, greatest]);
    let (slice_mm, pixel_mm) = (up_to(Row::slices_mm), up_to(Row::pixels_mm));
    let acquisitions: Vec<Acquisition> = rows.into_iter().map(Row::acquisition).collect();
    Ok(Ranges { slice_mm, pixel_mm, age_years: ages(&acquisitions), kernels: kernels(&acquisitions) })
}

/// Least and greatest age, if all images state one: else nobody knows what others there were.
fn ages(acquisitions: &[Acquisition]) -> Option<[f64; 2]> {
    let ages: Vec<f64> = acquisitions.iter().map(|acquisition| acquisition.age_years).collect::<Option<_>>()?;
    ages.into_iter().map(|age| [age, age]).reduce(|[least, greatest], [age, _]| [least.min(age), greatest.max(age)])
}

/// The kernels, if all images state theirs: else nobody knows what others there were.
fn kernels(acquisitions: &[Acquisition]) -> Vec<String> {
    let kernels: BTreeSet<String> = acquisitions.iter().map(|acquisition| acquisition.kernel.clone()).collect();
    if kernels.contains("") { Vec::new() } else { kernels.into_iter().collect() }
}

/// Exams and slices of each split. Of folds, whose exams change splits, the validation exams of all folds and the test
/// exams.
fn counts<'a>(fits: impl Iterator<Item = &'a Splits> + Clone) -> BTreeMap<String, u64> {
    let folds = fits.clone().count();
    let mut counts = BTreeMap::new();
    if folds > 1 {
        counts.insert("folds".to_owned(), folds as u64);
    }
    for (fold, datasets) in fits.enumerate() {
        for (split, data) in datasets {
            let name = match split {
                Split::Validation if folds > 1 => "out_of_fold",
                Split::Train if folds > 1 => continue,
                Split::Test if fold > 0 => continue,
                split => split.name(),
            };
            let mut add =
                |what: &str, count: usize| *counts.entry(format!("{name}_{what}")).or_default() += count as u64;
            let exams: Vec<&PreparedExam> = data.exams.iter().filter(|exam| !exam.inserted).collect();
            add("exams", exams.len());
            add("positive_exams", exams.iter().filter(|exam| exam.embolism).count());
            add("slices", exams.iter().map(|exam| exam.slices).sum());
            add("labelled_slices", exams.iter().map(|exam| exam.labelled_source_slices).sum());
            add("positive_slices", exams.iter().map(|exam| exam.positive_slices).sum());
            let inserted = data.exams.len() - exams.len();
            if inserted > 0 {
                add("exams_with_inserted_emboli", inserted);
            }
        }
    }
    counts
}

/// Runs the package in ONNX Runtime and the networks in the training program on the same slices.
fn compare(
    networks: &Networks,
    package: &Package,
    runtime: &Runtime,
    (data, device): (&Dataset, &Device),
) -> Result<(), TrainError> {
    let slices: Vec<usize> = (0..data.exams[0].slices.min(COMPARED)).collect();
    let input = data.served_batch(0, &slices)?;
    let shape: [usize; 4] = input.dim().into();
    let images = Tensor::<4>::from_data(TensorData::new(input.iter().copied().collect(), shape), device);
    let failed = |source| TrainError::Models(ModelsError::Runtime(source));
    match networks {
        Networks::Lungs(network) => {
            let mut loaded = served::LungNetwork::load(package, runtime)?;
            let logits = loaded.logits(&input.view()).map_err(failed)?;
            agree("logits", network.forward(images), logits.view().into_dyn())
        }
        Networks::Embolism(network) => {
            let mut loaded = served::EmbolismNetwork::load(package, runtime)?;
            let encoded = loaded.encode(&input.view()).map_err(failed)?;
            let expected = network.encoder.forward(images);
            agree("features", expected.features.clone(), encoded.features.view().into_dyn())?;
            agree("evidence", expected.evidence, encoded.evidence.insert_axis(Axis(1)).view().into_dyn())?;
            let read = loaded.read(&encoded.features.view()).map_err(failed)?;
            let expected = network.head.forward(expected.features);
            agree("slice logits", expected.slices, read.slices.view().into_dyn())?;
            agree("exam logits", expected.exam, read.exam.view().into_dyn())?;
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
    // `f32::max` would skip NaN.
    let larger = |a: f32, b: f32| if a.is_nan() || b <= a { a } else { b };
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, larger);
    let difference = largest(&mut expected.iter().zip(found.iter()).map(|(a, b)| (a - b).abs()));
    let limit = PARITY * largest(&mut expected.iter().map(|value| value.abs())).max(1.0);
    if expected.len() == found.len() && difference <= limit {
        tracing::info!("{output}: ONNX Runtime differs from training by {difference:.1e}");
        return Ok(());
    }
    Err(TrainError::Parity { output, difference, limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_kernels_are_stated_where_every_image_states_one() {
        let exam = |age_years: Option<f64>, kernel: &str| Acquisition {
            age_years,
            kernel: kernel.to_owned(),
            ..Acquisition::default()
        };
        let stated = [exam(Some(71.0), "B30f"), exam(Some(50.0), "Br40"), exam(Some(19.0), "B30f")];
        assert_eq!((ages(&stated), kernels(&stated)), (Some([19.0, 71.0]), vec!["B30f".to_owned(), "Br40".to_owned()]));
        let unstated = [exam(Some(71.0), "B30f"), exam(None, "")];
        assert_eq!((ages(&unstated), kernels(&unstated)), (None, Vec::new()));
        assert_eq!((ages(&[]), kernels(&[])), (None, Vec::new()));
    }

    #[test]
    fn outputs_agree_to_the_digits_that_they_carry_and_never_where_one_is_nan() {
        let agrees = |expected: [f32; 2], found: [f32; 2]| {
            let expected = Tensor::<1>::from_data(TensorData::new(expected.to_vec(), [2]), &Device::flex());
            agree("logits", expected, ndarray::aview1(&found).into_dyn()).is_ok()
        };
        assert!(agrees([0.5, -0.5], [0.500_05, -0.5]));
        assert!(!agrees([0.5, -0.5], [0.501, -0.5]));
        assert!(agrees([900.0, -0.5], [900.05, -0.5]));
        assert!(!agrees([900.0, -0.5], [900.0, -0.3]));
        assert!(!agrees([0.5, -0.5], [f32::NAN, -0.5]));
    }
}
