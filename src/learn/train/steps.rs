//! The steps of `pe-node train`, each from the files of the one before to its own.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use burn::module::Module;
use burn::tensor::Device;

use super::TrainError;
use super::configuration::TrainConfiguration;
use super::dataset::Dataset;
use super::evaluate::{self, Evaluation, Prediction};
use super::files::{self, table};
use super::fit::embolism::EmbolismTask;
use super::fit::head::HeadTask;
use super::fit::lungs::LungTask;
use super::fit::patches::PatchTask;
use super::fit::{self, Checkpoints, Task};
use super::labels::{self, Exam, SliceLabel, Split};
use super::network::{EmbolismNetwork, LungNetwork};
use super::report::Report;
use super::volumes::{self, PreparedExam};
use super::{network, package};
use crate::engine::models::manifest::Kind;

/// A step of the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `train.csv` to exams, slice labels and splits.
    Labels,
    /// DICOM to prepared images.
    Volumes,
    /// Weights.
    Fit,
    /// Figures, calibration, operating point.
    Evaluate,
    /// The model package.
    Export,
    /// All of them, in this order.
    All,
}

impl Step {
    const ORDER: [Self; 5] = [Self::Labels, Self::Volumes, Self::Fit, Self::Evaluate, Self::Export];

    /// Names of all steps, as typed.
    pub const NAMES: [&'static str; 6] = ["labels", "volumes", "fit", "evaluate", "export", "all"];
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = Self::NAMES.iter().position(|name| *name == text);
        let place = place.ok_or_else(|| format!("`{text}` is no step; steps are {}", Self::NAMES.join(", ")))?;
        Ok(Self::ORDER.get(place).copied().unwrap_or(Self::All))
    }
}

/// Runs one step or all. Gives lines that say what was done.
pub fn run(step: Step, configuration: &TrainConfiguration) -> Result<Vec<String>, TrainError> {
    let paths = Paths::new(configuration);
    match step {
        Step::Labels => read_labels(configuration, &paths),
        Step::Volumes => prepare_volumes(configuration, &paths),
        Step::Fit => fit_weights(configuration, &paths),
        Step::Evaluate => evaluate_weights(configuration, &paths),
        Step::Export => export_package(configuration, &paths),
        Step::All => {
            let mut lines = Vec::new();
            for step in Step::ORDER {
                lines.extend(run(step, configuration)?);
            }
            Ok(lines)
        }
    }
}

/// Where the steps' files lie.
struct Paths {
    exams: PathBuf,
    slices: PathBuf,
    excluded_labels: PathBuf,
    prepared: PathBuf,
    excluded_volumes: PathBuf,
    volumes: PathBuf,
    experiment: PathBuf,
}

impl Paths {
    fn new(configuration: &TrainConfiguration) -> Self {
        let labels = configuration.work.directory.join("labels");
        let experiment = configuration.experiment();
        Self {
            exams: labels.join("exams.csv"),
            slices: labels.join("slices.csv"),
            excluded_labels: labels.join("exclusions.csv"),
            prepared: experiment.join("prepared.csv"),
            excluded_volumes: experiment.join("exclusions.csv"),
            volumes: volumes::folder(configuration),
            experiment,
        }
    }

    fn evaluation(&self) -> PathBuf {
        self.experiment.join("evaluation.json")
    }

    /// Checkpoints of a fit: `network` for all weights, `head` for the head alone.
    fn checkpoints(&self, what: &str) -> PathBuf {
        self.experiment.join(what)
    }
}

fn read_labels(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
    let labels = labels::read(configuration)?;
    table::write(&paths.slices, &labels.slices)?;
    table::write(&paths.excluded_labels, &labels.exclusions)?;
    table::write(&paths.exams, &labels.exams)?;
    let positive = labels.exams.iter().filter(|exam| exam.embolism).count();
    let labelled: usize = labels.exams.iter().map(|exam| exam.labelled_slices).sum();
    Ok(vec![format!(
        "labels: {} exams, {positive} with embolism, {labelled} of {} slices labelled; {} exams excluded, see {}",
        labels.exams.len(),
        labels.slices.len(),
        labels.exclusions.len(),
        paths.excluded_labels.display()
    )])
}

fn prepare_volumes(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
    let exams: Vec<Exam> = table::read(&paths.exams, "labels")?;
    let slices: Vec<SliceLabel> = table::read(&paths.slices, "labels")?;
    let (prepared, excluded) = volumes::prepare(configuration, &exams, slices)?;
    if prepared.is_empty() {
        let reason = excluded.first().map_or_else(String::new, |first| format!("; the first: {}", first.reason));
        return Err(TrainError::Exams(format!("none of {} exams could be prepared{reason}", exams.len())));
    }
    table::write(&paths.excluded_volumes, &excluded)?;
    table::write(&paths.prepared, &prepared)?;
    Ok(vec![format!(
        "volumes: {} exams prepared with {}, {} excluded, see {}",
        prepared.len(),
        volumes::lung_source(configuration),
        excluded.len(),
        paths.excluded_volumes.display()
    )])
}

/// Prepared exams of each split that has any.
fn datasets(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<(Split, Dataset)>, TrainError> {
    let prepared: Vec<PreparedExam> = table::read(&paths.prepared, "volumes")?;
    let of = |split| {
        let exams = prepared.iter().filter(|exam| exam.split == split).cloned().collect();
        Dataset::new(paths.volumes.clone(), configuration.input.size, configuration.input.neighbours, exams)
    };
    let all = [Split::Train, Split::Validation, Split::Test].map(|split| (split, of(split)));
    Ok(all.into_iter().filter(|(_, data)| !data.exams.is_empty()).collect())
}

fn split(datasets: &[(Split, Dataset)], wanted: Split) -> Result<&Dataset, TrainError> {
    let found = datasets.iter().find(|(split, _)| *split == wanted);
    found.map(|(_, data)| data).ok_or_else(|| {
        TrainError::Exams(format!("no exams for {wanted:?}; give more exams or another share (data.*_fraction)"))
    })
}

fn require_both_classes(data: &Dataset, what: &str) -> Result<(), TrainError> {
    let positive = data.exams.iter().filter(|exam| exam.embolism).count();
    if positive == 0 || positive == data.exams.len() {
        let which = if positive == 0 { "negative" } else { "positive" };
        return Err(TrainError::Exams(format!(
            "all {} exams for {what} are {which}: exams with and without embolism are needed",
            data.exams.len()
        )));
    }
    Ok(())
}

fn fit_weights(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
    let datasets = datasets(configuration, paths)?;
    let (training, validation) = (split(&datasets, Split::Train)?, split(&datasets, Split::Validation)?);
    let device = fit::device(&configuration.fit)?;
    require_same_fit(configuration, paths)?;
    files::write_whole(&paths.experiment.join("train.toml"), configuration.to_toml().as_bytes())?;
    let folder = paths.checkpoints("network");
    let parameters = match configuration.kind {
        Kind::LungSegmentation => {
            let task = LungTask { configuration, training, validation };
            fit::run(&task, &configuration.fit, &folder, &device)?.num_params()
        }
        Kind::EmbolismClassifier => {
            require_both_classes(training, "training")?;
            require_both_classes(validation, "validation")?;
            let mut task = EmbolismTask::new(configuration, training, validation)?;
            if configuration.fit.patch_epochs > 0 {
                task.start = Some(fit_patches(configuration, paths, &task, &device)?);
            }
            let network = fit::run(&task, &configuration.fit, &folder, &device)?;
            fit_head(configuration, paths, &network, [training, validation], &device)?;
            network.num_params()
        }
    };
    Ok(vec![format!("fit: {parameters} weights, checkpoints in {}", paths.experiment.display())])
}

/// Refuses to go on with weights that were fitted to other exams, splits or labels, or in another network: figures of
/// such a mixture would be wrong. Longer or shorter is no other fit.
fn require_same_fit(configuration: &TrainConfiguration, paths: &Paths) -> Result<(), TrainError> {
    let prepared = std::fs::read(&paths.prepared).map_err(TrainError::file("reading", &paths.prepared))?;
    let TrainConfiguration { kind, input, encoder, head, lung_network, .. } = configuration;
    let identity = format!("{} {kind:?} {input:?} {encoder:?} {head:?} {lung_network:?}", files::digest(&prepared));
    let identity = files::digest(identity.as_bytes());
    let path = paths.experiment.join("fit.sha256");
    match std::fs::read_to_string(&path) {
        Ok(before) if before == identity => Ok(()),
        Ok(_) => Err(TrainError::Exams(format!(
            "{} holds weights fitted to other exams, labels or networks: choose another work.experiment, or remove it",
            paths.experiment.display()
        ))),
        Err(_) => files::write_whole(&path, identity.as_bytes()),
    }
}

/// Fits the encoder to patches. The weights of the last epoch go on, those that the learning rate came to rest at: what
/// a part of the slices says of an unfitted head is too uncertain to choose by.
fn fit_patches(
    configuration: &TrainConfiguration,
    paths: &Paths,
    task: &EmbolismTask<'_>,
    device: &Device,
) -> Result<EmbolismNetwork, TrainError> {
    let folder = paths.checkpoints("patches");
    fit::run(&PatchTask(task), &fit::patches::settings(&configuration.fit), &folder, device)?;
    Checkpoints::new(&folder)?.last(fit::embolism::network(configuration, device))
}

/// Fits the head to whole stacks; keeps it only if it is better on validation than the head it began as.
fn fit_head(
    configuration: &TrainConfiguration,
    paths: &Paths,
    network: &EmbolismNetwork,
    [training, validation]: [&Dataset; 2],
    device: &Device,
) -> Result<(), TrainError> {
    let settings = fit::head::settings(&configuration.fit);
    let folder = paths.checkpoints("head");
    let checkpoints = Checkpoints::new(&folder)?;
    if settings.epochs == 0 || configuration.fit.head_exams == 0 {
        return checkpoints.save_best(&network.head);
    }
    let task = HeadTask::new(configuration, network, training, validation, device)?;
    let before = task.validate(&network.head, device)?[0].1;
    let head = fit::run(&task, &settings, &folder, device)?;
    let after = task.validate(&head, device)?[0].1;
    tracing::info!("the head on whole stacks: validation exam AUROC {before:.4} before, {after:.4} after its own fit");
    if after < before {
        checkpoints.save_best(&network.head)?;
    }
    Ok(())
}

/// The best weights of the embolism classifier.
fn best_embolism(
    configuration: &TrainConfiguration,
    paths: &Paths,
    device: &Device,
) -> Result<EmbolismNetwork, TrainError> {
    let fresh = fit::embolism::network(configuration, device);
    let mut network = Checkpoints::new(&paths.checkpoints("network"))?.best(fresh)?;
    network.encoder = network.encoder.folded();
    network.head = Checkpoints::new(&paths.checkpoints("head"))?.best(network.head)?;
    Ok(network)
}

/// The best weights of the lung network.
fn best_lungs(configuration: &TrainConfiguration, paths: &Paths, device: &Device) -> Result<LungNetwork, TrainError> {
    let fresh = network::LungNetwork::new(&configuration.lung_network, configuration.input.channels(), device);
    Ok(Checkpoints::new(&paths.checkpoints("network"))?.best(fresh)?.folded())
}

fn evaluate_weights(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
    let device = fit::device(&configuration.fit)?;
    let mut splits = datasets(configuration, paths)?;
    splits.retain(|(split, _)| *split != Split::Train);
    let (evaluation, predictions) = match configuration.kind {
        Kind::LungSegmentation => {
            let network = best_lungs(configuration, paths, &device)?;
            (evaluate::lungs(configuration, &network, &splits, &device)?, Vec::new())
        }
        Kind::EmbolismClassifier => {
            let network = best_embolism(configuration, paths, &device)?;
            let (evaluation, predictions) = evaluate::embolism(configuration, &network, &splits, &device)?;
            table::write(&paths.experiment.join("predictions.csv"), &predictions)?;
            (evaluation, predictions)
        }
    };
    write_report(configuration, paths, &evaluation, &predictions)?;
    let text = serde_json::to_string_pretty(&evaluation).unwrap_or_default();
    files::write_whole(&paths.evaluation(), text.as_bytes())?;
    let shown = |(name, metric): (&String, &crate::engine::models::manifest::Metric)| {
        let interval = metric.interval.map_or_else(String::new, |[low, high]| format!(" ({low:.3} to {high:.3})"));
        format!("{name} {:.3}{interval}", metric.value)
    };
    Ok(evaluation.metrics.iter().map(shown).collect())
}

/// The experiment on one page.
fn write_report(
    configuration: &TrainConfiguration,
    paths: &Paths,
    evaluation: &Evaluation,
    predictions: &[Prediction],
) -> Result<(), TrainError> {
    let prepared = std::fs::read(&paths.prepared).map_err(TrainError::file("reading", &paths.prepared))?;
    let report = Report {
        configuration,
        exams: &table::read::<PreparedExam>(&paths.prepared, "volumes")?,
        evaluation,
        predictions,
        exams_sha256: &files::digest(&prepared),
        folder: &paths.experiment,
    };
    files::write_whole(&paths.experiment.join("report.html"), report.html().as_bytes())
}

fn export_package(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
    let device = Device::flex();
    let evaluation = read_evaluation(&paths.evaluation())?;
    let datasets = datasets(configuration, paths)?;
    let networks = match configuration.kind {
        Kind::LungSegmentation => package::Networks::Lungs(best_lungs(configuration, paths, &device)?),
        Kind::EmbolismClassifier => {
            package::Networks::Embolism(Box::new(best_embolism(configuration, paths, &device)?))
        }
    };
    let exams = std::fs::read(&paths.exams).map_err(TrainError::file("reading", &paths.exams))?;
    let folder = package::write(configuration, &networks, &evaluation, &datasets, &files::digest(&exams), &device)?;
    Ok(vec![format!("export: {}", folder.display())])
}

fn read_evaluation(path: &Path) -> Result<Evaluation, TrainError> {
    if !path.is_file() {
        return Err(TrainError::StepMissing { path: path.to_owned(), step: "evaluate" });
    }
    let text = std::fs::read_to_string(path).map_err(TrainError::file("reading", path))?;
    serde_json::from_str(&text).map_err(|error| TrainError::table(path, None, error.to_string()))
}
