//! From weights to figures, and to a package.

use std::path::Path;

use burn::tensor::Device;

use super::fitting::{best_embolism, best_lungs};
use super::{Paths, datasets};
use crate::engine::models::manifest::{Kind, Metric};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::dataset::PreparedExam;
use crate::learn::train::evaluate::{self, Evaluation, Prediction};
use crate::learn::train::files::{self, table};
use crate::learn::train::labels::Split;
use crate::learn::train::report::Report;
use crate::learn::train::{TrainError, fit, package};

pub(super) fn evaluate_weights(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
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
            table::write(&paths.fit.join("predictions.csv"), &predictions)?;
            (evaluation, predictions)
        }
    };
    write_report(configuration, paths, &evaluation, &predictions)?;
    let text = serde_json::to_string_pretty(&evaluation).unwrap_or_default();
    files::write_whole(&paths.evaluation(), text.as_bytes())?;
    let shown = |(name, metric): (&String, &Metric)| {
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
    let prepared = std::fs::read(paths.prepared()).map_err(TrainError::file("reading", &paths.prepared()))?;
    let report = Report {
        configuration,
        exams: &table::read::<PreparedExam>(&paths.prepared(), "fit")?,
        evaluation,
        predictions,
        exams_sha256: &files::digest(&prepared),
        folder: &paths.fit,
    };
    files::write_whole(&paths.fit.join("report.html"), report.html().as_bytes())
}

pub(super) fn export_package(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
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
