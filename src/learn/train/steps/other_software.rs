//! From networks that other software trained to metrics, and to a package: everything that follows a fit, without one.

use std::path::PathBuf;

use super::datasets::datasets;
use super::evaluating::{evaluate, export};
use super::experiment::Experiment;
use crate::engine::models::manifest::Kind;
use crate::engine::models::package::Package;
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::exported::{ExportedFit, Splits, TrainedBy};
use crate::learn::train::files;
use crate::learn::train::labels::Split;
use crate::learn::train::package::{self, NetworkFiles};
use crate::learn::train::{TrainError, TrainingContext};

/// The networks, with what stands for the exams that they are evaluated on.
struct Given {
    fits: Vec<ExportedFit>,
    exams_sha256: String,
}

/// Evaluates networks given as ONNX files on the validation and test exams of the experiment: one file over all slices of
/// an exam, or encoder and head; with folds, of each fold in its order. Returns the metrics as lines.
///
/// # Errors
/// Exams that are not prepared, an experiment with weights of its own, images that are not described, or a file whose
/// tensors are not those of its layout.
pub fn evaluate_networks(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    files: &[PathBuf],
) -> Result<Vec<String>, TrainError> {
    let experiment = Experiment::new(configuration, context);
    let Given { fits, .. } = given(&experiment, files, |fit, networks, (datasets, exams_sha256)| {
        package::write_draft_of_files(configuration, context, networks, (datasets, exams_sha256), &fit.folder)
    })?;
    evaluate(&experiment, &fits, TrainedBy::OtherSoftware)
}

/// Makes a package of networks that [`evaluate_networks`] evaluated, and imports it into the folder of packages.
///
/// # Errors
/// Those of [`evaluate_networks`], or other networks or exams than those that were evaluated.
pub fn export_networks(
    configuration: &TrainConfiguration,
    context: &TrainingContext,
    files: &[PathBuf],
) -> Result<Vec<String>, TrainError> {
    let experiment = Experiment::new(configuration, context);
    let Given { fits, exams_sha256 } = given(&experiment, files, |fit, networks, (_, exams_sha256)| {
        let draft = package::open_draft(&fit.folder)?;
        let other = |what: &str| {
            let folder = fit.folder.display();
            TrainError::Exams(format!(
                "{folder} holds an evaluation of {what}: run `pe-node train evaluate --onnx` again"
            ))
        };
        if !networks.are_in(&draft)? {
            return Err(other("other networks"));
        }
        if draft.manifest().training.data_sha256 != exams_sha256 {
            return Err(other("other exams or labels"));
        }
        Ok(draft)
    })?;
    export(&experiment, &fits, (TrainedBy::OtherSoftware, &exams_sha256))
}

/// The networks of each fit, whose draft `draft` makes or opens, with the validation and test exams of the fit.
fn given(
    experiment: &Experiment<'_>,
    files: &[PathBuf],
    draft: impl Fn(&Experiment<'_>, &NetworkFiles, (&Splits, &str)) -> Result<Package, TrainError>,
) -> Result<Given, TrainError> {
    let configuration = experiment.configuration;
    if configuration.kind != Kind::EmbolismClassifier {
        let problem = "--onnx takes embolism classifiers; import a lung network with `pe-node models import`";
        return Err(TrainError::Exams(problem.to_owned()));
    }
    configuration.package.require_description(false)?;
    let fits = experiment.fits();
    let networks = NetworkFiles::of_each(files, fits.len())?;
    let mut tables = Vec::new();
    let mut given = Vec::new();
    for (fit, networks) in fits.iter().zip(&networks) {
        refuse_own_weights(fit)?;
        let mut datasets = datasets(fit)?;
        // Which exams the network was fitted to is not known here.
        datasets.retain(|(split, _)| *split != Split::Train);
        if !datasets.iter().any(|(split, _)| *split == Split::Validation) {
            let problem =
                "there are no validation exams to calibrate on; give some (data.validation_fraction, data.splits)";
            return Err(TrainError::Exams(problem.to_owned()));
        }
        let table = std::fs::read(fit.prepared()).map_err(TrainError::file("reading", &fit.prepared()))?;
        let exams_sha256 = files::digest(&table);
        given.push(ExportedFit { draft: draft(fit, networks, (&datasets, &exams_sha256))?, datasets });
        tables.extend(table);
    }
    Ok(Given { fits: given, exams_sha256: files::digest(&tables) })
}

/// Results of two trainings must not lie in one folder.
fn refuse_own_weights(fit: &Experiment<'_>) -> Result<(), TrainError> {
    if !fit.provenance().exists() {
        return Ok(());
    }
    let folder = fit.folder.display();
    Err(TrainError::Exams(format!("{folder} holds a fit of its own: choose another work.experiment for --onnx")))
}
