//! From prepared exams to weights.

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::datasets::{datasets, split};
use super::experiment::Experiment;
use crate::engine::models::manifest::Kind;
use crate::engine::volume::preparation::Preparation;
use crate::learn::train::TrainError;
use crate::learn::train::configuration::{
    Augmentation, EncoderConfiguration, Fit as FitSettings, HeadConfiguration, LungConfiguration, TrainConfiguration,
};
use crate::learn::train::dataset::{Dataset, PreparedExam};
use crate::learn::train::exported::{Splits, any_synthetic};
use crate::learn::train::files;
use crate::learn::train::fit::embolism::{EmbolismTask, Start};
use crate::learn::train::fit::head::HeadTask;
use crate::learn::train::fit::lungs::LungTask;
use crate::learn::train::fit::patches::PatchTask;
use crate::learn::train::fit::{self, Checkpoints, Devices, FitPart};
use crate::learn::train::labels::{Split, TargetLabels};
use crate::learn::train::network::{EmbolismNetwork, LungNetwork};
use crate::learn::train::provenance::Provenance;
use crate::learn::train::step::Step;

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

/// Fits the weights of the experiment: once, or once per fold.
pub(super) fn fit_weights(experiment: &Experiment<'_>) -> Result<Vec<String>, TrainError> {
    experiment.fits().iter().map(fit_line).collect()
}

/// Fits the weights of one fold, so that several machines or devices can share the folds.
pub(super) fn fit_fold(experiment: &Experiment<'_>, fold: usize) -> Result<Vec<String>, TrainError> {
    let folds = experiment.configuration.data.folds;
    let fits = experiment.fits();
    let fit = fits.get(fold).filter(|_| folds >= 2).ok_or_else(|| {
        TrainError::Exams(format!("fold {fold} was named, but data.folds = {folds}; folds count from 0"))
    })?;
    Ok(vec![fit_line(fit)?])
}

fn fit_line(fit: &Experiment<'_>) -> Result<String, TrainError> {
    let parameters = fit_one(fit)?;
    Ok(format!("fit: {parameters} weights, checkpoints in {}", fit.folder.display()))
}

fn fit_one(experiment: &Experiment<'_>) -> Result<usize, TrainError> {
    let configuration = experiment.configuration;
    let datasets = datasets(experiment)?;
    let (training, validation) = (split(&datasets, Split::Train)?, split(&datasets, Split::Validation)?);
    configuration.package.require_description(any_synthetic(&datasets))?;
    let devices = Devices::new(&configuration.fit)?;
    begin_or_continue(experiment, &datasets)?;
    files::write_whole(&experiment.folder.join("train.toml"), configuration.to_toml().as_bytes())?;
    let folder = experiment.checkpoints(FitPart::Network);
    let parameters = match configuration.kind {
        Kind::LungSegmentation => {
            let task = LungTask { configuration, training, validation };
            fit::run(&task, &configuration.fit, &folder, &devices)?.num_params()
        }
        Kind::EmbolismClassifier => {
            require_both_classes(training, "training")?;
            require_both_classes(validation, "validation")?;
            let mut task = EmbolismTask::new(configuration, training, validation)?;
            if configuration.fit.patch_epochs > 0 {
                task.start = Some(fit_patches(experiment, &task, &devices)?);
            }
            let network = fit::run(&task, &configuration.fit, &folder, &devices)?;
            fit_head(experiment, &network, [training, validation], &devices)?;
            network.num_params()
        }
    };
    Ok(parameters)
}

/// Records the sources of a fit that has no weights yet; continues a fit with weights only if its sources are the same.
fn begin_or_continue(experiment: &Experiment<'_>, datasets: &Splits) -> Result<(), TrainError> {
    let weights = [FitPart::Patches, FitPart::Network].map(|part| experiment.checkpoints(part).join("progress.json"));
    if weights.iter().any(|progress| progress.exists()) {
        return require_same_fit(experiment, datasets);
    }
    let fitted = Fitted::of(experiment.configuration, datasets);
    let text = serde_json::to_string(&fitted).unwrap_or_default();
    files::write_whole(&experiment.provenance(), text.as_bytes())
}

/// Refuses weights that were fitted to other exams, splits or labels, in another network or in another way: metrics of
/// such a mixture would be wrong, and report and card would state something untrue.
pub(super) fn require_same_fit(experiment: &Experiment<'_>, datasets: &Splits) -> Result<(), TrainError> {
    let path = experiment.provenance();
    let other = |problem: &str| {
        let folder = experiment.folder.display();
        TrainError::Exams(format!("{folder} holds weights {problem}: choose another work.experiment, or remove it"))
    };
    let earlier_version = || other("of another version of this program, which records their sources in another form");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(TrainError::file("reading", &path)(error));
        }
        Err(_) if experiment.earlier_provenance().exists() => return Err(earlier_version()),
        Err(_) => return Err(TrainError::StepMissing { path, step: Step::Fit }),
    };
    let fitted: Fitted =
        serde_json::from_str(&text).map_err(|error| TrainError::table(&path, None, error.to_string()))?;
    if fitted.version != Fitted::VERSION {
        return Err(earlier_version());
    }
    if fitted == Fitted::of(experiment.configuration, datasets) {
        return Ok(());
    }
    Err(other("fitted to other exams, labels or networks, or with other settings"))
}

/// What weights were fitted to, as recorded beside them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Fitted {
    version: u32,
    sha256: String,
}

/// What weights depend on: the exams of training and validation, the network, and the settings of the fit. Test exams
/// may change, and a longer or shorter fit is not another one. Networks and settings have the names that they have in
/// `train.toml`.
#[derive(Serialize)]
struct FitSources<'a> {
    exams: Vec<ExamSources<'a>>,
    kind: Kind,
    input: &'a Preparation,
    encoder: &'a EncoderConfiguration,
    head: &'a HeadConfiguration,
    lung_network: &'a LungConfiguration,
    augmentation: &'a Augmentation,
    fit: FitSettings,
}

#[derive(Serialize)]
struct ExamSources<'a> {
    split: Split,
    series: &'a str,
    targets: TargetLabels,
    prepared_from: &'a str,
}

impl Fitted {
    const VERSION: u32 = 2;

    fn of<'a>(configuration: &TrainConfiguration, datasets: &'a Splits) -> Self {
        let seen = datasets.iter().filter(|(split, _)| *split != Split::Test);
        let exam = |split: Split| {
            move |exam: &'a PreparedExam| ExamSources {
                split,
                series: &exam.series,
                targets: exam.targets,
                prepared_from: &exam.sources_sha256,
            }
        };
        let exams = seen.flat_map(|(split, data)| data.exams.iter().map(exam(*split)));
        let sources = FitSources {
            exams: exams.collect(),
            kind: configuration.kind,
            input: &configuration.input,
            encoder: &configuration.encoder,
            head: &configuration.head,
            lung_network: &configuration.lung_network,
            augmentation: &configuration.augmentation,
            fit: configuration.fit.without_length(),
        };
        let provenance = Provenance { made: "weights", version: Self::VERSION, sources };
        Self { version: Self::VERSION, sha256: provenance.sha256() }
    }
}

/// Fits the encoder to patches. The weights of the last epoch are kept, where the learning rate is lowest: validation
/// on some slices with an unfitted head is too uncertain to choose by.
fn fit_patches(experiment: &Experiment<'_>, task: &EmbolismTask<'_>, devices: &Devices) -> Result<Start, TrainError> {
    let folder = experiment.checkpoints(FitPart::Patches);
    fit::run(&PatchTask::new(task), &fit::patches::settings(&experiment.configuration.fit), &folder, devices)?;
    let checkpoints = Checkpoints::new(&folder)?;
    let network = checkpoints.last(fit::embolism::network(experiment.configuration, devices.main()))?;
    Ok(Start { network, digest: checkpoints.last_digest()? })
}

/// Fits the head to whole stacks, starting from the network's own head, which is kept if it is better on validation.
fn fit_head(
    experiment: &Experiment<'_>,
    network: &EmbolismNetwork,
    [training, validation]: [&Dataset; 2],
    devices: &Devices,
) -> Result<(), TrainError> {
    let configuration = experiment.configuration;
    let settings = fit::head::settings(&configuration.fit);
    let folder = experiment.checkpoints(FitPart::Head);
    let digest = Checkpoints::new(&experiment.checkpoints(FitPart::Network))?.best_digest()?;
    if settings.epochs == 0 || configuration.fit.head_exams == 0 {
        return Checkpoints::new(&folder)?.save_unfitted(&network.head, &digest);
    }
    if !fit::is_done(&settings, &folder, &digest)? {
        let task = HeadTask::new(configuration, (network, &digest), [training, validation], devices.main())?;
        fit::run(&task, &settings, &folder, devices)?;
    }
    Ok(())
}

/// The best weights of the embolism classifier.
pub(super) fn best_embolism(experiment: &Experiment<'_>, device: &Device) -> Result<EmbolismNetwork, TrainError> {
    let fresh = fit::embolism::network(experiment.configuration, device);
    let (encoder, head) = (
        Checkpoints::new(&experiment.checkpoints(FitPart::Network))?,
        Checkpoints::new(&experiment.checkpoints(FitPart::Head))?,
    );
    let mut network = encoder.best(fresh)?;
    // A continued fit may have been stopped between its encoder and its head.
    let best = encoder.best_digest()?;
    if head.progress()?.is_some_and(|progress| progress.begun_with != best) {
        return Err(TrainError::Exams(format!(
            "{} holds a head that was fitted to another encoder than the best: run `pe-node train fit` to its end",
            experiment.folder.display()
        )));
    }
    network.encoder = network.encoder.folded();
    network.head = head.best(network.head)?;
    Ok(network)
}

/// The best weights of the lung network.
pub(super) fn best_lungs(experiment: &Experiment<'_>, device: &Device) -> Result<LungNetwork, TrainError> {
    let configuration = experiment.configuration;
    let fresh = LungNetwork::new(&configuration.lung_network, configuration.input.channels(), device);
    Ok(Checkpoints::new(&experiment.checkpoints(FitPart::Network))?.best(fresh)?.folded())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A setting that is renamed, added or removed changes the digest, and makes every kept fit another one. Whoever
    /// does so raises [`Fitted::VERSION`] and writes the new digest here; renaming a field in the program alone must
    /// not change it.
    #[test]
    fn the_digest_of_what_weights_were_fitted_to_changes_knowingly_alone() {
        let configuration = TrainConfiguration::load(None, &[]).expect("defaults");
        let fitted = Fitted::of(&configuration, &[]);
        assert_eq!(
            (fitted.version, fitted.sha256.as_str()),
            (2, "3f4c499c419657cccd05415704ee6a68213805788adb64052037d66176e1bf2f")
        );
    }
}
