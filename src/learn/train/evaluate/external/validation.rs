//! From a table of labels and a folder of images to a report.

use std::collections::{BTreeMap, BTreeSet};

use super::cohort::ExternalCohort;
use super::labels;
use super::request::ExternalValidation;
use super::studies::{self, StudyOutcome};
use crate::engine::models::ModelsError;
use crate::engine::models::manifest::Kind;
use crate::engine::models::networks::Models;
use crate::engine::models::package::Package;
use crate::engine::pipeline::FindOptions;
use crate::engine::volume::group_by_series;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::files::LIMITS;
use crate::learn::train::labels::Exclusion;
use crate::learn::train::report::by_reason;
use crate::learn::train::{TrainError, TrainingContext, progress};

/// Evaluates a package on labelled studies. Returns the metrics as lines.
///
/// # Errors
/// A table that cannot be read, a package that cannot be used, or no study that could be analysed.
pub fn validate_externally(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    request: &ExternalValidation,
) -> Result<Vec<String>, TrainError> {
    let mut models = models(configuration, context, &package(configuration, request)?)?;
    let (cohort, exclusions) = analyse(&mut models, context, request)?;
    cohort.write(configuration, request, exclusions)
}

/// Analyses all labelled studies. Returns those that could be analysed, and why the others could not.
///
/// # Errors
/// A table that cannot be read, or no study that could be analysed.
pub(super) fn analyse(
    models: &mut Models,
    context: &TrainingContext,
    request: &ExternalValidation,
) -> Result<(ExternalCohort, Vec<Exclusion>), TrainError> {
    let labels::StudyTable { studies: labelled, mut exclusions } = labels::read(&request.labels)?;
    let mut grouped: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let grouping = group_by_series(std::slice::from_ref(&request.images), &LIMITS);
    for (path, rejection) in &grouping.unreadable {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        exclusions.push(Exclusion::new("images", &name, format!("{}: {}", rejection.reason, rejection.explanation)));
    }
    for series in grouping.series {
        grouped.entry(series.study_instance_uid.to_string()).or_default().push(series);
    }
    let known: BTreeSet<&str> = labelled.iter().map(|study| study.study.as_str()).collect();
    let unlabelled = grouped.keys().filter(|study| !known.contains(study.as_str()));
    exclusions.extend(unlabelled.map(|study| Exclusion::new("labels", study, "the study has no label in the table")));
    let options = FindOptions {
        limits: &LIMITS,
        quality: &context.quality,
        ignore_quality: request.ignore_quality,
        allow_demonstration: true,
        key_slices: 1,
        refused: &[],
    };
    let mut cohort = ExternalCohort::new(models);
    let bar = progress::bar(labelled.len() as u64, "evaluate");
    for study in &labelled {
        let series = grouped.get(&study.study).map_or(&[][..], Vec::as_slice);
        match studies::analyse(study, series, models, &options) {
            StudyOutcome::Analysed(analysed) => cohort.take(study, *analysed),
            StudyOutcome::LeftOut { step, reason } => exclusions.push(Exclusion::new(step, &study.study, reason)),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if cohort.is_empty() {
        return Err(nothing_analysed(labelled.len(), &exclusions));
    }
    Ok((cohort, exclusions))
}

/// The error of a run that analysed nothing, with all reasons, the most frequent first.
fn nothing_analysed(labelled: usize, exclusions: &[Exclusion]) -> TrainError {
    let rows = by_reason(exclusions);
    let reasons: Vec<String> = rows.iter().map(|row| format!("{}: {} ({})", row[0], row[1], row[2])).collect();
    TrainError::Exams(format!("none of {labelled} labelled studies could be analysed; {}", reasons.join("; ")))
}

/// A package with the lung package of the training or the node.
pub(super) fn models(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    package: &Package,
) -> Result<Models, TrainError> {
    let lungs = context.lung_package(&configuration.data)?;
    Ok(Models::of(&lungs, package, &context.onnxruntime)?)
}

/// The package that is named, or the one that the configuration exports.
pub(super) fn package(configuration: &TrainConfiguration, request: &ExternalValidation) -> Result<Package, TrainError> {
    let exported = || configuration.package.id().folder_in(&configuration.package.directory);
    let folder = request.package.clone().unwrap_or_else(exported);
    if !folder.is_dir() {
        let problem = "there is no such package; name one with --package, or run `pe-node train export` first";
        return Err(TrainError::Exams(format!("{}: {problem}", folder.display())));
    }
    // The folders above a package are its name and version, so a path such as `.` has to be resolved.
    let folder = folder.canonicalize().map_err(TrainError::file("finding", &folder))?;
    let package = Package::open(&folder).map_err(ModelsError::from)?;
    if package.manifest().kind != Kind::EmbolismClassifier {
        let problem = "the package is not an embolism classifier; name one with --package";
        return Err(TrainError::Exams(format!("{}: {problem}", folder.display())));
    }
    Ok(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_analysed_nothing_lists_every_reason() {
        let of = |step: &str, reason: &str| Exclusion::new(step, "1.2", reason);
        let exclusions =
            [of("images", "no images of the study were found"), of("analysis", "failed"), of("analysis", "failed")];
        let said = nothing_analysed(3, &exclusions).to_string();
        assert!(said.contains("none of 3 labelled studies could be analysed; analysis: failed (2); images: no images"));
    }
}
