//! What a package states of itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::models::manifest::{File, IntendedUse, Kind, Label, Layout, Manifest, Ranges, Role, Training};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::dataset::PreparedExam;
use crate::learn::train::evaluate::Evaluation;
use crate::learn::train::exported::{Splits, TrainedBy, any_synthetic};
use crate::learn::train::files;
use crate::learn::train::labels::Split;
use crate::learn::train::volumes::{self, Acquisition, Row};
use crate::learn::train::{TrainError, TrainingContext};

/// The manifest of networks in `files`, evaluated on the exams of `fits`.
///
/// # Errors
/// The table of acquisitions cannot be read.
pub(super) fn manifest<'a>(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    files: Vec<File>,
    evaluation: &Evaluation,
    fits: impl Iterator<Item = &'a Splits> + Clone,
    (trained_by, exams_sha256): (TrainedBy, &str),
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
        layout: layout(configuration.kind, &files),
        input: configuration.input.clone(),
        patches: None,
        files,
        labels: names.iter().enumerate().map(|(index, name)| Label { index, name: (*name).to_owned() }).collect(),
        calibration: evaluation.calibration.clone(),
        operating_point: evaluation.operating_point.clone(),
        training: training(configuration, context, fits, (trained_by, exams_sha256))?,
        metrics: evaluation.metrics.clone(),
    })
}

/// The layout that files of such roles have.
fn layout(kind: Kind, files: &[File]) -> Layout {
    match kind {
        Kind::LungSegmentation => Layout::Slices,
        Kind::EmbolismClassifier if files.iter().any(|file| file.role == Role::Network) => Layout::Exam,
        Kind::EmbolismClassifier => Layout::EncoderHead,
    }
}

/// Where the weights come from. Of those that other software trained, nothing is known but what `package.data` says.
fn training<'a>(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    fits: impl Iterator<Item = &'a Splits> + Clone,
    (trained_by, exams_sha256): (TrainedBy, &str),
) -> Result<Training, TrainError> {
    let unknown = Training {
        data: configuration.package.data.clone(),
        commit: String::new(),
        configuration_sha256: String::new(),
        data_sha256: exams_sha256.to_owned(),
        seed: 0,
        counts: counts(fits.clone()),
        ranges: Ranges::default(),
    };
    Ok(match trained_by {
        TrainedBy::OtherSoftware => unknown,
        TrainedBy::ThisProgram => Training {
            commit: context.commit.to_owned(),
            configuration_sha256: files::digest(configuration.to_toml().as_bytes()),
            seed: configuration.fit.seed,
            ranges: ranges(configuration, fits)?,
            ..unknown
        },
    })
}

/// What results must not be used for, in a sentence.
pub(crate) fn notice(configuration: &TrainConfiguration, trained_by: TrainedBy, synthetic: bool) -> &'static str {
    match configuration.package.intended_use(synthetic) {
        IntendedUse::Demonstration if trained_by == TrainedBy::OtherSoftware => {
            "Demonstration only: calibrated and measured on synthetic images. Nothing here says how it does on patients."
        }
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
}
