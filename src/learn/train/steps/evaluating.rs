//! From weights to figures, and to a package.

use super::fitting::{best_embolism, best_lungs};
use super::{Paths, datasets};
use crate::engine::models::manifest::{Kind, Metric};
use crate::learn::train::configuration::TrainConfiguration;
use crate::learn::train::dataset::PreparedExam;
use crate::learn::train::evaluate::{self, Evaluation, Prediction};
use crate::learn::train::files::{self, table};
use crate::learn::train::labels::Split;
use crate::learn::train::package::{self, Networks};
use crate::learn::train::report::Report;
use crate::learn::train::{TrainError, fit};

pub(super) fn evaluate_weights(configuration: &TrainConfiguration, paths: &Paths) -> Result<Vec<String>, TrainError> {
    let device = fit::device(&configuration.fit)?;
    let mut datasets = datasets(configuration, paths)?;
    let networks = match configuration.kind {
        Kind::LungSegmentation => Networks::Lungs(best_lungs(configuration, paths, &device)?),
        Kind::EmbolismClassifier => Networks::Embolism(Box::new(best_embolism(configuration, paths, &device)?)),
    };
    let draft = package::write_draft(configuration, &networks, &datasets, &paths.fit, &device)?;
    datasets.retain(|(split, _)| *split != Split::Train);
    let (evaluation, predictions) = match configuration.kind {
        Kind::LungSegmentation => (evaluate::lungs(configuration, &draft, &datasets)?, Vec::new()),
        Kind::EmbolismClassifier => {
            let (evaluation, predictions) = evaluate::embolism(configuration, &draft, &datasets)?;
            table::write(&paths.fit.join("predictions.csv"), &predictions)?;
            (evaluation, predictions)
        }
    };
    write_report(configuration, paths, &evaluation, &predictions)?;
    files::write_whole(&paths.evaluation(), evaluation.to_json().as_bytes())?;
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
    let evaluation = Evaluation::read(&paths.evaluation())?;
    let draft = package::open_draft(&paths.fit)?;
    if evaluate::digest(&draft)? != evaluation.networks_sha256 {
        return Err(TrainError::Exams(format!(
            "{} is of other networks than those in {}: run `pe-node train evaluate` again",
            paths.evaluation().display(),
            paths.fit.display()
        )));
    }
    let datasets = datasets(configuration, paths)?;
    let exams = std::fs::read(&paths.exams).map_err(TrainError::file("reading", &paths.exams))?;
    let folder = package::write(configuration, &draft, &evaluation, &datasets, &files::digest(&exams))?;
    Ok(vec![format!("export: {}", folder.display())])
}
