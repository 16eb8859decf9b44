//! `pe-node train plan`: what a training would use and take, before anything runs.
//!
//! Some exams are put through every step, in a folder that is removed again. What that took is scaled up to all exams
//! and epochs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::experiment::Experiment;
use super::fingerprint::Fingerprint;
use super::preparing::{self, Assignment};
use super::{evaluating, fitting};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::crops::Crops;
use crate::learn::train::fit::{Checkpoints, EpochLine, FitPart};
use crate::learn::train::labels::{self, Exam, Labels, Place, Split};
use crate::learn::train::lungs::Lungs;
use crate::learn::train::report::by_reason;
use crate::learn::train::stage::{Shard, Stage as _};
use crate::learn::train::{TrainError, TrainingContext, volumes};

/// Epochs of the trial's fit. The first is left out of the estimate: caches and kernels are made in it.
const EPOCHS: usize = 2;
/// Exams of each split and class that are put through every step.
const OF_GROUP: usize = 3;

/// What a training would use and take, as lines for a person.
///
/// # Errors
/// Tables or images that cannot be used, exams of one class alone, an error of a step.
pub fn plan(configuration: &TrainConfiguration, context: &TrainingContext) -> Result<Vec<String>, TrainError> {
    let labels = labels::read(&configuration.data)?;
    let assignments = preparing::assign(configuration, &labels.exams)?;
    let counts = Counts::of(&labels.exams, &assignments);
    let sample = sample(&labels.exams, &assignments)?;
    let work = &configuration.work.dir;
    std::fs::create_dir_all(work).map_err(TrainError::file("creating", work))?;
    let folder = tempfile::Builder::new().prefix(".plan-").tempdir_in(work);
    let folder = folder.map_err(TrainError::file("creating a folder in", work))?;
    let trial = Trial::run(configuration, context, &labels, sample, folder.path())?;
    let window = configuration.input.window.map(f64::from);
    let lines = [
        counts.lines(configuration.data.folds, &labels),
        trial.fingerprint.lines(window),
        trial.lines(configuration, &counts),
    ];
    Ok(lines.concat())
}

/// Exams of the first fit.
#[derive(Debug, Default)]
struct Counts {
    /// Exams, those with embolism, and those whose slice labels are used, by split.
    splits: BTreeMap<Split, [usize; 3]>,
    /// All exams that are prepared.
    exams: usize,
}

impl Counts {
    fn of(exams: &[Exam], assignments: &[Assignment]) -> Self {
        let positive: BTreeSet<&str> =
            exams.iter().filter(|exam| exam.embolism()).map(|exam| exam.series.as_str()).collect();
        let mut counts = Self { exams: exams.len(), ..Self::default() };
        for assignment in assignments {
            let [all, with_embolism, labelled] = counts.splits.entry(assignment.place.split(0)).or_default();
            *all += 1;
            *with_embolism += usize::from(positive.contains(assignment.series.as_str()));
            *labelled += usize::from(assignment.slice_labels_used);
        }
        counts
    }

    fn exams(&self, split: Split) -> f64 {
        self.splits.get(&split).map_or(0.0, |counts| counts[0] as f64)
    }

    fn lines(&self, folds: usize, labels: &Labels) -> Vec<String> {
        let of_fit = if folds > 1 { format!(" (first of {folds} folds)") } else { String::new() };
        let split = |(split, [exams, positive, labelled]): (&Split, &[usize; 3])| {
            let name = split.name();
            format!("plan: {name}{of_fit}: {exams} exams, {positive} with embolism, slice labels of {labelled} used")
        };
        let excluded = |row: Vec<String>| format!("plan: {} exams left out: {}", row[2], row[1]);
        let notes = labels.notes.iter().map(|note| format!("plan: {note}"));
        let reasons = by_reason(&labels.exclusions).into_iter().map(excluded);
        self.splits.iter().map(split).chain(reasons).chain(notes).collect()
    }
}

/// Some exams of training and validation, with and without embolism, from all over the tables.
fn sample(exams: &[Exam], assignments: &[Assignment]) -> Result<Vec<Assignment>, TrainError> {
    let places: BTreeMap<&str, Split> =
        assignments.iter().map(|one| (one.series.as_str(), one.place.split(0))).collect();
    let mut groups: BTreeMap<(Split, bool), Vec<&str>> = BTreeMap::new();
    for exam in exams {
        match places.get(exam.series.as_str()) {
            None | Some(Split::Test) => {}
            Some(split) => groups.entry((*split, exam.embolism())).or_default().push(&exam.series),
        }
    }
    if groups.len() < 4 {
        let problem = "exams with and without embolism are needed for training and for validation";
        return Err(TrainError::Exams(format!("plan: {problem}; give more, or other shares (data.*_fraction)")));
    }
    let used: BTreeSet<&str> =
        assignments.iter().filter(|one| one.slice_labels_used).map(|one| one.series.as_str()).collect();
    let mut sample = Vec::new();
    for ((split, _), group) in groups {
        let count = OF_GROUP.min(group.len());
        sample.extend((0..count).map(|number| group[number * group.len() / count]).map(|series| Assignment {
            series: series.to_owned(),
            place: Place::Fixed(split),
            slice_labels_used: used.contains(series),
        }));
    }
    Ok(sample)
}

/// What some exams took.
struct Trial {
    fingerprint: Fingerprint,
    /// Exams of the trial, those of training, those of validation.
    exams: [f64; 3],
    /// Seconds of each step that prepares exams, for all exams of the trial.
    preparing: Vec<(&'static str, f64)>,
    /// Bytes of volumes and crops of the trial.
    bytes: u64,
    fit: FitSeconds,
    /// Seconds of the evaluation.
    evaluating: f64,
}

/// Seconds of the parts of a fit.
#[derive(Debug, Default)]
struct FitSeconds {
    /// Training in an epoch: on patches, of the network, of the head.
    epochs: [f64; 3],
    /// Validation after an epoch: on patches, of the network, of the head.
    validations: [f64; 3],
    /// Reading whole exams for the head.
    features: f64,
}

impl Trial {
    fn run(
        configuration: &TrainConfiguration,
        context: &TrainingContext,
        labels: &Labels,
        sample: Vec<Assignment>,
        folder: &Path,
    ) -> Result<Self, TrainError> {
        let configuration = trial_of(configuration, folder);
        let experiment = Experiment::new(&configuration, context);
        let wanted: BTreeSet<String> = sample.iter().map(|one| one.series.clone()).collect();
        preparing::keep(&experiment, &labels.only(|series| wanted.contains(series)), &sample)?;
        let of = |split: Split| sample.iter().filter(|one| one.place.split(0) == split).count() as f64;
        let mut preparing = Vec::new();
        for (name, step) in [
            ("volumes", preparing::volumes as fn(&Experiment<'_>, Shard) -> _),
            ("slices", preparing::slices),
            ("lungs", preparing::lungs),
            ("crops", preparing::crops),
        ] {
            let started = Instant::now();
            step(&experiment, Shard::ALL)?;
            preparing.push((name, started.elapsed().as_secs_f64()));
        }
        let lungs = Lungs::new(&configuration, context)?;
        let fingerprint = Fingerprint::of(&experiment, &preparing::found(&experiment, &lungs)?, &lungs)?;
        let folders = [volumes::folder(&configuration), Crops::new(&configuration, &lungs).folder().to_owned()];
        let bytes = folders.iter().map(|folder| bytes_below(folder)).sum::<Result<u64, _>>()?;
        let started = Instant::now();
        fitting::fit_weights(&experiment)?;
        let fit = FitSeconds::read(&experiment, started.elapsed().as_secs_f64())?;
        let started = Instant::now();
        evaluating::evaluate_weights(&experiment)?;
        Ok(Self {
            fingerprint,
            exams: [sample.len() as f64, of(Split::Train), of(Split::Validation)],
            preparing,
            bytes,
            fit,
            evaluating: started.elapsed().as_secs_f64(),
        })
    }

    fn lines(&self, configuration: &TrainConfiguration, counts: &Counts) -> Vec<String> {
        let [all, train, validation] = self.exams;
        let [of_train, of_validation] = [Split::Train, Split::Validation].map(|split| counts.exams(split));
        let (fit, fits) = (&configuration.fit, configuration.data.folds.max(1) as f64);
        let scale = counts.exams as f64 / all;
        let rounds = [fit.patch_epochs, fit.epochs, fit.head_epochs].map(|epochs| epochs as f64);
        let of_part = |part: usize| {
            let epoch =
                self.fit.epochs[part] * of_train / train + self.fit.validations[part] * of_validation / validation;
            rounds[part] * epoch
        };
        let features = self.fit.features * (of_train + of_validation) / (train + validation);
        let fitting = fits * ((0..3).map(of_part).sum::<f64>() + features);
        let limit = 60.0 * (fit.maximum_minutes + fit.patch_minutes);
        let fitting = if limit > 0.0 { fitting.min(fits * (limit + features + of_part(2))) } else { fitting };
        let evaluated = of_validation + counts.exams(Split::Test);
        let evaluating = fits * self.evaluating * evaluated / validation;
        let preparing: f64 = self.preparing.iter().map(|(_, seconds)| seconds * scale).sum();
        let mut lines: Vec<String> = self
            .preparing
            .iter()
            .map(|(name, seconds)| (*name, seconds * scale))
            .chain([("fit, at most", fitting), ("evaluate", evaluating)])
            .map(|(name, seconds)| format!("plan: {name}: {}", duration(seconds)))
            .collect();
        lines.push(format!("plan: in all at most {}", duration(preparing + fitting + evaluating)));
        lines.push(format!("plan: disk {:.1} GB for volumes and crops", self.bytes as f64 * scale / 1e9));
        lines.extend(peak_memory().map(|bytes| format!("plan: memory {:.1} GB", bytes as f64 / 1e9)));
        lines.push(format!("plan: estimated from {all} exams on this machine"));
        lines
    }
}

impl FitSeconds {
    /// From what the parts of a fit logged; it took `seconds` in all.
    fn read(experiment: &Experiment<'_>, seconds: f64) -> Result<Self, TrainError> {
        let mut found = Self { features: seconds, ..Self::default() };
        for (place, part) in [FitPart::Patches, FitPart::Network, FitPart::Head].into_iter().enumerate() {
            let folder = experiment.checkpoints(part);
            let progress = if folder.is_dir() { Checkpoints::new(&folder)?.progress()? } else { None };
            let Some(progress) = progress.filter(|progress| progress.epoch > 0) else { continue };
            let training: Vec<f64> = progress.log.iter().map(EpochLine::seconds).collect();
            let validating = progress.seconds - training.iter().sum::<f64>();
            found.epochs[place] = training.last().copied().unwrap_or_default();
            found.validations[place] = validating.max(0.0) / progress.epoch as f64;
            found.features -= progress.seconds;
        }
        found.features = found.features.max(0.0);
        Ok(found)
    }
}

/// The same training of few epochs, in another folder.
fn trial_of(configuration: &TrainConfiguration, folder: &Path) -> TrainConfiguration {
    let mut trial = configuration.clone();
    folder.clone_into(&mut trial.work.dir);
    trial.data.folds = 0;
    trial.evaluation.compare_with.clear();
    let fit = &mut trial.fit;
    (fit.epochs, fit.head_epochs) = (EPOCHS, fit.head_epochs.min(EPOCHS));
    (fit.patch_epochs, fit.patience) = (fit.patch_epochs.min(EPOCHS), 0);
    (fit.maximum_minutes, fit.patch_minutes) = (0.0, 0.0);
    trial
}

/// Bytes of the files in a folder.
fn bytes_below(folder: &Path) -> Result<u64, TrainError> {
    let reading = |error| TrainError::file("reading", folder)(error);
    let entries = std::fs::read_dir(folder).map_err(reading)?;
    let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    Ok(paths.iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum())
}

/// The most memory that this process has had; Linux says so.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}

fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds < 90.0 => format!("{seconds:.0} s"),
        _ if seconds < 5400.0 => format!("{:.0} minutes", seconds / 60.0),
        _ => format!("{:.1} hours", seconds / 3600.0),
    }
}
