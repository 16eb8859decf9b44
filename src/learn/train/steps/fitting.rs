//! From prepared exams to weights.

use burn::module::Module;
use burn::tensor::Device;

use super::experiment::Experiment;
use super::{datasets, split};
use crate::engine::models::manifest::Kind;
use crate::learn::train::TrainError;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::dataset::Dataset;
use crate::learn::train::files;
use crate::learn::train::fit::embolism::{EmbolismTask, Start};
use crate::learn::train::fit::head::HeadTask;
use crate::learn::train::fit::lungs::LungTask;
use crate::learn::train::fit::patches::PatchTask;
use crate::learn::train::fit::{self, Checkpoints, Devices};
use crate::learn::train::labels::Split;
use crate::learn::train::network::{EmbolismNetwork, LungNetwork};
use crate::learn::train::package::{Splits, any_synthetic};

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

/// Fits the weights of the experiment: once, or once a fold.
pub(super) fn fit_weights(experiment: &Experiment<'_>) -> Result<Vec<String>, TrainError> {
    let line = |fit: &Experiment<'_>| {
        let parameters = fit_one(fit)?;
        Ok(format!("fit: {parameters} weights, checkpoints in {}", fit.folder.display()))
    };
    experiment.fits().iter().map(line).collect()
}

fn fit_one(experiment: &Experiment<'_>) -> Result<usize, TrainError> {
    let configuration = experiment.configuration;
    let datasets = datasets(experiment)?;
    let (training, validation) = (split(&datasets, Split::Train)?, split(&datasets, Split::Validation)?);
    let described = configuration.package.require_description(any_synthetic(&datasets));
    described.map_err(TrainError::Exams)?;
    let devices = Devices::new(&configuration.fit)?;
    begin_or_go_on(experiment, &datasets)?;
    files::write_whole(&experiment.folder.join("train.toml"), configuration.to_toml().as_bytes())?;
    let folder = experiment.checkpoints("network");
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

/// Notes what a fit without weights is of; goes on with weights only if they are of the same.
fn begin_or_go_on(experiment: &Experiment<'_>, datasets: &Splits) -> Result<(), TrainError> {
    let weights = ["patches", "network"].map(|part| experiment.checkpoints(part).join("progress.json"));
    if weights.iter().any(|progress| progress.exists()) {
        return require_same_fit(experiment, datasets);
    }
    files::write_whole(&experiment.identity(), identity(experiment.configuration, datasets).as_bytes())
}

/// Refuses weights that were fitted to other exams, splits or labels, in another network or in another way: figures of
/// such a mixture would be wrong, and what report and card say of it untrue.
pub(super) fn require_same_fit(experiment: &Experiment<'_>, datasets: &Splits) -> Result<(), TrainError> {
    let path = experiment.identity();
    let fitted = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => TrainError::StepMissing { path: path.clone(), step: "fit" },
        _ => TrainError::file("reading", &path)(error),
    })?;
    if fitted == identity(experiment.configuration, datasets) {
        return Ok(());
    }
    Err(TrainError::Exams(format!(
        "{} holds weights fitted to other exams, labels or networks, or with other settings: choose another \
         work.experiment, or remove it",
        experiment.folder.display()
    )))
}

/// Digest of what weights depend on: exams that they saw or were chosen by, network, and how they were fitted. Test
/// exams may come and go, and longer or shorter is no other fit.
fn identity(configuration: &TrainConfiguration, datasets: &Splits) -> String {
    let seen = datasets.iter().filter(|(split, _)| *split != Split::Test);
    let exams = seen.flat_map(|(split, data)| data.exams.iter().map(move |exam| (*split, exam)));
    let exams: Vec<String> = exams
        .map(|(split, exam)| format!("{} {} {} {}", split.name(), exam.series, exam.targets, exam.sources_sha256))
        .collect();
    let TrainConfiguration { kind, input, encoder, head, lung_network, augmentation, .. } = configuration;
    let fit = configuration.fit.without_length();
    let identity =
        format!("{exams:?} {kind:?} {input:?} {encoder:?} {head:?} {lung_network:?} {augmentation:?} {fit:?}");
    files::digest(identity.as_bytes())
}

/// Fits the encoder to patches. The weights of the last epoch go on, those that the learning rate came to rest at: what
/// a part of the slices says of an unfitted head is too uncertain to choose by.
fn fit_patches(experiment: &Experiment<'_>, task: &EmbolismTask<'_>, devices: &Devices) -> Result<Start, TrainError> {
    let folder = experiment.checkpoints("patches");
    fit::run(&PatchTask(task), &fit::patches::settings(&experiment.configuration.fit), &folder, devices)?;
    let checkpoints = Checkpoints::new(&folder)?;
    let network = checkpoints.last(fit::embolism::network(experiment.configuration, devices.main()))?;
    Ok(Start { network, digest: checkpoints.last_digest()? })
}

/// Fits the head to whole stacks, on from the network's own head, which stays if it is the better one on validation.
fn fit_head(
    experiment: &Experiment<'_>,
    network: &EmbolismNetwork,
    [training, validation]: [&Dataset; 2],
    devices: &Devices,
) -> Result<(), TrainError> {
    let configuration = experiment.configuration;
    let settings = fit::head::settings(&configuration.fit);
    let folder = experiment.checkpoints("head");
    let digest = Checkpoints::new(&experiment.checkpoints("network"))?.best_digest()?;
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
    let (encoder, head) =
        (Checkpoints::new(&experiment.checkpoints("network"))?, Checkpoints::new(&experiment.checkpoints("head"))?);
    let mut network = encoder.best(fresh)?;
    // A fit that goes on may have been stopped between its encoder and its head.
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
    Ok(Checkpoints::new(&experiment.checkpoints("network"))?.best(fresh)?.folded())
}
